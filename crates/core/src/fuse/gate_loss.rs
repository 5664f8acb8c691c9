//! What a gate is trained by.

use std::ops::Range;

use ndarray::Array2;
use rayon::prelude::*;

use super::evidence::Evidence;
use super::gate_open::{keep, open};

/// Rows in a block of parallel work.
const BLOCK: usize = 1024;

/// The mean loss of the mixture, and `balance` times the squared coefficient of variation of the members' importance.
pub(super) struct GateLoss<'a> {
    pub(super) evidence: &'a Evidence<'a>,
    /// `[row, feature]`.
    pub(super) features: &'a Array2<f64>,
    /// In which squared errors are measured.
    pub(super) unit: f64,
    /// How many members are kept for each row.
    pub(super) top: usize,
    pub(super) balance: f64,
}

/// What some rows add, with its gradient.
type Part = (f64, Vec<f64>);

impl GateLoss<'_> {
    /// The loss, and its gradient by the weights `[member, feature and intercept]`. With `z = W f + b`, `g` the softmax of
    /// `z` and, over the members kept, `q = sum g_i a_i`, a row of weight `o` adds `-o ln q` and, to the gradient by `z_i`
    /// of a member kept, `-o g_i (a_i - q) / q`; for values `o (y - q)^2` and `-2 o (y - q) g_i (a_i - q)`.
    ///
    /// Where one member is kept it has all the weight, whatever `z`, and nothing to learn from. What is lowered then is the
    /// loss that is expected when the member is drawn by `g`: `o sum g_i l_i` with `l_i` the loss of member `i` alone, and
    /// `o g_i (l_i - sum g_j l_j)` to the gradient.
    ///
    /// The importance of a member is the weighted mean of its `g`, before others are left out; the squared coefficient of
    /// variation of the importances `I` of `m` members is `m sum I^2 - 1`.
    pub(super) fn evaluate(&self, weights: &[f64], gradient: &mut [f64]) -> f64 {
        let (mut value, mut pull) = (0.0, Vec::new());
        if self.balance > 0.0 {
            let members = self.evidence.count() as f64;
            let importance = self.shares(weights, usize::MAX);
            let squares: f64 = importance.iter().map(|i| i * i).sum();
            value += self.balance * (members * squares - 1.0);
            pull = importance.iter().map(|i| 2.0 * self.balance * members * i).collect();
        }
        gradient.fill(0.0);
        for (part, slopes) in self.blocks(|rows| self.block(rows, weights, &pull)) {
            value += part;
            gradient.iter_mut().zip(&slopes).for_each(|(g, s)| *g += s);
        }
        value
    }

    fn blocks<T: Send>(&self, work: impl Fn(Range<usize>) -> T + Sync) -> Vec<T> {
        let rows = self.features.nrows();
        let range = |b: usize| b * BLOCK..((b + 1) * BLOCK).min(rows);
        (0..rows.div_ceil(BLOCK)).into_par_iter().map(|b| work(range(b))).collect()
    }

    fn block(&self, rows: Range<usize>, weights: &[f64], pull: &[f64]) -> Part {
        let count = self.evidence.count();
        let width = self.features.ncols();
        let (mut gates, mut slopes) = (vec![0.0; count], vec![0.0; count]);
        let mut gradient = vec![0.0; weights.len()];
        let mut value = 0.0;
        for row in rows {
            let features = self.features.row(row).to_vec();
            open(weights, &features, usize::MAX, |m| self.evidence.has(m, row), &mut gates);
            slopes.fill(0.0);
            if !pull.is_empty() {
                let mean: f64 = gates.iter().zip(pull).map(|(g, c)| g * c).sum();
                let weight = self.evidence.weight[row];
                for ((s, g), c) in slopes.iter_mut().zip(&gates).zip(pull) {
                    *s = weight * g * (c - mean);
                }
            }
            value += match self.top {
                1 if count > 1 => self.choice(row, &gates, &mut slopes),
                top => {
                    keep(&mut gates, top);
                    self.mixture(row, &gates, &mut slopes)
                }
            };
            for (slope, own) in slopes.iter().zip(gradient.chunks_mut(width + 1)) {
                if *slope != 0.0 {
                    let with_one = features.iter().chain(std::iter::once(&1.0));
                    own.iter_mut().zip(with_one).for_each(|(s, f)| *s += slope * f);
                }
            }
        }
        (value, gradient)
    }

    /// The loss of the mean of the members, and its slopes in `z` added to those that are there.
    fn mixture(&self, row: usize, gates: &[f64], slopes: &mut [f64]) -> f64 {
        let said = |m: usize| f64::from(self.evidence.at(m, row));
        let q: f64 = gates.iter().enumerate().map(|(m, g)| g * said(m)).sum();
        let weight = self.evidence.weight[row];
        let (value, pull) = match self.evidence.truth.get(row) {
            None => (-weight * q.ln(), -weight / q),
            Some(y) => {
                let error = f64::from(*y) - q;
                (weight * error * error / self.unit, -2.0 * weight * error / self.unit)
            }
        };
        for (m, (s, g)) in slopes.iter_mut().zip(gates).enumerate() {
            *s += pull * g * (said(m) - q);
        }
        value
    }

    /// The loss that is expected of a member drawn by the gate, and its slopes in `z` added to those that are there.
    fn choice(&self, row: usize, gates: &[f64], slopes: &mut [f64]) -> f64 {
        let loss = |m: usize| {
            let said = f64::from(self.evidence.at(m, row));
            match self.evidence.truth.get(row) {
                // An absent member has no gate and no loss.
                _ if !self.evidence.has(m, row) => 0.0,
                None => -said.ln(),
                Some(y) => (f64::from(*y) - said).powi(2) / self.unit,
            }
        };
        let mean: f64 = gates.iter().enumerate().map(|(m, g)| g * loss(m)).sum();
        let weight = self.evidence.weight[row];
        for (m, (s, g)) in slopes.iter_mut().zip(gates).enumerate() {
            *s += weight * g * (loss(m) - mean);
        }
        weight * mean
    }

    /// The mean opening of the gate for each member, of which `top` are kept for each row.
    pub(super) fn shares(&self, weights: &[f64], top: usize) -> Vec<f64> {
        let mut shares = vec![0.0; self.evidence.count()];
        let parts = self.blocks(|rows| {
            let mut gates = vec![0.0; self.evidence.count()];
            let mut sums = gates.clone();
            for row in rows {
                let features = self.features.row(row).to_vec();
                open(weights, &features, top, |m| self.evidence.has(m, row), &mut gates);
                sums.iter_mut().zip(&gates).for_each(|(s, g)| *s += self.evidence.weight[row] * g);
            }
            sums
        });
        for part in parts {
            shares.iter_mut().zip(part).for_each(|(s, p)| *s += p);
        }
        shares
    }
}

