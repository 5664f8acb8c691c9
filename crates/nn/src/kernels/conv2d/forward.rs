//! The forward pass: patches of a tile, one product, bias and rectifier while the tile is in the cache.

use std::ops::Range;

use rayon::prelude::*;

use super::sizes::Sizes;
use crate::kernels::product::{View, product};
use crate::kernels::scratch::scratch;

/// The output `[n, o, oh, ow]`.
pub(in crate::kernels) fn forward(
    sizes: Sizes,
    x: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    rectify: bool,
) -> Vec<f32> {
    let mut out = vec![0.0f32; sizes.n * sizes.given()];
    let lot = sizes.lot();
    if out.is_empty() {
        return out;
    }
    out.par_chunks_mut(lot * sizes.given()).zip(x.par_chunks(lot * sizes.sample())).for_each(|(out, x)| {
        let samples = out.len() / sizes.given();
        for group in 0..sizes.moves.groups {
            for rows in sizes.tiles(samples, 1) {
                tile(sizes, x, weight, bias, rectify, (samples, group, rows), out);
            }
        }
    });
    out
}

fn tile(
    sizes: Sizes,
    x: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    rectify: bool,
    (samples, group, rows): (usize, usize, Range<usize>),
    out: &mut [f32],
) {
    let (patch, outputs, plane) = (sizes.patch(), sizes.outputs(), sizes.plane());
    let columns = samples * rows.len() * sizes.ow;
    let from = rows.start * sizes.ow;
    let weight = View::new(&weight[group * outputs * patch..][..outputs * patch], outputs, patch);
    let channel = |o: usize| bias.map_or(0.0, |b| b[group * outputs + o]);
    let finish = |o: usize, run: &mut [f32]| {
        let b = channel(o);
        // What is not a number stays so: `max` would take the zero.
        match (rectify, bias.is_some()) {
            (true, _) => run.iter_mut().for_each(|v| {
                let y = *v + b;
                *v = if y < 0.0 { 0.0 } else { y };
            }),
            (false, true) => run.iter_mut().for_each(|v| *v += b),
            (false, false) => {}
        }
    };
    if samples == 1 {
        let out = &mut out[group * outputs * plane + from..];
        if sizes.pointwise() {
            let x = &x[group * sizes.inputs() * plane + from..];
            product(weight, View::apart(x, patch, columns, plane), out, plane, false);
        } else {
            scratch(patch * columns, |patches| {
                sizes.patches(x, 1, group, rows, patches);
                product(weight, View::new(patches, patch, columns), out, plane, false);
            });
        }
        (0..outputs).for_each(|o| finish(o, &mut out[o * plane..o * plane + columns]));
        return;
    }
    scratch(patch * columns, |patches| {
        sizes.patches(x, samples, group, rows, patches);
        scratch(outputs * columns, |made| {
            product(weight, View::new(patches, patch, columns), made, columns, false);
            for (o, row) in made.chunks_exact_mut(columns).enumerate() {
                finish(o, row);
                for (s, run) in row.chunks_exact(plane).enumerate() {
                    out[(s * sizes.o + group * outputs + o) * plane..][..plane].copy_from_slice(run);
                }
            }
        });
    });
}
