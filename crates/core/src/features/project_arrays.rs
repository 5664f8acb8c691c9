//! The two arrays that `project` reads: `.npy` files of floats, sizes checked before anything is reserved.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::error::{Error, Result};

/// A file larger than this is refused.
const LARGEST: u64 = 1 << 30;

/// Reads a C-ordered little-endian array of 32- or 64-bit floats with its shape.
///
/// # Errors
/// [`Error::Data`] for anything else, [`Error::Read`] if the file cannot be read.
pub(super) fn read(path: &Path) -> Result<(Vec<usize>, Vec<f64>)> {
    let mut file = File::open(path).map_err(|e| Error::read(path, e))?;
    let size = file.metadata().map_err(|e| Error::read(path, e))?.len();
    if size > LARGEST {
        return Err(bad(path, "the array is too large")
            .expected("at most 1 GiB")
            .got(format!("{size} bytes")));
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(|e| Error::read(path, e))?;
    let (header, payload) =
        split(&bytes).ok_or_else(|| bad(path, "this is no .npy file of version 1 or 2"))?;
    let width = match value(header, "'descr':") {
        Some(d) if d.starts_with("'<f8'") => 8,
        Some(d) if d.starts_with("'<f4'") => 4,
        other => {
            let got = other.and_then(|d| d.get(..6)).unwrap_or("another type").to_owned();
            return Err(bad(path, "the array has another type").expected("32- or 64-bit floats").got(got));
        }
    };
    if !value(header, "'fortran_order':").is_some_and(|v| v.starts_with("False")) {
        return Err(bad(path, "the array is stored by columns").remedy("save numpy.ascontiguousarray(array)"));
    }
    let shape = shape(header).ok_or_else(|| bad(path, "the shape cannot be understood"))?;
    let expected = shape.iter().try_fold(width, |a: usize, b| a.checked_mul(*b));
    if expected != Some(payload.len()) {
        return Err(bad(path, "the file does not hold the array it announces")
            .expected(format!("{shape:?}"))
            .got(format!("{} bytes of numbers", payload.len())));
    }
    let data: Vec<f64> = if width == 8 {
        payload.as_chunks::<8>().0.iter().map(|b| f64::from_le_bytes(*b)).collect()
    } else {
        payload.as_chunks::<4>().0.iter().map(|b| f64::from(f32::from_le_bytes(*b))).collect()
    };
    if !data.iter().all(|v| v.is_finite()) {
        return Err(bad(path, "the array holds values that are not finite"));
    }
    Ok((shape, data))
}

fn bad(path: &Path, what: &str) -> Error {
    Error::data(what).at(path.display())
}

/// The header's text and what follows it.
fn split(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let rest = bytes.strip_prefix(b"\x93NUMPY")?;
    let (start, length) = match *rest.get(..2)? {
        [1, 0] => (4, usize::from(u16::from_le_bytes([*rest.get(2)?, *rest.get(3)?]))),
        [2, 0] => {
            let length = [*rest.get(2)?, *rest.get(3)?, *rest.get(4)?, *rest.get(5)?];
            (6, usize::try_from(u32::from_le_bytes(length)).ok()?)
        }
        _ => return None,
    };
    let end = length.checked_add(start)?;
    Some((std::str::from_utf8(rest.get(start..end)?).ok()?, rest.get(end..)?))
}

/// What stands after a key of the header.
fn value<'a>(header: &'a str, key: &str) -> Option<&'a str> {
    header.split_once(key).map(|(_, v)| v.trim_start())
}

fn shape(header: &str) -> Option<Vec<usize>> {
    let inside = value(header, "'shape':")?.strip_prefix('(')?.split_once(')')?.0;
    inside.split(',').map(str::trim).filter(|s| !s.is_empty()).map(|s| s.parse().ok()).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The bytes of a file of version 1.
    pub(crate) fn npy(descr: &str, fortran: &str, shape: &str, payload: &[u8]) -> Vec<u8> {
        let header = format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}\n");
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend_from_slice(&(header.len() as u16).to_le_bytes());
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(payload);
        bytes
    }

    #[test]
    fn floats_are_read_and_everything_else_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.npy");
        let doubles: Vec<u8> = [1.5f64, -2.0].iter().flat_map(|v| v.to_le_bytes()).collect();
        let singles: Vec<u8> = [1.5f32, -2.0].iter().flat_map(|v| v.to_le_bytes()).collect();
        let attempt = |bytes: Vec<u8>| {
            std::fs::write(&path, bytes).unwrap();
            read(&path)
        };
        assert_eq!(attempt(npy("<f8", "False", "(2,)", &doubles)).unwrap(), (vec![2], vec![1.5, -2.0]));
        assert_eq!(attempt(npy("<f4", "False", "(2, 1)", &singles)).unwrap(), (vec![2, 1], vec![1.5, -2.0]));
        for (descr, fortran, shape, payload) in [
            ("<i8", "False", "(2,)", &doubles[..]),
            ("<f8", "True", "(2, 1)", &doubles[..]),
            ("<f8", "False", "(3,)", &doubles[..]),
            ("<f8", "False", "(99999999999, 99999999999)", &doubles[..]),
            ("<f8", "False", "(x,)", &doubles[..]),
            ("<f8", "False", "(1,)", &f64::NAN.to_le_bytes()[..]),
        ] {
            let error = attempt(npy(descr, fortran, shape, payload)).unwrap_err();
            assert_eq!(error.exit_code(), 3, "{descr} {fortran} {shape}");
        }
        for bytes in [vec![], b"\x93NUMPY".to_vec(), b"\x93NUMPY\x01\x00\xff\xff{".to_vec(), b"PK".to_vec()] {
            assert!(attempt(bytes).is_err());
        }
    }
}
