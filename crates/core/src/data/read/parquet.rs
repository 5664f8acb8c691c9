//! Parquet tables. Numbers stay numbers; no type of the library leaves this file.

use std::path::Path;

use crate::data::table::Table;
use crate::error::Result;

/// Whether a file begins as Parquet files do.
pub(crate) fn is_parquet(path: &Path) -> bool {
    let mut start = [0u8; 4];
    std::fs::File::open(path).and_then(|mut f| std::io::Read::read_exact(&mut f, &mut start)).is_ok()
        && start == *b"PAR1"
}

/// Reads a Parquet file: whole numbers, floats, booleans (as `true` and `false`), texts, and dictionaries of texts.
///
/// # Errors
/// [`Error::Data`](crate::Error::Data) naming the file if it is damaged, has no rows, or a column is of another type.
#[cfg(feature = "parquet")]
pub(crate) fn read_parquet(path: &Path, name: &str) -> Result<(Table, String)> {
    inside::read(path, name)
}

/// Reads a Parquet file: not in this build.
///
/// # Errors
/// [`Error::Data`](crate::Error::Data) always.
#[cfg(not(feature = "parquet"))]
pub(crate) fn read_parquet(_path: &Path, name: &str) -> Result<(Table, String)> {
    Err(crate::Error::data("this build cannot read Parquet tables")
        .at(name)
        .remedy("build it with the feature parquet, or save the table as csv"))
}

#[cfg(feature = "parquet")]
pub(crate) use inside::ParquetPieces;

/// Some rows of a Parquet file at a time: not in this build.
#[cfg(not(feature = "parquet"))]
pub(crate) struct ParquetPieces {}

#[cfg(not(feature = "parquet"))]
impl ParquetPieces {
    pub(crate) fn open(path: &Path, name: &str, _rows: usize) -> Result<Self> {
        read_parquet(path, name).map(|_| Self {})
    }

    pub(crate) fn names(&self) -> &[String] {
        &[]
    }

    pub(crate) fn next(&mut self, _name: &str) -> Result<Option<Vec<crate::data::table::Cells>>> {
        Ok(None)
    }
}

#[cfg(feature = "parquet")]
mod inside {
    use std::fs::File;
    use std::path::Path;
    use std::sync::Arc;

    use arrow_array::cast::AsArray;
    use arrow_array::types::{
        Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type,
        UInt32Type, UInt64Type,
    };
    use arrow_array::{Array, ArrayRef, ArrowPrimitiveType};
    use arrow_schema::{DataType, Field, Schema};
    use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

    use crate::data::read::Numbers;
    use crate::data::table::{Cells, Places, Table, Texts};
    use crate::error::{Error, Result};
    use crate::files::sha256_file;
    use crate::model::Mask;

    fn broken(name: &str, e: &dyn std::fmt::Display) -> Error {
        Error::data(format!("the Parquet table cannot be read: {e}"))
            .at(name)
            .remedy("it is damaged or uses a feature that is not supported; write it again, or as csv")
    }

    fn growing(schema: &Schema, name: &str) -> Result<Vec<Growing>> {
        let new =
            |f: &Arc<Field>| Growing::new(f.data_type()).map_err(|e| e.at(format!("{name}: {}", f.name())));
        schema.fields().iter().map(new).collect()
    }

    /// Some rows of a Parquet file at a time.
    pub(crate) struct ParquetPieces {
        schema: Arc<Schema>,
        names: Vec<String>,
        batches: ParquetRecordBatchReader,
    }

    impl ParquetPieces {
        pub(crate) fn open(path: &Path, name: &str, rows: usize) -> Result<Self> {
            let file = File::open(path).map_err(|e| Error::read(path, e))?;
            let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|e| broken(name, &e))?;
            let schema = builder.schema().clone();
            growing(&schema, name)?;
            let names = schema.fields().iter().map(|f| f.name().clone()).collect();
            let batches = builder.with_batch_size(rows).build().map_err(|e| broken(name, &e))?;
            Ok(Self { schema, names, batches })
        }

        pub(crate) fn names(&self) -> &[String] {
            &self.names
        }

