//! Fusing tables of predictions: how good on real ones, how fast and how large on many rows.
//!
//! `cargo bench -p consilience-core --bench fuse -- table DIR` fits every way to honest predictions in `DIR` (`credit_oof.npy` and the like) and
//! scores it on the test rows; `... -- scale ROWS MEMBERS WHAT` times one thing. Lines are `data,way,metric,value` for `peer.py` to stand beside.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::path::Path;
use std::time::Instant;

use consilience_core::array::Matrix;
use consilience_core::calibrate;
use consilience_core::data::{read_npy, read_npy_entry};
use consilience_core::fuse::{self, Calibrated};
use consilience_core::metrics::{self, Sample};
use consilience_core::model::{
    Classes, Context, Fused, Fuser, Honest, Mask, Origin, Predictions, Quiet, Stop, Target,
};
use consilience_core::seed::Seed;
use rayon::prelude::*;
use serde_json::{Value, json};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["table", dir] => ["credit", "digits"].iter().for_each(|data| table(Path::new(dir), data)),
        ["scale", rows, members, what] => scale(rows.parse().unwrap(), members.parse().unwrap(), what),
        _ => println!("table DIR | scale ROWS MEMBERS greedy|auc|mean|weighted|nothing"),
    }
}

fn predictions(path: &Path, member: usize, classes: &Classes) -> Predictions {
    let array = read_npy_entry(path, member).unwrap();
    let [rows, width] = array.shape[..] else { panic!("{:?}", array.shape) };
    let values: Vec<f32> = array.to_f64().into_iter().map(|v| v as f32).collect();
    let p = Matrix::from_shape_vec((rows, width), values).unwrap();
    Predictions::probabilities((0..rows as u64).collect(), classes.clone(), p, Mask::none(rows)).unwrap()
}

fn codes(path: &Path) -> Vec<u32> {
    read_npy(path).unwrap().to_f64().into_iter().map(|v| v as u32).collect()
}

fn fit(fuser: &dyn Fuser, honest: &Honest) -> Box<dyn Fused> {
    let stop = Stop::default();
    fuser.fit(honest, None, &Context::new(Seed::new(1), &Quiet, &stop)).unwrap()
}

fn table(dir: &Path, data: &str) {
    let file = |name: &str| dir.join(format!("{data}_{name}.npy"));
    let (train, test) = (codes(&file("y_train")), codes(&file("y_test")));
    let count = train.iter().max().unwrap() + 1;
    let classes = Classes::new((0..count).map(|k| k.to_string()).collect()).unwrap();
    let fold = codes(&file("fold"));
    let members = consilience_core::data::npy_shape(&file("oof")).unwrap()[0];
    let all = |name: &str| -> Vec<Predictions> {
        (0..members).map(|m| predictions(&file(name), m, &classes)).collect()
    };
    let named = all("oof").into_iter().enumerate().map(|(m, p)| (format!("m{m}"), p, Origin::OutOfFold));
    let target = Target::Classes { classes: classes.clone(), codes: train };
    let honest = Honest::new(named.collect(), target, fold, None, None).unwrap();
    let honest = honest.expecting(std::collections::BTreeSet::from([vec![true; members]])).unwrap();
    let test = Target::Classes { classes: classes.clone(), codes: test };
    let wanted: &[&str] =
        if count == 2 { &["log_loss", "auc", "ks", "brier"] } else { &["accuracy", "log_loss"] };
    let score = |way: &str, mode: &str, said: &Predictions| {
        let p = said.matrix();
        let sample = Sample::new(&test, p.view(), None);
        for metric in wanted {
            let metric = metrics::get(metric).unwrap();
            let value = metric.plain(&sample).unwrap().unwrap_or_else(|| metric.score(&sample).unwrap());
            println!("{data} {mode},{way},{},{value:.6}", metric.name());
        }
    };
    let build = |name: &str, settings: Value| fuse::REGISTRY.build(name, &settings).unwrap();
    let mut ways: Vec<(String, Box<dyn Fuser>)> = vec![
        ("uniform mean".into(), build("soft_vote", json!({}))),
        ("greedy 25".into(), build("greedy", json!({}))),
        ("simplex".into(), build("weighted", json!({}))),
        ("stacking on logits".into(), build("stacking", json!({}))),
        ("stacking on probabilities".into(), build("stacking", json!({"on": "probabilities"}))),
    ];
    for name in
        ["median", "geometric_mean", "trimmed_mean", "pseudo_bma", "blending", "boosted_stack", "cascade"]
    {
        ways.push((name.replace('_', " "), build(name, json!({}))));
    }
    for way in ["temperature", "auto"] {
        let calibrator = calibrate::REGISTRY.build(way, &Value::Null).unwrap();
        let fuser = build("soft_vote", json!({}));
        ways.push((format!("uniform then {way}"), Box::new(Calibrated { fuser, calibrator })));
    }
    for mode in ["test_refit", "test_cv"] {
        for (m, said) in all(mode).iter().enumerate() {
            score(&format!("member {m}"), mode, said);
        }
        for (name, fuser) in &ways {
            let fused = fit(fuser.as_ref(), &honest);
            score(name, mode, &fused.fuse(&all(mode), None).unwrap());
        }
    }
}

