//! Where rows come from: lazily, by position.

use super::batch::Batch;
use super::schema::Schema;
use crate::error::Result;

/// Rows that can be read in any order. Roles (target, group, ...) are kept apart from it.
pub trait Source: Send + Sync {
    /// The input columns.
    fn schema(&self) -> &Schema;

    /// The stable ids, one a row, in order.
    fn ids(&self) -> &[u64];

    /// Reads rows by position, in the order given, and only the columns named.
    ///
    /// # Errors
    /// [`Error::Data`](crate::Error::Data) naming the file, row and column that cannot be read.
    fn read(&self, rows: &[usize], columns: &[&str]) -> Result<Batch>;

    /// How many rows.
    fn rows(&self) -> usize {
        self.ids().len()
    }

    /// How many rows hold nothing in a column, where that is known without reading them.
    fn unavailable(&self, _column: &str) -> Option<usize> {
        None
    }
}

/// Rows held in memory.
#[derive(Debug, Clone)]
pub struct Memory {
    schema: Schema,
    batch: Batch,
}

impl Memory {
    /// A source over a batch.
    ///
    /// # Errors
    /// [`Error::Data`](crate::Error::Data) if a field of the schema is not in the batch.
    pub fn new(schema: Schema, batch: Batch) -> Result<Self> {
        for field in &schema.fields {
            batch.column(&field.name)?;
        }
        Ok(Self { schema, batch })
    }
}

impl Source for Memory {
    fn schema(&self) -> &Schema {
        &self.schema
    }

    fn ids(&self) -> &[u64] {
        self.batch.ids()
    }

    fn read(&self, rows: &[usize], columns: &[&str]) -> Result<Batch> {
        let mut out = Batch::new(rows.iter().map(|&r| self.batch.ids()[r]).collect());
        for name in columns {
            out.set(*name, self.batch.column(name)?.take(rows)?)?;
        }
        Ok(out)
    }
}
