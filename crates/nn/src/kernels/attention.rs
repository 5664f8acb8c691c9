//! Attention within rows of any number of steps.
//!
//! Steps of all rows lie one after the other, so that nothing is computed for what is not there and no mask is needed. A row is
//! the work of one thread; the weights of the backward pass are computed again instead of being kept.

use std::sync::Arc;

use rayon::prelude::*;

use super::built_in;
use super::product::{View, product};
use super::scratch::scratch;
use super::simd::{sum_pairs, wide};
use super::softmax::row as softmax_row;
use crate::backend::{self, Host, Operator, Saved, Tensor};
use crate::memory::fresh;

/// `y = softmax(Q K^T / sqrt d) V` for each head and each row, over the steps of the row alone.
///
/// # Shapes
/// `x [steps, 3 width]`: the queries, keys and values of all rows' steps, each of `heads` heads of `d = width / heads` numbers; row
/// `r` has `lengths[r]` steps, which add up to all. To `[steps, width]`, the heads beside each other.
///
/// # Panics
/// If the steps do not add up, or the heads do not share the width evenly: callers compute them, never users.
///
/// # Reference
/// Vaswani et al. (2017), "Attention is all you need".
pub fn attention(x: Tensor<2>, lengths: &[usize], heads: usize) -> Tensor<2> {
    let [steps, width] = x.dims();
    assert!(lengths.iter().sum::<usize>() == steps, "the rows do not have {steps} steps");
    assert!(heads > 0 && width.is_multiple_of(3 * heads), "{heads} heads do not share {width} numbers");
    if backend::elsewhere() {
        return built_in::attention(x, lengths, heads);
    }
    backend::operate(Arc::new(Attention { lengths: lengths.to_vec(), heads }), [x.into()])
}

#[derive(Debug)]
struct Attention {
    lengths: Vec<usize>,
    heads: usize,
}

/// One head of one row: where its queries begin, and how far its steps are apart.
#[derive(Clone, Copy)]
struct Head<'a> {
    x: &'a [f32],
    steps: usize,
    size: usize,
    width: usize,
    first: usize,
}

impl<'a> Head<'a> {
    /// Queries, keys or values: 0, 1 or 2.
    fn view(&self, which: usize) -> View<'a> {
        let from = &self.x[which * self.width + self.first..];
        View::apart(from, self.steps, self.size, 3 * self.width)
    }

    /// The weights of all steps for each step, `[steps, steps]`; `scores` has room for as much.
    fn weights(&self, scores: &mut [f32], weights: &mut [f32]) {
        product(self.view(0), self.view(1).transposed(), scores, self.steps, false);
        let scale = self.scale();
        wide(
            #[inline(always)]
            || {
                let rows = scores.chunks_exact_mut(self.steps).zip(weights.chunks_exact_mut(self.steps));
                for (scores, weights) in rows {
                    scores.iter_mut().for_each(|s| *s *= scale);
                    softmax_row(scores, weights);
                }
            },
        );
    }

    fn scale(&self) -> f32 {
        1.0 / (self.size as f32).sqrt()
    }

    /// The gradients of queries, keys and values from those of the output, into `dx`, which lies as `x` does.
    fn back(&self, gradient: &[f32], dx: &mut [f32]) {
        let (n, scale) = (self.steps, self.scale());
        let dy = View::apart(&gradient[self.first..], n, self.size, self.width);
        let place = |which: usize| which * self.width + self.first;
        scratch(2 * n * n, |numbers| {
            let (weights, slopes) = numbers.split_at_mut(n * n);
            self.weights(slopes, weights);
            let by_step = View::new(weights, n, n).transposed();
            product(by_step, dy, &mut dx[place(2)..], 3 * self.width, false);
            product(dy, self.view(2).transposed(), slopes, n, false);
            wide(
                #[inline(always)]
                || {
                    for (slopes, weights) in slopes.chunks_exact_mut(n).zip(weights.chunks_exact(n)) {
                        let along = sum_pairs(slopes, weights, |s, w| s * w);
                        slopes.iter_mut().zip(weights).for_each(|(s, w)| *s = w * (*s - along) * scale);
                    }
                },
            );
            let slopes = View::new(slopes, n, n);
            product(slopes, self.view(1), &mut dx[place(0)..], 3 * self.width, false);
            product(slopes.transposed(), self.view(0), &mut dx[place(1)..], 3 * self.width, false);
        });
    }
}

impl Attention {
    /// The numbers of each row out of `all`, of which a step has `width`.
    fn rows<'a>(&self, mut all: &'a [f32], width: usize) -> Vec<&'a [f32]> {
        let one = |length: &usize| {
            let (row, rest) = all.split_at(length * width);
            all = rest;
            row
        };
        self.lengths.iter().map(one).collect()
    }

    /// The same, to change.
    fn rows_mut<'a>(&self, mut all: &'a mut [f32], width: usize) -> Vec<&'a mut [f32]> {
        let one = |length: &usize| {
            let (row, rest) = std::mem::take(&mut all).split_at_mut(length * width);
            all = rest;
            row
        };
        self.lengths.iter().map(one).collect()
    }

    fn heads<'a>(&self, x: &'a [f32], steps: usize, width: usize) -> impl Iterator<Item = Head<'a>> {
        let size = width / self.heads;
        // A row without steps has nothing to do.
        let heads = if steps == 0 { 0 } else { self.heads };
        (0..heads).map(move |h| Head { x, steps, size, width, first: h * size })
    }
}