/// Members of growing skill on two classes, without a copy more than what a caller would hold.
fn made(rows: usize, members: usize) -> Honest {
    let classes = Classes::new(vec!["a".into(), "b".into()]).unwrap();
    // A cheap generator: what is timed is not how numbers are drawn.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut unit = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 24) as f32
    };
    let codes: Vec<u32> = (0..rows).map(|_| u32::from(unit() < 0.3)).collect();
    let mut all: Vec<(String, Predictions, Origin)> = Vec::new();
    for m in 0..members {
        let skill = 0.5 + 1.5 * m as f32 / members as f32;
        let mut p = Matrix::zeros((rows, 2));
        for (mut row, code) in p.rows_mut().into_iter().zip(&codes) {
            let logit = skill * (*code as f32 - 0.5) + 2.0 * (unit() + unit() - 1.0);
            let yes = 1.0 / (1.0 + (-logit).exp());
            row[0] = 1.0 - yes;
            row[1] = yes;
        }
        let ids = (0..rows as u64).collect();
        let p = Predictions::probabilities(ids, classes.clone(), p, Mask::none(rows)).unwrap();
        let p = match all.first() {
            Some((_, first, _)) => p.sharing_ids(first),
            None => p,
        };
        all.push((format!("m{m}"), p, Origin::OutOfFold));
    }
    let fold = (0..rows).map(|r| (r % 5) as u32).collect();
    let honest = Honest::new(all, Target::Classes { classes, codes }, fold, None, None).unwrap();
    honest.expecting(std::collections::BTreeSet::from([vec![true; members]])).unwrap()
}

/// Times one thing, beside a plain read of all that the members say by the same threads.
fn scale(rows: usize, members: usize, what: &str) {
    let honest = made(rows, members);
    let cells: Vec<&[f32]> = honest.predictions().map(|p| p.p().unwrap().as_slice().unwrap()).collect();
    let build = |name: &str, settings: Value| fuse::REGISTRY.build(name, &settings).unwrap();
    let soft = (what == "mean").then(|| fit(build("soft_vote", json!({})).as_ref(), &honest));
    let said: Vec<Predictions> = honest.predictions().cloned().collect();
    let input = memory("VmRSS");
    // The kernel forgets the peak of making the input.
    let forgotten = std::fs::write("/proc/self/clear_refs", "5").is_ok();
    let seconds = |run: &mut dyn FnMut()| {
        let start = Instant::now();
        run();
        start.elapsed().as_secs_f64()
    };
    let greedy = |settings: Value| drop(fit(build("greedy", settings).as_ref(), &honest));
    let (steps, rounds) = match what {
        "greedy" => (100, 1),
        "auc" => (5, 1),
        _ => (1, if what == "mean" { 5 } else { 1 }),
    };
    let mut times: Vec<f64> = (0..rounds)
        .map(|_| {
            seconds(&mut || match (what, &soft) {
                ("greedy", _) => greedy(json!({"steps": steps})),
                ("auc", _) => greedy(json!({"steps": steps, "objective": "auc"})),
                ("weighted", _) => drop(fit(build("weighted", json!({})).as_ref(), &honest)),
                ("mean", Some(soft)) => drop(soft.fuse(&said, None).unwrap()),
                _ => {}
            })
        })
        .collect();
    let peak = if forgotten { memory("VmHWM") } else { f64::NAN };
    let mut reads: Vec<f64> = (0..5)
        .map(|_| {
            seconds(&mut || {
                let _ = std::hint::black_box(read(&cells));
            })
        })
        .collect();
    println!("scale,{what},seconds,{:.4}", median(&mut times));
    println!("scale,{what},seconds a step,{:.4}", median(&mut times) / f64::from(steps));
    println!("scale,{what},reading once seconds,{:.4}", median(&mut reads));
    println!("scale,{what},input MB,{input:.0}");
    println!("scale,{what},beyond MB,{:.0}", peak - input);
}

/// What reading costs: sums in lanes, a member after the other.
fn read(cells: &[&[f32]]) -> f32 {
    let member = |cells: &[f32]| {
        let mut lanes = [0.0f32; 32];
        for chunk in cells.as_chunks::<32>().0 {
            lanes.iter_mut().zip(chunk).for_each(|(l, c)| *l += c);
        }
        lanes.iter().sum::<f32>()
    };
    cells.iter().map(|c| c.par_chunks(1 << 18).map(member).sum::<f32>()).sum()
}

fn median(numbers: &mut [f64]) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

/// What this process holds (`VmRSS`), or held at most (`VmHWM`), in MB.
fn memory(what: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|l| l.starts_with(what)).unwrap_or_default();
    line.split_whitespace()
        .nth(1)
        .and_then(|v| v.parse::<f64>().ok())
        .map_or(f64::NAN, |kb| kb * 1024.0 / 1e6)
}
