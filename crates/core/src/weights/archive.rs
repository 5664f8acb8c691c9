//! The directory of a zip archive whose entries are stored as they are, as `torch.save` writes it.
//!
//! Nothing is ever unpacked: an entry is a piece of the file, so that no archive can grow when it is read.

use std::collections::BTreeMap;

use super::opened::Opened;
use crate::error::{Error, Result, shown};

/// How an archive begins.
pub(super) const MAGIC: &[u8] = b"PK\x03\x04";

const END: &[u8] = b"PK\x05\x06";
const END_64: &[u8] = b"PK\x06\x06";
const LOCATOR_64: &[u8] = b"PK\x06\x07";
const ENTRY: &[u8] = b"PK\x01\x02";

/// As many entries an archive may have.
const MAX_ENTRIES: usize = 200_000;

/// The entries by name, each with the place of its header and, unless it is packed, its size.
#[derive(Debug)]
pub(super) struct Archive {
    entries: BTreeMap<String, (u64, Option<u64>)>,
    /// Where the directory starts; every entry lies before it.
    directory: u64,
}

impl Archive {
    /// Reads the directory.
    ///
    /// # Errors
    /// [`Error::Model`] if it is damaged, or names an entry twice.
    pub(super) fn read(opened: &Opened) -> Result<Self> {
        let (directory, length) = directory(opened)?;
        let bytes = opened.bytes(directory, length)?;
        let mut entries = BTreeMap::new();
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let entry = Entry::take(&mut rest).ok_or_else(damaged)?;
            let name = String::from_utf8(entry.name.to_vec()).map_err(|_| damaged())?;
            if entries.len() == MAX_ENTRIES {
                return Err(damaged().expected(format!("at most {MAX_ENTRIES} entries")));
            }
            let (header, size) = (entry.header, (!entry.packed).then_some(entry.size));
            if entries.insert(name, (header, size)).is_some() {
                let name = String::from_utf8_lossy(entry.name);
                return Err(damaged().got(format!("two entries called \"{name}\"")));
            }
        }
        Ok(Self { entries, directory })
    }

    /// The names of all entries.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// Where the bytes of an entry lie and how many they are; `None` if there is no such entry.
    ///
    /// # Errors
    /// [`Error::Model`] if the entry is damaged, packed, encrypted, or larger than the file.
    pub(super) fn find(&self, opened: &Opened, name: &str) -> Result<Option<(u64, u64)>> {
        let Some(&(header, size)) = self.entries.get(name) else { return Ok(None) };
        let Some(size) = size.filter(|&size| size <= self.directory.saturating_sub(header)) else {
            return Err(Error::model(
                "an entry of the archive is packed, or claims more bytes than the file has",
            )
            .at(shown(name, 100))
            .expected("entries stored as they are, which is how torch.save writes them")
            .remedy("it may be made to exhaust memory; do not use it"));
        };
        let bytes = opened.bytes(header, 30)?;
        let (Some(name), Some(extra)) = (number(&bytes, 26, 2), number(&bytes, 28, 2)) else {
            return Err(damaged());
        };
        let start = header + 30 + name + extra;
        if !bytes.starts_with(MAGIC) || size > self.directory.saturating_sub(start) {
            return Err(damaged());
        }
        Ok(Some((start, size)))
    }
}

fn damaged() -> Error {
    Error::model("the archive is damaged or cut short")
        .remedy("get it again, or save it again with torch.save")
}

/// Where the directory starts, and its length.
fn directory(opened: &Opened) -> Result<(u64, u64)> {
    // The record at the end, with a comment of at most 65,535 bytes behind it.
    let from = opened.size().saturating_sub(22 + 65_535);
    let tail = opened.bytes(from, opened.size() - from)?;
    let ends = |at: &usize| {
        let rest = tail.get(*at..).unwrap_or_default();
        rest.starts_with(END) && number(rest, 20, 2).is_some_and(|comment| 22 + comment == rest.len() as u64)
    };
    let at = (0..tail.len().saturating_sub(21)).rev().find(ends).ok_or_else(damaged)?;
    let end = tail.get(at..).unwrap_or_default();
    let locator =
        at.checked_sub(20).and_then(|from| tail.get(from..at)).filter(|l| l.starts_with(LOCATOR_64));
    let found = match locator {
        Some(locator) => {
            let record = opened.bytes(number(locator, 8, 8).ok_or_else(damaged)?, 56)?;
            record.starts_with(END_64).then(|| (number(&record, 48, 8), number(&record, 40, 8)))
        }
        None => Some((number(end, 16, 4), number(end, 12, 4))),
    };
    match found {
        Some((Some(start), Some(length)))
            if start.checked_add(length).is_some_and(|e| e <= opened.size()) =>
        {
            Ok((start, length))
        }
        _ => Err(damaged()),
    }
}

struct Entry<'a> {
    name: &'a [u8],
    header: u64,
    size: u64,
    packed: bool,
}

impl<'a> Entry<'a> {
    /// Takes the next entry of a directory.
    fn take(bytes: &mut &'a [u8]) -> Option<Self> {
        if !bytes.starts_with(ENTRY) {
            return None;
        }
        let [flags, method] = [number(bytes, 8, 2)?, number(bytes, 10, 2)?];
        let [name, extra, comment] = [28, 30, 32].map(|at| number(bytes, at, 2).unwrap_or(0) as usize);
        let mut fields = bytes.get(46 + name..46 + name + extra)?;
        // What does not fit 32 bits stands in the extra field of kind 1, in this order.
        let mut large: &[u8] = &[];
        while let (Some(kind), Some(length)) = (number(fields, 0, 2), number(fields, 2, 2)) {
            let field = fields.get(4..4 + length as usize)?;
            if kind == 1 {
                large = field;
            }
            fields = fields.get(4 + length as usize..)?;
        }
        let mut wide = |at| match number(bytes, at, 4)? {
            0xffff_ffff => {
                let value = number(large, 0, 8)?;
                large = large.get(8..)?;
                Some(value)
            }
            value => Some(value),
        };
        let (size, stored, header) = (wide(24)?, wide(20)?, wide(42)?);
        let entry = Self {
            name: bytes.get(46..46 + name)?,
            header,
            size,
            packed: flags & 1 != 0 || method != 0 || size != stored,
        };
        *bytes = bytes.get(46 + name + extra + comment..)?;
        Some(entry)
    }
}

/// The little-endian number of `width` bytes at a place.
fn number(bytes: &[u8], at: usize, width: usize) -> Option<u64> {
    let bytes = bytes.get(at..at + width)?;
    Some(bytes.iter().rev().fold(0, |all, &b| all << 8 | u64::from(b)))
}
