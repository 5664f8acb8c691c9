//! The result's `config.json`: the donor's, with what the merge has changed.

use consilience_core::weights::Dtype;
use serde_json::{Map, Value, json};

use super::Job;
use super::layout::Origins;
use crate::config::Config;
use crate::model::{Model, stacks};

/// Keys that hold a number of layers.
const COUNTS: [&str; 6] =
    ["num_hidden_layers", "n_layer", "n_layers", "num_layers", "num_decoder_layers", "num_encoder_layers"];

/// The donor's configuration with layers, vocabulary, type of numbers and tied embeddings as they are in the result.
pub fn of(donor: &Model, jobs: &[Job], origins: &Origins, untied: bool, config: &Config) -> Option<Value> {
    let mut json = donor.config.clone()?;
    let before = stacks(donor.checkpoint.tensors().iter().map(|t| t.name()));
    for (stack, layers) in origins {
        let old = before.get(stack.as_str()).copied().unwrap_or(0);
        relayer(&mut json, old, layers);
    }
    let vocabulary = [donor.embedding(), donor.head()]
        .into_iter()
        .flatten()
        .find_map(|name| jobs.iter().find(|j| j.name == name)?.shape.first().copied());
    if let Some(rows) = vocabulary {
        set(&mut json, "vocab_size", &json!(rows));
    }
    if untied {
        set(&mut json, "tie_word_embeddings", &json!(false));
    }
    if let Some(dtype) = config.out_dtype.or(config.dtype).filter(|d| *d != Dtype::I64) {
        set(&mut json, "torch_dtype", &json!(dtype.torch_name()));
        set(&mut json, "dtype", &json!(dtype.torch_name()));
    }
    Some(json)
}

/// The map and the maps of its parts (`text_config` and the like).
fn maps(json: &mut Value) -> Vec<&mut Map<String, Value>> {
    // Two levels are as deep as configurations go.
    let Some(top) = json.as_object_mut() else { return Vec::new() };
    let inner: Vec<String> =
        top.iter().filter(|(k, v)| k.ends_with("_config") && v.is_object()).map(|(k, _)| k.clone()).collect();
    if inner.is_empty() {
        return vec![top];
    }
    top.iter_mut().filter(|(k, _)| inner.contains(k)).filter_map(|(_, v)| v.as_object_mut()).collect()
}

/// Changes a key wherever it stands.
fn set(json: &mut Value, key: &str, value: &Value) {
    if let Some(old) = json.get_mut(key) {
        *old = value.clone();
    }
    for map in maps(json) {
        if let Some(old) = map.get_mut(key) {
            *old = value.clone();
        }
    }
}

/// Number of layers, and lists with an item for each layer, where they fit the stack's old number.
fn relayer(json: &mut Value, old: usize, layers: &[usize]) {
    let change = |map: &mut Map<String, Value>| {
        let counts = COUNTS.iter().any(|k| map.get(*k).and_then(Value::as_u64) == Some(old as u64));
        if !counts {
            return;
        }
        for (key, value) in map.iter_mut() {
            if COUNTS.contains(&key.as_str()) && value.as_u64() == Some(old as u64) {
                *value = json!(layers.len());
            } else if let Some(list) = value.as_array()
                && list.len() == old
                && key.contains("layer")
            {
                *value = layers.iter().filter_map(|l| list.get(*l).cloned()).collect();
            }
        }
    };
    if let Some(top) = json.as_object_mut() {
        change(top);
    }
    for map in maps(json) {
        if map.get("num_hidden_layers") != Some(&json!(layers.len())) {
            change(map);
        }
    }
}