/// The width of a step's output.
fn width(x: &Host) -> usize {
    x.shape().get(1).copied().unwrap_or(0) / 3
}

impl Operator for Attention {
    fn forward(&self, inputs: &[Host], _: bool) -> (Host, Saved) {
        let [x] = inputs else { return Default::default() };
        let width = width(x);
        let steps = self.lengths.iter().sum::<usize>();
        let mut out = fresh(steps * width);
        let rows = self.rows(x.numbers(), 3 * width).into_par_iter().zip(self.rows_mut(&mut out, width));
        rows.zip(&self.lengths).for_each(|((x, out), &n)| {
            for head in self.heads(x, n, width) {
                scratch(2 * n * n, |numbers| {
                    let (scores, weights) = numbers.split_at_mut(n * n);
                    head.weights(scores, weights);
                    product(View::new(weights, n, n), head.view(2), &mut out[head.first..], width, false);
                });
            }
        });
        (Host::new(out, [steps, width]), Saved::default())
    }

    fn backward(&self, inputs: &[Host], _: &Saved, gradient: &Host, _: &[bool]) -> Vec<Option<Host>> {
        let [x] = inputs else { return Vec::new() };
        let width = width(x);
        let mut dx = fresh(x.numbers().len());
        let given =
            self.rows(x.numbers(), 3 * width).into_par_iter().zip(self.rows(gradient.numbers(), width));
        let rows = given.zip(self.rows_mut(&mut dx, 3 * width)).zip(&self.lengths);
        rows.for_each(|(((x, gradient), dx), n)| {
            self.heads(x, *n, width).for_each(|head| head.back(gradient, dx));
        });
        vec![Some(Host::new(dx, x.shape()))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::reference::{differences, numbers, wide as f64s};

    fn plain(x: &[f64], lengths: &[usize], heads: usize, width: usize) -> Vec<f64> {
        let size = width / heads;
        let mut out = vec![0.0; x.len() / 3];
        let mut start = 0;
        for n in lengths {
            let at = |step: usize, which: usize, i: usize| x[(start + step) * 3 * width + which * width + i];
            for h in 0..heads {
                let place = |i: usize| h * size + i;
                for a in 0..*n {
                    let dot = |b: usize| -> f64 {
                        (0..size).map(|i| at(a, 0, place(i)) * at(b, 1, place(i))).sum::<f64>()
                    };
                    let e: Vec<f64> = (0..*n).map(|b| (dot(b) / (size as f64).sqrt()).exp()).collect();
                    let all: f64 = e.iter().sum();
                    for i in 0..size {
                        let y: f64 = e.iter().enumerate().map(|(b, e)| e / all * at(b, 2, place(i))).sum();
                        out[(start + a) * width + place(i)] = y;
                    }
                }
            }
            start += n;
        }
        out
    }

    #[test]
    fn values_and_gradients_are_the_plain_ones() {
        for (lengths, heads, width) in
            [(vec![1], 1, 1), (vec![3, 0, 1, 5], 2, 6), (vec![17, 2], 4, 16), (vec![0, 33], 1, 8)]
        {
            let steps: usize = lengths.iter().sum();
            let x = [Host::new(
                numbers(steps * 3 * width, 1).iter().map(|v| v * 3.0).collect(),
                [steps, 3 * width],
            )];
            let operator = Attention { lengths: lengths.clone(), heads };
            let expected = plain(&f64s(x[0].numbers()), &lengths, heads, width);
            for (a, e) in operator.forward(&x, false).0.numbers().iter().zip(expected) {
                // Means of numbers up to three, in f32.
                assert!((f64::from(*a) - e).abs() < 1e-5, "{lengths:?}: {a} {e}");
            }
            assert_eq!(differences(&operator, &x, |x| plain(&x[0], &lengths, heads, width)), 0);
        }
    }

    #[test]
    fn no_bit_depends_on_threads_or_on_other_rows() {
        let (lengths, width) = (vec![40, 7, 0, 64, 1], 32);
        let x = numbers(112 * 3 * width, 5);
        let run = |threads: usize, lengths: &[usize], x: &[f32]| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let operator = Attention { lengths: lengths.to_vec(), heads: 4 };
                let x = [Host::new(x.to_vec(), [x.len() / 3 / width, 3 * width])];
                let (y, saved) = operator.forward(&x, true);
                let dx = operator.backward(&x, &saved, &y, &[true]);
                (y.numbers().to_vec(), dx[0].as_ref().unwrap().numbers().to_vec())
            })
        };
        let one = run(1, &lengths, &x);
        assert!(one == run(3, &lengths, &x));
        let alone = run(1, &[64], &x[47 * 3 * width..111 * 3 * width]);
        assert!(
            one.0[47 * width..111 * width] == alone.0 && one.1[47 * 3 * width..111 * 3 * width] == alone.1
        );
    }
}
