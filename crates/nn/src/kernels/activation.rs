//! Activations in one pass each, forward and backward.

use std::sync::Arc;

use rayon::prelude::*;

use super::elementary::{erf, exp, sigmoid, tanh};
use super::simd::wide;
use crate::backend::{self, Host, Operator, Saved, Tensor};

/// Numbers in a piece of parallel work.
const PIECE: usize = 1 << 15;

/// A function of each number alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `max(x, 0)`.
    Relu,
    /// `x (1 + erf(x / sqrt 2)) / 2`.
    Gelu,
    /// `tanh x`.
    Tanh,
    /// `1 / (1 + e^-x)`.
    Sigmoid,
}

/// Applies an activation to each number.
///
/// # Reference
/// Hendrycks and Gimpel (2016), "Gaussian error linear units".
pub fn activate<const D: usize>(activation: Activation, x: Tensor<D>) -> Tensor<D> {
    backend::operate(Arc::new(activation), [x.into()])
}

impl Activation {
    /// The value.
    #[inline(always)]
    fn value(self, x: f32) -> f32 {
        match self {
            Self::Relu => {
                if x < 0.0 {
                    0.0
                } else {
                    x
                }
            }
            Self::Gelu => 0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2)),
            Self::Tanh => tanh(x),
            Self::Sigmoid => sigmoid(x),
        }
    }

    /// The slope, from the value where that says it, else from the number.
    #[inline(always)]
    fn slope(self, kept: f32) -> f32 {
        match self {
            Self::Relu => {
                if kept > 0.0 {
                    1.0
                } else {
                    0.0
                }
            }
            Self::Gelu => {
                // The density of the normal distribution: 1 / sqrt(2 pi).
                let density = 0.398_942_3 * exp(-0.5 * kept * kept);
                0.5 * (1.0 + erf(kept * std::f32::consts::FRAC_1_SQRT_2)) + kept * density
            }
            Self::Tanh => 1.0 - kept * kept,
            Self::Sigmoid => kept * (1.0 - kept),
        }
    }

    /// Calls `each` for pieces of the numbers, with the activation as a constant, so that its loop has no branch.
    fn map(self, from: &[f32], with: impl Fn(Self, &[f32], usize, &mut [f32]) + Sync) -> Vec<f32> {
        let mut out = vec![0.0f32; from.len()];
        out.par_chunks_mut(PIECE).zip(from.par_chunks(PIECE)).enumerate().for_each(|(i, (out, from))| {
            wide(
                #[inline(always)]
                || match self {
                    Self::Relu => with(Self::Relu, from, i * PIECE, out),
                    Self::Gelu => with(Self::Gelu, from, i * PIECE, out),
                    Self::Tanh => with(Self::Tanh, from, i * PIECE, out),
                    Self::Sigmoid => with(Self::Sigmoid, from, i * PIECE, out),
                },
            );
        });
        out
    }
}

impl Operator for Activation {
    fn forward(&self, inputs: &[Host], save: bool) -> (Host, Saved) {
        let [x] = inputs else { return Default::default() };
        let out = self.map(
            x.numbers(),
            #[inline(always)]
            |a, x, _, out| out.iter_mut().zip(x).for_each(|(y, x)| *y = a.value(*x)),
        );
        let out = Host::new(out, x.shape());
        let hosts = if save && *self != Self::Gelu { vec![out.clone()] } else { Vec::new() };
        (out, Saved { hosts, marks: Vec::new() })
    }

    fn backward(&self, inputs: &[Host], saved: &Saved, gradient: &Host, _: &[bool]) -> Vec<Option<Host>> {
        let [x] = inputs else { return Vec::new() };
        let kept = saved.hosts.first().unwrap_or(x);
        let gradient = gradient.numbers();
        let out = self.map(
            kept.numbers(),
            #[inline(always)]
            |a, kept, from, out| {
                let gradient = &gradient[from..];
                out.iter_mut().zip(kept).zip(gradient).for_each(|((d, k), g)| *d = g * a.slope(*k));
            },
        );
        vec![Some(Host::new(out, x.shape()))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::reference::{differences, numbers};

    /// The error function by its series, in f64.
    fn series(x: f64) -> f64 {
        let (mut term, mut sum) = (x, x);
        for n in 1..200 {
            term *= -x * x / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        sum * std::f64::consts::FRAC_2_SQRT_PI
    }

    /// A function of one number.
    type Plain = fn(f64) -> f64;

    #[test]
    fn values_and_slopes_are_those_of_f64() {
        let plain: [(Activation, Plain); 4] = [
            (Activation::Relu, |x| x.max(0.0)),
            (Activation::Gelu, |x| 0.5 * x * (1.0 + series(x * std::f64::consts::FRAC_1_SQRT_2))),
            (Activation::Tanh, f64::tanh),
            (Activation::Sigmoid, |x| 1.0 / (1.0 + (-x).exp())),
        ];
        let wider: Vec<f32> = numbers(1000, 1).into_iter().map(|v| 4.0 * v).collect();
        for (activation, plain) in plain {
            let x = [Host::new(wider.clone(), [10, 100])];
            let (out, _) = activation.forward(&x, false);
            for (y, x) in out.numbers().iter().zip(&wider) {
                assert!((f64::from(*y) - plain(f64::from(*x))).abs() < 1e-6, "{activation:?} {x}: {y}");
            }
            assert_eq!(differences(&activation, &x, |all| all[0].iter().map(|x| plain(*x)).collect()), 0);
            let x = [Host::new(vec![f32::NAN, 1.0], [2])];
            let (out, _) = activation.forward(&x, true);
            assert!(out.numbers()[0].is_nan() && out.numbers()[1].is_finite());
        }
    }
}
