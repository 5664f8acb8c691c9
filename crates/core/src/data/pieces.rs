//! Tables of numbers that are read some rows at a time: for files that need not fit into memory.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use super::read::{NpyFile, ParquetPieces, header_names, is_parquet, shown};
use super::table::Cells;
use crate::error::{Error, Result};

/// Some rows of a table.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Piece {
    /// The text of each row's id; empty if no column of ids was asked for.
    pub ids: Vec<String>,
    /// The columns asked for, in that order; NaN where a cell is empty.
    pub columns: Vec<Vec<f32>>,
    /// How many rows.
    pub rows: usize,
}

/// A table of which some rows are read at a time: csv, parquet, or an npy array, whose columns are its last axes (`[rows, columns]`) or its
/// first and last (`[members, rows, columns]`, member after member).
pub struct Pieces {
    path: PathBuf,
    names: Vec<String>,
    row: usize,
    source: From,
}

enum From {
    Csv(Box<csv::Reader<BufReader<File>>>, csv::StringRecord),
    Parquet(Box<ParquetPieces>),
    Npy { file: NpyFile, members: usize, rows: usize, columns: usize },
}

impl Pieces {
    /// Opens a table; pieces will have `rows` rows.
    ///
    /// # Errors
    /// [`Error::Data`] for a file that is none of these, [`Error::Read`] if it cannot be read.
    pub fn open(path: &Path, rows: usize) -> Result<Self> {
        let name = shown(path);
        let ending = path.extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default();
        let (names, source) = if ending == "npy" {
            let file = NpyFile::open(path)?;
            let (members, rows, columns) = match *file.shape() {
                [rows] => (1, rows, 1),
                [rows, columns] => (1, rows, columns),
                [members, rows, columns] => (members, rows, columns),
                _ => {
                    return Err(Error::data("the array has another shape")
                        .at(name)
                        .expected("[rows], [rows, columns] or [members, rows, columns]")
                        .got(format!("{:?}", file.shape())));
                }
            };
            let names = (0..members * columns).map(|i| i.to_string()).collect();
            (names, From::Npy { file, members, rows, columns })
        } else if is_parquet(path) {
            let pieces = ParquetPieces::open(path, &name, rows)?;
            (pieces.names().to_vec(), From::Parquet(Box::new(pieces)))
        } else {
            let separator = if ending == "tsv" { b'\t' } else { b',' };
            let file = File::open(path).map_err(|e| Error::read(path, e))?;
            let mut reader = csv::ReaderBuilder::new()
                .has_headers(false)
                .delimiter(separator)
                .from_reader(BufReader::with_capacity(1 << 20, file));
            let mut record = csv::StringRecord::new();
            let begun = reader.read_record(&mut record);
            if !begun.map_err(|e| Error::data(format!("the table cannot be read: {e}")).at(&name))? {
                return Err(Error::data("the table is empty").at(name).expected("a header and rows"));
            }
            (header_names(&record, &name)?, From::Csv(Box::new(reader), record))
        };
        Ok(Self { path: path.to_path_buf(), names, row: 0, source })
    }

    /// The names of the columns; of an array their numbers.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The sizes `[members, columns]` of an array of members.
    pub fn members(&self) -> Option<[usize; 2]> {
        match &self.source {
            From::Npy { members, columns, .. } => Some([*members, *columns]),
            _ => None,
        }
    }

    /// The next rows, `rows` at most; `None` at the end. Columns go by their positions among the names.
    ///
    /// # Errors
    /// [`Error::Data`] with file and row for a cell that is no number, or a row of another length.
    pub fn next(&mut self, id: Option<usize>, columns: &[usize], rows: usize) -> Result<Option<Piece>> {
        let mut piece = Piece { columns: vec![Vec::with_capacity(rows); columns.len()], ..Piece::default() };
        let name = shown(&self.path);
        let bad = |row: usize, column: usize, got: &str| {
            let column = self.names.get(column).map_or("", String::as_str);
            Error::data("a prediction is not a number")
                .at(format!("{name}, row {}, column \"{column}\"", row + 1))
                .got(format!("\"{got}\""))
        };
        match &mut self.source {
            From::Csv(reader, record) => {
                while piece.rows < rows {
                    let more = reader.read_record(record).map_err(|e| {
                        Error::data(format!("the table cannot be read: {e}"))
                            .at(format!("{name}, row {}", self.row + piece.rows + 1))
                    })?;
                    if !more {
                        break;
                    }
                    if let Some(id) = id {
                        piece.ids.push(record.get(id).unwrap_or_default().trim().to_owned());
                    }
                    for (column, out) in columns.iter().zip(&mut piece.columns) {
                        let cell = record.get(*column).unwrap_or_default();
                        out.push(number(cell).ok_or_else(|| bad(self.row + piece.rows, *column, cell))?);
                    }
                    piece.rows += 1;
                }
            }
            From::Parquet(pieces) => {
                if let Some(cells) = pieces.next(&name)? {
                    piece.rows = cells.first().map_or(0, Cells::len);
                    if let Some(cells) = id.and_then(|i| cells.get(i)) {
                        piece.ids = (0..piece.rows).map(|r| cells.text(r).trim().to_owned()).collect();
                    }
                    for (column, out) in columns.iter().zip(&mut piece.columns) {
                        match cells.get(*column) {
                            Some(Cells::Numbers(numbers, missing)) => {
                                numbers.each(0..piece.rows, |v| out.push(v as f32));
                                out.iter_mut()
                                    .enumerate()
                                    .filter(|(r, _)| missing.is_set(*r))
                                    .for_each(|(_, v)| *v = f32::NAN);
                            }
                            Some(texts) => {
                                for r in 0..piece.rows {
                                    let cell = texts.text(r);
                                    out.push(number(&cell).ok_or_else(|| bad(self.row + r, *column, &cell))?);
                                }
                            }
                            None => out.resize(piece.rows, f32::NAN),
                        }
                    }
                }
            }
            From::Npy { file, rows: all, columns: width, .. } => {
                piece.rows = rows.min(*all - self.row);
                let mut block = Vec::new();
                let mut held = None;
                for (position, out) in columns.iter().zip(&mut piece.columns) {
                    let (member, column) = (position / *width, position % *width);
                    if held != Some(member) {
                        file.read((member * *all + self.row) * *width, piece.rows * *width, &mut block)?;
                        held = Some(member);
                    }
                    out.extend(block.iter().skip(column).step_by(*width).map(|v| *v as f32));
                }
            }
        }
        self.row += piece.rows;
        Ok((piece.rows > 0).then_some(piece))
    }
}

