//! Layer normalization: each row by its own mean and variance.
//!
//! What rows add up for the gradients of gamma and beta is made over blocks of rows that depend on the shape alone, and added
//! in their order.

use std::sync::Arc;

use rayon::prelude::*;

use super::built_in;
use super::simd::wide;
use super::standard::Standard;
use crate::backend::{self, Host, Operator, Saved, Tensor};
use crate::memory::fresh;

/// Rows in a piece of parallel work hold about this many numbers.
const PIECE: usize = 1 << 14;
/// Sums of the gradients of gamma and beta that are made side by side.
const SUMS: usize = 16;

/// `y = gamma (x - mean) / sqrt(variance + epsilon) + beta`; mean and variance, which divides by the count, are those of
/// each row, which is what the last `K` dimensions hold.
///
/// # Shapes
/// `x [.., normalized]`, `gamma` and `beta [normalized]` with `K` dimensions, to the shape of `x`.
///
/// # Reference
/// Ba, Kiros and Hinton (2016), "Layer normalization".
pub fn layer_norm<const D: usize, const K: usize>(
    x: Tensor<D>,
    gamma: Tensor<K>,
    beta: Tensor<K>,
    epsilon: f32,
) -> Tensor<D> {
    if backend::elsewhere() {
        return built_in::layer_norm(x, gamma, beta, epsilon);
    }
    backend::operate(Arc::new(LayerNorm { epsilon }), [x.into(), gamma.into(), beta.into()])
}

#[derive(Debug)]
struct LayerNorm {
    epsilon: f32,
}

impl Operator for LayerNorm {
    fn forward(&self, inputs: &[Host], save: bool) -> (Host, Saved) {
        let [x, gamma, beta] = inputs else { return Default::default() };
        let width = gamma.numbers().len().max(1);
        let lot = (PIECE / width).max(1) * width;
        let mut out = fresh(x.numbers().len());
        let kept: Vec<Vec<[f32; 3]>> = out
            .par_chunks_mut(lot)
            .zip(x.numbers().par_chunks(lot))
            .map(|(out, x)| {
                let mut kept = Vec::with_capacity(out.len() / width);
                wide(
                    #[inline(always)]
                    || {
                        for (out, x) in out.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
                            let standard = Standard::of(x, self.epsilon);
                            let both = gamma.numbers().iter().zip(beta.numbers());
                            for ((y, x), (gamma, beta)) in out.iter_mut().zip(x).zip(both) {
                                *y = standard.z(*x) * gamma + beta;
                            }
                            kept.push(standard.numbers());
                        }
                    },
                );
                kept
            })
            .collect();
        let mut saved = Saved::default();
        if save {
            let kept: Vec<f32> = kept.into_iter().flatten().flatten().collect();
            let rows = kept.len() / 3;
            saved.hosts = vec![Host::new(kept, [rows, 3])];
        }
        (Host::new(out, x.shape()), saved)
    }

    fn backward(
        &self,
        inputs: &[Host],
        saved: &Saved,
        gradient: &Host,
        wanted: &[bool],
    ) -> Vec<Option<Host>> {
        let ([x, gamma, beta], [kept]) = (inputs, saved.hosts.as_slice()) else { return Vec::new() };
        let width = gamma.numbers().len().max(1);
        let (kept, _) = kept.numbers().as_chunks::<3>();
        let lot = kept.len().div_ceil(SUMS).max(1);
        let want = |i: usize| wanted.get(i).copied().unwrap_or(false);
        let mut dx = fresh(if want(0) { x.numbers().len() } else { 0 });
        let parts: Vec<&mut [f32]> = match want(0) {
            true => dx.chunks_mut(lot * width).collect(),
            false => (0..kept.len().div_ceil(lot)).map(|_| &mut [][..]).collect(),
        };
        let sums: Vec<[Vec<f32>; 2]> = parts
            .into_par_iter()
            .zip(x.numbers().par_chunks(lot * width).zip(gradient.numbers().par_chunks(lot * width)))
            .zip(kept.par_chunks(lot))
            .map(|((dx, (x, g)), kept)| {
                let mut sums = [vec![0.0f32; width], vec![0.0f32; width]];
                let mut dx = dx.chunks_exact_mut(width);
                for ((x, g), kept) in x.chunks_exact(width).zip(g.chunks_exact(width)).zip(kept) {
                    let (standard, dx) = (Standard::from(*kept), dx.next());
                    wide(
                        #[inline(always)]
                        || back(standard, x, g, gamma.numbers(), dx, &mut sums),
                    );
                }
                sums
            })
            .collect();
        let sum = |i: usize| {
            let mut out = vec![0.0f32; width];
            for part in &sums {
                out.iter_mut().zip(&part[i]).for_each(|(a, b)| *a += b);
            }
            out
        };
        vec![
            want(0).then(|| Host::new(dx, x.shape())),
            want(1).then(|| Host::new(sum(0), gamma.shape())),
            want(2).then(|| Host::new(sum(1), beta.shape())),
        ]
    }
}

