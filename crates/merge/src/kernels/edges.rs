//! The largest numbers of a tensor, found exactly without sorting or holding it.

use consilience_core::{Error, Result};

use crate::kernels::bits::{WORD, word_of};
use crate::kernels::wide;
use crate::work::{BLOCK, Block, Cut, Work};

/// So many keys are made at a time.
const CHUNK: usize = 1024;
/// Keys have 31 bits: so many of them make the bins of the first pass.
const LOW: u32 = 15;
/// The bins of the first pass.
const BINS: usize = 1 << 16;

/// Keys of the numbers of one lane (a member, or what all members have in common) from a place of a block on. The larger the key, the
/// earlier its number in the order; keys have 31 bits.
pub trait Keys: Fn(&Block<'_>, usize, usize, &mut [u32]) + Sync {}

impl<F: Fn(&Block<'_>, usize, usize, &mut [u32]) + Sync> Keys for F {}

/// The keys that order the numbers of a member by `|x|`. What is not a number comes first.
pub fn magnitudes(block: &Block<'_>, lane: usize, from: usize, keys: &mut [u32]) {
    let values = block.members.get(lane).and_then(|m| m.get(from..)).unwrap_or_default();
    wide(
        #[inline(always)]
        || {
            for (key, v) in keys.iter_mut().zip(values) {
                *key = v.to_bits() & 0x7fff_ffff;
            }
        },
    );
}

/// Where the first so many numbers of an order end: the largest keys first, and of equal keys those that come first in the tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edge {
    /// Numbers with larger keys are inside.
    key: u32,
    /// So many of those with this key are inside.
    equal: usize,
    /// How many have this key before each block, and at last in the tensor. Empty if it does not matter.
    before: Vec<usize>,
}

impl Edge {
    /// No number is inside.
    pub const NONE: Self = Self { key: 1 << 31, equal: 0, before: Vec::new() };
    /// Every number is inside.
    pub const ALL: Self = Self { key: 0, equal: usize::MAX, before: Vec::new() };

    /// Numbers of a block before this place are inside if their key is [`Edge::least`] of `true`, those from there on if it is that of
    /// `false`.
    pub fn place(&self, block: &Block<'_>, lane: usize, keys: &impl Keys) -> usize {
        let index = block.start / BLOCK;
        let Some((&before, &after)) = self.before.get(index).zip(self.before.get(index + 1)) else {
            return if self.equal > 0 { block.len() } else { 0 };
        };
        if after <= self.equal {
            return block.len();
        }
        let mut left = self.equal.saturating_sub(before);
        let mut place = 0;
        let mut chunk = [0; CHUNK];
        while left > 0 && place < block.len() {
            let part = chunk.get_mut(..CHUNK.min(block.len() - place)).unwrap_or_default();
            keys(block, lane, place, part);
            for key in part {
                if left == 0 {
                    break;
                }
                left -= usize::from(*key == self.key);
                place += 1;
            }
        }
        place
    }

    /// The least key that is inside, with or without those equal to the key of the edge.
    pub fn least(&self, equal: bool) -> u32 {
        if equal { self.key } else { self.key.saturating_add(1) }
    }
}

/// The edges of the first `counts` numbers of every lane, in two passes over the tensor: the first counts how often the upper bits of
/// keys occur, the second how often the lower ones do among those that share the upper bits with an edge.
///
/// # Errors
/// What reading gives.
pub fn edges(work: &Work<'_>, counts: &[Vec<usize>], keys: &impl Keys) -> Result<Vec<Vec<Edge>>> {
    let len = work.len();
    if u32::try_from(len).is_err() {
        return Err(Error::model("a tensor has too many numbers to find the largest of them")
            .at(work.name)
            .expected(format!("{} at most", u32::MAX))
            .got(len));
    }
    let inner = |count: usize| count > 0 && count < len;
    let lanes: Vec<usize> = counts
        .iter()
        .enumerate()
        .filter(|(_, c)| c.iter().any(|c| inner(*c)))
        .map(|(lane, _)| lane)
        .collect();
    let mut found = if lanes.is_empty() { Vec::new() } else { search(work, counts, &lanes, inner, keys)? };
    found.reverse();
    let mut edge = |count: &usize| match *count {
        0 => Edge::NONE,
        count if count >= len => Edge::ALL,
        _ => found.pop().unwrap_or(Edge::NONE),
    };
    Ok(counts.iter().map(|lane| lane.iter().map(&mut edge).collect()).collect())
}

/// An edge of which the upper bits are known.
struct Half {
    lane: usize,
    /// The upper bits of its key.
    bin: u32,
    /// How many of the numbers with these upper bits are inside.
    rest: usize,
}

/// The lower bits that occur in a block, each as often as it does, or if there are many, with how often it does.
#[derive(Default)]
struct Lows {
    single: Vec<u16>,
    counted: Vec<(u16, u32)>,
}

impl Lows {
    fn iter(&self) -> impl Iterator<Item = (u16, u32)> {
        self.single.iter().map(|low| (*low, 1)).chain(self.counted.iter().copied())
    }
}

fn search(
    work: &Work<'_>,
    counts: &[Vec<usize>],
    lanes: &[usize],
    inner: impl Fn(usize) -> bool,
    keys: &impl Keys,
) -> Result<Vec<Edge>> {
    // Two counters a bin: numbers that follow each other are often equal, and each would wait for the one before.
    let bins = work.count(
        Cut::DELTAS,
        || vec![vec![[0u32; 2]; BINS]; lanes.len()],
        |bins, block| {
            for (&lane, bins) in lanes.iter().zip(bins) {
                chunks(block, lane, keys, |chunk| tally(chunk, bins));
            }
        },
        |mut all, part| {
            for (a, b) in all.iter_mut().flatten().flatten().zip(part.iter().flatten().flatten()) {
                *a += b;
            }
            all
        },
    )?;
    let mut halves = Vec::new();
    for (&lane, bins) in lanes.iter().zip(&bins) {
        for &count in counts.get(lane).into_iter().flatten().filter(|c| inner(**c)) {
            let (bin, above) = descend(bins.iter().map(|[a, b]| *a as usize + *b as usize), count);
            halves.push(Half { lane, bin, rest: count - above });
        }
    }
    let seen = work.look(Cut::DELTAS, |block| {
        halves.iter().map(|half| lows(block, half, keys)).collect::<Vec<Lows>>()
    })?;
    let edge = |(i, half): (usize, &Half)| {
        let blocks = || seen.iter().filter_map(|lows| lows.get(i));
        let mut counted = vec![0usize; 1 << LOW];
        for (low, count) in blocks().flat_map(Lows::iter) {
            if let Some(c) = counted.get_mut(usize::from(low)) {
                *c += count as usize;
            }
        }
        let (low, above) = descend(counted.iter().copied(), half.rest);
        let mut before = vec![0];
        let mut sum = 0;
        for lows in blocks() {
            sum += lows
                .iter()
                .map(|(l, count)| if u32::from(l) == low { count as usize } else { 0 })
                .sum::<usize>();
            before.push(sum);
        }
        Edge { key: (half.bin << LOW) | low, equal: half.rest - above, before }
    };
    Ok(halves.iter().enumerate().map(edge).collect())
}

/// The bin in which the first `count` numbers end, and how many lie above it.
fn descend(bins: impl DoubleEndedIterator<Item = usize> + ExactSizeIterator, count: usize) -> (u32, usize) {
    let mut above = 0;
    for (bin, in_bin) in bins.enumerate().rev() {
        if above + in_bin >= count {
            return (u32::try_from(bin).unwrap_or(0), above);
        }
        above += in_bin;
    }
    (0, above)
}

fn chunks(block: &Block<'_>, lane: usize, keys: &impl Keys, mut work: impl FnMut(&[u32])) {
    let mut chunk = [0; CHUNK];
    for from in (0..block.len()).step_by(CHUNK) {
        let part = chunk.get_mut(..CHUNK.min(block.len() - from)).unwrap_or_default();
        keys(block, lane, from, part);
        work(part);
    }
}

fn tally(keys: &[u32], bins: &mut [[u32; 2]]) {
    let bin = |key: u32| (key >> LOW) as usize;
    let (pairs, rest) = keys.as_chunks::<2>();
    for [a, b] in pairs {
        if let Some([count, _]) = bins.get_mut(bin(*a)) {
            *count += 1;
        }
        if let Some([_, count]) = bins.get_mut(bin(*b)) {
            *count += 1;
        }
    }
    for key in rest {
        if let Some([count, _]) = bins.get_mut(bin(*key)) {
            *count += 1;
        }
    }
}

fn lows(block: &Block<'_>, half: &Half, keys: &impl Keys) -> Lows {
    let mut found: Vec<u16> = Vec::new();
    chunks(block, half.lane, keys, |chunk| {
        // Few numbers lie in the bin of an edge.
        let mut words = [0; CHUNK / WORD];
        wide(
            #[inline(always)]
            || {
                for (word, keys) in words.iter_mut().zip(chunk.chunks(WORD)) {
                    *word = word_of(keys, |key| key >> LOW == half.bin);
                }
            },
        );
        for (mut bits, keys) in words.into_iter().zip(chunk.chunks(WORD)) {
            while bits != 0 {
                if let Some(key) = keys.get(bits.trailing_zeros() as usize) {
                    found.push((key & ((1 << LOW) - 1)) as u16);
                }
                bits &= bits - 1;
            }
        }
    });
    if found.len() <= BLOCK / 32 {
        return Lows { single: found, counted: Vec::new() };
    }
    found.sort_unstable();
    let run = |run: &[u16]| run.first().map(|low| (*low, u32::try_from(run.len()).unwrap_or(u32::MAX)));
    Lows { single: Vec::new(), counted: found.chunk_by(|a, b| a == b).filter_map(run).collect() }
}
