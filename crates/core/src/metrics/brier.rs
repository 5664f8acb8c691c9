//! Brier score.

use super::metric::{Metric, Prepared, Sample};
use super::row_means::RowMeans;
use crate::error::Result;
use crate::model::Task;

/// The mean squared error of probabilities.
///
/// Two classes: `(p - y)^2` of the second class, between 0 and 1. More: `sum_k (p_k - y_k)^2`, between 0 and 2, Brier's
/// own form (for two classes it would be twice the other). scikit-learn's `brier_score_loss` follows the same rule.
///
/// # Reference
/// G. W. Brier, Verification of forecasts expressed in terms of probability, Monthly Weather Review 78 (1950).
#[derive(Debug, Clone, Copy)]
pub struct Brier;

impl Metric for Brier {
    fn name(&self) -> &'static str {
        "brier"
    }

    fn about(&self) -> &'static str {
        "mean squared error of the probabilities (two classes: of the second; more: summed over the classes)"
    }

    fn greater_is_better(&self) -> bool {
        false
    }

    fn suits(&self, task: &Task) -> bool {
        matches!(task, Task::Classify(_))
    }

    fn bounds(&self) -> (f64, f64) {
        (0.0, 2.0)
    }

    fn start(&self, sample: &Sample<'_>) -> Result<Box<dyn Prepared>> {
        let (classes, codes) = sample.target.codes()?;
        let first = usize::from(classes.count() == 2);
        let rows = sample.output.rows().into_iter().zip(codes);
        let loss = rows.map(|(row, code)| {
            row.iter()
                .enumerate()
                .skip(first)
                .map(|(k, p)| {
                    let y = if k == *code as usize { 1.0 } else { 0.0 };
                    (f64::from(*p) - y).powi(2)
                })
                .sum()
        });
        Ok(Box::new(RowMeans::new(sample, loss.collect())))
    }
}
