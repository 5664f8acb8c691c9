//! Percentile intervals.

use serde::{Deserialize, Serialize};

/// From `low` to `high`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

impl Interval {
    /// The part within bounds.
    #[must_use]
    pub fn within(self, bounds: (f64, f64)) -> Self {
        Self { low: self.low.max(bounds.0).min(bounds.1), high: self.high.min(bounds.1).max(bounds.0) }
    }

    /// Whether zero lies in it, ends included.
    pub fn holds_zero(&self) -> bool {
        self.low <= 0.0 && self.high >= 0.0
    }
}

/// The interval between the `(1 - level) / 2` and `(1 + level) / 2` quantiles of bootstrap values; `None` for none.
///
/// # Reference
/// B. Efron, R. J. Tibshirani, An introduction to the bootstrap, 1993, chapter 13.
pub fn percentile_interval(values: &[f64], level: f64) -> Option<Interval> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    Some(Interval {
        low: quantile(&sorted, (1.0 - level) / 2.0)?,
        high: quantile(&sorted, (1.0 + level) / 2.0)?,
    })
}

/// The quantile of sorted values, linear between neighbors: position `q (n - 1)`.
pub(super) fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    let position = q.clamp(0.0, 1.0) * (sorted.len().checked_sub(1)? as f64);
    let below = sorted.get(position.floor() as usize)?;
    let above = sorted.get(position.ceil() as usize)?;
    Some(below + (above - below) * position.fract())
}

/// The mean and the standard deviation (with `n - 1`); `None` for fewer than two values.
pub(super) fn mean_and_deviation(values: &[f64]) -> Option<(f64, f64)> {
    if values.len() < 2 {
        return None;
    }
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
    Some((mean, variance.sqrt()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_between_neighbors() {
        let values: Vec<f64> = (0..=100).rev().map(f64::from).collect();
        let i = percentile_interval(&values, 0.9).unwrap();
        assert!((i.low - 5.0).abs() < 1e-9 && (i.high - 95.0).abs() < 1e-9);
        assert_eq!(quantile(&[1.0, 2.0], 0.25), Some(1.25));
        assert_eq!(percentile_interval(&[], 0.9), None);
        assert_eq!(i.within((10.0, 20.0)), Interval { low: 10.0, high: 20.0 });
        assert!(Interval { low: -1.0, high: 0.0 }.holds_zero());
    }
}
