//! DeLong's intervals and test for the area under the ROC curve.

use serde::{Deserialize, Serialize};

use super::normal::{cdf, quantile};
use super::resample::check_level;
use super::row_loss::matches;
use crate::error::{Error, Result};
use crate::model::{Predictions, Target};

/// An area under the ROC curve with its normal interval.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AucInterval {
    /// The area.
    pub value: f64,
    /// Its standard error.
    pub standard_error: f64,
    /// The lower end, not below 0.
    pub low: f64,
    /// The upper end, not above 1.
    pub high: f64,
    /// How many rows.
    pub rows: usize,
}

/// The difference of two areas under the ROC curve on the same rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Delong {
    /// The candidate's area.
    pub candidate: f64,
    /// The reference's area.
    pub reference: f64,
    /// Candidate minus reference.
    pub difference: f64,
    /// The standard error of the difference.
    pub standard_error: f64,
    /// The lower end of the normal interval.
    pub low: f64,
    /// The upper end of the normal interval.
    pub high: f64,
    /// The two-sided chance of a difference at least as great if there were none; 1 where the two rank alike.
    pub p_value: f64,
    /// Rows that both predict.
    pub rows: usize,
}

/// The area under the ROC curve of the second of two classes with DeLong's interval. Rows are taken as independent and
/// have no weights: where there are groups, use the bootstrap.
///
/// # Errors
/// [`Error::Argument`] for anything but two classes; [`Error::Model`] if rows or classes differ; [`Error::Data`] if a
/// class has fewer than two rows.
///
/// # Reference
/// E. R. DeLong, D. M. DeLong, D. L. Clarke-Pearson, Comparing the areas under two or more correlated receiver operating
/// characteristic curves: a nonparametric approach, Biometrics 44 (1988); X. Sun, W. Xu, Fast implementation of DeLong's
/// algorithm, IEEE Signal Processing Letters 21 (2014).
pub fn auc_interval(target: &Target, predictions: &Predictions, level: f64) -> Result<AucInterval> {
    let (parts, rows) = placements(target, &[predictions], level)?;
    let p = parts.first().ok_or_else(|| Error::internal("no placements"))?;
    let error = variance(&p.positives, &p.negatives).sqrt();
    let half = quantile((1.0 + level) / 2.0) * error;
    Ok(AucInterval {
        value: p.area,
        standard_error: error,
        low: (p.area - half).max(0.0),
        high: (p.area + half).min(1.0),
        rows,
    })
}

/// DeLong's test of the difference between two areas, on the rows that both predict. Conditions as in
/// [`auc_interval`].
///
/// # Errors
/// As [`auc_interval`].
pub fn delong(
    target: &Target,
    candidate: &Predictions,
    reference: &Predictions,
    level: f64,
) -> Result<Delong> {
    let (parts, rows) = placements(target, &[candidate, reference], level)?;
    let [a, b] = parts.as_slice() else { return Err(Error::internal("no placements")) };
    let minus = |x: &[f64], y: &[f64]| -> Vec<f64> { x.iter().zip(y).map(|(x, y)| x - y).collect() };
    let error = variance(&minus(&a.positives, &b.positives), &minus(&a.negatives, &b.negatives)).sqrt();
    let difference = a.area - b.area;
    let half = quantile((1.0 + level) / 2.0) * error;
    let p_value = if error > 0.0 { 2.0 * cdf(-difference.abs() / error) } else { 1.0 };
    Ok(Delong {
        candidate: a.area,
        reference: b.area,
        difference,
        standard_error: error,
        low: difference - half,
        high: difference + half,
        p_value,
        rows,
    })
}

/// For each positive the share of negatives below it, for each negative the share of positives above it.
struct Placements {
    area: f64,
    positives: Vec<f64>,
    negatives: Vec<f64>,
}

