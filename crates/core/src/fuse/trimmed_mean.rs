//! The mean of what the members say without the ends.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::evidence::voiced_rows;
use super::pointwise::{Pointwise, Rule};
use crate::error::Result;
use crate::model::{Context, Fused, Fuser, Honest, Inputs, Task};
use crate::registry::Method;

/// For each class the mean of the members' probabilities, at least 1e-7 each, without the smallest and the largest
/// `share` of them, divided by the sum over the classes; or that mean of their values. Of `n` members present on a row
/// `floor(share n)` are left out at each end.
///
/// # Reference
/// Jose and Winkler, "Simple robust averages of forecasts: some empirical results", International Journal of
/// Forecasting 24(1), 2008.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TrimmedMean {
    /// The share of the members that is left out at each end, from 0 to less than .5.
    #[schemars(range(min = 0.0, max = 0.5))]
    pub share: f64,
}

impl Default for TrimmedMean {
    fn default() -> Self {
        Self { share: 0.2 }
    }
}

impl Method for TrimmedMean {
    const NAME: &'static str = "trimmed_mean";
    const ABOUT: &'static str = "Mean of the members' probabilities or values without a share at each end";

    fn validate(&self) -> Result<()> {
        Rule::Trimmed(self.share).check()
    }
}

impl Fuser for TrimmedMean {
    fn check(&self, _: &Task, _: usize) -> Result<()> {
        self.validate()
    }

    fn fit(&self, honest: &Honest, _: Option<Inputs<'_>>, _: &Context<'_>) -> Result<Box<dyn Fused>> {
        voiced_rows(honest)?;
        let weights = vec![1.0; honest.count()];
        Ok(Box::new(Pointwise::new(honest.target().task(), Rule::Trimmed(self.share), &weights)?))
    }
}
