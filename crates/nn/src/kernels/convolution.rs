//! Convolution, bias, rectifier and the largest of each 2 x 2 block as one operator, over images or over steps.
//!
//! Samples are taken in blocks of a size that depends on the shapes alone. Each block is laid out as a matrix of patches
//! and multiplied by the weights; blocks run in parallel, and what they add up is added in the order of the blocks, so
//! that no bit depends on the number of threads.

use std::sync::Arc;

use rayon::prelude::*;

use crate::backend::{self, Host, Operator, Saved, Tensor};

/// Patches in a block, about: a few hundred columns keep a product in the second cache and off the thread pool.
const COLUMNS: usize = 512;

/// The mark of a block of 2 x 2 whose largest value the rectifier set to zero: nothing flows back.
const SHUT: u8 = 4;

/// `max over 2 x 2 of max(w * x + b, 0)`: `x [n, c, h, w]`, `weight [o, c, k, k]` with an odd `k`, `bias [o]`, to
/// `[n, o, h / 2, w / 2]`. The convolution (a cross-correlation) has stride one and `k / 2` zeros on every side; an odd
/// last row or column is left out of the blocks of 2 x 2. Of equal largest values the first takes the gradient.
///
/// Over steps, `x [n, c, 1, w]` and `weight [o, c, 1, k]` give `[n, o, 1, w / 2]`: there is nothing to halve in a height
/// of 1, and blocks are of 1 x 2.
pub fn convolution_block(x: Tensor<4>, weight: Tensor<4>, bias: Tensor<1>) -> Tensor<4> {
    backend::operate(Arc::new(ConvolutionBlock), [x.into(), weight.into(), bias.into()])
}

#[derive(Debug)]
struct ConvolutionBlock;

/// The sizes of one call.
#[derive(Clone, Copy)]
struct Sizes {
    samples: usize,
    inputs: usize,
    height: usize,
    width: usize,
    outputs: usize,
    /// Height and width of the kernel.
    kernel: [usize; 2],
}

impl Sizes {
    fn new(x: &Host, weight: &Host) -> Self {
        let at = |shape: &[usize], i: usize| shape.get(i).copied().unwrap_or(0);
        let (x, w) = (x.shape(), weight.shape());
        Self {
            samples: at(&x, 0),
            inputs: at(&x, 1),
            height: at(&x, 2),
            width: at(&x, 3),
            outputs: at(&w, 0),
            kernel: [at(&w, 2), at(&w, 3)],
        }
    }

    /// The height of a block of which the largest is taken; its width is 2.
    fn tall(&self) -> usize {
        if self.height == 1 { 1 } else { 2 }
    }

    /// The height and width of a pooled sample.
    fn halved(&self) -> [usize; 2] {
        [self.height / self.tall(), self.width / 2]
    }

    /// Numbers of one channel of one sample.
    fn plane(&self) -> usize {
        self.height * self.width
    }

    /// Numbers of one sample.
    fn sample(&self) -> usize {
        self.inputs * self.plane()
    }

    /// Numbers of one patch.
    fn patch(&self) -> usize {
        self.inputs * self.kernel[0] * self.kernel[1]
    }

    /// Numbers of one channel of one pooled sample.
    fn pooled(&self) -> usize {
        self.halved().iter().product()
    }

    /// Samples in a block.
    fn block(&self) -> usize {
        (COLUMNS / self.plane().max(1)).max(1)
    }

    /// For each row of the matrix of patches: its channel, and how its pixels are shifted down and right.
    fn taps(self) -> impl Iterator<Item = (usize, usize, usize)> {
        let [tall, wide] = self.kernel;
        (0..self.inputs).flat_map(move |c| (0..tall).flat_map(move |i| (0..wide).map(move |j| (c, i, j))))
    }

    /// The part of `0..length` that a shift by `tap - kernel / 2` keeps inside, and where it begins after the shift.
    fn inside(tap: usize, kernel: usize, length: usize) -> (usize, usize, usize) {
        let half = kernel / 2;
        let start = half.saturating_sub(tap).min(length);
        let end = (length + half).saturating_sub(tap).min(length).max(start);
        (start, end, (start + tap).saturating_sub(half))
    }

