//! Macro F1.

use super::decisions::Decisions;
use super::metric::{Draw, Metric, Prepared, Sample};
use crate::error::Result;
use crate::model::Task;

/// The mean over the classes of `F1 = 2 hit / (rows of the class + rows decided to be of it)`.
///
/// The mean is over the classes that occur in the truth or among the decisions (scikit-learn's rule); a resample
/// follows the same rule on its own rows.
#[derive(Debug, Clone, Copy)]
pub struct MacroF1;

impl Metric for MacroF1 {
    fn name(&self) -> &'static str {
        "macro_f1"
    }

    fn about(&self) -> &'static str {
        "mean over the classes of the harmonic mean of precision and recall"
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
        Ok(Box::new(Harmonic(Decisions::new(sample)?)))
    }
}

struct Harmonic(Decisions);

impl Prepared for Harmonic {
    fn value(&self, draw: &Draw) -> Option<f64> {
        let tallies = self.0.tallies(draw);
        let (mut sum, mut classes) = (0.0, 0.0);
        for t in tallies.iter().filter(|t| t.truth + t.decided > 0.0) {
            sum += 2.0 * t.hit / (t.truth + t.decided);
            classes += 1.0;
        }
        (classes > 0.0).then_some(sum / classes)
    }
}
