//! What every way to fuse must do.

use serde_json::{Value, json};

use super::REGISTRY;
use super::cases::{honest, inputs, loaders, named, regrouped, said, values};
use crate::error::Result;
use crate::model::{
    Batch, Context, Fused, Fuser, Honest, Inputs, Memory, Output, Predictions, Quiet, Record, Source, Stop,
    Target, load_parts, save_parts,
};
use crate::registry::Entry;
use crate::seed::Seed;

/// Ways that give scores of their own for what the members say: no probability of a member comes through them.
const SCORES: [&str; 3] = ["hard_vote", "rank_mean", "dawid_skene"];
/// Ways that map what members say by what they have learned, even that of one member alone.
const MAPS: [&str; 3] = ["stacking", "blending", "boosted_stack"];
/// Ways that are what they are, whatever their loss on the fitting rows.
const PLAIN: [&str; 9] = [
    "hard_vote",
    "median",
    "trimmed_mean",
    "geometric_mean",
    "power_mean",
    "rank_mean",
    "pseudo_bma",
    "blending",
    "dawid_skene",
];
/// Ways that do not look at the weights of the rows.
const UNWEIGHTED: [&str; 6] =
    ["soft_vote", "hard_vote", "median", "trimmed_mean", "geometric_mean", "power_mean"];

fn entries() -> impl Iterator<Item = &'static Entry<dyn Fuser>> {
    REGISTRY.entries.iter()
}

/// Every way that can do the task of `data`.
fn able(data: &Honest) -> Vec<(&'static str, Box<dyn Fuser>)> {
    let task = data.target().task();
    let all = entries().map(|e| (e.name, (e.build)(&Value::Null).unwrap()));
    all.filter(|(_, f)| f.check(&task, data.count()).is_ok()).collect()
}

fn fit_to(fuser: &dyn Fuser, data: &Honest, source: &Memory) -> Result<Box<dyn Fused>> {
    let rows: Vec<usize> = (0..data.rows()).collect();
    let inputs = fuser.wants_inputs().then_some(Inputs { source, rows: &rows });
    let stop = Stop::default();
    fuser.fit(data, inputs, &Context::new(Seed::new(3), &Quiet, &stop))
}

fn batch_for(fused: &dyn Fused, source: &Memory, rows: &[usize]) -> Batch {
    let columns = fused.columns();
    source.read(rows, &columns.iter().map(String::as_str).collect::<Vec<_>>()).unwrap()
}

fn fuse(fused: &dyn Fused, members: &[Predictions], source: &Memory) -> Result<Predictions> {
    let rows: Vec<usize> = (0..members.first().map_or(0, Predictions::rows)).collect();
    fused.fuse(members, Some(&batch_for(fused, source, &rows)))
}

fn fitted(fuser: &dyn Fuser, data: &Honest) -> (Box<dyn Fused>, Predictions) {
    let source = inputs(data.rows());
    let fused = fit_to(fuser, data, &source).unwrap();
    let p = fuse(fused.as_ref(), &said(data), &source).unwrap();
    (fused, p)
}

fn bits(p: &Predictions) -> Vec<u32> {
    p.matrix().iter().map(|v| v.to_bits()).collect()
}

fn far(a: &Predictions, b: &Predictions) -> f32 {
    assert_eq!(a.absent(), b.absent());
    let (a, b) = (a.matrix(), b.matrix());
    a.iter().zip(&b).filter(|(x, _)| !x.is_nan()).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max)
}

fn loss(p: &Predictions, target: &Target) -> f64 {
    let matrix = p.matrix();
    let rows = (0..p.rows()).filter(|r| !p.absent().is_set(*r));
    let terms: Vec<f64> = match target {
        Target::Classes { codes, .. } => {
            rows.map(|r| -f64::from(matrix[[r, codes[r] as usize]].max(1e-7)).ln()).collect()
        }
        Target::Values(y) => rows.map(|r| f64::from(y[r] - matrix[[r, 0]]).powi(2)).collect(),
    };
    terms.iter().sum::<f64>() / terms.len() as f64
}

/// The loss of whoever knows the class shares, or the mean, and nothing else.
fn blind(data: &Honest) -> f64 {
    let rows: Vec<usize> = (0..data.rows()).filter(|r| !data.silent().is_set(*r)).collect();
    let n = rows.len() as f64;
    match data.target() {
        Target::Classes { classes, codes } => {
            let share = |c| rows.iter().filter(|r| codes[**r] as usize == c).count() as f64 / n;
            -(0..classes.count()).map(share).map(|s| s * s.ln()).sum::<f64>()
        }
        Target::Values(y) => {
            let mean = rows.iter().map(|r| f64::from(y[*r])).sum::<f64>() / n;
            rows.iter().map(|r| (f64::from(y[*r]) - mean).powi(2)).sum::<f64>() / n
        }
    }
}

