//! Vocabularies: how a text becomes numbers of tokens. They are learned from texts, or given in a file.
//!
//! A text is cleaned ([`Clean`]), split into pieces ([`Split`]), and each piece is written in tokens by a model: byte pairs or
//! word pieces.

mod bytes;
mod clean;
mod given;
mod learn;
mod pairs;
mod pieces;
mod split;
mod table;

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};

use regex::Regex;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::reading::damaged;
use crate::error::{Error, Result};
use crate::model::{Array, Parts, Stop};
use clean::{Clean, Cleaner, cleaned};
pub(super) use given::read;
use pairs::{Pairs, Unknown};
use pieces::Pieces;
use split::{Split, Splitter, walk};
use table::Table;

/// The most tokens of a vocabulary.
pub(super) const MOST: usize = 1_000_000;

/// The kind of a model, with its settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    /// Neighbors are joined in the order of the merges.
    Pairs(Unknown),
    /// The longest token that fits, from the left on.
    Pieces {
        /// Stands before every token that does not begin a piece.
        prefix: String,
        /// Pieces of more characters are unknown.
        longest: usize,
        /// The token of an unknown piece.
        unknown: u32,
    },
}

enum Model {
    Pairs(Pairs),
    Pieces(Pieces),
}

/// A pattern, compiled once.
fn pattern(text: &'static str) -> Result<Regex> {
    static COMPILED: Mutex<BTreeMap<&str, Regex>> = Mutex::new(BTreeMap::new());
    let mut compiled = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = compiled.get(text) {
        return Ok(known.clone());
    }
    let new = Regex::new(text).map_err(|e| Error::internal(e.to_string()))?;
    compiled.insert(text, new.clone());
    Ok(new)
}

/// How a text becomes numbers of tokens, from zero on.
pub(super) struct Vocabulary {
    clean: Vec<Clean>,
    cleaners: Vec<Cleaner>,
    split: Vec<Split>,
    splitters: Vec<Splitter>,
    kind: Kind,
    table: Table,
    merges: Vec<[u32; 2]>,
    model: Model,
}

impl Vocabulary {
    /// Nothing, if the merges or the unknown token name tokens that are not there.
    fn new(
        clean: Vec<Clean>,
        split: Vec<Split>,
        kind: Kind,
        table: Table,
        merges: Vec<[u32; 2]>,
    ) -> Result<Option<Self>> {
        let bytes = split.iter().any(Split::is_bytes);
        let model = match &kind {
            Kind::Pairs(unknown) => Pairs::new(&table, &merges, *unknown, bytes).map(Model::Pairs),
            Kind::Pieces { prefix, longest, unknown } => {
                Pieces::new(&table, prefix, *longest, *unknown).map(Model::Pieces)
            }
        };
        let cleaners = clean.iter().map(Cleaner::new).collect::<Result<_>>()?;
        let splitters = split.iter().map(Splitter::new).collect::<Result<_>>()?;
        Ok(model.map(|model| Self { clean, cleaners, split, splitters, kind, table, merges, model }))
    }

    /// Learns byte pairs from texts: at most `size` tokens, of which 256 are the bytes; pairs in fewer than `least` places are
    /// not joined.
    ///
    /// # Errors
    /// [`Error::Interrupted`](crate::Error::Interrupted) when stopped.
    pub fn learned<'a>(
        texts: impl Iterator<Item = &'a str>,
        lowercase: bool,
        [size, least]: [usize; 2],
        stop: &Stop,
    ) -> Result<Self> {
        let clean = if lowercase { vec![Clean::Lowercase] } else { Vec::new() };
        let split = vec![Split::Bytes { space: true, parts: true }];
        let cleaners = clean.iter().map(Cleaner::new).collect::<Result<Vec<_>>>()?;
        let splitters = split.iter().map(Splitter::new).collect::<Result<Vec<_>>>()?;
        let mut counts: HashMap<Vec<u8>, u64> = HashMap::new();
        for (number, text) in texts.enumerate() {
            if number.is_multiple_of(256) {
                stop.check()?;
            }
            let _ = walk(&splitters, &cleaned(&cleaners, text), &mut |piece| {
                match counts.get_mut(piece.as_bytes()) {
                    Some(count) => *count += 1,
                    None if piece.len() <= learn::LONGEST => drop(counts.insert(piece.into(), 1)),
                    None => {}
                }
                ControlFlow::Continue(())
            });
        }
        let (tokens, merges) = learn::learn(counts, size, least as u64, stop)?;
        let table = Table::in_order(tokens);
        let made = Self::new(clean, split, Kind::Pairs(Unknown::default()), table, merges)?;
        made.ok_or_else(|| Error::internal("what was learned contradicts itself"))
    }

    /// One more than the largest number of a token.
    pub fn size(&self) -> usize {
        self.table.size()
    }

    /// The numbers of the first tokens of a text, at most `most`.
    pub fn encode(&self, text: &str, most: usize) -> Vec<u32> {
        let mut out = Vec::new();
        let _ = walk(&self.splitters, &cleaned(&self.cleaners, text), &mut |piece| {
            match &self.model {
                Model::Pairs(pairs) => pairs.write(&self.table, piece, &mut out),
                Model::Pieces(pieces) => pieces.write(&self.table, piece, &mut out),
            }
            if out.len() < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        out.truncate(most);
        out
    }

    /// As saved.
    pub fn save(&self, kind: &str) -> Parts {
        let (numbers, ends, bytes) = self.table.arrays();
        let merges = self.merges.as_flattened().to_vec();
        Parts::new(kind, json!({"clean": self.clean, "split": self.split, "model": self.kind}))
            .with_u32("numbers", &numbers)
            .with_u32("ends", &ends)
            .with("tokens", Array::U8(vec![bytes.len()], bytes))
            .with("merges", Array::U32(vec![self.merges.len(), 2], merges))
    }

    /// Loads what [`Vocabulary::save`] saved.
    ///
    /// # Errors
    /// [`Error::Model`](crate::Error::Model) for parts that contradict themselves.
    pub fn load(parts: &Parts) -> Result<Self> {
        let array = |name: &str| match parts.arrays.get(name) {
            Some(Array::U32(_, numbers)) => Ok(numbers),
            _ => Err(damaged(parts)),
        };
        let Some(Array::U8(_, bytes)) = parts.arrays.get("tokens") else { return Err(damaged(parts)) };
        let (merges, rest) = array("merges")?.as_chunks::<2>();
        let table = Table::from_arrays(array("numbers")?, array("ends")?, bytes);
        let (Some(table), true) = (table, rest.is_empty()) else { return Err(damaged(parts)) };
        let (clean, split) = (parts.field("clean")?, parts.field("split")?);
        Self::new(clean, split, parts.field("model")?, table, merges.to_vec())?.ok_or_else(|| damaged(parts))
    }
}
