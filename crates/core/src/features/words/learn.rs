//! Byte pairs, learned from how often pieces stand in texts.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap};

use super::bytes;
use crate::error::Result;
use crate::model::Stop;

/// Longer pieces, in bytes, are no words, and nothing is learned from them.
pub(super) const LONGEST: usize = 256;

/// What was learned: the tokens in their order, and the merges in theirs.
pub(super) type Learned = (Vec<Vec<u8>>, Vec<[u32; 2]>);

/// Where a pair stands.
#[derive(Default)]
struct Places {
    /// How often, in all texts.
    count: u64,
    /// In which pieces it stood at some time; one may come up several times.
    pieces: Vec<usize>,
}

/// The 256 bytes are the first tokens. Then the pair of neighbors in the most places becomes a token and is joined in all
/// pieces, over and over, until there are `size` tokens or no pair stands in `least` places. Of pairs in as many places the one
/// with the smallest numbers is taken, so that the result depends on nothing but the counts.
pub(super) fn learn(counts: HashMap<Vec<u8>, u64>, size: usize, least: u64, stop: &Stop) -> Result<Learned> {
    let mut tokens: Vec<Vec<u8>> = bytes::in_order().map(|b| vec![b]).collect();
    let mut numbers: HashMap<Vec<u8>, u32> = tokens.iter().cloned().zip(0..).collect();
    let first = |b: &u8| numbers.get(std::slice::from_ref(b)).copied().unwrap_or_default();
    let mut pieces: Vec<(Vec<u32>, u64)> =
        counts.into_iter().map(|(piece, count)| (piece.iter().map(first).collect(), count)).collect();
    // The order of a map is nobody's.
    pieces.sort_unstable();
    let mut pairs: HashMap<[u32; 2], Places> = HashMap::new();
    for (at, (symbols, count)) in pieces.iter().enumerate() {
        for pair in symbols.array_windows::<2>() {
            let places = pairs.entry(*pair).or_default();
            places.count += count;
            places.pieces.push(at);
        }
    }
    let mut waiting: BinaryHeap<(u64, Reverse<[u32; 2]>)> =
        pairs.iter().map(|(pair, places)| (places.count, Reverse(*pair))).collect();
    let mut merges = Vec::new();
    while tokens.len() < size {
        let Some((count, Reverse(pair))) = waiting.pop() else { break };
        // Whoever changes a count puts the pair in again.
        if pairs.get(&pair).is_none_or(|p| p.count != count) {
            continue;
        }
        if count < least.max(1) {
            break;
        }
        if merges.len().is_multiple_of(64) {
            stop.check()?;
        }
        let Some(mut places) = pairs.remove(&pair) else { break };
        let joined = pair.map(|n| tokens[n as usize].as_slice()).concat();
        let token = *numbers.entry(joined.clone()).or_insert(tokens.len() as u32);
        if token as usize == tokens.len() {
            tokens.push(joined);
        }
        merges.push(pair);
        places.pieces.sort_unstable();
        places.pieces.dedup();
        let mut changed = BTreeSet::new();
        for at in places.pieces {
            let (symbols, count) = &mut pieces[at];
            let after = join(symbols, pair, token);
            if after.len() == symbols.len() {
                continue;
            }
            for old in symbols.array_windows::<2>().filter(|old| **old != pair) {
                if let Some(places) = pairs.get_mut(old) {
                    places.count = places.count.saturating_sub(*count);
                    changed.insert(*old);
                }
            }
            for new in after.array_windows::<2>() {
                let places = pairs.entry(*new).or_default();
                places.count += *count;
                if new.contains(&token) {
                    places.pieces.push(at);
                }
                changed.insert(*new);
            }
            *symbols = after;
        }
        let now = |pair: [u32; 2]| Some((pairs.get(&pair)?.count, Reverse(pair)));
        waiting.extend(changed.into_iter().filter_map(now));
    }
    Ok((tokens, merges))
}

/// The symbols with a pair joined wherever it stands, from the left on.
fn join(symbols: &[u32], pair: [u32; 2], token: u32) -> Vec<u32> {
    let mut out = Vec::with_capacity(symbols.len());
    let mut rest = symbols;
    while let [first, more @ ..] = rest {
        rest = more;
        match more {
            [second, more @ ..] if [*first, *second] == pair => {
                out.push(token);
                rest = more;
            }
            _ => out.push(*first),
        }
    }
    out
}
