//! The best weights of a linear pool on honest predictions.

use rand::RngExt;
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::evidence::Evidence;
use super::pool::{Content, Pool};
use super::simplex::{Local, Minimum, Smooth, minimize};
use crate::error::Result;
use crate::model::{Context, Fused, Fuser, Honest, Inputs, Stop, Task};
use crate::registry::Method;
use crate::seed::Seed;

/// Rows in a block of parallel work.
const BLOCK: usize = 1024;
/// The least weight of a member during the search where members are absent on some rows: whoever is alone on a row
/// must be able to speak.
const FLOOR: f64 = 1e-6;
/// Seeded starts beside the uniform one where members are absent on some rows, since the problem is not convex then.
const STARTS: u64 = 4;

/// The weights on the simplex that minimize the loss of the pool on honest predictions.
///
/// Classes: `min -mean ln q` with `q = sum_i w_i a_i`, where `a_i` is what member i gave to the true class (at least
/// 1e-7). Values: `min mean (y - q)^2`, which is non-negative least squares. Both are convex and solved by Newton steps
/// with an active set until `max_i mean(a_i / q) - 1` (or the same gap for squares) is below 1e-8. Where members are
/// absent on some rows, `q = sum r_i w_i a_i / sum r_i w_i` over those present is not convex: the best of five starts
/// is taken, and no weight falls below 1e-6, so that whoever is alone on a row can speak.
///
/// # Reference
/// Breiman, "Stacked regressions", Machine Learning 24, 1996 (weights from out-of-fold predictions); Cover, "An
/// algorithm for maximizing expected log investment return", IEEE Information Theory 30(2), 1984 (the conditions).
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Weighted {}

impl Method for Weighted {
    const NAME: &'static str = "weighted";
    const ABOUT: &'static str = "Weights that minimize the log-loss (or squared error) on honest predictions";
}

impl Fuser for Weighted {
    fn check(&self, _: &Task, _: usize) -> Result<()> {
        Ok(())
    }

    fn fit(&self, honest: &Honest, _: Option<Inputs<'_>>, context: &Context<'_>) -> Result<Box<dyn Fused>> {
        let evidence = Evidence::new(honest)?;
        let best = best_weights(&evidence, context.seed, context.stop)?;
        Ok(Box::new(Pool::new(honest.target().task(), &best.weights, Content::Prediction)?))
    }
}

/// The best weights for the evidence, with the value and the gap of the objective.
pub(super) fn best_weights(evidence: &Evidence, seed: Seed, stop: &Stop) -> Result<Minimum> {
    let count = evidence.count();
    let uniform = vec![1.0 / count as f64; count];
    let masked = evidence.present.is_some();
    let floor = if masked { FLOOR.min(0.5 / count as f64) } else { 0.0 };
    let loss = PoolLoss { evidence, floor, unit: evidence.spread() };
    let mut best = minimize(&loss, uniform, stop)?;
    for start in (0..STARTS).filter(|_| masked && count > 1) {
        let mut rng = seed.child("starts").item(start).rng();
        let draws: Vec<f64> = (0..count).map(|_| -rng.random::<f64>().max(1e-12).ln()).collect();
        let sum: f64 = draws.iter().sum();
        let found = minimize(&loss, draws.iter().map(|d| d / sum).collect(), stop)?;
        if found.value < best.value {
            best = found;
        }
    }
    best.weights = loss.raised(&best.weights);
    Ok(best)
}

/// The mean loss of the pool over the evidence, as a function of weights `v` with `w = floor + (1 - m floor) v`.
struct PoolLoss<'a> {
    evidence: &'a Evidence,
    floor: f64,
    unit: f64,
}

