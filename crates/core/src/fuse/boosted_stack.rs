//! Boosted trees on top of the members' predictions.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::stack::fit_stacks;
use super::stack_features::On;
use crate::error::Result;
use crate::learners::GradientBoosting;
use crate::model::{Context, Fused, Fuser, Honest, Inputs, Learner, Task};
use crate::registry::Method;

/// Up to this many members every set of them gets its trees.
const EVERY_SET: usize = 3;

/// Learns from honest predictions how to combine them by gradient boosting on the members' logits (one a member for two
/// classes, one for each class otherwise), or on their values in units of the target's standard deviation. Trees find
/// where a member is to be believed and where not, for which a regression has no words; they need many rows for it. They
/// look at the order of numbers only: on probabilities they would be the same. Rows about which only some of the members
/// speak are treated as by `stacking`.
///
/// Early stopping holds back a tenth of the rows, drawn without a look at groups, to find the number of rounds.
///
/// # Reference
/// Wolpert, "Stacked generalization", Neural Networks 5(2), 1992; Friedman, "Greedy function approximation: a gradient
/// boosting machine", Annals of Statistics 29, 2001.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BoostedStack {
    /// The most rounds.
    #[schemars(range(min = 1, max = 100_000))]
    pub rounds: u32,
    /// How much of each tree is added, in (0, 1].
    #[schemars(range(min = 0.0, max = 1.0))]
    pub learning_rate: f64,
    /// The most leaves of a tree.
    #[schemars(range(min = 2, max = 65536))]
    pub max_leaves: u32,
    /// The fewest rows in a leaf.
    #[schemars(range(min = 1))]
    pub min_leaf: u32,
}

impl Default for BoostedStack {
    fn default() -> Self {
        Self { rounds: 1000, learning_rate: 0.05, max_leaves: 4, min_leaf: 20 }
    }
}

impl BoostedStack {
    fn learner(&self) -> GradientBoosting {
        GradientBoosting {
            rounds: self.rounds,
            learning_rate: self.learning_rate,
            max_leaves: self.max_leaves,
            min_leaf: self.min_leaf,
            // There are few, and the first of a draw would have more say than others.
            feature_share: 1.0,
            ..GradientBoosting::default()
        }
    }
}

impl Method for BoostedStack {
    const NAME: &'static str = "boosted_stack";
    const ABOUT: &'static str = "Gradient boosting on the members' logits or values";

    fn validate(&self) -> Result<()> {
        self.learner().validate()
    }
}

impl Fuser for BoostedStack {
    fn check(&self, _: &Task, _: usize) -> Result<()> {
        self.validate()
    }

    fn fit(&self, honest: &Honest, _: Option<Inputs<'_>>, context: &Context<'_>) -> Result<Box<dyn Fused>> {
        self.validate()?;
        let learner = self.learner();
        fit_stacks(honest, On::Logits, EVERY_SET, context, &|x, target, weight, _, context| {
            learner.fit(x, target, weight, context)
        })
    }
}