/// Data of every shape: two classes, five classes, values; nobody absent, some absent.
fn all_data() -> Vec<Honest> {
    let mut out = Vec::new();
    for masked in [false, true] {
        out.extend([honest(90, 2, 3, masked), honest(90, 5, 4, masked), values(90, 3, masked)]);
    }
    out
}

#[test]
fn there_are_ways_for_both_tasks() {
    assert_eq!(able(&honest(20, 2, 2, false)).len(), REGISTRY.entries.len());
    // Votes and ranks are no values, and values do not say how sure they are.
    assert_eq!(able(&values(20, 2, false)).len() + SCORES.len() + 1, REGISTRY.entries.len());
    assert!(REGISTRY.build("weihgted", &Value::Null).err().unwrap().to_string().contains("\"weighted\""));
    for entry in entries() {
        assert!((entry.build)(&json!({"no_such": 1})).is_err(), "{}", entry.name);
        assert!((entry.schema)().is_object());
        assert!((entry.resolve)(&Value::Null).unwrap().is_object());
    }
}

#[test]
fn equal_members_give_that_member() {
    for data in all_data() {
        let (name, first, origin) = named(&data).swap_remove(2);
        let copies = (0..3).map(|i| (format!("{name}{i}"), first.clone(), origin)).collect();
        let same = Honest::new(copies, data.target().clone(), data.fold().to_vec(), None, None).unwrap();
        for (method, fuser) in able(&same) {
            let (_, p) = fitted(fuser.as_ref(), &same);
            match method {
                // Ranks among all rows: of two classes they have the member's order.
                "rank_mean" => {
                    let rows: Vec<usize> = (0..p.rows()).filter(|r| !p.absent().is_set(*r)).collect();
                    let (p, q) = (p.matrix(), first.matrix());
                    for pair in rows.windows(2).filter(|_| p.ncols() == 2) {
                        let order = |m: &crate::array::Matrix| m[[pair[0], 1]].total_cmp(&m[[pair[1], 1]]);
                        assert_eq!(order(&p), order(&q));
                    }
                }
                // A share of votes is not the member's probability, but its winner is the member's.
                method if SCORES.contains(&method) => {
                    for r in (0..p.rows()).filter(|r| !p.absent().is_set(*r)) {
                        let row = |p: &Predictions| crate::array::argmax(&p.matrix().row(r).to_vec());
                        assert_eq!(row(&p), row(&first));
                    }
                }
                // They may map the member, but not for the worse; from few rows at least not for nothing.
                method if MAPS.contains(&method) => {
                    let here = loss(&p, same.target());
                    let there = if method == "stacking" { loss(&first, same.target()) } else { blind(&same) };
                    assert!(here <= there + 1e-6, "{method}: {here} and {there}");
                }
                _ => assert!(far(&p, &first) <= 1e-6, "{method}: {}", far(&p, &first)),
            }
        }
    }
}

#[test]
fn the_order_of_the_members_does_not_matter() {
    for data in all_data() {
        let mut turned = named(&data);
        turned.reverse();
        let turned = Honest::new(turned, data.target().clone(), data.fold().to_vec(), None, None).unwrap();
        // Of two splits that are equally good a tree takes the first.
        for (method, fuser) in able(&data).into_iter().filter(|(m, _)| *m != "boosted_stack") {
            let (_, p) = fitted(fuser.as_ref(), &data);
            let (_, q) = fitted(fuser.as_ref(), &turned);
            // Sums in another order; iterative fits stop at a tolerance; with absences weights start from draws.
            let near = match method {
                method if method == "gate" || MAPS.contains(&method) => 2e-3,
                "weighted" if data.silent().any() => 1e-3,
                _ => 1e-6,
            };
            assert!(far(&p, &q) <= near, "{method}: {}", far(&p, &q));
        }
    }
}

