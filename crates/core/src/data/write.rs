//! Tables written for others: csv or parquet by the name's ending, whole or not at all, the same bytes each time.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::files::AtomicFile;

/// One column to write.
#[derive(Debug, Clone, PartialEq)]
pub enum Written {
    /// Row ids.
    Ids(Vec<u64>),
    /// Numbers; NaN is written as an empty cell or a null.
    Numbers(Vec<f32>),
    /// Texts.
    Texts(Vec<String>),
}

impl Written {
    fn len(&self) -> usize {
        match self {
            Self::Ids(v) => v.len(),
            Self::Numbers(v) => v.len(),
            Self::Texts(v) => v.len(),
        }
    }
}

/// Writes columns of one length as `.csv` or `.parquet`.
///
/// # Errors
/// [`Error::Argument`] for another ending, [`Error::Write`] if the file cannot be written.
pub fn write_table(path: &Path, columns: &[(String, Written)]) -> Result<()> {
    let mut writer = TableWriter::begin(path)?;
    writer.put(columns)?;
    writer.finish()
}

/// A table that is written some rows at a time, and is there whole or not at all.
pub struct TableWriter {
    path: PathBuf,
    form: Form,
}

enum Form {
    Csv(Box<csv::Writer<AtomicFile>>, bool),
    #[cfg(feature = "parquet")]
    Parquet(Option<AtomicFile>, Option<Box<parquet::arrow::ArrowWriter<AtomicFile>>>),
}

impl TableWriter {
    /// Starts a `.csv` or `.parquet` file.
    ///
    /// # Errors
    /// [`Error::Argument`] for another ending, [`Error::Write`] if the file cannot be made.
    pub fn begin(path: &Path) -> Result<Self> {
        let ending = path.extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default();
        let form = match ending.as_str() {
            "csv" => Form::Csv(Box::new(csv::Writer::from_writer(AtomicFile::begin(path)?)), false),
            #[cfg(feature = "parquet")]
            "parquet" => Form::Parquet(Some(AtomicFile::begin(path)?), None),
            _ => {
                return Err(Error::argument("the file's ending does not say how to write it")
                    .at(path.display())
                    .expected(".csv or .parquet"));
            }
        };
        Ok(Self { path: path.to_path_buf(), form })
    }

    /// Writes further rows: the same columns each time, in order.
    ///
    /// # Errors
    /// [`Error::Write`] if the file cannot be written; [`Error::Internal`] for columns of different lengths.
    pub fn put(&mut self, columns: &[(String, Written)]) -> Result<()> {
        let rows = columns.first().map_or(0, |(_, c)| c.len());
        if let Some((name, _)) = columns.iter().find(|(_, c)| c.len() != rows) {
            return Err(Error::internal(format!("column \"{name}\" of a table to write has another length")));
        }
        match &mut self.form {
            Form::Csv(writer, begun) => {
                let failed = |e: csv::Error| Error::write(&self.path, std::io::Error::other(e));
                if !std::mem::replace(begun, true) {
                    writer.write_record(columns.iter().map(|(n, _)| n.as_str())).map_err(failed)?;
                }
                for r in 0..rows {
                    for (_, column) in columns {
                        match column {
                            Written::Ids(v) => writer.write_field(v[r].to_string()),
                            Written::Numbers(v) if v[r].is_nan() => writer.write_field(""),
                            Written::Numbers(v) => writer.write_field(v[r].to_string()),
                            Written::Texts(v) => writer.write_field(&v[r]),
                        }
                        .map_err(failed)?;
                    }
                    writer.write_record(None::<&[u8]>).map_err(failed)?;
                }
                Ok(())
            }
            #[cfg(feature = "parquet")]
            Form::Parquet(file, writer) => {
                let failed = |e: &dyn std::fmt::Display| {
                    Error::write(&self.path, std::io::Error::other(e.to_string()))
                };
                let batch = record_batch(columns)?;
                if let Some(file) = file.take() {
                    let properties = parquet::file::properties::WriterProperties::builder()
                        .set_created_by("consilience".to_owned())
                        .set_compression(parquet::basic::Compression::SNAPPY)
                        .build();
                    let begun = parquet::arrow::ArrowWriter::try_new(file, batch.schema(), Some(properties));
                    *writer = Some(Box::new(begun.map_err(|e| failed(&e))?));
                }
                match writer {
                    Some(writer) => writer.write(&batch).map_err(|e| failed(&e)),
                    None => Err(Error::internal("a table is written after its end")),
                }
            }
        }
    }

