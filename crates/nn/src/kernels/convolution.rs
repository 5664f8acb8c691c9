//! Convolution, bias, rectifier and the largest of each 2 x 2 block as one operator, over images or over steps.
//!
//! A tile of the convolution is pooled while it is in the cache, and is never written to memory.

use std::sync::Arc;

use rayon::prelude::*;

use super::built_in;
use super::conv2d::{self, Moves, Sizes, backward, winograd};
use super::product::{View, product};
use super::scratch::scratch;
use super::simd::{sum, wide};
use super::transpose::transpose;
use crate::backend::{self, Host, Operator, Saved, Tensor};
use crate::memory::{fresh, give_back, zeros};

/// Sums of the weight's gradient that are made side by side.
const SUMS: usize = 8;

/// The mark of a block of 2 x 2 whose largest value the rectifier set to zero: nothing flows back.
const SHUT: u8 = 4;

/// `max over 2 x 2 of max(w * x + b, 0)`: `x [n, c, h, w]`, `weight [o, c, k, k]` with an odd `k`, `bias [o]`, to
/// `[n, o, h / 2, w / 2]`. The convolution (a cross-correlation) has stride one and `k / 2` zeros on every side; an odd
/// last row or column is left out of the blocks of 2 x 2. Of equal largest values the first takes the gradient.
///
/// Over steps, `x [n, c, 1, w]` and `weight [o, c, 1, k]` give `[n, o, 1, w / 2]`: there is nothing to halve in a height
/// of 1, and blocks are of 1 x 2.
pub fn convolution_block(x: Tensor<4>, weight: Tensor<4>, bias: Tensor<1>) -> Tensor<4> {
    if backend::elsewhere() {
        return built_in::convolution_block(x, weight, bias);
    }
    backend::operate(Arc::new(ConvolutionBlock), [x.into(), weight.into(), bias.into()])
}

#[derive(Debug)]
struct ConvolutionBlock;

/// The convolution's sizes, and those of what is pooled.
#[derive(Clone, Copy)]
struct Pooled {
    sizes: Sizes,
    /// The height of a block of which the largest is taken; its width is 2.
    tall: usize,
}

impl Pooled {
    fn new(x: &Host, weight: &Host) -> Self {
        let (x, weight) = (x.shape(), weight.shape());
        let half = |i: usize| weight.get(i).map_or(0, |k| k / 2);
        let moves = Moves { padding: [half(2), half(3)], ..Moves::default() };
        let sizes = Sizes::new(&x, &weight, moves);
        Self { sizes, tall: if sizes.oh == 1 { 1 } else { 2 } }
    }

    /// Height and width after the pooling.
    fn halved(&self) -> [usize; 2] {
        [self.sizes.oh / self.tall, self.sizes.ow / 2]
    }

    /// Numbers of one sample after the pooling.
    fn given(&self) -> usize {
        let [h, w] = self.halved();
        self.sizes.o * h * w
    }

    /// Pieces of work: samples whose sums are made in one piece.
    fn part(&self) -> usize {
        let lot = self.sizes.lot();
        self.sizes.n.div_ceil(lot).div_ceil(SUMS).max(1) * lot
    }

    /// Where the rows of a channel of a sample begin after the pooling, `first` being the first row of a tile.
    fn place(&self, sample: usize, channel: usize, first: usize) -> usize {
        let [h, w] = self.halved();
        ((sample * self.sizes.o + channel) * h + first / self.tall) * w
    }
}

