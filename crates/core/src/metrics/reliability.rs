//! The reliability diagram: how often the decided class is right, by how sure the model says it is.

use serde::{Deserialize, Serialize};

use super::decisions::top;
use super::metric::Sample;
use super::normal::{pdf, quantile};
use crate::error::{Error, Result};
use crate::model::Target;

/// How many bins of equal width the top probability is put into.
pub const BINS: usize = 15;

/// One bin of a reliability diagram: rows whose top probability lies in `(low, high]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReliabilityBin {
    /// Where it begins, exclusive (the first bin holds 0).
    pub low: f64,
    /// Where it ends, inclusive.
    pub high: f64,
    /// How many rows it holds.
    pub rows: usize,
    /// Their share of all weight.
    pub share: f64,
    /// The mean top probability; `None` for an empty bin.
    pub confidence: Option<f64>,
    /// The share of rows decided right; `None` for an empty bin.
    pub accuracy: Option<f64>,
    /// Wilson's 95% interval of the accuracy; `None` for an empty bin.
    pub accuracy_interval: Option<(f64, f64)>,
}

/// A reliability diagram with the expected calibration error.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reliability {
    /// [`BINS`] bins from 0 to 1.
    pub bins: Vec<ReliabilityBin>,
    /// `sum_b share_b |accuracy_b - confidence_b|`, which is too high for few rows.
    pub ece: f64,
    /// The same without that bias; see [`Ece`](super::Ece).
    pub ece_debiased: f64,
    /// How many rows.
    pub rows: usize,
}

impl Reliability {
    /// Puts the rows of a classification into bins.
    ///
    /// # Errors
    /// As [`Sample::check`]; [`Error::Argument`] for values.
    pub fn new(sample: &Sample<'_>) -> Result<Self> {
        sample.check()?;
        let binned = Binned::new(sample)?;
        let bins = binned.bins.iter().enumerate().map(|(b, sums)| sums.shown(b, binned.total)).collect();
        Ok(Self { bins, ece: binned.plain(), ece_debiased: binned.debiased(), rows: sample.rows() })
    }
}

/// Weighted sums of one bin.
#[derive(Clone, Copy, Default)]
struct Sums {
    rows: usize,
    weight: f64,
    squared_weight: f64,
    confidence: f64,
    right: f64,
    /// `sum w^2 p (1 - p)`: the variance of `right` if the probabilities are true.
    variance: f64,
}

impl Sums {
    /// Confidence minus accuracy.
    fn gap(&self) -> f64 {
        if self.weight > 0.0 { (self.confidence - self.right) / self.weight } else { 0.0 }
    }

    fn shown(&self, bin: usize, total: f64) -> ReliabilityBin {
        let filled = self.weight > 0.0;
        ReliabilityBin {
            low: bin as f64 / BINS as f64,
            high: (bin + 1) as f64 / BINS as f64,
            rows: self.rows,
            share: self.weight / total,
            confidence: filled.then(|| self.confidence / self.weight),
            accuracy: filled.then(|| self.right / self.weight),
            accuracy_interval: filled
                .then(|| wilson(self.right / self.weight, self.weight.powi(2) / self.squared_weight)),
        }
    }
}

/// Wilson's 95% interval of a share among `n` rows.
fn wilson(share: f64, n: f64) -> (f64, f64) {
    let z = quantile(0.975);
    let middle = (share + z * z / (2.0 * n)) / (1.0 + z * z / n);
    let half = z / (1.0 + z * z / n) * (share * (1.0 - share) / n + z * z / (4.0 * n * n)).sqrt();
    ((middle - half).max(0.0), (middle + half).min(1.0))
}

/// Rows in bins of top probability.
pub(super) struct Binned {
    bins: [Sums; BINS],
    total: f64,
    /// The bin of each row, and its top probability minus one if it is right.
    rows: Vec<(usize, f64)>,
}

impl Binned {
    pub(super) fn new(sample: &Sample<'_>) -> Result<Self> {
        let Target::Classes { codes, .. } = sample.target else {
            return Err(Error::argument("calibration is about classes").got("values (task: regress)"));
        };
        let mut out =
            Self { bins: [Sums::default(); BINS], total: 0.0, rows: Vec::with_capacity(codes.len()) };
        for (r, (code, (decided, p))) in codes.iter().zip(top(sample)).enumerate() {
            let p = f64::from(p).clamp(0.0, 1.0);
            let w = sample.weight.map_or(1.0, |w| f64::from(w[r]));
            let right = if decided == *code { 1.0 } else { 0.0 };
            let bin = ((p * BINS as f64).ceil() as usize).clamp(1, BINS) - 1;
            let sums = &mut out.bins[bin];
            sums.rows += 1;
            sums.weight += w;
            sums.squared_weight += w * w;
            sums.confidence += w * p;
            sums.right += w * right;
            sums.variance += w * w * p * (1.0 - p);
            out.total += w;
            out.rows.push((bin, p - right));
        }
        Ok(out)
    }

    /// The expected calibration error as it is usually computed.
    pub(super) fn plain(&self) -> f64 {
        self.bins.iter().map(|b| b.weight / self.total * b.gap().abs()).sum()
    }

    /// Without the bias that comes from taking absolute values of noise.
    pub(super) fn debiased(&self) -> f64 {
        let corrected = |b: &Sums| {
            let (gap, deviation) = (b.gap().abs(), b.variance.sqrt() / b.weight);
            if deviation > 0.0 { gap - 2.0 * deviation * pdf(gap / deviation) } else { gap }
        };
        let filled = self.bins.iter().filter(|b| b.weight > 0.0);
        filled.map(|b| b.weight / self.total * corrected(b)).sum::<f64>().max(0.0)
    }

    /// What each row adds to the plain error, the sign of every bin's gap taken as it is.
    pub(super) fn signed(&self) -> Vec<f64> {
        self.rows.iter().map(|(bin, residual)| residual * self.bins[*bin].gap().signum()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::array::Matrix;
    use crate::model::Classes;

    #[test]
    fn bins_hold_their_rows_and_edges_belong_to_the_lower_one() {
        let classes = Classes::new(vec!["a".into(), "b".into()]).unwrap();
        let p = Matrix::from_shape_vec((4, 2), vec![1.0, 0.0, 0.0, 1.0, 0.5, 0.5, 0.25, 0.75]).unwrap();
        let target = Target::Classes { classes, codes: vec![0, 0, 0, 1] };
        let r = Reliability::new(&Sample::new(&target, p.view(), None)).unwrap();
        let rows: Vec<usize> = r.bins.iter().map(|b| b.rows).collect();
        assert_eq!(rows, [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 2]);
        assert_eq!(r.bins[14].accuracy, Some(0.5));
        assert_eq!(r.bins[14].confidence, Some(1.0));
        assert_eq!(r.bins[0].accuracy, None);
        let (low, high) = r.bins[14].accuracy_interval.unwrap();
        assert!((low - 0.094_531_2).abs() < 1e-6 && (high - 0.905_468_8).abs() < 1e-6, "{low} {high}");
        assert!((r.ece - (2.0 * 0.5 + 0.5 + 0.25) / 4.0).abs() < 1e-12);
        let text = serde_json::to_string(&r).unwrap();
        assert_eq!(serde_json::from_str::<Reliability>(&text).unwrap(), r);
    }
}
