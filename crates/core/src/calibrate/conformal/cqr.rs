//! Intervals as wide as a model of quantiles says.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::value_regions::{ValueRegions, ValueScore};
use super::{By, Calibration, Conformal, Regions, check_alpha, check_values};
use crate::error::Result;
use crate::model::Task;
use crate::registry::Method;
use crate::seed::Seed;

/// Conformalized quantile regression: intervals `[l - t, u + t]` around a lower and an upper quantile that models
/// give, by the score `max(l - y, y - u)`, the same on both sides. `t` is negative where the quantiles are too far
/// apart; an interval can then be empty, its lower end above its upper one.
///
/// # Reference
/// Romano, Patterson and Candes, "Conformalized quantile regression", NeurIPS 2019.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Cqr {
    /// The chance of a miss, between 0 and 1.
    pub alpha: f64,
    /// Which rows share a threshold: `all` or `stratum`.
    pub by: By,
}

impl Default for Cqr {
    fn default() -> Self {
        Self { alpha: 0.1, by: By::All }
    }
}

impl Method for Cqr {
    const NAME: &'static str = "cqr";
    const ABOUT: &'static str = "Intervals around two quantiles that models give";

    fn validate(&self) -> Result<()> {
        check_alpha(self.alpha)
    }
}

impl Conformal for Cqr {
    fn check(&self, task: &Task) -> Result<()> {
        self.validate()?;
        check_values(task, self.by)
    }

    fn fit(&self, rows: &Calibration<'_>, _: Seed) -> Result<Box<dyn Regions>> {
        self.check(&rows.target.task())?;
        Ok(Box::new(ValueRegions::fit(self.alpha, self.by, ValueScore::Beyond, rows)?))
    }
}
