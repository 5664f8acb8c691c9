//! Intervals of one width.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::value_regions::{ValueRegions, ValueScore};
use super::{By, Calibration, Conformal, Regions, check_alpha, check_values};
use crate::error::Result;
use crate::model::Task;
use crate::registry::Method;
use crate::seed::Seed;

/// Intervals `f +- t`, by the score `|y - f|`: the same width for every row that shares a threshold.
///
/// # Reference
/// Lei, G'Sell, Rinaldo, Tibshirani and Wasserman, "Distribution-free predictive inference for regression", JASA 113,
/// 2018.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Split {
    /// The chance of a miss, between 0 and 1.
    pub alpha: f64,
    /// Which rows share a threshold: `all` or `stratum`.
    pub by: By,
}

impl Default for Split {
    fn default() -> Self {
        Self { alpha: 0.1, by: By::All }
    }
}

impl Method for Split {
    const NAME: &'static str = "split";
    const ABOUT: &'static str = "Intervals of one width around a value";

    fn validate(&self) -> Result<()> {
        check_alpha(self.alpha)
    }
}

impl Conformal for Split {
    fn check(&self, task: &Task) -> Result<()> {
        self.validate()?;
        check_values(task, self.by)
    }

    fn fit(&self, rows: &Calibration<'_>, _: Seed) -> Result<Box<dyn Regions>> {
        self.check(&rows.target.task())?;
        Ok(Box::new(ValueRegions::fit(self.alpha, self.by, ValueScore::Absolute, rows)?))
    }
}
