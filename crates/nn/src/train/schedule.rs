//! How the rate changes over the steps.

use std::f64::consts::PI;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the rate changes over the steps of all epochs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// Stays as it is.
    Constant,
    /// Falls from the full rate towards zero along half a cosine.
    Cosine,
    /// Rises from 1/25 of the rate over the first 30 % of the steps, then falls to 1/250000 of it; both along half a
    /// cosine.
    OneCycle,
    /// Rises evenly over the first 10 % of the steps, then stays.
    WarmUp,
}

impl Schedule {
    /// The share of the rate at step `step` (from 0) of `total`.
    ///
    /// # Reference
    /// Loshchilov and Hutter (2017), "SGDR" (cosine); Smith and Topin (2018), "Super-convergence" (one cycle).
    pub fn factor(self, step: u64, total: u64) -> f64 {
        let (t, n) = (step as f64, total.max(1) as f64);
        // From a to b along half a cosine as p goes from 0 to 1.
        let between = |a: f64, b: f64, p: f64| b + (a - b) * (1.0 + (PI * p.clamp(0.0, 1.0)).cos()) / 2.0;
        match self {
            Self::Constant => 1.0,
            Self::Cosine => between(1.0, 0.0, t / n),
            Self::OneCycle => {
                let (low, least) = (1.0 / 25.0, 1.0 / 250_000.0);
                let top = 0.3 * n - 1.0;
                let last = n - 1.0;
                if t <= top {
                    between(low, 1.0, t / top)
                } else if last > top {
                    between(1.0, least, (t - top) / (last - top))
                } else {
                    1.0
                }
            }
            Self::WarmUp => ((t + 1.0) / (n / 10.0).ceil()).min(1.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_start_peak_and_end_where_they_should() {
        assert_eq!(Schedule::Constant.factor(7, 10), 1.0);
        assert_eq!(Schedule::Cosine.factor(0, 10), 1.0);
        assert!((Schedule::Cosine.factor(5, 10) - 0.5).abs() < 1e-12);
        assert!((Schedule::OneCycle.factor(0, 100) - 0.04).abs() < 1e-12);
        assert!((Schedule::OneCycle.factor(29, 100) - 1.0).abs() < 1e-12);
        assert!((Schedule::OneCycle.factor(99, 100) - 4e-6).abs() < 1e-12);
        assert_eq!(Schedule::WarmUp.factor(0, 100), 0.1);
        assert_eq!(Schedule::WarmUp.factor(9, 100), 1.0);
        for schedule in [Schedule::Constant, Schedule::Cosine, Schedule::OneCycle, Schedule::WarmUp] {
            for total in [0, 1, 2, 3] {
                for step in 0..total {
                    let f = schedule.factor(step, total);
                    assert!((0.0..=1.0).contains(&f), "{schedule:?} {step} of {total}: {f}");
                }
            }
        }
    }
}
