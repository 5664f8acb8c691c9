//! Positions at which members differ most.

use consilience_core::Result;

use crate::kernels::blend::Keep;
use crate::kernels::edges::{Edge, edges};
use crate::kernels::gram::dot;
use crate::kernels::wide;
use crate::work::{Block, Cut, Work};

/// So many variances are worked out together.
const CHUNK: usize = 1024;

/// The positions of highest variance across the members' deltas; all members keep the same.
pub struct Varied {
    edge: Edge,
}

impl Varied {
    /// Selects a part of the positions that have any variance, rounded down; a part of 1 selects every position.
    ///
    /// # Errors
    /// What reading gives.
    pub fn find(work: &Work<'_>, part: f64) -> Result<Self> {
        if part >= 1.0 {
            return Ok(Self { edge: Edge::ALL });
        }
        let varied = work.look(Cut::DELTAS, |block| {
            let mut keys = [0; CHUNK];
            let mut count = 0;
            for from in (0..block.len()).step_by(CHUNK) {
                let keys = keys.get_mut(..CHUNK.min(block.len() - from)).unwrap_or_default();
                variances(block, 0, from, keys);
                count += keys.iter().filter(|key| **key != 0).count();
            }
            count
        })?;
        let varied: usize = varied.iter().sum();
        // The rounding of a part, of a gradient say, must not take one from a whole share.
        let count = (part * varied as f64 + 1e-6) as usize;
        if count == 0 && part > 0.0 && varied > 0 {
            work.note(format!("a part of {part} selects none of {varied} positions with variance"));
        }
        let edge = edges(work, &[vec![count]], &variances)?.pop().and_then(|mut lane| lane.pop());
        Ok(Self { edge: edge.unwrap_or(Edge::NONE) })
    }

    /// The sum of the squares of what each member keeps.
    ///
    /// # Errors
    /// What reading gives.
    pub fn squares(&self, work: &Work<'_>) -> Result<Vec<f64>> {
        let blocks = work.look(Cut::DELTAS, |block| {
            let seen = self.see(block);
            let mut chunk = [0.0; CHUNK];
            let mut square = |member| {
                let mut sum = 0.0;
                for from in (0..block.len()).step_by(CHUNK) {
                    let kept = chunk.get_mut(..CHUNK.min(block.len() - from)).unwrap_or_default();
                    self.fill(&seen, block, member, from, kept);
                    sum += dot(kept, kept);
                }
                sum
            };
            (0..block.members.len()).map(&mut square).collect::<Vec<f64>>()
        })?;
        let mut squares = vec![0.0; work.members.len()];
        for block in blocks {
            for (sum, square) in squares.iter_mut().zip(block) {
                *sum += square;
            }
        }
        Ok(squares)
    }
}

impl Keep for Varied {
    /// Which positions are kept.
    type Seen = Vec<u8>;

    fn see(&self, block: &Block<'_>) -> Self::Seen {
        if self.edge == Edge::ALL {
            return Vec::new();
        }
        let place = self.edge.place(block, 0, &variances);
        let mut kept = vec![0; block.len()];
        let mut keys = [0; CHUNK];
        for (i, kept) in kept.chunks_mut(CHUNK).enumerate() {
            let keys = keys.get_mut(..kept.len()).unwrap_or_default();
            variances(block, 0, i * CHUNK, keys);
            let equal = place.saturating_sub(i * CHUNK).min(kept.len());
            let (with, without) = kept.split_at_mut(equal);
            let (with_keys, without_keys) = keys.split_at(equal);
            for (kept, keys, least) in
                [(with, with_keys, self.edge.least(true)), (without, without_keys, self.edge.least(false))]
            {
                kept.iter_mut().zip(keys).for_each(|(kept, key)| *kept = u8::from(*key >= least));
            }
        }
        kept
    }

    fn fill(&self, seen: &Self::Seen, block: &Block<'_>, member: usize, from: usize, out: &mut [f32]) {
        let part = from..from + out.len();
        let deltas = block.members.get(member).and_then(|m| m.get(part.clone())).unwrap_or_default();
        if self.edge == Edge::ALL {
            return out.copy_from_slice(deltas);
        }
        let kept = seen.get(part).unwrap_or_default();
        wide(
            #[inline(always)]
            || {
                for ((out, d), kept) in out.iter_mut().zip(deltas).zip(kept) {
                    *out = if *kept != 0 { *d } else { 0.0 };
                }
            },
        );
    }

    fn whole(&self, _: usize) -> bool {
        self.edge == Edge::ALL
    }
}

/// Keys that order positions by the variance of the members' deltas. Equal deltas have none.
fn variances(block: &Block<'_>, _: usize, from: usize, keys: &mut [u32]) {
    let Some((first, others)) = block.members.split_first() else { return };
    let Some(first) = first.get(from..) else { return };
    let share = 1.0 / block.members.len() as f32;
    for (i, keys) in keys.chunks_mut(CHUNK).enumerate() {
        let from = from + i * CHUNK;
        let first = first.get(i * CHUNK..).unwrap_or_default();
        let others = || others.iter().filter_map(|m| m.get(from..));
        // Deviations from the first member, so that equal ones have a mean of exactly zero.
        let mut mean = [0.0f32; CHUNK];
        let mut sum = [0.0f32; CHUNK];
        wide(
            #[inline(always)]
            || {
                for other in others() {
                    for ((mean, d), start) in mean.iter_mut().zip(other).zip(first) {
                        *mean += d - start;
                    }
                }
                for (mean, sum) in mean.iter_mut().zip(&mut sum) {
                    *mean *= share;
                    *sum = *mean * *mean;
                }
                for other in others() {
                    for (((sum, mean), d), start) in sum.iter_mut().zip(&mean).zip(other).zip(first) {
                        let e = d - start - mean;
                        *sum += e * e;
                    }
                }
                for (key, sum) in keys.iter_mut().zip(&sum) {
                    *key = sum.to_bits() & 0x7fff_ffff;
                }
            },
        );
    }
}
