//! Pooling: the largest or the mean of each window.

use std::sync::Arc;

use rayon::prelude::*;

use super::built_in;
use super::simd::wide;
use crate::backend::{self, Host, Operator, Saved, Tensor};
use crate::memory::{fresh, zeros};

/// Square windows; in a plane of a single row (steps) there is nothing to join above one another, and they are runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Windows {
    /// Pixels on a side.
    pub size: usize,
    /// Pixels from one window to the next.
    pub stride: usize,
    /// Pixels outside on every side, less than half a window; they never are the largest, and do not count in a mean.
    pub padding: usize,
}

/// The largest number of each window; the first of several takes the gradient. What is not a number is the largest.
///
/// # Shapes
/// `[n, c, h, w]` to `[n, c, (h + 2 padding - size) / stride + 1, ..]`; a height of 1 stays 1.
pub fn max_pool(x: Tensor<4>, windows: Windows) -> Tensor<4> {
    if backend::elsewhere() {
        return built_in::max_pool(x, windows);
    }
    backend::operate(Arc::new(Pool { windows, largest: true }), [x.into()])
}

/// The mean of each window, over the pixels inside.
///
/// # Shapes
/// As [`max_pool`].
pub fn mean_pool(x: Tensor<4>, windows: Windows) -> Tensor<4> {
    if backend::elsewhere() {
        return built_in::mean_pool(x, windows);
    }
    backend::operate(Arc::new(Pool { windows, largest: false }), [x.into()])
}

#[derive(Debug)]
struct Pool {
    windows: Windows,
    largest: bool,
}

impl Pool {
    /// Height and width before and after, and planes.
    fn sizes(&self, x: &Host) -> ([usize; 4], usize) {
        let shape = x.shape();
        let at = |i: usize| shape.get(i).copied().unwrap_or(0);
        let Windows { size, stride, padding } = self.windows;
        let after =
            |length: usize| (length + 2 * padding).checked_sub(size).map_or(0, |r| r / stride.max(1) + 1);
        let down = if at(2) == 1 { 1 } else { after(at(2)) };
        ([at(2), at(3), down, after(at(3))], at(0) * at(1))
    }

    /// The pixels of a window along one side.
    fn span(&self, place: usize, length: usize) -> std::ops::Range<usize> {
        let Windows { size, stride, padding } = self.windows;
        let start = (place * stride).saturating_sub(padding);
        start..(place * stride + size).saturating_sub(padding).min(length).max(start)
    }

    /// One plane; `places`, unless empty, takes where each largest number stands.
    fn plane(&self, x: &[f32], [h, w, _, ow]: [usize; 4], out: &mut [f32], places: &mut [u32]) {
        let Windows { size, stride, padding } = self.windows;
        // A row with its border, and enough after it for whole steps.
        let border = if self.largest { f32::NEG_INFINITY } else { 0.0 };
        let mut row = vec![border; padding + w.max(ow * stride) + size + stride];
        let mut unused = vec![0u32; if places.is_empty() { ow } else { 0 }];
        for (p, out) in out.chunks_exact_mut(ow.max(1)).enumerate() {
            let rows = self.span(p, h);
            let places = if unused.is_empty() { &mut places[p * ow..][..ow] } else { &mut unused[..] };
            out.fill(border);
            for (q, place) in places.iter_mut().enumerate() {
                *place = (rows.start * w + self.span(q, w).start) as u32;
            }
            for y in rows.clone() {
                row[padding..padding + w].copy_from_slice(&x[y * w..(y + 1) * w]);
                for j in 0..size {
                    // Never taken outside, where nothing is larger than the border.
                    let first = ((y * w + j) as u32).wrapping_sub(padding as u32);
                    wide(
                        #[inline(always)]
                        || {
                            let row = &row[j..];
                            // Steps of one and of two become vector code.
                            let (ones, twos) = (row.iter(), row.as_chunks::<2>().0.iter().map(|[v, _]| v));
                            let some = row.iter().step_by(stride.max(1));
                            match (self.largest, stride) {
                                (true, 1) => raise(out, places, ones, first, 1),
                                (true, 2) => raise(out, places, twos, first, 2),
                                (true, _) => raise(out, places, some, first, stride as u32),
                                (false, 1) => gather(out, ones),
                                (false, 2) => gather(out, twos),
                                (false, _) => gather(out, some),
                            }
                        },
                    );
                }
            }
            if !self.largest {
                for (q, out) in out.iter_mut().enumerate() {
                    *out /= (rows.len() * self.span(q, w).len()) as f32;
                }
            }
        }
    }
}

/// Takes each number that is larger than what is there, and where it stands. What is not a number is the largest.
#[inline(always)]
fn raise<'a>(
    out: &mut [f32],
    places: &mut [u32],
    row: impl Iterator<Item = &'a f32>,
    first: u32,
    stride: u32,
) {
    for (q, ((out, place), v)) in out.iter_mut().zip(places).zip(row).enumerate() {
        let more = *v > *out || v.is_nan();
        *out = if more { *v } else { *out };
        *place = if more { first.wrapping_add((q as u32).wrapping_mul(stride)) } else { *place };
    }
}