impl Operator for ConvolutionBlock {
    fn forward(&self, inputs: &[Host], save: bool) -> (Host, Saved) {
        let [x, weight, bias] = inputs else { return Default::default() };
        let pooled = Pooled::new(x, weight);
        let (sizes, given, [h, w]) = (pooled.sizes, pooled.given(), pooled.halved());
        if pooled.tall == 2 && winograd::pays(sizes) {
            let (x, weight, bias) = (x.numbers(), weight.numbers(), bias.numbers());
            let (out, marks) = conv2d::pooled(sizes, x, weight, bias, save, SHUT);
            return (Host::new(out, [sizes.n, sizes.o, h, w]), Saved { hosts: Vec::new(), marks });
        }
        let mut out = zeros(sizes.n * given);
        let mut saved = vec![0u8; if save { out.len() } else { 0 }];
        let lot = sizes.lot();
        let marks: Vec<&mut [u8]> = match save {
            true => saved.chunks_mut((lot * given).max(1)).collect(),
            false => (0..sizes.n.div_ceil(lot)).map(|_| &mut [][..]).collect(),
        };
        let (patch, weight) = (sizes.patch(), View::new(weight.numbers(), sizes.o, sizes.patch()));
        x.numbers()
            .par_chunks((lot * sizes.sample()).max(1))
            .zip(out.par_chunks_mut((lot * given).max(1)))
            .zip(marks)
            .for_each(|((x, out), marks)| {
                let samples = out.len() / given.max(1);
                for rows in sizes.tiles(samples, pooled.tall) {
                    let columns = samples * rows.len() * sizes.ow;
                    scratch(sizes.o * columns, |made| {
                        scratch(patch * columns, |patches| {
                            sizes.patches(x, samples, 0, rows.clone(), patches);
                            product(weight, View::new(patches, patch, columns), made, columns, false);
                        });
                        let run = rows.len() * sizes.ow;
                        for (i, made) in made.chunks_exact(run).enumerate() {
                            let (channel, sample) = (i / samples, i % samples);
                            let b = bias.numbers().get(channel).copied().unwrap_or(0.0);
                            let start = pooled.place(sample, channel, rows.start);
                            let length = rows.len() / pooled.tall * w;
                            let marks = if save { &mut marks[start..start + length] } else { &mut [][..] };
                            wide(
                                #[inline(always)]
                                || pool(pooled, made, b, &mut out[start..start + length], marks),
                            );
                        }
                    });
                }
            });
        (Host::new(out, [sizes.n, sizes.o, h, w]), Saved { hosts: Vec::new(), marks: saved })
    }

    fn backward(
        &self,
        inputs: &[Host],
        saved: &Saved,
        gradient: &Host,
        wanted: &[bool],
    ) -> Vec<Option<Host>> {
        let ([x, weight, _], [dx_wanted, dw_wanted, db_wanted]) = (inputs, wanted) else { return Vec::new() };
        let pooled = Pooled::new(x, weight);
        let (sizes, given, part) = (pooled.sizes, pooled.given(), pooled.part());
        if pooled.tall == 2 && winograd::pays(sizes) {
            return whole(pooled, x, weight, gradient, &saved.marks, wanted);
        }
        let mut dx = zeros(if *dx_wanted { x.numbers().len() } else { 0 });
        let parts: Vec<&mut [f32]> = match *dx_wanted {
            true => dx.chunks_mut((part * sizes.sample()).max(1)).collect(),
            false => (0..sizes.n.div_ceil(part)).map(|_| &mut [][..]).collect(),
        };
        let sums: Vec<(Vec<f32>, Vec<f32>)> = x
            .numbers()
            .par_chunks((part * sizes.sample()).max(1))
            .zip(gradient.numbers().par_chunks((part * given).max(1)))
            .zip(saved.marks.par_chunks((part * given).max(1)))
            .zip(parts)
            .map(|(((x, gradient), marks), dx)| {
                let mut sums = (vec![0.0f32; sizes.o * sizes.patch()], vec![0.0f32; sizes.o]);
                let lot = sizes.lot();
                let mut dx = dx.chunks_mut((lot * sizes.sample()).max(1));
                let lots = x
                    .chunks(lot * sizes.sample())
                    .zip(gradient.chunks(lot * given).zip(marks.chunks(lot * given)));
                for (x, (gradient, marks)) in lots {
                    let dx = dx.next().unwrap_or(&mut []);
                    back(pooled, x, weight.numbers(), gradient, marks, dx, &mut sums);
                }
                sums
            })
            .collect();
        let mut turned = vec![0.0f32; sizes.o * sizes.patch()];
        let mut db = vec![0.0f32; sizes.o];
        for (w, b) in &sums {
            turned.iter_mut().zip(w).for_each(|(a, b)| *a += b);
            db.iter_mut().zip(b).for_each(|(a, b)| *a += b);
        }
        let mut dw = fresh(turned.len());
        transpose(&turned, sizes.patch(), sizes.o, &mut dw);
        vec![
            dx_wanted.then(|| Host::new(dx, x.shape())),
            dw_wanted.then(|| Host::new(dw, weight.shape())),
            db_wanted.then(|| Host::new(db, [sizes.o])),
        ]
    }
}

