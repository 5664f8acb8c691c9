//! The sizes of a convolution, and its input laid out as a matrix of patches.

use std::ops::Range;

/// How the kernel moves over the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moves {
    /// Pixels from one place to the next.
    pub stride: usize,
    /// Zeros above and below, and on the left and the right.
    pub padding: [usize; 2],
    /// Pixels from one tap to the next.
    pub dilation: usize,
    /// Inputs and outputs are parted into this many groups that do not see each other.
    pub groups: usize,
}

impl Default for Moves {
    fn default() -> Self {
        Self { stride: 1, padding: [0, 0], dilation: 1, groups: 1 }
    }
}

/// Columns of a tile, about: a few hundred keep patches, product and gradient in the second cache.
const COLUMNS: usize = 512;

/// The sizes of one call: `x [n, c, h, w]`, `weight [o, c / groups, kh, kw]`, output `[n, o, oh, ow]`.
#[derive(Debug, Clone, Copy)]
pub(in crate::kernels) struct Sizes {
    pub n: usize,
    pub c: usize,
    pub h: usize,
    pub w: usize,
    pub o: usize,
    pub kh: usize,
    pub kw: usize,
    pub oh: usize,
    pub ow: usize,
    pub moves: Moves,
}

impl Sizes {
    pub fn new(x: &[usize], weight: &[usize], moves: Moves) -> Self {
        let at = |shape: &[usize], i: usize| shape.get(i).copied().unwrap_or(0);
        let (h, w, kh, kw) = (at(x, 2), at(x, 3), at(weight, 2), at(weight, 3));
        let places = |length: usize, kernel: usize, padding: usize| {
            let reach = moves.dilation * kernel.saturating_sub(1) + 1;
            (length + 2 * padding).checked_sub(reach).map_or(0, |rest| rest / moves.stride.max(1) + 1)
        };
        let (oh, ow) = (places(h, kh, moves.padding[0]), places(w, kw, moves.padding[1]));
        Self { n: at(x, 0), c: at(x, 1), h, w, o: at(weight, 0), kh, kw, oh, ow, moves }
    }

    /// Places of the output in one channel of one sample.
    pub fn plane(&self) -> usize {
        self.oh * self.ow
    }

    /// Numbers of one sample of the input, of the output.
    pub fn sample(&self) -> usize {
        self.c * self.h * self.w
    }

    pub fn given(&self) -> usize {
        self.o * self.plane()
    }

    /// Input channels of a group, output channels of a group, numbers of a patch of a group.
    pub fn inputs(&self) -> usize {
        self.c / self.moves.groups.max(1)
    }

    pub fn outputs(&self) -> usize {
        self.o / self.moves.groups.max(1)
    }

    pub fn patch(&self) -> usize {
        self.inputs() * self.kh * self.kw
    }

    /// Whether patches are the pixels themselves.
    pub fn pointwise(&self) -> bool {
        let Moves { stride, padding, .. } = self.moves;
        self.kh == 1 && self.kw == 1 && stride == 1 && padding == [0, 0]
    }

    /// Samples that are worked on together: enough columns for a product, but at least two lots where there are two
    /// samples.
    pub fn lot(&self) -> usize {
        (COLUMNS / self.plane().max(1)).min(self.n.div_ceil(2)).max(1)
    }

    /// Rows of the output that are worked on together: all of them, or of one sample alone some, a multiple of `tall`. Rows
    /// at the end that fill no multiple are left out.
    pub fn tiles(self, samples: usize, tall: usize) -> impl Iterator<Item = Range<usize>> {
        let all = self.oh / tall;
        let count = if samples > 1 { 1 } else { self.plane().div_ceil(COLUMNS).clamp(1, all.max(1)) };
        let rows = all.div_ceil(count).max(1);
        (0..all).step_by(rows).map(move |y| y * tall..(y + rows).min(all) * tall)
    }

