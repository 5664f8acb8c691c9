//! Every metric against scikit-learn, SciPy and NumPy (versions in the file).

use serde_json::Value;

use super::*;
use crate::array::Matrix;
use crate::model::{Classes, Mask, Predictions, Target};

/// Both sides compute in 64 bits on inputs that are exact in 32; only the order of sums differs.
const TOLERANCE: f64 = 1e-12;

fn golden() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/golden/metrics.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

fn sixty_fourths(value: &Value, width: usize) -> Matrix {
    let values: Vec<f32> = numbers(value).iter().map(|v| (v / 64.0) as f32).collect();
    Matrix::from_shape_vec((values.len() / width, width), values).unwrap()
}

fn classes_of(k: usize) -> Classes {
    Classes::new((0..k).map(|c| c.to_string()).collect()).unwrap()
}

fn target(value: &Value, k: usize) -> Target {
    let values = numbers(value);
    match k {
        0 => Target::Values(values.iter().map(|v| *v as f32).collect()),
        _ => Target::Classes { classes: classes_of(k), codes: values.iter().map(|v| *v as u32).collect() },
    }
}

#[test]
fn scores_are_those_of_the_peers() {
    let golden = golden();
    let mut compared = 0;
    for case in golden["cases"].as_array().unwrap() {
        let k = case["classes"].as_u64().unwrap() as usize;
        let target = target(&case["target"], k);
        let output = sixty_fourths(&case["output"], k.max(1));
        let weight: Vec<f32> = numbers(&case["weight"]).iter().map(|w| *w as f32).collect();
        for (key, weight) in [("scores", None), ("weighted", Some(&weight[..]))] {
            let sample = Sample::new(&target, output.view(), weight);
            for (name, want) in case[key].as_object().unwrap() {
                let want = want.as_f64().unwrap();
                let got = match name.strip_suffix("_plain") {
                    Some(name) => get(name).unwrap().plain(&sample).unwrap().unwrap(),
                    None => get(name).unwrap().score(&sample).unwrap(),
                };
                // The peer of the debiased error is a numerical integral.
                let tolerance = if name == "ece" { 1e-9 } else { TOLERANCE };
                assert!((got - want).abs() < tolerance, "{} {key} {name}: {got} {want}", case["name"]);
                compared += 1;
            }
        }
    }
    assert_eq!(compared, 2 * (10 + 9 + 3));
}

#[test]
fn paired_tests_are_those_of_the_peers() {
    let golden = golden();
    let paired = &golden["paired"];
    let target = target(&paired["target"], 2);
    let predictions = |key: &str| {
        let p = sixty_fourths(&paired[key], 2);
        let rows = p.nrows();
        Predictions::probabilities((0..rows as u64).collect(), classes_of(2), p, Mask::none(rows)).unwrap()
    };
    let (candidate, reference) = (predictions("candidate"), predictions("reference"));
    let want = &paired["delong"];
    let got = serde_json::to_value(delong(&target, &candidate, &reference, 0.95).unwrap()).unwrap();
    for name in ["candidate", "reference", "difference", "standard_error", "low", "high", "p_value"] {
        let (got, want) = (got[name].as_f64().unwrap(), want[name].as_f64().unwrap());
        assert!((got - want).abs() < TOLERANCE, "{name}: {got} {want}");
    }
    let one = auc_interval(&target, &candidate, 0.95).unwrap();
    assert!((one.standard_error - want["one_standard_error"].as_f64().unwrap()).abs() < TOLERANCE);
    let (got, want) = (mcnemar(&target, &candidate, &reference).unwrap(), &paired["mcnemar"]);
    assert_eq!(got.candidate_only as u64, want["candidate_only"].as_u64().unwrap());
    assert_eq!(got.reference_only as u64, want["reference_only"].as_u64().unwrap());
    assert!((got.p_value - want["p_value"].as_f64().unwrap()).abs() < TOLERANCE, "{got:?}");
}

#[test]
fn the_tests_behind_a_verdict_are_those_of_the_peers() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/golden/verdicts.json");
    let golden: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let list = |key: &str| golden[key].as_array().unwrap();
    let near = |got: f64, want: &Value, what: &str| {
        let want = want.as_f64().unwrap();
        assert!((got - want).abs() <= TOLERANCE * want.abs().max(1e-3), "{what}: {got} {want}");
    };
    for case in list("student_t") {
        let (t, degrees) = (case["t"].as_f64().unwrap(), case["degrees"].as_f64().unwrap());
        near(student_t::two_sided(t, degrees), &case["two_sided"], "two-sided t");
        near(student_t::cdf(t, degrees), &case["cdf"], "t");
    }
    for case in list("quantiles") {
        let (p, degrees) = (case["p"].as_f64().unwrap(), case["degrees"].as_f64().unwrap());
        near(student_t::two_sided_quantile(p, degrees), &case["t"], "quantile of t");
    }
    for case in list("corrected_t") {
        let ratio = case["ratio"].as_f64().unwrap();
        let got = corrected_t(&numbers(&case["differences"]), ratio, 0.95).unwrap();
        let got = serde_json::to_value(got).unwrap();
        for key in ["difference", "standard_error", "low", "high", "p_value"] {
            near(got[key].as_f64().unwrap(), &case[key], key);
        }
    }
    for case in list("mcnemar") {
        let (few, n) = (case["few"].as_u64().unwrap() as usize, case["n"].as_u64().unwrap() as usize);
        near(mcnemar::two_sided(few, n), &case["p_value"], "exact");
        near(mcnemar::mid_p(few, n), &case["mid_p_value"], "mid-p");
    }
    let case = &golden["max_t"];
    let draws: Vec<Vec<f64>> = case["draws"].as_array().unwrap().iter().map(numbers).collect();
    let got = max_t_p_values(&numbers(&case["differences"]), &draws).unwrap();
    for (got, want) in got.iter().zip(case["p_values"].as_array().unwrap()) {
        near(*got, want, "max-t");
    }
}
