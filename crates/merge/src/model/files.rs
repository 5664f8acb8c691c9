//! Where a model's files are.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use consilience_core::weights::Checkpoint;
use consilience_core::{Error, Result};
use serde_json::Value;

use crate::config::ModelName;

/// The longest file of the hub's cache that names a commit, in bytes.
const MAX_REF: u64 = 1000;

/// Where models are looked for.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// Folders from which relative paths start, in this order.
    pub roots: Vec<PathBuf>,
    /// The cache of the hub.
    pub cache: Option<PathBuf>,
    /// Folders by name: results of earlier documents of the merge file.
    pub named: BTreeMap<String, PathBuf>,
}

impl Places {
    /// The working folder, then the folder of the merge file; the cache of the hub where its environment says.
    pub fn of(file: &Path) -> Self {
        let parent = file.parent().filter(|p| !p.as_os_str().is_empty()).map(Path::to_path_buf);
        let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let cache = set("HF_HUB_CACHE")
            .or_else(|| set("HF_HOME").map(|home| home.join("hub")))
            .or_else(|| set("HOME").map(|home| home.join(".cache/huggingface/hub")));
        Self {
            roots: std::iter::once(PathBuf::from(".")).chain(parent).collect(),
            cache,
            named: BTreeMap::new(),
        }
    }

    /// The folder or file of a model.
    ///
    /// # Errors
    /// [`Error::Model`] naming where it was looked for.
    pub fn find(&self, name: &ModelName) -> Result<PathBuf> {
        let path = Path::new(&name.path);
        if let Some(made) = self.named.get(&name.path) {
            return Ok(made.clone());
        }
        if name.revision.is_none() {
            let found = self.roots.iter().map(|root| root.join(path)).find(|p| p.exists());
            if let Some(found) = found {
                return Ok(found);
            }
        }
        if let Some(found) = self.cache.as_deref().and_then(|cache| cached(cache, name)) {
            return Ok(found);
        }
        let hub = path.components().count() == 2 && !name.path.starts_with(['.', '/']);
        let cache = self.cache.as_ref().map_or_else(String::new, |c| c.display().to_string());
        let error = Error::model("the model is not on this machine").at(name).expected(match hub {
            true => format!("a folder, or a model in the hub's cache {cache}"),
            false => "a folder with config.json and model.safetensors".to_owned(),
        });
        let revision = name.revision.as_ref().map_or_else(String::new, |r| format!(" --revision {r}"));
        Err(match hub {
            true => {
                error.remedy(format!("nothing is downloaded silently: hf download {}{revision}", name.path))
            }
            false => {
                error.remedy("check the path; it starts from the working folder, or from the merge file's")
            }
        })
    }
}

/// The snapshot of a model in the cache of the hub.
fn cached(cache: &Path, name: &ModelName) -> Option<PathBuf> {
    let (organization, model) = name.path.split_once('/')?;
    let sound = |s: &str| !s.is_empty() && s != ".." && !s.contains(['/', '\\']);
    let revision = name.revision.as_deref().unwrap_or("main");
    if !sound(organization) || !sound(model) || revision.split('/').any(|p| p.is_empty() || p == "..") {
        return None;
    }
    let folder = cache.join(format!("models--{organization}--{model}"));
    let commit = read_file(&folder.join("refs").join(revision), MAX_REF).ok();
    let commit = commit.and_then(|bytes| String::from_utf8(bytes).ok());
    let commit = commit.as_deref().map_or(revision, str::trim);
    let found = sound(commit).then(|| folder.join("snapshots").join(commit))?;
    found.is_dir().then_some(found)
}

/// Opens the weights of a folder (or a file): `STEM.safetensors.index.json`, `STEM.safetensors`, then the files of torch.
///
/// # Errors
/// [`Error::Model`] if there are none; what opening them gives.
pub fn open_weights(path: &Path, stem: &str) -> Result<Checkpoint> {
    if path.is_file() {
        return Checkpoint::open(path);
    }
    let torch = if stem == "model" { "pytorch_model" } else { stem };
    let names = [
        format!("{stem}.safetensors.index.json"),
        format!("{stem}.safetensors"),
        format!("{torch}.bin.index.json"),
        format!("{torch}.bin"),
        format!("{torch}.pt"),
    ];
    if let Some(found) = names.iter().map(|n| path.join(n)).find(|p| p.exists()) {
        return Checkpoint::open(&found);
    }
    let ends = |p: &Path, ending: &str| p.extension().is_some_and(|e| e == ending);
    let files = || std::fs::read_dir(path).into_iter().flatten().flatten().map(|e| e.path());
    let mut others: Vec<PathBuf> = files().filter(|p| ends(p, "safetensors")).collect();
    others.sort();
    match others.as_slice() {
        [one] => Checkpoint::open(one),
        [] => Err(Error::model("there are no weights in this folder")
            .at(path.display())
            .expected(names.join(", "))),
        _ => Err(Error::model(
            "there are several files of weights, and no index says how they belong together",
        )
        .at(path.display())
        .expected(names.first().cloned().unwrap_or_default())),
    }
}

/// Opens a regular file of at most so many bytes: a pipe or a device may have no end, or never begin.
///
/// # Errors
/// [`Error::Read`]; [`Error::Model`] if it is longer, or no regular file.
pub fn open_file(path: &Path, most: u64) -> Result<impl Read + use<>> {
    let kind = std::fs::metadata(path).map_err(|e| Error::read(path, e))?;
    if !kind.is_file() {
        return Err(Error::model("this is no regular file").at(path.display()).expected("a file"));
    }
    if kind.len() > most {
        return Err(Error::model("the file is too long")
            .at(path.display())
            .expected(format!("at most {most} bytes"))
            .got(kind.len()));
    }
    Ok(File::open(path).map_err(|e| Error::read(path, e))?.take(most))
}

/// The bytes of a regular file of at most so many.
///
/// # Errors
/// As [`open_file`].
pub fn read_file(path: &Path, most: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open_file(path, most)?.read_to_end(&mut bytes).map_err(|e| Error::read(path, e))?;
    Ok(bytes)
}

/// A file of JSON of at most so many bytes.
///
/// # Errors
/// As [`open_file`]; [`Error::Model`] if it is no JSON.
pub fn read_json(path: &Path, most: u64) -> Result<Value> {
    serde_json::from_slice(&read_file(path, most)?).map_err(|e| {
        Error::model(format!("the file is no JSON: {e}")).at(path.display()).remedy("get it again")
    })
}
