//! What lies beside the weights of a result: configuration, tokenizer, the merge file, a card, and where everything comes from.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use consilience_core::files::{sha256_bytes, sha256_file};
use consilience_core::{Error, Result};
use serde_json::{Map, Value, json};

use super::Along;
use super::inputs::{moved, relative};
use super::journal::Finished;
use super::listed::{PROVENANCE, Provenance, sealed};
use crate::config::Config;
use crate::model::Model;
use crate::plan::{Act, Options, Plan, resolved};

/// Files of the donor that go along with its weights, where they are there.
const COPIED: [&str; 3] = ["generation_config.json", "preprocessor_config.json", "processor_config.json"];

/// Files of the donor's tokenizer, which go along where no policy makes another one.
const TOKENIZER: [&str; 12] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "vocab.txt",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
    "chat_template.jinja",
    "chat_template.json",
];

/// The largest of them, in bytes.
const MAX_COPIED: u64 = 1 << 30;

/// What is known of a merge when its weights are written.
pub struct Record<'a> {
    pub config: &'a Config,
    pub options: &'a Options,
    pub models: &'a [Model],
    pub plan: &'a Plan,
    pub notes: &'a [String],
    /// The files of each model.
    pub files: &'a [Vec<PathBuf>],
    /// The hash of each of them, in order, and whether it was known before.
    pub inputs: &'a [(String, bool)],
}

/// What of a model's folder may go into a result beside its weights and its configuration.
pub fn beside_weights(dir: &Path) -> Vec<PathBuf> {
    COPIED.iter().chain(&TOKENIZER).map(|name| dir.join(name)).filter(|path| is_copied(path)).collect()
}

fn is_copied(path: &Path) -> bool {
    path.metadata().is_ok_and(|m| m.is_file() && m.len() <= MAX_COPIED)
}

/// Copies a file from folder to folder where it is there, and says whether it was.
fn copy(from: &Path, name: &str, to: &Path) -> Result<bool> {
    let (from, to) = (from.join(name), to.join(name));
    if !is_copied(&from) {
        return Ok(false);
    }
    let mut source = File::open(&from).map_err(|e| Error::read(&from, e))?;
    // Not the file's permissions: what cannot be written would be in the way of the next merge.
    let mut goal = File::create(&to).map_err(|e| Error::write(&to, e))?;
    io::copy(&mut source, &mut goal).map_err(|e| Error::write(&to, e))?;
    Ok(true)
}

/// Copies the files of a tokenizer.
///
/// # Errors
/// [`Error::Read`], [`Error::Write`].
pub fn copy_tokenizer(from: &Path, to: &Path) -> Result<()> {
    TOKENIZER.iter().try_for_each(|name| copy(from, name, to).map(drop))
}

