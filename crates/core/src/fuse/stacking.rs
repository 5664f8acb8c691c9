//! A model on top of the members' predictions.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::by_voices::EVERY_SET;
use super::stack::fit_stacks;
use super::stack_features::{Layout, On};
use crate::array::ArrayView2;
use crate::error::{Error, Result};
use crate::learners::{Linear, Logistic};
use crate::model::{Context, FittedLearner, Fused, Fuser, Honest, Inputs, Learner, Target, Task};
use crate::registry::Method;

/// Learns from honest predictions how to combine them: logistic regression with an L2 penalty on the members' logits
/// `ln p / (1 - p)` (probabilities within `[1e-6, 1 - 1e-6]`), or on their probabilities, one number a member for two
/// classes (that of the second) and one for each class otherwise; or ridge regression on the members' values.
///
/// With `non_negative` no member counts against what it says: coefficients are zero or above, and of more than two
/// classes each is scored by what the members say of this class alone (by all that they say otherwise).
///
/// Rows about which only some of the members speak get a stack of these, fitted to all honest rows about which they
/// speak. What it does not use it may still learn from: for every other member that was absent on some of these rows
/// it has a mark, 1 where that member is absent, since who is silent can say something about the truth. The stack of
/// all members, for rows about which they all speak, is fitted to all rows; a member that is absent on some of them is
/// given the class frequencies (the mean value) there, and a mark.
///
/// # Reference
/// Wolpert, "Stacked generalization", Neural Networks 5(2), 1992; Ting and Witten, "Issues in stacked generalization",
/// JAIR 10, 1999; Breiman, "Stacked regressions", Machine Learning 24, 1996 (non-negative).
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Stacking {
    /// Inverse strength of the penalty, above 0: smaller is stronger (scikit-learn's `C`; ridge gets `1 / c`, on values
    /// in units of the target's standard deviation).
    pub c: f64,
    /// What of the members' probabilities is used. Values are used as they are.
    pub on: On,
    /// Whether coefficients must be zero or above.
    pub non_negative: bool,
}

impl Default for Stacking {
    fn default() -> Self {
        Self { c: 1.0, on: On::Logits, non_negative: false }
    }
}

impl Method for Stacking {
    const NAME: &'static str = "stacking";
    const VERSION: u32 = 2;
    const ABOUT: &'static str =
        "Logistic regression on the members' logits, or ridge regression on their values";

    fn validate(&self) -> Result<()> {
        if !self.c.is_finite() || self.c <= 0.0 {
            return Err(Error::argument("the inverse penalty is not above zero").at("c").got(self.c));
        }
        Ok(())
    }
}

impl Fuser for Stacking {
    fn check(&self, task: &Task, _: usize) -> Result<()> {
        self.validate()?;
        if task.classes().is_none() && self.on != On::Logits {
            return Err(Error::argument("values have no probabilities")
                .at("on")
                .remedy("leave it out: a regression is stacked on the values"));
        }
        Ok(())
    }

    fn fit(&self, honest: &Honest, _: Option<Inputs<'_>>, context: &Context<'_>) -> Result<Box<dyn Fused>> {
        let task = honest.target().task();
        self.check(&task, honest.count())?;
        fit_stacks(honest, self.on, EVERY_SET, context, &|x, target, weight, layout, context| {
            self.learner(x, (target, &task), weight, layout, context)
        })
    }
}

impl Stacking {
    fn learner(
        &self,
        x: ArrayView2<'_, f32>,
        (target, task): (&Target, &Task),
        weight: Option<&[f32]>,
        layout: &Layout,
        context: &Context<'_>,
    ) -> Result<Box<dyn FittedLearner>> {
        let bound = |class, feature| layout.bound(task, class, feature);
        match task {
            Task::Classify(_) => {
                let logistic = Logistic { c: self.c, ..Logistic::default() };
                if self.non_negative {
                    logistic.fit_bounded(x, target, weight, context, &bound)
                } else {
                    logistic.fit(x, target, weight, context)
                }
            }
            Task::Regress => {
                let ridge = Linear { l2: 1.0 / self.c };
                if self.non_negative {
                    let bounds: Vec<_> = (0..x.ncols()).map(|feature| bound(0, feature)).collect();
                    ridge.fit_bounded(x, target, weight, context, &bounds)
                } else {
                    ridge.fit(x, target, weight, context)
                }
            }
        }
    }
}