/// `penalty / 2 sum W^2` with its gradient; the intercepts, last in each row, are free.
pub(super) fn shrink(weights: &[f64], features: usize, penalty: f64, gradient: &mut [f64]) -> f64 {
    let mut sum = 0.0;
    for (w, g) in weights.chunks(features + 1).zip(gradient.chunks_mut(features + 1)) {
        for (w, g) in w.iter().zip(g).take(features) {
            sum += 0.5 * penalty * w * w;
            *g += penalty * w;
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuse::cases::{honest, values};

    #[test]
    fn its_gradient_is_that_of_its_loss() {
        for data in [honest(50, 3, 3, true), values(50, 3, true)] {
            let evidence = Evidence::new(&data).unwrap();
            let features = Array2::from_shape_fn((evidence.rows.len(), 2), |(r, c)| {
                ((r * 5 + c * 3) % 7) as f64 / 3.0 - 1.0
            });
            let weights: Vec<f64> = (0..9).map(|i| f64::from(i * i % 7) / 5.0 - 0.8).collect();
            for (top, balance) in [(3, 0.0), (3, 0.7), (2, 0.0), (2, 0.7), (1, 0.0), (1, 0.7)] {
                let unit = evidence.spread();
                let loss = GateLoss { evidence: &evidence, features: &features, unit, top, balance };
                let mut gradient = vec![0.0; 9];
                let mut spare = gradient.clone();
                loss.evaluate(&weights, &mut gradient);
                shrink(&weights, 2, 0.3, &mut gradient);
                for (i, expected) in gradient.iter().enumerate() {
                    let at = |step: f64, spare: &mut Vec<f64>| {
                        let mut moved = weights.clone();
                        moved[i] += step;
                        loss.evaluate(&moved, spare) + shrink(&moved, 2, 0.3, &mut [0.0; 9])
                    };
                    let slope = (at(1e-5, &mut spare) - at(-1e-5, &mut spare)) / 2e-5;
                    assert!((slope - expected).abs() < 1e-8, "top {top}, {balance}, {i}: {slope} {expected}");
                }
            }
        }
    }
}
