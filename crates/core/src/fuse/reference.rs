//! The figures of peers on shared predictions: SciPy's optimum, AutoGluon's order, scikit-learn's stacking.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::calibrated::Calibrated;
use super::cases::said;
use super::evidence::Evidence;
use super::greedy::Greedy;
use super::greedy_area::AreaScores;
use super::greedy_scores::Scores;
use super::weighted::best_weights;
use crate::array::{MIN_PROBABILITY, Matrix, argmax};
use crate::calibrate;
use crate::fuse::REGISTRY;
use crate::metrics::{Auc, Metric, Sample};
use crate::model::{Classes, Context, Fuser, Honest, Mask, Origin, Predictions, Quiet, Stop, Target};
use crate::registry::decode;
use crate::seed::Seed;

fn shared() -> Option<PathBuf> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared");
    let root = PathBuf::from(std::env::var("CSL_SHARED").unwrap_or_else(|_| default.to_owned()));
    let path = root.join("data/fusion/predictions");
    if path.is_dir() {
        return Some(path);
    }
    assert!(std::env::var("CSL_REQUIRE_SHARED").as_deref() != Ok("1"), "{} is not there", path.display());
    println!("skipped: {} is not there", path.display());
    None
}

/// An array of numpy: its shape and numbers.
struct Numbers(Vec<usize>, Vec<f64>);

fn numbers(path: &Path) -> Numbers {
    let bytes = std::fs::read(path).unwrap();
    let end = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = std::str::from_utf8(&bytes[10..end]).unwrap();
    let shape = header.split(['(', ')']).nth(1).unwrap();
    let shape = shape.split(',').filter_map(|n| n.trim().parse().ok()).collect();
    let body = &bytes[end..];
    let values = if header.contains("'<f8'") {
        body.chunks_exact(8).map(|c| f64::from_le_bytes(c.try_into().unwrap())).collect()
    } else {
        assert!(header.contains("'<i4'"), "{header}");
        body.chunks_exact(4).map(|c| f64::from(i32::from_le_bytes(c.try_into().unwrap()))).collect()
    };
    Numbers(shape, values)
}

/// Members' predictions `[member, row, class]` with the truth.
fn load(dir: &Path, name: &str, what: &str, truth: &str, fold: bool) -> Honest {
    let p = numbers(&dir.join(format!("{name}_{what}.npy")));
    let y = numbers(&dir.join(format!("{name}_{truth}.npy")));
    let [members, rows, width] = p.0[..] else { panic!() };
    let classes = Classes::new((0..width).map(|c| c.to_string()).collect()).unwrap();
    let values: Vec<f32> = p.1.iter().map(|v| *v as f32).collect();
    let ids: Vec<u64> = (0..rows as u64).collect();
    let made = (0..members).map(|m| {
        let part = values[m * rows * width..(m + 1) * rows * width].to_vec();
        let matrix = Matrix::from_shape_vec((rows, width), part).unwrap();
        let p = Predictions::probabilities(ids.clone(), classes.clone(), matrix, Mask::none(rows)).unwrap();
        (format!("{m}"), p, Origin::OutOfFold)
    });
    let codes = y.1.iter().map(|c| *c as u32).collect();
    let folds = if fold {
        numbers(&dir.join(format!("{name}_fold.npy"))).1.iter().map(|f| *f as u32).collect()
    } else {
        vec![0; rows]
    };
    Honest::new(made.collect(), Target::Classes { classes, codes }, folds, None, None).unwrap()
}

fn log_loss_and_accuracy(p: &Predictions, target: &Target) -> (f64, f64) {
    let (_, codes) = target.codes().unwrap();
    let p = p.p().unwrap();
    let n = codes.len() as f64;
    let loss =
        codes.iter().enumerate().map(|(r, c)| -f64::from(p[[r, *c as usize]].max(MIN_PROBABILITY)).ln());
    let right = codes.iter().enumerate().filter(|(r, c)| argmax(&p.row(*r).to_vec()) == Some(**c as usize));
    (loss.sum::<f64>() / n, right.count() as f64 / n)
}

