//! The backward pass: the gradients of input, weight and bias.
//!
//! Work is cut by the shapes alone, and what is added up is added in a fixed order.

use rayon::prelude::*;

use super::sizes::Sizes;
use super::winograd;
use crate::kernels::product::{View, product, product_together};
use crate::kernels::scratch::scratch;
use crate::kernels::simd::{sum, wide};
use crate::kernels::transpose::transpose;
use crate::memory::{fresh, give_back, zeros};

/// Where all patches take no more numbers than this, they are laid out once and shared.
const SHARED: usize = 4 << 20;
/// Sums of the weight's gradient that are made side by side, where patches are not shared.
const SUMS: usize = 8;

/// The gradient of the input, `[n, c, h, w]`.
pub(in crate::kernels) fn input(sizes: Sizes, weight: &[f32], gradient: &[f32]) -> Vec<f32> {
    if winograd::pays(sizes) {
        return winograd::input(sizes, weight, gradient);
    }
    let mut out = zeros(sizes.n * sizes.sample());
    let lot = sizes.lot();
    if out.is_empty() || gradient.is_empty() {
        return out;
    }
    let (patch, outputs, plane) = (sizes.patch(), sizes.outputs(), sizes.plane());
    out.par_chunks_mut(lot * sizes.sample()).zip(gradient.par_chunks(lot * sizes.given())).for_each(
        |(out, gradient)| {
            let samples = gradient.len() / sizes.given();
            for group in 0..sizes.moves.groups {
                let weight = &weight[group * outputs * patch..][..outputs * patch];
                let weight = View::new(weight, outputs, patch).transposed();
                for rows in sizes.tiles(samples, 1) {
                    let columns = samples * rows.len() * sizes.ow;
                    let from = group * outputs * plane + rows.start * sizes.ow;
                    if samples == 1 {
                        let dy = View::apart(&gradient[from..], outputs, columns, plane);
                        if sizes.pointwise() {
                            let out = &mut out[group * sizes.inputs() * plane + rows.start * sizes.ow..];
                            product(weight, dy, out, plane, true);
                        } else {
                            scratch(patch * columns, |patches| {
                                product(weight, dy, patches, columns, false);
                                sizes.gather(patches, 1, group, rows, out);
                            });
                        }
                        continue;
                    }
                    scratch(outputs * columns, |dy| {
                        side_by_side(sizes, gradient, samples, group, dy);
                        scratch(patch * columns, |patches| {
                            product(weight, View::new(dy, outputs, columns), patches, columns, false);
                            sizes.gather(patches, samples, group, rows, out);
                        });
                    });
                }
            }
        },
    );
    out
}

/// `[outputs, samples * plane]` from `[samples, o, plane]`.
fn side_by_side(sizes: Sizes, gradient: &[f32], samples: usize, group: usize, out: &mut [f32]) {
    let (outputs, plane) = (sizes.outputs(), sizes.plane());
    for (o, row) in out.chunks_exact_mut(samples * plane).enumerate() {
        for (s, run) in row.chunks_exact_mut(plane).enumerate() {
            run.copy_from_slice(&gradient[(s * sizes.o + group * outputs + o) * plane..][..plane]);
        }
    }
}

/// The gradient of the weight, `[o, c / groups, kh, kw]`.
pub(in crate::kernels) fn weight(sizes: Sizes, x: &[f32], gradient: &[f32]) -> Vec<f32> {
    let numbers = sizes.o * sizes.patch();
    if numbers == 0 || gradient.is_empty() {
        return vec![0.0; numbers];
    }
    if winograd::pays(sizes) {
        winograd::weight(sizes, x, gradient)
    } else if sizes.moves.groups == 1 && sizes.patch() * sizes.n * sizes.plane() <= SHARED {
        shared(sizes, x, gradient)
    } else {
        summed(sizes, x, gradient)
    }
}

