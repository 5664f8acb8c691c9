//! Windows over the steps of rows of any length, and the largest of what each filter gives: convolution, rectifier and maximum
//! over time in one.
//!
//! A window is a run of numbers in memory, so that nothing is laid out for the product. Only the largest windows take a
//! gradient, which makes the backward pass nearly free. A row is the work of one thread; what rows add up for the weights is made
//! over blocks of rows that depend on their number alone, and added in their order.

use std::sync::Arc;

use rayon::prelude::*;

use super::built_in;
use super::product::{View, product};
use super::scratch::scratch;
use super::simd::wide;
use crate::backend::{self, Host, Operator, Saved, Tensor};
use crate::memory::fresh;

/// Sums of the gradients of the weights that are made side by side.
const SUMS: usize = 16;

/// `y_f = max(max_t(w_f . x_t) + b_f, 0)`, where `x_t` are all windows of a row that hold at least one of its steps; what lies
/// outside of the row is zero. A row without steps gives zeros. The first of several largest windows takes the gradient.
///
/// # Shapes
/// `x [steps, width]`: the steps of all rows, one row after the other, row `r` with `lengths[r]` of them; `weight [filters, reach,
/// width]`, `reach` the steps of a window; `bias [filters]`. To `[rows, filters]`.
///
/// # Panics
/// If the lengths do not add up to the steps: callers compute them, never users.
///
/// # Reference
/// Kim (2014), "Convolutional neural networks for sentence classification".
pub fn largest_window(x: Tensor<2>, lengths: &[usize], weight: Tensor<3>, bias: Tensor<1>) -> Tensor<2> {
    let [steps, _] = x.dims();
    assert!(lengths.iter().sum::<usize>() == steps, "the rows do not have {steps} steps");
    if backend::elsewhere() {
        return built_in::largest_window(x, lengths, weight, bias);
    }
    let operator = LargestWindow { lengths: lengths.to_vec() };
    backend::operate(Arc::new(operator), [x.into(), weight.into(), bias.into()])
}

#[derive(Debug)]
struct LargestWindow {
    lengths: Vec<usize>,
}

/// Filters, reach and width.
fn sizes(weight: &Host) -> [usize; 3] {
    let shape = weight.shape();
    [0, 1, 2].map(|i| shape.get(i).copied().unwrap_or(0))
}

impl LargestWindow {
    /// Where the steps of each row begin.
    fn starts(&self) -> Vec<usize> {
        let mut next = 0;
        let one = |length: &usize| {
            let start = next;
            next += length;
            start
        };
        self.lengths.iter().map(one).collect()
    }
}

/// The windows of a row: the one that holds its first step alone at its end comes first.
fn windows(length: usize, reach: usize) -> usize {
    if length == 0 { 0 } else { length + reach - 1 }
}

/// Where window `at` of a row of `length` steps meets the row: its first step that is there, that step's place in the window, and
/// how many there are.
fn met(at: usize, length: usize, reach: usize) -> (usize, usize, usize) {
    let first = at.saturating_sub(reach - 1);
    (first, (reach - 1).saturating_sub(at), (at + 1).min(length) - first)
}

/// The largest of each column, and which; those before it stay where they are as large.
#[inline(always)]
fn take_largest(row: &[f32], at: u32, out: &mut [f32], places: &mut [u32]) {
    for ((y, out), place) in row.iter().zip(out).zip(places) {
        // What is not a number is the largest.
        let more = *y > *out || y.is_nan();
        *out = if more { *y } else { *out };
        *place = if more { at } else { *place };
    }
}

