//! Readers, one format a file. Declared sizes are checked against what is there before anything is allocated.

mod csv;
mod idx;
mod image;
mod npy;
mod npz;
mod numbers;
mod parquet;
mod sequence;
mod text;
mod wav;

pub(crate) use csv::{header_names, read_csv};
pub use idx::read_idx;
pub(crate) use idx::read_idx_named;
pub(crate) use image::{decode_image, image_shape};
pub(crate) use npy::{NpyFile, read_npy_named};
pub use npy::{npy_shape, read_npy, read_npy_entry};
pub use npz::read_npz;
pub(crate) use npz::{npz_names, read_npz_named};
pub use numbers::{NdArray, Numbers};
pub(crate) use parquet::{ParquetPieces, is_parquet, read_parquet};
pub(crate) use sequence::{StepFile, decode_steps};
pub(crate) use text::decode_text;
pub(crate) use wav::decode_wav;

use std::path::Path;

use crate::error::{Error, Result};

/// The largest array that is read into memory, in bytes.
pub(crate) const MAX_ARRAY_BYTES: u64 = 1 << 36;

/// The largest single image, sound, text or sequence file, in bytes.
pub(crate) const MAX_FILE_BYTES: u64 = 1 << 30;

/// No compression in use here expands more than this (deflate's bound is 1032 to 1).
pub(crate) const MAX_EXPANSION: u64 = 1100;

/// Reads a whole file of at most `limit` bytes.
pub(crate) fn read_bounded(path: &Path, name: &str, limit: u64) -> Result<Vec<u8>> {
    let length = std::fs::metadata(path).map_err(|e| Error::read(path, e))?.len();
    if length > limit {
        return Err(Error::data("the file is too large")
            .at(name)
            .expected(format!("at most {limit} bytes"))
            .got(format!("{length} bytes")));
    }
    std::fs::read(path).map_err(|e| Error::read(path, e))
}

/// How a path is called in messages of the readers that get nothing but the path.
pub(crate) fn shown(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
pub(crate) mod tests {
    //! Small files of every format, for tests elsewhere.

    pub(crate) use super::idx::tests::idx;
    #[cfg(feature = "image")]
    pub(crate) use super::image::tests::png;
    pub(crate) use super::npy::tests::npy;
    #[cfg(feature = "parquet")]
    pub(crate) use super::parquet::tests::write as write_parquet;
    #[cfg(feature = "audio")]
    pub(crate) use super::wav::tests::wav;
}