    /// Calls `each` with every run of a patch row inside the image: the row's columns, and the pixels of its sample.
    fn runs(self, samples: usize, mut each: impl FnMut(usize, usize, usize)) {
        let columns = samples * self.plane();
        for (row, (c, i, j)) in self.taps().enumerate() {
            let (top, bottom, down) = Self::inside(i, self.kernel[0], self.height);
            let (left, right, across) = Self::inside(j, self.kernel[1], self.width);
            for s in 0..samples {
                for y in top..bottom {
                    let column = row * columns + s * self.plane() + y * self.width + left;
                    let pixel = s * self.sample() + c * self.plane() + (y - top + down) * self.width + across;
                    each(column, pixel, right - left);
                }
            }
        }
    }

    /// Patches `[patch, samples * plane]` of a block of samples, zero outside the image.
    fn patches(self, x: &[f32]) -> Host {
        let samples = x.len() / self.sample().max(1);
        let mut out = vec![0.0f32; self.patch() * samples * self.plane()];
        self.runs(samples, |column, pixel, length| {
            out[column..column + length].copy_from_slice(&x[pixel..pixel + length]);
        });
        Host::new(out, [self.patch(), samples * self.plane()])
    }

    /// Adds patches back to where they came from: the transpose of [`Sizes::patches`].
    fn gather(self, patches: &[f32], x: &mut [f32]) {
        let samples = x.len() / self.sample().max(1);
        self.runs(samples, |column, pixel, length| {
            let from = &patches[column..column + length];
            x[pixel..pixel + length].iter_mut().zip(from).for_each(|(a, b)| *a += b);
        });
    }
}

impl Operator for ConvolutionBlock {
    fn forward(&self, inputs: &[Host], save: bool) -> (Host, Saved) {
        let [x, weight, bias] = inputs else { return Default::default() };
        let sizes = Sizes::new(x, weight);
        let (block, pooled) = (sizes.block(), sizes.pooled());
        let weight = weight.matrix(sizes.outputs, sizes.patch());
        let each = sizes.outputs * pooled;
        let mut out = vec![0.0f32; sizes.samples * each];
        let mut saved = vec![0u8; if save { out.len() } else { 0 }];
        let marks: Vec<&mut [u8]> = match save {
            true => saved.chunks_mut(block * each).collect(),
            false => (0..sizes.samples.div_ceil(block)).map(|_| &mut [][..]).collect(),
        };
        x.numbers()
            .par_chunks(block * sizes.sample())
            .zip(out.par_chunks_mut(block * each))
            .zip(marks)
            .for_each(|((x, out), marks)| {
                let product = weight.product(&sizes.patches(x));
                pool(sizes, product.numbers(), bias.numbers(), out, marks);
            });
        let [height, width] = sizes.halved();
        let out = Host::new(out, [sizes.samples, sizes.outputs, height, width]);
        (out, Saved { hosts: Vec::new(), marks: saved })
    }

    fn backward(
        &self,
        inputs: &[Host],
        saved: &Saved,
        gradient: &Host,
        wanted: &[bool],
    ) -> Vec<Option<Host>> {
        let ([x, weight, _], [dx_wanted, dw_wanted, db_wanted]) = (inputs, wanted) else { return Vec::new() };
        let saved = &saved.marks;
        let sizes = Sizes::new(x, weight);
        let (block, each) = (sizes.block(), sizes.outputs * sizes.pooled());
        let flat = weight.matrix(sizes.outputs, sizes.patch());
        let mut dx = vec![0.0f32; if *dx_wanted { x.numbers().len() } else { 0 }];
        let parts: Vec<&mut [f32]> = match *dx_wanted {
            true => dx.chunks_mut(block * sizes.sample()).collect(),
            false => (0..sizes.samples.div_ceil(block)).map(|_| &mut [][..]).collect(),
        };
        let sums: Vec<(Host, Vec<f32>)> = x
            .numbers()
            .par_chunks(block * sizes.sample())
            .zip(gradient.numbers().par_chunks(block * each))
            .zip(saved.par_chunks(block * each))
            .zip(parts)
            .map(|(((x, gradient), marks), dx)| {
                let samples = x.len() / sizes.sample().max(1);
                let (dy, db) = unpool(sizes, gradient, marks);
                let dy = Host::new(dy, [sizes.outputs, samples * sizes.plane()]);
                let dw = dy.product(&sizes.patches(x).transposed());
                if *dx_wanted {
                    sizes.gather(flat.transposed().product(&dy).numbers(), dx);
                }
                (dw, db)
            })
            .collect();
        let mut dw = vec![0.0f32; sizes.outputs * sizes.patch()];
        let mut db = vec![0.0f32; sizes.outputs];
        for (w, b) in &sums {
            dw.iter_mut().zip(w.numbers()).for_each(|(a, b)| *a += b);
            db.iter_mut().zip(b).for_each(|(a, b)| *a += b);
        }
        vec![
            dx_wanted.then(|| Host::new(dx, x.shape())),
            dw_wanted.then(|| Host::new(dw, weight.shape())),
            db_wanted.then(|| Host::new(db, [sizes.outputs])),
        ]
    }
}

