//! Archives of numpy arrays.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::Path;

use zip::ZipArchive;

use super::npy::read_npy_from;
use super::numbers::NdArray;
use super::{MAX_ARRAY_BYTES, MAX_EXPANSION, shown};
use crate::error::{Error, Result};
use crate::registry::nearest;

/// Reads the arrays named from an `.npz` file (`numpy.savez` or `savez_compressed`).
///
/// # Errors
/// [`Error::Read`] if the file cannot be read; [`Error::Data`] if it is no archive, an array is not in it, an entry
/// claims more than its compressed bytes can hold, or an array is refused (see [`read_npy`](super::read_npy)).
pub fn read_npz(path: &Path, arrays: &[&str]) -> Result<BTreeMap<String, NdArray>> {
    read_npz_named(path, &shown(path), arrays)
}

/// As [`read_npz`], under another name in messages.
pub(crate) fn read_npz_named(path: &Path, name: &str, arrays: &[&str]) -> Result<BTreeMap<String, NdArray>> {
    let file = File::open(path).map_err(|e| Error::read(path, e))?;
    read_npz_from(BufReader::new(file), name, arrays)
}

/// The names of the arrays in an archive.
///
/// # Errors
/// [`Error::Read`] or [`Error::Data`] if it cannot be opened.
pub(crate) fn npz_names(path: &Path, name: &str) -> Result<Vec<String>> {
    let file = File::open(path).map_err(|e| Error::read(path, e))?;
    let archive = ZipArchive::new(BufReader::new(file)).map_err(|e| broken(name, &e))?;
    Ok(names_in(&archive))
}

fn names_in<R: Read + Seek>(archive: &ZipArchive<R>) -> Vec<String> {
    archive
        .file_names()
        .filter_map(|n| n.ok().map(|n| n.into_owned()))
        .map(|n| n.strip_suffix(".npy").map_or(n.clone(), str::to_owned))
        .collect()
}

fn broken(name: &str, e: &dyn std::fmt::Display) -> Error {
    Error::data(format!("the file is no valid npz archive: {e}"))
        .at(name)
        .remedy("it is damaged or cut short; get it again")
}

fn read_npz_from(reader: impl Read + Seek, name: &str, arrays: &[&str]) -> Result<BTreeMap<String, NdArray>> {
    let mut archive = ZipArchive::new(reader).map_err(|e| broken(name, &e))?;
    let names = names_in(&archive);
    let mut out = BTreeMap::new();
    for wanted in arrays {
        let place = format!("{name}: {wanted}");
        if !names.iter().any(|n| n == wanted) {
            let error = Error::data(format!("the archive has no array \"{wanted}\""))
                .at(name)
                .expected(format!("one of {}", names.join(", ")));
            return Err(match nearest(wanted, names.iter().map(String::as_str)) {
                Some(near) => error.remedy(format!("did you mean \"{near}\"?")),
                None => error,
            });
        }
        let mut entry = archive.by_name(&format!("{wanted}.npy")).map_err(|e| broken(name, &e))?;
        let (size, packed) = (entry.size(), entry.compressed_size());
        if size > MAX_ARRAY_BYTES || size > packed.saturating_mul(MAX_EXPANSION) {
            return Err(Error::data("the entry claims more than its compressed bytes can hold")
                .at(place)
                .expected(format!("at most {} bytes", packed.saturating_mul(MAX_EXPANSION)))
                .got(format!("{size} bytes"))
                .remedy("the archive is damaged or made to exhaust memory; do not use it"));
        }
        out.insert((*wanted).to_owned(), read_npy_from(&mut entry, size, &place)?);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use proptest::prelude::*;
    use zip::write::SimpleFileOptions;

    use super::super::npy::tests::npy;
    use super::*;

    fn archive(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let mut w = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (name, bytes) in entries {
            w.start_file(*name, SimpleFileOptions::default()).unwrap();
            w.write_all(bytes).unwrap();
        }
        w.finish().unwrap().into_inner()
    }

    fn read(bytes: &[u8], arrays: &[&str]) -> Result<BTreeMap<String, NdArray>> {
        read_npz_from(Cursor::new(bytes), "x.npz", arrays)
    }

    #[test]
    fn arrays_are_found_by_name() {
        let bytes = archive(&[("x.npy", npy("|u1", "False", "(2, 2)", &[1, 2, 3, 4]))]);
        assert_eq!(read(&bytes, &["x"]).unwrap()["x"].shape, [2, 2]);
        let error = read(&bytes, &["xx"]).unwrap_err().to_string();
        assert!(error.contains("no array \"xx\"") && error.contains("one of x"), "{error}");
        assert!(read(b"nothing", &["x"]).unwrap_err().to_string().contains("no valid npz"));
    }

    #[test]
    fn headers_that_claim_more_than_the_entry_are_refused() {
        let bytes = archive(&[("x.npy", npy("<f8", "False", "(1152921504606846976,)", &[0; 8]))]);
        assert!(read(&bytes, &["x"]).unwrap_err().to_string().contains("claims another size"));
    }

    #[test]
    fn entries_that_claim_more_than_can_be_are_refused() {
        let good = archive(&[("x.npy", npy("|u1", "False", "(2,)", &[1, 2]))]);
        // The uncompressed size in the central directory, 24 bytes after its mark.
        let at = good.windows(4).rposition(|w| w == b"PK\x01\x02").unwrap() + 24;
        let mut bomb = good;
        bomb[at..at + 4].copy_from_slice(&0x7fff_ffffu32.to_le_bytes());
        let error = read(&bomb, &["x"]).unwrap_err().to_string();
        assert!(error.contains("can hold") || error.contains("no valid npz"), "{error}");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

        /// No change of a valid archive can panic.
        #[test]
        fn mutations_never_panic(changes in prop::collection::vec((any::<u16>(), any::<u8>()), 1..5)) {
            let mut bytes = archive(&[("x.npy", npy("|u1", "False", "(2, 2)", &[1, 2, 3, 4]))]);
            for (at, value) in changes {
                let n = bytes.len();
                bytes[usize::from(at) % n] = value;
            }
            if let Ok(arrays) = read(&bytes, &["x"]) {
                prop_assert!(arrays["x"].data.len() <= bytes.len() * MAX_EXPANSION as usize);
            }
        }
    }
}
