//! Random forests.

use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::constant::Same;
use super::labels::Labels;
use super::present::Present;
use super::rows::{as_given, check_fit, check_predict, check_shares, mean_one, predict_blocks};
use super::trees::{Binned, Grower, Tree, Trees, Truth};
use crate::array::{ArrayView2, Matrix};
use crate::error::{Error, Result};
use crate::model::graph::{Element, Graph, Value};
use crate::model::{ByShares, Context, FittedLearner, Learner, Loaders, Parts, Shares, Target, Task};
use crate::registry::Method;

/// Rows predicted at once by one thread.
const PREDICTED: usize = 128;

/// A random forest: the mean of many trees, each grown on a bootstrap of the rows, each split the best of a few
/// features drawn at random (Gini impurity for classes, variance for values). Features are binned into at most `bins`
/// bins of about the same number of rows. A leaf says `p_c = (weight of class c + smoothing * share of c) / (weight +
/// smoothing)`, weights scaled to a mean of one.
///
/// # Reference
/// Breiman, *Random Forests*, Machine Learning 45, 2001; smoothed leaves after Zadrozny and Elkan, *Obtaining
/// Calibrated Probability Estimates from Decision Trees and Naive Bayesian Classifiers*, ICML 2001.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RandomForest {
    /// How many trees.
    #[schemars(range(min = 1, max = 100_000))]
    pub trees: u32,
    /// The fewest distinct rows in a leaf. 1 grows trees to the end; more give better probabilities.
    #[schemars(range(min = 1))]
    pub min_leaf: u32,
    /// The most splits on the way to a leaf; without, trees grow until `min_leaf` stops them.
    pub max_depth: Option<u32>,
    /// Share of the features drawn at each split, in (0, 1]. Without: the square root of their number for classes, a
    /// third of them for values.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub feature_share: Option<f64>,
    /// Whether each tree draws its rows with replacement; otherwise all trees see all rows once.
    pub bootstrap: bool,
    /// The most bins of a feature.
    #[schemars(range(min = 2, max = 255))]
    pub bins: u32,
    /// Classes: votes added to each leaf in the shares of the classes.
    #[schemars(range(min = 0.0))]
    pub smoothing: f64,
}

impl Default for RandomForest {
    fn default() -> Self {
        Self {
            trees: 200,
            min_leaf: 5,
            max_depth: None,
            feature_share: None,
            bootstrap: true,
            bins: 255,
            smoothing: 1.0,
        }
    }
}

impl Method for RandomForest {
    const NAME: &'static str = "random_forest";
    const ABOUT: &'static str = "the mean of many trees on bootstraps of the rows";

    fn validate(&self) -> Result<()> {
        if self.trees == 0 || self.trees > 100_000 {
            return Err(Error::argument("out of range").at("trees").expected("1 to 100000").got(self.trees));
        }
        if self.min_leaf == 0 {
            return Err(Error::argument("must be at least 1").at("min_leaf").got(0));
        }
        if let Some(share) = self.feature_share.filter(|s| !(*s > 0.0 && *s <= 1.0)) {
            return Err(Error::argument("out of range")
                .at("feature_share")
                .expected("above 0, at most 1")
                .got(share));
        }
        if !(2..=255).contains(&self.bins) {
            return Err(Error::argument("out of range").at("bins").expected("2 to 255").got(self.bins));
        }
        if !(self.smoothing.is_finite() && self.smoothing >= 0.0) {
            return Err(Error::argument("must be finite and not negative")
                .at("smoothing")
                .got(self.smoothing));
        }
        Ok(())
    }
}

impl Learner for RandomForest {
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
            Target::Classes { classes, codes } => {
                let (present, labels) = Labels::codes(classes, codes);
                self.fit_labels(x, present, labels, weight, context)
            }
            Target::Values(values) => {
                let data = Binned::new(x, self.bins as usize, context.stop)?;
                let width = x.ncols();
                let weight = as_given(weight, x.nrows());
                let total: f64 = weight.iter().sum();
                let mean = values.iter().zip(&weight).map(|(v, w)| f64::from(*v) * w).sum::<f64>() / total;
                let around: Vec<f64> = values.iter().map(|v| f64::from(*v) - mean).collect();
                let grown =
                    self.grow(&data, Truth::Values(&around), &weight, (width as f64 / 3.0).ceil(), context)?;
                Ok(Box::new(Forest { present: None, mean, trees: Trees::new(width, 1, grown)? }))
            }
        }
    }

    fn by_shares(&self) -> Option<&dyn ByShares> {
        Some(self)
    }
}

