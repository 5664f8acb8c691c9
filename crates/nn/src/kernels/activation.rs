//! Activations in one pass each, forward and backward.

use std::sync::Arc;

use rayon::prelude::*;

use super::built_in;
use super::elementary::{erf, exp, sigmoid, tanh};
use super::simd::{PIECE, wide};
use crate::backend::{self, Host, Operator, Saved, Tensor};
use crate::memory::fresh;

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
    if backend::elsewhere() {
        return built_in::activate(activation, x);
    }
    backend::operate(Arc::new(activation), [x.into()])
}

/// One of them: a value of each number, and a slope from the value, or from the number where the value does not say it.
trait Function {
    fn value(x: f32) -> f32;
    fn slope(kept: f32) -> f32;
}

struct Relu;
struct Gelu;
struct Tanh;
struct Sigmoid;

impl Function for Relu {
    #[inline(always)]
    fn value(x: f32) -> f32 {
        if x < 0.0 { 0.0 } else { x }
    }

    #[inline(always)]
    fn slope(kept: f32) -> f32 {
        if kept > 0.0 { 1.0 } else { 0.0 }
    }
}

impl Function for Gelu {
    #[inline(always)]
    fn value(x: f32) -> f32 {
        0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2))
    }

    #[inline(always)]
    fn slope(kept: f32) -> f32 {
        // The density of the normal distribution: 1 / sqrt(2 pi).
        let density = 0.398_942_3 * exp(-0.5 * kept * kept);
        0.5 * (1.0 + erf(kept * std::f32::consts::FRAC_1_SQRT_2)) + kept * density
    }
}

impl Function for Tanh {
    #[inline(always)]
    fn value(x: f32) -> f32 {
        tanh(x)
    }

    #[inline(always)]
    fn slope(kept: f32) -> f32 {
        1.0 - kept * kept
    }
}

impl Function for Sigmoid {
    #[inline(always)]
    fn value(x: f32) -> f32 {
        sigmoid(x)
    }

    #[inline(always)]
    fn slope(kept: f32) -> f32 {
        kept * (1.0 - kept)
    }
}

fn values<F: Function>(x: &[f32]) -> Vec<f32> {
    let mut out = fresh(x.len());
    out.par_chunks_mut(PIECE).zip(x.par_chunks(PIECE)).for_each(|(out, x)| {
        wide(
            #[inline(always)]
            || out.iter_mut().zip(x).for_each(|(y, x)| *y = F::value(*x)),
        );
    });
    out
}

fn slopes<F: Function>(kept: &[f32], gradient: &[f32]) -> Vec<f32> {
    let mut out = fresh(kept.len());
    let from = kept.par_chunks(PIECE).zip(gradient.par_chunks(PIECE));
    out.par_chunks_mut(PIECE).zip(from).for_each(|(out, (kept, gradient))| {
        wide(
            #[inline(always)]
            || out.iter_mut().zip(kept).zip(gradient).for_each(|((d, k), g)| *d = g * F::slope(*k)),
        );
    });
    out
}

impl Operator for Activation {
    fn forward(&self, inputs: &[Host], save: bool) -> (Host, Saved) {
        let [x] = inputs else { return Default::default() };
        let out = match self {
            Self::Relu => values::<Relu>(x.numbers()),
            Self::Gelu => values::<Gelu>(x.numbers()),
            Self::Tanh => values::<Tanh>(x.numbers()),
            Self::Sigmoid => values::<Sigmoid>(x.numbers()),
        };
        let out = Host::new(out, x.shape());
        let hosts = if save && *self != Self::Gelu { vec![out.clone()] } else { Vec::new() };
        (out, Saved { hosts, marks: Vec::new() })
    }

    fn backward(&self, inputs: &[Host], saved: &Saved, gradient: &Host, _: &[bool]) -> Vec<Option<Host>> {
        let [x] = inputs else { return Vec::new() };
        let (kept, gradient) = (saved.hosts.first().unwrap_or(x).numbers(), gradient.numbers());
        let out = match self {
            Self::Relu => slopes::<Relu>(kept, gradient),
            Self::Gelu => slopes::<Gelu>(kept, gradient),
            Self::Tanh => slopes::<Tanh>(kept, gradient),
            Self::Sigmoid => slopes::<Sigmoid>(kept, gradient),
        };
        vec![Some(Host::new(out, x.shape()))]
    }
}

/// The gradient where the rectifier let through, by what came out of it.
pub(super) fn open(out: &Host, given: &Host) -> Host {
    let (out, gradient) = (out.numbers(), given.numbers());
    let mut masked = fresh(gradient.len());
    let from = out.par_chunks(PIECE).zip(gradient.par_chunks(PIECE));
    masked.par_chunks_mut(PIECE).zip(from).for_each(|(masked, (out, gradient))| {
        wide(
            #[inline(always)]
            || {
                for ((m, y), g) in masked.iter_mut().zip(out).zip(gradient) {
                    *m = if *y > 0.0 { *g } else { 0.0 };
                }
            },
        );
    });
    Host::new(masked, given.shape())
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

    #[test]
    fn far_from_zero_gelu_is_zero_or_the_number_itself() {
        let x = [Host::new(vec![-6.0, -1e4, -1e30, 1e4, 1e30], [5])];
        let (out, saved) = Activation::Gelu.forward(&x, true);
        assert_eq!(out.numbers(), [0.0, 0.0, 0.0, 1e4, 1e30]);
        let slopes = Activation::Gelu.backward(&x, &saved, &Host::new(vec![1.0; 5], [5]), &[true]);
        let slopes = slopes[0].as_ref().unwrap().numbers();
        assert!(
            slopes.iter().zip([0.0, 0.0, 0.0, 1.0, 1.0]).all(|(s, e)| (s - e).abs() < 1e-6),
            "{slopes:?}"
        );
    }
}
