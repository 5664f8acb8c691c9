//! Softmax over rows, its logarithm, and the cross-entropy of what it gives, in one pass each.

use std::sync::Arc;

use rayon::prelude::*;

use super::built_in;
use super::elementary::exp_down;
use super::simd::{largest, sum, sum_pairs, wide};
use crate::backend::{self, Host, Operator, Saved, Tensor};
use crate::memory::fresh;

/// Rows in a piece of parallel work hold about this many numbers.
const PIECE: usize = 1 << 14;

/// `e^x_k / sum_j e^x_j` of each row, `[rows, classes]`.
pub fn softmax(x: Tensor<2>) -> Tensor<2> {
    if backend::elsewhere() {
        return built_in::softmax(x);
    }
    backend::operate(Arc::new(Softmax { logarithm: false }), [x.into()])
}

/// `x_k - ln sum_j e^x_j` of each row, `[rows, classes]`: the logarithm of [`softmax`], also where that is too small for a
/// number.
pub fn log_softmax(x: Tensor<2>) -> Tensor<2> {
    if backend::elsewhere() {
        return built_in::log_softmax(x);
    }
    backend::operate(Arc::new(Softmax { logarithm: true }), [x.into()])
}

/// `-sum_r share_r sum_k truth_rk ln p_rk` with `p` the softmax of each row: the cross-entropy with weights, from logits.
/// Truth and shares take no gradient.
///
/// # Shapes
/// `x` and `truth [rows, classes]`, `share [rows]`, to `[1]`.
pub fn cross_entropy(x: Tensor<2>, truth: Tensor<2>, share: Tensor<1>) -> Tensor<1> {
    if backend::elsewhere() {
        return built_in::cross_entropy(x, truth, share);
    }
    backend::operate(Arc::new(CrossEntropy), [x.into(), truth.into(), share.into()])
}

fn width(x: &Host) -> usize {
    x.shape().last().copied().unwrap_or(0).max(1)
}

/// One row to its softmax; gives the logarithm of the sum, and what was subtracted.
#[inline(always)]
pub(super) fn row(x: &[f32], out: &mut [f32]) -> (f32, f32) {
    let top = largest(x);
    // A row of minus infinity, or of what is not a number, gives what is not a number.
    for (y, x) in out.iter_mut().zip(x) {
        *y = exp_down(x - top);
    }
    let total = sum(out, |v| v);
    let scale = 1.0 / total;
    for y in out.iter_mut() {
        *y *= scale;
    }
    (total.ln(), top)
}

/// The softmax, or its logarithm.
#[derive(Debug)]
struct Softmax {
    logarithm: bool,
}

impl Operator for Softmax {
    fn forward(&self, inputs: &[Host], save: bool) -> (Host, Saved) {
        let [x] = inputs else { return Default::default() };
        let k = width(x);
        let piece = (PIECE / k).max(1) * k;
        let mut out = fresh(x.numbers().len());
        out.par_chunks_mut(piece).zip(x.numbers().par_chunks(piece)).for_each(|(out, x)| {
            wide(
                #[inline(always)]
                || {
                    for (out, x) in out.chunks_exact_mut(k).zip(x.chunks_exact(k)) {
                        let (log, top) = row(x, out);
                        if self.logarithm {
                            for (y, x) in out.iter_mut().zip(x) {
                                *y = (x - top) - log;
                            }
                        }
                    }
                },
            );
        });
        let out = Host::new(out, x.shape());
        let hosts = if save { vec![out.clone()] } else { Vec::new() };
        (out, Saved { hosts, marks: Vec::new() })
    }