    /// Ends the file and puts it in its place.
    ///
    /// # Errors
    /// [`Error::Write`] if it cannot be written; [`Error::Internal`] if nothing was.
    pub fn finish(self) -> Result<()> {
        match self.form {
            Form::Csv(writer, _) => {
                let file = writer.into_inner();
                file.map_err(|e| Error::write(&self.path, std::io::Error::other(e.to_string())))?.commit()
            }
            #[cfg(feature = "parquet")]
            Form::Parquet(_, Some(writer)) => {
                let file = writer.into_inner();
                file.map_err(|e| Error::write(&self.path, std::io::Error::other(e)))?.commit()
            }
            #[cfg(feature = "parquet")]
            Form::Parquet(_, None) => Err(Error::internal("a table without columns")),
        }
    }
}

#[cfg(feature = "parquet")]
fn record_batch(columns: &[(String, Written)]) -> Result<arrow_array::RecordBatch> {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, Float32Array, RecordBatch, StringArray, UInt64Array};

    let arrays: Vec<(&str, ArrayRef, bool)> = columns
        .iter()
        .map(|(name, column)| {
            let array: ArrayRef = match column {
                Written::Ids(v) => Arc::new(UInt64Array::from(v.clone())),
                Written::Numbers(v) => {
                    Arc::new(v.iter().map(|x| (!x.is_nan()).then_some(*x)).collect::<Float32Array>())
                }
                Written::Texts(v) => Arc::new(StringArray::from_iter_values(v)),
            };
            (name.as_str(), array, matches!(column, Written::Numbers(_)))
        })
        .collect();
    RecordBatch::try_from_iter_with_nullable(arrays).map_err(|e| Error::internal(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_the_same_bytes_each_time_and_other_endings_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let columns = [
            ("id".to_owned(), Written::Ids(vec![1, u64::MAX])),
            ("p, q".to_owned(), Written::Numbers(vec![0.5, f32::NAN])),
            ("t".to_owned(), Written::Texts(vec!["a\"b".to_owned(), String::new()])),
        ];
        for name in ["a.csv", "b.csv", "a.parquet", "b.parquet"] {
            write_table(&dir.path().join(name), &columns).unwrap();
        }
        let read = |n: &str| std::fs::read(dir.path().join(n)).unwrap();
        assert_eq!(read("a.csv"), b"id,\"p, q\",t\n1,0.5,\"a\"\"b\"\n18446744073709551615,,\n");
        assert_eq!(read("a.parquet"), read("b.parquet"));
        // Some rows at a time: the same csv, the same numbers.
        let part = |r: usize| -> Vec<(String, Written)> {
            let cut = |c: &Written| match c {
                Written::Ids(v) => Written::Ids(vec![v[r]]),
                Written::Numbers(v) => Written::Numbers(vec![v[r]]),
                Written::Texts(v) => Written::Texts(vec![v[r].clone()]),
            };
            columns.iter().map(|(n, c)| (n.clone(), cut(c))).collect()
        };
        for name in ["c.csv", "c.parquet"] {
            let mut writer = TableWriter::begin(&dir.path().join(name)).unwrap();
            writer.put(&part(0)).unwrap();
            assert!(!dir.path().join(name).exists());
            writer.put(&part(1)).unwrap();
            writer.finish().unwrap();
        }
        assert_eq!(read("a.csv"), read("c.csv"));
        drop(TableWriter::begin(&dir.path().join("d.csv")).unwrap());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 6, "what was not finished leaves nothing");
        let error = write_table(&dir.path().join("a.xlsx"), &columns).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(!dir.path().join("a.xlsx").exists());
    }
}
