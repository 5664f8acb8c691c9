//! Rows in memory: our own columns, with stable row ids.

use std::sync::Arc;

use super::mask::Mask;
use super::ragged::{Audios, Images, Sequences, Vectors};
use super::schema::Kind;
use crate::error::{Error, Result};

/// One column of a batch.
#[derive(Debug, Clone, PartialEq)]
pub enum Column {
    /// Numbers; what stands at a missing row is not defined and must not be read.
    Number {
        /// One a row.
        values: Vec<f64>,
        /// The rows without a value.
        missing: Mask,
    },
    /// Levels by position; a missing row has code 0, which must not be read.
    Category {
        /// The names of the levels.
        levels: Arc<Vec<String>>,
        /// One a row.
        codes: Vec<u32>,
        /// The rows without a level.
        missing: Mask,
    },
    /// Texts; an absent row holds an empty string, which must not be read.
    Text {
        /// One a row.
        values: Vec<String>,
        /// The rows without a text.
        absent: Mask,
    },
    /// Images.
    Image(Images),
    /// Sounds.
    Audio(Audios),
    /// Arrays of one shape.
    Vector(Vectors),
    /// Sequences of steps.
    Sequence(Sequences),
}

impl Column {
    /// What it holds.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Number { .. } => Kind::Number,
            Self::Category { .. } => Kind::Category,
            Self::Text { .. } => Kind::Text,
            Self::Image(_) => Kind::Image,
            Self::Audio(_) => Kind::Audio,
            Self::Vector(_) => Kind::Vector,
            Self::Sequence(_) => Kind::Sequence,
        }
    }

    /// How many rows.
    pub fn len(&self) -> usize {
        self.unavailable().len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The rows that hold nothing: missing values for numbers and categories, absent payloads for the rest.
    pub fn unavailable(&self) -> &Mask {
        match self {
            Self::Number { missing, .. } | Self::Category { missing, .. } => missing,
            Self::Text { absent, .. } => absent,
            Self::Image(c) => c.absent(),
            Self::Audio(c) => c.absent(),
            Self::Vector(c) => &c.absent,
            Self::Sequence(c) => c.absent(),
        }
    }

    /// The rows given, in that order; they must exist.
    ///
    /// # Errors
    /// [`Error::Internal`] for a row out of range.
    pub fn take(&self, rows: &[usize]) -> Result<Self> {
        if let Some(row) = rows.iter().find(|r| **r >= self.len()) {
            return Err(Error::internal(format!("row {row} of a column of {} rows", self.len())));
        }
        Ok(match self {
            Self::Number { values, missing } => {
                Self::Number { values: rows.iter().map(|&r| values[r]).collect(), missing: missing.take(rows) }
            }
            Self::Category { levels, codes, missing } => Self::Category {
                levels: Arc::clone(levels),
                codes: rows.iter().map(|&r| codes[r]).collect(),
                missing: missing.take(rows),
            },
            Self::Text { values, absent } => {
                Self::Text { values: rows.iter().map(|&r| values[r].clone()).collect(), absent: absent.take(rows) }
            }
            Self::Image(c) => {
                let mut out = Images::default();
                for &r in rows {
                    match c.get(r) {
                        Some((shape, pixels)) => out.push(shape, pixels)?,
                        None => out.push_absent(),
                    }
                }
                Self::Image(out)
            }
            Self::Audio(c) => {
                let mut out = Audios::default();
                for &r in rows {
                    match c.get(r) {
                        Some((rate, samples)) => out.push(rate, samples),
                        None => out.push_absent(),
                    }
                }
                Self::Audio(out)
            }
            Self::Vector(c) => {
                let w = c.width();
                let mut data = Vec::with_capacity(rows.len() * w);
                for &r in rows {
                    data.extend_from_slice(&c.data[r * w..(r + 1) * w]);
                }
                Self::Vector(Vectors { shape: c.shape.clone(), data, absent: c.absent.take(rows) })
            }
            Self::Sequence(c) => {
                let mut out = Sequences::new(c.width());
                for &r in rows {
                    match c.get(r) {
                        Some(steps) => out.push(steps)?,
                        None => out.push_absent(),
                    }
                }
                Self::Sequence(out)
            }
        })
    }

    /// The same column with the rows marked in `gone` made unavailable as well; their payloads are dropped.
    ///
    /// # Errors
    /// [`Error::Internal`] if the lengths differ.
    pub fn without(&self, gone: &Mask) -> Result<Self> {
        if gone.len() != self.len() {
            return Err(Error::internal(format!("a mask of {} rows for {}", gone.len(), self.len())));
        }
        let either = |m: &Mask| -> Mask { (0..m.len()).map(|r| m.is_set(r) || gone.is_set(r)).collect() };
        let mut out = self.clone();
        match &mut out {
            Self::Number { missing, .. } | Self::Category { missing, .. } => *missing = either(missing),
            Self::Text { values, absent } => {
                *absent = either(absent);
                for (r, v) in values.iter_mut().enumerate() {
                    if absent.is_set(r) {
                        v.clear();
                    }
                }
            }
            Self::Vector(v) => {
                v.absent = either(&v.absent);
                let w = v.width();
                for r in 0..v.absent.len() {
                    if v.absent.is_set(r) {
                        v.data[r * w..(r + 1) * w].fill(0.0);
                    }
                }
            }
            Self::Image(c) => {
                let old = std::mem::take(c);
                for r in 0..old.len() {
                    match old.get(r).filter(|_| !gone.is_set(r)) {
                        Some((shape, pixels)) => c.push(shape, pixels)?,
                        None => c.push_absent(),
                    }
                }
            }
            Self::Audio(c) => {
                let old = std::mem::take(c);
                for r in 0..old.len() {
                    match old.get(r).filter(|_| !gone.is_set(r)) {
                        Some((rate, samples)) => c.push(rate, samples),
                        None => c.push_absent(),
                    }
                }
            }
            Self::Sequence(c) => {
                let old = std::mem::replace(c, Sequences::new(c.width()));
                for r in 0..old.len() {
                    match old.get(r).filter(|_| !gone.is_set(r)) {
                        Some(steps) => c.push(steps)?,
                        None => c.push_absent(),
                    }
                }
            }
        }
        Ok(out)
    }
}