    /// The columns whose tap `j` lies inside a row of the input, and the pixel of the first.
    fn inside(&self, tap: usize) -> (usize, usize, usize) {
        let Moves { stride, padding: [_, padding], dilation, .. } = self.moves;
        let shift = tap * dilation;
        let left = padding.saturating_sub(shift).div_ceil(stride).min(self.ow);
        // The last column q with q * stride + shift - padding < w.
        let right = (self.w + padding).checked_sub(shift + 1).map_or(0, |last| last / stride + 1);
        let right = right.min(self.ow).max(left);
        // A tap that no column sees has no first pixel: it would lie beyond the row, and for the last row beyond the input.
        let first = if left < right { (left * stride + shift).saturating_sub(padding) } else { 0 };
        (left, right, first)
    }

    /// The row of the input under row `y` of the output and tap `i`; `None` outside.
    fn under(&self, y: usize, tap: usize) -> Option<usize> {
        let Moves { stride, padding: [padding, _], dilation, .. } = self.moves;
        (y * stride + tap * dilation).checked_sub(padding).filter(|p| *p < self.h)
    }

    /// Calls `each` with every run of the patches of some rows: where the run of `ow` numbers begins, the columns of it
    /// that lie inside, and their first pixel; nothing inside where the whole run lies outside.
    fn runs(
        &self,
        samples: usize,
        channels: Range<usize>,
        rows: Range<usize>,
        mut each: impl FnMut(usize, Range<usize>, usize),
    ) {
        let columns = samples * rows.len() * self.ow;
        let mut start = 0;
        for c in channels {
            for i in 0..self.kh {
                for j in 0..self.kw {
                    let (left, right, first) = self.inside(j);
                    let mut at = start;
                    for s in 0..samples {
                        for y in rows.clone() {
                            match self.under(y, i) {
                                Some(p) => {
                                    let pixel = s * self.sample() + (c * self.h + p) * self.w + first;
                                    each(at, left..right, pixel);
                                }
                                None => each(at, 0..0, 0),
                            }
                            at += self.ow;
                        }
                    }
                    start += columns;
                }
            }
        }
    }

    /// The input channels of a group.
    fn channels(&self, group: usize) -> Range<usize> {
        group * self.inputs()..(group + 1) * self.inputs()
    }

    /// The patches `[patch, samples * rows * ow]` of some rows of some samples, zero outside the input.
    pub fn patches(&self, x: &[f32], samples: usize, group: usize, rows: Range<usize>, out: &mut [f32]) {
        self.lay(x, samples, self.channels(group), rows, out);
    }

    /// The part of all patches that comes from one channel, `[kh * kw, n * oh * ow]`.
    pub fn patches_of(&self, x: &[f32], channel: usize, out: &mut [f32]) {
        self.lay(x, self.n, channel..channel + 1, 0..self.oh, out);
    }

    fn lay(&self, x: &[f32], samples: usize, channels: Range<usize>, rows: Range<usize>, out: &mut [f32]) {
        let (stride, width) = (self.moves.stride, self.ow);
        self.runs(samples, channels, rows, |at, inside, pixel| {
            let run = &mut out[at..at + width];
            run[..inside.start].fill(0.0);
            run[inside.end..].fill(0.0);
            let run = &mut run[inside];
            if stride == 1 {
                run.copy_from_slice(&x[pixel..pixel + run.len()]);
            } else if !run.is_empty() {
                run.iter_mut().zip(x[pixel..].iter().step_by(stride)).for_each(|(a, b)| *a = *b);
            }
        });
    }

    /// Adds patches to where they came from: the transpose of [`Sizes::patches`].
    pub fn gather(&self, patches: &[f32], samples: usize, group: usize, rows: Range<usize>, x: &mut [f32]) {
        let stride = self.moves.stride;
        self.runs(samples, self.channels(group), rows, |at, inside, pixel| {
            let run = &patches[at + inside.start..at + inside.end];
            if stride == 1 {
                x[pixel..pixel + run.len()].iter_mut().zip(run).for_each(|(a, b)| *a += b);
            } else if !run.is_empty() {
                x[pixel..].iter_mut().step_by(stride).zip(run).for_each(|(a, b)| *a += b);
            }
        });
    }
}
