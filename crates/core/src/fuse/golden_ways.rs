//! Values of pinned peers (SciPy, scikit-learn, crowd-kit): `testdata/golden/fuse_ways.json`, made by
//! `testdata/gen/fuse_ways.py`.

use serde_json::{Value, json};

use super::cases::said;
use super::golden::{classes, get, golden, honest, single, values};
use crate::fuse::REGISTRY;
use crate::model::{Classes, Context, Fused, Honest, Mask, Origin, Predictions, Quiet, Stop, Target};
use crate::seed::Seed;

fn ways() -> Value {
    serde_json::from_str(include_str!("../../../../testdata/golden/fuse_ways.json")).unwrap()
}

fn fit(method: &str, parameters: &Value, data: &Honest) -> Box<dyn Fused> {
    let stop = Stop::default();
    let fuser = REGISTRY.build(method, parameters).unwrap();
    fuser.fit(data, None, &Context::new(Seed::new(1), &Quiet, &stop)).unwrap()
}

/// Compares what a method says of the rows that it was fitted to with rows of numbers.
fn same(method: &str, parameters: &Value, data: &Honest, theirs: &[Vec<f64>], near: f64) {
    let p = fit(method, parameters, data).fuse(&said(data), None).unwrap().matrix();
    assert_eq!(p.nrows(), theirs.len());
    for (ours, theirs) in p.rows().into_iter().zip(theirs) {
        let far = ours.iter().zip(theirs).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max);
        assert!(far <= near, "{method} {parameters}: {ours} {theirs:?}");
    }
}

fn column(values: Vec<f64>) -> Vec<Vec<f64>> {
    values.into_iter().map(|v| vec![v]).collect()
}

fn power(exponent: f64) -> Value {
    json!({"exponent": exponent})
}

// Results are 32 bits.
const NEAR: f64 = 1e-6;

#[test]
fn means_are_those_of_scipy_and_numpy() {
    let (golden, ways) = (golden(), ways());
    let masked = classes(&golden, true);
    let weights = json!({"weights": get::<Vec<f64>>(&ways, "weights")});
    for (method, parameters, theirs) in [
        ("median", json!({}), "median"),
        ("trimmed_mean", json!({"share": 0.3}), "trimmed"),
        ("geometric_mean", json!({}), "geometric"),
        ("geometric_mean", weights, "weighted_geometric"),
        ("power_mean", power(-1.0), "harmonic"),
        ("power_mean", power(0.0), "geometric"),
        ("power_mean", power(2.5), "power"),
    ] {
        same(method, &parameters, &masked, &get::<Vec<Vec<f64>>>(&ways["means"], theirs), NEAR);
    }
    same("rank_mean", &json!({}), &masked, &get::<Vec<Vec<f64>>>(&ways, "ranks"), NEAR);
    let all = values(&golden);
    let positive = honest(&single(&get::<Vec<Vec<f32>>>(&ways, "positive")), all.target(), None);
    for (method, parameters, data, theirs) in [
        ("median", json!({}), &all, "median"),
        ("trimmed_mean", json!({"share": 0.3}), &all, "trimmed"),
        ("geometric_mean", json!({}), &positive, "geometric"),
        ("power_mean", power(2.5), &positive, "power"),
    ] {
        // Of values up to ten.
        same(method, &parameters, data, &column(get(&ways["value_means"], theirs)), NEAR);
    }
    // The values have no such mean, at fitting or at predicting.
    let stop = Stop::default();
    let context = Context::new(Seed::new(1), &Quiet, &stop);
    let geometric = REGISTRY.build("geometric_mean", &json!({})).unwrap();
    let error = geometric.fit(&all, None, &context).err().unwrap();
    assert!(error.exit_code() == 3 && error.to_string().contains("row id"), "{error}");
    let fused = geometric.fit(&positive, None, &context).unwrap();
    assert_eq!(fused.fuse(&said(&all), None).unwrap_err().exit_code(), 3);
}

#[test]
fn averaging_weights_are_those_of_numpy() {
    let (golden, ways) = (golden(), ways());
    let data = classes(&golden, false);
    let plain = fit("pseudo_bma", &json!({"plain": true}), &data).weights().unwrap();
    for (ours, theirs) in plain.iter().zip(get::<Vec<f64>>(&ways, "plain")) {
        assert!((ours - theirs).abs() < NEAR, "{plain:?}");
    }
    // Theirs are of 400000 other draws, ours of 50000: 1 / sqrt(50000) is .0045, and no weight deviates by more than .5.
    let plus = fit("pseudo_bma", &json!({"draws": 50_000}), &data).weights().unwrap();
    for (ours, theirs) in plus.iter().zip(get::<Vec<f64>>(&ways, "plus")) {
        assert!((ours - theirs).abs() < 3.0 * 0.5 * 0.0045, "{plus:?}");
    }
}