#[test]
fn absent_members_are_left_out_and_silent_rows_are_absent() {
    for data in [honest(90, 3, 3, true), values(90, 3, true)] {
        for (method, fuser) in able(&data) {
            let (fused, p) = fitted(fuser.as_ref(), &data);
            assert_eq!(p.absent(), &data.silent(), "{method}");
            assert!(p.absent().is_set(3) && p.absent().count() == 1, "{method}");
            // A row on which a single member speaks is that member's, for all that only weigh.
            let source = inputs(90);
            let mut alone = said(&data);
            let keep = crate::model::Mask::from_marks(vec![true; 90]);
            for other in [0, 2] {
                let m = &alone[other];
                alone[other] =
                    Predictions::for_task(m.ids().to_vec(), &m.task(), m.matrix(), keep.clone()).unwrap();
            }
            let q = fuse(fused.as_ref(), &alone, &source).unwrap();
            assert_eq!(q.absent(), alone[1].absent(), "{method}");
            if !SCORES.contains(&method) && !MAPS.contains(&method) {
                assert!(far(&q, &alone[1]) <= 1e-6, "{method}: {}", far(&q, &alone[1]));
            }
        }
    }
}

#[test]
fn same_seed_same_bytes_on_any_number_of_threads_and_after_loading() {
    let pool = |n| rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
    let (one, two) = (pool(1), pool(2));
    let root = tempfile::tempdir().unwrap();
    for (i, data) in
        [honest(2500, 3, 4, true), values(2500, 3, true), honest(2500, 2, 3, false)].iter().enumerate()
    {
        for (method, fuser) in able(data) {
            let (fused, p) = one.install(|| fitted(fuser.as_ref(), data));
            let (again, q) = two.install(|| fitted(fuser.as_ref(), data));
            assert_eq!(bits(&p), bits(&q), "{method}");
            let parts = fused.save().unwrap();
            assert_eq!(parts, again.save().unwrap(), "{method}");
            let dir = root.path().join(format!("{method}{i}"));
            save_parts(&dir, &parts, &Record::default()).unwrap();
            let loaded = loaders().fused(&load_parts(&dir).unwrap().0).unwrap();
            assert_eq!(loaded.kind(), fused.kind());
            assert_eq!(loaded.columns(), fused.columns());
            assert_eq!(loaded.weights(), fused.weights());
            assert_eq!(loaded.parameters(), fused.parameters());
            let source = inputs(data.rows());
            assert_eq!(bits(&fuse(loaded.as_ref(), &said(data), &source).unwrap()), bits(&p), "{method}");
            assert_eq!(loaded.save().unwrap(), parts, "{method}");
        }
    }
}

#[test]
fn rows_do_not_depend_on_their_neighbours() {
    for data in [honest(90, 3, 3, true), values(90, 3, true)] {
        let source = inputs(90);
        let rows = [40, 3, 7, 89];
        for (method, fuser) in able(&data) {
            let (fused, p) = fitted(fuser.as_ref(), &data);
            let some: Vec<Predictions> = said(&data).iter().map(|m| m.take(&rows)).collect();
            let q = fused.fuse(&some, Some(&batch_for(fused.as_ref(), &source, &rows))).unwrap();
            assert_eq!(q.ids(), p.take(&rows).ids());
            assert!(far(&q, &p.take(&rows)) <= 1e-6, "{method}");
        }
    }
}

