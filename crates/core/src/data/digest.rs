//! Digests of rows, to find them again in other data, and of everything that was read.

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::inputs::Inputs;
use super::spec::{DataSpec, PerValue};
use crate::error::{Error, Result};
use crate::files::Hasher;
use crate::model::Target;

/// The digests of each row: of its inputs alone, and of its inputs and truth.
///
/// Each is the first 64 bits of a SHA-256 over the columns by name: numbers as 64-bit floats, levels and classes by name,
/// files by their content, arrays by their stored bytes.
pub(crate) fn row_digests(inputs: &Inputs, target: Option<&Target>, rows: usize) -> (Vec<u64>, Vec<u64>) {
    (0..rows)
        .into_par_iter()
        .map(|row| {
            let mut hash = Sha256::new();
            for (name, held) in &inputs.held {
                hash.update((name.len() as u64).to_le_bytes());
                hash.update(name.as_bytes());
                held.digest(row, &mut hash);
            }
            let alone = first_64(hash.clone());
            match target {
                None => (alone, alone),
                Some(Target::Classes { classes, codes }) => {
                    let name = codes.get(row).and_then(|c| classes.names().get(*c as usize));
                    hash.update([2u8]);
                    hash.update(name.map_or("", String::as_str).as_bytes());
                    (alone, first_64(hash))
                }
                Some(Target::Values(values)) => {
                    hash.update([3u8]);
                    hash.update(values.get(row).copied().unwrap_or(0.0).to_le_bytes());
                    (alone, first_64(hash))
                }
            }
        })
        .unzip()
}

fn first_64(hash: Sha256) -> u64 {
    let mut first = [0u8; 8];
    first.copy_from_slice(&hash.finalize()[..8]);
    u64::from_le_bytes(first)
}

/// The SHA-256 of the hashes of everything that was read, and of the settings with paths left out.
///
/// # Errors
/// [`Error::Internal`] if the settings cannot be written.
pub(crate) fn content(spec: &DataSpec, hashes: &[String]) -> Result<String> {
    let mut spec = spec.clone();
    spec.root = None;
    spec.table = spec.table.map(|_| String::new());
    spec.folder = spec.folder.map(|_| String::new());
    for source in &mut spec.sources {
        for file in [&mut source.table, &mut source.npz, &mut source.folder].into_iter().flatten() {
            file.clear();
        }
    }
    spec.beside.iter_mut().for_each(|b| b.table.clear());
    for column in spec.columns.values_mut() {
        for files in [&mut column.idx, &mut column.npy].into_iter().flatten() {
            match files {
                PerValue::One(file) => file.clear(),
                PerValue::Map(map) => map.values_mut().for_each(String::clear),
            }
        }
    }
    let settings = serde_json::to_string(&spec).map_err(|e| Error::internal(e.to_string()))?;
    Ok(hashes.iter().fold(Hasher::new().part("data 1").part(settings), |h, part| h.part(part)).finish())
}
