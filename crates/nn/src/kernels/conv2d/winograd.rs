//! Convolution with kernels of 3 x 3 at stride one by Winograd's minimal filtering F(2 x 2, 3 x 3): four outputs take 16
//! products of each pair of channels instead of 36.
//!
//! Kernel, input and output are transformed to 16 points, where the convolution is one product of matrices over the
//! channels each. Inside, channels lie beside each other (the last dimension, filled up with zeros to whole lanes), so that
//! all transforms are vector code whatever the size of the planes. Work is cut into blocks of tiles by the shapes alone.
//!
//! # Reference
//! Lavin and Gray (2016), "Fast algorithms for convolutional neural networks".

use rayon::prelude::*;

use super::forward::Finish;
use super::sizes::Sizes;
use super::tiles::{Block, Tiles, whole};
use super::transforms::{
    InputToPoints, KernelToPoints, OutputToPoints, PointsToKernel, PointsToOutput, Tile, apply,
};
use crate::kernels::product::{View, product};
use crate::kernels::scratch::scratch;
use crate::kernels::simd::{LANES, wide};
use crate::memory::{fresh, give_back, zeros};

/// Points of a tile.
pub(super) const POINTS: usize = 16;

/// Rows of a transformed kernel that are made in one piece of work.
const ROWS: usize = 8;

/// Numbers of transformed inputs and gradients that are kept at a time for the gradient of the weight: 32 MiB.
const KEPT: usize = 1 << 23;

/// Whether it pays: the transform of the kernel costs as much as some ten tiles, and planes that fill no tiles waste them.
pub(in crate::kernels) fn pays(s: Sizes) -> bool {
    let moves = s.moves;
    let plain = [s.kh, s.kw, moves.stride, moves.dilation, moves.groups] == [3, 3, 1, 1, 1];
    let inside = moves.padding.iter().all(|p| *p <= 2);
    let (tiles, wide) = (s.oh.div_ceil(2) * s.ow.div_ceil(2), s.c.min(s.o) >= LANES);
    plain && inside && wide && s.n * tiles >= 48 && POINTS * tiles * 4 <= 9 * s.plane() * 3
}

/// The output `[n, o, oh, ow]`.
pub(super) fn forward(s: Sizes, x: &[f32], weight: &[f32], finish: Finish<'_>) -> Vec<f32> {
    let tiles =
        Tiles { n: s.n, from: s.c, to: s.o, h: s.h, w: s.w, oh: s.oh, ow: s.ow, padding: s.moves.padding };
    correlate(tiles, x, kernels(s, weight, false), finish)
}

/// The gradient of the input: the output's gradient correlated with the kernels turned by half a circle.
pub(super) fn input(s: Sizes, weight: &[f32], gradient: &[f32]) -> Vec<f32> {
    let padding = s.moves.padding.map(|p| 2 - p);
    let tiles = Tiles { n: s.n, from: s.o, to: s.c, h: s.oh, w: s.ow, oh: s.h, ow: s.w, padding };
    correlate(tiles, gradient, kernels(s, weight, true), Finish::default())
}

