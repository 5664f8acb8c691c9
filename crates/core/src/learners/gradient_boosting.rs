//! Gradient boosting of trees.
//!
//! Our own and not the crate `perpetual`: the fit of its 3.0.0-rc.2 depends on the memory that happens to be free and
//! on the limit set for it, it cannot be stopped, and part of a regression lies outside its trees.

use ndarray::Axis;
use rand::seq::SliceRandom;
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::boost_loss::Loss;
use super::constant::Same;
use super::labels::Labels;
use super::present::Present;
use super::rows::{BLOCK, check_fit, check_predict, check_shares, mean_one, predict_blocks};
use super::trees::{Binned, Booster, Tree, Trees};
use crate::array::{ArrayView2, Matrix};
use crate::error::{Error, Result};
use crate::model::graph::{Graph, Value};
use crate::model::{ByShares, Context, FittedLearner, Learner, Loaders, Parts, Shares, Target, Task};
use crate::registry::Method;
use crate::seed::Seed;

/// Gradient boosting: trees added one after the other, each fitted to the first and second derivatives of the loss at
/// what the ones before say (logistic loss for two classes with one tree a round, softmax loss for more with a tree a
/// class and round, squared error for values). A leaf says `-learning_rate * G / (H + l2)` with the sums of the
/// derivatives over its rows, and the leaf that gains most is split first. Features are binned.
///
/// Early stopping: a share `holdout` of the rows (drawn by seed, the same share of each class; of a row with shares of
/// several its largest) is kept back, and the
/// number of rounds is the one with the lowest loss there, looked for until `patience` rounds bring nothing lower.
/// With `refit` the trees are then grown again on all rows for that many rounds. With fewer than ten rows a class (or
/// values) nothing can be held back and all `rounds` are run.
///
/// # Reference
/// Friedman, *Greedy Function Approximation: A Gradient Boosting Machine*, Annals of Statistics 29, 2001; Chen and
/// Guestrin, *XGBoost: A Scalable Tree Boosting System*, KDD 2016, for the second-order leaves and gains.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GradientBoosting {
    /// The most rounds.
    #[schemars(range(min = 1, max = 100_000))]
    pub rounds: u32,
    /// How much of each tree is added, in (0, 1]: smaller needs more rounds and is often a little better.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub learning_rate: f64,
    /// The most leaves of a tree.
    #[schemars(range(min = 2, max = 65536))]
    pub max_leaves: u32,
    /// The most splits on the way to a leaf; without, only the leaves are limited.
    pub max_depth: Option<u32>,
    /// The fewest rows in a leaf.
    #[schemars(range(min = 1))]
    pub min_leaf: u32,
    /// The least sum of second derivatives in a leaf.
    #[schemars(range(min = 0.0))]
    pub min_hessian: f64,
    /// Added to the sum of second derivatives: shrinks leaves with little support.
    #[schemars(range(min = 0.0))]
    pub l2: f64,
    /// The most bins of a feature.
    #[schemars(range(min = 2, max = 255))]
    pub bins: u32,
    /// Share of the rows that each round draws without replacement, in (0, 1].
    #[schemars(range(min = 0.0, max = 1.0))]
    pub row_share: f64,
    /// Share of the features that each tree draws, in (0, 1].
    #[schemars(range(min = 0.0, max = 1.0))]
    pub feature_share: f64,
    /// Share of the rows held back for early stopping, in (0, .5].
    #[schemars(range(min = 0.0, max = 0.5))]
    pub holdout: f64,
    /// Rounds without a lower loss on the rows held back before it stops; 0: no early stopping, all `rounds` are run.
    pub patience: u32,
    /// Whether to grow the trees again on all rows once the number of rounds is known.
    pub refit: bool,
}

impl Default for GradientBoosting {
    fn default() -> Self {
        Self {
            rounds: 1000,
            learning_rate: 0.05,
            max_leaves: 15,
            max_depth: None,
            min_leaf: 20,
            min_hessian: 1e-3,
            l2: 1.0,
            bins: 255,
            row_share: 0.8,
            feature_share: 0.5,
            holdout: 0.1,
            patience: 30,
            refit: true,
        }
    }
}

