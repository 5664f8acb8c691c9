//! The tokens of a vocabulary with their numbers.

use std::collections::{BTreeMap, HashMap};

use super::MOST;

/// Tokens, as bytes, by their numbers; numbers may be left out.
pub(super) struct Table {
    tokens: BTreeMap<u32, Vec<u8>>,
    numbers: HashMap<Vec<u8>, u32>,
}

impl Table {
    /// Nothing, if two tokens have one number, there is none, or a number is too large.
    pub fn new(all: impl IntoIterator<Item = (Vec<u8>, u32)>) -> Option<Self> {
        let mut table = Self { tokens: BTreeMap::new(), numbers: HashMap::new() };
        for (token, number) in all {
            let twice = table.tokens.insert(number, token.clone()).is_some();
            if twice || table.numbers.insert(token, number).is_some() || number as usize >= MOST {
                return None;
            }
        }
        (!table.tokens.is_empty()).then_some(table)
    }

    /// Tokens that are all different, numbered in their order.
    pub fn in_order(tokens: Vec<Vec<u8>>) -> Self {
        let numbers: HashMap<Vec<u8>, u32> = tokens.iter().cloned().zip(0..).collect();
        Self { tokens: (0..).zip(tokens).collect(), numbers }
    }

    /// One more than the largest number.
    pub fn size(&self) -> usize {
        self.tokens.last_key_value().map_or(0, |(n, _)| *n as usize + 1)
    }

    /// The number of a token.
    pub fn number(&self, token: &[u8]) -> Option<u32> {
        self.numbers.get(token).copied()
    }

    /// The token of a number.
    pub fn token(&self, number: u32) -> Option<&[u8]> {
        self.tokens.get(&number).map(Vec::as_slice)
    }

    /// As arrays: the numbers, where each token ends, and the bytes of all tokens.
    pub fn arrays(&self) -> (Vec<u32>, Vec<u32>, Vec<u8>) {
        let mut ends = Vec::new();
        let mut bytes = Vec::new();
        for token in self.tokens.values() {
            bytes.extend_from_slice(token);
            ends.push(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        }
        (self.tokens.keys().copied().collect(), ends, bytes)
    }

    /// From what [`Table::arrays`] gave; nothing if that contradicts itself.
    pub fn from_arrays(numbers: &[u32], ends: &[u32], bytes: &[u8]) -> Option<Self> {
        if numbers.len() != ends.len() || ends.last().map(|e| *e as usize) != Some(bytes.len()) {
            return None;
        }
        let starts = std::iter::once(0).chain(ends.iter().copied());
        let tokens = starts.zip(ends).map(|(start, end)| bytes.get(start as usize..*end as usize));
        let tokens: Option<Vec<&[u8]>> = tokens.collect();
        Self::new(tokens?.into_iter().map(<[u8]>::to_vec).zip(numbers.iter().copied()))
    }
}
