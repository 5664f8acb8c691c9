//! Files of `torch.save`: an archive of storages (from PyTorch 1.6 on), or pickles with storages behind them (before).

use std::collections::BTreeMap;
use std::ops::Range;

use super::archive::Archive;
use super::layout::Tensor;
use super::opened::Opened;
use super::pickle::{self, State, Storage};
use crate::error::{Error, Result, shown};

/// How the files of PyTorch before 1.6 begin: a pickled number.
pub(super) const OLD_MAGIC: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";

/// What the values of a pickle may take, beside a half of the file's size.
const ROOM: usize = 16 << 20;

fn room(opened: &Opened) -> usize {
    ROOM.saturating_add(usize::try_from(opened.size() / 2).unwrap_or(usize::MAX))
}

/// The tensors of an archive, and the entry of a training checkpoint that they come from.
///
/// # Errors
/// [`Error::Model`] if the archive or its pickle is refused, or a tensor does not lie in its storage.
pub(super) fn tensors(opened: &Opened, entry: Option<&str>) -> Result<(Vec<Tensor>, Option<String>)> {
    let archive = Archive::read(opened)?;
    let mut folders =
        archive.names().filter_map(|n| n.strip_suffix("/data.pkl")).filter(|f| !f.contains('/'));
    let (Some(folder), None) = (folders.next(), folders.next()) else {
        return Err(Error::model("the archive is no checkpoint")
            .expected("one data.pkl, as torch.save writes it")
            .remedy("save the weights with torch.save(model.state_dict(), path), or as safetensors"));
    };
    let read = |name: &str| -> Result<Option<Vec<u8>>> {
        match archive.find(opened, &format!("{folder}/{name}"))? {
            Some((start, size)) => opened.bytes(start, size).map(Some),
            None => Ok(None),
        }
    };
    if read("byteorder")?.is_some_and(|order| order != b"little") {
        return Err(Error::model("the numbers are not little-endian")
            .remedy("load it in PyTorch on this machine and save it again"));
    }
    let bytes = read("data.pkl")?.unwrap_or_default();
    pickle::scan(&bytes)?;
    let state = pickle::read(&bytes, room(opened), entry)?;
    placed(state, |storage| match archive.find(opened, &format!("{folder}/data/{}", storage.key))? {
        Some((start, size)) if size >= storage.bytes => Ok((start, storage.bytes)),
        Some((_, size)) => Err(Error::model(format!("the storage \"{}\" is cut short", storage.key))
            .expected(format!("{} bytes", storage.bytes))
            .got(format!("{size} bytes"))
            .remedy("get the file again")),
        None => Err(missing(storage)),
    })
}

/// The tensors of a file of PyTorch before 1.6: pickles of a number, a version, a system, the tensors and the order of
/// the storages, then each storage with its length in 8 bytes before it.
///
/// # Errors
/// As [`tensors`].
pub(super) fn old_tensors(opened: &Opened, entry: Option<&str>) -> Result<(Vec<Tensor>, Option<String>)> {
    // The pickles are small; only where they do not end here the whole file is looked at.
    const FRONT: u64 = 4 << 20;
    let front = opened.bytes(0, opened.size().min(FRONT))?;
    let (front, [_, _, _, content, keys]) = match pickles(&front) {
        Err(_) if opened.size() > FRONT => {
            drop(front);
            let front = opened.bytes(0, opened.size())?;
            let found = pickles(&front)?;
            (front, found)
        }
        found => (front, found?),
    };
    let piece = |range: &Range<usize>| front.get(range.clone()).unwrap_or_default();
    let state = pickle::read(piece(&content), room(opened), entry)?;
    let order = pickle::texts(piece(&keys), ROOM)?;
    let claims: BTreeMap<&str, &Storage<'_>> = state.storages.iter().map(|s| (s.key, s)).collect();
    let mut at = keys.end as u64;
    let mut places = BTreeMap::new();
    for key in order {
        let storage = claims.get(key).ok_or_else(|| opened.cut_short(at))?;
        let held = opened.bytes(at, 8)?.first_chunk().map_or(0, |b| u64::from_le_bytes(*b));
        let end = at.checked_add(8).and_then(|start| start.checked_add(storage.bytes)).unwrap_or(u64::MAX);
        if held != storage.numbers || end > opened.size() {
            return Err(opened.cut_short(end).at(format!("the storage \"{key}\"")));
        }
        places.insert(key, (at + 8, storage.bytes));
        at = end;
    }
    placed(state, |storage| match places.get(storage.key) {
        Some(&(start, held)) if held == storage.bytes => Ok((start, held)),
        _ => Err(missing(storage)),
    })
}

/// The five pickles with which an old file begins, each scanned.
fn pickles(front: &[u8]) -> Result<[Range<usize>; 5]> {
    let mut at = 0;
    let mut found = [const { 0..0 }; 5];
    for pickle in &mut found {
        let length = pickle::scan(front.get(at..).unwrap_or_default())?;
        *pickle = at..at + length;
        at += length;
    }
    Ok(found)
}

fn missing(storage: &Storage<'_>) -> Error {
    Error::model(format!("the storage \"{}\" is missing", storage.key)).remedy("get the file again")
}

/// Puts tensors where their storages lie.
fn placed(
    state: State<'_>,
    mut locate: impl FnMut(&Storage<'_>) -> Result<(u64, u64)>,
) -> Result<(Vec<Tensor>, Option<String>)> {
    let mut known: Vec<Option<(u64, u64)>> = vec![None; state.storages.len()];
    let mut tensors = Vec::with_capacity(state.tensors.len());
    for described in state.tensors {
        let n = described.storage;
        let (Some(storage), Some(known)) = (state.storages.get(n), known.get_mut(n)) else {
            return Err(Error::internal("a tensor has no storage"));
        };
        let place = match *known {
            Some(place) => place,
            None => {
                let place = locate(storage)
                    .map_err(|e| e.at(format!("the tensor \"{}\"", shown(&described.name, 100))))?;
                *known.insert(place)
            }
        };
        tensors.push(Tensor::view(described.name, described.dtype, &described.view, 0, place)?);
    }
    Ok((tensors, state.entry))
}
