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

pub use files::{Places, open_weights, read_json};
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
        let model = Self { name: name.clone(), dir, checkpoint, lora, config };
        if let Some(lora) = &model.lora {
            for changed in lora.changed() {
                let tensor = model.tensor(changed).ok_or_else(|| {
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

    /// The tensor of a name, where the model has it; with `lm_head` read from the embedding where these are one.
    pub fn tensor(&self, name: &str) -> Option<&Tensor> {
        if let Some(other) = self.lora.as_ref().and_then(|l| Some((l, l.replaced(name)?))) {
            return other.0.checkpoint().tensor(other.1);
        }
        self.checkpoint.tensor(name)
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
        self.ending(&[
            "embed_tokens.weight",
            "wte.weight",
            "embed_in.weight",
            "word_embeddings.weight",
            "tok_embeddings.weight",
            "shared.weight",
        ])
    }

    /// The output embedding's name.
    pub fn head(&self) -> Option<&str> {
        self.ending(&["lm_head.weight", "embed_out.weight", "output.weight"])
            .filter(|name| matches!(place(name), Place::After | Place::Before))
    }

    fn ending(&self, endings: &[&str]) -> Option<&str> {
        let names = || self.checkpoint.tensors().iter().map(Tensor::name);
        endings.iter().find_map(|end| {
            names().find(|n| n.strip_suffix(end).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')))
        })
    }

    /// Every file that is read of it, in order.
    pub fn files(&self) -> Vec<PathBuf> {
        let own = self.checkpoint.files().map(Path::to_path_buf);
        let lora = self.lora.iter().flat_map(|l| l.checkpoint().files().map(Path::to_path_buf));
        own.chain(lora).collect()
    }
}