/// Kernels at all points, `[16, from, to]` in whole lanes: from inputs to outputs, or `turned` from outputs to inputs.
pub(super) fn kernels(s: Sizes, weight: &[f32], turned: bool) -> Vec<f32> {
    let (from, to) = if turned { (s.o, s.c) } else { (s.c, s.o) };
    let (deep, across) = (whole(from), whole(to));
    let mut all = zeros(POINTS * deep * across);
    let mut points: Vec<_> =
        all.chunks_mut(deep * across).map(|p| p[..from * across].chunks_mut(ROWS * across)).collect();
    let pieces: Vec<Vec<&mut [f32]>> =
        (0..from.div_ceil(ROWS)).map(|_| points.iter_mut().filter_map(Iterator::next).collect()).collect();
    pieces.into_par_iter().enumerate().for_each(|(piece, mut points)| {
        let rows = points.first().map_or(0, |p| p.len() / across);
        scratch((9 + POINTS) * LANES, |memory| {
            let (taps, made) = memory.split_at_mut(9 * LANES);
            // Lane by lane, so that the numbers of a cache line are used together.
            for first in (0..to).step_by(LANES) {
                for row in 0..rows {
                    taps.fill(0.0);
                    for column in first..to.min(first + LANES) {
                        let row = piece * ROWS + row;
                        let (o, c) = if turned { (row, column) } else { (column, row) };
                        let from = (o * s.c + c) * 9;
                        for (tap, v) in weight[from..from + 9].iter().enumerate() {
                            taps[if turned { 8 - tap } else { tap } * LANES + column - first] = *v;
                        }
                    }
                    let one = std::iter::once((0, 0));
                    let (from, to) = ([3 * LANES, LANES], [4 * LANES, LANES]);
                    apply::<KernelToPoints, 3, 4>(Tile { places: one, from, to, width: LANES }, taps, made);
                    for (point, made) in points.iter_mut().zip(made.chunks_exact(LANES)) {
                        point[row * across + first..][..LANES].copy_from_slice(made);
                    }
                }
            }
        });
    });
    all
}

/// The correlation of `x [n, from, h, w]` with kernels at all points, to `[n, to, oh, ow]`.
fn correlate(t: Tiles, x: &[f32], kernels: Vec<f32>, finish: Finish<'_>) -> Vec<f32> {
    let mut out = fresh(t.n * t.to * t.oh * t.ow);
    let parts = t.parts(&mut out, t.oh * t.ow, 2 * t.ow);
    t.blocks().par_iter().zip(parts).for_each(|(block, mut planes)| {
        correlate_block(t, x, &kernels, block, |made, free| {
            outputs(t, block, made, finish, free, &mut planes);
        });
    });
    give_back(kernels);
    out
}

/// The outputs of a block at all points, `[16, tiles, to]` in whole lanes, given to `each` with memory for the outputs
/// themselves.
pub(super) fn correlate_block(
    t: Tiles,
    x: &[f32],
    kernels: &[f32],
    block: &Block,
    each: impl FnOnce(&[f32], &mut [f32]),
) {
    let (count, deep, across) = (t.count(block), whole(t.from), whole(t.to));
    scratch(POINTS * count * across + count * (POINTS * deep).max(4 * across), |memory| {
        let (made, free) = memory.split_at_mut(POINTS * count * across);
        let points = &mut free[..POINTS * count * deep];
        inputs_to_points(t, x, block, points);
        for (p, made) in made.chunks_exact_mut(count * across).enumerate() {
            let v = View::new(&points[p * count * deep..][..count * deep], count, deep);
            let kernels = View::new(&kernels[p * deep * across..][..deep * across], deep, across);
            product(v, kernels, made, across, false);
        }
        each(made, &mut free[..4 * count * across]);
    });
}

/// The input of a block at all points, `[16, tiles, from]` in whole lanes.
fn inputs_to_points(t: Tiles, x: &[f32], block: &Block, points: &mut [f32]) {
    let (deep, [rows, columns]) = (whole(t.from), t.read(block));
    scratch(block.samples() * rows * columns * deep, |laid| {
        t.lay(x, block, laid);
        let (row, point) = (columns * deep, t.count(block) * deep);
        let places = t.corners(block, rows, columns).enumerate().map(|(i, corner)| (corner * deep, i * deep));
        let tiles = Tile { places, from: [row, deep], to: [4 * point, point], width: deep };
        apply::<InputToPoints, 4, 4>(tiles, laid, points);
    });
}

