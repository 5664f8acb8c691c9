//! The geometric mean of what the members say.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::pool::check_given;
use super::power_mean::power_mean;
use crate::error::Result;
use crate::fuse::Exponent;
use crate::model::{Context, Fused, Fuser, Honest, Inputs, Task};
use crate::registry::Method;

/// The logarithmic pool: `p_c` is `prod_i p_ic^w_i`, divided by the sum over the classes, with weights that sum to one
/// over the members present on a row and probabilities of at least 1e-7; or the geometric mean of positive values. A
/// member that is sure that it is not a class counts for more than in the mean.
///
/// # Reference
/// Genest and Zidek, "Combining probability distributions: a critique and an annotated bibliography", Statistical
/// Science 1(1), 1986.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GeometricMean {
    /// One weight for each member, in order: not negative, not all zero; they are divided by their sum. Empty: all the
    /// same.
    pub weights: Vec<f64>,
}

impl Method for GeometricMean {
    const NAME: &'static str = "geometric_mean";
    const ABOUT: &'static str = "Logarithmic pool: geometric mean of the members' probabilities or values";

    fn validate(&self) -> Result<()> {
        check_given(&self.weights, None)
    }
}

impl Fuser for GeometricMean {
    fn check(&self, _: &Task, members: usize) -> Result<()> {
        check_given(&self.weights, Some(members))
    }

    fn fit(&self, honest: &Honest, _: Option<Inputs<'_>>, _: &Context<'_>) -> Result<Box<dyn Fused>> {
        self.check(&honest.target().task(), honest.count())?;
        power_mean(honest, Exponent::Number(0.0), &self.weights)
    }
}
