//! The mean of what the members say.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::evidence::voiced_rows;
use super::pool::{Content, Pool, check_given, given_or_equal};
use crate::error::Result;
use crate::model::{Context, Fused, Fuser, Honest, Inputs, Task};
use crate::registry::Method;

/// The mean of the members' probabilities, or of their values: `p = sum_i w_i p_i / sum_i w_i` over the members that
/// say something about the row.
///
/// # Reference
/// Kittler and others, "On combining classifiers", IEEE PAMI 20(3), 1998 (the sum rule).
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SoftVote {
    /// One weight for each member, in order: not negative, not all zero; they are divided by their sum. Empty: all the
    /// same.
    pub weights: Vec<f64>,
}

impl Method for SoftVote {
    const NAME: &'static str = "soft_vote";
    const ABOUT: &'static str = "Mean of the members' probabilities or values, with weights if you give them";

    fn validate(&self) -> Result<()> {
        check_given(&self.weights, None)
    }
}

impl Fuser for SoftVote {
    fn check(&self, _: &Task, members: usize) -> Result<()> {
        check_given(&self.weights, Some(members))
    }

    fn fit(&self, honest: &Honest, _: Option<Inputs<'_>>, _: &Context<'_>) -> Result<Box<dyn Fused>> {
        let task = honest.target().task();
        self.check(&task, honest.count())?;
        voiced_rows(honest)?;
        let weights = given_or_equal(&self.weights, honest.count());
        Ok(Box::new(Pool::new(task, &weights, Content::Prediction)?))
    }
}