impl ByShares for RandomForest {
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

impl RandomForest {
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
        let data = Binned::new(x, self.bins as usize, context.stop)?;
        let (rows, width) = x.dim();
        let weight = mean_one(weight, rows);
        let count = present.count();
        let mut shares = vec![0.0; count];
        for (row, w) in weight.iter().enumerate() {
            let part = w / rows as f64;
            labels.each(row, |class, share| shares[class] += part * share);
        }
        let truth = match &labels {
            Labels::Codes(codes) => Truth::Classes { codes, count, shares: &shares },
            Labels::Shares { p, count } => Truth::Parts { p, count: *count, shares: &shares },
        };
        let grown = self.grow(&data, truth, &weight, (width as f64).sqrt().floor(), context)?;
        let trees = Trees::new(width, count, grown)?;
        Ok(Box::new(Forest { present: Some(present), mean: 0.0, trees }))
    }

    fn grow(
        &self,
        data: &Binned,
        truth: Truth<'_>,
        weight: &[f64],
        few: f64,
        context: &Context<'_>,
    ) -> Result<Vec<Tree>> {
        let width = data.features();
        let drawn = self.feature_share.map_or(few, |s| (s * width as f64).round());
        let grower = Grower {
            data,
            truth,
            weight,
            bootstrap: self.bootstrap,
            draws: (drawn as usize).clamp(1, width),
            min_leaf: self.min_leaf as usize,
            max_depth: self.max_depth.map_or(usize::MAX, |d| d as usize),
            smoothing: self.smoothing,
        };
        let seed = context.seed.child("tree");
        let done = AtomicU64::new(0);
        (0..u64::from(self.trees))
            .into_par_iter()
            .map(|t| {
                context.stop.check()?;
                let tree = grower.grow(&seed.item(t));
                context.progress.step(
                    done.fetch_add(1, Ordering::Relaxed) + 1,
                    u64::from(self.trees),
                    "trees",
                );
                Ok(tree)
            })
            .collect()
    }
}

struct Forest {
    present: Option<Present>,
    mean: f64,
    trees: Trees,
}

impl FittedLearner for Forest {
    fn kind(&self) -> &'static str {
        RandomForest::NAME
    }

    fn predict(&self, x: ArrayView2<'_, f32>) -> Result<Matrix> {
        check_predict(x, self.trees.width())?;
        let outputs = self.present.as_ref().map_or(1, Present::classes);
        predict_blocks(x, outputs, PREDICTED, |block| {
            let narrow = self.trees.outputs();
            let mut sums = vec![0.0f64; block.nrows() * narrow];
            for tree in 0..self.trees.count() {
                for (row, sums) in block.rows().into_iter().zip(sums.chunks_exact_mut(narrow)) {
                    for (s, v) in sums.iter_mut().zip(self.trees.value(tree, row)) {
                        *s += f64::from(*v);
                    }
                }
            }
            let count = self.trees.count() as f64;
            let p = Matrix::from_shape_fn((block.nrows(), narrow), |(r, c)| {
                (self.mean + sums[r * narrow + c] / count) as f32
            });
            Ok(match &self.present {
                Some(present) => present.widen(p),
                None => p,
            })
        })
    }

    fn save(&self) -> Result<Parts> {
        let config = json!({"present": self.present, "width": self.trees.width()});
        Ok(self.trees.save(Parts::new(self.kind(), config)).with_f64("mean", &[self.mean]))
    }

    fn graph(&self, graph: &mut Graph, x: &Value) -> Result<Value> {
        let sums = self.trees.graph(graph, x, self.trees.outputs())?;
        let count = graph.scalar(Element::F64, self.trees.count() as f64);
        let mean = graph.scalar(Element::F64, self.mean);
        let shares = graph.div(&sums, &count);
        let said = graph.add(&shares, &mean);
        let said = graph.single(&said);
        Ok(self.present.as_ref().map_or_else(|| said.clone(), |p| p.widen_graph(graph, &said)))
    }

    fn parameters(&self) -> u64 {
        self.trees.parameters()
    }
}

pub(super) fn load(parts: &Parts, _: &Loaders) -> Result<Box<dyn FittedLearner>> {
    let present: Option<Present> = parts.field("present")?;
    if let Some(present) = &present {
        present.check(2)?;
    }
    let outputs = present.as_ref().map_or(1, Present::count);
    let trees = Trees::load(parts, parts.field("width")?, outputs)?;
    match parts.f64("mean")? {
        [mean] if trees.count() > 0 => Ok(Box::new(Forest { present, mean: *mean, trees })),
        _ => {
            Err(Error::model("the saved \"random_forest\" is damaged")
                .expected("one mean and at least one tree"))
        }
    }
}