/// The number in a cell, NaN in an empty one.
fn number(cell: &str) -> Option<f32> {
    let cell = cell.trim();
    if cell.is_empty() || cell == "NA" || cell.eq_ignore_ascii_case("nan") {
        return Some(f32::NAN);
    }
    cell.parse().ok().filter(|v: &f32| v.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::read::tests::npy;

    fn all(path: &Path, id: Option<usize>, columns: &[usize]) -> Result<Piece> {
        let mut pieces = Pieces::open(path, 2)?;
        let mut out = Piece { columns: vec![Vec::new(); columns.len()], ..Piece::default() };
        while let Some(piece) = pieces.next(id, columns, 2)? {
            assert!(piece.rows <= 2);
            out.rows += piece.rows;
            out.ids.extend(piece.ids);
            out.columns.iter_mut().zip(piece.columns).for_each(|(a, b)| a.extend(b));
        }
        Ok(out)
    }

    fn same(a: &[f32], b: &[f32]) -> bool {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a == b || (a.is_nan() && b.is_nan()))
    }

    #[test]
    fn every_format_gives_the_same_rows() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        std::fs::write(path("t.csv"), "id,no,yes\na,0.25,0.75\nb,,\nc,1,0\n").unwrap();
        let csv = all(&path("t.csv"), Some(0), &[2, 1]).unwrap();
        assert_eq!((csv.rows, csv.ids.join("")), (3, "abc".to_owned()));
        assert!(
            same(&csv.columns[0], &[0.75, f32::NAN, 0.0]) && same(&csv.columns[1], &[0.25, f32::NAN, 1.0])
        );
        #[cfg(feature = "parquet")]
        {
            use crate::data::{Written, write_table};
            let columns = [
                ("id".to_owned(), Written::Texts(vec!["a".into(), "b".into(), "c".into()])),
                ("no".to_owned(), Written::Numbers(vec![0.25, f32::NAN, 1.0])),
                ("yes".to_owned(), Written::Numbers(vec![0.75, f32::NAN, 0.0])),
            ];
            write_table(&path("t.parquet"), &columns).unwrap();
            let parquet = all(&path("t.parquet"), Some(0), &[2, 1]).unwrap();
            assert_eq!(parquet.ids, csv.ids);
            assert!(parquet.columns.iter().zip(&csv.columns).all(|(a, b)| same(a, b)));
        }
        // Two members of three rows and two columns.
        let body: Vec<u8> = (0..12).flat_map(|i| (i as f32).to_le_bytes()).collect();
        std::fs::write(path("t.npy"), npy("<f4", "False", "(2, 3, 2)", &body)).unwrap();
        let array = all(&path("t.npy"), None, &[0, 1, 2, 3]).unwrap();
        assert_eq!(array.columns, [[0.0, 2.0, 4.0], [1.0, 3.0, 5.0], [6.0, 8.0, 10.0], [7.0, 9.0, 11.0]]);
        assert_eq!(Pieces::open(&path("t.npy"), 1).unwrap().members(), Some([2, 2]));
    }

    #[test]
    fn what_is_no_number_is_refused_with_its_row() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.csv");
        for (text, says) in [
            ("", "the table is empty"),
            ("a,b\n1,2\n1,x\n", "row 2, column \"b\": a prediction is not a number (got \"x\")"),
            ("a,b\n1,2\n1,inf\n", "row 2, column \"b\""),
            ("a,b\n1,2\n1\n", "row 2"),
        ] {
            std::fs::write(&path, text).unwrap();
            let error = all(&path, None, &[1]).unwrap_err();
            assert!(error.to_string().contains(says) && error.exit_code() == 3, "{error}");
        }
    }
}
