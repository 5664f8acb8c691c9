//! Adding up what is kept of the members' deltas.

use std::sync::atomic::{AtomicUsize, Ordering};

use consilience_core::{Error, Result};

use crate::kernels::wide;
use crate::work::{Block, Cut, Work};

/// So many numbers are worked on together: what belongs to them stays near the processor.
const CHUNK: usize = 1024;
/// Sums run in so many lanes, which are added in order.
const LANES: usize = 16;
/// What was seen of a tensor is kept for the next pass if it has at most so many numbers, those of all members together: a bit each.
const SEEN: usize = 1 << 29;
/// Weights that sum to less do not divide anything.
const LEAST: f32 = 1e-8;

/// What is kept of the members' deltas. Numbers that are not finite are always kept, so that they are found.
pub trait Keep: Sync {
    /// What is known of a block once it was looked at.
    type Seen: Send + Sync;
    /// Whether looking costs so much that what was seen is better kept for the next pass.
    const COSTLY: bool = false;

    /// Looks at a block.
    fn see(&self, block: &Block<'_>) -> Self::Seen;

    /// What is kept of a member's deltas, from a place of the block on, a multiple of 32; zero where a delta is dropped.
    fn fill(&self, seen: &Self::Seen, block: &Block<'_>, member: usize, from: usize, out: &mut [f32]);

    /// Whether all deltas of a member are kept.
    fn whole(&self, member: usize) -> bool;
}

/// Which members count where they disagree in sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Elect {
    /// All.
    All,
    /// Those that agree with the sign of `sum_i w_i k_i`. Zero agrees with none, and a sum of zero is positive.
    Weighted,
    /// Those that agree with the sign of `sum_i k_i`.
    Plain,
}

/// How kept deltas `k_i` become one: `b + lambda sum_i w_i k_i`.
#[derive(Debug, Clone)]
pub struct Blend {
    /// A weight for each member. Members of weight zero are left out.
    pub weights: Vec<f64>,
    /// Which members count where they disagree.
    pub elect: Elect,
    /// The sum is divided by the sum of the weights: where signs are elected, of the weights that count.
    pub normalize: bool,
    /// What a member keeps is scaled so that the sum of its magnitudes is that of all its deltas.
    pub rescale: bool,
    /// A factor for the result.
    pub lambda: f64,
}

/// A member that counts.
struct Term {
    member: usize,
    weight: f32,
    scale: f32,
}

/// What divides a sum over all members: with `normalize` the sum of their weights, else one, as where every weight is zero.
///
/// # Errors
/// [`Error::Argument`] for weights that sum to zero; with `compat` one divides then.
pub fn divisor(weights: &[f64], normalize: bool, compat: bool) -> Result<f32> {
    let total: f32 = weights.iter().map(|w| *w as f32).sum();
    match normalize && weights.iter().any(|w| *w != 0.0) {
        true if total.abs() >= LEAST => Ok(total),
        true if !compat => Err(Error::argument("the weights sum to zero")
            .at("weight")
            .expected("a sum other than zero, or normalize: false")),
        _ => Ok(1.0),
    }
}

impl Blend {
    /// Merges the tensor: one pass to write, one before it if something must be rescaled.
    ///
    /// # Errors
    /// [`Error::Argument`] for weights that sum to zero and must divide; what reading and writing give.
    pub fn merge(&self, work: &Work<'_>, cut: Cut, keep: &impl Keep) -> Result<()> {
        let members: Vec<usize> =
            (0..work.members.len()).filter(|i| self.weights.get(*i).is_some_and(|w| *w != 0.0)).collect();
        let weight = |member: usize| self.weights.get(member).copied().unwrap_or(0.0) as f32;
        let total = divisor(&self.weights, self.normalize && self.elect == Elect::All, work.compat)?;
        if members.is_empty() {
            work.note("every weight is zero: it is the base's");
        }
        let (scales, seen) = self.scales(work, cut, keep, &members)?;
        let term =
            |(&member, scale): (&usize, f64)| Term { member, weight: weight(member), scale: scale as f32 };
        let terms: Vec<Term> = members.iter().zip(scales).map(term).collect();
        let lost = AtomicUsize::new(0);
        work.write(cut, |block, out| {
            let Some(base) = block.base else {
                return Err(Error::internal("a blend of deltas without a base"));
            };
            if terms.is_empty() {
                out.copy_from_slice(base);
                return Ok(());
            }
            let before =
                seen.binary_search_by_key(&block.start, |(start, _)| *start).ok().and_then(|i| seen.get(i));
            let now = if before.is_none() { Some(keep.see(block)) } else { None };
            let Some(seen) = before.map(|(_, seen)| seen).or(now.as_ref()) else { return Ok(()) };
            let mut kept = vec![[0.0; CHUNK]; terms.len()];
            for (chunk, (out, base)) in out.chunks_mut(CHUNK).zip(base.chunks(CHUNK)).enumerate() {
                for (term, kept) in terms.iter().zip(&mut kept) {
                    let kept = kept.get_mut(..out.len()).unwrap_or_default();
                    keep.fill(seen, block, term.member, chunk * CHUNK, kept);
                    if term.scale != 1.0 {
                        scale(kept, term.scale);
                    }
                }
                match self.elect {
                    Elect::Weighted | Elect::Plain => {
                        lost.fetch_add(self.agreed(&terms, &kept, base, work.compat, out), Ordering::Relaxed)
                    }
                    Elect::All => self.summed(&terms, &kept, base, total, out),
                };
            }
            Ok(())
        })?;
        match lost.into_inner() {
            0 => {}
            lost => work.note(format!(
                "{lost} of {} numbers are the base's, for the weights of the members that agree on them sum to less than {LEAST:e}",
                work.len()
            )),
        }
        Ok(())
    }

