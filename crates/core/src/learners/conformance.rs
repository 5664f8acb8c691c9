//! What every learner promises, tested on every one in the registry.

use rand::RngExt;
use serde_json::{Value, json};

use super::{LOADERS, REGISTRY};
use crate::array::Matrix;
use crate::error::{Error, Result};
use crate::model::{
    Array, Classes, Context, FittedLearner, Learner, Loaders, Parts, Quiet, Shares, Stop, Target,
};
use crate::registry::Entry;
use crate::seed::Seed;

/// Fewer trees, for short tests.
fn parameters(name: &str) -> Value {
    match name {
        "random_forest" => json!({"trees": 8}),
        "gradient_boosting" => json!({"rounds": 12, "learning_rate": 0.3}),
        _ => json!({}),
    }
}

fn classes(count: usize) -> Classes {
    Classes::new((0..count).map(|c| format!("class {c}")).collect()).unwrap()
}

/// Features around a center for each class; the values are a noisy sum.
fn data(rows: usize, width: usize, count: usize) -> (Matrix, Target, Target) {
    let mut rng = Seed::new(11).rng();
    let codes: Vec<u32> = (0..rows).map(|_| rng.random_range(0..count as u32)).collect();
    let x = Matrix::from_shape_fn((rows, width), |(r, c)| {
        let center = if c % count == codes[r] as usize { 1.0 } else { 0.0 };
        center + rng.random_range(-1.0f32..1.0)
    });
    let values =
        x.rows().into_iter().map(|r| 3.0 + r[0] * 2.0 - r[1] + rng.random_range(-0.1f32..0.1)).collect();
    (x, Target::Classes { classes: classes(count), codes }, Target::Values(values))
}

fn fit(
    entry: &Entry<dyn Learner>,
    x: &Matrix,
    target: &Target,
    weight: Option<&[f32]>,
) -> Result<Box<dyn FittedLearner>> {
    let learner = (entry.build)(&parameters(entry.name)).unwrap();
    let stop = Stop::default();
    learner.fit(x.view(), target, weight, &Context::new(Seed::new(5), &Quiet, &stop))
}

/// The tasks that a learner can do, with their data.
fn tasks(entry: &Entry<dyn Learner>, rows: usize, width: usize) -> Vec<(Matrix, Target)> {
    let learner = (entry.build)(&parameters(entry.name)).unwrap();
    let (x, two, values) = data(rows, width, 2);
    let (x3, three, _) = data(rows, width, 3);
    [(x.clone(), two), (x3, three), (x, values)]
        .into_iter()
        .filter(|(_, target)| learner.check(&target.task()).is_ok())
        .collect()
}

fn loaders() -> Loaders {
    Loaders { learners: LOADERS.iter().copied().collect(), ..Loaders::default() }
}

fn loss(p: &Matrix, target: &Target) -> f64 {
    match target {
        Target::Values(values) => {
            p.column(0).iter().zip(values).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>()
                / values.len() as f64
        }
        Target::Classes { codes, .. } => {
            let own = |(r, c): (usize, &u32)| -f64::from(p[[r, *c as usize]].max(1e-7)).ln();
            codes.iter().enumerate().map(own).sum::<f64>() / codes.len() as f64
        }
    }
}

#[test]
fn every_learner_does_some_task_and_says_which_not() {
    for entry in REGISTRY.entries {
        let done = tasks(entry, 30, 4).len();
        assert!(done >= 1, "{}", entry.name);
        let learner = (entry.build)(&Value::Null).unwrap();
        let (x, two, values) = data(30, 4, 2);
        for target in [two, values] {
            let refused = learner.check(&target.task());
            let stop = Stop::default();
            let fitted = learner.fit(x.view(), &target, None, &Context::new(Seed::new(1), &Quiet, &stop));
            assert_eq!(refused.is_ok(), fitted.is_ok(), "{}", entry.name);
            if let Err(e) = refused {
                assert!(matches!(e, Error::Argument(_)), "{}: {e}", entry.name);
            }
        }
        assert!((entry.build)(&json!({"no_such_setting": 1})).is_err());
    }
    assert_eq!(REGISTRY.entries.len(), LOADERS.len());
}

