//! Deltas that are kept by chance, the larger the likelier.

use consilience_core::{Error, Result};

use crate::kernels::bits::{Bits, word_of};
use crate::kernels::blend::Keep;
use crate::kernels::draw::Draw;
use crate::kernels::wide;
use crate::method::PerMember;
use crate::work::{Block, Work};

/// So many ranks of a row are counted one by one; for more of them the row is sorted.
const COUNTED: usize = 128;

/// Each delta is kept with a probability that grows with its rank in its row, from the smallest magnitude to the largest.
pub struct Ranked {
    /// For each member the source of its draws and the probabilities; `None` if all are kept.
    members: Vec<Option<(Draw, Odds)>>,
    row: usize,
}

impl Ranked {
    /// Keeps the deltas of each member with the probabilities from the first to the second; those of `None` are all kept. Blocks must
    /// be whole rows.
    pub fn new(work: &Work<'_>, odds: &[Option<(f64, f64)>]) -> Self {
        let row = work.row();
        let member = |(i, odds): (usize, &Option<(f64, f64)>)| {
            odds.map(|(least, most)| (Draw::new(work.seed_of(i)), Odds::new(least, most, row)))
        };
        Self { members: odds.iter().enumerate().map(member).collect(), row }
    }
}

impl Keep for Ranked {
    /// For each member which deltas are kept.
    type Seen = Vec<Bits>;
    const COSTLY: bool = true;

    fn see(&self, block: &Block<'_>) -> Self::Seen {
        let mut scratch = Scratch::default();
        let mut seen = Vec::with_capacity(self.members.len());
        let mut kept = vec![0; block.len()];
        for (member, deltas) in self.members.iter().zip(block.members) {
            let Some((draw, odds)) = member else {
                seen.push(Bits::default());
                continue;
            };
            let rows = deltas.chunks(self.row.max(1)).zip(kept.chunks_mut(self.row.max(1)));
            for (i, (deltas, kept)) in rows.enumerate() {
                draw_row(draw, odds, block.start + i * self.row, deltas, &mut scratch, kept);
            }
            seen.push(Bits::of(&kept));
        }
        seen
    }

    fn fill(&self, seen: &Self::Seen, block: &Block<'_>, member: usize, from: usize, out: &mut [f32]) {
        let deltas =
            block.members.get(member).and_then(|m| m.get(from..from + out.len())).unwrap_or_default();
        match seen.get(member) {
            Some(bits) if !self.whole(member) => bits.keep(from, deltas, out),
            _ => out.copy_from_slice(deltas),
        }
    }

    fn whole(&self, member: usize) -> bool {
        self.members.get(member).is_none_or(Option::is_none)
    }
}

/// The probabilities of the smallest and the largest delta of a row; `None` where all are kept.
pub fn odds(densities: &[f64], epsilon: &PerMember) -> Vec<Option<(f64, f64)>> {
    let odds = |(i, density): (usize, &f64)| match *density {
        1.0.. => None,
        density if density <= 0.0 => Some((0.0, 0.0)),
        density => Some((density - epsilon.of(i), density + epsilon.of(i))),
    };
    densities.iter().enumerate().map(odds).collect()
}

/// Checks that all probabilities lie between 0 and 1.
///
/// # Errors
/// [`Error::Argument`] naming the parameter and the numbers.
pub fn odds_fit(density: &PerMember, epsilon: &PerMember) -> Result<()> {
    let pairs = density.given().len().max(epsilon.given().len());
    let wrong = (0..pairs).map(|i| (density.of(i), epsilon.of(i))).find(|(density, epsilon)| {
        *density > 0.0 && *density < 1.0 && (density - epsilon <= 0.0 || density + epsilon >= 1.0)
    });
    match wrong {
        None => Ok(()),
        Some((density, epsilon)) => Err(Error::argument("epsilon is out of range")
            .at("epsilon")
            .expected("density - epsilon and density + epsilon between 0 and 1, neither included")
            .got(format!("an epsilon of {epsilon} with a density of {density}"))),
    }
}

