//! A table as it stands in files: columns of cells, each row with the place that it came from.

use std::borrow::Cow;

use super::read::Numbers;
use crate::error::{Error, Result};
use crate::model::Mask;
use crate::registry::nearest;

/// Texts one after the other in one buffer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Texts {
    buffer: String,
    ends: Vec<usize>,
}

impl Texts {
    pub(crate) fn push(&mut self, text: &str) {
        self.buffer.push_str(text);
        self.ends.push(self.buffer.len());
    }

    pub(crate) fn get(&self, row: usize) -> &str {
        let start = if row == 0 { 0 } else { self.ends.get(row - 1).copied().unwrap_or(0) };
        let end = self.ends.get(row).copied().unwrap_or(start);
        self.buffer.get(start..end).unwrap_or_default()
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }
}

/// The cells of a column: text as it was written, or numbers that never were text.
#[derive(Debug, Clone)]
pub(crate) enum Cells {
    /// From csv, folders, or text columns.
    Texts(Texts),
    /// From an array or a typed file; the mask marks what is missing.
    Numbers(Numbers, Mask),
}

impl Cells {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Texts(t) => t.len(),
            Self::Numbers(n, _) => n.len(),
        }
    }

    /// The cell as text; empty where a number is missing.
    pub(crate) fn text(&self, row: usize) -> Cow<'_, str> {
        match self {
            Self::Texts(t) => Cow::Borrowed(t.get(row)),
            Self::Numbers(_, missing) if missing.is_set(row) => Cow::Borrowed(""),
            Self::Numbers(n, _) => Cow::Owned(n.text(row)),
        }
    }

    /// The same text in every row.
    pub(crate) fn constant(text: &str, rows: usize) -> Self {
        let mut texts = Texts::default();
        (0..rows).for_each(|_| texts.push(text));
        Self::Texts(texts)
    }

    /// Adds the rows of `other`; columns of different types meet as text.
    fn append(&mut self, other: &Self) {
        if let (Self::Numbers(a, am), Self::Numbers(b, bm)) = (&mut *self, other)
            && join(a, b)
        {
            bm.marks().iter().for_each(|m| am.push(*m));
            return;
        }
        if let Self::Numbers(..) = self {
            let mut texts = Texts::default();
            (0..self.len()).for_each(|r| texts.push(&self.text(r)));
            *self = Self::Texts(texts);
        }
        if let Self::Texts(texts) = self {
            (0..other.len()).for_each(|r| texts.push(&other.text(r)));
        }
    }
}

/// Adds `b` to `a` if they are of one type.
fn join(a: &mut Numbers, b: &Numbers) -> bool {
    match (a, b) {
        (Numbers::U8(a), Numbers::U8(b)) => a.extend_from_slice(b),
        (Numbers::U16(a), Numbers::U16(b)) => a.extend_from_slice(b),
        (Numbers::I16(a), Numbers::I16(b)) => a.extend_from_slice(b),
        (Numbers::I32(a), Numbers::I32(b)) => a.extend_from_slice(b),
        (Numbers::I64(a), Numbers::I64(b)) => a.extend_from_slice(b),
        (Numbers::F32(a), Numbers::F32(b)) => a.extend_from_slice(b),
        (Numbers::F64(a), Numbers::F64(b)) => a.extend_from_slice(b),
        _ => return false,
    }
    true
}

/// A named column.
#[derive(Debug, Clone)]
pub(crate) struct TableColumn {
    pub(crate) name: String,
    pub(crate) cells: Cells,
}

/// Rows that came from one file, with their lines where it has lines.
#[derive(Debug, Clone)]
struct Segment {
    file: String,
    rows: usize,
    lines: Vec<u32>,
}

/// Where rows came from.
#[derive(Debug, Clone, Default)]
pub(crate) struct Places {
    segments: Vec<Segment>,
}

impl Places {
    /// Rows of a file with lines, counted from 1.
    pub(crate) fn lines(file: &str, lines: Vec<u32>) -> Self {
        Self { segments: vec![Segment { file: file.to_owned(), rows: lines.len(), lines }] }
    }

    /// Rows of a file without lines.
    pub(crate) fn rows(file: &str, rows: usize) -> Self {
        Self { segments: vec![Segment { file: file.to_owned(), rows, lines: Vec::new() }] }
    }