#[test]
fn outputs_are_distributions_or_values_and_beat_the_floor() {
    for entry in REGISTRY.entries {
        for (x, target) in tasks(entry, 400, 6) {
            let half: Vec<usize> = (0..200).collect();
            let rest: Vec<usize> = (200..400).collect();
            let take = |rows: &[usize]| x.select(ndarray::Axis(0), rows);
            let fitted = fit(entry, &take(&half), &target.take(&half), None).unwrap();
            let p = fitted.predict(take(&rest).view()).unwrap();
            assert_eq!(p.dim(), (200, target.task().width()), "{}", entry.name);
            assert!(fitted.parameters() > 0);
            if matches!(target, Target::Classes { .. }) {
                for row in p.rows() {
                    assert!(
                        (row.sum() - 1.0).abs() < 1e-5 && row.iter().all(|v| *v >= 0.0),
                        "{}",
                        entry.name
                    );
                }
            }
            assert_eq!(fitted.predict(x.slice(ndarray::s![..0, ..])).unwrap().nrows(), 0);
            if entry.name != "constant" {
                let floor =
                    fit(REGISTRY.get("constant").unwrap(), &take(&half), &target.take(&half), None).unwrap();
                let floor = loss(&floor.predict(take(&rest).view()).unwrap(), &target.take(&rest));
                let own = loss(&p, &target.take(&rest));
                assert!(own < 0.8 * floor, "{}: {own}, floor {floor}", entry.name);
            }
        }
    }
}

/// Enough rows and features for every parallel path.
#[test]
fn one_and_two_threads_give_the_same_bytes() {
    let pool = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    let (one, two) = (pool(1), pool(2));
    for entry in REGISTRY.entries {
        for (x, target) in tasks(entry, 3000, 20) {
            let weight: Vec<f32> = (0..3000).map(|r| 0.5 + (r % 7) as f32 / 4.0).collect();
            let run = || {
                let fitted = fit(entry, &x, &target, Some(&weight)).unwrap();
                (fitted.save().unwrap(), fitted.predict(x.view()).unwrap())
            };
            let (first, second) = (one.install(run), two.install(run));
            assert!(first.0 == second.0, "{}: another model", entry.name);
            assert!(first.1 == second.1, "{}: other predictions", entry.name);
        }
    }
}

#[test]
fn another_seed_draws_otherwise() {
    for name in ["random_forest", "gradient_boosting"] {
        let (x, target, _) = data(300, 4, 2);
        let learner = REGISTRY.build(name, &parameters(name)).unwrap();
        let stop = Stop::default();
        let fit = |seed| {
            let context = Context::new(Seed::new(seed), &Quiet, &stop);
            learner.fit(x.view(), &target, None, &context).unwrap().save().unwrap()
        };
        assert!(fit(1) == fit(1) && fit(1) != fit(2), "{name}");
    }
}

#[test]
fn what_is_loaded_predicts_the_same_bytes() {
    for entry in REGISTRY.entries {
        for (x, target) in tasks(entry, 150, 4) {
            let fitted = fit(entry, &x, &target, None).unwrap();
            let parts = fitted.save().unwrap();
            assert_eq!(parts.kind, entry.name);
            let again = loaders().learner(&parts).unwrap();
            assert_eq!(again.predict(x.view()).unwrap(), fitted.predict(x.view()).unwrap(), "{}", entry.name);
            assert_eq!(again.save().unwrap(), parts, "{}", entry.name);
            assert_eq!(again.parameters(), fitted.parameters());
        }
    }
}

fn shortened(array: &Array) -> Array {
    fn cut<T: Clone>(d: &[T]) -> (Vec<usize>, Vec<T>) {
        let d = d[..d.len() - 1].to_vec();
        (vec![d.len()], d)
    }
    match array {
        Array::F32(_, d) => Array::F32(cut(d).0, cut(d).1),
        Array::F64(_, d) => Array::F64(cut(d).0, cut(d).1),
        Array::U32(_, d) => Array::U32(cut(d).0, cut(d).1),
        Array::U8(_, d) => Array::U8(cut(d).0, cut(d).1),
    }
}