        /// The next rows, column by column.
        pub(crate) fn next(&mut self, name: &str) -> Result<Option<Vec<Cells>>> {
            let Some(batch) = self.batches.next() else { return Ok(None) };
            let batch = batch.map_err(|e| broken(name, &e))?;
            let mut columns = growing(&self.schema, name)?;
            columns.iter_mut().zip(batch.columns()).for_each(|(column, array)| column.take(array));
            Ok(Some(columns.into_iter().map(Growing::finish).collect()))
        }
    }

    pub(super) fn read(path: &Path, name: &str) -> Result<(Table, String)> {
        let broken = |e: &dyn std::fmt::Display| broken(name, e);
        let file = File::open(path).map_err(|e| Error::read(path, e))?;
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|e| broken(&e))?;
        let schema = builder.schema().clone();
        let mut columns = growing(&schema, name)?;
        let mut rows = 0;
        for batch in builder.build().map_err(|e| broken(&e))? {
            let batch = batch.map_err(|e| broken(&e))?;
            rows += batch.num_rows();
            for (column, array) in columns.iter_mut().zip(batch.columns()) {
                column.take(array);
            }
        }
        if rows == 0 {
            return Err(Error::data("the table has no rows").at(name).expected("at least one row"));
        }
        let mut table = Table { places: Places::rows(name, rows), rows, ..Table::default() };
        for (field, column) in schema.fields().iter().zip(columns) {
            table.push(field.name(), column.finish())?;
        }
        Ok((table, sha256_file(path)?))
    }

    /// A column that is being read.
    enum Growing {
        Integers(Vec<i64>, Mask),
        Floats(Vec<f64>, Mask),
        Texts(Texts),
    }

    impl Growing {
        fn new(kind: &DataType) -> Result<Self> {
            Ok(match kind {
                DataType::Int8
                | DataType::Int16
                | DataType::Int32
                | DataType::Int64
                | DataType::UInt8
                | DataType::UInt16
                | DataType::UInt32 => Self::Integers(Vec::new(), Mask::default()),
                DataType::Float32 | DataType::Float64 => Self::Floats(Vec::new(), Mask::default()),
                DataType::UInt64
                | DataType::Boolean
                | DataType::Utf8
                | DataType::LargeUtf8
                | DataType::Utf8View
                | DataType::Null => Self::Texts(Texts::default()),
                DataType::Dictionary(_, value) if matches!(**value, DataType::Utf8 | DataType::LargeUtf8) => {
                    Self::Texts(Texts::default())
                }
                other => {
                    return Err(Error::data("the column's type is not supported")
                        .expected("whole numbers, floats, booleans or texts")
                        .got(other)
                        .remedy("write it as text or as numbers"));
                }
            })
        }

        fn take(&mut self, array: &ArrayRef) {
            match self {
                Self::Integers(values, missing) => {
                    (0..array.len()).for_each(|r| missing.push(array.is_null(r)));
                    match array.data_type() {
                        DataType::Int8 => numbers::<Int8Type, _>(array, values),
                        DataType::Int16 => numbers::<Int16Type, _>(array, values),
                        DataType::Int32 => numbers::<Int32Type, _>(array, values),
                        DataType::Int64 => numbers::<Int64Type, _>(array, values),
                        DataType::UInt8 => numbers::<UInt8Type, _>(array, values),
                        DataType::UInt16 => numbers::<UInt16Type, _>(array, values),
                        _ => numbers::<UInt32Type, _>(array, values),
                    }
                }
                Self::Floats(values, missing) => {
                    let start = values.len();
                    match array.data_type() {
                        DataType::Float32 => numbers::<Float32Type, _>(array, values),
                        _ => numbers::<Float64Type, _>(array, values),
                    }
                    for (r, value) in values.iter().skip(start).enumerate() {
                        missing.push(array.is_null(r) || value.is_nan());
                    }
                }
                Self::Texts(texts) => texts_of(array, texts),
            }
        }

        fn finish(self) -> Cells {
            match self {
                Self::Integers(v, m) => Cells::Numbers(Numbers::I64(v), m),
                Self::Floats(v, m) => Cells::Numbers(Numbers::F64(v), m),
                Self::Texts(t) => Cells::Texts(t),
            }
        }
    }

    fn numbers<T: ArrowPrimitiveType, N: From<T::Native>>(array: &ArrayRef, out: &mut Vec<N>) {
        if let Some(array) = array.as_primitive_opt::<T>() {
            out.extend(array.values().iter().map(|v| N::from(*v)));
        }
    }

    fn texts_of(array: &ArrayRef, out: &mut Texts) {
        if let Some(a) = array.as_string_opt::<i32>() {
            a.iter().for_each(|v| out.push(v.unwrap_or_default()));
        } else if let Some(a) = array.as_string_opt::<i64>() {
            a.iter().for_each(|v| out.push(v.unwrap_or_default()));
        } else if let Some(a) = array.as_string_view_opt() {
            a.iter().for_each(|v| out.push(v.unwrap_or_default()));
        } else if let Some(a) = array.as_boolean_opt() {
            a.iter().for_each(|v| out.push(v.map_or("", |v| if v { "true" } else { "false" })));
        } else if let Some(a) = array.as_primitive_opt::<UInt64Type>() {
            a.iter().for_each(|v| out.push(&v.map(|v| v.to_string()).unwrap_or_default()));
        } else if let Some(a) = array.as_any_dictionary_opt() {
            let mut levels = Texts::default();
            texts_of(a.values(), &mut levels);
            for (r, key) in a.normalized_keys().into_iter().enumerate() {
                out.push(if array.is_null(r) { "" } else { levels.get(key) });
            }
        } else {
            (0..array.len()).for_each(|_| out.push(""));
        }
    }
}