impl PoolLoss<'_> {
    fn scale(&self) -> f64 {
        1.0 - self.floor * self.evidence.count() as f64
    }

    fn raised(&self, v: &[f64]) -> Vec<f64> {
        v.iter().map(|v| self.floor + self.scale() * v).collect()
    }

    fn blocks(&self) -> Vec<std::ops::Range<usize>> {
        let rows = self.evidence.rows.len();
        (0..rows.div_ceil(BLOCK)).map(|b| b * BLOCK..((b + 1) * BLOCK).min(rows)).collect()
    }

    /// For the rows of a block: `sum r w a` and `sum r w`.
    fn pooled(&self, rows: &std::ops::Range<usize>, w: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let total: f64 = w.iter().sum();
        let mut sum = vec![0.0f64; rows.len()];
        let mut weight = vec![if self.evidence.present.is_some() { 0.0 } else { total }; rows.len()];
        for (j, column) in self.evidence.columns.iter().enumerate().filter(|(j, _)| w[*j] > 0.0) {
            for (s, a) in sum.iter_mut().zip(&column[rows.clone()]) {
                *s += w[j] * f64::from(*a);
            }
            if let Some(present) = &self.evidence.present {
                for (d, here) in weight.iter_mut().zip(&present[j][rows.clone()]) {
                    *d += if *here { w[j] } else { 0.0 };
                }
            }
        }
        (sum, weight)
    }

    fn block_value(&self, rows: std::ops::Range<usize>, w: &[f64]) -> f64 {
        let (sum, weight) = self.pooled(&rows, w);
        let omega = &self.evidence.weight[rows.clone()];
        let q = sum.iter().zip(&weight).map(|(s, d)| s / d);
        if self.evidence.truth.is_empty() {
            q.zip(omega).map(|(q, o)| -o * q.ln()).sum()
        } else {
            let errors = q.zip(&self.evidence.truth[rows]).map(|(q, y)| f64::from(*y) - q);
            errors.zip(omega).map(|(e, o)| o * e * e).sum::<f64>() / self.unit
        }
    }

    /// With `J_j = (a_j / q - 1) / D` for the log-loss and `(a_j - q) / D` for squares, `D = sum r w`: the slope is
    /// `-sum J_j` or `-2 sum (y - q) J_j`, the curvature `sum J_j J_k` (exact along the simplex where nobody is absent)
    /// or twice that.
    fn derivatives(&self, rows: std::ops::Range<usize>, w: &[f64]) -> (Vec<Vec<f64>>, Vec<f64>, Vec<f64>) {
        let (sum, weight) = self.pooled(&rows, w);
        let omega = &self.evidence.weight[rows.clone()];
        let log = self.evidence.truth.is_empty();
        let mut columns = Vec::with_capacity(w.len());
        for (j, column) in self.evidence.columns.iter().enumerate() {
            let mut out = Vec::with_capacity(rows.len());
            for (i, a) in column[rows.clone()].iter().enumerate() {
                let q = sum[i] / weight[i];
                let a = f64::from(*a);
                let slope = if log { (a / q - 1.0) / weight[i] } else { (a - q) / weight[i] };
                out.push(if self.evidence.has(j, rows.start + i) { slope } else { 0.0 });
            }
            columns.push(out);
        }
        if log {
            return (columns, omega.iter().map(|o| -o).collect(), omega.to_vec());
        }
        let truth = &self.evidence.truth[rows];
        let twice: Vec<f64> = omega.iter().map(|o| 2.0 * o / self.unit).collect();
        let pull = (0..omega.len()).map(|i| -twice[i] * (f64::from(truth[i]) - sum[i] / weight[i])).collect();
        (columns, pull, twice)
    }
}

impl Smooth for PoolLoss<'_> {
    fn value(&self, v: &[f64]) -> f64 {
        let w = self.raised(v);
        let parts: Vec<f64> = self.blocks().into_par_iter().map(|rows| self.block_value(rows, &w)).collect();
        parts.iter().sum()
    }

    fn local(&self, v: &[f64], working: &dyn Fn(&[f64]) -> Vec<usize>) -> Local {
        let w = self.raised(v);
        let scale = self.scale();
        let gradients: Vec<Vec<f64>> = self
            .blocks()
            .into_par_iter()
            .map(|rows| {
                let (columns, pull, _) = self.derivatives(rows, &w);
                columns.iter().map(|c| c.iter().zip(&pull).map(|(c, p)| c * p).sum()).collect()
            })
            .collect();
        let mut gradient = vec![0.0; w.len()];
        for part in &gradients {
            gradient.iter_mut().zip(part).for_each(|(g, p)| *g += scale * p);
        }
        let working = working(&gradient);
        let curvatures: Vec<Vec<f64>> = self
            .blocks()
            .into_par_iter()
            .map(|rows| {
                let (columns, _, bend) = self.derivatives(rows, &w);
                gram(&columns, &bend, &working)
            })
            .collect();
        let mut curvature = vec![0.0; working.len() * working.len()];
        for part in &curvatures {
            curvature.iter_mut().zip(part).for_each(|(c, p)| *c += scale * scale * p);
        }
        Local { gradient, working, curvature }
    }
}

/// `sum_i bend_i c_ji c_ki` for all pairs of the working columns, row-major.
fn gram(columns: &[Vec<f64>], bend: &[f64], working: &[usize]) -> Vec<f64> {
    let k = working.len();
    let mut out = vec![0.0; k * k];
    for (a, &j) in working.iter().enumerate() {
        let bent: Vec<f64> = columns[j].iter().zip(bend).map(|(c, b)| c * b).collect();
        for (b, &i) in working.iter().enumerate().take(a + 1) {
            let sum: f64 = bent.iter().zip(&columns[i]).map(|(x, y)| x * y).sum();
            out[a * k + b] = sum;
            out[b * k + a] = sum;
        }
    }
    out
}