/// `y [outputs, samples * plane]` to `out [samples, outputs, pooled]`: the largest of each 2 x 2 block, plus bias,
/// rectified. `marks`, unless empty, takes which of the four it was, or [`SHUT`]. What is not a number stays so.
fn pool(sizes: Sizes, y: &[f32], bias: &[f32], out: &mut [f32], marks: &mut [u8]) {
    let (plane, width, half) = (sizes.plane(), sizes.width, sizes.width / 2);
    let samples = out.len() / (sizes.outputs * sizes.pooled()).max(1);
    for (o, &b) in bias.iter().enumerate() {
        for s in 0..samples {
            let from = &y[(o * samples + s) * plane..][..plane];
            let start = (s * sizes.outputs + o) * sizes.pooled();
            let rows = from.chunks_exact(sizes.tall() * width).zip(out[start..].chunks_exact_mut(half));
            for (p, (pair, out)) in rows.take(sizes.halved()[0]).enumerate() {
                // A single row is its own lower one: what is equal counts as the upper.
                let (upper, lower) = if sizes.tall() == 1 { (pair, pair) } else { pair.split_at(width) };
                let four = upper.chunks_exact(2).zip(lower.chunks_exact(2));
                if marks.is_empty() {
                    for (out, (u, l)) in out.iter_mut().zip(four) {
                        let m = u[0].max(u[1]).max(l[0].max(l[1])) + b;
                        let sum = u[0] + u[1] + l[0] + l[1];
                        *out = if sum.is_nan() { f32::NAN } else { m.max(0.0) };
                    }
                } else {
                    let marks = &mut marks[start + p * half..][..half];
                    for ((out, mark), (u, l)) in out.iter_mut().zip(marks).zip(four) {
                        let (m1, i1) = if u[1] > u[0] { (u[1], 1) } else { (u[0], 0) };
                        let (m2, i2) = if l[1] > l[0] { (l[1], 3) } else { (l[0], 2) };
                        let (m, i) = if m2 > m1 { (m2, i2) } else { (m1, i1) };
                        let (m, sum) = (m + b, u[0] + u[1] + l[0] + l[1]);
                        *out = if sum.is_nan() { f32::NAN } else { m.max(0.0) };
                        *mark = if m > 0.0 { i } else { SHUT };
                    }
                }
            }
        }
    }
}

