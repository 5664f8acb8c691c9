//! Greedy selection of members, with replacement.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::by_voices::{EVERY_SET, by_voices};
use super::evidence::{Evidence, voiced_rows};
use super::greedy_scores::{ColumnScores, RowMeasure, RowScores, Score, Scores};
use super::pool::{Content, Pool};
use crate::error::{Error, Result};
use crate::model::{Context, Fused, Fuser, Honest, Inputs, Task};
use crate::registry::Method;

/// Losses are compared to this precision unless even the best is below [`FINE`], so that rounding decides nothing.
const PRECISION: f64 = 1e-6;
/// A first loss below this is compared exactly.
const FINE: f64 = 1e-4;

/// What the selection minimizes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Objective {
    /// The log-loss for classes, the squared error for values.
    #[default]
    Auto,
    /// `-mean ln p(true class)`, probabilities at least 1e-7.
    LogLoss,
    /// One minus the share of rows whose most probable class is the true one.
    Accuracy,
    /// `mean sum_c (p_c - y_c)^2`.
    Brier,
    /// `mean (y - prediction)^2`.
    SquaredError,
}

/// Starts with nothing and adds, step by step, the member (again, if need be) whose addition to the mean gives the
/// lowest loss on honest predictions; the shortest best prefix of the steps is kept, and a member's weight is the share
/// of the steps that took it. Losses are compared to six decimals; ties prefer members taken before, then the lower
/// log-loss (squared error for values), then the order of the members. Rows about which only some of the members speak
/// are given a selection among these.
///
/// # Reference
/// Caruana, Niculescu-Mizil, Crew and Ksikes, "Ensemble selection from libraries of models", ICML 2004.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Greedy {
    /// How many steps to take, from 1 to 1000; with the best prefix kept, more never hurt on the honest rows.
    #[schemars(range(min = 1, max = 1000))]
    pub steps: u32,
    /// What is minimized.
    pub objective: Objective,
}

impl Default for Greedy {
    fn default() -> Self {
        Self { steps: 25, objective: Objective::Auto }
    }
}

impl Method for Greedy {
    const NAME: &'static str = "greedy";
    const VERSION: u32 = 2;
    const ABOUT: &'static str = "Greedy selection of members with replacement (Caruana)";

    fn validate(&self) -> Result<()> {
        if !(1..=1000).contains(&self.steps) {
            return Err(Error::argument("the number of steps is out of range")
                .at("steps")
                .expected("1 to 1000")
                .got(self.steps));
        }
        Ok(())
    }
}

impl Fuser for Greedy {
    fn check(&self, task: &Task, _: usize) -> Result<()> {
        self.validate()?;
        let fits = match self.objective {
            Objective::Auto => true,
            Objective::LogLoss | Objective::Accuracy | Objective::Brier => task.classes().is_some(),
            Objective::SquaredError => task.classes().is_none(),
        };
        if fits {
            return Ok(());
        }
        Err(Error::argument("the objective does not fit the task")
            .at("objective")
            .expected(if task.classes().is_some() { "log_loss, accuracy or brier" } else { "squared_error" })
            .remedy("leave it out: auto chooses by the task"))
    }

    fn fit(&self, honest: &Honest, _: Option<Inputs<'_>>, context: &Context<'_>) -> Result<Box<dyn Fused>> {
        let task = honest.target().task();
        self.check(&task, honest.count())?;
        let whole = Pool::new(task.clone(), &self.weights(honest, context)?, Content::Prediction)?;
        by_voices(Box::new(whole), honest, None, context, EVERY_SET, &|honest, rows, voices, context| {
            let weights = self.weights(&honest.take(rows).only(voices), context)?;
            Ok(Box::new(Pool::among(task.clone(), voices, &weights, Content::Prediction)?))
        })
    }
}

/// What a selection took: the members of the best prefix in order, and the loss after each step.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Picks {
    pub order: Vec<usize>,
    pub losses: Vec<f64>,
}

impl Greedy {
    /// How often each member was taken.
    fn weights(&self, honest: &Honest, context: &Context<'_>) -> Result<Vec<f64>> {
        let mut weights = vec![0.0; honest.count()];
        for pick in self.select(honest, context)?.order {
            weights[pick] += 1.0;
        }
        Ok(weights)
    }

    /// Runs the selection.
    pub(super) fn select(&self, honest: &Honest, context: &Context<'_>) -> Result<Picks> {
        match self.objective {
            Objective::Accuracy => self.race(
                RowScores::new(honest, voiced_rows(honest)?, RowMeasure::Error)?,
                honest.count(),
                context,
            ),
            Objective::Brier => self.race(
                RowScores::new(honest, voiced_rows(honest)?, RowMeasure::Brier)?,
                honest.count(),
                context,
            ),
            Objective::Auto | Objective::LogLoss | Objective::SquaredError => {
                self.race(ColumnScores::new(Evidence::new(honest)?), honest.count(), context)
            }
        }
    }

    fn race(&self, mut scores: impl Scores, members: usize, context: &Context<'_>) -> Result<Picks> {
        let mut used = vec![false; members];
        let mut picks = Picks { order: Vec::new(), losses: Vec::new() };
        let mut precision = 0.0;
        for step in 0..self.steps {
            context.stop.check()?;
            let mut candidates = scores.candidates();
            if step == 0 {
                let best = candidates.iter().map(|c| c.loss).fold(f64::INFINITY, f64::min);
                precision = if best > FINE { PRECISION } else { 0.0 };
            }
            if precision > 0.0 {
                candidates.iter_mut().for_each(|c| c.loss = (c.loss / precision).round() * precision);
            }
            let Some(best) = choose(&candidates, &used) else {
                return Err(Error::internal("a selection among no members"));
            };
            used[best] = true;
            picks.order.push(best);
            picks.losses.push(candidates[best].loss);
            scores.add(best);
        }
        let shortest =
            (0..picks.losses.len()).fold(0, |b, i| if picks.losses[i] < picks.losses[b] { i } else { b });
        picks.order.truncate(shortest + 1);
        picks.losses.truncate(shortest + 1);
        Ok(picks)
    }
}

/// The lowest loss; among equals members used before, then the lower second loss, then the first.
fn choose(candidates: &[Score], used: &[bool]) -> Option<usize> {
    let key = |i: usize| (candidates[i].loss, !used[i], candidates[i].second);
    (0..candidates.len()).min_by(|&a, &b| {
        let (x, y) = (key(a), key(b));
        x.0.total_cmp(&y.0).then(x.1.cmp(&y.1)).then(x.2.total_cmp(&y.2))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_prefer_the_used_then_the_second_loss_then_the_first() {
        let s = |loss, second| Score { loss, second };
        assert_eq!(choose(&[s(0.1, 3.0), s(0.1, 2.0), s(0.1, 1.0)], &[true, true, false]), Some(1));
        assert_eq!(choose(&[s(0.1, 3.0), s(0.1, 3.0)], &[false, false]), Some(0));
        assert_eq!(choose(&[s(0.2, 0.0), s(0.1, 3.0)], &[true, false]), Some(1));
        assert_eq!(choose(&[], &[]), None);
    }
}
