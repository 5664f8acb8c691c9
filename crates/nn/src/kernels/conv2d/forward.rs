//! The forward pass: patches of a tile, one product, bias, residual and rectifier while the tile is in the cache.

use std::ops::Range;

use rayon::prelude::*;

use super::sizes::Sizes;
use super::winograd;
use crate::kernels::product::{View, product};
use crate::kernels::scratch::scratch;
use crate::kernels::simd::wide;
use crate::memory::zeros;

/// What follows the sums.
#[derive(Clone, Copy, Default)]
pub(in crate::kernels) struct Finish<'a> {
    /// `[o]`.
    pub bias: Option<&'a [f32]>,
    /// As the output.
    pub residual: Option<&'a [f32]>,
    pub rectify: bool,
}

impl Finish<'_> {
    /// Adds to a run of a channel, whose residual begins at `start`, and rectifies.
    #[inline(always)]
    pub fn apply(&self, channel: usize, start: usize, run: &mut [f32]) {
        let b = self.bias.map_or(0.0, |bias| bias[channel]);
        // What is not a number stays so: `max` would take the zero.
        let low = if self.rectify { 0.0 } else { f32::NEG_INFINITY };
        let kept = |v: f32| if v < low { low } else { v };
        match self.residual {
            Some(r) => {
                let r = &r[start..start + run.len()];
                run.iter_mut().zip(r).for_each(|(v, r)| *v = kept(*v + b + r));
            }
            None if self.rectify || self.bias.is_some() => run.iter_mut().for_each(|v| *v = kept(*v + b)),
            None => {}
        }
    }
}

/// The output `[n, o, oh, ow]`.
pub(in crate::kernels) fn forward(sizes: Sizes, x: &[f32], weight: &[f32], finish: Finish<'_>) -> Vec<f32> {
    if winograd::pays(sizes) {
        return winograd::forward(sizes, x, weight, finish);
    }
    let mut out = zeros(sizes.n * sizes.given());
    let lot = sizes.lot();
    if out.is_empty() {
        return out;
    }
    let lots = out.par_chunks_mut(lot * sizes.given()).zip(x.par_chunks(lot * sizes.sample()));
    lots.enumerate().for_each(|(i, (out, x))| {
        let samples = out.len() / sizes.given();
        let start = i * lot * sizes.given();
        for group in 0..sizes.moves.groups {
            for rows in sizes.tiles(samples, 1) {
                tile(sizes, x, weight, finish, (start, samples, group, rows), out);
            }
        }
    });
    out
}

/// Some rows of some samples in a group; `out` begins at `start` of the whole output.
fn tile(
    sizes: Sizes,
    x: &[f32],
    weight: &[f32],
    finish: Finish<'_>,
    (start, samples, group, rows): (usize, usize, usize, Range<usize>),
    out: &mut [f32],
) {
    let (patch, outputs, plane) = (sizes.patch(), sizes.outputs(), sizes.plane());
    let columns = samples * rows.len() * sizes.ow;
    let from = rows.start * sizes.ow;
    let weight = View::new(&weight[group * outputs * patch..][..outputs * patch], outputs, patch);
    if samples == 1 {
        let first = group * outputs * plane + from;
        let out = &mut out[first..];
        if sizes.pointwise() {
            let x = &x[group * sizes.inputs() * plane + from..];
            product(weight, View::apart(x, patch, columns, plane), out, plane, false);
        } else {
            scratch(patch * columns, |patches| {
                sizes.patches(x, 1, group, rows, patches);
                product(weight, View::new(patches, patch, columns), out, plane, false);
            });
        }
        wide(
            #[inline(always)]
            || {
                for o in 0..outputs {
                    let run = &mut out[o * plane..o * plane + columns];
                    finish.apply(group * outputs + o, start + first + o * plane, run);
                }
            },
        );
        return;
    }
    scratch(patch * columns, |patches| {
        sizes.patches(x, samples, group, rows, patches);
        scratch(outputs * columns, |made| {
            product(weight, View::new(patches, patch, columns), made, columns, false);
            wide(
                #[inline(always)]
                || {
                    for (o, row) in made.chunks_exact(columns).enumerate() {
                        for (s, run) in row.chunks_exact(plane).enumerate() {
                            let at = (s * sizes.o + group * outputs + o) * plane;
                            let out = &mut out[at..at + plane];
                            out.copy_from_slice(run);
                            finish.apply(group * outputs + o, start + at, out);
                        }
                    }
                },
            );
        });
    });
}