/// Fits on the out-of-fold rows and scores on the test rows.
fn on_test(dir: &Path, name: &str, method: &str, parameters: &Value) -> (f64, f64) {
    let stop = Stop::default();
    let fuser = REGISTRY.build(method, parameters).unwrap();
    let honest = load(dir, name, "oof", "y_train", true);
    let fused = fuser.fit(&honest, None, &Context::new(Seed::new(1), &Quiet, &stop)).unwrap();
    let test = load(dir, name, "test_refit", "y_test", false);
    log_loss_and_accuracy(&fused.fuse(&said(&test), None).unwrap(), test.target())
}

#[test]
fn weights_reach_the_optimum_of_the_simplex() {
    let Some(dir) = shared() else { return };
    for (name, optimum) in [("credit", 0.4266975), ("digits", 0.0753463)] {
        let honest = load(&dir, name, "oof", "y_train", true);
        let best = best_weights(&Evidence::new(&honest).unwrap(), Seed::new(1), &Stop::default()).unwrap();
        assert!(best.gap <= 1e-8, "{name}: {best:?}");
        // The figures have seven decimals, and are of 64-bit inputs.
        assert!((best.value - optimum).abs() <= 1.5e-7, "{name}: {best:?}");
        let theirs = numbers(&dir.join(format!("{name}_slsqp_w.npy")));
        for (i, w) in best.weights.iter().enumerate() {
            assert!((w - theirs.1[i]).abs() < 2e-3, "{name} {i}: {w} and {}", theirs.1[i]);
        }
    }
}

#[test]
fn greedy_takes_members_in_the_order_of_autogluon() {
    let Some(dir) = shared() else { return };
    for (name, objective, theirs) in [
        ("credit", "log_loss", "log_loss"),
        ("digits", "log_loss", "log_loss"),
        ("digits", "accuracy", "accuracy"),
        ("credit", "auc", "roc_auc"),
    ] {
        let honest = load(&dir, name, "oof", "y_train", true);
        let greedy: Greedy = decode(&json!({"objective": objective})).unwrap();
        let stop = Stop::default();
        let picks = greedy.select(&honest, &Context::new(Seed::new(1), &Quiet, &stop)).unwrap();
        let path = dir.join(format!("{name}_ag_greedy_{theirs}_25.json"));
        let theirs: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let order: Vec<usize> = serde_json::from_value(theirs["order"].clone()).unwrap();
        assert_eq!(picks.order, order, "{name} {objective}");
        let losses: Vec<f64> = serde_json::from_value(theirs["traj"].clone()).unwrap();
        for (ours, theirs) in picks.losses.iter().zip(&losses) {
            assert!((ours - theirs).abs() < 1.5e-6, "{name} {objective}: {ours} {theirs}");
        }
    }
}

/// Of its hundred steps by AUC some tie to six decimals; it then draws at random among the members used before, so that
/// no rule gives its order. Each of its picks is one of those that tie, given the picks before it.
#[test]
fn a_hundred_picks_of_autogluon_by_auc_are_among_the_best() {
    let Some(dir) = shared() else { return };
    let honest = load(&dir, "credit", "oof", "y_train", true);
    let theirs = std::fs::read_to_string(dir.join("credit_ag_greedy_roc_auc_100.json")).unwrap();
    let theirs: Value = serde_json::from_str(&theirs).unwrap();
    let order: Vec<usize> = serde_json::from_value(theirs["order"].clone()).unwrap();
    let losses: Vec<f64> = serde_json::from_value(theirs["traj"].clone()).unwrap();
    assert_eq!(order.len(), 81);
    let mut scores = AreaScores::new(&honest).unwrap();
    for (step, (pick, loss)) in order.iter().zip(losses).enumerate() {
        let ours = scores.losses(&vec![true; honest.count()]);
        let best = ours.iter().copied().fold(f64::INFINITY, f64::min);
        assert!(ours[*pick] - best < 1e-6, "step {step}: {} and {best}", ours[*pick]);
        assert!((ours[*pick] - loss).abs() < 1.5e-6, "step {step}: {} and {loss}", ours[*pick]);
        scores.add(*pick);
    }
}

