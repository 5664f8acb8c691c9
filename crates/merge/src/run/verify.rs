//! Whether a merge is still what it was when it was made.

use std::path::{Path, PathBuf};

use consilience_core::Result;
use consilience_core::files::sha256_file;
use serde::Serialize;
use serde_json::Value;

use super::listed::{MAX_PROVENANCE, PROVENANCE, Provenance, State};
use crate::config::{ModelName, read};
use crate::model::{Places, read_file};

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
    /// What lies in the folder beside the result: no fault of it either.
    pub others: Vec<String>,
}

/// Hashes a merge again, and its inputs as far as they are still there.
///
/// # Errors
/// [`Error::Model`](consilience_core::Error::Model) if the folder is no merge; [`Error::Read`](consilience_core::Error::Read).
pub fn verify(dir: &Path, places: &Places) -> Result<Verdict> {
    let provenance = Provenance::read(dir)?;
    let mut verdict = Verdict::default();
    if !provenance.is_sealed {
        verdict.wrong.push(format!("{PROVENANCE} has changed"));
    }
    for file in &provenance.files {
        match file.state(dir, u64::MAX)? {
            State::Sound => verdict.sound += 1,
            State::Changed => verdict.wrong.push(format!("{} has changed", file.file)),
            State::Missing => verdict.wrong.push(format!("{} is missing", file.file)),
        }
    }
    // A program that loads the folder may take weights that lie in it.
    let weights =
        |n: &str| [".safetensors", ".bin", ".pt", ".pth", ".index.json"].iter().any(|end| n.ends_with(end));
    for name in provenance.others(dir)? {
        match weights(&name) {
            true => verdict.wrong.push(format!("{name} is no part of the merge")),
            false => verdict.others.push(name),
        }
    }
    let text = read_file(&dir.join("merge.yaml"), MAX_PROVENANCE).unwrap_or_default();
    let configs = read(&String::from_utf8_lossy(&text), "merge.yaml").map(|(c, _)| c).unwrap_or_default();
    let names: Vec<ModelName> = configs.iter().flat_map(|c| c.models()).map(|(m, _)| m.clone()).collect();
    Inputs { dir, places, names }.look(provenance.json.get("models"), &mut verdict)?;
    Ok(verdict)
}

/// Where inputs are looked for.
struct Inputs<'a> {
    dir: &'a Path,
    places: &'a Places,
    names: Vec<ModelName>,
}

impl Inputs<'_> {
    fn look(&self, models: Option<&Value>, verdict: &mut Verdict) -> Result<()> {
        let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
        for model in models.and_then(Value::as_array).into_iter().flatten() {
            let name = text(model, "model").unwrap_or_default();
            let files = model.get("files").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            let found: Vec<Option<PathBuf>> = files
                .iter()
                .map(|f| self.find(&name, &text(f, "file")?, text(f, "path").as_deref()))
                .collect();
            if found.iter().all(Option::is_none) {
                match model.get("merged") {
                    // What was only made on the way is gone; what that was made of need not be.
                    Some(merged) => self.look(merged.get("models"), verdict)?,
                    None => verdict.changed.push(format!("{name} is not on this machine, or has moved")),
                }
                continue;
            }
            for (file, path) in files.iter().zip(found) {
                match path {
                    None => {
                        let file = text(file, "file").unwrap_or_default();
                        verdict.changed.push(format!("{file} of {name} is missing"));
                    }
                    Some(path) if Some(sha256_file(&path)?) == text(file, "sha256") => verdict.inputs += 1,
                    Some(path) => verdict.changed.push(format!("{} has changed", path.display())),
                }
            }
        }
        Ok(())
    }

    /// A file where it was, seen from the merge; else under the model's name.
    fn find(&self, name: &str, file: &str, path: Option<&str>) -> Option<PathBuf> {
        let there = path.map(|p| self.dir.join(p)).filter(|p| p.is_file());
        there.or_else(|| {
            let model = self.names.iter().find(|n| n.to_string() == name)?;
            let folders = [Some(model), model.lora.as_deref()].into_iter().flatten();
            let found = folders.filter_map(|n| self.places.find(n).ok());
            found
                .map(|f| if f.is_file() { f } else { f.join(file) })
                .find(|p| p.is_file() && p.file_name().is_some_and(|n| n == file))
        })
    }
}