#[inline(always)]
fn gather<'a>(out: &mut [f32], row: impl Iterator<Item = &'a f32>) {
    out.iter_mut().zip(row).for_each(|(o, v)| *o += v);
}

impl Operator for Pool {
    fn forward(&self, inputs: &[Host], save: bool) -> (Host, Saved) {
        let [x] = inputs else { return Default::default() };
        let (sizes, planes) = self.sizes(x);
        let [h, w, oh, ow] = sizes;
        let mut out = fresh(planes * oh * ow);
        let mut from = vec![0u32; if save && self.largest { out.len() } else { 0 }];
        let places: Vec<&mut [u32]> = match from.is_empty() {
            false => from.chunks_mut((oh * ow).max(1)).collect(),
            true => (0..planes).map(|_| &mut [][..]).collect(),
        };
        out.par_chunks_mut((oh * ow).max(1))
            .zip(x.numbers().par_chunks((h * w).max(1)))
            .zip(places)
            .for_each(|((out, x), places)| self.plane(x, sizes, out, places));
        let shape = x.shape();
        let at = |i: usize| shape.get(i).copied().unwrap_or(0);
        let out = Host::new(out, [at(0), at(1), oh, ow]);
        let marks = from.iter().flat_map(|p| p.to_le_bytes()).collect();
        (out, Saved { hosts: Vec::new(), marks })
    }

    fn backward(&self, inputs: &[Host], saved: &Saved, gradient: &Host, _: &[bool]) -> Vec<Option<Host>> {
        let [x] = inputs else { return Vec::new() };
        let ([h, w, oh, ow], _) = self.sizes(x);
        let mut dx = zeros(x.numbers().len());
        let (places, _) = saved.marks.as_chunks::<4>();
        let given = gradient.numbers();
        dx.par_chunks_mut((h * w).max(1)).enumerate().for_each(|(plane, dx)| {
            let from = plane * oh * ow;
            if self.largest {
                for (place, g) in places[from..].iter().zip(&given[from..from + oh * ow]) {
                    dx[u32::from_le_bytes(*place) as usize] += g;
                }
                return;
            }
            for p in 0..oh {
                let rows = self.span(p, h);
                for q in 0..ow {
                    let columns = self.span(q, w);
                    let g = given[from + p * ow + q] / (rows.len() * columns.len()) as f32;
                    for y in rows.clone() {
                        dx[y * w..][columns.clone()].iter_mut().for_each(|d| *d += g);
                    }
                }
            }
        });
        vec![Some(Host::new(dx, x.shape()))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::reference::{differences, numbers, wide};

    fn plain(pool: &Pool, x: &[f64], shape: [usize; 4]) -> Vec<f64> {
        let [n, c, h, w] = shape;
        let Windows { size, stride, padding } = pool.windows;
        let after = |length: usize| (length + 2 * padding - size) / stride + 1;
        let (oh, ow) = (if h == 1 { 1 } else { after(h) }, after(w));
        let mut out = Vec::new();
        for plane in 0..n * c {
            for p in 0..oh {
                for q in 0..ow {
                    let mut inside = Vec::new();
                    for i in 0..size {
                        for j in 0..size {
                            let (y, z) = (
                                (p * stride + i).wrapping_sub(padding),
                                (q * stride + j).wrapping_sub(padding),
                            );
                            if y < h && z < w {
                                inside.push(x[plane * h * w + y * w + z]);
                            }
                        }
                    }
                    let mean = inside.iter().sum::<f64>() / inside.len() as f64;
                    let largest = inside.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                    out.push(if pool.largest { largest } else { mean });
                }
            }
        }
        out
    }

    #[test]
    fn windows_and_gradients_are_the_plain_ones() {
        for (shape, size, stride, padding) in [
            ([2, 3, 6, 5], 2, 2, 0),
            ([2, 2, 7, 9], 3, 2, 1),
            ([1, 2, 4, 4], 4, 4, 0),
            ([2, 1, 5, 5], 3, 1, 1),
            ([2, 3, 1, 11], 4, 4, 0),
        ] {
            for largest in [false, true] {
                let pool = Pool { windows: Windows { size, stride, padding }, largest };
                let x = [Host::new(numbers(shape.iter().product(), 1), shape)];
                let (out, _) = pool.forward(&x, false);
                let expected = plain(&pool, &wide(x[0].numbers()), shape);
                assert_eq!(out.numbers().len(), expected.len());
                let close = |(a, e): (&f32, &f64)| (f64::from(*a) - e).abs() < 1e-6;
                assert!(out.numbers().iter().zip(&expected).all(close));
                assert_eq!(differences(&pool, &x, |all| plain(&pool, &all[0], shape)), 0, "{shape:?}");
            }
        }
        let pool = Pool { windows: Windows { size: 2, stride: 2, padding: 0 }, largest: true };
        let (out, _) = pool.forward(&[Host::new(vec![1.0, f32::NAN, 3.0, 2.0], [1, 1, 2, 2])], false);
        assert!(out.numbers()[0].is_nan());
    }
}
