//! What every metric promises, over the whole list.

use rand::RngExt;

use super::*;
use crate::array::Matrix;
use crate::model::{Classes, Target};
use crate::seed::Seed;

fn classification(rows: usize, k: usize) -> (Target, Matrix) {
    let mut rng = Seed::new(11).item(k as u64).rng();
    let classes = Classes::new((0..k).map(|c| format!("c{c}")).collect()).unwrap();
    let codes: Vec<u32> = (0..rows).map(|r| (r % k) as u32).collect();
    let mut p = Matrix::from_shape_fn((rows, k), |(r, c)| {
        (rng.random_range(1..8) + if codes[r] as usize == c { 3 } else { 0 }) as f32
    });
    for mut row in p.rows_mut() {
        let sum = row.sum();
        row /= sum;
    }
    (Target::Classes { classes, codes }, p)
}

fn regression(rows: usize) -> (Target, Matrix) {
    let mut rng = Seed::new(12).rng();
    let y: Vec<f32> = (0..rows).map(|_| rng.random_range(-2.0f32..5.0)).collect();
    let f = Matrix::from_shape_fn((rows, 1), |(r, _)| y[r] + rng.random_range(-1.0f32..1.0));
    (Target::Values(y), f)
}

fn samples() -> Vec<(Target, Matrix)> {
    vec![classification(40, 2), classification(60, 4), regression(50)]
}

fn repeated(counts: &[u32]) -> Vec<usize> {
    counts.iter().enumerate().flat_map(|(r, c)| std::iter::repeat_n(r, *c as usize)).collect()
}

#[test]
fn names_are_found_once_and_every_task_has_metrics() {
    for metric in ALL {
        assert_eq!(get(metric.name()).unwrap().name(), metric.name());
        assert!(!metric.about().is_empty());
    }
    let names = |t: &Target| -> Vec<&str> { default_reports(&t.task()).iter().map(|m| m.name()).collect() };
    let all = samples();
    let two = "log_loss accuracy balanced_accuracy auc pr_auc ks brier ece macro_f1";
    assert_eq!(names(&all[0].0).join(" "), two);
    assert_eq!(names(&all[1].0).join(" "), two.replace(" ks", ""));
    assert_eq!(names(&all[2].0), ["rmse", "mae", "r2"]);
}

#[test]
fn a_count_is_a_copy_of_the_row_and_a_weight_is_a_count() {
    for (target, output) in samples() {
        let rows = target.len();
        let counts: Vec<u32> = (0..rows).map(|r| [1, 2, 0, 3, 1][r % 5]).collect();
        let copies = repeated(&counts);
        let draw =
            Draw { counts: counts.iter().map(|c| f64::from(*c)).collect(), total: copies.len() as f64 };
        let weight: Vec<f32> = counts.iter().map(|c| *c as f32).collect();
        let (copied, copied_output) = (target.take(&copies), output.select(ndarray::Axis(0), &copies));
        for metric in default_reports(&target.task()) {
            let copied = Sample::new(&copied, copied_output.view(), None);
            let weighted = Sample::new(&target, output.view(), Some(&weight));
            let plain = |s: &Sample<'_>| metric.plain(s).unwrap().unwrap_or_else(|| metric.score(s).unwrap());
            let want = plain(&copied);
            assert!((plain(&weighted) - want).abs() < 1e-12, "{}", metric.name());
            if !["ks", "ece"].contains(&metric.name()) {
                let prepared = metric.prepare(&Sample::new(&target, output.view(), None)).unwrap();
                assert!((prepared.value(&draw).unwrap() - want).abs() < 1e-12, "{}", metric.name());
            }
        }
    }
}

#[test]
fn weights_of_one_size_change_nothing_and_scores_lie_within_bounds() {
    for (target, output) in samples() {
        let weight = vec![2.5f32; target.len()];
        for metric in default_reports(&target.task()) {
            let bare = metric.score(&Sample::new(&target, output.view(), None)).unwrap();
            let even = metric.score(&Sample::new(&target, output.view(), Some(&weight))).unwrap();
            assert!((bare - even).abs() < 1e-12, "{}: {bare} {even}", metric.name());
            let (low, high) = metric.bounds();
            assert!((low..=high).contains(&bare), "{}: {bare}", metric.name());
        }
    }
}

#[test]
fn perfect_predictions_have_the_best_score() {
    for (target, output) in samples() {
        let perfect = match &target {
            Target::Classes { codes, .. } => {
                Matrix::from_shape_fn(output.dim(), |(r, c)| if codes[r] as usize == c { 1.0 } else { 0.0 })
            }
            Target::Values(v) => Matrix::from_shape_fn(output.dim(), |(r, _)| v[r]),
        };
        for metric in default_reports(&target.task()) {
            let best = if metric.greater_is_better() { 1.0 } else { 0.0 };
            let score = metric.score(&Sample::new(&target, perfect.view(), None)).unwrap();
            assert_eq!(score, best, "{}", metric.name());
        }
    }
}

#[test]
fn what_cannot_be_scored_is_a_typed_error() {
    for (target, output) in samples() {
        let rows = target.len();
        for metric in ALL {
            let score =
                |t: &Target, o: &Matrix, w: Option<&[f32]>| metric.score(&Sample::new(t, o.view(), w));
            if !metric.suits(&target.task()) {
                let error = score(&target, &output, None).unwrap_err();
                assert_eq!(error.exit_code(), 2, "{error}");
                continue;
            }
            let mut nan = output.clone();
            nan[[1, 0]] = f32::NAN;
            let error = score(&target, &nan, None).unwrap_err().to_string();
            assert!(error.starts_with(metric.name()) && error.contains("row 1, column 0"), "{error}");
            assert!(score(&target.take(&[]), &output, None).is_err());
            assert!(score(&target.take(&[0, 1]), &output, None).is_err());
            for bad in [vec![1.0; rows - 1], vec![f32::NAN; rows], vec![-1.0; rows], vec![0.0; rows]] {
                assert_eq!(score(&target, &output, Some(&bad)).unwrap_err().exit_code(), 3);
            }
            let broken = match &target {
                Target::Classes { classes, codes } => {
                    let codes = codes.iter().map(|c| c + 9).collect();
                    Target::Classes { classes: classes.clone(), codes }
                }
                Target::Values(v) => Target::Values(v.iter().map(|_| f32::INFINITY).collect()),
            };
            assert!(score(&broken, &output, None).is_err());
        }
    }
}

#[test]
fn ranks_need_two_classes_and_r2_needs_spread() {
    let (target, output) = classification(40, 2);
    let evens: Vec<usize> = (0..40).step_by(2).collect();
    let (one, part) = (target.take(&evens), output.select(ndarray::Axis(0), &evens));
    for name in ["auc", "pr_auc", "ks"] {
        let error = get(name).unwrap().score(&Sample::new(&one, part.view(), None)).unwrap_err().to_string();
        assert!(error.contains("only one class"), "{error}");
    }
    for name in ["log_loss", "accuracy", "balanced_accuracy", "macro_f1", "ece", "brier"] {
        assert!(get(name).unwrap().score(&Sample::new(&one, part.view(), None)).is_ok());
    }
    let constant = Target::Values(vec![0.1; 50]);
    let error = R2.score(&Sample::new(&constant, regression(50).1.view(), None)).unwrap_err().to_string();
    assert!(error.contains("same on every row"), "{error}");
}