#[test]
fn stacks_on_probabilities_and_of_one_sign_are_those_of_scikit_learn_and_scipy() {
    let (golden, ways) = (golden(), ways());
    let three = classes(&golden, false);
    let rows = |key: &str| get::<Vec<Vec<f64>>>(&ways, key);
    same("stacking", &json!({"on": "probabilities"}), &three, &rows("on_probabilities"), 1e-5);
    same("stacking", &json!({"non_negative": true}), &three, &rows("non_negative"), 1e-5);
    let names = Classes::new(vec!["0".into(), "1".into()]).unwrap();
    let target = Target::Classes { classes: names, codes: get(&ways, "two") };
    let two = honest(&get::<Vec<Vec<Vec<f32>>>>(&ways, "two_p"), &target, None);
    let fused =
        fit("stacking", &json!({"non_negative": true}), &two).save().unwrap().nested("whole").unwrap();
    let learner = fused.nested("learner").unwrap();
    let (weights, intercept) = (learner.f64("weights").unwrap(), learner.f64("intercepts").unwrap());
    let theirs: Vec<f64> = get(&ways, "two_non_negative");
    assert!(theirs[0] == 0.0 && weights[0] == 0.0, "the first member is held at zero: {weights:?}");
    for (ours, theirs) in weights.iter().chain(intercept).zip(&theirs) {
        assert!((ours - theirs).abs() < 1e-4, "{weights:?} {theirs:?}");
    }
    let against = single(&get::<Vec<Vec<f32>>>(&ways, "against"));
    let against = honest(&against, values(&golden).target(), None);
    let ridge = column(get(&ways, "non_negative_ridge"));
    same("stacking", &json!({"non_negative": true}), &against, &ridge, 1e-4);
    let squares = column(get(&ways, "non_negative_least_squares"));
    same("stacking", &json!({"non_negative": true, "c": 1e9}), &against, &squares, 1e-4);
}

#[test]
fn annotators_are_those_of_crowd_kit() {
    let ways = ways();
    let votes: Vec<Vec<i32>> = get(&ways, "votes");
    let names = Classes::new(["0", "1", "2"].map(String::from).to_vec()).unwrap();
    let rows = votes[0].len();
    let members = votes.iter().enumerate().map(|(m, votes)| {
        let p = ndarray::Array2::from_shape_fn((rows, 3), |(r, c)| f32::from(u8::from(votes[r] == c as i32)));
        let absent: Mask = votes.iter().map(|v| *v < 0).collect();
        let ids = (0..rows as u64).collect();
        (
            format!("m{m}"),
            Predictions::probabilities(ids, names.clone(), p, absent).unwrap(),
            Origin::Declared,
        )
    });
    // A truth that nobody looks at.
    let target = Target::Classes { classes: names.clone(), codes: vec![0; rows] };
    let data = Honest::new(members.collect(), target, vec![0; rows], None, None).unwrap();
    same("dawid_skene", &json!({}), &data, &get::<Vec<Vec<f64>>>(&ways, "votes_p"), NEAR);
    let parts = fit("dawid_skene", &json!({}), &data).save().unwrap();
    for (ours, theirs) in parts.f64("prior").unwrap().iter().zip(get::<Vec<f64>>(&ways, "votes_prior")) {
        assert!((ours - theirs).abs() < 1e-8, "{ours} {theirs}");
    }
    // Votes that an annotator never gave have no entry there.
    let theirs: Vec<Vec<Option<f64>>> = get(&ways, "votes_errors");
    for (ours, theirs) in parts.f64("confusion").unwrap().iter().zip(theirs.iter().flatten()) {
        let Some(theirs) = theirs else { continue };
        assert!((ours - theirs).abs() < 1e-8, "{ours} {theirs}");
    }
    assert_eq!(theirs.iter().flatten().filter(|t| t.is_none()).count() % 3, 0);
    // As many rounds: one less, or one more, is elsewhere.
    let stops: u32 = get(&ways, "votes_rounds");
    let after =
        |rounds: u32| fit("dawid_skene", &json!({"rounds": rounds, "tolerance": 0.0}), &data).save().unwrap();
    assert_eq!(after(stops), parts);
    assert!(after(stops - 1) != parts && after(stops + 1) != parts);
}
