//! The penalised mean loss of logistic regression, its gradient and its Hessian, on centred and scaled features.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis, s};
use rayon::prelude::*;

use crate::learners::labels::Labels;
use crate::learners::rows::{BLOCK, blocks};

/// Keeps the Hessian of the multinomial loss definite: a common shift of all intercepts changes nothing.
const SHIFT: f64 = 1e-9;

/// Softmax of logits in 64-bit floats; one logit stands for two classes.
pub(super) fn probabilities(logits: ArrayView1<'_, f64>, p: &mut [f64]) {
    if let (1, [first, second]) = (logits.len(), &mut *p) {
        let z = logits[0];
        let small = (-z.abs()).exp();
        let (of_larger, of_smaller) = (1.0 / (1.0 + small), small / (1.0 + small));
        (*first, *second) = if z >= 0.0 { (of_smaller, of_larger) } else { (of_larger, of_smaller) };
        return;
    }
    let max = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut sum = 0.0;
    for (p, z) in p.iter_mut().zip(logits) {
        *p = (z - max).exp();
        sum += *p;
    }
    p.iter_mut().for_each(|p| *p /= sum);
}

/// `sum_i weight_i loss_i / sum_i weight_i + sum_j (u_j / scale_j)^2 / (2 c sum_i weight_i)` in coefficients
/// `u_j = w_j scale_j` of the features `(x_j - center_j) / scale_j`: the same minimum, better conditioned.
pub(super) struct Objective<'a> {
    x: ArrayView2<'a, f32>,
    labels: Labels,
    outputs: usize,
    weight: Vec<f64>,
    total: f64,
    c: f64,
    center: Array1<f64>,
    scale: Array1<f64>,
}

/// What a block of rows adds.
struct Share {
    value: f64,
    gradient: Array2<f64>,
}

impl<'a> Objective<'a> {
    pub(super) fn new(
        x: ArrayView2<'a, f32>,
        labels: Labels,
        classes: usize,
        weight: Vec<f64>,
        c: f64,
    ) -> Self {
        let total: f64 = weight.iter().sum();
        let mut center = Array1::<f64>::zeros(x.ncols());
        for (row, w) in x.rows().into_iter().zip(&weight) {
            center.zip_mut_with(&row, |m, v| *m += w * f64::from(*v));
        }
        center /= total;
        let mut variance = Array1::<f64>::zeros(x.ncols());
        for (row, w) in x.rows().into_iter().zip(&weight) {
            for ((s, v), m) in variance.iter_mut().zip(row).zip(&center) {
                *s += w * (f64::from(*v) - m).powi(2);
            }
        }
        let scale = variance.mapv(|v| (v / total + 1.0 / (c * total)).sqrt());
        let outputs = if classes == 2 { 1 } else { classes };
        Self { x, labels, outputs, weight, total, c, center, scale }
    }

    /// How many coefficients: for each output one a feature, and an intercept last.
    pub(super) fn size(&self) -> usize {
        self.outputs * (self.x.ncols() + 1)
    }

    /// Weights `[outputs, features]` and intercepts of the features as they were given.
    pub(super) fn unscaled(&self, theta: &[f64]) -> (Array2<f64>, Array1<f64>) {
        let (u, b) = self.split(theta);
        let weights = &u / &self.scale;
        let intercepts = &b - &weights.dot(&self.center);
        (weights, intercepts)
    }