impl Method for GradientBoosting {
    const NAME: &'static str = "gradient_boosting";
    const ABOUT: &'static str = "trees added one after the other, with early stopping";

    fn validate(&self) -> Result<()> {
        let range = |name: &str, fits: bool, expected: &str, got: String| {
            if fits {
                Ok(())
            } else {
                Err(Error::argument("out of range").at(name).expected(expected).got(got))
            }
        };
        let share = |v: f64| v > 0.0 && v <= 1.0;
        let above = |v: f64| v.is_finite() && v >= 0.0;
        range("rounds", (1..=100_000).contains(&self.rounds), "1 to 100000", self.rounds.to_string())?;
        range(
            "learning_rate",
            share(self.learning_rate),
            "above 0, at most 1",
            self.learning_rate.to_string(),
        )?;
        range(
            "max_leaves",
            (2..=65536).contains(&self.max_leaves),
            "2 to 65536",
            self.max_leaves.to_string(),
        )?;
        range("min_leaf", self.min_leaf >= 1, "at least 1", self.min_leaf.to_string())?;
        range("min_hessian", above(self.min_hessian), "finite, not negative", self.min_hessian.to_string())?;
        range("l2", above(self.l2), "finite, not negative", self.l2.to_string())?;
        range("bins", (2..=255).contains(&self.bins), "2 to 255", self.bins.to_string())?;
        range("row_share", share(self.row_share), "above 0, at most 1", self.row_share.to_string())?;
        range(
            "feature_share",
            share(self.feature_share),
            "above 0, at most 1",
            self.feature_share.to_string(),
        )?;
        let holdout = self.holdout > 0.0 && self.holdout <= 0.5;
        range("holdout", holdout, "above 0, at most .5", self.holdout.to_string())
    }
}

impl Learner for GradientBoosting {
    fn check(&self, _task: &Task) -> Result<()> {
        Ok(())
    }

    fn fit(
        &self,
        x: ArrayView2<'_, f32>,
        target: &Target,
        weight: Option<&[f32]>,
        context: &Context<'_>,
    ) -> Result<Box<dyn FittedLearner>> {
        check_fit(x, target, weight)?;
        match target {
            Target::Values(values) => {
                let loss = Loss::values(values, mean_one(weight, x.nrows()));
                self.boost(x, None, &loss, context)
            }
            Target::Classes { classes, codes } => {
                let (present, labels) = Labels::codes(classes, codes);
                self.fit_labels(x, present, labels, weight, context)
            }
        }
    }

    fn by_shares(&self) -> Option<&dyn ByShares> {
        Some(self)
    }
}

impl ByShares for GradientBoosting {
    fn fit_shares(
        &self,
        x: ArrayView2<'_, f32>,
        shares: Shares<'_>,
        weight: Option<&[f32]>,
        context: &Context<'_>,
    ) -> Result<Box<dyn FittedLearner>> {
        check_shares(x, shares, weight)?;
        let (present, labels) = Labels::shares(shares);
        self.fit_labels(x, present, labels, weight, context)
    }
}

impl GradientBoosting {
    fn fit_labels(
        &self,
        x: ArrayView2<'_, f32>,
        present: Present,
        labels: Labels,
        weight: Option<&[f32]>,
        context: &Context<'_>,
    ) -> Result<Box<dyn FittedLearner>> {
        if present.count() < 2 {
            return Ok(Box::new(Same::among(x, &present, &labels, weight)));
        }
        let loss = Loss::classes(labels, present.count(), mean_one(weight, x.nrows()));
        self.boost(x, Some(present), &loss, context)
    }