/// All samples backward, with the gradient of the convolution laid out as a whole.
fn whole(
    pooled: Pooled,
    x: &Host,
    weight: &Host,
    gradient: &Host,
    marks: &[u8],
    wanted: &[bool],
) -> Vec<Option<Host>> {
    let (sizes, given) = (pooled.sizes, pooled.given());
    let [h, w] = pooled.halved();
    let mut dy = fresh(sizes.n * sizes.given());
    dy.par_chunks_mut(sizes.given().max(1))
        .zip(gradient.numbers().par_chunks(given.max(1)).zip(marks.par_chunks(given.max(1))))
        .for_each(|(dy, (gradient, marks))| {
            let planes = gradient.chunks_exact((h * w).max(1)).zip(marks.chunks_exact((h * w).max(1)));
            for (dy, (gradient, marks)) in dy.chunks_exact_mut(sizes.plane()).zip(planes) {
                // A last row that belongs to no block takes nothing.
                let (blocks, rest) = dy.split_at_mut(h * pooled.tall * sizes.ow);
                rest.fill(0.0);
                wide(
                    #[inline(always)]
                    || unpool(pooled, gradient, marks, blocks),
                );
            }
        });
    let want = |i: usize| wanted.get(i).copied().unwrap_or(false);
    let all = vec![
        want(0).then(|| Host::new(backward::input(sizes, weight.numbers(), &dy), x.shape())),
        want(1).then(|| Host::new(backward::weight(sizes, x.numbers(), &dy), weight.shape())),
        want(2).then(|| Host::new(backward::bias(sizes, &dy), [sizes.o])),
    ];
    give_back(dy);
    all
}

/// One lot of samples backward: adds to the sums of weight, `[patch, o]`, and bias, and to `dx` unless that is empty. This
/// way round the patches, the larger of the two in the product, need not be turned.
fn back(
    pooled: Pooled,
    x: &[f32],
    weight: &[f32],
    gradient: &[f32],
    marks: &[u8],
    dx: &mut [f32],
    (dw, db): &mut (Vec<f32>, Vec<f32>),
) {
    let (sizes, w) = (pooled.sizes, pooled.halved()[1]);
    let (patch, samples) = (sizes.patch(), gradient.len() / pooled.given().max(1));
    for rows in sizes.tiles(samples, pooled.tall) {
        let columns = samples * rows.len() * sizes.ow;
        scratch(sizes.o * columns, |dy| {
            let run = rows.len() * sizes.ow;
            for (i, dy) in dy.chunks_exact_mut(run).enumerate() {
                let (channel, sample) = (i / samples, i % samples);
                let start = pooled.place(sample, channel, rows.start);
                let span = start..start + rows.len() / pooled.tall * w;
                let all = wide(
                    #[inline(always)]
                    || {
                        unpool(pooled, &gradient[span.clone()], &marks[span], dy);
                        sum(dy, |v| v)
                    },
                );
                if let Some(b) = db.get_mut(channel) {
                    *b += all;
                }
            }
            let dy = View::new(dy, sizes.o, columns);
            scratch(patch * columns, |patches| {
                sizes.patches(x, samples, 0, rows.clone(), patches);
                product(View::new(patches, patch, columns), dy.transposed(), dw, sizes.o, true);
                if !dx.is_empty() {
                    product(View::new(weight, sizes.o, patch).transposed(), dy, patches, columns, false);
                    sizes.gather(patches, samples, 0, rows, dx);
                }
            });
        });
    }
}

/// Rows of a channel of a sample to the largest of each block, plus bias, rectified. `marks`, unless empty, takes which
/// of the four it was, or [`SHUT`]. What is not a number stays so.
#[inline(always)]
fn pool(pooled: Pooled, made: &[f32], b: f32, out: &mut [f32], marks: &mut [u8]) {
    let (width, half) = (pooled.sizes.ow, pooled.halved()[1]);
    let rows = made.chunks_exact(pooled.tall * width).zip(out.chunks_exact_mut(half.max(1)));
    for (p, (pair, out)) in rows.enumerate() {
        // A single row is its own lower one: what is equal counts as the upper.
        let (upper, lower) = if pooled.tall == 1 { (pair, pair) } else { pair.split_at(width) };
        let ((upper, _), (lower, _)) = (upper.as_chunks::<2>(), lower.as_chunks::<2>());
        let four = upper.iter().zip(lower);
        if marks.is_empty() {
            for (out, (u, l)) in out.iter_mut().zip(four) {
                let more = |a: f32, b: f32| if b > a { b } else { a };
                let m = more(more(u[0], u[1]), more(l[0], l[1])) + b;
                let kept = if m > 0.0 { m } else { 0.0 };
                let all = u[0] + u[1] + l[0] + l[1] + b;
                *out = if all.is_nan() { f32::NAN } else { kept };
            }
        } else {
            let marks = &mut marks[p * half..][..half];
            for ((out, mark), (u, l)) in out.iter_mut().zip(marks).zip(four) {
                let (m1, i1) = if u[1] > u[0] { (u[1], 1) } else { (u[0], 0) };
                let (m2, i2) = if l[1] > l[0] { (l[1], 3) } else { (l[0], 2) };
                let (m, i) = if m2 > m1 { (m2, i2) } else { (m1, i1) };
                let (m, all) = (m + b, u[0] + u[1] + l[0] + l[1] + b);
                let kept = if m > 0.0 { m } else { 0.0 };
                *out = if all.is_nan() { f32::NAN } else { kept };
                *mark = if m > 0.0 { i } else { SHUT };
            }
        }
    }
}

