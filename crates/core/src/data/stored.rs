//! The source over everything that was opened: columns in memory, arrays, files.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::arrays::ArrayColumn;
use super::paths::PathColumn;
use crate::error::{Error, Result};
use crate::model::{Batch, Column, Schema, Source};

/// Where the rows of an input stand.
#[derive(Debug, Clone)]
pub(crate) enum Held {
    /// In memory, as they will be read.
    Ready(Column),
    /// In arrays in memory.
    Array(ArrayColumn),
    /// In files.
    Paths(PathColumn),
}

impl Held {
    /// How many rows hold nothing.
    pub(crate) fn unavailable(&self) -> usize {
        match self {
            Self::Ready(c) => c.unavailable().count(),
            Self::Array(c) => c.absent(),
            Self::Paths(c) => c.absent(),
        }
    }

    fn read(&self, rows: &[usize]) -> Result<Column> {
        match self {
            Self::Ready(c) => c.take(rows),
            Self::Array(c) => c.read(rows),
            Self::Paths(c) => c.read(rows),
        }
    }

    /// Adds what a row holds to its digest: the stored bytes, not what settings make of them.
    pub(crate) fn digest(&self, row: usize, hash: &mut Sha256) {
        let column = match self {
            Self::Ready(c) => c,
            Self::Array(c) => return c.digest(row, hash),
            Self::Paths(c) => return c.digest(row, hash),
        };
        if column.unavailable().is_set(row) {
            hash.update([0u8]);
            return;
        }
        hash.update([1u8]);
        match column {
            Column::Number { values, .. } => {
                // Minus zero is zero.
                hash.update((values.get(row).copied().unwrap_or(0.0) + 0.0).to_le_bytes());
            }
            Column::Category { levels, codes, .. } => {
                let level = codes.get(row).and_then(|c| levels.get(*c as usize));
                hash.update(level.map_or("", String::as_str).as_bytes());
            }
            Column::Text { values, .. } => hash.update(values.get(row).map_or("", String::as_str).as_bytes()),
            Column::Vector(v) => {
                v.get(row).unwrap_or_default().iter().for_each(|x| hash.update(x.to_le_bytes()))
            }
            // Only absent rows of these are held in memory.
            Column::Image(_) | Column::Audio(_) | Column::Sequence(_) => {}
        }
    }
}

/// The source that [`open`](super::open()) gives.
#[derive(Debug)]
pub(crate) struct Stored {
    schema: Schema,
    ids: Vec<u64>,
    columns: BTreeMap<String, Held>,
}

impl Stored {
    pub(crate) fn new(schema: Schema, ids: Vec<u64>, columns: BTreeMap<String, Held>) -> Self {
        Self { schema, ids, columns }
    }
}

impl Source for Stored {
    fn schema(&self) -> &Schema {
        &self.schema
    }

    fn ids(&self) -> &[u64] {
        &self.ids
    }

    fn unavailable(&self, column: &str) -> Option<usize> {
        self.columns.get(column).map(Held::unavailable)
    }

    fn read(&self, rows: &[usize], columns: &[&str]) -> Result<Batch> {
        let mut ids = Vec::with_capacity(rows.len());
        for row in rows {
            let id = self.ids.get(*row);
            ids.push(*id.ok_or_else(|| Error::internal(format!("row {row} of {} rows", self.ids.len())))?);
        }
        let mut batch = Batch::new(ids);
        for name in columns {
            self.schema.field(name)?;
            let held = self.columns.get(*name).ok_or_else(|| Error::internal(format!("no column {name}")))?;
            batch.set(*name, held.read(rows)?)?;
        }
        Ok(batch)
    }
}
