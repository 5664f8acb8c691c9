//! Metrics, their intervals and paired tests: one metric a file.
//!
//! A metric is written once, as a function of how many times each row counts ([`Prepared::value`]). The score of a
//! sample is the value where every row counts once; a bootstrap resample is another vector of counts, so nothing is
//! copied, and what is sorted is sorted once. [`judge`] puts them together: scores, intervals, differences.
//!
//! A new metric is a file with its formula and tests, and a line in [`ALL`].

mod accuracy;
mod auc;
mod balanced_accuracy;
mod brier;
mod confusion;
mod corrected_t;
mod decisions;
mod delong;
mod ece;
mod interval;
mod judge;
mod ks;
mod log_loss;
mod macro_f1;
mod mae;
mod mcnemar;
mod metric;
mod multiplicity;
mod normal;
mod paired;
mod paired_tests;
mod pr_auc;
mod r2;
mod ranking;
mod reliability;
mod resample;
mod rmse;
mod row_loss;
mod row_means;
mod simultaneous;
mod student_t;

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod shared;

pub use accuracy::Accuracy;
pub use auc::Auc;
pub use balanced_accuracy::BalancedAccuracy;
pub use brier::Brier;
pub use confusion::Confusion;
pub use corrected_t::{CorrectedT, corrected_t, corrected_t_over_folds};
pub use delong::{AucInterval, Delong, auc_interval, delong};
pub use ece::Ece;
pub use interval::{Interval, percentile_interval};
pub use judge::{ModelScores, Score, judge};
pub use ks::Ks;
pub use log_loss::LogLoss;
pub use macro_f1::MacroF1;
pub use mae::Mae;
pub use mcnemar::{McNemar, mcnemar};
pub use metric::{Draw, Metric, Prepared, Sample};
pub use multiplicity::{PValues, bonferroni, holm, max_t_p_values};
pub use paired::{Difference, Verdict, difference};
pub use paired_tests::{PairedTests, paired_tests};
pub use pr_auc::PrAuc;
pub use r2::R2;
pub use reliability::{BINS, Reliability, ReliabilityBin};
pub use resample::{BootstrapSettings, Resampler};
pub use rmse::Rmse;
pub use row_loss::per_row_loss;
pub use simultaneous::max_t_intervals;

use crate::error::{Error, Result};
use crate::model::Task;
use crate::registry::nearest;

/// Every metric, in the order in which it is shown.
pub static ALL: &[&dyn Metric] =
    &[&LogLoss, &Accuracy, &BalancedAccuracy, &Auc, &PrAuc, &Ks, &Brier, &Ece, &MacroF1, &Rmse, &Mae, &R2];

/// The metric `name`.
///
/// # Errors
/// [`Error::Argument`] with the nearest known name.
///
/// ```
/// use consilience_core::metrics;
/// assert_eq!(metrics::get("auc").unwrap().name(), "auc");
/// let error = metrics::get("log_los").err().unwrap().to_string();
/// assert!(error.contains("did you mean \"log_loss\"?"));
/// ```
pub fn get(name: &str) -> Result<&'static dyn Metric> {
    ALL.iter().find(|m| m.name() == name).copied().ok_or_else(|| {
        let names: Vec<&str> = ALL.iter().map(|m| m.name()).collect();
        let error = Error::argument(format!("there is no metric named \"{name}\""))
            .expected(format!("one of {}", names.join(", ")));
        match nearest(name, names) {
            Some(near) => error.remedy(format!("did you mean \"{near}\"?")),
            None => error,
        }
    })
}

/// Every metric that suits the task, in the order of [`ALL`]: what a report shows where a recipe names none.
pub fn default_reports(task: &Task) -> Vec<&'static dyn Metric> {
    ALL.iter().copied().filter(|m| m.suits(task)).collect()
}
