//! Coefficient of determination.

use super::metric::{Draw, Metric, Prepared, Sample};
use super::row_means::dot;
use crate::error::{Error, Result};
use crate::model::Task;

/// `1 - sum (y - f)^2 / sum (y - mean y)^2`: the share of the target's variance that is explained; below zero for a model
/// worse than the mean. A resample in which the target is constant is not counted.
#[derive(Debug, Clone, Copy)]
pub struct R2;

impl Metric for R2 {
    fn name(&self) -> &'static str {
        "r2"
    }

    fn about(&self) -> &'static str {
        "share of the target's variance that is explained"
    }

    fn greater_is_better(&self) -> bool {
        true
    }

    fn suits(&self, task: &Task) -> bool {
        matches!(task, Task::Regress)
    }

    fn bounds(&self) -> (f64, f64) {
        (f64::NEG_INFINITY, 1.0)
    }

    fn start(&self, sample: &Sample<'_>) -> Result<Box<dyn Prepared>> {
        let values = sample.target.values()?;
        let weight = sample.weights();
        let weigh = |r: usize| weight.as_ref().map_or(1.0, |w| w[r]);
        let total: f64 = (0..values.len()).map(weigh).sum();
        let mean = values.iter().enumerate().map(|(r, v)| weigh(r) * f64::from(*v)).sum::<f64>() / total;
        let weighted: Vec<f64> = (0..values.len()).map(weigh).collect();
        let centered: Vec<f64> = values.iter().map(|v| f64::from(*v) - mean).collect();
        let of =
            |f: &dyn Fn(usize) -> f64| -> Vec<f64> { (0..values.len()).map(|r| weigh(r) * f(r)).collect() };
        let output: Vec<f32> = sample.output.iter().copied().collect();
        let prepared = Explained {
            first: of(&|r| centered[r]),
            second: of(&|r| centered[r].powi(2)),
            error: of(&|r| (f64::from(output[r]) - f64::from(values[r])).powi(2)),
            weight: weighted,
        };
        if prepared.second.iter().all(|v| *v == 0.0) {
            return Err(Error::data("the target is the same on every row").remedy("leave this metric out"));
        }
        Ok(Box::new(prepared))
    }
}

/// Moments of the target about its mean in the sample, and squared errors, each times the weight.
struct Explained {
    first: Vec<f64>,
    second: Vec<f64>,
    error: Vec<f64>,
    weight: Vec<f64>,
}

impl Prepared for Explained {
    fn value(&self, draw: &Draw) -> Option<f64> {
        let total = dot(&self.weight, &draw.counts);
        if total <= 0.0 {
            return None;
        }
        let second = dot(&self.second, &draw.counts);
        let spread = second - dot(&self.first, &draw.counts).powi(2) / total;
        (spread > 1e-12 * second).then(|| 1.0 - dot(&self.error, &draw.counts) / spread)
    }
}