/// All patches once, then one product.
fn shared(sizes: Sizes, x: &[f32], gradient: &[f32]) -> Vec<f32> {
    let (patch, columns) = (sizes.patch(), sizes.n * sizes.plane());
    let (mut turned, mut out) = (fresh(sizes.o * patch), fresh(sizes.o * patch));
    scratch(patch * columns, |patches| {
        let taps = sizes.kh * sizes.kw;
        patches
            .par_chunks_mut(taps * columns)
            .enumerate()
            .for_each(|(channel, part)| sizes.patches_of(x, channel, part));
        scratch(sizes.o * columns, |dy| {
            // What is turned here on all threads would be turned inside the product on one.
            let plane = (sizes.plane() * sizes.o).max(1);
            for (dy, gradient) in dy.chunks_exact_mut(plane).zip(gradient.chunks_exact(plane)) {
                transpose(gradient, sizes.o, sizes.plane(), dy);
            }
            let (patches, dy) = (View::new(patches, patch, columns), View::new(dy, columns, sizes.o));
            product_together(patches, dy, &mut turned, sizes.o, false);
        });
    });
    transpose(&turned, patch, sizes.o, &mut out);
    give_back(turned);
    out
}

/// Sums over parts of the samples, then the sum of these.
pub(super) fn summed(sizes: Sizes, x: &[f32], gradient: &[f32]) -> Vec<f32> {
    let (patch, outputs, plane) = (sizes.patch(), sizes.outputs(), sizes.plane());
    let lot = sizes.lot();
    let part = sizes.n.div_ceil(lot).div_ceil(SUMS) * lot;
    let sums: Vec<Vec<f32>> = x
        .par_chunks(part * sizes.sample())
        .zip(gradient.par_chunks(part * sizes.given()))
        .map(|(x, gradient)| {
            // `[groups, patch, outputs]`: this way round the patches, the larger of the two, need not be turned.
            let mut sum = vec![0.0f32; sizes.o * patch];
            for (x, gradient) in x.chunks(lot * sizes.sample()).zip(gradient.chunks(lot * sizes.given())) {
                let samples = gradient.len() / sizes.given();
                for group in 0..sizes.moves.groups {
                    let sum = &mut sum[group * outputs * patch..][..outputs * patch];
                    for rows in sizes.tiles(samples, 1) {
                        let columns = samples * rows.len() * sizes.ow;
                        let from = group * outputs * plane + rows.start * sizes.ow;
                        scratch(patch * columns, |patches| {
                            sizes.patches(x, samples, group, rows, patches);
                            let patches = View::new(patches, patch, columns);
                            if samples == 1 {
                                let dy = View::apart(&gradient[from..], outputs, columns, plane);
                                product(patches, dy.transposed(), sum, outputs, true);
                            } else {
                                scratch(outputs * columns, |dy| {
                                    side_by_side(sizes, gradient, samples, group, dy);
                                    let dy = View::new(dy, outputs, columns).transposed();
                                    product(patches, dy, sum, outputs, true);
                                });
                            }
                        });
                    }
                }
            }
            sum
        })
        .collect();
    let mut sums = sums.into_iter();
    let mut all = sums.next().unwrap_or_default();
    for sum in sums {
        all.iter_mut().zip(&sum).for_each(|(a, b)| *a += b);
    }
    let mut out = fresh(all.len());
    let group = (outputs * patch).max(1);
    for (out, all) in out.chunks_exact_mut(group).zip(all.chunks_exact(group)) {
        transpose(all, patch, outputs, out);
    }
    out
}

/// The gradient of the bias: the sum over samples and places, for each output.
pub(in crate::kernels) fn bias(sizes: Sizes, gradient: &[f32]) -> Vec<f32> {
    let plane = sizes.plane();
    let one = |o: usize| {
        wide(
            #[inline(always)]
            || {
                let runs = (0..sizes.n).map(|s| &gradient[(s * sizes.o + o) * plane..][..plane]);
                runs.map(|run| f64::from(sum(run, |v| v))).sum::<f64>() as f32
            },
        )
    };
    (0..sizes.o).into_par_iter().map(one).collect()
}
