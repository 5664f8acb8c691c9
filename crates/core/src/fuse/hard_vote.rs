//! The shares of the members' votes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::evidence::voiced_rows;
use super::pool::{Content, Pool, check_given, given_or_equal};
use crate::error::{Error, Result};
use crate::model::{Context, Fused, Fuser, Honest, Inputs, Task};
use crate::registry::Method;

/// Each member that says something about a row has one vote, for its most probable class; classes that tie share it.
/// The result is each class's share of the votes: it says who wins, but it is no calibrated probability (a class that
/// nobody votes for has share 0, and the log-loss of such a row is that of the clipping).
///
/// # Reference
/// Lam and Suen, "Application of majority voting to pattern recognition", IEEE SMC-A 27(5), 1997.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HardVote {
    /// Votes of each member, in order: not negative, not all zero. Empty: one each.
    pub weights: Vec<f64>,
}

impl Method for HardVote {
    const NAME: &'static str = "hard_vote";
    const ABOUT: &'static str = "Shares of the members' votes for their most probable class";

    fn validate(&self) -> Result<()> {
        check_given(&self.weights, None)
    }
}

impl Fuser for HardVote {
    fn check(&self, task: &Task, members: usize) -> Result<()> {
        if task.classes().is_none() {
            return Err(Error::argument("members cannot vote for a value")
                .expected("task: classify")
                .remedy("use soft_vote for a regression: it takes the mean"));
        }
        check_given(&self.weights, Some(members))
    }

    fn fit(&self, honest: &Honest, _: Option<Inputs<'_>>, _: &Context<'_>) -> Result<Box<dyn Fused>> {
        let task = honest.target().task();
        self.check(&task, honest.count())?;
        voiced_rows(honest)?;
        let weights = given_or_equal(&self.weights, honest.count());
        Ok(Box::new(Pool::new(task, &weights, Content::Vote)?))
    }
}