/// How many of `2^32` draws keep a delta, by its rank.
#[derive(Debug, Clone, Copy)]
struct Odds {
    first: f64,
    step: f64,
    /// Ranks for so many draws more, in parts of `2^32`.
    ranks: u64,
}

impl Odds {
    /// From one probability to another; that of a row's only delta lies in the middle.
    fn new(least: f64, most: f64, row: usize) -> Self {
        let scale = 2f64.powi(32);
        let (first, step) = match row {
            0 | 1 => ((least + most) / 2.0 * scale, 0.0),
            _ => (least * scale, (most - least) * scale / (row - 1) as f64),
        };
        Self { first, step, ranks: if step > 0.0 { (scale / step) as u64 } else { 0 } }
    }

    /// Draws keep deltas of ranks above this, give or take two.
    fn rank(&self, drawn: u32) -> u32 {
        let above = u64::from(drawn).saturating_sub(self.first as u64);
        ((u128::from(above) * u128::from(self.ranks)) >> 32) as u32
    }

    /// A delta of this rank is kept if the draw is less.
    fn below(&self, rank: usize) -> u32 {
        (self.first + self.step * rank as f64) as u32
    }
}

/// Room for one row.
#[derive(Default)]
struct Scratch {
    drawn: Vec<u32>,
    keys: Vec<u32>,
    /// How many deltas lie in each bin.
    counts: Vec<[u32; 2]>,
    /// How many deltas lie in lower bins than each.
    lower: Vec<u32>,
    /// Deltas whose rank decides.
    open: Vec<u32>,
    sorted: Vec<u64>,
}

/// Draws which deltas of a row are kept. Most draws keep or drop a delta whatever its rank is; of the others most are decided by the
/// ranks of a bin of magnitudes, and few need the rank itself.
fn draw_row(draw: &Draw, odds: &Odds, start: usize, deltas: &[f32], scratch: &mut Scratch, kept: &mut [u8]) {
    let Scratch { drawn, keys, counts, lower, open, sorted } = scratch;
    let len = deltas.len();
    drawn.resize(len, 0);
    draw.fill(start, drawn);
    keys.resize(len, 0);
    let (least, most) = (odds.below(0), odds.below(len.saturating_sub(1)));
    let largest = wide(
        #[inline(always)]
        || {
            let mut largest = 0;
            for (key, d) in keys.iter_mut().zip(deltas) {
                *key = d.to_bits() & 0x7fff_ffff;
                largest = largest.max(*key);
            }
            for (kept, drawn) in kept.iter_mut().zip(drawn.iter()) {
                *kept = u8::from(*drawn < least);
            }
            largest
        },
    );
    if len < 2 {
        return;
    }
    // Half as many bins as deltas, for the sixteen octaves below the largest: bins of equal ratio.
    let bins = len.div_ceil(2).next_power_of_two().clamp(64, 4096);
    let shift = 27 - bins.ilog2();
    let floor = largest.saturating_sub((1 << 27) - 1);
    let bin = |key: u32| (key.saturating_sub(floor) >> shift) as usize;
    // Two counters a bin: deltas that follow each other are often equal, and each would wait for the one before.
    counts.clear();
    counts.resize(bins, [0; 2]);
    let (pairs, last) = keys.as_chunks::<2>();
    for [a, b] in pairs {
        if let Some([count, _]) = counts.get_mut(bin(*a)) {
            *count += 1;
        }
        if let Some([_, count]) = counts.get_mut(bin(*b)) {
            *count += 1;
        }
    }
    if let [key] = last
        && let Some([count, _]) = counts.get_mut(bin(*key))
    {
        *count += 1;
    }
    lower.clear();
    let mut sum = 0;
    lower.push(sum);
    lower.extend(counts.iter().map(|[a, b]| {
        sum += a + b;
        sum
    }));
    open.clear();
    let middle = |drawn: u32| (drawn >= least) & (drawn < most);
    for (word, drawn) in drawn.chunks(32).enumerate() {
        let mut bits = wide(
            #[inline(always)]
            || word_of(drawn, |drawn| middle(*drawn)),
        );
        while bits != 0 {
            let place = word * 32 + bits.trailing_zeros() as usize;
            bits &= bits - 1;
            let (Some(&key), Some(&drawn)) = (keys.get(place), drawn.get(place % 32)) else { continue };
            let bin = bin(key);
            let (Some(&first), Some(&end)) = (lower.get(bin), lower.get(bin + 1)) else { continue };
            let rank = odds.rank(drawn);
            let sure = first > rank.saturating_add(2);
            let hopeless = end <= rank.saturating_sub(1);
            if let Some(kept) = kept.get_mut(place) {
                *kept = u8::from(sure);
            }
            // Whether a zero is kept changes nothing.
            if !(sure | hopeless | (key == 0)) {
                open.push(place as u32);
            }
        }
    }
    if open.len() <= COUNTED {
        for &i in open.iter() {
            decide(odds, keys, drawn, i as usize, rank(keys, i as usize), kept);
        }
    } else {
        sorted.clear();
        sorted.extend((0u64..).zip(keys.iter()).map(|(i, key)| u64::from(*key) << 32 | i));
        sorted.sort_unstable();
        // To decide also those again that bins have decided changes nothing.
        for (rank, entry) in sorted.iter().enumerate() {
            decide(odds, keys, drawn, (entry & u64::from(u32::MAX)) as usize, rank, kept);
        }
    }
}