impl Operator for LargestWindow {
    fn forward(&self, inputs: &[Host], save: bool) -> (Host, Saved) {
        let [x, weight, bias] = inputs else { return Default::default() };
        let [filters, reach, width] = sizes(weight);
        let rows = self.lengths.len();
        let mut out = fresh(rows * filters);
        let mut places = vec![0u32; rows * filters];
        let made = out.par_chunks_mut(filters.max(1)).zip(places.par_chunks_mut(filters.max(1)));
        made.zip(self.starts()).zip(&self.lengths).for_each(|(((out, places), start), &length)| {
            let count = windows(length, reach);
            out.fill(if count == 0 { 0.0 } else { f32::NEG_INFINITY });
            scratch((length + 2 * (reach - 1)) * width + count * filters, |numbers| {
                let (padded, made) = numbers.split_at_mut((length + 2 * (reach - 1)) * width);
                let inside = (reach - 1) * width..(reach - 1 + length) * width;
                padded[..inside.start].fill(0.0);
                padded[inside.end..].fill(0.0);
                padded[inside].copy_from_slice(&x.numbers()[start * width..(start + length) * width]);
                let all = View::apart(padded, count, reach * width, width);
                let weight = View::new(weight.numbers(), filters, reach * width).transposed();
                product(all, weight, made, filters, false);
                wide(
                    #[inline(always)]
                    || {
                        for (at, row) in (0..).zip(made.chunks_exact(filters.max(1)).take(count)) {
                            take_largest(row, at, out, places);
                        }
                    },
                );
            });
            if count > 0 {
                for (y, b) in out.iter_mut().zip(bias.numbers()) {
                    // What is not a number stays so.
                    *y = if *y + b < 0.0 { 0.0 } else { *y + b };
                }
            }
        });
        let out = Host::new(out, [rows, filters]);
        let mut saved = Saved::default();
        if save {
            saved.hosts = vec![out.clone()];
            saved.marks = places.iter().flat_map(|p| p.to_le_bytes()).collect();
        }
        (out, saved)
    }

