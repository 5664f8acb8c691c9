//! IDX files, the format of MNIST: bytes only, plain or gzip.

use std::fs::File;
use std::io::{BufReader, Cursor, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use super::npy::read_items;
use super::numbers::{NdArray, Numbers};
use super::{MAX_ARRAY_BYTES, MAX_EXPANSION, shown};
use crate::error::{Error, Result};

/// Reads an IDX file of bytes, images (`[n, h, w]`) or labels (`[n]`); gzip is known by its first bytes.
///
/// # Errors
/// [`Error::Read`] if the file cannot be read; [`Error::Data`] if it is malformed, holds another type than bytes, or
/// claims another size than it has. The size is checked before anything is allocated: exactly for a plain file,
/// against what gzip can expand to for a compressed one.
///
/// # Reference
/// Y. LeCun, C. Cortes, C. Burges, The MNIST database of handwritten digits (the section on file formats).
pub fn read_idx(path: &Path) -> Result<NdArray> {
    read_idx_named(path, &shown(path))
}

/// As [`read_idx`], under another name in messages.
pub(crate) fn read_idx_named(path: &Path, name: &str) -> Result<NdArray> {
    let file = File::open(path).map_err(|e| Error::read(path, e))?;
    let length = file.metadata().map_err(|e| Error::read(path, e))?.len();
    read_idx_from(BufReader::new(file), length, name)
}

fn read_idx_from(mut reader: impl Read, length: u64, name: &str) -> Result<NdArray> {
    let mut first = Vec::new();
    reader.by_ref().take(2).read_to_end(&mut first).map_err(|e| cut(name, &e))?;
    let zipped = first == [0x1f, 0x8b];
    let whole = Cursor::new(first).chain(reader);
    if zipped {
        let most = length.saturating_mul(MAX_EXPANSION);
        read_plain(&mut MultiGzDecoder::new(whole), most, false, name)
    } else {
        let mut whole = whole;
        read_plain(&mut whole, length, true, name)
    }
}

fn malformed(name: &str, what: &str) -> Error {
    Error::data(format!("the file is no valid IDX file: {what}"))
        .at(name)
        .remedy("it is damaged or cut short, or no IDX file; get it again")
}

fn cut(name: &str, e: &std::io::Error) -> Error {
    malformed(name, &format!("it ends early or cannot be read ({e})"))
}

fn read_plain(reader: &mut dyn Read, length: u64, exact: bool, name: &str) -> Result<NdArray> {
    let mut magic = [0u8; 4];
    reader.read_exact(&mut magic).map_err(|e| cut(name, &e))?;
    let [zero, null, kind, axes] = magic;
    if zero != 0 || null != 0 {
        return Err(malformed(name, "it does not begin with two zero bytes"));
    }
    let other = match kind {
        0x08 => None,
        0x09 => Some("signed bytes"),
        0x0B => Some("16-bit integers"),
        0x0C => Some("32-bit integers"),
        0x0D => Some("32-bit floats"),
        0x0E => Some("64-bit floats"),
        _ => return Err(malformed(name, &format!("the type {kind:#04x} is not known"))),
    };
    if let Some(other) = other {
        return Err(Error::data("the IDX file's type is not supported")
            .at(name)
            .expected("unsigned bytes (0x08)")
            .got(format!("{other} ({kind:#04x})"))
            .remedy("save the array as npy"));
    }
    if !(1..=4).contains(&axes) {
        return Err(malformed(name, &format!("it has {axes} axes")));
    }
    let mut shape = Vec::with_capacity(usize::from(axes));
    for _ in 0..axes {
        let mut size = [0u8; 4];
        reader.read_exact(&mut size).map_err(|e| cut(name, &e))?;
        shape.push(u64::from(u32::from_be_bytes(size)));
    }
    if shape.contains(&0) {
        return Err(Error::data("the array is empty")
            .at(name)
            .got(format!("shape {shape:?}"))
            .remedy("get the file again, or write it with at least one row"));
    }
    let claimed = shape.iter().try_fold(1u64, |a, b| a.checked_mul(*b));
    let there = length.saturating_sub(4 + 4 * u64::from(axes));
    let fits = claimed.is_some_and(|c| if exact { c == there } else { c <= there } && c <= MAX_ARRAY_BYTES);
    if !fits {
        return Err(Error::data("the header claims another size than the file has")
            .at(name)
            .expected(format!("{}{there} bytes", if exact { "" } else { "at most " }))
            .got(format!("shape {shape:?}"))
            .remedy("the file was cut short or damaged; get it again"));
    }
    let count = claimed.unwrap_or(0) as usize;
    let data = read_items(reader, count, |[b]: [u8; 1]| b).map_err(|e| cut(name, &e))?;
    let mut more = [0u8; 1];
    match reader.read(&mut more) {
        Ok(0) => {}
        Ok(_) => return Err(malformed(name, "there are bytes after the last value")),
        Err(e) => return Err(cut(name, &e)),
    }
    Ok(NdArray { shape: shape.iter().map(|d| *d as usize).collect(), data: Numbers::U8(data) })
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;

    /// An IDX file of bytes.
    pub(crate) fn idx(shape: &[u32], body: &[u8]) -> Vec<u8> {
        let mut out = vec![0, 0, 8, shape.len() as u8];
        shape.iter().for_each(|d| out.extend(d.to_be_bytes()));
        out.extend(body);
        out
    }

    fn gz(bytes: &[u8]) -> Vec<u8> {
        let mut w = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        w.write_all(bytes).unwrap();
        w.finish().unwrap()
    }

    fn read(bytes: &[u8]) -> Result<NdArray> {
        read_idx_from(bytes, bytes.len() as u64, "x.idx")
    }

    #[test]
    fn plain_and_gzip_give_the_same() {
        let plain = idx(&[2, 2, 2], &[1, 2, 3, 4, 5, 6, 7, 8]);
        let a = read(&plain).unwrap();
        assert_eq!((a.rows(), a.row_len()), (2, 4));
        assert_eq!(a, read(&gz(&plain)).unwrap());
        assert_eq!(read(&idx(&[3], &[7, 8, 9])).unwrap().data, Numbers::U8(vec![7, 8, 9]));
    }

    #[test]
    fn bad_files_are_refused() {
        let mut floats = idx(&[1], &[0; 4]);
        floats[2] = 0x0D;
        let full = idx(&[2, 3], &[0; 6]);
        let zipped = gz(&full);
        for (bytes, says) in [
            (idx(&[2, 3], &[0; 5]), "claims another size"),
            (idx(&[2, 3], &[0; 7]), "claims another size"),
            (idx(&[u32::MAX, u32::MAX, 4], &[0; 7]), "claims another size"),
            (gz(&idx(&[u32::MAX, 28, 28], &[0; 7])), "claims another size"),
            (gz(&idx(&[2, 3], &[0; 5])), "ends early"),
            (gz(&idx(&[2, 3], &[0; 7])), "after the last value"),
            (zipped[..zipped.len() - 9].to_vec(), "ends early"),
            (floats, "32-bit floats"),
            (idx(&[0, 3], &[]), "empty"),
            (b"id,label\n1,2\n".to_vec(), "two zero bytes"),
            (Vec::new(), "ends early"),
        ] {
            let error = read(&bytes).unwrap_err();
            assert_eq!(error.exit_code(), 3);
            assert!(error.to_string().contains(says), "{error} lacks {says}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

        /// No change of a valid file can panic, nor give more values than gzip could hold.
        #[test]
        fn mutations_never_panic_nor_grow(
            zipped in any::<bool>(),
            changes in prop::collection::vec((0usize..64, any::<u8>()), 1..5), cut in 1usize..80,
        ) {
            let mut bytes = idx(&[3, 2, 2], &[9; 12]);
            if zipped {
                bytes = gz(&bytes);
            }
            for (at, value) in changes {
                let n = bytes.len();
                bytes[at % n] = value;
            }
            bytes.truncate(cut);
            if let Ok(array) = read(&bytes) {
                prop_assert!(array.data.len() as u64 <= bytes.len() as u64 * MAX_EXPANSION);
                prop_assert_eq!(array.shape.iter().product::<usize>(), array.data.len());
            }
        }
    }
}
