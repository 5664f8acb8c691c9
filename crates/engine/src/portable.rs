//! Models as files that other programs read: ONNX for what a model computes, safetensors for its arrays.

use std::collections::BTreeMap;
use std::path::Path;

use consilience_core::files::write_atomic;
use consilience_core::model::graph::{About, Graph, Port};
use consilience_core::model::{Model, ModelDir, Task};
use consilience_core::weights::write_arrays;
use consilience_core::{Error, Result};
use serde::Serialize;
use serde_json::Value;

use crate::catalog;

/// An input or output of a written graph.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Slot {
    /// Its name.
    pub name: String,
    /// The type of its entries, as numpy names it.
    pub element: &'static str,
    /// Its sides: numbers where they are known, names where rows or a call decide.
    pub shape: Vec<String>,
}

impl Slot {
    fn of(port: &Port) -> Self {
        Self {
            name: port.name.to_string(),
            element: port.element.name(),
            shape: port.shape.iter().map(ToString::to_string).collect(),
        }
    }
}

/// A graph that was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WrittenGraph {
    /// What it is given.
    pub inputs: Vec<Slot>,
    /// What it gives.
    pub outputs: Vec<Slot>,
    /// How many operators it has.
    pub operators: usize,
    /// The size of the file.
    pub bytes: usize,
}

/// Arrays that were written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WrittenArrays {
    /// The names, in order, each with its shape.
    pub arrays: BTreeMap<String, Vec<usize>>,
    /// How many numbers they hold together.
    pub numbers: usize,
}

/// Writes what the model of a directory computes, its preprocessing included, as an ONNX file.
///
/// # Errors
/// [`Error::Model`] for a damaged directory, or naming the part that ONNX cannot say; [`Error::Write`] if the file cannot be
/// written.
pub fn write_onnx(model: &Path, out: &Path) -> Result<WrittenGraph> {
    let dir = ModelDir::open(model)?;
    let model = dir.model(&catalog::loaders())?;
    let graph = Graph::of(model.as_ref())?;
    let bytes = graph.to_onnx(&about(model.as_ref(), &dir.record.provenance))?;
    write_atomic(out, &bytes)?;
    Ok(WrittenGraph {
        inputs: graph.inputs().iter().map(Slot::of).collect(),
        outputs: graph.outputs().iter().map(Slot::of).collect(),
        operators: graph.nodes().len(),
        bytes: bytes.len(),
    })
}

/// What an ONNX file says about a model: its task, its classes in the order of the probabilities, where it comes from.
fn about(model: &dyn Model, provenance: &Value) -> About {
    let mut more = BTreeMap::new();
    match model.task() {
        Task::Classify(classes) => {
            more.insert("task".to_owned(), "classify".to_owned());
            more.insert("classes".to_owned(), Value::from(classes.names()).to_string());
        }
        Task::Regress => {
            more.insert("task".to_owned(), "regress".to_owned());
        }
    }
    more.insert("kind".to_owned(), model.kind().to_owned());
    for key in ["recipe", "candidate"] {
        if let Some(text) = provenance.get(key).and_then(Value::as_str) {
            more.insert(key.to_owned(), text.to_owned());
        }
    }
    let name = more.get("candidate").or_else(|| more.get("recipe")).cloned().unwrap_or_default();
    About { name, version: env!("CARGO_PKG_VERSION").to_owned(), more }
}

/// Writes the trained arrays of the network of a directory as a `.safetensors` file: under our own names, which are layers
/// from the outside in, or as PyTorch's modules name them. A dense or convolutional weight lies `[outputs, inputs, ..]` and
/// gates in the order of PyTorch either way.
///
/// # Errors
/// [`Error::Model`] for a damaged directory or a model that is no network; [`Error::Write`] if the file cannot be written.
pub fn write_tensors(model: &Path, out: &Path, torch_names: bool) -> Result<WrittenArrays> {
    let loaded = ModelDir::open(model)?.model(&catalog::loaders())?;
    let Some(arrays) = loaded.tensors(torch_names) else {
        let error =
            Error::model(format!("a model of the kind \"{}\" has no arrays of layers", loaded.kind()))
                .at(model.display())
                .expected("a network");
        let networks: Vec<&str> = loaded
            .members()
            .into_iter()
            .filter(|(_, m)| m.tensors(false).is_some())
            .map(|(n, _)| n)
            .collect();
        return Err(match networks.first() {
            Some(name) => error.remedy(format!(
                "export one of its networks ({}): csl export {}",
                networks.join(", "),
                model.join("members").join(name).display()
            )),
            None => error.remedy("use --onnx"),
        });
    };
    write_arrays(out, &arrays)?;
    let numbers = arrays.values().map(|a| a.shape().iter().product::<usize>()).sum();
    Ok(WrittenArrays { arrays: arrays.into_iter().map(|(n, a)| (n, a.shape().to_vec())).collect(), numbers })
}