    fn backward(&self, inputs: &[Host], saved: &Saved, gradient: &Host, _: &[bool]) -> Vec<Option<Host>> {
        let ([x, weight, bias], [out]) = (inputs, saved.hosts.as_slice()) else { return Vec::new() };
        let [filters, reach, width] = sizes(weight);
        let starts = self.starts();
        let (places, _) = saved.marks.as_chunks::<4>();
        // The filters of a row that take a gradient, each with it, the steps of its window, and where they meet the weights.
        let uses = |row: usize| {
            let length = self.lengths[row];
            (0..filters).filter_map(move |f| {
                let at = row * filters + f;
                let (y, g) = (out.numbers()[at], gradient.numbers()[at]);
                if y <= 0.0 || length == 0 {
                    return None;
                }
                let (first, inside, count) = met(u32::from_le_bytes(places[at]) as usize, length, reach);
                Some((f, g, first * width, (f * reach + inside) * width, count * width))
            })
        };
        let mut dx = crate::memory::zeros(x.numbers().len());
        let mut rest = dx.as_mut_slice();
        let mut each = Vec::with_capacity(self.lengths.len());
        for length in &self.lengths {
            let (row, more) = std::mem::take(&mut rest).split_at_mut(length * width);
            each.push(row);
            rest = more;
        }
        let weights = weight.numbers();
        each.into_par_iter().enumerate().for_each(|(row, dx)| {
            wide(
                #[inline(always)]
                || {
                    for (_, g, from, to, count) in uses(row) {
                        let pairs = dx[from..from + count].iter_mut().zip(&weights[to..to + count]);
                        pairs.for_each(|(d, w)| *d += g * w);
                    }
                },
            );
        });
        let lot = self.lengths.len().div_ceil(SUMS).max(1);
        let sums: Vec<[Vec<f32>; 2]> = starts
            .par_chunks(lot)
            .enumerate()
            .map(|(piece, starts)| {
                let (mut dw, mut db) = (vec![0.0f32; weights.len()], vec![0.0f32; filters]);
                for (row, start) in (piece * lot..).zip(starts) {
                    let x = &x.numbers()[start * width..];
                    wide(
                        #[inline(always)]
                        || {
                            for (f, g, from, to, count) in uses(row) {
                                let pairs = dw[to..to + count].iter_mut().zip(&x[from..from + count]);
                                pairs.for_each(|(d, x)| *d += g * x);
                                db[f] += g;
                            }
                        },
                    );
                }
                [dw, db]
            })
            .collect();
        let mut all = [vec![0.0f32; weights.len()], vec![0.0f32; filters]];
        for part in &sums {
            for (all, part) in all.iter_mut().zip(part) {
                all.iter_mut().zip(part).for_each(|(a, b)| *a += b);
            }
        }
        let [dw, db] = all;
        let (dw, db) = (Host::new(dw, weight.shape()), Host::new(db, bias.shape()));
        vec![Some(Host::new(dx, x.shape())), Some(dw), Some(db)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::reference::{differences, numbers, wide as f64s};

    fn plain(all: &[Vec<f64>], lengths: &[usize], [filters, reach, width]: [usize; 3]) -> Vec<f64> {
        let mut out = Vec::new();
        let mut start = 0i64;
        for length in lengths.iter().map(|l| *l as i64) {
            for f in 0..filters {
                let one = |at: i64| -> f64 {
                    let step = |s: i64, i: usize| {
                        if (0..length).contains(&s) { all[0][(start + s) as usize * width + i] } else { 0.0 }
                    };
                    let each = (0..reach).flat_map(|j| (0..width).map(move |i| (j, i)));
                    each.map(|(j, i)| all[1][(f * reach + j) * width + i] * step(at + j as i64, i)).sum()
                };
                let best = (1 - reach as i64..length).map(one).fold(f64::NEG_INFINITY, f64::max);
                out.push(if length == 0 { 0.0 } else { (best + all[2][f]).max(0.0) });
            }
            start += length;
        }
        out
    }

    #[test]
    fn values_and_gradients_are_the_plain_ones() {
        for (lengths, shape) in [
            (vec![1], [1, 1, 1]),
            (vec![4, 0, 1, 2], [5, 3, 2]),
            (vec![20, 3], [33, 4, 7]),
            (vec![1; 40], [2, 5, 3]),
        ] {
            let [filters, reach, width] = shape;
            let steps: usize = lengths.iter().sum();
            let inputs = [
                Host::new(numbers(steps * width, 1), [steps, width]),
                Host::new(numbers(filters * reach * width, 2), shape),
                Host::new(numbers(filters, 3), [filters]),
            ];
            let operator = LargestWindow { lengths: lengths.clone() };
            let all: Vec<Vec<f64>> = inputs.iter().map(|i| f64s(i.numbers())).collect();
            for (a, e) in
                operator.forward(&inputs, false).0.numbers().iter().zip(plain(&all, &lengths, shape))
            {
                assert!((f64::from(*a) - e).abs() < 1e-5, "{lengths:?}: {a} {e}");
            }
            assert_eq!(differences(&operator, &inputs, |x| plain(x, &lengths, shape)), 0, "{lengths:?}");
        }
    }

    #[test]
    fn no_bit_depends_on_threads_and_what_is_not_a_number_stays() {
        let lengths = vec![9, 0, 31, 2, 5];
        let inputs = [
            Host::new(numbers(47 * 6, 1), [47, 6]),
            Host::new(numbers(8 * 3 * 6, 2), [8, 3, 6]),
            Host::new(numbers(8, 3), [8]),
        ];
        let operator = LargestWindow { lengths };
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let (y, saved) = operator.forward(&inputs, true);
                let all = operator.backward(&inputs, &saved, &y, &[true; 3]);
                all.into_iter().flatten().chain([y]).flat_map(|h| h.numbers().to_vec()).collect::<Vec<f32>>()
            })
        };
        assert!(run(1) == run(3));
        let mut bad = inputs.clone();
        bad[0].numbers_mut()[0] = f32::NAN;
        let (y, _) = operator.forward(&bad, false);
        assert!(y.numbers()[..8].iter().all(|v| v.is_nan()) && y.numbers()[8..].iter().all(|v| !v.is_nan()));
    }
}
