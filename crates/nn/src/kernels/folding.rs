//! Batch norm folded into the convolution before it, for predicting.

use super::Moments;
use crate::backend::Host;

/// What a trained batch norm holds, channel by channel.
#[derive(Debug, Clone, Copy)]
pub struct Norm<'a> {
    /// `[channels]`.
    pub gamma: &'a [f32],
    /// `[channels]`.
    pub beta: &'a [f32],
    /// Mean and variance over the rows it was trained on.
    pub moments: &'a Moments,
    /// What is added to the variance.
    pub epsilon: f32,
}

/// The weight and the bias of one convolution that gives what `weight`, `bias` and the norm after it give in turn:
/// `w' = w gamma / sqrt(variance + epsilon)` and `b' = (b - mean) gamma / sqrt(variance + epsilon) + beta`, computed in f64.
///
/// # Shapes
/// `weight [channels, ..]` and `bias [channels]`, or zeros; the same shapes out.
pub fn fold(weight: &Host, bias: Option<&Host>, norm: Norm<'_>) -> (Host, Host) {
    let channels = norm.gamma.len();
    let scale = |c: usize| {
        f64::from(norm.gamma[c]) / (f64::from(norm.moments.variance[c]) + f64::from(norm.epsilon)).sqrt()
    };
    let mut folded = weight.clone();
    let each = (folded.numbers().len() / channels.max(1)).max(1);
    for (c, run) in folded.numbers_mut().chunks_exact_mut(each).enumerate() {
        let scale = scale(c);
        run.iter_mut().for_each(|w| *w = (f64::from(*w) * scale) as f32);
    }
    let shift = |c: usize| {
        let b = bias.map_or(0.0, |b| f64::from(b.numbers()[c]));
        ((b - f64::from(norm.moments.mean[c])) * scale(c) + f64::from(norm.beta[c])) as f32
    };
    (folded, Host::new((0..channels).map(shift).collect(), [channels]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend;
    use crate::kernels::reference::numbers;
    use crate::kernels::{Moves, conv2d};

    #[test]
    fn one_convolution_gives_what_two_steps_gave() {
        let (n, c, o, side) = (2, 3, 5, 6);
        let x = || backend::constant(numbers(n * c * side * side, 1), [n, c, side, side]);
        let weight = Host::new(numbers(o * c * 9, 2), [o, c, 3, 3]);
        let bias = Host::new(numbers(o, 3), [o]);
        let (gamma, beta) = (numbers(o, 4), numbers(o, 5));
        let variance = numbers(o, 6).iter().map(|v| v.abs() + 0.1).collect();
        let moments = Moments { mean: numbers(o, 7), variance };
        let norm = Norm { gamma: &gamma, beta: &beta, moments: &moments, epsilon: 1e-5 };
        let moves = Moves { padding: [1, 1], ..Moves::default() };
        let convolved = |w: &Host, b: Option<&Host>| {
            let bias = b.map(Host::flat);
            backend::read(conv2d(x(), w.flat().reshape([o, c, 3, 3]), bias, None, moves, false)).unwrap()
        };
        for bias in [None, Some(&bias)] {
            let (folded, shift) = fold(&weight, bias, norm);
            let once = convolved(&folded, Some(&shift));
            for (i, (once, plain)) in once.iter().zip(convolved(&weight, bias)).enumerate() {
                let k = i / (side * side) % o;
                let expected =
                    gamma[k] * (plain - moments.mean[k]) / (moments.variance[k] + 1e-5).sqrt() + beta[k];
                // Sums of 27 products near one, scaled by up to 3, in f32.
                assert!((once - expected).abs() < 2e-5 * (1.0 + expected.abs()), "{once} {expected}");
            }
        }
    }
}