#[test]
fn test_rows_score_as_those_of_the_peers() {
    let Some(dir) = shared() else { return };
    let none = Value::Null;
    // (data, method, log-loss of the peer, how far at most): greedy and weights are the same optimum.
    for (name, method, peer, near) in [
        ("credit", "soft_vote", 0.43657, 1e-5),
        ("digits", "soft_vote", 0.1709, 1e-4),
        ("credit", "greedy", 0.42469, 1e-5),
        ("digits", "greedy", 0.0664, 1e-4),
        ("credit", "weighted", 0.42476, 2e-5),
        ("digits", "weighted", 0.0668, 1e-4),
    ] {
        let (loss, _) = on_test(&dir, name, method, &none);
        assert!((loss - peer).abs() <= near, "{name} {method}: {loss} and {peer}");
    }
    // scikit-learn 1.9 on the same logits: .42422, and on digits .06032 at an accuracy of .98704.
    let (loss, _) = on_test(&dir, "credit", "stacking", &none);
    assert!((loss - 0.42422).abs() <= 2e-5, "{loss}");
    let (loss, accuracy) = on_test(&dir, "digits", "stacking", &none);
    assert!((loss - 0.06032).abs() <= 2e-4 && (accuracy - 0.98704).abs() < 2e-3, "{loss} {accuracy}");
    // On probabilities, of the second of two classes: .42664 and .0512 at an accuracy of .9852.
    let on = json!({"on": "probabilities"});
    let (loss, _) = on_test(&dir, "credit", "stacking", &on);
    assert!((loss - 0.42664).abs() <= 2e-5, "{loss}");
    let (loss, accuracy) = on_test(&dir, "digits", "stacking", &on);
    assert!((loss - 0.0512).abs() <= 1e-4 && (accuracy - 0.9852).abs() < 1e-4, "{loss} {accuracy}");
    assert!((on_test(&dir, "digits", "soft_vote", &none).1 - 0.9815).abs() < 1e-4);
    assert!((on_test(&dir, "digits", "weighted", &none).1 - 0.9741).abs() < 1e-4);
}

/// What the other ways reach on the same rows, beside the uniform mean: `cargo test -p consilience-core other_ways --
/// --nocapture` prints it.
#[test]
fn other_ways_on_the_same_rows() {
    let Some(dir) = shared() else { return };
    let stop = Stop::default();
    for name in ["credit", "digits"] {
        let honest = load(&dir, name, "oof", "y_train", true).expecting(BTreeSet::new()).unwrap();
        let test = load(&dir, name, "test_refit", "y_test", false);
        let score = |method: &str, parameters: &Value| {
            let fuser = REGISTRY.build(method, parameters).unwrap();
            let start = std::time::Instant::now();
            let fused = fuser.fit(&honest, None, &Context::new(Seed::new(1), &Quiet, &stop)).unwrap();
            let p = fused.fuse(&said(&test), None).unwrap();
            let (loss, accuracy) = log_loss_and_accuracy(&p, test.target());
            let auc = Auc.score(&Sample::new(test.target(), p.p().unwrap().view(), None)).unwrap();
            let seconds = start.elapsed().as_secs_f64();
            println!(
                "{name} {method} {parameters}: log-loss {loss:.5}, accuracy {accuracy:.4}, AUC {auc:.5}, {seconds:.1} s"
            );
            (loss, accuracy, auc)
        };
        let mean = score("soft_vote", &Value::Null);
        for (method, parameters) in [
            ("median", json!({})),
            ("trimmed_mean", json!({})),
            ("geometric_mean", json!({})),
            ("power_mean", json!({"exponent": -1})),
            ("rank_mean", json!({})),
            ("pseudo_bma", json!({})),
            ("pseudo_bma", json!({"plain": true})),
            ("stacking", json!({"non_negative": true})),
            ("stacking", json!({"on": "probabilities", "non_negative": true})),
            ("blending", json!({})),
            ("boosted_stack", json!({})),
            ("dawid_skene", json!({})),
            ("dawid_skene", json!({"truth": "use"})),
            ("greedy", json!({"bags": 20})),
        ] {
            let here = score(method, &parameters);
            if method == "rank_mean" && name == "credit" {
                assert!(here.2 > mean.2, "AUC {} and {}", here.2, mean.2);
            }
            if ["pseudo_bma", "stacking", "blending", "boosted_stack", "greedy"].contains(&method) {
                assert!(here.0 < mean.0, "{name} {method} {parameters}: {} and {}", here.0, mean.0);
            }
        }
    }
}