/// The gradient of what [`pool`] read, `[outputs, samples * plane]`, and its sum for each output (that of the bias).
fn unpool(sizes: Sizes, gradient: &[f32], marks: &[u8]) -> (Vec<f32>, Vec<f32>) {
    let (plane, width, half) = (sizes.plane(), sizes.width, sizes.width / 2);
    let samples = gradient.len() / (sizes.outputs * sizes.pooled()).max(1);
    let mut dy = vec![0.0f32; sizes.outputs * samples * plane];
    let mut db = vec![0.0f32; sizes.outputs];
    for (o, db) in db.iter_mut().enumerate() {
        for s in 0..samples {
            let to = &mut dy[(o * samples + s) * plane..][..plane];
            let start = (s * sizes.outputs + o) * sizes.pooled();
            let rows = gradient[start..].chunks_exact(half).zip(marks[start..].chunks_exact(half));
            let to = to.chunks_exact_mut(sizes.tall() * width);
            for ((gradient, marks), to) in rows.zip(to).take(sizes.halved()[0]) {
                for (q, (g, mark)) in gradient.iter().zip(marks).enumerate() {
                    if *mark < SHUT {
                        let mark = usize::from(*mark);
                        to[(mark / 2) * width + 2 * q + mark % 2] = *g;
                        *db += g;
                    }
                }
            }
        }
    }
    (dy, db)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The plain sums that the operator stands for, in f64.
    fn plain(sizes: Sizes, x: &[f64], weight: &[f64], bias: &[f64]) -> Vec<f64> {
        let (h, w, [tall, wide]) = (sizes.height, sizes.width, sizes.kernel);
        let at = |s: usize, o: usize, y: usize, q: usize| {
            let mut sum = bias[o];
            for (c, i, j) in sizes.taps() {
                let (p, r) = ((y + i).wrapping_sub(tall / 2), (q + j).wrapping_sub(wide / 2));
                if p < h && r < w {
                    sum += weight[((o * sizes.inputs + c) * tall + i) * wide + j]
                        * x[((s * sizes.inputs + c) * h + p) * w + r];
                }
            }
            sum.max(0.0)
        };
        let mut out = Vec::new();
        for s in 0..sizes.samples {
            for o in 0..sizes.outputs {
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

    fn numbers(count: usize, salt: u32) -> Vec<f32> {
        let mut state = salt.wrapping_mul(2_654_435_769).wrapping_add(1);
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..count).map(|_| next()).collect()
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
        let sizes = Sizes { samples, inputs, height, width, outputs, kernel };
        let x = Host::new(numbers(samples * sizes.sample(), 1), [samples, inputs, height, width]);
        let weight = Host::new(numbers(outputs * sizes.patch(), 2), [outputs, inputs, kernel[0], kernel[1]]);
        (sizes, [x, weight, Host::new(numbers(outputs, 3), [outputs])])
    }

    fn wide(v: &[f32]) -> Vec<f64> {
        v.iter().map(|v| f64::from(*v)).collect()
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
        ];
        for (n, c, h, w, o, k) in shapes {
            let (sizes, [x, weight, bias]) = case(n, c, h, w, o, k);
            let expected = plain(sizes, &wide(x.numbers()), &wide(weight.numbers()), &wide(bias.numbers()));
            let (saving, marks) = ConvolutionBlock.forward(&[x.clone(), weight.clone(), bias.clone()], true);
            let (plain_pass, none) = ConvolutionBlock.forward(&[x.clone(), weight.clone(), bias.clone()], false);
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
        for (n, c, h, w, o, k) in [(3, 2, 5, 7, 3, 3), (9, 1, 4, 4, 2, 5), (5, 2, 1, 9, 3, 3)] {
            let (sizes, [x, weight, bias]) = case(n, c, h, w, o, k);
            let (out, marks) = ConvolutionBlock.forward(&[x.clone(), weight.clone(), bias.clone()], true);
            let pull = numbers(out.numbers().len(), 4);
            let gradient = Host::new(pull.clone(), out.shape());
            let got = ConvolutionBlock.backward(&[x.clone(), weight.clone(), bias.clone()], &marks, &gradient, &[true; 3]);
            let inputs = [wide(x.numbers()), wide(weight.numbers()), wide(bias.numbers())];
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
    fn only_wanted_gradients_are_made_and_what_is_not_a_number_stays() {
        let (_, [x, weight, bias]) = case(2, 1, 4, 4, 2, 3);
        let (out, marks) = ConvolutionBlock.forward(&[x.clone(), weight.clone(), bias.clone()], true);
        let got = ConvolutionBlock.backward(&[x.clone(), weight.clone(), bias.clone()], &marks, &out, &[false, true, false]);
        assert!(matches!(got.as_slice(), [None, Some(_), None]));
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
