//! Values of pinned peers (SciPy, scikit-learn): `testdata/golden/fuse.json`, made by `testdata/gen/fuse.py`.

use serde_json::Value;

use super::cases::said;
use super::evidence::Evidence;
use super::weighted::best_weights;
use crate::array::Matrix;
use crate::fuse::REGISTRY;
use crate::model::{Classes, Context, Honest, Mask, Origin, Predictions, Quiet, Stop, Target};
use crate::seed::Seed;

pub(super) fn golden() -> Value {
    serde_json::from_str(include_str!("../../../../testdata/golden/fuse.json")).unwrap()
}

pub(super) fn get<T: serde::de::DeserializeOwned>(golden: &Value, key: &str) -> T {
    serde_json::from_value(golden[key].clone()).unwrap()
}

/// Members `[member][row][column]` of classes or values, absent where `present` is zero.
pub(super) fn honest(members: &[Vec<Vec<f32>>], target: &Target, present: Option<&[Vec<u8>]>) -> Honest {
    let rows = target.len();
    let made = members.iter().enumerate().map(|(m, said)| {
        let matrix = Matrix::from_shape_fn((rows, said[0].len()), |(r, c)| said[r][c]);
        let absent: Mask = (0..rows).map(|r| present.is_some_and(|p| p[m][r] == 0)).collect();
        let ids = (0..rows as u64).collect();
        (
            format!("m{m}"),
            Predictions::for_task(ids, &target.task(), matrix, absent).unwrap(),
            Origin::OutOfFold,
        )
    });
    Honest::new(made.collect(), target.clone(), vec![0; rows], None, None).unwrap()
}

pub(super) fn classes(golden: &Value, masked: bool) -> Honest {
    let names = Classes::new(vec!["0".into(), "1".into(), "2".into()]).unwrap();
    let target = Target::Classes { classes: names, codes: get(golden, "y") };
    let present: Vec<Vec<u8>> = get(golden, "present");
    honest(&get::<Vec<Vec<Vec<f32>>>>(golden, "p"), &target, masked.then_some(&present))
}

pub(super) fn values(golden: &Value) -> Honest {
    honest(&single(&get::<Vec<Vec<f32>>>(golden, "values")), &Target::Values(get(golden, "truth")), None)
}

/// Values as rows of one column.
pub(super) fn single(flat: &[Vec<f32>]) -> Vec<Vec<Vec<f32>>> {
    flat.iter().map(|m| m.iter().map(|v| vec![*v]).collect()).collect()
}

#[test]
fn weights_are_those_of_sequential_quadratic_programming() {
    let golden = golden();
    for (data, weights, loss) in [
        (classes(&golden, false), "weights", "loss"),
        (classes(&golden, true), "masked_weights", "masked_loss"),
        (values(&golden), "value_weights", "value_loss"),
    ] {
        let evidence = Evidence::new(&data).unwrap();
        let best = best_weights(&evidence, Seed::new(1), &Stop::default()).unwrap();
        assert!(best.gap <= 1e-8, "{weights}: {best:?}");
        // The peer stops where its steps no longer matter: our loss may only be lower, its weights are near.
        let theirs: f64 = get(&golden, loss);
        assert!(
            best.value <= theirs + 1e-9 && best.value > theirs - 1e-6,
            "{weights}: {} {theirs}",
            best.value
        );
        for (ours, theirs) in best.weights.iter().zip(get::<Vec<f64>>(&golden, weights)) {
            assert!((ours - theirs).abs() < 2e-3, "{weights}: {best:?}");
        }
    }
}

#[test]
fn stacks_are_those_of_scikit_learn() {
    let golden = golden();
    let stop = Stop::default();
    let stacking = REGISTRY.build("stacking", &Value::Null).unwrap();
    let run = |data: &Honest| {
        let fused = stacking.fit(data, None, &Context::new(Seed::new(1), &Quiet, &stop)).unwrap();
        fused.fuse(&said(data), None).unwrap().matrix()
    };
    let theirs: Vec<Vec<f64>> = get(&golden, "stacking");
    // Both stop at a small gradient of a strongly convex loss; outputs are 32 bits.
    for (ours, theirs) in run(&classes(&golden, false)).rows().into_iter().zip(&theirs) {
        assert!(ours.iter().zip(theirs).all(|(a, b)| (f64::from(*a) - b).abs() < 1e-5), "{ours} {theirs:?}");
    }
    let theirs: Vec<f64> = get(&golden, "ridge");
    for (ours, theirs) in run(&values(&golden)).iter().zip(theirs) {
        assert!((f64::from(*ours) - theirs).abs() < 1e-4, "{ours} {theirs}");
    }
}

#[test]
fn a_greedy_selection_of_values_goes_from_the_best_member_to_the_optimum() {
    let data = values(&golden());
    let evidence = Evidence::new(&data).unwrap();
    let error = |weights: &[f64]| {
        let rows = 0..evidence.rows.len();
        let q =
            |r: usize| weights.iter().enumerate().map(|(m, w)| w * f64::from(evidence.at(m, r))).sum::<f64>();
        rows.map(|r| (f64::from(evidence.truth[r]) - q(r)).powi(2)).sum::<f64>() / evidence.rows.len() as f64
    };
    let stop = Stop::default();
    let fit = |name: &str, parameters: Value| {
        let fuser = REGISTRY.build(name, &parameters).unwrap();
        let fused = fuser.fit(&data, None, &Context::new(Seed::new(1), &Quiet, &stop)).unwrap();
        error(&fused.weights().unwrap())
    };
    // One step takes the best single member; many come near the optimum, which weights reach.
    let single = (0..4)
        .map(|m| error(&[0, 1, 2, 3].map(|i| f64::from(u8::from(i == m)))))
        .fold(f64::INFINITY, f64::min);
    assert!((fit("greedy", serde_json::json!({"steps": 1})) - single).abs() < 1e-12);
    let (greedy, optimum) = (fit("greedy", serde_json::json!({"steps": 100})), fit("weighted", Value::Null));
    assert!(
        greedy >= optimum - 1e-9 && greedy < optimum + 0.01 * (single - optimum),
        "{greedy} {optimum} {single}"
    );
}
