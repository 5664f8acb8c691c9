//! The numbers at some ranks of a tensor, without sorting or holding it.

use consilience_core::{Error, Result};

use crate::work::{Block, Cut, Work};

/// The bits of a float that the second pass counts.
const LOW: u32 = 15;
/// Bins of the first pass: the bits above those, without the sign.
const HIGH_BINS: usize = 1 << 16;
/// Bins of the second pass.
const LOW_BINS: usize = 1 << LOW;
/// The bits of infinity: finite keys lie below.
const INFINITE: u32 = 0x7f80_0000;

/// How often each bin was seen, and room for the keys of a block.
struct Counts {
    bins: Vec<u64>,
    keys: Vec<f32>,
}

impl Counts {
    fn new(bins: usize) -> Self {
        Self { bins: vec![0; bins], keys: Vec::new() }
    }

    fn see(
        &mut self,
        block: &Block<'_>,
        key: &impl Fn(&Block<'_>, &mut [f32]),
        bin: impl Fn(u32) -> Option<usize>,
    ) {
        self.keys.resize(block.len(), 0.0);
        key(block, &mut self.keys);
        for k in &self.keys {
            if let Some(count) = bin(k.to_bits() & !(1 << 31)).and_then(|b| self.bins.get_mut(b)) {
                *count += 1;
            }
        }
    }

    fn join(mut self, other: Self) -> Self {
        for (all, more) in self.bins.iter_mut().zip(&other.bins) {
            *all += more;
        }
        self
    }
}

/// The smallest, second smallest ... of the keys of all numbers of a tensor: for each of `ranks`, counted from 0, the key that would stand
/// there if all were sorted. The `k`-th largest of `n` is the one of rank `n - k`.
///
/// `key` fills its second argument with a key for each number of a block. Keys are not negative: their signs are not looked at. It takes two
/// passes over the tensor. Each counts the bits of the keys, so that the result is exact and follows from the keys alone.
///
/// # Errors
/// What reading gives; [`Error::Model`] if a key is not finite, [`Error::Internal`] for ranks beyond the tensor.
pub fn smallest(
    work: &Work<'_>,
    cut: Cut,
    ranks: &[usize],
    key: impl Fn(&Block<'_>, &mut [f32]) + Sync,
) -> Result<Vec<f32>> {
    let high = work.count(
        cut,
        || Counts::new(HIGH_BINS),
        |counts, block| counts.see(block, &key, |bits| Some((bits >> LOW) as usize)),
        Counts::join,
    )?;
    if high.bins.iter().skip((INFINITE >> LOW) as usize).any(|c| *c > 0) {
        return Err(Error::model("a tensor to merge is not finite"));
    }
    let places: Vec<(usize, u64)> =
        ranks.iter().map(|rank| place(&high.bins, *rank as u64)).collect::<Result<_>>()?;
    let mut wanted: Vec<usize> = places.iter().map(|(bin, _)| *bin).collect();
    wanted.sort_unstable();
    wanted.dedup();
    let low = work.count(
        cut,
        || Counts::new(wanted.len() * LOW_BINS),
        |counts, block| {
            counts.see(block, &key, |bits| {
                let i = wanted.binary_search(&((bits >> LOW) as usize)).ok()?;
                Some(i * LOW_BINS + bits as usize % LOW_BINS)
            });
        },
        Counts::join,
    )?;
    let mut found = Vec::with_capacity(ranks.len());
    for (bin, rest) in places {
        let first = wanted.binary_search(&bin).unwrap_or_default() * LOW_BINS;
        let (last, _) = place(low.bins.get(first..first + LOW_BINS).unwrap_or_default(), rest)?;
        found.push(f32::from_bits(((bin << LOW) | last) as u32));
    }
    Ok(found)
}

/// The bin in which the key of a rank lies, and its rank there.
fn place(bins: &[u64], rank: u64) -> Result<(usize, u64)> {
    let mut below = 0;
    for (bin, count) in bins.iter().enumerate() {
        if rank < below + count {
            return Ok((bin, rank - below));
        }
        below += count;
    }
    Err(Error::internal("a rank lies beyond the tensor"))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use consilience_core::seed::Seed;

    use super::*;
    use crate::work::{BLOCK, Numbers, Sink};

    struct Nowhere;

    impl Sink for Nowhere {
        fn write(&self, _: usize, _: &[f32]) -> Result<()> {
            Ok(())
        }
    }

    fn select(values: &[f32], ranks: &[usize]) -> Result<Vec<f32>> {
        let notes = Mutex::new(Vec::new());
        let work = Work {
            name: "w",
            shape: &[values.len()],
            members: vec![&values as &dyn Numbers],
            base: None,
            seed: Seed::new(1),
            labels: vec!["m"],
            compat: false,
            stop: &consilience_core::model::Stop::default(),
            out: &Nowhere,
            notes: &notes,
        };
        smallest(&work, Cut::NUMBERS, ranks, |block, keys| {
            for (key, v) in keys.iter_mut().zip(block.members.iter().copied().flatten()) {
                *key = v.abs();
            }
        })
    }

    #[test]
    fn it_is_what_sorting_gives() {
        let n = 2 * BLOCK + 77;
        let values: Vec<f32> =
            (0..n).map(|i| ((i * 7919 % n) as f32 - 30_000.0) * 10f32.powi((i % 70) as i32 - 40)).collect();
        let mut sorted: Vec<f32> = values.iter().map(|v| v.abs()).collect();
        sorted.sort_by(f32::total_cmp);
        let ranks = [0, 1, n / 4, n / 2, n / 2 + 1, n - 2, n - 1, 0];
        let found = select(&values, &ranks).unwrap();
        assert_eq!(found, ranks.map(|r| sorted[r]));
    }

    #[test]
    fn equal_keys_zeros_and_keys_that_are_none() {
        assert_eq!(select(&[2.0, -0.0, 2.0, 0.0], &[0, 1, 2, 3]).unwrap(), [0.0, 0.0, 2.0, 2.0]);
        assert!(select(&[1.0], &[1]).unwrap_err().to_string().contains("beyond"));
        for bad in [f32::NAN, f32::INFINITY] {
            assert!(select(&[1.0, bad], &[0]).unwrap_err().to_string().contains("not finite"));
        }
    }
}