    /// `file:line`, or `file: row` counted from 0.
    pub(crate) fn of(&self, row: usize) -> String {
        let mut first = 0;
        for s in &self.segments {
            if row < first + s.rows {
                return match s.lines.get(row - first) {
                    Some(line) => format!("{}:{line}", s.file),
                    None => format!("{}: row {}", s.file, row - first),
                };
            }
            first += s.rows;
        }
        format!("row {row}")
    }

    /// The files, in order.
    pub(crate) fn files(&self) -> String {
        self.segments.iter().map(|s| s.file.as_str()).collect::<Vec<_>>().join(", ")
    }
}

/// Columns of the same length.
#[derive(Debug, Clone, Default)]
pub(crate) struct Table {
    pub(crate) columns: Vec<TableColumn>,
    pub(crate) places: Places,
    pub(crate) rows: usize,
}

impl Table {
    /// The column `name`, if there is one.
    pub(crate) fn get(&self, name: &str) -> Option<&TableColumn> {
        self.columns.iter().find(|c| c.name == name)
    }

    /// The column `name`.
    pub(crate) fn column(&self, name: &str) -> Result<&TableColumn> {
        self.get(name).ok_or_else(|| self.unknown(name))
    }

    /// The error about a column that is not there.
    pub(crate) fn unknown(&self, name: &str) -> Error {
        let names: Vec<&str> = self.columns.iter().map(|c| c.name.as_str()).collect();
        let mut shown = names.iter().take(12).copied().collect::<Vec<_>>().join(", ");
        if names.len() > 12 {
            shown.push_str(&format!(" and {} more", names.len() - 12));
        }
        let error = Error::data(format!("the data have no column \"{name}\""))
            .at(self.places.files())
            .expected(if shown.is_empty() { "a column".to_owned() } else { format!("one of {shown}") });
        match (nearest(name, names.iter().copied()), names.as_slice()) {
            (Some(near), _) => error.remedy(format!("did you mean \"{near}\"?")),
            (None, [one]) if one.contains([';', '\t', '|']) => {
                error.remedy("the cells seem to be separated by another sign: set data: {delimiter: ...}")
            }
            _ => error.remedy("name a column of the table, or take this one out of the recipe"),
        }
    }

    /// Adds a column; its name must be new and its length that of the table.
    pub(crate) fn push(&mut self, name: &str, cells: Cells) -> Result<()> {
        if self.get(name).is_some() {
            return Err(Error::data(format!("there are two columns named \"{name}\""))
                .at(self.places.files())
                .remedy("rename one"));
        }
        if cells.len() != self.rows {
            return Err(Error::data(format!("column \"{name}\" has another number of rows"))
                .at(self.places.files())
                .expected(self.rows)
                .got(cells.len()));
        }
        self.columns.push(TableColumn { name: name.to_owned(), cells });
        Ok(())
    }

    /// Puts the rows of `other` under these; both must have the same columns, in any order.
    pub(crate) fn append(&mut self, other: &Self) -> Result<()> {
        if let Some(extra) = other.columns.iter().find(|c| self.get(&c.name).is_none()) {
            return Err(self.unknown(&extra.name).remedy(format!(
                "{} has it: give every source the same columns, or set it to a constant",
                other.places.files()
            )));
        }
        for column in &mut self.columns {
            column.cells.append(&other.column(&column.name)?.cells);
        }
        self.rows += other.rows;
        self.places.segments.extend(other.places.segments.iter().cloned());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_two_files_keep_their_places() {
        let mut a = Table { places: Places::lines("a.csv", vec![2, 4]), rows: 2, ..Table::default() };
        let mut texts = Texts::default();
        texts.push("x");
        texts.push("");
        a.push("c", Cells::Texts(texts)).unwrap();
        let mut b = Table { places: Places::rows("b.npz", 1), rows: 1, ..Table::default() };
        b.push("c", Cells::Numbers(Numbers::I64(vec![7]), Mask::none(1))).unwrap();
        a.append(&b).unwrap();
        let column = a.column("c").unwrap();
        assert_eq!((0..3).map(|r| column.cells.text(r).into_owned()).collect::<Vec<_>>(), ["x", "", "7"]);
        assert_eq!((a.places.of(1), a.places.of(2)), ("a.csv:4".to_owned(), "b.npz: row 0".to_owned()));
        assert!(a.push("c", Cells::constant("1", 3)).is_err());
        assert!(a.push("d", Cells::constant("1", 2)).is_err());
        b.push("d", Cells::constant("1", 1)).unwrap();
        assert!(a.append(&b).unwrap_err().to_string().contains("\"d\""));
    }
}
