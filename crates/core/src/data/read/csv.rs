//! Comma-separated tables.

use std::path::Path;

use csv::{ErrorKind, ReaderBuilder, StringRecord};

use super::read_bounded;
use crate::data::spec::Header;
use crate::data::table::{Cells, Places, Table, TableColumn, Texts};
use crate::error::{Error, Result};
use crate::files::sha256_bytes;

/// The largest table of text, in bytes: it is held in memory.
const MAX_BYTES: u64 = 1 << 34;

/// Reads a csv file and gives the table with the file's SHA-256. A name of a column is trimmed, cells are as they stand.
///
/// # Errors
/// [`Error::Data`] with file and line for an empty file, one without rows, a column without a name or with another's,
/// a row of another length, text that is no UTF-8, and a quote that is never closed.
pub(crate) fn read_csv(
    path: &Path,
    name: &str,
    delimiter: Option<char>,
    header: Header,
) -> Result<(Table, String)> {
    let bytes = read_bounded(path, name, MAX_BYTES)?;
    let delimiter = delimiter.unwrap_or(if name.ends_with(".tsv") { '\t' } else { ',' });
    let table = parse(&bytes, name, delimiter, header)?;
    Ok((table, sha256_bytes(&bytes)))
}

fn parse(bytes: &[u8], name: &str, delimiter: char, header: Header) -> Result<Table> {
    let separator = u8::try_from(delimiter).ok().filter(u8::is_ascii).ok_or_else(|| {
        Error::argument("the delimiter must be one ASCII character").got(format!("\"{delimiter}\""))
    })?;
    let mut reader = ReaderBuilder::new().has_headers(false).delimiter(separator).from_reader(bytes);
    let mut record = StringRecord::new();
    let said = |e: csv::Error| explained(&e, name, bytes);
    if !reader.read_record(&mut record).map_err(said)? {
        return Err(Error::data("the table is empty")
            .at(name)
            .expected("a header and rows")
            .remedy("get the file again, or name the one that was meant"));
    }
    let names = match header {
        Header::Names => header_names(&record, name)?,
        Header::None | Header::Skip => (1..=record.len()).map(|i| format!("c{i}")).collect(),
    };
    let mut columns = vec![Texts::default(); names.len()];
    let mut lines: Vec<u32> = Vec::new();
    let mut counted = Lines { bytes, at: 0, line: 1 };
    let mut take = |record: &StringRecord| -> Result<()> {
        let line = counted.of(record.position());
        lines.push(u32::try_from(line).map_err(|_| Error::data("the table has too many lines").at(name))?);
        columns.iter_mut().zip(record).for_each(|(texts, cell)| texts.push(cell));
        Ok(())
    };
    if header == Header::None {
        take(&record)?;
    }
    while reader.read_record(&mut record).map_err(said)? {
        take(&record)?;
    }
    if lines.is_empty() {
        return Err(Error::data("the table has a header and no rows")
            .at(name)
            .expected("at least one row")
            .remedy("add rows; if the first line is a row itself, set data: {header: none}"));
    }
    unclosed_quote(bytes, name, lines.last().copied().unwrap_or(0))?;
    if names.len() == 1 && !bytes.contains(&b'"') {
        no_blank_lines(bytes, name)?;
    }
    let rows = lines.len();
    let columns = names
        .into_iter()
        .zip(columns)
        .map(|(name, texts)| TableColumn { name, cells: Cells::Texts(texts) })
        .collect();
    Ok(Table { columns, places: Places::lines(name, lines), rows })
}

/// The lines of records. The parser's own count stands where the last record ended, before line ends and blank lines.
struct Lines<'a> {
    bytes: &'a [u8],
    at: usize,
    line: usize,
}

impl Lines<'_> {
    /// The line, from 1, on which the record at `position` begins; positions must not go back.
    fn of(&mut self, position: Option<&csv::Position>) -> usize {
        let start = position.and_then(|p| usize::try_from(p.byte()).ok()).unwrap_or(self.at);
        let rest = self.bytes.get(start..).unwrap_or_default();
        let ends = rest.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
        let passed = self.bytes.get(self.at..start + ends).unwrap_or_default();
        self.line += passed.iter().filter(|b| **b == b'\n').count();
        self.at = start + ends;
        self.line
    }
}

/// The names in the first line.
pub(crate) fn header_names(record: &StringRecord, name: &str) -> Result<Vec<String>> {
    let mut names: Vec<String> = Vec::with_capacity(record.len());
    for (i, cell) in record.iter().enumerate() {
        let cell = cell.trim();
        if cell.is_empty() {
            return Err(Error::data(format!("column {} has no name in the header", i + 1))
                .at(format!("{name}:1"))
                .remedy(
                    "name it; if it is the row number that pandas wrote, give it the role id or ignore",
                ));
        }
        if let Some(first) = names.iter().position(|n| n == cell) {
            return Err(Error::data(format!(
                "columns {} and {} are both named \"{cell}\"",
                first + 1,
                i + 1
            ))
            .at(format!("{name}:1"))
            .remedy("rename one; if the first line holds no names, set data: {header: none} or skip"));
        }
        names.push(cell.to_owned());
    }
    Ok(names)
}