impl Record<'_> {
    /// Writes everything that lies beside the weights.
    ///
    /// # Errors
    /// [`Error::Write`]; what the tokenizer's policy gives.
    pub fn write(&self, dir: &Path, finished: &[Finished], along: &Along<'_>) -> Result<()> {
        let donor =
            self.models.get(self.plan.donor).ok_or_else(|| Error::internal("a plan without a donor"))?;
        let mut names = Vec::new();
        let mut put = |name: &str, bytes: &[u8]| -> Result<()> {
            let path = dir.join(name);
            fs::write(&path, bytes).map_err(|e| Error::write(&path, e))?;
            names.push(name.to_owned());
            Ok(())
        };
        if finished.len() > 1 {
            put("model.safetensors.index.json", pretty(&self.index(finished)).as_bytes())?;
        }
        if let Some(config) = &self.plan.config {
            put("config.json", pretty(config).as_bytes())?;
        }
        put("merge.yaml", along.text.as_bytes())?;
        put("merge.resolved.yaml", resolved(self.config).as_bytes())?;
        put("README.md", self.card(finished).as_bytes())?;
        let made = match along.tokenizer {
            Some(write) => write(dir)?,
            None => Vec::new(),
        };
        let tokenizer: &[&str] = if along.tokenizer.is_some() { &[] } else { &TOKENIZER };
        for name in COPIED.iter().chain(tokenizer).filter(|n| !made.iter().any(|m| m == *n)) {
            if copy(&donor.dir, name, dir)? {
                names.push((*name).to_owned());
            }
        }
        names.extend(made);
        names.sort();
        names.dedup();
        let mut outputs: Vec<Value> =
            finished.iter().map(|f| json!({"file": f.file, "bytes": f.bytes, "sha256": f.sha256})).collect();
        for name in &names {
            let path = dir.join(name);
            let bytes = fs::metadata(&path).map_err(|e| Error::read(&path, e))?.len();
            outputs.push(json!({"file": name, "bytes": bytes, "sha256": sha256_file(&path)?}));
        }
        let path = dir.join(PROVENANCE);
        let text = sealed(self.provenance(dir, outputs, along.text)?);
        fs::write(&path, text).map_err(|e| Error::write(&path, e))
    }

    fn index(&self, finished: &[Finished]) -> Value {
        let mut jobs = self.plan.jobs.iter();
        let mut map = serde_json::Map::new();
        for (file, count) in finished.iter().zip(&self.plan.shards) {
            map.extend(jobs.by_ref().take(*count).map(|j| (j.name.clone(), json!(file.file))));
        }
        let total: u64 = self.plan.jobs.iter().map(|j| j.bytes()).sum();
        json!({"metadata": {"total_size": total}, "weight_map": map})
    }

    fn provenance(&self, dir: &Path, outputs: Vec<Value>, text: &str) -> Result<Value> {
        // The folder of the journal lies where the result will lie: ways from it are ways from the result.
        let whole = |path: &Path| path.canonicalize().map_err(|e| Error::read(path, e));
        let home = whole(dir)?;
        let mut hashes = self.inputs.iter();
        let mut models = Vec::new();
        for (model, paths) in self.models.iter().zip(self.files) {
            let mut files = Vec::new();
            for (path, (sha256, _)) in paths.iter().zip(hashes.by_ref()) {
                let bytes = fs::metadata(path).map_err(|e| Error::read(path, e))?.len();
                let mut file = json!({"file": file_name(path), "bytes": bytes, "sha256": sha256});
                if !model.is_made {
                    let folder =
                        path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
                    file["path"] = json!(relative(&home, &whole(folder)?.join(file_name(path))));
                }
                files.push(file);
            }
            let mut about = Map::new();
            about.insert("model".to_owned(), json!(model.name.to_string()));
            about.insert("files".to_owned(), Value::Array(files));
            // What a member was merged from may be gone soon, as earlier documents of a merge file are.
            if let Ok(earlier) = Provenance::read(&model.dir) {
                let keys = ["method", "method_version", "seed", "models"];
                let said = keys.iter().filter_map(|k| Some(((*k).to_owned(), earlier.json.get(k)?.clone())));
                let mut kept: Map<String, Value> = said.collect();
                if let Some(inner) = kept.get_mut("models") {
                    *inner = moved(inner, &whole(&model.dir)?, &home);
                }
                about.insert("merged".to_owned(), Value::Object(kept));
            }
            models.push(Value::Object(about));
        }
        Ok(json!({
            "kind": "merge",
            "format": 1,
            "program": format!("csl {}", env!("CARGO_PKG_VERSION")),
            "method": self.plan.method.0,
            "method_version": self.plan.method.1,
            "merge_file_sha256": sha256_bytes(text.as_bytes()),
            "seed": self.options.seed,
            "compat": if self.options.compat { "mergekit" } else { "none" },
            "models": models,
            "outputs": outputs,
            "notes": self.notes,
        }))
    }

    fn card(&self, finished: &[Finished]) -> String {
        let numbers: u64 = self.plan.jobs.iter().map(|j| j.len() as u64).sum();
        let mut text = format!(
            "# A merge by {}\n\n{} tensors, {numbers} numbers, {} {}.\n\n## Models\n\n",
            self.plan.method.0,
            self.plan.jobs.len(),
            finished.len(),
            if finished.len() == 1 { "file" } else { "files" }
        );
        for model in self.models {
            let base = self.config.base.as_ref().is_some_and(|(b, _)| *b == model.name);
            text.push_str(&format!("- `{}`{}\n", model.name, if base { " (base)" } else { "" }));
        }
        let parameters = self.plan.jobs.iter().find_map(|j| match &j.act {
            Act::Merge { parameters, .. } => Some(parameters.to_string()),
            Act::Same(_) => None,
        });
        if let Some(parameters) = parameters.filter(|p| p != "{}") {
            text.push_str(&format!("\nParameters of the first tensor: `{parameters}`\n"));
        }
        text.push_str(
            "\n`merge.yaml` says all of it, `merge.resolved.yaml` with every default; `provenance.json` holds the hashes of inputs and outputs.\n",
        );
        if !self.notes.is_empty() {
            text.push_str("\n## Notes\n\n");
            const SHOWN: usize = 20;
            for note in self.notes.iter().take(SHOWN) {
                text.push_str(&format!("- {note}\n"));
            }
            if self.notes.len() > SHOWN {
                text.push_str(&format!("- and {} more in provenance.json\n", self.notes.len() - SHOWN));
            }
        }
        text
    }
}

fn file_name(path: &Path) -> PathBuf {
    path.file_name().map(PathBuf::from).unwrap_or_default()
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}
