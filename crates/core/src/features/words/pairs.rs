//! Byte pairs: a piece is written in single bytes or characters, whose neighbors are joined in the order of the merges.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use serde::{Deserialize, Serialize};

use super::table::Table;

/// What happens to characters without a token, and to pieces with one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Unknown {
    /// The token of a character without one, which is left out if there is none.
    pub token: Option<u32>,
    /// Such characters beside each other have one token.
    pub fuse: bool,
    /// A piece that is a token is one, whatever the merges say.
    pub whole: bool,
}

/// The merges by pair.
///
/// # Reference
/// Sennrich, Haddow and Birch (2016), "Neural machine translation of rare words with subword units".
pub(super) struct Pairs {
    /// The place of a merge in their order, and the token that it gives.
    merges: HashMap<[u32; 2], (u32, u32)>,
    unknown: Unknown,
    bytes: bool,
}

impl Pairs {
    /// Nothing, if a merge or the unknown token names a token that is not there.
    pub fn new(table: &Table, merges: &[[u32; 2]], unknown: Unknown, bytes: bool) -> Option<Self> {
        let mut all = HashMap::with_capacity(merges.len());
        for (place, pair) in (0..).zip(merges) {
            let [a, b] = pair.map(|n| table.token(n));
            all.insert(*pair, (place, table.number(&[a?, b?].concat())?));
        }
        if let Some(token) = unknown.token {
            table.token(token)?;
        }
        Some(Self { merges: all, unknown, bytes })
    }

    /// Appends the tokens of a piece, out of the same table.
    pub fn write(&self, table: &Table, piece: &str, out: &mut Vec<u32>) {
        let whole = table.number(piece.as_bytes()).filter(|_| self.unknown.whole);
        if let Some(token) = whole {
            out.push(token);
            return;
        }
        let mut symbols = Vec::with_capacity(piece.len());
        let mut known = true;
        let mut add = |symbol: &[u8]| {
            let number = table.number(symbol);
            match number.or(self.unknown.token) {
                Some(token) if number.is_some() || known || !self.unknown.fuse => symbols.push(token),
                _ => {}
            }
            known = number.is_some();
        };
        if self.bytes {
            piece.as_bytes().chunks(1).for_each(add);
        } else {
            piece.chars().for_each(|c| add(c.encode_utf8(&mut [0; 4]).as_bytes()));
        }
        self.join(symbols, out);
    }

    /// Joins neighbors, the earliest merge first and of equal ones the leftmost, in the time of a sort.
    fn join(&self, mut symbols: Vec<u32>, out: &mut Vec<u32>) {
        const GONE: u32 = u32::MAX;
        let count = symbols.len();
        // The neighbors of each symbol among those that are left; `count` is none.
        let mut after: Vec<usize> = (1..=count).collect();
        let mut before: Vec<usize> = std::iter::once(count).chain(0..count).take(count).collect();
        let mut waiting = BinaryHeap::new();
        let merge = |symbols: &[u32], after: &[usize], at: usize| {
            let pair = [symbols.get(at)?, symbols.get(*after.get(at)?)?].map(|s| *s);
            self.merges.get(&pair).copied()
        };
        let see = |waiting: &mut BinaryHeap<_>, symbols: &[u32], after: &[usize], at: usize| {
            if let Some((place, _)) = merge(symbols, after, at) {
                waiting.push(Reverse((place, at)));
            }
        };
        (0..count).for_each(|at| see(&mut waiting, &symbols, &after, at));
        while let Some(Reverse((place, at))) = waiting.pop() {
            // What was seen there may have been joined with others since.
            let Some((_, token)) = merge(&symbols, &after, at).filter(|(now, _)| *now == place) else {
                continue;
            };
            let right = after[at];
            symbols[at] = token;
            symbols[right] = GONE;
            after[at] = after[right];
            if let Some(b) = before.get_mut(after[at]) {
                *b = at;
            }
            see(&mut waiting, &symbols, &after, at);
            see(&mut waiting, &symbols, &after, before[at]);
        }
        out.extend(symbols.into_iter().filter(|s| *s != GONE));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joining_is_what_a_plain_search_for_the_earliest_merge_gives() {
        let tokens = ["a", "b", "ab", "aa", "aba", "abab", "aaa", "ba"].map(|t| t.as_bytes().to_vec());
        let table = Table::in_order(tokens.to_vec());
        let merges = [[0, 1], [0, 0], [2, 0], [2, 2], [3, 0], [1, 0]];
        let pairs = Pairs::new(&table, &merges, Unknown::default(), false).unwrap();
        let plain = |text: &str| {
            let mut all: Vec<u32> = text.chars().map(|c| u32::from(c) - u32::from('a')).collect();
            loop {
                let place = |w: &[u32]| merges.iter().position(|m| m == w).unwrap_or(99);
                let best = all.windows(2).enumerate().min_by_key(|(i, w)| (place(w), *i));
                let Some((i, place)) = best.map(|(i, w)| (i, place(w))).filter(|(_, p)| *p < 99) else {
                    return all;
                };
                let joined = merges[place].map(|m| tokens[m as usize].clone()).concat();
                all[i] = table.number(&joined).unwrap();
                all.remove(i + 1);
            }
        };
        for bits in 0..4096u32 {
            let text: String = (0..12).map(|i| if bits >> i & 1 == 0 { 'a' } else { 'b' }).collect();
            for text in [&text[..], &text[..7]] {
                let mut out = Vec::new();
                pairs.write(&table, text, &mut out);
                assert_eq!(out, plain(text), "{text}");
            }
        }
        let mut out = Vec::new();
        pairs.write(&table, &"ab".repeat(200_000), &mut out);
        assert_eq!(out, vec![5; 100_000]);
    }

    #[test]
    fn what_has_no_token_is_unknown_or_left_out() {
        let table = || Table::in_order(["a", "?", "ab"].map(|t| t.as_bytes().to_vec()).to_vec());
        let write = |unknown| {
            let mut out = Vec::new();
            Pairs::new(&table(), &[], unknown, false).unwrap().write(&table(), "axyaz", &mut out);
            out
        };
        assert_eq!(write(Unknown::default()), [0, 0]);
        let token = Some(1);
        assert_eq!(write(Unknown { token, ..Unknown::default() }), [0, 1, 1, 0, 1]);
        assert_eq!(write(Unknown { token, fuse: true, whole: false }), [0, 1, 0, 1]);
        let mut out = Vec::new();
        let whole = Unknown { whole: true, ..Unknown::default() };
        Pairs::new(&table(), &[], whole, false).unwrap().write(&table(), "ab", &mut out);
        assert_eq!(out, [2]);
        assert!(Pairs::new(&table(), &[[0, 1]], Unknown::default(), false).is_none());
        assert!(Pairs::new(&table(), &[], Unknown { token: Some(9), ..whole }, false).is_none());
    }
}