    fn backward(&self, inputs: &[Host], saved: &Saved, gradient: &Host, _: &[bool]) -> Vec<Option<Host>> {
        let ([x], [y]) = (inputs, saved.hosts.as_slice()) else { return Vec::new() };
        let k = width(x);
        let piece = (PIECE / k).max(1) * k;
        let mut dx = fresh(x.numbers().len());
        let from = y.numbers().par_chunks(piece).zip(gradient.numbers().par_chunks(piece));
        dx.par_chunks_mut(piece).zip(from).for_each(|(dx, (y, g))| {
            wide(
                #[inline(always)]
                || {
                    for ((dx, y), g) in dx.chunks_exact_mut(k).zip(y.chunks_exact(k)).zip(g.chunks_exact(k)) {
                        let each = dx.iter_mut().zip(y).zip(g);
                        if self.logarithm {
                            let all = sum(g, |g| g);
                            for ((d, y), g) in each {
                                *d = g - exp_down(*y) * all;
                            }
                        } else {
                            let along = sum_pairs(y, g, |y, g| y * g);
                            for ((d, y), g) in each {
                                *d = y * (g - along);
                            }
                        }
                    }
                },
            );
        });
        vec![Some(Host::new(dx, x.shape()))]
    }
}

#[derive(Debug)]
struct CrossEntropy;

impl Operator for CrossEntropy {
    fn forward(&self, inputs: &[Host], save: bool) -> (Host, Saved) {
        let [x, truth, share] = inputs else { return Default::default() };
        let k = width(x);
        let mut p = fresh(x.numbers().len());
        let mut total = 0.0f64;
        let rows = x.numbers().chunks_exact(k).zip(truth.numbers().chunks_exact(k)).zip(share.numbers());
        for (((x, truth), share), p) in rows.zip(p.chunks_exact_mut(k)) {
            let (log, top) = wide(
                #[inline(always)]
                || row(x, p),
            );
            // Without a truth nothing is lost, whatever the logits are.
            let loss: f32 =
                x.iter().zip(truth).filter(|(_, t)| **t != 0.0).map(|(x, t)| t * (log + top - x)).sum();
            if *share != 0.0 {
                total += f64::from(share * loss);
            }
        }
        let hosts = if save { vec![Host::new(p, x.shape())] } else { Vec::new() };
        (Host::new(vec![total as f32], [1]), Saved { hosts, marks: Vec::new() })
    }