    fn boost(
        &self,
        x: ArrayView2<'_, f32>,
        present: Option<Present>,
        loss: &Loss,
        context: &Context<'_>,
    ) -> Result<Box<dyn FittedLearner>> {
        let data = Binned::new(x, self.bins as usize, context.stop)?;
        let run = Run { settings: self, x, data: &data, loss, context };
        let all: Vec<u32> = (0u32..).take(x.nrows()).collect();
        let (kept, held) = match context.epochs {
            None if self.patience > 0 => loss.hold_back(self.holdout, &context.seed.child("holdout")),
            _ => (all.clone(), Vec::new()),
        };
        let rounds = context.epochs.unwrap_or(self.rounds);
        let mut grown = run.grow(kept, &held, rounds)?;
        if !held.is_empty() && self.refit {
            let best = grown.trees.len() / loss.outputs();
            grown = run.grow(all, &[], u32::try_from(best).unwrap_or(u32::MAX))?;
        }
        Ok(Box::new(Boosted { present, base: grown.base, trees: Trees::new(x.ncols(), 1, grown.trees)? }))
    }
}

/// One boosting of some rows.
struct Run<'a> {
    settings: &'a GradientBoosting,
    x: ArrayView2<'a, f32>,
    data: &'a Binned,
    loss: &'a Loss,
    context: &'a Context<'a>,
}

struct Grown {
    base: Vec<f64>,
    trees: Vec<Tree>,
}

impl Run<'_> {
    /// Grows up to `rounds` rounds on `rows`; with rows held back, as many as make their loss lowest.
    fn grow(&self, rows: Vec<u32>, held: &[u32], rounds: u32) -> Result<Grown> {
        let s = self.settings;
        let outputs = self.loss.outputs();
        let booster = Booster {
            data: self.data,
            rate: s.learning_rate,
            max_leaves: s.max_leaves as usize,
            max_depth: s.max_depth.map_or(usize::MAX, |d| d as usize),
            min_leaf: s.min_leaf as usize,
            min_hessian: s.min_hessian,
            l2: s.l2,
        };
        let base = self.loss.base(&rows);
        let mut scores: Vec<f64> = base.iter().copied().cycle().take(self.x.nrows() * outputs).collect();
        let mut trees = Vec::new();
        let mut best = (self.loss.mean(&scores, held), 0);
        for round in 0..u64::from(rounds) {
            self.context.stop.check()?;
            let seed = self.context.seed.child("round").item(round);
            let drawn = draw(&rows, s.row_share, &seed.child("rows"));
            let derivatives = self.loss.derivatives(&scores);
            let new: Vec<Tree> = derivatives
                .into_par_iter()
                .enumerate()
                .map(|(k, (gradient, hessian))| {
                    let features: Vec<usize> = (0..self.data.features()).collect();
                    let features = draw(&features, s.feature_share, &seed.child("features").item(k as u64));
                    booster.grow(drawn.clone(), &features, &gradient, &hessian)
                })
                .collect();
            self.add(&new, &mut scores);
            trees.extend(new);
            let note = if held.is_empty() {
                "rounds".to_owned()
            } else {
                let loss = self.loss.mean(&scores, held);
                if loss < best.0 {
                    best = (loss, trees.len());
                }
                format!("held-out loss {loss:.5}")
            };
            self.context.progress.step(round + 1, u64::from(rounds), &note);
            if !held.is_empty() && trees.len() - best.1 >= s.patience as usize * outputs {
                break;
            }
        }
        if !held.is_empty() {
            // At least one round, so that a refit has something to do.
            trees.truncate(best.1.max(outputs));
        }
        Ok(Grown { base, trees })
    }

    /// Adds what the new trees, one an output, say of every row.
    fn add(&self, new: &[Tree], scores: &mut [f64]) {
        let outputs = new.len();
        let chunks = self.x.axis_chunks_iter(Axis(0), BLOCK).collect::<Vec<_>>();
        chunks.into_par_iter().zip(scores.par_chunks_mut(BLOCK * outputs)).for_each(|(block, scores)| {
            for (row, scores) in block.rows().into_iter().zip(scores.chunks_exact_mut(outputs)) {
                for (tree, score) in new.iter().zip(scores) {
                    *score += f64::from(tree.value(row, 1)[0]);
                }
            }
        });
    }
}

