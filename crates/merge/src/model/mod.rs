//! Models to be merged: their files, opened, and their tensors as streams of numbers.

mod files;
mod layers;
mod lora;
mod stream;

use std::path::{Path, PathBuf};

use consilience_core::weights::{Checkpoint, Tensor};
use consilience_core::{Error, Result};
use serde_json::Value;

use crate::config::ModelName;

pub use files::{Places, open_file, open_weights, read_file, read_json};
pub use layers::{Place, place, stacks};
pub use lora::Lora;
pub use stream::{Mapped, Stream};

/// The longest `config.json`, in bytes.
const MAX_CONFIG: u64 = 16 << 20;

/// An opened model: headers in memory, numbers in its files.
#[derive(Debug)]
pub struct Model {
    /// As the merge file names it.
    pub name: ModelName,
    /// Its folder; the folder of the file where it is a file.
    pub dir: PathBuf,
    /// Its weights.
    pub checkpoint: Checkpoint,
    /// Its adapter.
    pub lora: Option<Lora>,
    /// Its `config.json`, where there is one.
    pub config: Option<Value>,
    /// Whether it is the result of another document, which is gone when all are merged.
    pub is_made: bool,
    /// Every file that was read of it, in order.
    files: Vec<PathBuf>,
    embedding: Option<String>,
    head: Option<String>,
}

impl Model {
    /// Opens a model and its adapter.
    ///
    /// # Errors
    /// What finding and opening its files give; [`Error::Model`] for an adapter that changes tensors which the model has not.
    pub fn open(name: &ModelName, places: &Places) -> Result<Self> {
        let path = places.find(name)?;
        let checkpoint = open_weights(&path, "model")?;
        let dir = if path.is_dir() { path } else { path.parent().unwrap_or(Path::new(".")).to_path_buf() };
        let file = dir.join("config.json");
        let config = if file.exists() { Some(read_json(&file, MAX_CONFIG)?) } else { None };
        let lora = match &name.lora {
            Some(lora) => Some(Lora::open(&places.find(lora)?)?),
            None => None,
        };
        let mut files = opened(&checkpoint);
        files.extend(config.is_some().then_some(file));
        if let Some(lora) = &lora {
            files.extend(opened(lora.checkpoint()));
            files.push(lora.settings_file().to_path_buf());
        }
        let embedding = ending(&checkpoint, &EMBEDDINGS);
        let head =
            ending(&checkpoint, &HEADS).filter(|name| matches!(place(name), Place::After | Place::Before));
        let is_made = places.named.contains_key(&name.path);
        let model =
            Self { name: name.clone(), dir, checkpoint, lora, config, is_made, files, embedding, head };
        if let Some(lora) = &model.lora {
            for changed in lora.changed() {
                let tensor = model.checkpoint.tensor(changed).ok_or_else(|| {
                    Error::model(format!("the adapter changes \"{changed}\", which the model has not"))
                        .at(name)
                        .remedy("use it with the model that it was trained on")
                })?;
                // Reads two small factors: they must fit before anything long starts.
                lora.product(changed, tensor.shape()).map_err(|e| e.at(name))?;
            }
        }
        Ok(model)
    }

    /// The tensor of a name, where the model has it.
    pub fn tensor(&self, name: &str) -> Option<&Tensor> {
        Some(self.stored(name)?.1)
    }

    /// The tensor of a name, and the checkpoint that holds its numbers: the adapter's where it replaces it.
    pub fn stored(&self, name: &str) -> Option<(&Checkpoint, &Tensor)> {
        let replaced = self.lora.as_ref().and_then(|l| Some((l.checkpoint(), l.replaced(name)?)));
        let (checkpoint, own) = replaced.unwrap_or((&self.checkpoint, name));
        Some((checkpoint, checkpoint.tensor(own)?))
    }

    /// Whether the numbers of a tensor lie in its file as they are: one after the other, without anything to be added.
    pub fn is_plain(&self, name: &str) -> bool {
        let dense = self.tensor(name).is_some_and(Tensor::is_dense);
        dense && self.lora.as_ref().is_none_or(|l| l.bytes(name) == 0)
    }

    /// Whether input and output embedding are one tensor, as its configuration says.
    pub fn is_tied(&self) -> bool {
        let tied = |v: &Value| v.get("tie_word_embeddings").and_then(Value::as_bool);
        let config = self.config.as_ref();
        config
            .and_then(|c| tied(c).or_else(|| c.get("text_config").and_then(tied)))
            // Without a word about it: where there is an embedding and no head, they are one.
            .unwrap_or_else(|| self.head().is_none() && self.embedding().is_some())
    }

    /// The input embedding's name.
    pub fn embedding(&self) -> Option<&str> {
        self.embedding.as_deref()
    }

    /// The output embedding's name.
    pub fn head(&self) -> Option<&str> {
        self.head.as_deref()
    }

    /// Every file that was read of it, in order: index, weights, configuration, and those of its adapter.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }
}

/// How the names of input embeddings end.
const EMBEDDINGS: [&str; 6] = [
    "embed_tokens.weight",
    "wte.weight",
    "embed_in.weight",
    "word_embeddings.weight",
    "tok_embeddings.weight",
    "shared.weight",
];
/// How the names of output embeddings end.
const HEADS: [&str; 3] = ["lm_head.weight", "embed_out.weight", "output.weight"];

/// The first name that ends so, whole words only; earlier endings go first. To be called once: it looks at all names.
fn ending(checkpoint: &Checkpoint, endings: &[&str]) -> Option<String> {
    let whole = |name: &str, end: &str| {
        name.strip_suffix(end).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    let names = || checkpoint.tensors().iter().map(Tensor::name);
    endings.iter().find_map(|end| names().find(|n| whole(n, end))).map(str::to_owned)
}

/// The files of a checkpoint: its index, where it has one, and those with numbers.
fn opened(checkpoint: &Checkpoint) -> Vec<PathBuf> {
    let own = checkpoint.path();
    let index = checkpoint.files().all(|f| f != own).then(|| own.to_path_buf());
    index.into_iter().chain(checkpoint.files().map(Path::to_path_buf)).collect()
}
