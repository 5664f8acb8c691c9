//! Values of pinned peers (scikit-learn, betacal, SciPy): `testdata/golden/calibrate.json`, made by
//! `testdata/gen/calibrate.py`.

use serde_json::{Value, json};

use super::REGISTRY;
use super::cases::said;
use crate::array::Matrix;
use crate::model::{Classes, Context, Fused, Honest, Mask, Origin, Predictions, Quiet, Stop, Target};
use crate::seed::Seed;

fn golden() -> Value {
    serde_json::from_str(include_str!("../../../../testdata/golden/calibrate.json")).unwrap()
}

fn get<T: serde::de::DeserializeOwned>(golden: &Value, key: &str) -> T {
    serde_json::from_value(golden[key].clone()).unwrap()
}

fn predictions(rows: &[Vec<f64>]) -> Predictions {
    let classes = Classes::new((0..rows[0].len()).map(|c| c.to_string()).collect()).unwrap();
    let p = Matrix::from_shape_fn((rows.len(), rows[0].len()), |(r, c)| rows[r][c] as f32);
    Predictions::probabilities((0..rows.len() as u64).collect(), classes, p, Mask::none(rows.len())).unwrap()
}

fn data(golden: &Value, key: &str) -> Honest {
    let p = predictions(&get::<Vec<Vec<f64>>>(golden, key));
    let classes = p.task().classes().unwrap().clone();
    let target = Target::Classes { classes, codes: get(golden, "y") };
    let weight: Vec<f32> = get(golden, "weight");
    let fold = vec![0; p.rows()];
    Honest::new(vec![("m".to_owned(), p, Origin::OutOfFold)], target, fold, None, Some(weight)).unwrap()
}

fn fit(name: &str, data: &Honest) -> Box<dyn Fused> {
    let settings = if name == "isotonic" { json!({"least": 1}) } else { Value::Null };
    let stop = Stop::default();
    let way = REGISTRY.build(name, &settings).unwrap();
    way.fit(data, None, &Context::new(Seed::new(1), &Quiet, &stop)).unwrap()
}

fn near(ours: &Matrix, theirs: &[Vec<f64>], within: f64) {
    for (ours, theirs) in ours.rows().into_iter().zip(theirs) {
        let far = ours.iter().zip(theirs).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max);
        assert!(far <= within, "{ours} {theirs:?}");
    }
}

#[test]
fn temperatures_are_those_of_scipy() {
    for key in ["two", "three"] {
        let golden = &golden()[key];
        let beta = fit("temperature", &data(golden, "p")).save().unwrap().f64("beta").unwrap()[0];
        // A minimum found from values of the function has half their digits.
        assert!((beta - get::<f64>(golden, "temperature")).abs() < 1e-6, "{key}: {beta}");
    }
}

#[test]
fn platt_and_beta_are_those_of_scikit_learn_and_betacal() {
    let golden = &golden()["two"];
    let data = data(golden, "p");
    for name in ["platt", "beta"] {
        let fused = fit(name, &data);
        let parts = fused.save().unwrap();
        // The peer is told the features of the same 32-bit probabilities and stops at a gradient of 1e-13.
        for (ours, theirs) in parts.f64("curve/1").unwrap().iter().zip(get::<Vec<f64>>(golden, name)) {
            assert!((ours - theirs).abs() < 1e-5, "{name}: {ours} {theirs}");
        }
        let p = fused.fuse(&said(&data), None).unwrap().matrix();
        let key = format!("{name}_said");
        let theirs: Vec<Vec<f64>> = match name {
            "platt" => get(golden, &key),
            _ => get::<Vec<f64>>(golden, &key).into_iter().map(|q| vec![1.0 - q, q]).collect(),
        };
        // These stop at a gradient of 1e-4 or so.
        near(&p, &theirs, 2e-3);
    }
}

#[test]
fn an_exponent_that_would_be_negative_is_zero() {
    let golden = &golden()["two"];
    let free: Vec<f64> = get(golden, "bent_free");
    assert!(free[1] < 0.0);
    let data = data(golden, "bent");
    let fused = fit("beta", &data);
    let parts = fused.save().unwrap();
    let numbers = parts.f64("curve/1").unwrap();
    assert!(numbers[0] > 0.0 && numbers[1] == 0.0, "{numbers:?}");
    let theirs: Vec<Vec<f64>> =
        get::<Vec<f64>>(golden, "bent_said").into_iter().map(|q| vec![1.0 - q, q]).collect();
    near(&fused.fuse(&said(&data), None).unwrap().matrix(), &theirs, 2e-3);
}

#[test]
fn isotonic_curves_are_those_of_scikit_learn() {
    let golden = golden();
    for key in ["two", "three"] {
        let data = data(&golden[key], "p");
        let p = fit("isotonic", &data).fuse(&said(&data), None).unwrap().matrix();
        near(&p, &get::<Vec<Vec<f64>>>(&golden[key], "isotonic_said"), 1e-6);
    }
    // Between the blocks and outside.
    let golden = &golden["two"];
    let rows: Vec<Vec<f64>> =
        (0..40).map(|i| 0.002 + 0.996 / 39.0 * f64::from(i)).map(|p| vec![1.0 - p, p]).collect();
    let p = fit("isotonic", &data(golden, "p")).fuse(&[predictions(&rows)], None).unwrap().matrix();
    near(&p, &get::<Vec<Vec<f64>>>(golden, "isotonic_new"), 1e-4);
}

#[test]
fn several_classes_are_one_against_the_rest() {
    let golden = &golden()["three"];
    let data = data(golden, "p");
    let p = fit("platt", &data).fuse(&said(&data), None).unwrap().matrix();
    near(&p, &get::<Vec<Vec<f64>>>(golden, "platt_said"), 2e-3);
}