/// A share of `of` (at least one), in their order.
fn draw<T: Copy + Ord>(of: &[T], share: f64, seed: &Seed) -> Vec<T> {
    let count = ((of.len() as f64 * share).round() as usize).clamp(1, of.len().max(1));
    let mut drawn = of.to_vec();
    if count < drawn.len() {
        drawn.shuffle(&mut seed.rng());
        drawn.truncate(count);
        drawn.sort_unstable();
    }
    drawn
}

struct Boosted {
    present: Option<Present>,
    base: Vec<f64>,
    /// Round by round, a tree an output in each.
    trees: Trees,
}

impl FittedLearner for Boosted {
    fn kind(&self) -> &'static str {
        GradientBoosting::NAME
    }

    fn predict(&self, x: ArrayView2<'_, f32>) -> Result<Matrix> {
        check_predict(x, self.trees.width())?;
        let columns = self.present.as_ref().map_or(1, Present::classes);
        predict_blocks(x, columns, BLOCK / 8, |block| {
            let outputs = self.base.len();
            let mut scores: Vec<f64> =
                self.base.iter().copied().cycle().take(block.nrows() * outputs).collect();
            for tree in 0..self.trees.count() {
                let output = tree % outputs;
                for (row, scores) in block.rows().into_iter().zip(scores.chunks_exact_mut(outputs)) {
                    scores[output] += f64::from(self.trees.value(tree, row)[0]);
                }
            }
            match &self.present {
                None => {
                    Matrix::from_shape_vec((block.nrows(), 1), scores.iter().map(|s| *s as f32).collect())
                        .map_err(|e| Error::internal(e.to_string()))
                }
                Some(present) => {
                    let mut p = Matrix::zeros((block.nrows(), present.count()));
                    for (scores, mut out) in scores.chunks_exact(outputs).zip(p.rows_mut()) {
                        Loss::probabilities(scores, |k, v| out[k] = v as f32);
                    }
                    Ok(present.widen(p))
                }
            }
        })
    }

    fn save(&self) -> Result<Parts> {
        let config = json!({"present": self.present, "width": self.trees.width()});
        Ok(self.trees.save(Parts::new(self.kind(), config)).with_f64("base", &self.base))
    }

    fn graph(&self, graph: &mut Graph, x: &Value) -> Result<Value> {
        let outputs = self.base.len();
        let base = graph.doubles("base", &[1, outputs], self.base.iter().copied());
        let scores = if self.trees.count() == 0 {
            graph.repeated(&base, outputs, x)
        } else {
            let sums = self.trees.graph(graph, x, outputs)?;
            graph.add(&sums, &base)
        };
        let Some(present) = &self.present else { return Ok(graph.single(&scores)) };
        let p = if outputs == 1 { graph.two(&scores) } else { graph.softmax(&scores) };
        let p = graph.single(&p);
        Ok(present.widen_graph(graph, &p))
    }

    fn parameters(&self) -> u64 {
        self.trees.parameters() + self.base.len() as u64
    }
}

pub(super) fn load(parts: &Parts, _: &Loaders) -> Result<Box<dyn FittedLearner>> {
    let present: Option<Present> = parts.field("present")?;
    if let Some(present) = &present {
        present.check(2)?;
    }
    let outputs = present.as_ref().map_or(1, |p| if p.count() == 2 { 1 } else { p.count() });
    let base = parts.f64("base")?.to_vec();
    let trees = Trees::load(parts, parts.field("width")?, 1)?;
    if base.len() != outputs || trees.count() % outputs != 0 {
        return Err(Error::model("the saved \"gradient_boosting\" is damaged")
            .expected(format!("{outputs} outputs"))
            .got(format!("{} base scores, {} trees", base.len(), trees.count())));
    }
    Ok(Box::new(Boosted { present, base, trees }))
}
