//! Naive Bayes: features independent within a class.

use ndarray::{Array1, Array2, ArrayView1, Axis};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::constant::Same;
use super::labels::Labels;
use super::present::Present;
use super::rows::{BLOCK, as_given, check_fit, check_predict, check_shares, predict_blocks};
use crate::array::{ArrayView2, Matrix, log_sum_exp};
use crate::error::{Error, Result};
use crate::model::graph::{Element, Graph, Value};
use crate::model::{Array, ByShares, Context, FittedLearner, Learner, Loaders, Parts, Shares, Target, Task};
use crate::registry::Method;

/// How a feature is distributed within a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Likelihood {
    /// A normal distribution.
    Gaussian,
    /// Present (above 0) or not.
    Bernoulli,
    /// A count of draws; features must not be negative.
    Multinomial,
}

/// Naive Bayes: `p(class | x)` is proportional to `p(class) * product_j p(x_j | class)`, as if the features of a class
/// were independent. Fast, and a different view beside trees and linear models; its probabilities are too sure where
/// features repeat each other. Classes that do not occur get probability zero.
///
/// # Reference
/// Manning, Raghavan and Schuetze, *Introduction to Information Retrieval*, 2008, chapter 13.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NaiveBayes {
    /// How a feature is distributed within a class.
    pub kind: Likelihood,
    /// Gaussian: this share of the largest variance of a feature is added to every variance.
    #[schemars(range(min = 0.0))]
    pub variance_smoothing: f64,
    /// Bernoulli and multinomial: added to every count, above 0.
    #[schemars(range(min = 0.0))]
    pub alpha: f64,
}

impl Default for NaiveBayes {
    fn default() -> Self {
        Self { kind: Likelihood::Gaussian, variance_smoothing: 1e-9, alpha: 1.0 }
    }
}

impl Method for NaiveBayes {
    const NAME: &'static str = "naive_bayes";
    const ABOUT: &'static str = "naive Bayes with gaussian, bernoulli or multinomial features";

    fn validate(&self) -> Result<()> {
        let v = self.variance_smoothing;
        if !(v.is_finite() && v >= 0.0) {
            return Err(Error::argument("must be finite and not negative").at("variance_smoothing").got(v));
        }
        if !(self.alpha.is_finite() && self.alpha > 0.0) {
            return Err(Error::argument("must be finite and above 0").at("alpha").got(self.alpha));
        }
        Ok(())
    }
}

impl Learner for NaiveBayes {
    fn check(&self, task: &Task) -> Result<()> {
        match task {
            Task::Classify(_) => Ok(()),
            Task::Regress => Err(Error::argument("naive Bayes predicts classes, not values")),
        }
    }

    fn fit(
        &self,
        x: ArrayView2<'_, f32>,
        target: &Target,
        weight: Option<&[f32]>,
        context: &Context<'_>,
    ) -> Result<Box<dyn FittedLearner>> {
        let (classes, codes) = target.codes()?;
        check_fit(x, target, weight)?;
        let (present, labels) = Labels::codes(classes, codes);
        self.fit_labels(x, present, labels, weight, context)
    }

    fn by_shares(&self) -> Option<&dyn ByShares> {
        Some(self)
    }
}

impl ByShares for NaiveBayes {
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

impl NaiveBayes {
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
        context.stop.check()?;
        let weight = as_given(weight, x.nrows());
        let rows = Rows { x, labels: &labels, weight: &weight, classes: present.count() };
        let mass = rows.mass();
        let prior = mass.mapv(|m| (m / mass.sum()).ln());
        let evidence = match self.kind {
            Likelihood::Gaussian => self.gaussian(&rows, &mass),
            Likelihood::Bernoulli => {
                let on = rows.sums(|v| f64::from(u8::from(v > 0.0)));
                let p = Array2::from_shape_fn(on.dim(), |(k, j)| {
                    (on[[k, j]] + self.alpha) / (mass[k] + 2.0 * self.alpha)
                });
                let absent = p.mapv(|p| (1.0 - p).ln());
                let constant = absent.sum_axis(Axis(1));
                Evidence::Linear { binary: true, slope: p.mapv(f64::ln) - absent, constant }
            }
            Likelihood::Multinomial => {
                if let Some(((row, column), value)) = x.indexed_iter().find(|(_, v)| **v < 0.0) {
                    return Err(Error::data("multinomial features are counts and must not be negative")
                        .at(format!("row {row}, column {column}"))
                        .got(value)
                        .remedy("use kind: gaussian"));
                }
                let mut p = rows.sums(f64::from) + self.alpha;
                for mut row in p.rows_mut() {
                    let sum = row.sum();
                    row.mapv_inplace(|v| (v / sum).ln());
                }
                Evidence::Linear { binary: false, slope: p, constant: Array1::zeros(present.count()) }
            }
        };
        context.progress.step(1, 1, "counted");
        Ok(Box::new(Bayes { present, prior, evidence }))
    }