/// The points of a block to its outputs: `y` is memory for them with channels last, `planes` the rows of the output, channel
/// by channel.
fn outputs(
    t: Tiles,
    block: &Block,
    made: &[f32],
    finish: Finish<'_>,
    y: &mut [f32],
    planes: &mut [&mut [f32]],
) {
    let (across, columns) = (whole(t.to), 2 * t.across());
    let (row, point) = (columns * across, t.count(block) * across);
    let corners = t.corners(block, 2 * block.rows(), columns);
    let places = corners.enumerate().map(|(i, corner)| (i * across, corner * across));
    let tiles = Tile { places, from: [4 * point, point], to: [row, across], width: across };
    apply::<PointsToOutput, 4, 2>(tiles, made, y);
    t.give(block, y, planes);
    wide(
        #[inline(always)]
        || {
            for (i, plane) in planes.iter_mut().enumerate() {
                finish.apply(i % t.to, t.start(block, i), plane);
            }
        },
    );
}

/// The gradient of the weight, `[o, c, 3, 3]`.
pub(super) fn weight(s: Sizes, x: &[f32], gradient: &[f32]) -> Vec<f32> {
    let read =
        Tiles { n: s.n, from: s.c, to: s.o, h: s.h, w: s.w, oh: s.oh, ow: s.ow, padding: s.moves.padding };
    let (deep, across) = (whole(s.c), whole(s.o));
    let mut sums = fresh(POINTS * deep * across);
    let blocks = read.blocks();
    let size = |b: &Block| POINTS * read.count(b) * (deep + across);
    let largest = blocks.iter().map(size).max().unwrap_or(1);
    for (lot, blocks) in blocks.chunks((KEPT / largest).max(1)).enumerate() {
        let points: Vec<(Vec<f32>, Vec<f32>)> = blocks
            .par_iter()
            .map(|block| {
                let count = read.count(block);
                let mut v = fresh(POINTS * count * deep);
                inputs_to_points(read, x, block, &mut v);
                let mut d = fresh(POINTS * count * across);
                gradients_to_points(read, gradient, block, &mut d);
                (v, d)
            })
            .collect();
        sums.par_chunks_mut(deep * across).enumerate().for_each(|(p, sum)| {
            for (i, (v, d)) in points.iter().enumerate() {
                let count = v.len() / (POINTS * deep);
                let v = View::new(&v[p * count * deep..][..count * deep], count, deep).transposed();
                let d = View::new(&d[p * count * across..][..count * across], count, across);
                product(v, d, sum, across, lot + i > 0);
            }
        });
        points.into_iter().for_each(|(v, d)| {
            give_back(v);
            give_back(d);
        });
    }
    let mut out = fresh(s.o * s.c * 9);
    out.par_chunks_mut(LANES * s.c * 9).enumerate().for_each(|(lane, out)| {
        scratch(9 * LANES, |taps| {
            let point = deep * across;
            for c in 0..s.c {
                let one = std::iter::once((c * across + lane * LANES, 0));
                let (from, to) = ([4 * point, point], [3 * LANES, LANES]);
                apply::<PointsToKernel, 4, 3>(Tile { places: one, from, to, width: LANES }, &sums, taps);
                for (o, out) in out.chunks_exact_mut(s.c * 9).enumerate() {
                    for (tap, v) in out[c * 9..][..9].iter_mut().enumerate() {
                        *v = taps[tap * LANES + o];
                    }
                }
            }
        });
    });
    give_back(sums);
    out
}

/// The output's gradient of a block at all points, `[16, tiles, to]` in whole lanes.
fn gradients_to_points(t: Tiles, gradient: &[f32], block: &Block, points: &mut [f32]) {
    // The gradient is read where the output was written: the same tiles of 2 x 2, without the border.
    let t = Tiles { from: t.to, h: t.oh, w: t.ow, padding: [0, 0], ..t };
    let (deep, [rows, columns]) = (whole(t.from), t.read(block));
    scratch(block.samples() * rows * columns * deep, |laid| {
        t.lay(gradient, block, laid);
        let (row, point) = (columns * deep, t.count(block) * deep);
        let places = t.corners(block, rows, columns).enumerate().map(|(i, corner)| (corner * deep, i * deep));
        let tiles = Tile { places, from: [row, deep], to: [4 * point, point], width: deep };
        apply::<OutputToPoints, 2, 4>(tiles, laid, points);
    });
}
