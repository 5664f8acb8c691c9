//! The best weights of a linear pool on honest predictions.

use rand::RngExt;
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::by_voices::{EVERY_SET, by_voices};
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
/// A member that adds nothing to the others gets no weight, however good it is; so rows about which only some of the
/// members speak are given the best weights of these.
///
/// # Reference
/// Breiman, "Stacked regressions", Machine Learning 24, 1996 (weights from out-of-fold predictions); Cover, "An
/// algorithm for maximizing expected log investment return", IEEE Information Theory 30(2), 1984 (the conditions).
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Weighted {}

impl Method for Weighted {
    const NAME: &'static str = "weighted";
    const VERSION: u32 = 2;
    const ABOUT: &'static str = "Weights that minimize the log-loss (or squared error) on honest predictions";
}

impl Fuser for Weighted {
    fn check(&self, _: &Task, _: usize) -> Result<()> {
        Ok(())
    }

    fn fit(&self, honest: &Honest, _: Option<Inputs<'_>>, context: &Context<'_>) -> Result<Box<dyn Fused>> {
        let task = honest.target().task();
        let best = best_weights(&Evidence::new(honest)?, context.seed, context.stop)?;
        let whole = Pool::new(task.clone(), &best.weights, Content::Prediction)?;
        by_voices(Box::new(whole), honest, None, context, EVERY_SET, &|honest, rows, voices, context| {
            let own = honest.take(rows).only(voices);
            let best = best_weights(&Evidence::new(&own)?, context.seed, context.stop)?;
            Ok(Box::new(Pool::among(task.clone(), voices, &best.weights, Content::Prediction)?))
        })
    }
}

