//! Differences between two predictors on the same rows.

use serde::{Deserialize, Serialize};

use super::interval::Interval;
use super::judge::judge;
use super::metric::Metric;
use super::resample::BootstrapSettings;
use crate::error::{Error, Result};
use crate::model::{Predictions, Target};

/// What an interval of a difference says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The candidate is better, and the interval does not hold zero.
    Gain,
    /// The candidate is worse, and the interval does not hold zero.
    Loss,
    /// The interval holds zero, or there is none.
    NoGain,
}

/// Candidate minus reference, in the unit of the metric: for a loss, below zero is better.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// Candidate minus reference.
    pub value: f64,
    /// The lower end of the paired percentile interval; `None` without resamples.
    pub low: Option<f64>,
    /// The upper end.
    pub high: Option<f64>,
    /// What that says.
    pub verdict: Verdict,
}

impl Difference {
    /// A difference with its interval.
    pub fn new(value: f64, interval: Option<Interval>, greater_is_better: bool) -> Self {
        let verdict = match interval {
            Some(i) if !i.holds_zero() && (i.low > 0.0) == greater_is_better => Verdict::Gain,
            Some(i) if !i.holds_zero() => Verdict::Loss,
            _ => Verdict::NoGain,
        };
        Self { value, low: interval.map(|i| i.low), high: interval.map(|i| i.high), verdict }
    }
}

/// The difference of one metric between a candidate and a reference, with the paired bootstrap interval: both are
/// scored on the same resamples. Settings and groups as in [`judge`].
///
/// # Errors
/// As [`judge`].
pub fn difference(
    metric: &dyn Metric,
    target: &Target,
    candidate: &Predictions,
    reference: &Predictions,
    group: Option<&[u64]>,
    weight: Option<&[f32]>,
    settings: &BootstrapSettings,
) -> Result<Difference> {
    let models = [("reference", reference), ("candidate", candidate)];
    let scores = judge(&[metric], target, &models, Some(0), group, weight, settings)?;
    let score = scores.into_iter().nth(1).and_then(|m| m.scores.into_iter().next());
    score
        .and_then(|s| s.against_reference)
        .ok_or_else(|| Error::internal("the judge gave no difference for the second of two models"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_follow_the_direction_of_the_metric() {
        let below = Some(Interval { low: -2.0, high: -1.0 });
        let across = Some(Interval { low: -2.0, high: 1.0 });
        assert_eq!(Difference::new(-1.5, below, false).verdict, Verdict::Gain);
        assert_eq!(Difference::new(-1.5, below, true).verdict, Verdict::Loss);
        assert_eq!(Difference::new(-0.5, across, true).verdict, Verdict::NoGain);
        assert_eq!(Difference::new(9.0, None, true).verdict, Verdict::NoGain);
        let text = serde_json::to_string(&Difference::new(-1.5, below, false)).unwrap();
        assert_eq!(text, r#"{"value":-1.5,"low":-2.0,"high":-1.0,"verdict":"gain"}"#);
    }
}
