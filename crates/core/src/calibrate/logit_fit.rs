//! Logistic regression of a few columns on targets between zero and one, to the last digits.

use ndarray::Array2;

use crate::error::Result;
use crate::solve::solve_semidefinite;

/// Newton steps at most.
const STEPS: usize = 100;
/// The largest entry of the gradient of the mean loss at which the fit ends.
const TOLERANCE: f64 = 1e-12;

/// A column a feature, a target in [0, 1] and a weight a row.
pub(super) struct LogitFit<'a> {
    /// The features; an intercept is added.
    pub columns: &'a [&'a [f64]],
    /// The targets.
    pub target: &'a [f64],
    /// The weights; their sum is above zero.
    pub weight: &'a [f64],
    /// `ridge / 2 |slopes|^2` is added to the sum of the losses.
    pub ridge: f64,
}

/// Where a fit ended.
pub(super) struct Fit {
    /// A slope for each column, then the intercept.
    pub theta: Vec<f64>,
    /// The loss there, divided by the sum of the weights.
    pub loss: f64,
}

impl LogitFit<'_> {
    /// Minimizes `sum_i w_i [ln(1 + exp z_i) - t_i z_i]`, `z` the linear form, by Newton steps that are halved until
    /// the loss falls. Where the columns depend on each other the steps are the shortest ones.
    pub(super) fn minimize(&self) -> Result<Fit> {
        let total: f64 = self.weight.iter().sum();
        let mean = self.target.iter().zip(self.weight).map(|(t, w)| t * w).sum::<f64>() / total;
        let mut theta = vec![0.0; self.columns.len() + 1];
        let mean = mean.clamp(1e-12, 1.0 - 1e-12);
        theta[self.columns.len()] = (mean / (1.0 - mean)).ln();
        let mut loss = self.loss(&theta, total);
        for _ in 0..STEPS {
            let (gradient, hessian) = self.derivatives(&theta, total);
            if gradient.iter().all(|g| g.abs() <= TOLERANCE) {
                break;
            }
            let step = solve_semidefinite(&hessian, &gradient)?;
            let promised: f64 = step.iter().zip(&gradient).map(|(s, g)| s * g).sum();
            let Some((next, lower)) = (0..40).find_map(|halvings| {
                let share = 0.5f64.powi(halvings);
                let next: Vec<f64> = theta.iter().zip(&step).map(|(t, s)| t - share * s).collect();
                let lower = self.loss(&next, total);
                (lower <= loss - 1e-4 * share * promised && lower < loss).then_some((next, lower))
            }) else {
                break;
            };
            (theta, loss) = (next, lower);
        }
        Ok(Fit { theta, loss })
    }

    fn linear(&self, theta: &[f64], row: usize) -> f64 {
        let slopes = self.columns.iter().zip(theta).map(|(x, t)| x[row] * t);
        slopes.sum::<f64>() + theta[self.columns.len()]
    }

    fn loss(&self, theta: &[f64], total: f64) -> f64 {
        let rows = self.target.iter().zip(self.weight).enumerate();
        let sum: f64 = rows
            .map(|(r, (t, w))| {
                let z = self.linear(theta, r);
                w * (z.max(0.0) + (-z.abs()).exp().ln_1p() - t * z)
            })
            .sum();
        let slopes: f64 = theta[..self.columns.len()].iter().map(|t| t * t).sum();
        (sum + self.ridge / 2.0 * slopes) / total
    }

    fn derivatives(&self, theta: &[f64], total: f64) -> (Array2<f64>, Array2<f64>) {
        let k = theta.len();
        let (mut gradient, mut hessian) = (Array2::zeros((k, 1)), Array2::zeros((k, k)));
        let mut x = vec![1.0; k];
        for (r, (t, w)) in self.target.iter().zip(self.weight).enumerate() {
            x.iter_mut().zip(self.columns).for_each(|(x, c)| *x = c[r]);
            let q = sigmoid(self.linear(theta, r));
            for i in 0..k {
                gradient[[i, 0]] += w * (q - t) * x[i];
                for j in 0..k {
                    hessian[[i, j]] += w * q * (1.0 - q) * x[i] * x[j];
                }
            }
        }
        for (i, t) in theta.iter().enumerate().take(self.columns.len()) {
            gradient[[i, 0]] += self.ridge * t;
            hessian[[i, i]] += self.ridge;
        }
        (gradient / total, hessian / total)
    }
}

/// `1 / (1 + exp -z)`.
pub(super) fn sigmoid(z: f64) -> f64 {
    if z >= 0.0 { 1.0 / (1.0 + (-z).exp()) } else { z.exp() / (1.0 + z.exp()) }
}