/// The best weights for the evidence, with the value and the gap of the objective.
pub(super) fn best_weights(evidence: &Evidence<'_>, seed: Seed, stop: &Stop) -> Result<Minimum> {
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
    evidence: &'a Evidence<'a>,
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
        let mut spare = Vec::new();
        for j in (0..w.len()).filter(|j| w[*j] > 0.0) {
            let column = self.evidence.column(j, rows.clone(), &mut spare);
            for (s, a) in sum.iter_mut().zip(column) {
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
    /// `sum pull J_j`, `pull = -1` or `-2 (y - q)`; the curvature `sum bend J_j J_k - pull (J_j P_k + P_j J_k)`,
    /// `bend = 1` or 2 and `P_j = r_j / D`. Where nobody is absent the second part is zero along the simplex.
    fn derivatives(&self, rows: std::ops::Range<usize>, w: &[f64]) -> Derivatives {
        let (sum, weight) = self.pooled(&rows, w);
        let omega = &self.evidence.weight[rows.clone()];
        let log = self.evidence.truth.is_empty();
        let mut columns = Vec::with_capacity(w.len());
        let mut spare = Vec::new();
        for j in 0..w.len() {
            let mut out = Vec::with_capacity(rows.len());
            for (i, a) in self.evidence.column(j, rows.clone(), &mut spare).iter().enumerate() {
                let q = sum[i] / weight[i];
                let a = f64::from(*a);
                let slope = if log { (a / q - 1.0) / weight[i] } else { (a - q) / weight[i] };
                out.push(if self.evidence.has(j, rows.start + i) { slope } else { 0.0 });
            }
            columns.push(out);
        }
        let (pull, bend) = if log {
            (omega.iter().map(|o| -o).collect(), omega.to_vec())
        } else {
            let truth = &self.evidence.truth[rows.clone()];
            let twice: Vec<f64> = omega.iter().map(|o| 2.0 * o / self.unit).collect();
            let errors = (0..rows.len()).map(|i| f64::from(truth[i]) - sum[i] / weight[i]);
            (errors.zip(&twice).map(|(e, t)| -t * e).collect(), twice)
        };
        Derivatives { rows, columns, pull, bend, weight }
    }
}

/// What a block of rows says about slopes; see [`PoolLoss::derivatives`].
struct Derivatives {
    rows: std::ops::Range<usize>,
    /// `J`, a column a member.
    columns: Vec<Vec<f64>>,
    pull: Vec<f64>,
    bend: Vec<f64>,
    /// `D`.
    weight: Vec<f64>,
}

impl Derivatives {
    fn slopes(&self) -> Vec<f64> {
        self.columns.iter().map(|c| c.iter().zip(&self.pull).map(|(c, p)| c * p).sum()).collect()
    }

    /// `sum bend J_j J_k` for all pairs of working members, row-major.
    fn squares(&self, working: &[usize]) -> Vec<f64> {
        let k = working.len();
        let mut out = vec![0.0; k * k];
        for (a, &j) in working.iter().enumerate() {
            let bent: Vec<f64> = self.columns[j].iter().zip(&self.bend).map(|(c, b)| c * b).collect();
            for (b, &i) in working.iter().enumerate().take(a + 1) {
                let sum: f64 = bent.iter().zip(&self.columns[i]).map(|(x, y)| x * y).sum();
                out[a * k + b] = sum;
                out[b * k + a] = sum;
            }
        }
        out
    }

    /// `-sum pull (J_j P_k + P_j J_k)` for all pairs of working members, row-major.
    fn crosses(&self, working: &[usize], present: &[Vec<bool>]) -> Vec<f64> {
        let k = working.len();
        let mut half = vec![0.0; k * k];
        for (a, &j) in working.iter().enumerate() {
            let scaled = self.columns[j].iter().zip(&self.pull).zip(&self.weight);
            let scaled: Vec<f64> = scaled.map(|((c, p), d)| -c * p / d).collect();
            for (b, &i) in working.iter().enumerate() {
                let here = &present[i][self.rows.clone()];
                half[a * k + b] = scaled.iter().zip(here).map(|(s, h)| if *h { *s } else { 0.0 }).sum();
            }
        }
        (0..k * k).map(|at| half[at] + half[at % k * k + at / k]).collect()
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
        let slopes = |rows| self.derivatives(rows, &w).slopes();
        let parts: Vec<Vec<f64>> = self.blocks().into_par_iter().map(slopes).collect();
        let gradient = added(&parts, w.len(), scale);
        let working = working(&gradient);
        let size = working.len() * working.len();
        let bends = |rows| {
            let derivatives = self.derivatives(rows, &w);
            let crosses = self.evidence.present.as_ref().map(|p| derivatives.crosses(&working, p));
            (derivatives.squares(&working), crosses.unwrap_or_default())
        };
        let (squares, crosses): (Vec<_>, Vec<_>) = self.blocks().into_par_iter().map(bends).unzip();
        let safe = added(&squares, size, scale * scale);
        if self.evidence.present.is_none() {
            return Local { gradient, working, curvature: safe, safe: None };
        }
        let crosses = added(&crosses, size, scale * scale);
        let curvature = safe.iter().zip(&crosses).map(|(s, c)| s + c).collect();
        Local { gradient, working, curvature, safe: Some(safe) }
    }
}

/// The sum of the blocks' parts in their order, times `scale`.
fn added(parts: &[Vec<f64>], size: usize, scale: f64) -> Vec<f64> {
    let mut sum = vec![0.0; size];
    for part in parts {
        sum.iter_mut().zip(part).for_each(|(s, p)| *s += scale * p);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuse::cases::{honest, values};

    #[test]
    fn slopes_and_curvatures_are_those_of_the_loss() {
        for data in [honest(70, 3, 3, true), values(70, 3, true), values(70, 3, false)] {
            let evidence = Evidence::new(&data).unwrap();
            let floor = if evidence.present.is_some() { 0.01 } else { 0.0 };
            let loss = PoolLoss { evidence: &evidence, floor, unit: evidence.spread() };
            let (v, all) = (vec![0.5, 0.3, 0.2], |_: &[f64]| vec![0, 1, 2]);
            let local = loss.local(&v, &all);
            // Along the simplex, where weights that sum to one stay so.
            for (i, j) in [(0, 1), (1, 2), (2, 0)] {
                let along = |t: f64| {
                    let mut moved = v.clone();
                    moved[i] += t;
                    moved[j] -= t;
                    moved
                };
                let slope = (loss.value(&along(1e-5)) - loss.value(&along(-1e-5))) / 2e-5;
                assert!((slope - (local.gradient[i] - local.gradient[j])).abs() < 1e-8);
                let slopes = |t: f64| {
                    let g = loss.local(&along(t), &all).gradient;
                    g[i] - g[j]
                };
                let bend = (slopes(1e-5) - slopes(-1e-5)) / 2e-5;
                let h = |a: usize, b: usize| local.curvature[a * 3 + b];
                assert!((bend - (h(i, i) + h(j, j) - 2.0 * h(i, j))).abs() < 1e-6, "{bend}");
            }
        }
    }
}