    fn backward(&self, inputs: &[Host], saved: &Saved, gradient: &Host, _: &[bool]) -> Vec<Option<Host>> {
        let ([x, truth, share], [p]) = (inputs, saved.hosts.as_slice()) else { return Vec::new() };
        let k = width(x);
        let g = gradient.numbers().first().copied().unwrap_or(0.0);
        let mut dx = fresh(x.numbers().len());
        let rows = p.numbers().chunks_exact(k).zip(truth.numbers().chunks_exact(k)).zip(share.numbers());
        for (((p, truth), share), dx) in rows.zip(dx.chunks_exact_mut(k)) {
            let all: f32 = truth.iter().sum();
            for ((d, p), t) in dx.iter_mut().zip(p).zip(truth) {
                *d = if *share == 0.0 { 0.0 } else { g * share * (p * all - t) };
            }
        }
        vec![Some(Host::new(dx, x.shape())), None, None]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::reference::{differences, numbers, wide as f64s};

    const PLAIN: Softmax = Softmax { logarithm: false };
    const LOGARITHM: Softmax = Softmax { logarithm: true };

    fn plain(x: &[f64], k: usize) -> Vec<f64> {
        let row = |x: &[f64]| {
            let total: f64 = x.iter().map(|v| v.exp()).sum();
            x.iter().map(|v| v.exp() / total).collect::<Vec<_>>()
        };
        x.chunks(k).flat_map(row).collect()
    }

    #[test]
    fn rows_sum_to_one_and_gradients_are_the_plain_ones() {
        for (rows, k) in [(3, 2), (5, 17), (1, 1), (2, 40)] {
            let x = [Host::new(numbers(rows * k, 1).iter().map(|v| v * 9.0).collect(), [rows, k])];
            let (out, _) = PLAIN.forward(&x, false);
            for (a, e) in out.numbers().iter().zip(plain(&f64s(x[0].numbers()), k)) {
                assert!((f64::from(*a) - e).abs() < 1e-6 * (e + 1e-6), "{a} {e}");
            }
            assert_eq!(differences(&PLAIN, &x, |all| plain(&all[0], k)), 0);
        }
        let far = Host::new(vec![1e4, -1e4, 0.0, f32::NEG_INFINITY], [2, 2]);
        assert_eq!(PLAIN.forward(&[far], false).0.numbers(), [1.0, 0.0, 1.0, 0.0]);
        let bad = Host::new(vec![f32::NAN, 1.0], [1, 2]);
        assert!(PLAIN.forward(&[bad], false).0.numbers().iter().all(|v| v.is_nan()));
    }

    #[test]
    fn the_logarithm_is_exact_where_the_softmax_is_nothing() {
        for (rows, k) in [(3, 2), (5, 17), (1, 1), (2, 40)] {
            let x = [Host::new(numbers(rows * k, 1).iter().map(|v| v * 9.0).collect(), [rows, k])];
            let logs = |x: &[f64]| -> Vec<f64> { plain(x, k).iter().map(|p| p.ln()).collect() };
            let (out, _) = LOGARITHM.forward(&x, false);
            for (a, e) in out.numbers().iter().zip(logs(&f64s(x[0].numbers()))) {
                assert!((f64::from(*a) - e).abs() < 1e-6 * (1.0 + e.abs()), "{a} {e}");
            }
            assert_eq!(differences(&LOGARITHM, &x, |all| logs(&all[0])), 0);
        }
        let far = Host::new(vec![1e4, -1e4, 0.0, f32::NEG_INFINITY], [2, 2]);
        let (out, _) = LOGARITHM.forward(&[far], false);
        assert_eq!(out.numbers(), [0.0, -2e4, 0.0, f32::NEG_INFINITY]);
        let bad = Host::new(vec![f32::NAN, 1.0], [1, 2]);
        assert!(LOGARITHM.forward(&[bad], false).0.numbers().iter().all(|v| v.is_nan()));
    }

    #[test]
    fn the_cross_entropy_is_that_of_the_softmax() {
        let (rows, k) = (4, 3);
        let mut truth = vec![0.0f32; rows * k];
        for (r, row) in truth.chunks_mut(k).enumerate() {
            row[r % k] = 0.75;
            row[(r + 1) % k] = 0.25;
        }
        let inputs = [
            Host::new(numbers(rows * k, 1).iter().map(|v| v * 5.0).collect(), [rows, k]),
            Host::new(truth.clone(), [rows, k]),
            Host::new(vec![0.1, 0.4, 0.0, 0.5], [rows]),
        ];
        let loss = |x: &[f64]| -> Vec<f64> {
            let p = plain(x, k);
            let share = [0.1, 0.4, 0.0, 0.5];
            let each = p.iter().zip(&truth).enumerate();
            vec![each.map(|(i, (p, t))| -f64::from(share[i / k] as f32) * f64::from(*t) * p.ln()).sum()]
        };
        let (out, saved) = CrossEntropy.forward(&inputs, true);
        let x = f64s(inputs[0].numbers());
        assert!((f64::from(out.numbers()[0]) - loss(&x)[0]).abs() < 1e-6);
        let got = CrossEntropy.backward(&inputs, &saved, &Host::new(vec![2.0], [1]), &[true; 3]);
        for i in 0..rows * k {
            let at = |step: f64| {
                let mut moved = x.clone();
                moved[i] += step;
                2.0 * loss(&moved)[0]
            };
            let difference = (at(1e-6) - at(-1e-6)) / 2e-6;
            let g = f64::from(got[0].as_ref().unwrap().numbers()[i]);
            assert!((g - difference).abs() < 1e-5, "{g} {difference}");
        }
    }
}