    /// `b + lambda / total sum_i w_i k_i`.
    fn summed(
        &self,
        terms: &[Term],
        kept: &[[f32; CHUNK]],
        base: &[f32],
        total: f32,
        out: &mut [f32],
    ) -> usize {
        let lambda = self.lambda as f32;
        let sum = sum(terms, kept, |term| term.weight);
        wide(
            #[inline(always)]
            || {
                for ((out, b), sum) in out.iter_mut().zip(base).zip(&sum) {
                    *out = b + lambda * (sum / total);
                }
            },
        );
        0
    }

    /// The same of the members that agree with the sign of the sum. Gives how many numbers no weight could divide.
    fn agreed(
        &self,
        terms: &[Term],
        kept: &[[f32; CHUNK]],
        base: &[f32],
        compat: bool,
        out: &mut [f32],
    ) -> usize {
        let lambda = self.lambda as f32;
        let total = match self.elect {
            Elect::Plain => sum(terms, kept, |_| 1.0),
            _ => sum(terms, kept, |term| term.weight),
        };
        let mut sum = [0.0f32; CHUNK];
        let mut mass = [0.0f32; CHUNK];
        for (term, kept) in terms.iter().zip(kept) {
            let weight = term.weight;
            wide(
                #[inline(always)]
                || {
                    for (((sum, mass), total), k) in sum.iter_mut().zip(&mut mass).zip(&total).zip(kept) {
                        let v = weight * k;
                        let agrees = if *total >= 0.0 { v > 0.0 } else { v < 0.0 };
                        *sum += if agrees { v } else { 0.0 };
                        *mass += if agrees { weight } else { 0.0 };
                    }
                },
            );
        }
        let least = if compat { f32::from_bits(1) } else { LEAST };
        let mut lost = 0;
        if self.normalize {
            // Weights of which no part sums to nearly zero lose nothing.
            let safe = terms.iter().all(|t| t.weight >= LEAST) || terms.iter().all(|t| t.weight <= -LEAST);
            if !safe && !compat {
                let all = sum.iter().zip(&mass).take(out.len());
                lost = all.filter(|(sum, mass)| **sum != 0.0 && mass.abs() < least).count();
            }
            wide(
                #[inline(always)]
                || {
                    for (sum, mass) in sum.iter_mut().zip(&mass) {
                        let small = if compat { *sum } else { 0.0 };
                        *sum = if mass.abs() < least { small } else { *sum / mass };
                    }
                },
            );
        }
        wide(
            #[inline(always)]
            || {
                for (((out, b), sum), total) in out.iter_mut().zip(base).zip(&sum).zip(&total) {
                    // The product is zero, unless the sum is not finite: signs would hide that.
                    *out = b + lambda * (sum + total * 0.0);
                }
            },
        );
        lost
    }

