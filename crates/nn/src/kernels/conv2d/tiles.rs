//! Tiles of 2 x 2 outputs in blocks of work, and planes laid out with their channels last and back.

use std::ops::Range;

use super::turns::{turn, turn_back};
use crate::kernels::simd::LANES;

/// Tiles of a block, about: their transforms of some hundred channels stay in the second cache.
const LEAST: usize = 48;
const NUMBERS: usize = 12_288;

/// The tiles of one correlation: `x [n, from, h, w]` with `padding` zeros around it, `[n, to, oh, ow]` out of it.
#[derive(Clone, Copy)]
pub(super) struct Tiles {
    pub n: usize,
    pub from: usize,
    pub to: usize,
    pub h: usize,
    pub w: usize,
    pub oh: usize,
    pub ow: usize,
    pub padding: [usize; 2],
}

/// Some rows of tiles of some samples: of one sample some rows, or of several all of them.
#[derive(Clone)]
pub(super) struct Block {
    samples: Range<usize>,
    rows: Range<usize>,
}

impl Block {
    pub fn samples(&self) -> usize {
        self.samples.len()
    }

    pub fn rows(&self) -> usize {
        self.rows.len()
    }
}

impl Tiles {
    fn down(&self) -> usize {
        self.oh.div_ceil(2)
    }

    pub fn across(&self) -> usize {
        self.ow.div_ceil(2)
    }

    /// Samples of a block, rows of tiles of a block.
    fn lot(&self) -> (usize, usize) {
        let wanted = (NUMBERS / (self.from + self.to).max(1)).max(LEAST);
        let one = (self.down() * self.across()).max(1);
        if one >= wanted {
            let blocks = one.div_ceil(wanted);
            (1, self.down().div_ceil(blocks).max(1))
        } else {
            // At least two blocks where there are two samples.
            (wanted.div_ceil(one).min(self.n.div_ceil(2)).max(1), self.down().max(1))
        }
    }

    /// All blocks, in the order of [`Tiles::parts`].
    pub fn blocks(&self) -> Vec<Block> {
        let (samples, rows) = self.lot();
        let cut = |length: usize, by: usize| (0..length).step_by(by).map(move |a| a..(a + by).min(length));
        cut(self.n, samples)
            .flat_map(|s| cut(self.down(), rows).map(move |rows| Block { samples: s.clone(), rows }))
            .collect()
    }

    /// The rows of the output that each block writes, sample by sample, channel by channel: planes of `plane` places, of
    /// which a row of tiles gives `row`.
    pub fn parts<'a, T>(&self, out: &'a mut [T], plane: usize, row: usize) -> Vec<Vec<&'a mut [T]>> {
        let (samples, rows) = self.lot();
        let by_rows = self.down().div_ceil(rows).max(1);
        let mut parts: Vec<Vec<&mut [T]>> =
            (0..self.n.div_ceil(samples) * by_rows).map(|_| Vec::new()).collect();
        for (i, plane) in out.chunks_mut(plane.max(1)).enumerate() {
            let first = i / self.to.max(1) / samples * by_rows;
            for (b, part) in plane.chunks_mut((rows * row).max(1)).enumerate() {
                parts[first + b].push(part);
            }
        }
        parts
    }

    /// Where the part of number `i` of a block begins in the output.
    pub fn start(&self, block: &Block, i: usize) -> usize {
        (block.samples.start * self.to + i) * self.oh * self.ow + 2 * block.rows.start * self.ow
    }

    /// Tiles of a block.
    pub fn count(&self, block: &Block) -> usize {
        block.samples() * block.rows() * self.across()
    }

    /// Rows and columns of the input, border included, that the tiles of a block of one sample read.
    pub fn read(&self, block: &Block) -> [usize; 2] {
        [2 * block.rows() + 2, 2 * self.across() + 2]
    }

    /// The corner of each tile of a block, as a place among `rows` and `columns` of each sample.
    pub fn corners(&self, block: &Block, rows: usize, columns: usize) -> impl Iterator<Item = usize> {
        let (samples, down, across) = (block.samples(), block.rows(), self.across());
        (0..samples).flat_map(move |s| {
            (0..down).flat_map(move |p| (0..across).map(move |q| (s * rows + 2 * p) * columns + 2 * q))
        })
    }

    /// What a block reads, channels last: `[samples, rows, columns, from]` in whole lanes, zeros outside.
    pub fn lay(&self, x: &[f32], block: &Block, laid: &mut [f32]) {
        let (deep, plane) = (whole(self.from), self.h * self.w);
        let ([rows, columns], [above, left]) = (self.read(block), self.padding);
        let inside = self.w.min(columns - left);
        let line = (columns * deep).max(1);
        for (laid, s) in laid.chunks_exact_mut(rows * line).zip(block.samples.clone()) {
            // A lane of channels at a time, so that the lines of the cache that one row touches are there for the next.
            for first in (0..deep).step_by(LANES) {
                let channels = (self.from - first).min(LANES);
                for (i, out) in laid.chunks_exact_mut(line).enumerate() {
                    let y = (2 * block.rows.start + i).wrapping_sub(above);
                    let border = if y < self.h { left..left + inside } else { 0..0 };
                    for place in (0..border.start).chain(border.end..columns) {
                        out[place * deep + first..][..LANES].fill(0.0);
                    }
                    if y >= self.h {
                        continue;
                    }
                    let out = &mut out[left * deep + first..];
                    let x = &x[(s * self.from + first) * plane + y * self.w..];
                    turn(x, [channels, plane], out, [inside, deep]);
                    for q in 0..if channels < LANES { inside } else { 0 } {
                        out[q * deep + channels..q * deep + LANES].fill(0.0);
                    }
                }
            }
        }
    }

    /// The outputs of a block with channels last, `[samples, 2 rows, 2 across, to]` in whole lanes, to the rows of each
    /// channel; what lies over the edge is left out.
    pub fn give(&self, block: &Block, y: &[f32], planes: &mut [&mut [f32]]) {
        let (across, columns) = (whole(self.to), 2 * self.across());
        let line = (columns * across).max(1);
        let samples = y.chunks_exact(2 * block.rows() * line).zip(planes.chunks_mut(self.to.max(1)));
        for (y, planes) in samples {
            for (lane, planes) in planes.chunks_mut(LANES).enumerate() {
                let rows = planes.first().map_or(0, |p| p.len() / self.ow.max(1));
                for (row, y) in y.chunks_exact(line).take(rows).enumerate() {
                    turn_back(&y[lane * LANES..], across, planes, row * self.ow..(row + 1) * self.ow);
                }
            }
        }
    }
}

/// A number of channels in whole lanes.
pub(super) fn whole(channels: usize) -> usize {
    channels.next_multiple_of(LANES)
}