#[cfg(all(test, feature = "parquet"))]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
pub(crate) mod tests {
    use std::sync::Arc;

    use arrow_array::types::Int32Type;
    use arrow_array::{
        ArrayRef, BooleanArray, DictionaryArray, Float64Array, Int64Array, RecordBatch, StringArray,
        TimestampSecondArray,
    };
    use parquet::arrow::ArrowWriter;

    use super::*;

    /// Writes a table.
    pub(crate) fn write(path: &Path, columns: Vec<(&str, ArrayRef)>) {
        let batch =
            RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, a)| (n, a, true))).unwrap();
        let mut w = ArrowWriter::try_new(std::fs::File::create(path).unwrap(), batch.schema(), None).unwrap();
        w.write(&batch).unwrap();
        w.close().unwrap();
    }

    #[test]
    fn every_type_that_is_supported_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.parquet");
        let words: DictionaryArray<Int32Type> = vec![Some("b"), None, Some("b")].into_iter().collect();
        write(
            &path,
            vec![
                ("i", Arc::new(Int64Array::from(vec![Some(i64::MAX), None, Some(-3)]))),
                ("f", Arc::new(Float64Array::from(vec![Some(0.5), Some(f64::NAN), None]))),
                ("b", Arc::new(BooleanArray::from(vec![Some(true), Some(false), None]))),
                ("s", Arc::new(StringArray::from(vec![Some("x"), None, Some("")]))),
                ("d", Arc::new(words)),
            ],
        );
        assert!(is_parquet(&path));
        let (table, hash) = read_parquet(&path, "t.parquet").unwrap();
        assert_eq!((table.rows, hash.len()), (3, 64));
        let texts = |name: &str| -> Vec<String> {
            (0..3).map(|r| table.column(name).unwrap().cells.text(r).into_owned()).collect()
        };
        assert_eq!(texts("i"), ["9223372036854775807", "", "-3"]);
        assert_eq!(texts("f"), ["0.5", "", ""]);
        assert_eq!(texts("b"), ["true", "false", ""]);
        assert_eq!(texts("s"), ["x", "", ""]);
        assert_eq!(texts("d"), ["b", "", "b"]);
    }

    #[test]
    fn other_types_and_damage_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.parquet");
        write(&path, vec![("t", Arc::new(TimestampSecondArray::from(vec![1])))]);
        let error = read_parquet(&path, "t.parquet").unwrap_err().to_string();
        assert!(error.starts_with("t.parquet: t: the column's type"), "{error}");
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        assert!(read_parquet(&path, "t.parquet").unwrap_err().to_string().contains("cannot be read"));
    }
}
