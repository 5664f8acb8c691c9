//! Mean absolute error.

use super::metric::{Metric, Prepared, Sample};
use super::row_means::RowMeans;
use crate::error::Result;
use crate::model::Task;

/// The mean of the absolute error, in the unit of the target.
#[derive(Debug, Clone, Copy)]
pub struct Mae;

impl Metric for Mae {
    fn name(&self) -> &'static str {
        "mae"
    }

    fn about(&self) -> &'static str {
        "mean of the absolute error"
    }

    fn greater_is_better(&self) -> bool {
        false
    }

    fn suits(&self, task: &Task) -> bool {
        matches!(task, Task::Regress)
    }

    fn bounds(&self) -> (f64, f64) {
        (0.0, f64::INFINITY)
    }

    fn start(&self, sample: &Sample<'_>) -> Result<Box<dyn Prepared>> {
        let values = sample.target.values()?;
        let pairs = sample.output.iter().zip(values);
        let loss = pairs.map(|(p, v)| (f64::from(*p) - f64::from(*v)).abs()).collect();
        Ok(Box::new(RowMeans::new(sample, loss)))
    }
}