/// One row: adds to the sums for gamma and beta, and sets the gradient of `x` where there is room for it.
#[inline(always)]
fn back(
    standard: Standard,
    x: &[f32],
    g: &[f32],
    gamma: &[f32],
    dx: Option<&mut [f32]>,
    [for_gamma, for_beta]: &mut [Vec<f32>; 2],
) {
    let sums = for_gamma.iter_mut().zip(for_beta.iter_mut());
    for ((x, g), (a, b)) in x.iter().zip(g).zip(sums) {
        *a += g * standard.z(*x);
        *b += g;
    }
    if let Some(dx) = dx {
        for ((d, g), gamma) in dx.iter_mut().zip(g).zip(gamma) {
            *d = g * gamma;
        }
        standard.back(dx, x);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::reference::{differences, numbers, wide as f64s};

    fn plain(all: &[Vec<f64>], width: usize) -> Vec<f64> {
        let row = |x: &[f64]| {
            let mean = x.iter().sum::<f64>() / width as f64;
            let variance = x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / width as f64;
            let inverse = 1.0 / (variance + f64::from(1e-3f32)).sqrt();
            let y = |(k, v): (usize, &f64)| all[1][k] * (v - mean) * inverse + all[2][k];
            x.iter().enumerate().map(y).collect::<Vec<_>>()
        };
        all[0].chunks(width).flat_map(row).collect()
    }

    #[test]
    fn values_and_gradients_are_the_plain_ones() {
        let operator = LayerNorm { epsilon: 1e-3 };
        for (outer, inner) in [
            (vec![3, 5], vec![7]),
            (vec![40], vec![2, 3]),
            (vec![1, 1], vec![1]),
            (vec![2], vec![33]),
            (vec![0], vec![4]),
        ] {
            let (rows, width) = (outer.iter().product::<usize>(), inner.iter().product::<usize>());
            let shape: Vec<usize> = outer.iter().chain(&inner).copied().collect();
            let inputs = [
                Host::new(numbers(rows * width, 1), shape.clone()),
                Host::new(numbers(width, 2), inner.clone()),
                Host::new(numbers(width, 3), inner),
            ];
            let all: Vec<Vec<f64>> = inputs.iter().map(|i| f64s(i.numbers())).collect();
            let (out, _) = operator.forward(&inputs, false);
            assert_eq!(out.shape(), shape);
            for (a, e) in out.numbers().iter().zip(plain(&all, width)) {
                assert!((f64::from(*a) - e).abs() < 1e-5, "{shape:?}: {a} {e}");
            }
            if rows > 0 {
                assert_eq!(differences(&operator, &inputs, |x| plain(x, width)), 0, "{shape:?}");
            }
        }
    }

    #[test]
    fn what_is_not_a_number_stays_in_its_row_and_only_wanted_gradients_are_made() {
        let mut x = numbers(12, 1);
        x[5] = f32::NAN;
        let inputs = [Host::new(x, [3, 4]), Host::new(numbers(4, 2), [4]), Host::new(numbers(4, 3), [4])];
        let operator = LayerNorm { epsilon: 1e-5 };
        let (out, saved) = operator.forward(&inputs, true);
        let bad: Vec<bool> = out.numbers().iter().map(|v| v.is_nan()).collect();
        assert_eq!(bad, [[false; 4], [true; 4], [false; 4]].concat());
        let got = operator.backward(&inputs, &saved, &out, &[false, false, true]);
        assert!(matches!(got.as_slice(), [None, None, Some(_)]));
    }
}
