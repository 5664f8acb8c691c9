//! Log-loss.

use super::metric::{Metric, Prepared, Sample};
use super::row_loss::surprise;
use super::row_means::RowMeans;
use crate::error::Result;
use crate::model::Task;

/// The mean of `-ln p` of the probability given to the true class, in nats; probabilities below 1e-7 are raised to it,
/// so that the worst row costs 16.1.
#[derive(Debug, Clone, Copy)]
pub struct LogLoss;

impl Metric for LogLoss {
    fn name(&self) -> &'static str {
        "log_loss"
    }

    fn about(&self) -> &'static str {
        "mean of -ln p of the true class, in nats"
    }

    fn greater_is_better(&self) -> bool {
        false
    }

    fn suits(&self, task: &Task) -> bool {
        matches!(task, Task::Classify(_))
    }

    fn bounds(&self) -> (f64, f64) {
        (0.0, f64::INFINITY)
    }

    fn start(&self, sample: &Sample<'_>) -> Result<Box<dyn Prepared>> {
        let (_, codes) = sample.target.codes()?;
        let loss = codes.iter().enumerate().map(|(r, c)| surprise(sample.output[[r, *c as usize]])).collect();
        Ok(Box::new(RowMeans::new(sample, loss)))
    }
}
