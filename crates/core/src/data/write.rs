//! Tables written for others: csv or parquet by the name's ending, whole or not at all, the same bytes each time.

use std::path::Path;

use crate::error::{Error, Result};
use crate::files::write_atomic;

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
    let rows = columns.first().map_or(0, |(_, c)| c.len());
    if let Some((name, _)) = columns.iter().find(|(_, c)| c.len() != rows) {
        return Err(Error::internal(format!("column \"{name}\" of a table to write has another length")));
    }
    let ending = path.extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default();
    let bytes = match ending.as_str() {
        "csv" => csv_bytes(rows, columns)?,
        #[cfg(feature = "parquet")]
        "parquet" => parquet_bytes(columns)?,
        _ => {
            return Err(Error::argument("the file's ending does not say how to write it")
                .at(path.display())
                .expected(".csv or .parquet"));
        }
    };
    write_atomic(path, &bytes)
}

fn csv_bytes(rows: usize, columns: &[(String, Written)]) -> Result<Vec<u8>> {
    let broken = |e: csv::Error| Error::internal(e.to_string());
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(columns.iter().map(|(n, _)| n.as_str())).map_err(broken)?;
    for r in 0..rows {
        let cells = columns.iter().map(|(_, c)| match c {
            Written::Ids(v) => v[r].to_string(),
            Written::Numbers(v) if v[r].is_nan() => String::new(),
            Written::Numbers(v) => v[r].to_string(),
            Written::Texts(v) => v[r].clone(),
        });
        writer.write_record(cells).map_err(broken)?;
    }
    writer.into_inner().map_err(|e| Error::internal(e.to_string()))
}

#[cfg(feature = "parquet")]
fn parquet_bytes(columns: &[(String, Written)]) -> Result<Vec<u8>> {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, Float32Array, RecordBatch, StringArray, UInt64Array};
    use parquet::arrow::ArrowWriter;
    use parquet::basic::Compression;
    use parquet::file::properties::WriterProperties;

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
    let batch =
        RecordBatch::try_from_iter_with_nullable(arrays).map_err(|e| Error::internal(e.to_string()))?;
    let properties = WriterProperties::builder()
        .set_created_by("consilience".to_owned())
        .set_compression(Compression::SNAPPY)
        .build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties))
        .map_err(|e| Error::internal(e.to_string()))?;
    writer
        .write(&batch)
        .and_then(|()| writer.close().map(drop))
        .map_err(|e| Error::internal(e.to_string()))?;
    Ok(bytes)
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
        let error = write_table(&dir.path().join("a.xlsx"), &columns).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(!dir.path().join("a.xlsx").exists());
    }
}