    /// The value, and the gradient into `gradient`.
    pub(super) fn value(&self, theta: &[f64], gradient: &mut [f64]) -> f64 {
        let (u, b) = self.split(theta);
        let d = self.x.ncols();
        let shares: Vec<Share> = self
            .ranges()
            .into_par_iter()
            .map(|range| {
                let z = self.features(range.clone());
                let logits = z.slice(s![.., ..d]).dot(&u.t()) + &b;
                let mut rest = Array2::<f64>::zeros((range.len(), self.outputs));
                let mut p = vec![0.0; self.outputs.max(2)];
                let mut value = 0.0;
                for ((i, logit), mut r) in range.zip(logits.rows()).zip(rest.rows_mut()) {
                    let w = self.weight[i];
                    value += w * loss(logit, &self.labels, i);
                    probabilities(logit, &mut p);
                    if self.outputs == 1 {
                        r[0] = w * (p[1] - self.labels.of(i, 1));
                    } else {
                        for (k, r) in r.iter_mut().enumerate() {
                            *r = w * (p[k] - self.labels.of(i, k));
                        }
                    }
                }
                Share { value, gradient: rest.t().dot(&z) }
            })
            .collect();
        let mut value = 0.0;
        let mut sum = Array2::<f64>::zeros((self.outputs, d + 1));
        for share in shares {
            value += share.value;
            sum += &share.gradient;
        }
        sum /= self.total;
        value /= self.total;
        for (u, mut g) in u.rows().into_iter().zip(sum.rows_mut()) {
            for ((u, s), g) in u.iter().zip(&self.scale).zip(g.iter_mut()) {
                let pull = u * self.penalty(*s);
                value += 0.5 * u * pull;
                *g += pull;
            }
        }
        gradient.iter_mut().zip(&sum).for_each(|(to, from)| *to = *from);
        value
    }

    /// The Hessian `[size, size]`.
    pub(super) fn hessian(&self, theta: &[f64]) -> Array2<f64> {
        self.hessian_among(theta, &(0..self.size()).collect::<Vec<_>>())
    }

    /// The part of the Hessian between the coefficients at some positions, rising.
    pub(super) fn hessian_among(&self, theta: &[f64], some: &[usize]) -> Array2<f64> {
        let (u, b) = self.split(theta);
        let (d, side) = (self.x.ncols(), self.x.ncols() + 1);
        // The columns of each output, and where its part begins.
        let mut columns = vec![Vec::new(); self.outputs];
        some.iter().for_each(|i| columns[i / side].push(i % side));
        let mut starts = vec![0];
        columns.iter().for_each(|c| starts.push(starts[starts.len() - 1] + c.len()));
        let shares: Vec<Array2<f64>> = self
            .ranges()
            .into_par_iter()
            .map(|range| {
                let z = self.features(range.clone());
                let logits = z.slice(s![.., ..d]).dot(&u.t()) + &b;
                let mut p = Array2::<f64>::zeros((range.len(), self.outputs.max(2)));
                for (logit, mut p) in logits.rows().into_iter().zip(p.rows_mut()) {
                    if let Some(p) = p.as_slice_mut() {
                        probabilities(logit, p);
                    }
                }
                let parts: Vec<Array2<f64>> = columns.iter().map(|c| z.select(Axis(1), c)).collect();
                let mut share = Array2::<f64>::zeros((some.len(), some.len()));
                for k in 0..self.outputs {
                    for l in 0..=k {
                        let mut scaled = parts[k].clone();
                        for (j, (mut row, i)) in scaled.axis_iter_mut(Axis(0)).zip(range.clone()).enumerate()
                        {
                            let curve = match (self.outputs, k == l) {
                                (1, _) => p[[j, 0]] * p[[j, 1]],
                                (_, true) => p[[j, k]] * (1.0 - p[[j, k]]),
                                (_, false) => -p[[j, k]] * p[[j, l]],
                            };
                            row *= self.weight[i] * curve;
                        }
                        let corner = s![starts[k]..starts[k + 1], starts[l]..starts[l + 1]];
                        share.slice_mut(corner).assign(&scaled.t().dot(&parts[l]));
                    }
                }
                share
            })
            .collect();
        let mut sum = Array2::<f64>::zeros((some.len(), some.len()));
        for share in shares {
            sum += &share;
        }
        sum /= self.total;
        for (i, at) in some.iter().enumerate() {
            sum[[i, i]] += self.scale.get(at % side).map_or(SHIFT, |s| self.penalty(*s));
            for j in 0..i {
                sum[[j, i]] = sum[[i, j]];
            }
        }
        sum
    }

    /// The factor of `u^2 / 2`.
    fn penalty(&self, scale: f64) -> f64 {
        1.0 / (scale * scale * self.c * self.total)
    }

    fn ranges(&self) -> Vec<std::ops::Range<usize>> {
        blocks(self.x.nrows(), BLOCK.max(self.x.nrows() / 32))
    }

