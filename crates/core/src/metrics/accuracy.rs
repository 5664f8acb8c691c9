//! Accuracy.

use super::decisions::top;
use super::metric::{Metric, Prepared, Sample};
use super::row_means::RowMeans;
use crate::error::Result;
use crate::model::Task;

/// The share of rows whose most probable class (the first on a tie) is the true one.
#[derive(Debug, Clone, Copy)]
pub struct Accuracy;

impl Metric for Accuracy {
    fn name(&self) -> &'static str {
        "accuracy"
    }

    fn about(&self) -> &'static str {
        "share of rows whose most probable class is the true one"
    }

    fn greater_is_better(&self) -> bool {
        true
    }

    fn suits(&self, task: &Task) -> bool {
        matches!(task, Task::Classify(_))
    }

    fn bounds(&self) -> (f64, f64) {
        (0.0, 1.0)
    }

    fn start(&self, sample: &Sample<'_>) -> Result<Box<dyn Prepared>> {
        let (_, codes) = sample.target.codes()?;
        let hits = codes.iter().zip(top(sample)).map(|(c, t)| f64::from(u8::from(*c == t.0))).collect();
        Ok(Box::new(RowMeans::new(sample, hits)))
    }
}