#[test]
fn damaged_models_are_refused() {
    for entry in REGISTRY.entries {
        for (x, target) in tasks(entry, 60, 3) {
            let parts = fit(entry, &x, &target, None).unwrap().save().unwrap();
            for (name, array) in &parts.arrays {
                let mut lacking = parts.clone();
                lacking.arrays.remove(name);
                let short = parts.clone().with(name, shortened(array));
                for damaged in [lacking, short] {
                    let e = loaders().learner(&damaged).err();
                    assert!(matches!(e, Some(Error::Model(_))), "{}: {name}: {e:?}", entry.name);
                }
            }
            let empty = Parts { config: json!({}), ..parts };
            assert!(loaders().learner(&empty).is_err(), "{}", entry.name);
        }
    }
}

#[test]
fn bad_rows_are_refused_by_name() {
    for entry in REGISTRY.entries {
        let (x, target) = tasks(entry, 20, 3).remove(0);
        let refused = |x: &Matrix, target: &Target, weight: Option<&[f32]>, says: &str| {
            let e = fit(entry, x, target, weight).err().map(|e| e.to_string()).unwrap_or_default();
            assert!(e.contains(says), "{}: expected \"{says}\", got \"{e}\"", entry.name);
        };
        refused(&Matrix::zeros((0, 3)), &target.take(&[]), None, "no rows");
        refused(&x, &target.take(&[0, 1]), None, "different lengths");
        refused(&x, &target, Some(&[1.0]), "different lengths");
        let mut weight = vec![1.0; 20];
        for bad in [0.0, -1.0, f32::NAN] {
            weight[4] = bad;
            refused(&x, &target, Some(&weight), "row 4: a weight");
        }
        let mut off = target.clone();
        match &mut off {
            Target::Classes { codes, .. } => codes[7] = 9,
            Target::Values(values) => values[7] = f32::INFINITY,
        }
        refused(&x, &off, None, "row 7");
        let fitted = fit(entry, &x, &target, None).unwrap();
        let wide = fitted.predict(Matrix::zeros((2, 4)).view()).unwrap_err().to_string();
        assert!(wide.contains("expected 3, got 4"), "{}: {wide}", entry.name);
        for bad in [f32::NAN, f32::NEG_INFINITY] {
            let mut x = x.clone();
            x[[11, 2]] = bad;
            x[[12, 1]] = bad;
            if entry.name != "constant" {
                refused(&x, &target, None, "row 11, column 2");
                refused(&Matrix::zeros((20, 0)), &target, None, "no features");
            }
            let e = fitted.predict(x.view()).unwrap_err().to_string();
            assert!(e.contains("row 11, column 2"), "{}: {e}", entry.name);
        }
    }
}

#[test]
fn classes_that_do_not_occur_get_nothing() {
    for entry in REGISTRY.entries {
        let (x, target, _) = data(60, 3, 2);
        let Target::Classes { codes, .. } = &target else { panic!() };
        let learner = (entry.build)(&Value::Null).unwrap();
        if learner.check(&target.task()).is_err() {
            continue;
        }
        // Codes 0 and 1 of the data become 1 and 3 of four classes.
        let some = Target::Classes { classes: classes(4), codes: codes.iter().map(|c| 1 + 2 * c).collect() };
        let p = fit(entry, &x, &some, None).unwrap().predict(x.view()).unwrap();
        let plain = fit(entry, &x, &target, None).unwrap().predict(x.view()).unwrap();
        for r in 0..60 {
            assert_eq!([p[[r, 0]], p[[r, 2]]], [0.0, 0.0], "{}", entry.name);
            assert_eq!([p[[r, 1]], p[[r, 3]]], [plain[[r, 0]], plain[[r, 1]]], "{}", entry.name);
        }
        let single = Target::Classes { classes: classes(3), codes: vec![1; 60] };
        let fitted = fit(entry, &x, &single, None).unwrap();
        let p = fitted.predict(x.view()).unwrap();
        assert!(p.rows().into_iter().all(|r| r.to_vec() == [0.0, 1.0, 0.0]), "{}", entry.name);
        assert!(loaders().learner(&fitted.save().unwrap()).is_ok());
    }
}

