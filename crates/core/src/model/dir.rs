//! The model directory: one folder a model, complete in itself, with a hash of every file.
//!
//! `config.json`, `model.safetensors`, `README.md`, `metrics.json`, `provenance.json`, `manifest.json`, and for a
//! composition `members/<name>/`, each again a model directory. Files of other programs stay files, in `files/`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::parts::{Loaders, Parts};
use super::predictor::Model;
use crate::error::{Error, Result};
use crate::files::{AtomicDir, sha256_bytes, sha256_file, write_atomic};
use crate::weights::{read_arrays, write_arrays};

/// The format that is written. A newer one is refused.
pub const FORMAT: u32 = 1;

/// Member names and the depth of compositions are bounded, so that a hostile directory cannot exhaust the stack.
const MAX_DEPTH: usize = 16;

/// What goes into a directory beside the model itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Record {
    /// The model card, in Markdown.
    pub card: String,
    /// How it scored, as a JSON object.
    pub metrics: Value,
    /// Where it comes from: recipe, seed, hashes of its training rows, as a JSON object.
    pub provenance: Value,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    format: u32,
    kind: String,
    config: Value,
    #[serde(default)]
    members: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    files: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    format: u32,
    files: BTreeMap<String, Sealed>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sealed {
    bytes: u64,
    sha256: String,
}

/// A model directory whose manifest was checked.
#[derive(Debug)]
pub struct ModelDir {
    path: PathBuf,
    /// The model as data.
    pub parts: Parts,
    /// What goes with it.
    pub record: Record,
}

impl ModelDir {
    /// Opens a directory and checks the size and hash of every file of it.
    ///
    /// # Errors
    /// [`Error::Model`] naming the file that is missing, changed or not in the manifest.
    pub fn open(path: &Path) -> Result<Self> {
        let (parts, record) = load_parts(path)?;
        Ok(Self { path: path.to_path_buf(), parts, record })
    }

    /// Loads the model.
    ///
    /// # Errors
    /// [`Error::Model`] for an unknown kind or damaged parts.
    pub fn model(&self, loaders: &Loaders) -> Result<Box<dyn Model>> {
        loaders.model(&self.parts).map_err(|e| e.at(self.path.display()))
    }
}

/// Writes a model directory; it appears under its name only when complete. One that is there already and has the same
/// contents stays untouched, so that there is no moment without it.
///
/// # Errors
/// [`Error::Write`] naming the file.
pub fn save_parts(path: &Path, parts: &Parts, record: &Record) -> Result<()> {
    let dir = AtomicDir::begin(path)?;
    write_tree(dir.path(), parts, record)?;
    let manifest = |dir: &Path| fs::read(dir.join("manifest.json")).ok();
    if manifest(dir.path()) == manifest(path) && check_manifest(path).is_ok() {
        return Ok(());
    }
    dir.commit()
}

fn write_tree(dir: &Path, parts: &Parts, record: &Record) -> Result<()> {
    let config = Config {
        format: FORMAT,
        kind: parts.kind.clone(),
        config: parts.config.clone(),
        members: parts.members.keys().cloned().collect(),
        files: parts.files.keys().cloned().collect(),
    };
    write_json(&dir.join("config.json"), &config)?;
    write_arrays(&dir.join("model.safetensors"), &parts.arrays)?;
    for (name, bytes) in &parts.files {
        write_atomic(&dir.join(place_of(name)), bytes)?;
    }
    write_atomic(&dir.join("README.md"), record.card.as_bytes())?;
    write_json(&dir.join("metrics.json"), &record.metrics)?;
    write_json(&dir.join("provenance.json"), &record.provenance)?;
    for (name, member) in &parts.members {
        check_name(name)?;
        let inner = Record {
            card: format!("# {name}\n\nA member of the model two folders up.\n"),
            metrics: Value::Object(serde_json::Map::new()),
            provenance: serde_json::json!({"member_of": "../.."}),
        };
        write_tree(&dir.join("members").join(name), member, &inner)?;
    }
    let mut files = BTreeMap::new();
    seal(dir, "", &mut files)?;
    write_json(&dir.join("manifest.json"), &Manifest { format: FORMAT, files })
}

fn seal(dir: &Path, prefix: &str, files: &mut BTreeMap<String, Sealed>) -> Result<()> {
    for (name, path) in list(dir)? {
        let key = format!("{prefix}{name}");
        if path.is_dir() {
            seal(&path, &format!("{key}/"), files)?;
        } else if key != "manifest.json" {
            let bytes = fs::read(&path).map_err(|e| Error::read(&path, e))?;
            files.insert(key, Sealed { bytes: bytes.len() as u64, sha256: sha256_bytes(&bytes) });
        }
    }
    Ok(())
}

fn list(dir: &Path) -> Result<Vec<(String, PathBuf)>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(dir).map_err(|e| Error::read(dir, e))? {
        let entry = entry.map_err(|e| Error::read(dir, e))?;
        entries.push((entry.file_name().to_string_lossy().into_owned(), entry.path()));
    }
    entries.sort();
    Ok(entries)
}

fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<()> {
    let mut text = serde_json::to_string_pretty(value).map_err(|e| Error::internal(e.to_string()))?;
    text.push('\n');
    write_atomic(path, text.as_bytes())
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T> {
    let text = fs::read_to_string(path).map_err(|e| Error::read(path, e))?;
    serde_json::from_str(&text).map_err(|e| {
        Error::model(format!("the file cannot be understood: {e}"))
            .at(path.display())
            .remedy("the model directory is damaged; restore it or fit the model again")
    })
}

/// Reads a model directory as data, after checking its format and manifest.
///
/// # Errors
/// [`Error::Model`] naming what is missing, changed, unknown or newer than this program.
pub fn load_parts(path: &Path) -> Result<(Parts, Record)> {
    if !path.join("config.json").is_file() {
        return Err(Error::model("this is no model directory")
            .at(path.display())
            .expected("a folder with config.json")
            .remedy("give the model/ folder of a run"));
    }
    check_manifest(path)?;
    let parts = read_tree(path, 0)?;
    let record = Record {
        card: fs::read_to_string(path.join("README.md"))
            .map_err(|e| Error::read(path.join("README.md"), e))?,
        metrics: read_json(&path.join("metrics.json"))?,
        provenance: read_json(&path.join("provenance.json"))?,
    };
    Ok((parts, record))
}

fn check_manifest(path: &Path) -> Result<()> {
    let manifest: Manifest = read_json(&path.join("manifest.json"))?;
    check_format(manifest.format, &path.join("manifest.json"))?;
    let damaged = |name: &str, what: &str| {
        Error::model(what.to_owned())
            .at(path.join(name).display())
            .remedy("the model directory was changed after it was written; restore it or fit the model again")
    };
    for (name, sealed) in &manifest.files {
        let file = crate::files::confine(path, name).map_err(|e| match e {
            Error::Read { .. } => damaged(name, "a file of the model is missing"),
            other => other,
        })?;
        let size = fs::metadata(&file).map_err(|e| Error::read(&file, e))?.len();
        if size != sealed.bytes {
            return Err(damaged(name, "a file of the model has another size")
                .expected(format!("{} bytes", sealed.bytes))
                .got(size));
        }
        if sha256_file(&file)? != sealed.sha256 {
            return Err(damaged(name, "a file of the model was changed")
                .expected(format!("sha256 {}", sealed.sha256)));
        }
    }
    let mut present = BTreeMap::new();
    collect(path, "", 0, &mut present)?;
    match present.keys().find(|k| !manifest.files.contains_key(*k) && *k != "manifest.json") {
        Some(extra) => Err(damaged(extra, "a file is not in the manifest of the model")),
        None => Ok(()),
    }
}

fn collect(dir: &Path, prefix: &str, depth: usize, out: &mut BTreeMap<String, ()>) -> Result<()> {
    if depth > 2 * MAX_DEPTH {
        return Err(Error::model("the model directory is nested too deeply").at(dir.display()));
    }
    for (name, path) in list(dir)? {
        let key = format!("{prefix}{name}");
        if path.is_dir() {
            collect(&path, &format!("{key}/"), depth + 1, out)?;
        } else {
            out.insert(key, ());
        }
    }
    Ok(())
}

fn read_tree(dir: &Path, depth: usize) -> Result<Parts> {
    if depth > MAX_DEPTH {
        return Err(Error::model("the model is composed too deeply")
            .at(dir.display())
            .expected(format!("at most {MAX_DEPTH} levels")));
    }
    let config: Config = read_json(&dir.join("config.json"))?;
    check_format(config.format, &dir.join("config.json"))?;
    let arrays = read_arrays(&dir.join("model.safetensors"))?;
    let mut members = BTreeMap::new();
    for name in config.members {
        check_name(&name)?;
        let inner = read_tree(&dir.join("members").join(&name), depth + 1)?;
        members.insert(name, inner);
    }
    let mut files = BTreeMap::new();
    for name in config.files {
        let path = dir.join(place_of(&name));
        let bytes = fs::read(&path).map_err(|e| Error::read(&path, e))?;
        files.insert(name, Arc::from(bytes));
    }
    Ok(Parts { kind: config.kind, config: config.config, arrays, members, files })
}

/// Where a file lies in a model's folder: below `files/`, slashes in its name as folders, all that has a meaning in paths escaped.
fn place_of(name: &str) -> PathBuf {
    let mut place = PathBuf::from("files");
    for part in name.split('/') {
        let mut safe = String::new();
        for (i, byte) in part.bytes().enumerate() {
            let plain = byte.is_ascii_alphanumeric() || b"_-".contains(&byte) || (byte == b'.' && i > 0);
            if plain { safe.push(char::from(byte)) } else { safe.push_str(&format!("%{byte:02x}")) }
        }
        place.push(if safe.is_empty() { "%" } else { safe.as_str() });
    }
    place
}

fn check_format(format: u32, path: &Path) -> Result<()> {
    if format == FORMAT {
        return Ok(());
    }
    Err(Error::model("the model directory has another format")
        .at(path.display())
        .expected(format!("format {FORMAT}"))
        .got(format!("format {format}"))
        .remedy("use the version of csl that wrote it, or a newer one"))
}

fn check_name(name: &str) -> Result<()> {
    let fine = !name.is_empty()
        && name.len() <= 100
        && !name.starts_with('.')
        && name.chars().all(|c| c.is_alphanumeric() || "_-.+ ".contains(c));
    if fine {
        Ok(())
    } else {
        Err(Error::model(format!("\"{name}\" cannot be the name of a member's folder")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn sample() -> (Parts, Record) {
        let mut leaf = Parts::new("leaf", json!({"k": 3})).with_f32("w", &[1.0, 2.0]);
        for name in ["model.onnx", "steps/../a b.0/model.onnx", ""] {
            leaf.files.insert(name.into(), Arc::from(name.as_bytes()));
        }
        let mut top = Parts::new("top", json!({"order": ["a"]})).with_f64("v", &[0.5]);
        top.members.insert("a".into(), leaf);
        let record = Record {
            card: "# card\n".into(),
            metrics: json!({"m": 1.5}),
            provenance: json!({"rows": "00ff"}),
        };
        (top, record)
    }

    #[test]
    fn a_directory_comes_back_and_is_the_same_bytes_each_time() {
        let root = tempfile::tempdir().unwrap();
        let (parts, record) = sample();
        for name in ["one", "two"] {
            save_parts(&root.path().join(name), &parts, &record).unwrap();
        }
        let read = |n: &str| fs::read(root.path().join(n).join("manifest.json")).unwrap();
        assert_eq!(read("one"), read("two"));
        assert_eq!(load_parts(&root.path().join("one")).unwrap(), (parts, record));
        // A member is itself complete but for its seal, which stands at the top.
        assert!(root.path().join("one/members/a/config.json").exists());
        assert_eq!(fs::read(root.path().join("one/members/a/files/model.onnx")).unwrap(), b"model.onnx");
        assert!(root.path().join("one/members/a/files/steps/%2e./a%20b.0/model.onnx").exists());
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("m");
        let (parts, record) = sample();
        save_parts(&dir, &parts, &record).unwrap();
        let mut files = BTreeMap::new();
        collect(&dir, "", 0, &mut files).unwrap();
        assert!(files.len() >= 14);
        for name in files.keys() {
            let path = dir.join(name);
            let good = fs::read(&path).unwrap();
            let mut bad = good.clone();
            let middle = bad.len() / 2;
            match bad.get_mut(middle) {
                Some(byte) => *byte ^= 1,
                None => bad.push(1),
            }
            fs::write(&path, &bad).unwrap();
            let error = load_parts(&dir).unwrap_err();
            assert_eq!(error.exit_code(), 3, "{name}");
            fs::write(&path, &good).unwrap();
            fs::rename(&path, root.path().join("away")).unwrap();
            assert!(load_parts(&dir).is_err(), "{name} missing");
            fs::rename(root.path().join("away"), &path).unwrap();
        }
        fs::write(dir.join("extra.py"), "x").unwrap();
        assert!(load_parts(&dir).unwrap_err().to_string().contains("extra.py"));
        fs::remove_file(dir.join("extra.py")).unwrap();
        load_parts(&dir).unwrap();
    }

    #[test]
    fn the_same_contents_are_left_alone_and_damaged_ones_are_replaced() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("m");
        let (parts, record) = sample();
        save_parts(&dir, &parts, &record).unwrap();
        let written = || fs::metadata(dir.join("config.json")).unwrap().modified().unwrap();
        let before = written();
        save_parts(&dir, &parts, &record).unwrap();
        assert_eq!(written(), before);
        fs::write(dir.join("README.md"), "changed").unwrap();
        save_parts(&dir, &parts, &record).unwrap();
        assert_eq!(load_parts(&dir).unwrap().1.card, record.card);
        let other = Record { card: "# other\n".into(), ..record };
        save_parts(&dir, &parts, &other).unwrap();
        assert_eq!(load_parts(&dir).unwrap().1, other);
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
    }

    #[test]
    fn newer_formats_and_hostile_names_are_refused() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("m");
        let (mut parts, record) = sample();
        save_parts(&dir, &parts, &record).unwrap();
        let path = dir.join("manifest.json");
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replace("\"format\": 1", "\"format\": 2")).unwrap();
        assert!(load_parts(&dir).unwrap_err().to_string().contains("format 2"));
        parts.members.insert("../x".into(), Parts::new("leaf", Value::Null));
        assert!(save_parts(&root.path().join("n"), &parts, &record).is_err());
        assert!(!root.path().join("n").exists());
        assert!(load_parts(root.path()).unwrap_err().to_string().contains("no model directory"));
    }
}
