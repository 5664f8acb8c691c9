//! Starting numbers of encoders from checkpoints that were made elsewhere.

use std::collections::BTreeMap;
use std::path::Path;

use consilience_core::files::confine;
use consilience_core::model::{Array, Task};
use consilience_core::weights::{Checkpoint, check_finite, matching};
use consilience_core::{Error, Result};

use crate::architecture::Architecture;
use crate::fusion::{Fusion, HEAD};
use crate::params::Declared;

/// A checkpoint for the encoder of a modality.
#[derive(Debug, Clone, PartialEq)]
pub struct Weights {
    /// The layer that the encoder's parameters are under.
    pub layer: String,
    /// The file, below the data folder.
    pub file: String,
}

/// Numbers to start from, by the names of parameters, and what is to be told of them.
#[derive(Debug, Default)]
pub struct Outside {
    /// All numbers of the encoders, and of the classifier where it is kept.
    pub numbers: BTreeMap<String, Vec<f32>>,
    /// A line a checkpoint.
    pub notes: Vec<String>,
}

/// Classifiers have their names from torchvision or from us.
const CLASSIFIERS: [&str; 2] = ["fc", HEAD];

/// What a checkpoint may hold beside an encoder: counters, classifiers, and what our model directories have.
const BESIDE: [&str; 7] =
    ["*.num_batches_tracked", "fc.*", "head.*", "heads.*", "fusion.*", "inputs/*", "target.scale"];

/// Reads the checkpoints. Every number of an encoder must be there, in the shape that is declared; names are those of
/// torchvision, or of a network of ours (whatever its column is called). The classifier of a network on one modality is kept
/// where it gives as many outputs, and otherwise replaced.
///
/// # Errors
/// [`Error::Argument`] without a data folder, or for a path that leaves it; [`Error::Read`] and [`Error::Model`] naming the
/// file and the tensors that are missing, unknown, of another shape, or not finite.
pub fn read(
    all: &[Weights],
    architecture: &Architecture,
    task: &Task,
    root: Option<&Path>,
) -> Result<Outside> {
    let mut outside = Outside::default();
    let declared = architecture.declare(task);
    for Weights { layer, file } in all {
        let root = root.ok_or_else(|| {
            Error::argument("weights are read from the data folder, but none was given")
                .at("weights")
                .remedy("set data.root in the recipe, or --data")
        })?;
        let checkpoint = Checkpoint::open(&confine(root, file)?)?;
        let own = format!("{layer}.");
        let encoder: Vec<(&str, &Declared)> =
            declared.iter().filter_map(|d| Some((d.name.strip_prefix(&own)?, d))).collect();
        let under = column(&checkpoint, &encoder);
        // Their name of each number of ours.
        let mut names: BTreeMap<String, &Declared> =
            encoder.iter().map(|(name, d)| (format!("{under}{name}"), *d)).collect();
        let kept = match architecture.fusion {
            Fusion::Single(_) => classifier(&checkpoint, &declared),
            _ => Vec::new(),
        };
        let replaced = if kept.is_empty() { "the classifier is new" } else { "its classifier is kept" };
        names.extend(kept);
        let wanted = names.iter().map(|(name, d)| (name.clone(), d.shape.clone())).collect();
        let mut beside = BESIDE.to_vec();
        if !under.is_empty() {
            beside.push("encoders.*");
        }
        if let Some(error) = other_channels(&checkpoint, &under, &encoder) {
            return Err(error.at(file));
        }
        let arrays = matching(&checkpoint, &wanted, &beside)?;
        check_finite(&arrays).map_err(|e| e.at(file))?;
        for (name, array) in arrays {
            if let (Some(d), Array::F32(_, numbers)) = (names.get(&name), array) {
                if let Some(bad) = numbers.iter().find(|v| d.is_variance() && **v < 0.0) {
                    return Err(Error::model("a running variance is below 0")
                        .at(format!("{file}: tensor {name}"))
                        .got(bad));
                }
                outside.numbers.insert(d.name.clone(), numbers);
            }
        }
        outside.notes.push(format!("{layer} started from {file}; {replaced}"));
    }
    Ok(outside)
}

/// Says that the images have another number of channels than those of the checkpoint, if that is all that is wrong with the
/// first convolution, with which an encoder begins.
fn other_channels(checkpoint: &Checkpoint, under: &str, encoder: &[(&str, &Declared)]) -> Option<Error> {
    let (name, ours) = encoder.first()?;
    match (ours.shape.as_slice(), checkpoint.tensor(&format!("{under}{name}"))?.shape()) {
        ([o, ours, h, w], [p, theirs, i, j]) if ours != theirs && [o, h, w] == [p, i, j] => {
            let error = Error::model("the checkpoint reads images of another number of channels");
            Some(error.expected(theirs).got(ours).remedy(format!(
                "give the images so many: features: {{..: [{{tensor: {{channels: {theirs}}}}}]}}"
            )))
        }
        _ => None,
    }
}

/// What stands before the names of an encoder in a model directory of ours.
fn column(checkpoint: &Checkpoint, encoder: &[(&str, &Declared)]) -> String {
    let Some((first, _)) = encoder.first() else { return String::new() };
    let under =
        |name: &str| Some(name.strip_suffix(first)?.to_owned()).filter(|p| p.starts_with("encoders."));
    checkpoint.tensors().iter().find_map(|t| under(t.name())).unwrap_or_default()
}

/// The classifier of the checkpoint, by its names there, if it fits as it is.
fn classifier<'a>(checkpoint: &Checkpoint, declared: &'a [Declared]) -> Vec<(String, &'a Declared)> {
    let parts = ["weight", "bias"];
    let ours = |part: &str| declared.iter().find(|d| d.name == format!("{HEAD}.{part}"));
    let of = |theirs: &str| -> Option<Vec<(String, &'a Declared)>> {
        parts
            .iter()
            .map(|part| {
                let (name, d) = (format!("{theirs}.{part}"), ours(part)?);
                (checkpoint.tensor(&name)?.shape() == d.shape).then_some((name, d))
            })
            .collect()
    };
    CLASSIFIERS.iter().find_map(|theirs| of(theirs)).unwrap_or_default()
}
