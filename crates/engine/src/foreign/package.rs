//! An ONNX model as bytes: its file, and the files beside it that hold numbers of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path};
use std::sync::Arc;

use consilience_core::files::{confine, sha256_bytes};
use consilience_core::model::Parts;
use consilience_core::{Error, Result};

use super::inspect::{Signature, inspect};

/// The name of the model's file among the files of parts.
const FILE: &str = "model.onnx";
/// The largest file that is read: protobuf has no larger messages.
const LARGEST: u64 = 1 << 31;

/// Whether a path names an ONNX file.
pub fn is_onnx(path: &str) -> bool {
    Path::new(path).extension().is_some_and(|e| e.eq_ignore_ascii_case("onnx"))
}

/// A model with everything that belongs to it, inspected.
#[derive(Clone)]
pub struct Package {
    /// The model's file.
    pub file: Arc<[u8]>,
    /// The files beside it by the names that the model knows them by.
    pub external: BTreeMap<String, Arc<[u8]>>,
    /// What the file says of itself.
    pub signature: Signature,
}

impl Package {
    /// Reads a model's file and the files beside it.
    ///
    /// # Errors
    /// [`Error::Model`] for a damaged or hostile file, above all one that wants numbers from outside its folder;
    /// [`Error::Read`] for a file that cannot be read.
    pub fn read(path: &Path) -> Result<Self> {
        let file = read(path, LARGEST)?;
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
        Self::new(file, |location, least| {
            let inside = confine(folder, location).map_err(|e| match e {
                Error::Read { .. } => Error::model("a file that the ONNX model needs beside it is missing")
                    .at(location)
                    .remedy("copy it to the folder of the model"),
                other => other,
            })?;
            if least > fs::metadata(&inside).map_err(|e| Error::read(&inside, e))?.len() {
                return Err(short(location, least));
            }
            read(&inside, u64::MAX)
        })
        .map_err(|e| e.at(path.display()))
    }

    /// The model that was saved in parts.
    ///
    /// # Errors
    /// [`Error::Model`] for a damaged or hostile file.
    pub fn load(parts: &Parts) -> Result<Self> {
        let file = parts.file(FILE)?;
        Self::new(file, |location, _| parts.file(location))
    }

    /// Adds the model's files to parts.
    #[must_use]
    pub fn save(&self, mut parts: Parts) -> Parts {
        parts.files.insert(FILE.to_owned(), Arc::clone(&self.file));
        parts.files.extend(self.external.iter().map(|(name, bytes)| (name.clone(), Arc::clone(bytes))));
        parts
    }

    /// A hash of each file, by name.
    pub fn hashes(&self) -> BTreeMap<String, String> {
        let mut out: BTreeMap<String, String> =
            self.external.iter().map(|(name, bytes)| (name.clone(), sha256_bytes(bytes))).collect();
        out.insert(FILE.to_owned(), sha256_bytes(&self.file));
        out
    }

    fn new(file: Arc<[u8]>, beside: impl Fn(&str, u64) -> Result<Arc<[u8]>>) -> Result<Self> {
        let signature = inspect(&file)?;
        let mut external = BTreeMap::new();
        for (location, least) in &signature.external {
            let path = Path::new(location);
            if location == FILE || !path.components().all(|c| matches!(c, Component::Normal(_))) {
                return Err(Error::model("the ONNX model wants numbers from a file outside its folder")
                    .at(location)
                    .expected("a file beside the model, by its name")
                    .remedy(
                        "export the model again with its data beside it or inside; do not trust this file",
                    ));
            }
            let bytes = beside(location, *least)?;
            if *least > bytes.len() as u64 {
                return Err(short(location, *least));
            }
            external.insert(location.clone(), bytes);
        }
        Ok(Self { file, external, signature })
    }
}

fn short(location: &str, least: u64) -> Error {
    Error::model("a file beside the ONNX model is cut off")
        .at(location)
        .expected(format!("{least} bytes at least"))
}

fn read(path: &Path, most: u64) -> Result<Arc<[u8]>> {
    let size = fs::metadata(path).map_err(|e| Error::read(path, e))?.len();
    if size > most {
        return Err(Error::model("the file is larger than an ONNX file can be")
            .at(path.display())
            .got(format!("{size} bytes")));
    }
    Ok(Arc::from(fs::read(path).map_err(|e| Error::read(path, e))?))
}

impl std::fmt::Debug for Package {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Package").field("signature", &self.signature).finish_non_exhaustive()
    }
}