/// One row, and features that never change.
#[test]
fn the_smallest_data_do_no_harm() {
    for entry in REGISTRY.entries {
        for (_, target) in tasks(entry, 12, 3) {
            for rows in [1, 2, 12] {
                let target = target.take(&(0..rows).collect::<Vec<_>>());
                let x = Matrix::from_elem((rows, 3), 4.0);
                let p = fit(entry, &x, &target, None).unwrap().predict(x.view()).unwrap();
                assert!(p.iter().all(|v| v.is_finite()), "{} with {rows} rows: {p}", entry.name);
            }
        }
    }
}

#[test]
fn a_weight_of_two_is_a_row_twice() {
    for name in ["constant", "linear", "naive_bayes"] {
        let entry = REGISTRY.get(name).unwrap();
        for (x, target) in tasks(entry, 40, 3) {
            let twice: Vec<usize> = (0..40).chain(0..10).collect();
            let weight: Vec<f32> = (0..40).map(|r| if r < 10 { 2.0 } else { 1.0 }).collect();
            let repeated =
                fit(entry, &x.select(ndarray::Axis(0), &twice), &target.take(&twice), None).unwrap();
            let weighted = fit(entry, &x, &target, Some(&weight)).unwrap();
            let (a, b) = (repeated.predict(x.view()).unwrap(), weighted.predict(x.view()).unwrap());
            // Naive Bayes smooths by the plain variance of the rows, which repeated rows change in the ninth digit.
            assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-5), "{name}");
        }
    }
}

/// One share of each row for its class.
fn whole(target: &Target) -> (Classes, Matrix) {
    let (classes, codes) = target.codes().unwrap();
    let p = Matrix::from_shape_fn((codes.len(), classes.count()), |(r, k)| {
        f32::from(u8::from(codes[r] as usize == k))
    });
    (classes.clone(), p)
}

fn shared(
    learner: &dyn Learner,
    x: &Matrix,
    classes: &Classes,
    p: &Matrix,
    weight: Option<&[f32]>,
) -> Result<Box<dyn FittedLearner>> {
    let stop = Stop::default();
    let context = Context::new(Seed::new(5), &Quiet, &stop);
    let shares = Shares { classes, p: p.view() };
    learner.by_shares().unwrap().fit_shares(x.view(), shares, weight, &context)
}

/// Linear regression has no classes, and the nearest rows are kept with one class each.
#[test]
fn whole_shares_are_classes_and_the_threads_do_not_matter() {
    let pool = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    let mut deaf = Vec::new();
    for entry in REGISTRY.entries {
        let learner = (entry.build)(&parameters(entry.name)).unwrap();
        if learner.by_shares().is_none() {
            deaf.push(entry.name);
            continue;
        }
        let weight: Vec<f32> = (0..2000).map(|r| 0.5 + (r % 7) as f32 / 4.0).collect();
        for (x, target) in tasks(entry, 2000, 8).into_iter().filter(|(_, t)| t.codes().is_ok()) {
            let (classes, p) = whole(&target);
            let plain = fit(entry, &x, &target, Some(&weight)).unwrap().save().unwrap();
            let same = shared(learner.as_ref(), &x, &classes, &p, Some(&weight)).unwrap();
            assert!(same.save().unwrap() == plain, "{}: shares of one class give something else", entry.name);
            let soft = p.mapv(|v| 0.7 * v + 0.3 / classes.count() as f32);
            let run =
                || shared(learner.as_ref(), &x, &classes, &soft, Some(&weight)).unwrap().save().unwrap();
            let (one, two) = (pool(1).install(run), pool(2).install(run));
            assert!(one == two && one != plain, "{}", entry.name);
        }
    }
    assert_eq!(deaf, ["linear", "knn"]);
}

