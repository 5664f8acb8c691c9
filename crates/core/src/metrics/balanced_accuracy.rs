//! Balanced accuracy.

use super::decisions::Decisions;
use super::metric::{Draw, Metric, Prepared, Sample};
use crate::error::Result;
use crate::model::Task;

/// The mean over the classes of the share of a class's rows that are decided right (its recall).
///
/// The mean is over the classes that the rows (of a resample: its rows) hold; a class without rows has no recall.
#[derive(Debug, Clone, Copy)]
pub struct BalancedAccuracy;

impl Metric for BalancedAccuracy {
    fn name(&self) -> &'static str {
        "balanced_accuracy"
    }

    fn about(&self) -> &'static str {
        "mean over the classes of the share of their rows that are decided right"
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
        Ok(Box::new(Recalls(Decisions::new(sample)?)))
    }
}

struct Recalls(Decisions);

impl Prepared for Recalls {
    fn value(&self, draw: &Draw) -> Option<f64> {
        let tallies = self.0.tallies(draw);
        let (mut sum, mut classes) = (0.0, 0.0);
        for t in tallies.iter().filter(|t| t.truth > 0.0) {
            sum += t.hit / t.truth;
            classes += 1.0;
        }
        (classes > 0.0).then_some(sum / classes)
    }
}
