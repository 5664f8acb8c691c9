//! Winograd's way with what follows it in our CNNs: the tile of 2 x 2 outputs is the block of which the largest is taken, so
//! that only that one is ever written.

use rayon::prelude::*;

use super::sizes::Sizes;
use super::tiles::{Tiles, whole};
use super::transforms::{PointsToOutput, Tile, apply};
use super::turns::turn_back;
use super::winograd::{POINTS, correlate_block, kernels};
use crate::kernels::simd::wide;
use crate::memory::{fresh, give_back};

/// The largest of each whole block of 2 x 2 of a convolution, plus bias, rectified, `[n, o, oh / 2, ow / 2]`; and with
/// `save` which of the four it was, or `shut` where the rectifier let nothing through. The first of equal ones counts;
/// what is not a number stays so.
pub(in crate::kernels) fn pooled(
    s: Sizes,
    x: &[f32],
    weight: &[f32],
    bias: &[f32],
    save: bool,
    shut: u8,
) -> (Vec<f32>, Vec<u8>) {
    let (oh, ow) = (s.oh / 2 * 2, s.ow / 2 * 2);
    let t = Tiles { n: s.n, from: s.c, to: s.o, h: s.h, w: s.w, oh, ow, padding: s.moves.padding };
    let plane = oh * ow / 4;
    let mut out = fresh(s.n * s.o * plane);
    let mut marks = vec![0u8; if save { out.len() } else { 0 }];
    let (parts, blocks) = (t.parts(&mut out, plane, ow / 2), t.blocks());
    let mut marked = t.parts(&mut marks, plane, ow / 2);
    marked.resize_with(blocks.len(), Vec::new);
    let (kernels, across) = (kernels(s, weight, false), whole(s.o));
    let mut bias = bias.to_vec();
    bias.resize(across, 0.0);
    blocks.par_iter().zip(parts).zip(marked).for_each(|((block, mut planes), mut marked)| {
        correlate_block(t, x, &kernels, block, |made, y| {
            let point = t.count(block) * across;
            let places = (0..t.count(block)).map(|i| (i * across, 4 * i * across));
            let tiles = Tile { places, from: [4 * point, point], to: [2 * across, across], width: across };
            debug_assert_eq!(made.len(), POINTS * point);
            apply::<PointsToOutput, 4, 2>(tiles, made, y);
            wide(
                #[inline(always)]
                || {
                    for four in y.chunks_exact_mut(4 * across) {
                        largest(four, &bias, f32::from(shut));
                    }
                },
            );
            let each = t.count(block) / block.samples().max(1);
            for s in 0..block.samples() {
                let y = &y[4 * s * each * across..][..4 * each * across];
                let mine = s * t.to..(s + 1) * t.to;
                turn_back(y, 4 * across, &mut planes[mine.clone()], 0..each);
                for (c, marks) in marked.get_mut(mine).into_iter().flatten().enumerate() {
                    for (mark, four) in marks.iter_mut().zip(y.chunks_exact(4 * across)) {
                        *mark = four[across + c] as u8;
                    }
                }
            }
        });
    });
    give_back(kernels);
    (out, marks)
}

/// Of four places with channels beside each other the first becomes the largest, plus bias, rectified, and the second
/// which it was.
#[inline(always)]
fn largest(four: &mut [f32], bias: &[f32], shut: f32) {
    let across = bias.len();
    let (upper, lower) = four.split_at_mut(2 * across);
    let ((a, b), (c, d)) = (upper.split_at_mut(across), lower.split_at_mut(across));
    for ((((a, b), c), d), bias) in a.iter_mut().zip(b).zip(c).zip(d).zip(bias) {
        let (m1, i1) = if *b > *a { (*b, 1.0) } else { (*a, 0.0) };
        let (m2, i2) = if *d > *c { (*d, 3.0) } else { (*c, 2.0) };
        let (m, i) = if m2 > m1 { (m2, i2) } else { (m1, i1) };
        let (m, all) = (m + bias, *a + *b + *c + *d + bias);
        let kept = if m > 0.0 { m } else { 0.0 };
        *a = if all.is_nan() { f32::NAN } else { kept };
        *b = if m > 0.0 { i } else { shut };
    }
}