    fn gaussian(&self, rows: &Rows<'_>, mass: &Array1<f64>) -> Evidence {
        let mut mean = rows.sums(f64::from);
        for (mut row, m) in mean.rows_mut().into_iter().zip(mass) {
            row /= *m;
        }
        let width = rows.x.ncols();
        let count = rows.x.nrows() as f64;
        let mut variance = Array2::<f64>::zeros(mean.dim());
        let mut center = Array1::<f64>::zeros(width);
        for row in rows.x.rows() {
            center.zip_mut_with(&row, |c, v| *c += f64::from(*v));
        }
        center /= count;
        let mut whole = Array1::<f64>::zeros(width);
        for (i, (row, w)) in rows.x.rows().into_iter().zip(rows.weight).enumerate() {
            rows.labels.each(i, |k, share| {
                for (j, v) in row.iter().enumerate() {
                    variance[[k, j]] += w * share * (f64::from(*v) - mean[[k, j]]).powi(2);
                }
            });
            for (j, v) in row.iter().enumerate() {
                whole[j] += (f64::from(*v) - center[j]).powi(2);
            }
        }
        let largest = whole.iter().fold(0.0f64, |a, v| a.max(*v)) / count;
        // Where nothing varies at all the smoothing itself is the variance; it never is zero.
        let added = if largest > 0.0 { self.variance_smoothing * largest } else { self.variance_smoothing };
        for (mut row, m) in variance.rows_mut().into_iter().zip(mass) {
            row.mapv_inplace(|v| (v / m + added).max(1e-300));
        }
        Evidence::Gaussian { mean, variance }
    }
}

/// Labelled rows, of the classes that occur.
struct Rows<'a> {
    x: ArrayView2<'a, f32>,
    labels: &'a Labels,
    weight: &'a [f64],
    classes: usize,
}

impl Rows<'_> {
    /// The weight of each class.
    fn mass(&self) -> Array1<f64> {
        Array1::from(self.labels.mass(self.weight, self.classes))
    }

    /// Weighted sums of `f` of each feature within each class: `[classes, features]`.
    fn sums(&self, f: impl Fn(f32) -> f64) -> Array2<f64> {
        let mut sums = Array2::zeros((self.classes, self.x.ncols()));
        for (i, (row, w)) in self.x.rows().into_iter().zip(self.weight).enumerate() {
            self.labels.each(i, |k, share| {
                sums.row_mut(k).zip_mut_with(&row, |s, v| *s += w * share * f(*v));
            });
        }
        sums
    }
}

/// `ln p(x | class)`.
enum Evidence {
    /// From the means and variances `[classes, features]`.
    Gaussian { mean: Array2<f64>, variance: Array2<f64> },
    /// `constant + slope.x`, with `x` as 0 or 1 if `binary`.
    Linear { binary: bool, slope: Array2<f64>, constant: Array1<f64> },
}

struct Bayes {
    present: Present,
    prior: Array1<f64>,
    evidence: Evidence,
}

impl Bayes {
    fn joint(&self, row: ArrayView1<'_, f32>, out: &mut [f64]) {
        match &self.evidence {
            Evidence::Gaussian { mean, variance } => {
                for (k, o) in out.iter_mut().enumerate() {
                    let mut sum = self.prior[k];
                    for ((v, m), s) in row.iter().zip(mean.row(k)).zip(variance.row(k)) {
                        sum -= 0.5 * ((std::f64::consts::TAU * s).ln() + (f64::from(*v) - m).powi(2) / s);
                    }
                    *o = sum;
                }
            }
            Evidence::Linear { binary, slope, constant } => {
                for (k, o) in out.iter_mut().enumerate() {
                    let mut sum = self.prior[k] + constant[k];
                    for (v, w) in row.iter().zip(slope.row(k)) {
                        let v = if *binary { f64::from(u8::from(*v > 0.0)) } else { f64::from(*v) };
                        sum += v * w;
                    }
                    *o = sum;
                }
            }
        }
    }

    fn width(&self) -> usize {
        match &self.evidence {
            Evidence::Gaussian { mean, .. } => mean.ncols(),
            Evidence::Linear { slope, .. } => slope.ncols(),
        }
    }
}

