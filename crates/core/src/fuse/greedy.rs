//! Greedy selection of members, with replacement.

use rand::seq::SliceRandom;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::by_voices::{EVERY_SET, by_voices};
use super::evidence::Evidence;
use super::greedy_area::AreaScores;
use super::greedy_columns::ColumnScores;
use super::greedy_rows::{RowMeasure, RowScores};
use super::greedy_scores::Scores;
use super::pool::{Content, Pool};
use crate::error::{Error, Result};
use crate::model::{Classes, Context, Fused, Fuser, Honest, Inputs, Task};
use crate::registry::Method;
use crate::seed::Seed;

/// Losses are compared to this precision unless even the best is below [`FINE`], so that rounding decides nothing.
pub(super) const PRECISION: f64 = 1e-6;
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
    /// One minus the area under the ROC curve, of two classes.
    Auc,
    /// `mean (y - prediction)^2`.
    SquaredError,
}

/// Starts with nothing and adds, step by step, the member (again, if need be) whose addition to the mean gives the
/// lowest loss on honest predictions; the shortest best prefix of the steps is kept, and a member's weight is the share
/// of the steps that took it. Losses are compared to six decimals; ties prefer members taken before, then the lower
/// log-loss (squared error for values), then the order of the members. Rows about which only some of the members speak
/// are given a selection among these.
///
/// With `bags` there is one selection for each of so many draws of half the members (rounded up), and a member's weight
/// is the mean of those that it has in them: less is left to one lucky pick where members are many and alike.
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
    /// How many times half the members are drawn, up to 1000; 0: one selection among all.
    #[schemars(range(max = 1000))]
    pub bags: u32,
}