/// The gradient of what [`pool`] read.
#[inline(always)]
fn unpool(pooled: Pooled, gradient: &[f32], marks: &[u8], out: &mut [f32]) {
    let (width, half) = (pooled.sizes.ow, pooled.halved()[1]);
    let rows = gradient.chunks_exact(half.max(1)).zip(marks.chunks_exact(half.max(1)));
    for ((gradient, marks), out) in rows.zip(out.chunks_exact_mut(pooled.tall * width)) {
        for (row, out) in out.chunks_exact_mut(width).enumerate() {
            let first = 2 * row as u8;
            let (pairs, rest) = out.as_chunks_mut::<2>();
            rest.fill(0.0);
            for ((pair, g), mark) in pairs.iter_mut().zip(gradient).zip(marks) {
                pair[0] = if *mark == first { *g } else { 0.0 };
                pair[1] = if *mark == first + 1 { *g } else { 0.0 };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::reference::{differences, numbers, wide as f64s};

    /// The plain sums that the operator stands for, in f64.
    fn plain(sizes: Sizes, x: &[f64], weight: &[f64], bias: &[f64]) -> Vec<f64> {
        let (h, w, tall, wide) = (sizes.h, sizes.w, sizes.kh, sizes.kw);
        let at = |s: usize, o: usize, y: usize, q: usize| {
            let mut sum = bias[o];
            let taps =
                (0..sizes.c).flat_map(|c| (0..tall).flat_map(move |i| (0..wide).map(move |j| (c, i, j))));
            for (c, i, j) in taps {
                let (p, r) = ((y + i).wrapping_sub(tall / 2), (q + j).wrapping_sub(wide / 2));
                if p < h && r < w {
                    sum += weight[((o * sizes.c + c) * tall + i) * wide + j]
                        * x[((s * sizes.c + c) * h + p) * w + r];
                }
            }
            sum.max(0.0)
        };
        let mut out = Vec::new();
        for s in 0..sizes.n {
            for o in 0..sizes.o {
                if h == 1 {
                    out.extend((0..w / 2).map(|q| at(s, o, 0, 2 * q).max(at(s, o, 0, 2 * q + 1))));
                }
                for y in 0..h / 2 {
                    for q in 0..w / 2 {
                        let four =
                            [(0, 0), (0, 1), (1, 0), (1, 1)].map(|(a, b)| at(s, o, 2 * y + a, 2 * q + b));
                        out.push(four.into_iter().fold(0.0, f64::max));
                    }
                }
            }
        }
        out
    }

    fn case(
        samples: usize,
        inputs: usize,
        height: usize,
        width: usize,
        outputs: usize,
        kernel: usize,
    ) -> (Sizes, [Host; 3]) {
        let kernel = if height == 1 { [1, kernel] } else { [kernel, kernel] };
        let x = Host::new(numbers(samples * inputs * height * width, 1), [samples, inputs, height, width]);
        let weights = outputs * inputs * kernel[0] * kernel[1];
        let weight = Host::new(numbers(weights, 2), [outputs, inputs, kernel[0], kernel[1]]);
        let sizes = Pooled::new(&x, &weight).sizes;
        (sizes, [x, weight, Host::new(numbers(outputs, 3), [outputs])])
    }

    #[test]
    fn the_forward_pass_is_the_plain_sum() {
        let shapes = [
            (3, 2, 5, 7, 3, 3),
            (1, 1, 2, 2, 1, 1),
            (40, 3, 6, 4, 2, 5),
            (2, 1, 3, 9, 4, 7),
            (2, 4, 30, 28, 5, 3),
            (3, 2, 1, 9, 4, 3),
            (40, 3, 1, 30, 2, 5),
            (6, 17, 9, 7, 18, 3),
            (1, 16, 21, 22, 16, 3),
            // Kernels of which some taps never meet the plane.
            (3, 2, 2, 2, 3, 7),
            (1, 1, 3, 3, 2, 15),
            (3, 2, 1, 2, 3, 7),
            (2, 1, 1, 6, 2, 15),
        ];
        for (n, c, h, w, o, k) in shapes {
            let (sizes, [x, weight, bias]) = case(n, c, h, w, o, k);
            let expected = plain(sizes, &f64s(x.numbers()), &f64s(weight.numbers()), &f64s(bias.numbers()));
            let (saving, marks) = ConvolutionBlock.forward(&[x.clone(), weight.clone(), bias.clone()], true);
            let (plain_pass, none) =
                ConvolutionBlock.forward(&[x.clone(), weight.clone(), bias.clone()], false);
            assert_eq!(saving.shape(), [n, o, if h == 1 { 1 } else { h / 2 }, w / 2]);
            assert_eq!(saving.numbers(), plain_pass.numbers());
            assert_eq!((marks.marks.len(), none.marks.len()), (expected.len(), 0));
            for (a, e) in saving.numbers().iter().zip(&expected) {
                assert!((f64::from(*a) - e).abs() < 1e-5 * (1.0 + e.abs()), "{a} instead of {e}");
            }
        }
    }

    #[test]
    fn the_backward_pass_is_the_finite_difference() {
        for (n, c, h, w, o, k) in
            [(3, 2, 5, 7, 3, 3), (9, 1, 4, 4, 2, 5), (5, 2, 1, 9, 3, 3), (3, 1, 2, 3, 2, 9)]
        {
            let (sizes, [x, weight, bias]) = case(n, c, h, w, o, k);
            let (out, marks) = ConvolutionBlock.forward(&[x.clone(), weight.clone(), bias.clone()], true);
            let pull = numbers(out.numbers().len(), 4);
            let gradient = Host::new(pull.clone(), out.shape());
            let got = ConvolutionBlock.backward(
                &[x.clone(), weight.clone(), bias.clone()],
                &marks,
                &gradient,
                &[true; 3],
            );
            let inputs = [f64s(x.numbers()), f64s(weight.numbers()), f64s(bias.numbers())];
            // In f64 a step of 1e-6 leaves an error near 1e-9 unless it crosses a kink, of which there are few.
            let mut kinks = 0;
            for (which, got) in got.into_iter().enumerate() {
                for (i, g) in got.unwrap().numbers().iter().enumerate() {
                    let value = |step: f64| {
                        let mut inputs = inputs.clone();
                        inputs[which][i] += step;
                        let out = plain(sizes, &inputs[0], &inputs[1], &inputs[2]);
                        out.iter().zip(&pull).map(|(a, b)| a * f64::from(*b)).sum::<f64>()
                    };
                    let difference = (value(1e-6) - value(-1e-6)) / 2e-6;
                    kinks +=
                        usize::from((f64::from(*g) - difference).abs() > 1e-4 * (1.0 + difference.abs()));
                }
            }
            assert!(kinks <= 1, "{kinks} gradients differ");
        }
    }

    #[test]
    fn the_backward_pass_of_many_channels_is_the_finite_difference() {
        let (sizes, inputs) = case(13, 16, 5, 4, 17, 3);
        assert!(winograd::pays(sizes));
        let apart = differences(&ConvolutionBlock, &inputs, |x| plain(sizes, &x[0], &x[1], &x[2]));
        assert!(apart <= 1, "{apart} gradients differ");
    }

    #[test]
    fn only_wanted_gradients_are_made_and_what_is_not_a_number_stays() {
        let (_, [x, weight, bias]) = case(2, 1, 4, 4, 2, 3);
        let (out, marks) = ConvolutionBlock.forward(&[x.clone(), weight.clone(), bias.clone()], true);
        let got = ConvolutionBlock.backward(
            &[x.clone(), weight.clone(), bias.clone()],
            &marks,
            &out,
            &[false, true, false],
        );
        assert!(matches!(got.as_slice(), [None, Some(_), None]));
        for shape in [[2, 1, 4, 4, 2, 3], [9, 16, 8, 8, 16, 3]] {
            let [n, c, h, w, o, k] = shape;
            let (_, [x, weight, _]) = case(n, c, h, w, o, k);
            let mut shift = vec![0.0f32; o];
            shift[1] = f32::NAN;
            let (out, _) = ConvolutionBlock.forward(&[x, weight, Host::new(shift, [o])], true);
            let marked = |i: usize| out.numbers()[i * (h / 2) * (w / 2)].is_nan();
            assert!(!marked(0) && marked(1), "a bias that is not a number, {shape:?}");
        }
        let mut bad = x.numbers().to_vec();
        bad[0] = f32::NAN;
        let bad = Host::new(bad, x.shape());
        for save in [true, false] {
            let (out, _) = ConvolutionBlock.forward(&[bad.clone(), weight.clone(), bias.clone()], save);
            assert!(out.numbers()[0].is_nan());
            assert!(out.numbers()[3].is_finite());
        }
    }
}
