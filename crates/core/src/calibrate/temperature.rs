//! One number that makes all probabilities bolder or shyer.

use ndarray::{Array2, ArrayView1};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::one_against_rest::value_of;
use super::rows::{Rows, check, clipped, only};
use crate::array::{MIN_PROBABILITY, Matrix, log_sum_exp};
use crate::error::{Error, Result};
use crate::model::graph::{Answer, Element, Graph, Value};
use crate::model::{Batch, Context, Fused, Fuser, Honest, Inputs, Loaders, Parts, Predictions, Task};
use crate::registry::Method;

/// The key under which it is loaded.
pub(super) const KIND: &str = "temperature";
/// The inverse temperature stays within `[1 / BOUND, BOUND]`: where every row is decided right, none is high enough.
const BOUND: f64 = 100.0;
/// Newton steps at most; bisection alone needs fewer.
const STEPS: usize = 200;

/// `q = softmax(beta ln p)` with the inverse temperature `beta` of the lowest log-loss, within [0.01, 100]: below one
/// for a member that is too sure, above one for one that is not sure enough. The order of the classes of a row does
/// not change. Probabilities below 1e-7 are raised to it.
///
/// # Reference
/// Guo, Pleiss, Sun and Weinberger, "On calibration of modern neural networks", ICML 2017.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Temperature {}

impl Method for Temperature {
    const NAME: &'static str = "temperature";
    const ABOUT: &'static str =
        "One temperature for all probabilities, softmax(beta ln p), any number of classes";
}

impl Fuser for Temperature {
    fn check(&self, task: &Task, members: usize) -> Result<()> {
        check(task, members)
    }

    fn fit(&self, honest: &Honest, _: Option<Inputs<'_>>, _: &Context<'_>) -> Result<Box<dyn Fused>> {
        let rows = Rows::new(honest)?;
        Ok(Box::new(Scaled { task: honest.target().task(), beta: best(&rows) }))
    }
}

/// The inverse temperature of the lowest log-loss: Newton steps on its logarithm, between bounds that the sign of the
/// slope draws closer. The log-loss is convex in `beta`.
fn best(rows: &Rows) -> f64 {
    let z = rows.p.mapv(f64::ln);
    let total: f64 = rows.weight.iter().sum();
    let (mut low, mut high) = (-BOUND.ln(), BOUND.ln());
    let mut at = 0.0f64;
    for _ in 0..STEPS {
        let (slope, bend) = derivatives(rows, &z, at.exp(), total);
        // In ln beta.
        let (slope, bend) = (slope * at.exp(), slope * at.exp() + bend * at.exp().powi(2));
        if slope.abs() <= 1e-13 {
            break;
        }
        if slope > 0.0 {
            high = at
        } else {
            low = at
        }
        let newton = at - slope / bend;
        let next = if bend > 0.0 && newton > low && newton < high { newton } else { (low + high) / 2.0 };
        if (next - at).abs() <= 1e-15 {
            break;
        }
        at = next;
    }
    at.exp()
}

/// First and second derivative of the mean log-loss by `beta`: with `q = softmax(beta z)`, the means of
/// `E_q z - z_y` and of the variance of `z` under `q`.
fn derivatives(rows: &Rows, z: &Array2<f64>, beta: f64, total: f64) -> (f64, f64) {
    let (mut slope, mut bend) = (0.0, 0.0);
    let mut scaled = vec![0.0; z.ncols()];
    for ((z, y), w) in z.rows().into_iter().zip(&rows.codes).zip(&rows.weight) {
        scaled.iter_mut().zip(z).for_each(|(s, z)| *s = beta * z);
        let log_sum = log_sum_exp(&scaled);
        let q = || scaled.iter().map(|s| (s - log_sum).exp()).zip(z);
        let mean: f64 = q().map(|(q, z)| q * z).sum();
        slope += w * (mean - z[*y]);
        bend += w * q().map(|(q, z)| q * (z - mean).powi(2)).sum::<f64>();
    }
    (slope / total, bend / total)
}

/// A fitted temperature.
struct Scaled {
    task: Task,
    beta: f64,
}

/// Loads one.
pub(super) fn load(parts: &Parts, _: &Loaders) -> Result<Box<dyn Fused>> {
    match parts.f64("beta")? {
        [beta] if beta.is_finite() && *beta > 0.0 => {
            Ok(Box::new(Scaled { task: parts.field("task")?, beta: *beta }))
        }
        _ => Err(Error::model("the saved inverse temperature is no number above zero")
            .remedy("the model directory is damaged; fit the model again")),
    }
}

impl Scaled {
    fn row(&self, p: ArrayView1<'_, f32>, scaled: &mut [f64]) {
        scaled.iter_mut().zip(p).for_each(|(s, p)| *s = self.beta * clipped(*p).ln());
        let log_sum = log_sum_exp(scaled);
        scaled.iter_mut().for_each(|s| *s = (*s - log_sum).exp());
    }
}

impl Fused for Scaled {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn fuse(&self, members: &[Predictions], _: Option<&Batch>) -> Result<Predictions> {
        let said = only(members, &self.task)?;
        let p = said.p()?;
        let mut out = Matrix::zeros(p.raw_dim());
        let mut scaled = vec![0.0; p.ncols()];
        for (r, mut to) in out.rows_mut().into_iter().enumerate().filter(|(r, _)| !said.absent().is_set(*r)) {
            self.row(p.row(r), &mut scaled);
            to.iter_mut().zip(&scaled).for_each(|(t, s)| *t = *s as f32);
        }
        Predictions::for_task(said.ids().to_vec(), &self.task, out, said.absent().clone())
    }

    fn graph(&self, graph: &mut Graph, members: &[Answer]) -> Result<Value> {
        let least = f64::from(MIN_PROBABILITY);
        let p = graph.double(value_of(members)?);
        let p = graph.clip(&p, least, 1.0 - least);
        let (z, beta) = (graph.one("Log", &p), graph.scalar(Element::F64, self.beta));
        let scaled = graph.mul(&z, &beta);
        let q = graph.softmax(&scaled);
        Ok(graph.single(&q))
    }

    fn save(&self) -> Result<Parts> {
        Ok(Parts::new(KIND, json!({"task": self.task})).with_f64("beta", &[self.beta]))
    }

    fn parameters(&self) -> u64 {
        1
    }
}
