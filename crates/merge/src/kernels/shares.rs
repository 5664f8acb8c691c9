//! Changes that members share, and those that one made alone.

use consilience_core::{Error, Result};

use crate::kernels::wide;
use crate::work::{Block, Cut, Work};

/// So many numbers are worked on together.
const CHUNK: usize = 1024;

/// How many members changed each of some numbers of a block from a place on: what is not a number is a change.
fn changes(block: &Block<'_>, epsilon: f32, from: usize, len: usize) -> [u32; CHUNK] {
    let mut counts = [0u32; CHUNK];
    for member in block.members {
        let deltas = member.get(from..from + len).unwrap_or_default();
        wide(
            #[inline(always)]
            || {
                for (count, d) in counts.iter_mut().zip(deltas) {
                    *count += u32::from(changed(*d, epsilon));
                }
            },
        );
    }
    counts
}

#[inline(always)]
fn changed(d: f32, epsilon: f32) -> bool {
    (d.abs() > epsilon) | d.is_nan()
}

/// How many changes of each member others share, and how many they do not.
///
/// # Errors
/// What reading gives.
pub fn count(work: &Work<'_>, epsilon: f64) -> Result<Vec<(usize, usize)>> {
    let epsilon = epsilon as f32;
    let none = || vec![(0, 0); work.members.len()];
    work.count(
        Cut::DELTAS,
        none,
        |all, block| {
            for from in (0..block.len()).step_by(CHUNK) {
                let len = CHUNK.min(block.len() - from);
                let counts = changes(block, epsilon, from, len);
                for ((shared, unique), member) in all.iter_mut().zip(block.members) {
                    let deltas = member.get(from..from + len).unwrap_or_default();
                    let (more, one) = wide(
                        #[inline(always)]
                        || {
                            let (mut more, mut one) = (0u32, 0u32);
                            for (d, count) in deltas.iter().zip(&counts) {
                                let changed = changed(*d, epsilon);
                                more += u32::from(changed & (*count > 1));
                                one += u32::from(changed & (*count == 1));
                            }
                            (more, one)
                        },
                    );
                    *shared += more as usize;
                    *unique += one as usize;
                }
            }
        },
        |mut all, part| {
            for ((shared, unique), (more, one)) in all.iter_mut().zip(part) {
                *shared += more;
                *unique += one;
            }
            all
        },
    )
}

/// Writes the mean of the deltas of the members that changed a number; what one changed alone is multiplied by its factor.
///
/// # Errors
/// What reading and writing give.
pub fn write(work: &Work<'_>, epsilon: f64, factors: &[f64]) -> Result<()> {
    let epsilon = epsilon as f32;
    work.write(Cut::DELTAS, |block, out| {
        let Some(base) = block.base else {
            return Err(Error::internal("shares of deltas without a base"));
        };
        for (i, (out, base)) in out.chunks_mut(CHUNK).zip(base.chunks(CHUNK)).enumerate() {
            let part = i * CHUNK..i * CHUNK + out.len();
            let counts = changes(block, epsilon, part.start, out.len());
            let mut sum = [0.0f32; CHUNK];
            for (member, factor) in block.members.iter().zip(factors) {
                let deltas = member.get(part.clone()).unwrap_or_default();
                let factor = *factor as f32;
                wide(
                    #[inline(always)]
                    || {
                        for ((sum, d), count) in sum.iter_mut().zip(deltas).zip(&counts) {
                            let factor = if *count == 1 { factor } else { 1.0 };
                            *sum += if changed(*d, epsilon) { factor * d } else { 0.0 };
                        }
                    },
                );
            }
            wide(
                #[inline(always)]
                || {
                    for (((out, b), sum), count) in out.iter_mut().zip(base).zip(&sum).zip(&counts) {
                        *out = b + sum / (*count).max(1) as f32;
                    }
                },
            );
        }
        Ok(())
    })
}
