//! Power means of what the members say.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::evidence::voiced_rows;
use super::pointwise::{Exponent, Pointwise, Rule};
use super::pool::{check_given, given_or_equal};
use crate::error::Result;
use crate::model::{Context, Fused, Fuser, Honest, Inputs, Task};
use crate::registry::Method;

/// The power mean `(sum_i w_i p_i^r / sum_i w_i)^(1/r)` of the members' probabilities for each class, at least 1e-7
/// each, divided by the sum over the classes; or of their values. The exponent `r` leads from the smallest (`min`) by
/// the harmonic (-1), the geometric (0) and the arithmetic mean (1) to the largest (`max`). Values must be positive but
/// for 1, `max` and `min`.
///
/// # Reference
/// Hardy, Littlewood and Polya, "Inequalities", 1934, chapter 2; Cooke, "Experts in Uncertainty", 1991, chapter 11
/// (families of pools).
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PowerMean {
    /// The exponent: a number that is 0 or at least .001 from it, `max`, or `min`.
    pub exponent: Exponent,
    /// One weight for each member, in order: not negative, not all zero; they are divided by their sum. Empty: all the
    /// same. `max` and `min` are of the members whose weight is not zero.
    pub weights: Vec<f64>,
}

impl Default for PowerMean {
    fn default() -> Self {
        Self { exponent: Exponent::Number(0.5), weights: Vec::new() }
    }
}

impl Method for PowerMean {
    const NAME: &'static str = "power_mean";
    const ABOUT: &'static str = "Power mean of the members' probabilities or values";

    fn validate(&self) -> Result<()> {
        Rule::Power(self.exponent).check()?;
        check_given(&self.weights, None)
    }
}

impl Fuser for PowerMean {
    fn check(&self, _: &Task, members: usize) -> Result<()> {
        self.validate()?;
        check_given(&self.weights, Some(members))
    }

    fn fit(&self, honest: &Honest, _: Option<Inputs<'_>>, _: &Context<'_>) -> Result<Box<dyn Fused>> {
        self.check(&honest.target().task(), honest.count())?;
        power_mean(honest, self.exponent, &self.weights)
    }
}

/// A power mean with given weights, for members that have one on the honest rows.
pub(super) fn power_mean(honest: &Honest, exponent: Exponent, weights: &[f64]) -> Result<Box<dyn Fused>> {
    voiced_rows(honest)?;
    let weights = given_or_equal(weights, honest.count());
    let mean = Pointwise::new(honest.target().task(), Rule::Power(exponent), &weights)?;
    mean.check_values(honest.predictions())?;
    Ok(Box::new(mean))
}