    /// The factors of what the members keep, and what was seen of the blocks where it is worth keeping.
    fn scales<K: Keep>(
        &self,
        work: &Work<'_>,
        cut: Cut,
        keep: &K,
        members: &[usize],
    ) -> Result<(Vec<f64>, Seen<K>)> {
        let sparse: Vec<usize> =
            members.iter().copied().filter(|i| self.rescale && !keep.whole(*i)).collect();
        let mut norms = vec![(0.0, 0.0); members.len()];
        let mut all_seen = Vec::new();
        if !sparse.is_empty() {
            let keeps = K::COSTLY && work.len().saturating_mul(work.members.len()) <= SEEN;
            let blocks = work.look(cut, |block| {
                let seen = keep.see(block);
                let norms: Vec<(f64, f64)> =
                    sparse.iter().map(|i| norms_of(keep, &seen, block, *i)).collect();
                (norms, keeps.then_some((block.start, seen)))
            })?;
            for (block, seen) in blocks {
                all_seen.extend(seen);
                for (member, (before, after)) in sparse.iter().zip(block) {
                    let place = members.iter().position(|m| m == member);
                    if let Some((all, left)) = place.and_then(|place| norms.get_mut(place)) {
                        *all += before;
                        *left += after;
                    }
                }
            }
        }
        let scales = norms.into_iter().map(|(before, after)| if after > 0.0 { before / after } else { 1.0 });
        Ok((scales.collect(), all_seen))
    }
}

/// What was seen of blocks, by their first places.
type Seen<K> = Vec<(usize, <K as Keep>::Seen)>;

/// `sum_i w_i k_i`.
fn sum(terms: &[Term], kept: &[[f32; CHUNK]], weight: impl Fn(&Term) -> f32) -> [f32; CHUNK] {
    let mut sum = [0.0f32; CHUNK];
    for (term, kept) in terms.iter().zip(kept) {
        let weight = weight(term);
        wide(
            #[inline(always)]
            || {
                for (sum, k) in sum.iter_mut().zip(kept) {
                    *sum += weight * k;
                }
            },
        );
    }
    sum
}

fn scale(values: &mut [f32], factor: f32) {
    wide(
        #[inline(always)]
        || values.iter_mut().for_each(|v| *v *= factor),
    );
}

/// The sums of the magnitudes of a member's deltas and of those that are kept.
fn norms_of<K: Keep>(keep: &K, seen: &K::Seen, block: &Block<'_>, member: usize) -> (f64, f64) {
    let deltas = block.members.get(member).copied().unwrap_or_default();
    let mut chunk = [0.0; CHUNK];
    let mut norms = (0.0, 0.0);
    for (i, deltas) in deltas.chunks(CHUNK).enumerate() {
        let kept = chunk.get_mut(..deltas.len()).unwrap_or_default();
        keep.fill(seen, block, member, i * CHUNK, kept);
        norms.0 += magnitude(deltas);
        norms.1 += magnitude(kept);
    }
    norms
}

/// `sum_k |x_k|` in 64 bits.
fn magnitude(values: &[f32]) -> f64 {
    wide(
        #[inline(always)]
        || {
            let mut sums = [0.0f64; LANES];
            let (lanes, rest) = values.as_chunks::<LANES>();
            for chunk in lanes {
                for (sum, v) in sums.iter_mut().zip(chunk) {
                    *sum += f64::from(v.abs());
                }
            }
            for (sum, v) in sums.iter_mut().zip(rest) {
                *sum += f64::from(v.abs());
            }
            sums.iter().sum()
        },
    )
}