#[test]
fn a_calibrated_mean_scores_as_that_of_the_peers() {
    let Some(dir) = shared() else { return };
    let stop = Stop::default();
    for (name, calibrator, peer, near) in [
        ("credit", "temperature", Some(0.43305), 1e-5),
        ("digits", "temperature", Some(0.0643), 1e-4),
        ("credit", "auto", None, 0.0),
        ("digits", "auto", None, 0.0),
    ] {
        let both = Calibrated {
            fuser: REGISTRY.build("soft_vote", &Value::Null).unwrap(),
            calibrator: calibrate::REGISTRY.build(calibrator, &Value::Null).unwrap(),
        };
        let honest = load(&dir, name, "oof", "y_train", true);
        let fused = both.fit(&honest, None, &Context::new(Seed::new(1), &Quiet, &stop)).unwrap();
        let test = load(&dir, name, "test_refit", "y_test", false);
        let (loss, accuracy) = log_loss_and_accuracy(&fused.fuse(&said(&test), None).unwrap(), test.target());
        let kind = fused.save().unwrap().nested("calibrator").unwrap().kind;
        println!("{name}: mean and {calibrator} ({kind}): log-loss {loss:.5}, accuracy {accuracy:.4}");
        match peer {
            Some(peer) => assert!((loss - peer).abs() <= near, "{name}: {loss} and {peer}"),
            // Whatever is chosen by folds, the mean alone is far behind on new rows.
            None => {
                assert_ne!(kind, "uncalibrated", "{name}");
                assert!(loss + 1e-3 < on_test(&dir, name, "soft_vote", &Value::Null).0, "{name}: {loss}");
            }
        }
    }
}

/// Six members of unequal worth, and every set of them: no set is worse than the best of its members, which the fit to
/// all six is, asked about fewer.
#[test]
fn where_members_are_absent_the_rest_is_as_good_as_its_best() {
    let Some(dir) = shared() else { return };
    let six: Vec<bool> = (0..12).map(|m| [0, 3, 4, 5, 6, 8].contains(&m)).collect();
    let honest = load(&dir, "credit", "oof", "y_train", true).only(&six);
    let whole = honest.clone().expecting(BTreeSet::new()).unwrap();
    let test = load(&dir, "credit", "test_refit", "y_test", false).only(&six);
    let stop = Stop::default();
    let loss = |p: &Predictions| log_loss_and_accuracy(p, test.target()).0;
    let alone: Vec<f64> = test.predictions().map(loss).collect();
    for method in ["stacking", "weighted", "greedy"] {
        let fuser = REGISTRY.build(method, &Value::Null).unwrap();
        let worst = |honest: &Honest| {
            let fused = fuser.fit(honest, None, &Context::new(Seed::new(1), &Quiet, &stop)).unwrap();
            let mut worst = f64::NEG_INFINITY;
            for bits in 1..1u32 << 6 {
                let here = |m: usize| bits >> m & 1 == 1;
                let members: Vec<Predictions> = test
                    .predictions()
                    .enumerate()
                    .map(|(m, p)| {
                        let gone = Mask::from_marks(vec![!here(m); p.rows()]);
                        Predictions::for_task(p.ids().to_vec(), &p.task(), p.matrix(), gone).unwrap()
                    })
                    .collect();
                let best = (0..6).filter(|m| here(*m)).map(|m| alone[m]).fold(f64::INFINITY, f64::min);
                worst = worst.max(loss(&fused.fuse(&members, None).unwrap()) - best);
            }
            worst
        };
        let (new, old) = (worst(&honest), worst(&whole));
        println!(
            "{method}: beside the best member present at worst {new:+.5}, without fits of sets {old:+.5}"
        );
        // A tenth of the standard error of the loss on 6000 rows.
        assert!(new <= 8e-4 && old > 0.02, "{method}: {new} {old}");
    }
}