fn decide(odds: &Odds, keys: &[u32], drawn: &[u32], i: usize, rank: usize, kept: &mut [u8]) {
    if let (Some(kept), Some(drawn), Some(1..)) = (kept.get_mut(i), drawn.get(i), keys.get(i)) {
        *kept = u8::from(*drawn < odds.below(rank));
    }
}

/// How many keys come before that at a place: smaller ones, and equal ones that stand before it.
fn rank(keys: &[u32], i: usize) -> usize {
    let key = keys.get(i).copied().unwrap_or(0);
    let (before, after) = keys.split_at(i.min(keys.len()));
    let below = |keys: &[u32], least: u32| {
        wide(
            #[inline(always)]
            || keys.iter().map(|k| u32::from(*k < least)).sum::<u32>(),
        )
    };
    (below(before, key + 1) + below(after, key)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use consilience_core::seed::Seed;

    /// What the definition says.
    fn plainly(draw: &Draw, odds: &Odds, start: usize, deltas: &[f32]) -> Vec<u8> {
        let mut drawn = vec![0; deltas.len()];
        draw.fill(start, &mut drawn);
        let mut order: Vec<usize> = (0..deltas.len()).collect();
        order.sort_by(|a, b| deltas[*a].abs().total_cmp(&deltas[*b].abs()));
        let mut kept = vec![0; deltas.len()];
        for (rank, i) in order.into_iter().enumerate() {
            kept[i] = u8::from(drawn[i] < odds.below(rank));
        }
        kept
    }

    #[test]
    fn bins_counts_and_sorting_give_what_the_ranks_say() {
        let draw = Draw::new(Seed::new(1));
        let mut scratch = Scratch::default();
        let wave = |i: usize, k: f32| ((i as f32 * k).sin() * 43758.547).fract() - 0.5;
        for len in [1, 2, 3, 64, 100, 1000, 5000] {
            let smooth: Vec<f32> = (0..len).map(|i| wave(i, 12.9898)).collect();
            let coarse: Vec<f32> = smooth.iter().map(|v| (v * 8.0).round() / 64.0).collect();
            let steep: Vec<f32> = smooth.iter().map(|v| v.powi(25)).collect();
            let equal = vec![0.25; len];
            let narrow: Vec<f32> = smooth.iter().map(|v| 1.0 + v * 1e-4).collect();
            for (case, deltas) in [smooth, coarse, steep, equal, narrow].iter().enumerate() {
                let odds = Odds::new(0.2, 0.8, len);
                let mut kept = vec![0; len];
                draw_row(&draw, &odds, 77, deltas, &mut scratch, &mut kept);
                let plain = plainly(&draw, &odds, 77, deltas);
                let differ = (0..len).filter(|i| deltas[*i] != 0.0 && kept[*i] != plain[*i]).count();
                assert_eq!(differ, 0, "{len} {case}");
            }
        }
    }
}