/// The penalty of a logistic regression is in units of rows, and there are twice as many.
#[test]
fn a_row_of_two_classes_is_two_rows_of_parts_of_its_weight() {
    for (name, one, two) in [
        ("constant", json!({}), json!({})),
        ("naive_bayes", json!({}), json!({})),
        ("logistic", json!({"c": 2.0}), json!({"c": 1.0})),
    ] {
        let (x, target, _) = data(60, 3, 2);
        let (classes, p) = whole(&target);
        let soft = p.mapv(|v| 0.75 * v + 0.125);
        let weight: Vec<f32> = (0..60).map(|r| 1.0 + (r % 3) as f32).collect();
        let learner = REGISTRY.build(name, &one).unwrap();
        let got = shared(learner.as_ref(), &x, &classes, &soft, Some(&weight)).unwrap();
        let twice: Vec<usize> = (0..120).map(|i| i / 2).collect();
        let codes = (0..120).map(|i| i % 2).collect();
        let parts: Vec<f32> = (0..120).map(|i| weight[i / 2] * soft[[i / 2, i % 2]]).collect();
        let copies = Target::Classes { classes, codes };
        let learner = REGISTRY.build(name, &two).unwrap();
        let stop = Stop::default();
        let context = Context::new(Seed::new(5), &Quiet, &stop);
        let repeated = x.select(ndarray::Axis(0), &twice);
        let want = learner.fit(repeated.view(), &copies, Some(&parts), &context).unwrap();
        let (a, b) = (got.predict(x.view()).unwrap(), want.predict(x.view()).unwrap());
        assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-5), "{name}");
    }
}

#[test]
fn shares_that_are_no_distribution_are_refused() {
    let (x, target, _) = data(20, 3, 2);
    let (classes, p) = whole(&target);
    for entry in REGISTRY.entries {
        let learner = (entry.build)(&Value::Null).unwrap();
        if learner.by_shares().is_none() {
            continue;
        }
        for bad in [[0.5, 0.6], [-0.5, 1.5], [f32::NAN, 1.0]] {
            let mut p = p.clone();
            p.row_mut(4).assign(&ndarray::arr1(&bad));
            let error = shared(learner.as_ref(), &x, &classes, &p, None).err().unwrap();
            assert!(error.to_string().contains("row 4") && error.exit_code() == 3, "{}: {error}", entry.name);
        }
        let narrow = p.slice(ndarray::s![.., ..1]).to_owned();
        assert!(shared(learner.as_ref(), &x, &classes, &narrow, None).is_err(), "{}", entry.name);
        let few = p.slice(ndarray::s![..3, ..]).to_owned();
        assert!(shared(learner.as_ref(), &x, &classes, &few, None).is_err(), "{}", entry.name);
        // A class of which no row has a share gets nothing, and one that has all is the answer.
        let three = Classes::new(["a", "b", "c"].map(String::from).to_vec()).unwrap();
        let mut wide = Matrix::zeros((20, 3));
        wide.slice_mut(ndarray::s![.., 1..]).assign(&p.mapv(|v| 0.5 * v + 0.25));
        let said = shared(learner.as_ref(), &x, &three, &wide, None).unwrap().predict(x.view()).unwrap();
        assert!(said.rows().into_iter().all(|r| r[0] == 0.0 && r[1] > 0.0), "{}", entry.name);
        let all = Matrix::from_shape_fn((20, 3), |(_, k)| f32::from(u8::from(k == 2)));
        let said = shared(learner.as_ref(), &x, &three, &all, None).unwrap().predict(x.view()).unwrap();
        assert!(said.rows().into_iter().all(|r| r.to_vec() == [0.0, 0.0, 1.0]), "{}", entry.name);
    }
}

#[test]
fn a_request_to_stop_is_heard() {
    for entry in REGISTRY.entries.iter().filter(|e| e.name != "constant") {
        let (x, target) = tasks(entry, 50, 3).remove(0);
        let stop = Stop::default();
        stop.request();
        let learner = (entry.build)(&Value::Null).unwrap();
        let fitted = learner.fit(x.view(), &target, None, &Context::new(Seed::new(1), &Quiet, &stop));
        assert!(matches!(fitted.err(), Some(Error::Interrupted)), "{}", entry.name);
    }
}

#[test]
fn a_given_number_of_rounds_is_kept() {
    let (x, target, _) = data(300, 4, 2);
    let learner = REGISTRY.build("gradient_boosting", &Value::Null).unwrap();
    let stop = Stop::default();
    let context = Context { epochs: Some(7), ..Context::new(Seed::new(1), &Quiet, &stop) };
    let parts = learner.fit(x.view(), &target, None, &context).unwrap().save().unwrap();
    assert_eq!(parts.u32("nodes").unwrap().len(), 8);
}