impl FittedLearner for Bayes {
    fn kind(&self) -> &'static str {
        NaiveBayes::NAME
    }

    fn predict(&self, x: ArrayView2<'_, f32>) -> Result<Matrix> {
        check_predict(x, self.width())?;
        predict_blocks(x, self.present.classes(), BLOCK, |block| {
            let mut joint = vec![0.0; self.present.count()];
            let mut p = Matrix::zeros((block.nrows(), joint.len()));
            for (row, mut out) in block.rows().into_iter().zip(p.rows_mut()) {
                self.joint(row, &mut joint);
                let all = log_sum_exp(&joint);
                out.iter_mut().zip(&joint).for_each(|(o, j)| *o = (j - all).exp() as f32);
            }
            Ok(self.present.widen(p))
        })
    }

    fn save(&self) -> Result<Parts> {
        let likelihood = match &self.evidence {
            Evidence::Gaussian { .. } => Likelihood::Gaussian,
            Evidence::Linear { binary: true, .. } => Likelihood::Bernoulli,
            Evidence::Linear { binary: false, .. } => Likelihood::Multinomial,
        };
        let config = json!({"present": self.present, "width": self.width(), "likelihood": likelihood});
        let parts = Parts::new(self.kind(), config).with_f64("prior", &self.prior.to_vec());
        let array = |a: &Array2<f64>| Array::F64(a.shape().to_vec(), a.iter().copied().collect());
        Ok(match &self.evidence {
            Evidence::Gaussian { mean, variance } => {
                parts.with("mean", array(mean)).with("variance", array(variance))
            }
            Evidence::Linear { slope, constant, .. } => {
                parts.with("slope", array(slope)).with_f64("constant", &constant.to_vec())
            }
        })
    }

    fn graph(&self, graph: &mut Graph, x: &Value) -> Result<Value> {
        let (classes, width) = (self.present.count(), self.width());
        let (evidence, constant) = match &self.evidence {
            Evidence::Gaussian { mean, variance } => {
                let x = graph.double(x);
                let x = graph.reshape(&x, &[0, 1, width as i64]);
                let mean = graph.doubles("mean", &[1, classes, width], mean.iter().copied());
                let scale = variance.iter().map(|s| -0.5 / s);
                let scale = graph.doubles("scale", &[1, classes, width], scale);
                let gap = graph.sub(&x, &mean);
                let square = graph.mul(&gap, &gap);
                let scaled = graph.mul(&square, &scale);
                let sum = graph.reduce("ReduceSum", &scaled, &[2]);
                let constant = variance
                    .rows()
                    .into_iter()
                    .map(|row| row.iter().map(|s| -0.5 * (std::f64::consts::TAU * s).ln()).sum::<f64>());
                (graph.reshape(&sum, &[0, classes as i64]), constant.collect::<Vec<f64>>())
            }
            Evidence::Linear { binary, slope, constant } => {
                let x = if *binary {
                    let zero = graph.scalar(Element::F32, 0.0);
                    graph.node("Greater", &[x, &zero], vec![], Element::Bool)
                } else {
                    x.clone()
                };
                let x = graph.double(&x);
                let slope = graph.doubles("slope", &[width, classes], slope.t().iter().copied());
                (graph.product(&x, &slope), constant.to_vec())
            }
        };
        let prior = self.prior.iter().zip(constant).map(|(p, c)| p + c);
        let prior = graph.doubles("prior", &[classes], prior);
        let joint = graph.add(&evidence, &prior);
        let p = graph.softmax(&joint);
        let p = graph.single(&p);
        Ok(self.present.widen_graph(graph, &p))
    }

    fn parameters(&self) -> u64 {
        let evidence = match &self.evidence {
            Evidence::Gaussian { mean, variance } => mean.len() + variance.len(),
            Evidence::Linear { slope, constant, .. } => slope.len() + constant.len(),
        };
        (self.prior.len() + evidence) as u64
    }
}

pub(super) fn load(parts: &Parts, _: &Loaders) -> Result<Box<dyn FittedLearner>> {
    let present: Present = parts.field("present")?;
    present.check(2)?;
    let shape = (present.count(), parts.field::<usize>("width")?);
    let damaged = |name: &str| Error::model(format!("the saved \"naive_bayes\" has a damaged \"{name}\""));
    let matrix =
        |name: &str| Array2::from_shape_vec(shape, parts.f64(name)?.to_vec()).map_err(|_| damaged(name));
    let vector = |name: &str| match parts.f64(name)? {
        v if v.len() == shape.0 => Ok(Array1::from(v.to_vec())),
        _ => Err(damaged(name)),
    };
    let evidence = match parts.field("likelihood")? {
        Likelihood::Gaussian => Evidence::Gaussian { mean: matrix("mean")?, variance: matrix("variance")? },
        kind => Evidence::Linear {
            binary: kind == Likelihood::Bernoulli,
            slope: matrix("slope")?,
            constant: vector("constant")?,
        },
    };
    Ok(Box::new(Bayes { prior: vector("prior")?, present, evidence }))
}
