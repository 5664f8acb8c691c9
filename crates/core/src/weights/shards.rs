//! A checkpoint over several files: an index (`model.safetensors.index.json`, `pytorch_model.bin.index.json`) says which tensor lies in which.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};

use super::header::{self, MAX_TENSORS};
use super::layout::Tensor;
use super::opened::Opened;
use super::{archive, pth};
use crate::error::{Error, Result};
use crate::files::confine;

/// As many files one checkpoint may have: each stays open.
const MAX_SHARDS: usize = 500;

/// What helps where an index and its files do not fit.
const AGAIN: &str = "get the index and all its shards again";

/// The longest index, in bytes.
const MAX_INDEX: u64 = 100_000_000;

/// Opens the shards that an index names, which lie in its folder, and lists their tensors, shard by shard.
///
/// # Errors
/// [`Error::Model`] if the index is malformed, or shards and index do not hold the same tensors; [`Error::Data`] for a shard outside
/// of the folder; what opening a shard gives, with its name.
pub(super) fn open(index: &Opened) -> Result<(Vec<Opened>, Vec<Tensor>)> {
    if index.size() > MAX_INDEX {
        return Err(invalid("it is too long").expected(format!("at most {MAX_INDEX} bytes")));
    }
    let json = index.bytes(0, index.size())?;
    let Index { weight_map: WeightMap { shards, mut places } } =
        serde_json::from_slice(&json).map_err(|e| invalid(&e.to_string()))?;
    drop(json);
    places.sort_unstable();
    if let Some([(name, _), _]) =
        places.windows(2).find_map(|w| <&[_; 2]>::try_from(w).ok().filter(|[a, b]| a.0 == b.0))
    {
        return Err(invalid(&format!("it names the tensor \"{name}\" twice")));
    }
    let folder = match index.path().parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let (mut files, mut tensors) = (Vec::new(), Vec::new());
    for (shard, &number) in &shards {
        let opened = inside(folder, shard).and_then(|path| Opened::open(&path)).map_err(|e| match e {
            Error::Read { path, source } if source.kind() == std::io::ErrorKind::NotFound => {
                Error::model("a file that the index names is missing").at(path.display()).remedy(AGAIN)
            }
            Error::Data(_) => e.remedy(AGAIN),
            e => e,
        })?;
        for mut tensor in of_shard(&opened).map_err(|e| e.at(shard))? {
            tensor.place.file = files.len();
            if places.binary_search_by(|p| (p.0.as_str(), p.1).cmp(&(tensor.name(), number))).is_err() {
                return Err(invalid(&format!(
                    "the tensor \"{}\" is in a shard that it does not name",
                    tensor.name()
                ))
                .at(shard));
            }
            if tensors.len() == MAX_TENSORS {
                return Err(invalid(&format!("its shards have more than {MAX_TENSORS} tensors")));
            }
            tensors.push(tensor);
        }
        files.push(opened);
    }
    if tensors.len() < places.len() {
        let mut found: Vec<&str> = tensors.iter().map(Tensor::name).collect();
        found.sort_unstable();
        let lost = places.iter().find(|p| found.binary_search(&p.0.as_str()).is_err());
        let name = lost.map_or("", |p| p.0.as_str());
        return Err(invalid(&format!("the tensor \"{name}\" is in no shard")));
    }
    Ok((files, tensors))
}

/// The path of a shard, which lies in the folder of its index. The cache of the hub keeps files as links from
/// `snapshots/<revision>/` to `blobs/` beside it: these are followed.
fn inside(folder: &Path, shard: &str) -> Result<PathBuf> {
    let cache = folder.canonicalize().ok().and_then(|real| {
        let (revision, snapshots) = (real.file_name()?.to_owned(), real.parent()?);
        let root = snapshots.parent()?;
        let is_cache = snapshots.ends_with("snapshots") && root.join("blobs").is_dir();
        let relative = Path::new("snapshots").join(revision).join(shard);
        is_cache.then(|| Some((root.to_path_buf(), relative.to_str()?.to_owned())))?
    });
    match cache {
        // The name itself must not leave the folder, whatever links lie in it.
        Some((root, relative))
            if Path::new(shard).components().all(|c| matches!(c, Component::Normal(_))) =>
        {
            confine(&root, &relative)
        }
        _ => confine(folder, shard),
    }
}

/// The tensors of one shard, of whichever kind it is.
fn of_shard(opened: &Opened) -> Result<Vec<Tensor>> {
    let start = opened.bytes(0, opened.size().min(64))?;
    if start.starts_with(archive::MAGIC) {
        return Ok(pth::tensors(opened, None)?.0);
    }
    if start.starts_with(pth::OLD_MAGIC) {
        return Ok(pth::old_tensors(opened, None)?.0);
    }
    header::tensors(opened, 0)
}

fn invalid(why: &str) -> Error {
    Error::model(format!("the file is no valid index of a checkpoint's files: {why}")).remedy(AGAIN)
}

#[derive(Deserialize)]
struct Index {
    weight_map: WeightMap,
}

struct WeightMap {
    /// The number of each shard.
    shards: BTreeMap<String, usize>,
    /// Names of tensors, each with the number of its shard.
    places: Vec<(String, usize)>,
}

impl<'de> Deserialize<'de> for WeightMap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = WeightMap;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object from tensors to files")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<WeightMap, A::Error> {
                let (mut shards, mut places) = (BTreeMap::new(), Vec::new());
                while let Some((name, shard)) = map.next_entry::<String, String>()? {
                    let next = shards.len();
                    let number = *shards.entry(shard).or_insert(next);
                    if places.len() == MAX_TENSORS || shards.len() > MAX_SHARDS {
                        return Err(A::Error::custom(format!(
                            "it names more than {MAX_TENSORS} tensors or {MAX_SHARDS} files"
                        )));
                    }
                    places.push((name, number));
                }
                Ok(WeightMap { shards, places })
            }
        }
        deserializer.deserialize_map(Object)
    }
}
