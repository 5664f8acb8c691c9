//! What a merge has written into its folder, as its provenance lists it, and what has become of it.

use std::collections::BTreeSet;
use std::path::{Component, Path};

use consilience_core::files::{sha256_bytes, sha256_file};
use consilience_core::{Error, Result};
use serde_json::{Value, json};

use crate::model::read_file;

/// The name of the file that says where a merge comes from.
pub const PROVENANCE: &str = "provenance.json";

/// The longest provenance, in bytes.
pub const MAX_PROVENANCE: u64 = 256 << 20;

/// What stands in a provenance for its own digest while that is computed.
const UNSEALED: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// A file of a result as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub file: String,
    /// Its size.
    pub bytes: u64,
    /// Its contents.
    pub sha256: String,
}

/// What has become of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Sound,
    Changed,
    Missing,
}

impl Listed {
    /// What has become of it in a folder. Of more than `most` bytes only the size is looked at.
    ///
    /// # Errors
    /// [`Error::Read`].
    pub fn state(&self, dir: &Path, most: u64) -> Result<State> {
        let path = dir.join(&self.file);
        let size = path.symlink_metadata().ok().filter(|m| m.is_file()).map(|m| m.len());
        Ok(match size {
            None => State::Missing,
            Some(size) if size != self.bytes => State::Changed,
            Some(size) if size > most || sha256_file(&path)? == self.sha256 => State::Sound,
            Some(_) => State::Changed,
        })
    }
}

/// The provenance of a merge.
#[derive(Debug)]
pub struct Provenance {
    /// All that it says.
    pub json: Value,
    /// The files of the result.
    pub files: Vec<Listed>,
    /// Whether it is as it was written.
    pub is_sealed: bool,
}

impl Provenance {
    /// Reads that of a folder.
    ///
    /// # Errors
    /// [`Error::Model`] if the folder is no merge, or its provenance cannot be understood; [`Error::Read`].
    pub fn read(dir: &Path) -> Result<Self> {
        let path = dir.join(PROVENANCE);
        if !path.is_file() {
            return Err(Error::model("the folder is no merge")
                .at(dir.display())
                .expected(format!("a folder with {PROVENANCE}")));
        }
        let damaged = || Error::model("this is no provenance of a merge").at(path.display());
        let text = String::from_utf8(read_file(&path, MAX_PROVENANCE)?).map_err(|_| damaged())?;
        let json: Value = serde_json::from_str(&text).map_err(|_| damaged())?;
        let outputs = json.get("outputs").and_then(Value::as_array);
        let is_merge = json.get("kind").and_then(Value::as_str) == Some("merge");
        let files: Option<Vec<Listed>> =
            outputs.filter(|_| is_merge).and_then(|all| all.iter().map(listed).collect());
        let own = json.get("sha256").and_then(Value::as_str).filter(|own| own.len() == UNSEALED.len());
        let is_sealed =
            own.is_some_and(|own| sha256_bytes(text.replacen(own, UNSEALED, 1).as_bytes()) == own);
        Ok(Self { files: files.ok_or_else(damaged)?, is_sealed, json })
    }

    /// What lies in the folder and was not written by the merge.
    ///
    /// # Errors
    /// [`Error::Read`].
    pub fn others(&self, dir: &Path) -> Result<BTreeSet<String>> {
        let listed: BTreeSet<&str> = self.files.iter().map(|f| f.file.as_str()).collect();
        let entries = std::fs::read_dir(dir).map_err(|e| Error::read(dir, e))?.flatten();
        let names = entries.map(|e| e.file_name().to_string_lossy().into_owned());
        Ok(names.filter(|n| n != PROVENANCE && !listed.contains(n.as_str())).collect())
    }
}

fn listed(output: &Value) -> Option<Listed> {
    let file = output.get("file")?.as_str()?;
    // What lies elsewhere is no file of the result, whatever its hash.
    let mut parts = Path::new(file).components();
    let is_plain =
        matches!((parts.next(), parts.next()), (Some(Component::Normal(name)), None) if name == file);
    let sha256 = output.get("sha256")?.as_str()?.to_owned();
    is_plain.then_some(Listed { file: file.to_owned(), bytes: output.get("bytes")?.as_u64()?, sha256 })
}

/// The text of a provenance with its own digest: the SHA-256 of the text with zeros where that stands.
pub fn sealed(mut json: Value) -> String {
    if let Some(map) = json.as_object_mut() {
        map.insert("sha256".to_owned(), json!(UNSEALED));
    }
    let text = format!("{json:#}\n");
    text.replacen(UNSEALED, &sha256_bytes(text.as_bytes()), 1)
}