#[test]
fn no_fit_is_worse_than_the_mean_on_its_own_rows() {
    for data in [honest(400, 4, 4, false), values(400, 4, false), honest(400, 3, 3, true)] {
        let mean = REGISTRY.build("soft_vote", &Value::Null).unwrap();
        let base = loss(&fitted(mean.as_ref(), &data).1, data.target());
        for (method, fuser) in able(&data).into_iter().filter(|(m, _)| !PLAIN.contains(m)) {
            let here = loss(&fitted(fuser.as_ref(), &data).1, data.target());
            assert!(here <= base + 1e-9, "{method}: {here} against {base}");
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let data = honest(60, 3, 3, false);
    let source = inputs(60);
    let others = honest(60, 4, 3, false);
    let numbers = values(60, 3, false);
    for (method, fuser) in able(&data) {
        let (fused, _) = fitted(fuser.as_ref(), &data);
        let good = said(&data);
        let mut rows = good.clone();
        rows[1] = good[1].take(&(0..60).rev().collect::<Vec<_>>());
        for wrong in [good[..2].to_vec(), rows, said(&others), said(&numbers), Vec::new()] {
            let error = fuse(fused.as_ref(), &wrong, &source).unwrap_err();
            assert_eq!(error.exit_code(), 3, "{method}: {error}");
        }
        // Nothing to fit to.
        let empty = data.take(&[]);
        assert_eq!(fit_to(fuser.as_ref(), &empty, &source).err().unwrap().exit_code(), 3, "{method}");
        let silent = honest(60, 3, 3, true).take(&[3, 3]);
        assert_eq!(fit_to(fuser.as_ref(), &silent, &source).err().unwrap().exit_code(), 3, "{method}");
        // Weights of rows that cannot be.
        let bad = vec![-1.0; 60];
        let weighted =
            Honest::new(named(&data), data.target().clone(), vec![0; 60], None, Some(bad)).unwrap();
        if !UNWEIGHTED.contains(&method) {
            assert_eq!(fit_to(fuser.as_ref(), &weighted, &source).err().unwrap().exit_code(), 3, "{method}");
        }
        // Damaged parts.
        let mut parts = fused.save().unwrap();
        parts.arrays.clear();
        assert_eq!(loaders().fused(&parts).err().unwrap().exit_code(), 3, "{method}");
    }
}

#[test]
fn a_row_weight_counts_as_so_many_rows() {
    let data = honest(80, 3, 3, false);
    let twice: Vec<usize> = (0..80).chain(0..40).collect();
    let mut members = named(&data.take(&twice));
    for (_, p, _) in &mut members {
        let ids = (0..120).collect();
        *p = Predictions::for_task(ids, &p.task(), p.matrix(), p.absent().clone()).unwrap();
    }
    let repeated = Honest::new(members, data.target().take(&twice), vec![0; 120], None, None).unwrap();
    let weight: Vec<f32> = (0..80).map(|r| if r < 40 { 2.0 } else { 1.0 }).collect();
    let weighted = Honest::new(named(&data), data.target().clone(), vec![0; 80], None, Some(weight)).unwrap();
    // Penalties are by the row, draws by the number of rows.
    let other = |m: &str| ["gate", "pseudo_bma"].contains(&m) || MAPS.contains(&m);
    for (method, fuser) in able(&data).into_iter().filter(|(m, _)| !other(m)) {
        let (fused, _) = fitted(fuser.as_ref(), &repeated);
        let source = inputs(80);
        let p = fuse(fused.as_ref(), &said(&data), &source).unwrap();
        let (_, q) = fitted(fuser.as_ref(), &weighted);
        assert!(far(&p, &q) <= 1e-6, "{method}: {}", far(&p, &q));
    }
}

#[test]
fn votes_are_shared_on_ties_and_weights_are_obeyed() {
    let data = honest(30, 3, 3, false);
    let only = REGISTRY.build("soft_vote", &json!({"weights": [0.0, 2.0, 0.0]})).unwrap();
    assert_eq!(far(&fitted(only.as_ref(), &data).1, &said(&data)[1]), 0.0);
    assert!(REGISTRY.build("soft_vote", &json!({"weights": [0.0]})).is_err());
    assert!(REGISTRY.build("hard_vote", &json!({"weights": [-1.0]})).is_err());
    assert!(only.check(&data.target().task(), 2).unwrap_err().to_string().contains("2 weights"));
    let classes = data.target().codes().unwrap().0.clone();
    let member = |rows: [f32; 3]| {
        let p = ndarray::Array2::from_shape_vec((1, 3), rows.to_vec()).unwrap();
        Predictions::probabilities(vec![1], classes.clone(), p, crate::model::Mask::none(1)).unwrap()
    };
    let hard = REGISTRY.build("hard_vote", &Value::Null).unwrap();
    let (fused, _) = fitted(hard.as_ref(), &data);
    let members = [member([0.4, 0.4, 0.2]), member([0.1, 0.2, 0.7]), member([0.5, 0.3, 0.2])];
    let Output::Probabilities { p, .. } = fused.fuse(&members, None).unwrap().output().clone() else {
        panic!()
    };
    for (got, want) in p.iter().zip([0.5, 1.0 / 6.0, 1.0 / 3.0]) {
        assert!((got - want).abs() < 1e-6, "{p}");
    }
}

#[test]
fn choosing_is_cross_fitted_for_every_way() {
    let stop = Stop::default();
    for data in [honest(100, 3, 3, true), values(100, 3, false)] {
        let source = inputs(100);
        let rows: Vec<usize> = (0..100).collect();
        for folds in [1u32, 4] {
            let data = regrouped(&data, None, (0..100).map(|r| r % folds).collect()).unwrap();
            for (method, fuser) in able(&data) {
                let inputs = Some(Inputs { source: &source as &dyn Source, rows: &rows });
                let context = Context::new(Seed::new(9), &Quiet, &stop);
                let p = super::cross_fitted(fuser.as_ref(), &data, inputs, &context).unwrap();
                let q = super::cross_fitted(fuser.as_ref(), &data, inputs, &context).unwrap();
                assert_eq!(bits(&p), bits(&q), "{method}");
                assert_eq!(p.absent(), &data.silent(), "{method}");
                assert_eq!(p.ids(), said(&data)[0].ids(), "{method}");
            }
        }
    }
}
