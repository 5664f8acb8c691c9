//! Tiles of 2 x 2 outputs in blocks of work, and planes laid out with their channels last and back.

use std::ops::Range;

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

    /// The rows of the output that each block writes: sample by sample, channel by channel.
    pub fn parts<'a>(&self, out: &'a mut [f32]) -> Vec<Vec<&'a mut [f32]>> {
        let (samples, rows) = self.lot();
        let by_rows = self.down().div_ceil(rows).max(1);
        let mut parts: Vec<Vec<&mut [f32]>> =
            (0..self.n.div_ceil(samples) * by_rows).map(|_| Vec::new()).collect();
        for (i, plane) in out.chunks_mut((self.oh * self.ow).max(1)).enumerate() {
            let first = i / self.to.max(1) / samples * by_rows;
            for (b, part) in plane.chunks_mut(2 * rows * self.ow).enumerate() {
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

    /// Places of the output of a block, those over the edge included.
    pub fn laid(&self, block: &Block) -> usize {
        4 * self.count(block)
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
        let deep = whole(self.from);
        let [rows, columns] = self.read(block);
        let [above, left] = self.padding;
        let plane = self.h * self.w;
        let inside = self.w.min(columns - left);
        for (i, out) in laid.chunks_exact_mut((columns * deep).max(1)).enumerate() {
            let sample = block.samples.start + i / rows;
            let y = (2 * block.rows.start + i % rows).wrapping_sub(above);
            if y >= self.h {
                out.fill(0.0);
                continue;
            }
            out[..left * deep].fill(0.0);
            out[(left + inside) * deep..].fill(0.0);
            let out = &mut out[left * deep..(left + inside) * deep];
            let x = &x[sample * self.from * plane + y * self.w..];
            turn(x, [self.from, plane], out, [inside, deep]);
            for place in out.chunks_exact_mut(deep) {
                place[self.from..].fill(0.0);
            }
        }
    }

    /// The outputs of a block with channels last, `[samples, 2 rows, 2 across, to]` in whole lanes, to the rows of each
    /// channel; what lies over the edge is left out.
    pub fn give(&self, block: &Block, y: &[f32], planes: &mut [&mut [f32]]) {
        let across = whole(self.to);
        let columns = 2 * self.across();
        for (s, planes) in planes.chunks_mut(self.to.max(1)).enumerate() {
            let rows = planes.first().map_or(0, |p| p.len() / self.ow.max(1));
            for row in 0..rows {
                let y = &y[(s * block.rows() * 2 + row) * columns * across..][..columns * across];
                let span = row * self.ow..(row + 1) * self.ow;
                for (four, planes) in planes.chunks_mut(4).enumerate() {
                    let places = y.chunks_exact(across).map(|place| &place[4 * four..4 * four + 4]);
                    if let [a, b, c, d] = planes {
                        let (a, b) = (&mut a[span.clone()], &mut b[span.clone()]);
                        let (c, d) = (&mut c[span.clone()], &mut d[span.clone()]);
                        for ((((place, a), b), c), d) in places.zip(a).zip(b).zip(c).zip(d) {
                            (*a, *b, *c, *d) = (place[0], place[1], place[2], place[3]);
                        }
                        continue;
                    }
                    for (c, plane) in planes.iter_mut().enumerate() {
                        let places = y.chunks_exact(across);
                        plane[span.clone()].iter_mut().zip(places).for_each(|(v, p)| *v = p[4 * four + c]);
                    }
                }
            }
        }
    }
}

/// A number of channels in whole lanes.
pub(super) fn whole(channels: usize) -> usize {
    channels.next_multiple_of(LANES)
}

/// Rows of channels, `plane` apart, to places with their channels beside each other, `deep` apart. Four by four, which
/// becomes a few shuffles.
fn turn(x: &[f32], [channels, plane]: [usize; 2], out: &mut [f32], [places, deep]: [usize; 2]) {
    let fours = channels / 4 * 4;
    for c in (0..fours).step_by(4) {
        let row = |i: usize| &x[(c + i) * plane..][..places];
        let (rows, rest) = ([row(0), row(1), row(2), row(3)], places / 4 * 4);
        let [a, b, e, f] = rows.map(|row| row.as_chunks::<4>().0);
        let blocks = out.chunks_exact_mut(4 * deep);
        for ((((out, a), b), e), f) in blocks.zip(a).zip(b).zip(e).zip(f) {
            for i in 0..4 {
                out[i * deep + c..][..4].copy_from_slice(&[a[i], b[i], e[i], f[i]]);
            }
        }
        for q in rest..places {
            for (i, row) in rows.iter().enumerate() {
                out[q * deep + c + i] = row[q];
            }
        }
    }
    for c in fours..channels {
        for (place, v) in out.chunks_exact_mut(deep).zip(&x[c * plane..][..places]) {
            place[c] = *v;
        }
    }
}
