//! Whether a merge is still what it was when it was made.

use std::collections::BTreeSet;
use std::path::{Component, Path};

use consilience_core::files::sha256_file;
use consilience_core::{Error, Result};
use serde::Serialize;
use serde_json::Value;

use super::record::{MAX_PROVENANCE, PROVENANCE};
use crate::config::read;
use crate::model::{Model, Places, read_json};

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Verdict {
    /// How many files are as they were.
    pub sound: usize,
    /// Files of the result that are missing or have changed, each with what is wrong.
    pub wrong: Vec<String>,
    /// How many files of the inputs are as they were.
    pub inputs: usize,
    /// Inputs that are gone or have changed since: no fault of the result.
    pub changed: Vec<String>,
}

/// Hashes a merge again, and its inputs as far as they are still there.
///
/// # Errors
/// [`Error::Model`] if the folder is no merge; [`Error::Read`].
pub fn verify(dir: &Path, places: &Places) -> Result<Verdict> {
    let path = dir.join(PROVENANCE);
    let damaged = || Error::model("this is no provenance of a merge").at(path.display());
    if !path.is_file() {
        return Err(Error::model("the folder is no merge")
            .at(dir.display())
            .expected(format!("a folder with {PROVENANCE}")));
    }
    let json = read_json(&path, MAX_PROVENANCE)?;
    if json.get("kind").and_then(Value::as_str) != Some("merge") {
        return Err(damaged());
    }
    let mut verdict = Verdict::default();
    let outputs = json.get("outputs").and_then(Value::as_array).ok_or_else(damaged)?;
    for output in outputs {
        let (file, sha256) = named(output).ok_or_else(damaged)?;
        // What lies elsewhere is no file of the result, whatever its hash.
        let mut parts = Path::new(file).components();
        if !matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None)) {
            return Err(damaged());
        }
        let path = dir.join(file);
        match path.symlink_metadata().is_ok_and(|m| m.is_file()).then(|| sha256_file(&path)).transpose()? {
            Some(now) if now == sha256 => verdict.sound += 1,
            Some(_) => verdict.wrong.push(format!("{file} has changed")),
            None => verdict.wrong.push(format!("{file} is missing")),
        }
    }
    for file in unlisted(dir, outputs)? {
        verdict.wrong.push(format!("{file} is no part of the merge"));
    }
    let text = std::fs::read_to_string(dir.join("merge.yaml")).unwrap_or_default();
    let configs = read(&text, "merge.yaml").map(|(c, _)| c).unwrap_or_default();
    let names: Vec<_> = configs.iter().flat_map(|c| c.models()).map(|(m, _)| m.clone()).collect();
    for model in json.get("models").and_then(Value::as_array).into_iter().flatten() {
        let name = model.get("model").and_then(Value::as_str).unwrap_or_default();
        let files = model.get("files").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let known = names.iter().find(|n| n.to_string() == name);
        let opened = known.and_then(|n| Model::open(n, places).ok());
        let Some(opened) = opened else {
            verdict.changed.push(format!("{name} is not on this machine, or cannot be read"));
            continue;
        };
        if files.len() != opened.files().len() {
            verdict.changed.push(format!("{name} has other files now"));
            continue;
        }
        for (file, path) in files.iter().zip(opened.files()) {
            let (_, sha256) = named(file).ok_or_else(damaged)?;
            if sha256_file(path)? == sha256 {
                verdict.inputs += 1;
            } else {
                verdict.changed.push(format!("{} has changed", path.display()));
            }
        }
    }
    Ok(verdict)
}

/// Files with weights that lie in the folder and were not written by the merge: a program that loads the folder may take them.
fn unlisted(dir: &Path, outputs: &[Value]) -> Result<Vec<String>> {
    let listed: BTreeSet<&str> = outputs.iter().filter_map(named).map(|(file, _)| file).collect();
    let mut others = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(|e| Error::read(dir, e))?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let weights =
            [".safetensors", ".bin", ".pt", ".pth", ".index.json"].iter().any(|end| name.ends_with(end));
        if weights && !listed.contains(name.as_str()) {
            others.push(name);
        }
    }
    others.sort();
    Ok(others)
}

fn named(value: &Value) -> Option<(&str, &str)> {
    Some((value.get("file")?.as_str()?, value.get("sha256")?.as_str()?))
}
