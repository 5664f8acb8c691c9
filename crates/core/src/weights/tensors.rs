//! Named arrays in a `.safetensors` file, the same bytes for the same arrays.

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::tensor::{Dtype as Written, TensorView};

use super::checkpoint::Checkpoint;
use super::dtype::{Dtype, words};
use crate::error::{Error, Result};
use crate::files::write_atomic;
use crate::model::Array;

/// Writes arrays atomically; little-endian, ordered by alignment and name.
///
/// # Errors
/// [`Error::Write`] naming the path.
pub fn write_arrays(path: &Path, arrays: &BTreeMap<String, Array>) -> Result<()> {
    let raw: Vec<(&String, Written, Vec<usize>, Vec<u8>)> = arrays
        .iter()
        .map(|(name, array)| match array {
            Array::F32(s, d) => {
                (name, Written::F32, s.clone(), d.iter().flat_map(|v| v.to_le_bytes()).collect())
            }
            Array::F64(s, d) => {
                (name, Written::F64, s.clone(), d.iter().flat_map(|v| v.to_le_bytes()).collect())
            }
            Array::U32(s, d) => {
                (name, Written::U32, s.clone(), d.iter().flat_map(|v| v.to_le_bytes()).collect())
            }
            Array::U8(s, d) => (name, Written::U8, s.clone(), d.clone()),
        })
        .collect();
    let views: std::result::Result<Vec<_>, _> = raw
        .iter()
        .map(|(name, dtype, shape, bytes)| {
            Ok((name.as_str(), TensorView::new(*dtype, shape.clone(), bytes)?))
        })
        .collect();
    let bytes = views.and_then(|v: Vec<(&str, TensorView<'_>)>| safetensors::serialize(v, None)).map_err(
        |e: safetensors::SafeTensorError| Error::internal(format!("arrays cannot be written: {e}")),
    )?;
    write_atomic(path, &bytes)
}

/// Reads all arrays of a file that [`write_arrays`] wrote, or any with the same types.
///
/// # Errors
/// [`Error::Read`] if it cannot be read; [`Error::Model`] if it is damaged, or holds a type that has no place here.
pub fn read_arrays(path: &Path) -> Result<BTreeMap<String, Array>> {
    let checkpoint = Checkpoint::open_safetensors(path)?;
    let mut arrays = BTreeMap::new();
    for tensor in checkpoint.tensors() {
        let (shape, data) = (tensor.shape().to_vec(), checkpoint.raw(tensor)?);
        let array = match tensor.dtype() {
            Dtype::F32 => Array::F32(shape, words(&data).map(f32::from_le_bytes).collect()),
            Dtype::F64 => Array::F64(shape, words(&data).map(f64::from_le_bytes).collect()),
            Dtype::U32 => Array::U32(shape, words(&data).map(u32::from_le_bytes).collect()),
            Dtype::U8 => Array::U8(shape, data),
            other => {
                return Err(Error::model(format!("the tensor \"{}\" has type {other}", tensor.name()))
                    .at(path.display())
                    .expected("F32, F64, U32 or U8"));
            }
        };
        arrays.insert(tensor.name().to_owned(), array);
    }
    Ok(arrays)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_come_back_and_damage_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.safetensors");
        let arrays = BTreeMap::from([
            ("a/b".to_owned(), Array::F32(vec![2, 1], vec![1.0, f32::MIN_POSITIVE])),
            ("c".to_owned(), Array::F64(vec![1], vec![0.1])),
            ("d".to_owned(), Array::U32(vec![2], vec![7, u32::MAX])),
            ("e".to_owned(), Array::U8(vec![0], vec![])),
        ]);
        write_arrays(&path, &arrays).unwrap();
        assert_eq!(read_arrays(&path).unwrap(), arrays);
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        assert!(read_arrays(&path).unwrap_err().to_string().contains("m.safetensors"));
    }
}
