//! The result's `config.json`: the donor's, with what the merge has changed.

use std::collections::BTreeSet;

use consilience_core::document::quote;
use consilience_core::weights::Dtype;
use serde_json::{Map, Value, json};

use super::Job;
use super::layout::Origins;
use crate::model::{Model, stacks};

/// Keys that hold a number of layers, where a model has one stack of them.
const COUNTS: [&str; 14] = [
    "num_hidden_layers",
    "n_layer",
    "n_layers",
    "num_layers",
    "num_layer",
    "depth",
    "num_blocks",
    "n_blocks",
    "num_transformer_layers",
    "num_decoder_layers",
    "num_encoder_layers",
    "decoder_layers",
    "encoder_layers",
    "layers",
];
/// Keys that hold the number of layers of an encoder beside a decoder.
const ENCODER: [&str; 4] = ["num_encoder_layers", "encoder_layers", "num_layers", "num_hidden_layers"];
/// Keys that hold the number of layers of a decoder beside an encoder.
const DECODER: [&str; 2] = ["num_decoder_layers", "decoder_layers"];
/// Words that stand for one part of a model: in the names of its tensors, and before `_config` in its configuration.
const PARTS: [&[&str]; 5] = [
    &["vision", "visual", "vit", "image"],
    &["audio", "speech"],
    &["text", "language", "llm"],
    &["encoder"],
    &["decoder"],
];

/// The donor's configuration with layers, vocabulary, type of numbers and tied embeddings as they are in the result. `notes` takes what
/// could not be brought in line.
pub fn of(
    donor: &Model,
    jobs: &[Job],
    origins: &Origins,
    untied: bool,
    notes: &mut Vec<String>,
) -> Option<Value> {
    let Some(mut json) = donor.config.clone() else {
        notes.push(format!("{} has no config.json, and so has the result", quote(&donor.name.to_string())));
        return None;
    };
    let before = stacks(donor.checkpoint.tensors().iter().map(|t| t.name()));
    for (stack, layers) in origins {
        let old = before.get(stack.as_str()).copied().unwrap_or(0);
        if !relayer(&mut json, stack, before.len() == 1, old, layers) && layers.len() != old {
            notes.push(format!(
                "config.json says nowhere that {stack} has {old} layers; the result has {}: write that where it belongs",
                layers.len()
            ));
        }
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
        // Where nothing is said, some architectures have them tied.
        if donor.is_tied()
            && let Some(top) = json.as_object_mut()
        {
            top.insert("tie_word_embeddings".to_owned(), json!(false));
        }
    }
    let floats = |d: &Dtype| crate::kernels::decodes(*d);
    let dtypes: BTreeSet<&str> = jobs.iter().map(|j| j.dtype).filter(floats).map(Dtype::torch_name).collect();
    if let (Some(dtype), 1) = (dtypes.first(), dtypes.len()) {
        set(&mut json, "torch_dtype", &json!(dtype));
        set(&mut json, "dtype", &json!(dtype));
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

/// Number of layers, and lists with an item for each layer, where they fit the stack's old number. Of a model with several stacks the
/// part of the configuration is changed that is named like the stack. Says whether the configuration speaks of the stack.
fn relayer(json: &mut Value, stack: &str, only: bool, old: usize, layers: &[usize]) -> bool {
    let Some(top) = json.as_object_mut() else { return false };
    let has = |word: &str| stack.split(['.', '_']).any(|piece| piece == word);
    let config_of = |words: &[&str]| {
        let keys = words.iter().map(|word| format!("{word}_config"));
        keys.into_iter().find(|key| top.get(key).is_some_and(Value::is_object))
    };
    let own = PARTS.iter().filter(|words| words.iter().any(|w| has(w))).find_map(|words| config_of(words));
    let named = own.is_some();
    if !named && !only && PARTS.iter().take(2).copied().flatten().any(|word| has(word)) {
        // What stands outside of parts is about the text.
        return false;
    }
    let inner = own.or_else(|| config_of(&["text", "language", "llm"]));
    let keys: &[&str] = match (only, has("encoder"), has("decoder")) {
        (false, true, false) => &ENCODER,
        (false, false, true) => &DECODER,
        _ => &COUNTS,
    };
    if let Some(map) = inner.and_then(|key| top.get_mut(&key)).and_then(Value::as_object_mut) {
        // Within a part of its own no other stack is meant, and beside it none of this.
        let found = relayer_map(map, &COUNTS, old, layers);
        if found || named {
            return found;
        }
    }
    relayer_map(top, keys, old, layers)
}

/// Says whether the map speaks of the stack.
fn relayer_map(map: &mut Map<String, Value>, keys: &[&str], old: usize, layers: &[usize]) -> bool {
    let is_count = |key: &str, value: &Value| keys.contains(&key) && value.as_u64() == Some(old as u64);
    if !map.iter().any(|(key, value)| is_count(key, value)) {
        return false;
    }
    for (key, value) in map.iter_mut() {
        if is_count(key, value) {
            *value = json!(layers.len());
        } else if let Some(list) = value.as_array()
            && list.len() == old
            && key.contains("layer")
        {
            *value = layers.iter().filter_map(|l| list.get(*l).cloned()).collect();
        }
    }
    true
}