impl Default for Greedy {
    fn default() -> Self {
        Self { steps: 25, objective: Objective::Auto, bags: 0 }
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
        if self.bags > 1000 {
            return Err(Error::argument("there are too many bags")
                .at("bags")
                .expected("0 to 1000")
                .got(self.bags));
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
            Objective::Auc => task.classes().is_some_and(|c| c.count() == 2),
            Objective::SquaredError => task.classes().is_none(),
        };
        if fits {
            return Ok(());
        }
        Err(Error::argument("the objective does not fit the task")
            .at("objective")
            .expected(match task.classes().map(Classes::count) {
                None => "squared_error",
                Some(2) => "log_loss, accuracy, brier or auc",
                Some(_) => "log_loss, accuracy or brier",
            })
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
    /// How often each member was taken; with bags the sum of its shares in them.
    fn weights(&self, honest: &Honest, context: &Context<'_>) -> Result<Vec<f64>> {
        let mut weights = vec![0.0; honest.count()];
        for among in self.bags(honest.count(), context.seed.child("bags")) {
            let order = self.select_among(honest, &among, context)?.order;
            let share = if self.bags == 0 { 1.0 } else { 1.0 / order.len() as f64 };
            order.iter().for_each(|&pick| weights[pick] += share);
        }
        Ok(weights)
    }

    /// The members of each selection.
    fn bags(&self, members: usize, seed: Seed) -> Vec<Vec<bool>> {
        if self.bags == 0 {
            return vec![vec![true; members]];
        }
        let one = |bag: u32| {
            let mut drawn: Vec<usize> = (0..members).collect();
            drawn.shuffle(&mut seed.item(u64::from(bag)).rng());
            let mut among = vec![false; members];
            drawn.iter().take(members.div_ceil(2)).for_each(|&m| among[m] = true);
            among
        };
        (0..self.bags).map(one).collect()
    }

    /// Runs the selection among all members.
    #[cfg(test)]
    pub(super) fn select(&self, honest: &Honest, context: &Context<'_>) -> Result<Picks> {
        self.select_among(honest, &vec![true; honest.count()], context)
    }

    fn select_among(&self, honest: &Honest, among: &[bool], context: &Context<'_>) -> Result<Picks> {
        match self.objective {
            Objective::Accuracy => self.race(RowScores::new(honest, RowMeasure::Error)?, among, context),
            Objective::Brier => self.race(RowScores::new(honest, RowMeasure::Brier)?, among, context),
            Objective::Auc => self.race(AreaScores::new(honest)?, among, context),
            Objective::Auto | Objective::LogLoss | Objective::SquaredError => {
                self.race(ColumnScores::new(Evidence::new(honest)?), among, context)
            }
        }
    }

    fn race(&self, mut scores: impl Scores, among: &[bool], context: &Context<'_>) -> Result<Picks> {
        let mut used = vec![false; among.len()];
        let mut picks = Picks { order: Vec::new(), losses: Vec::new() };
        let mut precision = 0.0;
        for step in 0..self.steps {
            context.stop.check()?;
            let mut losses = scores.losses(among);
            if step == 0 {
                let best = losses.iter().copied().fold(f64::INFINITY, f64::min);
                precision = if best > FINE { PRECISION } else { 0.0 };
            }
            if precision > 0.0 {
                losses.iter_mut().for_each(|l| *l = (*l / precision).round() * precision);
            }
            let Some(best) = choose(&losses, &used, |m| scores.second(m)) else {
                return Err(Error::internal("a selection among no members"));
            };
            used[best] = true;
            picks.order.push(best);
            picks.losses.push(losses[best]);
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
fn choose(losses: &[f64], used: &[bool], second: impl Fn(usize) -> f64) -> Option<usize> {
    let best = losses.iter().copied().filter(|l| l.is_finite()).min_by(f64::total_cmp)?;
    let mut equal: Vec<usize> = (0..losses.len()).filter(|m| losses[*m] == best).collect();
    if equal.iter().any(|m| used[*m]) {
        equal.retain(|m| used[*m]);
    }
    if equal.len() == 1 {
        return equal.first().copied();
    }
    let seconds = equal.iter().map(|m| (*m, second(*m)));
    seconds.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(m, _)| m)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_prefer_the_used_then_the_second_loss_then_the_first() {
        let choose = |losses: &[f64], seconds: &[f64], used: &[bool]| choose(losses, used, |m| seconds[m]);
        assert_eq!(choose(&[0.1, 0.1, 0.1], &[3.0, 2.0, 1.0], &[true, true, false]), Some(1));
        assert_eq!(choose(&[0.1, 0.1], &[3.0, 3.0], &[false, false]), Some(0));
        assert_eq!(choose(&[0.2, 0.1], &[0.0, 3.0], &[true, false]), Some(1));
        assert_eq!(choose(&[f64::INFINITY], &[0.0], &[false]), None);
        assert_eq!(choose(&[], &[], &[]), None);
    }

    #[test]
    fn areas_are_for_two_classes() {
        let greedy = Greedy { objective: Objective::Auc, ..Greedy::default() };
        let check = |data: &Honest| greedy.check(&data.target().task(), data.count());
        assert!(check(&crate::fuse::cases::honest(50, 2, 2, false)).is_ok());
        let error = check(&crate::fuse::cases::honest(50, 3, 2, false)).unwrap_err().to_string();
        assert!(error.contains("brier"), "{error}");
        assert!(check(&crate::fuse::cases::values(50, 2, false)).is_err());
    }

    #[test]
    fn bags_are_halves_and_their_weights_are_averaged() {
        let data = crate::fuse::cases::honest(200, 3, 5, false);
        let stop = crate::model::Stop::default();
        let context = Context::new(Seed::new(2), &crate::model::Quiet, &stop);
        let greedy = Greedy { bags: 20, ..Greedy::default() };
        let bags = greedy.bags(5, context.seed.child("bags"));
        assert!(bags.len() == 20 && bags.iter().all(|b| b.iter().filter(|m| **m).count() == 3));
        assert!((0..5).all(|m| bags.iter().any(|b| b[m]) && bags.iter().any(|b| !b[m])));
        let weights = greedy.weights(&data, &context).unwrap();
        let mut mean = vec![0.0; 5];
        for among in &bags {
            // What the selection would take were there no others.
            let only = data.clone().only(among);
            let members: Vec<usize> = (0..5).filter(|m| among[*m]).collect();
            let order = Greedy::default().select(&only, &context).unwrap().order;
            order.iter().for_each(|&pick| mean[members[pick]] += 1.0 / order.len() as f64);
        }
        assert!(weights.iter().zip(&mean).all(|(a, b)| (a - b).abs() < 1e-12), "{weights:?} {mean:?}");
        let spread = |w: &[f64]| w.iter().filter(|w| **w > 0.0).count();
        assert!(spread(&weights) > spread(&Greedy::default().weights(&data, &context).unwrap()));
        assert!(Greedy { bags: 1001, ..Greedy::default() }.validate().is_err());
    }
}
