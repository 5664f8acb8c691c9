//! The same answers as scikit-learn on small rows: `testdata/gen/learners.py` makes the file and names the version.

use serde::Deserialize;
use serde_json::Value;

use super::REGISTRY;
use crate::array::Matrix;
use crate::model::{Classes, Context, Quiet, Stop, Target};
use crate::seed::Seed;

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    learner: String,
    parameters: Value,
    classes: usize,
    x: Vec<Vec<f32>>,
    y: Vec<f32>,
    weight: Option<Vec<f32>>,
    judge: Vec<Vec<f32>>,
    expected: Vec<Vec<f64>>,
}

fn matrix(rows: &[Vec<f32>]) -> Matrix {
    Matrix::from_shape_fn((rows.len(), rows[0].len()), |(r, c)| rows[r][c])
}

/// Outputs are 32-bit floats: probabilities carry about 6e-8, and the two minimisers of the logistic loss end within
/// 1e-6 of each other; values carry about 1e-6 of their size.
#[test]
fn answers_are_those_of_the_peer() {
    let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/golden/learners.json"));
    let golden: Golden = serde_json::from_str(text).unwrap();
    assert_eq!(golden.cases.len(), 13);
    for (i, case) in golden.cases.iter().enumerate() {
        let target = if case.classes == 0 {
            Target::Values(case.y.clone())
        } else {
            let classes = Classes::new((0..case.classes).map(|c| c.to_string()).collect()).unwrap();
            Target::Classes { classes, codes: case.y.iter().map(|v| *v as u32).collect() }
        };
        let learner = REGISTRY.build(&case.learner, &case.parameters).unwrap();
        let stop = Stop::default();
        let context = Context::new(Seed::new(1), &Quiet, &stop);
        let fitted = learner.fit(matrix(&case.x).view(), &target, case.weight.as_deref(), &context).unwrap();
        let got = fitted.predict(matrix(&case.judge).view()).unwrap();
        assert_eq!(got.nrows(), case.expected.len());
        for (r, want) in case.expected.iter().enumerate() {
            assert_eq!(want.len(), got.ncols());
            for (c, want) in want.iter().enumerate() {
                let tolerance = if case.classes == 0 { 2e-6 * want.abs() } else { 2e-6 };
                let got = f64::from(got[[r, c]]);
                assert!(
                    (got - want).abs() <= tolerance,
                    "case {i}, {} {}: row {r}, column {c}: {got}, peer {want}",
                    case.learner,
                    case.parameters
                );
            }
        }
    }
}