/// A quote that is never closed swallows the rest of the file into one cell, without an error from the parser.
fn unclosed_quote(bytes: &[u8], name: &str, last_line: u32) -> Result<()> {
    let odd = bytes.iter().filter(|b| **b == b'"').count() % 2 == 1;
    let newlines = bytes.iter().filter(|b| **b == b'\n').count();
    if odd && u64::from(last_line) < newlines as u64 {
        return Err(Error::data("a quote is never closed")
            .at(format!("{name}:{last_line}"))
            .remedy("double a quote inside a quoted cell, and close every quoted cell"));
    }
    Ok(())
}

/// In a table of one column a blank line would be a missing cell, but the parser passes it over.
fn no_blank_lines(bytes: &[u8], name: &str) -> Result<()> {
    let mut lines: Vec<&[u8]> = bytes.split(|b| *b == b'\n').collect();
    while lines.last().is_some_and(|l| l.trim_ascii().is_empty()) {
        lines.pop();
    }
    match lines.iter().position(|l| l.trim_ascii().is_empty()) {
        Some(at) => Err(Error::data("a blank line in a table of one column")
            .at(format!("{name}:{}", at + 1))
            .remedy("write NA for a missing cell, or remove the line")),
        None => Ok(()),
    }
}

fn explained(e: &csv::Error, name: &str, bytes: &[u8]) -> Error {
    let line = |p| Lines { bytes, at: 0, line: 1 }.of(Some(p));
    let place = e.position().map_or_else(|| name.to_owned(), |p| format!("{name}:{}", line(p)));
    match e.kind() {
        ErrorKind::UnequalLengths { expected_len, len, .. } => {
            Error::data("the row has another number of cells than the first line")
                .at(place)
                .expected(expected_len)
                .got(len)
                .remedy("quote cells that hold the separator, or set data: {delimiter: ...}")
        }
        ErrorKind::Utf8 { .. } => Error::data("the text is not UTF-8")
            .at(place)
            .remedy("save the file as UTF-8; if it is another format, name the reader for it"),
        _ => Error::data(format!("the table cannot be read: {e}")).at(place),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Table> {
        parse(text.as_bytes(), "t.csv", ',', Header::Names)
    }

    fn cells(table: &Table, name: &str) -> Vec<String> {
        let column = table.column(name).unwrap();
        (0..table.rows).map(|r| column.cells.text(r).into_owned()).collect()
    }

    #[test]
    fn quoted_headers_cells_and_lines_are_kept() {
        let t = read("\u{feff}\"a.b\", c \r\n\"x,y\",1\r\n\r\n\"l1\nl2\",\r\nz,3\r\n").unwrap();
        assert_eq!(t.columns.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["a.b", "c"]);
        assert_eq!(cells(&t, "a.b"), ["x,y", "l1\nl2", "z"]);
        assert_eq!(cells(&t, "c"), ["1", "", "3"]);
        assert_eq!(t.places.of(2), "t.csv:6");
    }

    #[test]
    fn headers_may_be_missing_or_useless() {
        let t = parse(b"1,2\n3,4\n", "t.csv", ',', Header::None).unwrap();
        assert_eq!(cells(&t, "c2"), ["2", "4"]);
        let t = parse(b"0;0\n3;4\n", "t.csv", ';', Header::Skip).unwrap();
        assert_eq!(cells(&t, "c1"), ["3"]);
    }

    #[test]
    fn bad_tables_are_refused_with_their_line() {
        for (text, says) in [
            ("", "t.csv: the table is empty"),
            ("a,b\n", "t.csv: the table has a header and no rows"),
            ("a,b\n1,2\n1,2,3\n", "t.csv:3: the row has another number of cells"),
            ("a,b\n1,2\n1\n", "t.csv:3: the row has another number of cells"),
            ("a,a\n1,2\n", "t.csv:1: columns 1 and 2 are both named \"a\""),
            (",a\n1,2\n", "t.csv:1: column 1 has no name"),
            ("a,b\n1,\"2\n3,4\n5,6\n", "t.csv:2: a quote is never closed"),
            ("a\n1\n\n2\n", "t.csv:3: a blank line"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.to_string().starts_with(says), "{error} is not {says}");
            assert_eq!(error.exit_code(), 3);
        }
        let error = parse(b"a\n\xff\xfe\n", "t.csv", ',', Header::Names).unwrap_err();
        assert!(error.to_string().contains("UTF-8"), "{error}");
        assert_eq!(parse(b"a\n1\n", "t.csv", '\u{e9}', Header::Names).unwrap_err().exit_code(), 2);
    }
}