/// Rows: ids and columns of the same length.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Batch {
    ids: Vec<u64>,
    columns: Vec<(String, Column)>,
}

impl Batch {
    /// Rows without columns yet.
    pub fn new(ids: Vec<u64>) -> Self {
        Self { ids, columns: Vec::new() }
    }

    /// Adds or replaces a column.
    ///
    /// # Errors
    /// [`Error::Internal`] if its length differs from the number of rows.
    pub fn set(&mut self, name: impl Into<String>, column: Column) -> Result<()> {
        let name = name.into();
        if column.len() != self.ids.len() {
            return Err(Error::internal(format!(
                "column \"{name}\" has {} rows, the batch {}",
                column.len(),
                self.ids.len()
            )));
        }
        match self.columns.iter_mut().find(|(n, _)| *n == name) {
            Some((_, c)) => *c = column,
            None => self.columns.push((name, column)),
        }
        Ok(())
    }

    /// The same, for building in a chain.
    ///
    /// # Errors
    /// As [`Batch::set`].
    pub fn with(mut self, name: impl Into<String>, column: Column) -> Result<Self> {
        self.set(name, column)?;
        Ok(self)
    }

    /// The row ids: stable, unique within their source.
    pub fn ids(&self) -> &[u64] {
        &self.ids
    }

    /// How many rows.
    pub fn rows(&self) -> usize {
        self.ids.len()
    }

    /// A column, if the batch holds it. A modality that a caller leaves out altogether is absent on every row.
    pub fn get(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|(n, _)| n == name).map(|(_, c)| c)
    }

    /// A column.
    ///
    /// # Errors
    /// [`Error::Data`] if the batch does not hold it.
    pub fn column(&self, name: &str) -> Result<&Column> {
        self.get(name).ok_or_else(|| {
            let known: Vec<&str> = self.names();
            Error::data(format!("the rows have no column \"{name}\"")).expected(known.join(", "))
        })
    }

    /// The names of the columns, in order.
    pub fn names(&self) -> Vec<&str> {
        self.columns.iter().map(|(n, _)| n.as_str()).collect()
    }

    /// The columns, in order.
    pub fn columns(&self) -> impl Iterator<Item = (&str, &Column)> {
        self.columns.iter().map(|(n, c)| (n.as_str(), c))
    }

    /// The rows given, in that order.
    ///
    /// # Errors
    /// [`Error::Internal`] for a row out of range.
    pub fn take(&self, rows: &[usize]) -> Result<Self> {
        let mut out = Self::new(Vec::with_capacity(rows.len()));
        for &r in rows {
            let id = self.ids.get(r);
            out.ids.push(*id.ok_or_else(|| Error::internal(format!("row {r} of {} rows", self.rows())))?);
        }
        for (name, column) in &self.columns {
            out.columns.push((name.clone(), column.take(rows)?));
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(values: &[f64]) -> Column {
        Column::Number { values: values.to_vec(), missing: Mask::none(values.len()) }
    }

    #[test]
    fn lengths_must_agree_and_rows_are_taken_in_order() {
        let mut batch = Batch::new(vec![10, 11, 12]);
        assert!(batch.set("x", number(&[1.0])).is_err());
        batch.set("x", number(&[1.0, 2.0, 3.0])).unwrap();
        let taken = batch.take(&[2, 0, 2]).unwrap();
        assert_eq!(taken.ids(), [12, 10, 12]);
        assert_eq!(taken.column("x").unwrap(), &number(&[3.0, 1.0, 3.0]));
        assert!(batch.take(&[3]).is_err());
        assert!(batch.column("y").unwrap_err().to_string().contains("\"y\""));
    }

    #[test]
    fn without_drops_payloads() {
        let vectors = Vectors::new(vec![2], vec![1.0, 2.0, 3.0, 4.0]).unwrap();
        let gone = Mask::from_marks(vec![false, true]);
        let Column::Vector(v) = Column::Vector(vectors).without(&gone).unwrap() else { panic!() };
        assert_eq!(v.data, [1.0, 2.0, 0.0, 0.0]);
        assert_eq!(v.get(1), None);
    }
}