    /// Coefficients `[outputs, features]` and intercepts.
    fn split(&self, theta: &[f64]) -> (Array2<f64>, Array1<f64>) {
        let (d, side) = (self.x.ncols(), self.x.ncols() + 1);
        let u = Array2::from_shape_fn((self.outputs, d), |(k, j)| theta[k * side + j]);
        (u, Array1::from_shape_fn(self.outputs, |k| theta[k * side + d]))
    }

    /// The centred and scaled features of some rows, and a column of ones: `[rows, features + 1]`.
    fn features(&self, range: std::ops::Range<usize>) -> Array2<f64> {
        let block = self.x.slice(s![range, ..]);
        let mut z = Array2::<f64>::ones((block.nrows(), self.x.ncols() + 1));
        for (row, mut out) in block.rows().into_iter().zip(z.rows_mut()) {
            for (((o, v), m), s) in out.iter_mut().zip(row).zip(&self.center).zip(&self.scale) {
                *o = (f64::from(*v) - m) / s;
            }
        }
        z
    }
}

/// `-ln p(class)` of a row from its logits, without loss of digits; the mean over the classes that it belongs to.
fn loss(logits: ArrayView1<'_, f64>, labels: &Labels, row: usize) -> f64 {
    if logits.len() == 1 {
        let mut loss = 0.0;
        labels.each(row, |class, share| {
            let z = if class == 1 { logits[0] } else { -logits[0] };
            loss += share * ((-z).max(0.0) + (-z.abs()).exp().ln_1p());
        });
        return loss;
    }
    let mut own = 0.0;
    labels.each(row, |class, share| own += share * logits[class]);
    let max = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    max + logits.iter().map(|z| (z - max).exp()).sum::<f64>().ln() - own
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;
    use rand::RngExt;

    /// Central differences of the value agree with the gradient, and of the gradient with the Hessian.
    #[test]
    fn derivatives_agree_with_differences() {
        for (classes, shared) in [(2u32, false), (3, false), (2, true), (3, true)] {
            let mut rng = Seed::new(5).rng();
            let x = Array2::from_shape_fn((50, 4), |_| rng.random_range(-2.0f32..2.0));
            let codes = (0..50).map(|_| rng.random_range(0..classes)).collect();
            let labels = if shared {
                let rest = 0.4 / f64::from(classes - 1);
                let p =
                    (0..50 * classes).map(|i| if i / classes % classes == i % classes { 0.6 } else { rest });
                Labels::Shares { p: p.collect(), count: classes as usize }
            } else {
                Labels::Codes(codes)
            };
            let weight = (0..50).map(|_| rng.random_range(0.5..2.0)).collect();
            let objective = Objective::new(x.view(), labels, classes as usize, weight, 0.7);
            let theta: Vec<f64> = (0..objective.size()).map(|_| rng.random_range(-1.0..1.0)).collect();
            let (mut gradient, mut scratch) = (vec![0.0; theta.len()], vec![0.0; theta.len()]);
            objective.value(&theta, &mut gradient);
            let hessian = objective.hessian(&theta);
            let some: Vec<usize> = (0..theta.len()).filter(|i| i % 3 != 1).collect();
            let part = objective.hessian_among(&theta, &some);
            let gap = part.indexed_iter().map(|((i, j), v)| (v - hessian[[some[i], some[j]]]).abs());
            assert!(part.nrows() == some.len() && gap.fold(0.0, f64::max) < 1e-12);
            let h = 1e-5;
            for (i, slope) in gradient.iter().enumerate() {
                let (mut up, mut down) = (theta.clone(), theta.clone());
                up[i] += h;
                down[i] -= h;
                let mut high = vec![0.0; theta.len()];
                let rise = objective.value(&up, &mut high) - objective.value(&down, &mut scratch);
                assert!((rise / (2.0 * h) - slope).abs() < 1e-8, "{classes} {i}");
                for (j, (high, low)) in high.iter().zip(&scratch).enumerate() {
                    let bend = (high - low) / (2.0 * h);
                    assert!((bend - hessian[[i, j]]).abs() < 1e-7, "{classes} {i} {j}");
                }
            }
        }
    }
}