/// The placements of each predictor on the rows that all predict, and how many these are.
fn placements(target: &Target, predictions: &[&Predictions], level: f64) -> Result<(Vec<Placements>, usize)> {
    check_level(level)?;
    let (classes, codes) = target.codes()?;
    if classes.count() != 2 {
        return Err(Error::argument("DeLong's test is for two classes").got(classes.count()));
    }
    for p in predictions {
        matches(target, p)?;
    }
    let rows: Vec<usize> =
        (0..codes.len()).filter(|r| !predictions.iter().any(|p| p.absent().is_set(*r))).collect();
    let ones = rows.iter().filter(|r| codes[**r] == 1).count();
    if ones < 2 || rows.len() - ones < 2 {
        return Err(Error::data("DeLong's test needs two rows of each class")
            .got(format!("{} and {ones}", rows.len() - ones)));
    }
    let one = |p: &&Predictions| -> Result<Placements> {
        let p = p.p()?;
        let of = |class: u32| -> Vec<f32> {
            rows.iter().filter(|r| codes[**r] == class).map(|r| p[[*r, 1]]).collect()
        };
        let (zero, one) = (of(0), of(1));
        let (zeros, ones) = (sorted(&zero), sorted(&one));
        let positives: Vec<f64> = one.iter().map(|s| below(&zeros, *s)).collect();
        let negatives: Vec<f64> = zero.iter().map(|s| 1.0 - below(&ones, *s)).collect();
        Ok(Placements { area: positives.iter().sum::<f64>() / positives.len() as f64, positives, negatives })
    };
    let parts: Result<Vec<Placements>> = predictions.iter().map(one).collect();
    Ok((parts?, rows.len()))
}

fn sorted(scores: &[f32]) -> Vec<f32> {
    let mut scores = scores.to_vec();
    scores.sort_by(f32::total_cmp);
    scores
}

/// The share of sorted scores below `score`, ties counted as one half.
fn below(sorted: &[f32], score: f32) -> f64 {
    let less = sorted.partition_point(|s| *s < score);
    let not_more = sorted.partition_point(|s| *s <= score);
    (less + not_more) as f64 / 2.0 / sorted.len() as f64
}

/// `var(positives) / m + var(negatives) / n`.
fn variance(positives: &[f64], negatives: &[f64]) -> f64 {
    let part = |x: &[f64]| {
        let n = x.len() as f64;
        let mean = x.iter().sum::<f64>() / n;
        x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0) / n
    };
    part(positives) + part(negatives)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::array::Matrix;
    use crate::model::{Classes, Mask};

    fn predictions(classes: &Classes, p: &[f32]) -> Predictions {
        let ids = (0..p.len() as u64).collect();
        let m = Matrix::from_shape_fn((p.len(), 2), |(r, k)| if k == 1 { p[r] } else { 1.0 - p[r] });
        Predictions::probabilities(ids, classes.clone(), m, Mask::none(p.len())).unwrap()
    }

    #[test]
    fn one_who_ranks_alike_differs_by_nothing() {
        let classes = Classes::new(vec!["a".into(), "b".into()]).unwrap();
        let target = Target::Classes { classes: classes.clone(), codes: vec![0, 1, 0, 1, 0] };
        let p = predictions(&classes, &[0.1, 0.8, 0.3, 0.3, 0.9]);
        let q = predictions(&classes, &[0.2, 0.7, 0.4, 0.4, 0.75]);
        let d = delong(&target, &p, &q, 0.95).unwrap();
        assert_eq!((d.difference, d.standard_error, d.p_value), (0.0, 0.0, 1.0));
        // Pairs: (.8 > .1, .3; < .9), (.3 > .1, = .3, < .9): 3.5 of 6.
        assert!((d.candidate - 3.5 / 6.0).abs() < 1e-12);
        let few = Target::Classes { classes, codes: vec![0, 1, 0, 0, 0] };
        assert!(auc_interval(&few, &p, 0.95).is_err());
        assert!(auc_interval(&target, &p, 1.5).is_err());
    }
}
