//! The corrected resampled t test: whether two models differ over the folds of a cross-validation.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::interval::mean_and_deviation;
use super::metric::{Metric, Sample};
use super::resample::check_level;
use super::row_loss::matches;
use super::student_t::{two_sided, two_sided_quantile};
use crate::error::{Error, Result};
use crate::model::{Predictions, Target};

/// The mean difference over folds, with the corrected interval and test.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CorrectedT {
    /// Candidate minus reference, the mean over the folds.
    pub difference: f64,
    /// Its corrected standard error.
    pub standard_error: f64,
    /// The lower end of the interval.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// The two-sided chance of a mean at least as far from zero if there were no difference.
    pub p_value: f64,
    /// How many folds.
    pub folds: usize,
}

/// The corrected test of differences that `k` folds showed:
/// `t = mean / sqrt((1 / k + test_to_train) s^2)` with `k - 1` degrees of freedom, where `s^2` is the variance (`k - 1`)
/// of the differences and `test_to_train` the number of rows of a test part over that of a training part. Without the
/// second term the test takes the folds as independent, though their training parts overlap, and finds differences
/// that are not there.
///
/// # Errors
/// [`Error::Argument`] for a ratio that is not above zero or a level outside (0, 1); [`Error::Data`] for fewer than two folds,
/// differences that are not finite, or the same difference, not zero, in every fold.
///
/// # Reference
/// C. Nadeau, Y. Bengio, Inference for the generalization error, Machine Learning 52 (2003).
pub fn corrected_t(differences: &[f64], test_to_train: f64, level: f64) -> Result<CorrectedT> {
    check_level(level)?;
    if !test_to_train.is_finite() || test_to_train <= 0.0 {
        return Err(Error::argument("the ratio of test rows to training rows is not above zero")
            .at("test_to_train")
            .got(test_to_train));
    }
    if let Some(fold) = differences.iter().position(|d| !d.is_finite()) {
        return Err(Error::data("a difference is not finite")
            .at(format!("fold {fold}"))
            .got(differences[fold]));
    }
    let Some((mean, deviation)) = mean_and_deviation(differences) else {
        return Err(Error::data("the corrected t test needs two folds at least").got(differences.len()));
    };
    if deviation == 0.0 && mean != 0.0 {
        return Err(Error::data(
            "every fold shows the same difference, so that there is no spread to test by",
        )
        .got(mean));
    }
    let k = differences.len() as f64;
    let standard_error = deviation * (1.0 / k + test_to_train).sqrt();
    let half = two_sided_quantile(1.0 - level, k - 1.0) * standard_error;
    Ok(CorrectedT {
        difference: mean,
        standard_error,
        low: mean - half,
        high: mean + half,
        p_value: if standard_error > 0.0 { two_sided(mean / standard_error, k - 1.0) } else { 1.0 },
        folds: differences.len(),
    })
}

/// The test for out-of-fold predictions: `metric` is scored on each fold, on the rows that both predict. Folds are taken
/// as given; where rows have groups, no group may lie in two folds. The ratio is the mean over the folds of rows inside
/// to rows outside.
///
/// # Errors
/// As [`corrected_t`]; [`Error::Model`] if rows or classes differ; what the metric says of a fold, with its number.
pub fn corrected_t_over_folds(
    metric: &dyn Metric,
    target: &Target,
    candidate: &Predictions,
    reference: &Predictions,
    fold: &[u32],
    weight: Option<&[f32]>,
    level: f64,
) -> Result<CorrectedT> {
    matches(target, candidate)?;
    matches(target, reference)?;
    if fold.len() != target.len() || weight.is_some_and(|w| w.len() != target.len()) {
        return Err(Error::data("there is not one fold and one weight a row").expected(target.len()));
    }
    let mut folds: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (row, fold) in fold.iter().enumerate() {
        if !candidate.absent().is_set(row) && !reference.absent().is_set(row) {
            folds.entry(*fold).or_default().push(row);
        }
    }
    let all: usize = folds.values().map(Vec::len).sum();
    let mut differences = Vec::with_capacity(folds.len());
    let mut ratio = 0.0;
    for (number, rows) in &folds {
        let target = target.take(rows);
        let weight: Option<Vec<f32>> = weight.map(|w| rows.iter().map(|r| w[*r]).collect());
        let score = |predictions: &Predictions| {
            let output = predictions.take(rows).matrix();
            let sample = Sample::new(&target, output.view(), weight.as_deref());
            metric.score(&sample).map_err(|e| e.at(format!("fold {number}")))
        };
        differences.push(score(candidate)? - score(reference)?);
        // A single fold has nothing outside; the test refuses it below.
        ratio += rows.len() as f64 / (all - rows.len()).max(1) as f64 / folds.len() as f64;
    }
    corrected_t(&differences, ratio.max(f64::MIN_POSITIVE), level)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Mae;
    use crate::model::Mask;

    #[test]
    fn what_cannot_be_tested_is_refused() {
        assert_eq!(corrected_t(&[0.0, 0.0, 0.0], 0.5, 0.95).unwrap().p_value, 1.0);
        for (differences, ratio, level) in
            [(vec![0.1], 0.5, 0.95), (vec![0.1, 0.1], 0.5, 0.95), (vec![0.1, f64::NAN], 0.5, 0.95)]
        {
            assert!(matches!(corrected_t(&differences, ratio, level), Err(Error::Data(_))));
        }
        assert!(matches!(corrected_t(&[0.1, 0.2], 0.0, 0.95), Err(Error::Argument(_))));
        assert!(matches!(corrected_t(&[0.1, 0.2], 0.5, 1.0), Err(Error::Argument(_))));
    }

    #[test]
    fn folds_are_scored_one_by_one_on_the_rows_of_both() {
        let target = Target::Values(vec![0.0; 6]);
        let said = |v: [f32; 6], absent: usize| {
            let mask: Mask = (0..6).map(|r| r == absent).collect();
            Predictions::values((0..6).collect(), v.to_vec(), mask).unwrap()
        };
        // Fold 0: rows 0, 1, 4 without 4; fold 1: rows 2, 3, 5.
        let a = said([1.0, 3.0, 2.0, 2.0, 9.0, 2.0], 4);
        let b = said([1.0, 1.0, 1.0, 1.0, 1.0, 1.0], 9);
        let fold = [0, 0, 1, 1, 0, 1];
        let got = corrected_t_over_folds(&Mae, &target, &a, &b, &fold, None, 0.95);
        // Both folds differ by one.
        assert!(got.unwrap_err().to_string().contains("same difference"));
        let weight = [1.0, 3.0, 1.0, 1.0, 1.0, 1.0];
        let got = corrected_t_over_folds(&Mae, &target, &a, &b, &fold, Some(&weight), 0.95).unwrap();
        // 1.5 and 1; the ratio is (2/3 + 3/2) / 2.
        let want = corrected_t(&[1.5, 1.0], 13.0 / 12.0, 0.95).unwrap();
        assert!((got.difference - 1.25).abs() < 1e-12 && (got.p_value - want.p_value).abs() < 1e-12);
        assert!(corrected_t_over_folds(&Mae, &target, &a, &b, &[0; 6], None, 0.95).is_err());
    }
}
