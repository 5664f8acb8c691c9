//! The JSON schema of a whole recipe, put together from the registries: for editors, and for the check by path.
//!
//! Three words of our own help the check and are ignored by every other reader: `x-method-keys` names the keys of which
//! an entry has exactly one, `x-beside` those that may stand beside the one name of a step, and `x-what` says what an
//! unknown name was meant to be.

use consilience_core::data::{DataSpec, HonestSpec, SplitSpec, TaskKind};
use consilience_core::registry::schema_of;
use serde_json::{Map, Value, json};

use crate::foreign::{Gives, Missing};

use super::methods::{MethodInfo, Methods, MetricInfo};
use super::schema_synthesis::{branch, synthesis};
use super::types::{Budget, MIXUP, Seen};

/// The keys of an entry that are the recipe's own, by method key; everything beside them is a parameter.
pub(super) fn own_keys(method_key: &str) -> &'static [&'static str] {
    match method_key {
        "fit" => &["fit", "on", "features", "augment", "from", "rows", "bag", "calibrate"],
        "load" => {
            &["load", "seen", "inputs", "features", "output", "gives", "missing", "classes", "calibrate"]
        }
        "predictions" => &["predictions", "id", "fold", "label", "columns", "member", "seen", "calibrate"],
        "fuse" => &["fuse", "of", "prune", "calibrate"],
        "fusion" => &["fusion", "on", "features", "augment", "calibrate"],
        "merge" => &["merge", "of", "base", "search", "calibrate"],
        "adapt" => &["adapt", "member", "source", "target"],
        "distill" => {
            &["distill", "teacher", "on", "features", "augment", "share", "temperature", "calibrate"]
        }
        _ => &[],
    }
}

/// How many bootstrap resamples a recipe asks for unless it says otherwise.
pub(super) const RESAMPLES: u32 = 2000;
/// The level of intervals unless the recipe says otherwise.
pub(super) const LEVEL: f64 = 0.95;

/// The JSON schema (draft 2020-12) of a recipe, deterministic in `methods`. Every map in it is closed: a key that is
/// not named is an error.
pub fn recipe_schema(methods: &Methods) -> Value {
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Consilience recipe",
        "description": "What the data are, which members exist, which ways of composing to try, how to judge.",
        "type": "object",
        "required": ["version", "task", "data", "split"],
        "additionalProperties": false,
        "properties": {
            "version": {"const": 1, "description": "The version of this grammar."},
            "name": {"type": "string", "description": "The name of the runs; the file's name by default."},
            "task": part::<TaskKind>(),
            "seed": {
                "type": "integer", "minimum": 0, "format": "uint64", "default": 0,
                "description": "The root of all seeds."
            },
            "data": part::<DataSpec>(),
            "split": part::<SplitSpec>(),
            "honest": part::<HonestSpec>(),
            "features": described(
                "Feature steps by column, for all members that do not say otherwise.",
                steps_by_column("feature_step"),
            ),
            "augment": described(
                "Augmentation by column (and the entry mixup), on rows for fitting only.",
                augment(methods),
            ),
            "members": {
                "type": "object",
                "description": "The members of the compositions by name.",
                "additionalProperties": {"$ref": "#/$defs/member"}
            },
            "synthesis": {
                "type": "object",
                "description": "The ways of composing that are tried, by name.",
                "additionalProperties": {"$ref": "#/$defs/synthesis"}
            },
            "regions": described(
                "Sets of classes, or intervals, that hold the truth as often as they promise; the rows that set them are those of \
                 split: {regions: ...}.",
                step("kind of region", &methods.regions, &json!({"stratum": {
                    "type": "string",
                    "description": "With by: stratum: the column whose values have thresholds of their own."
                }})),
            ),
            "judge": judge(),
        },
        "$defs": {
            "feature_step": step("feature", &methods.features, &json!({})),
            "transform_step": step(
                "transform",
                &methods.transforms,
                &json!({"p": {
                    "type": "number", "minimum": 0, "maximum": 1, "default": 1,
                    "description": "How often the step is done at all."
                }}),
            ),
            "calibration": described(
                "How what it says is calibrated, on honest predictions.",
                step("way to calibrate", &methods.calibrators, &json!({})),
            ),
            "metric": metric(&methods.metrics),
            "member": member(methods),
            "synthesis": synthesis(methods),
        },
    });
    close(&mut schema);
    schema
}

/// A type's schema without the words that belong at a root.
fn part<T: schemars::JsonSchema>() -> Value {
    strip(schema_of::<T>())
}

pub(super) fn strip(mut schema: Value) -> Value {
    if let Some(map) = schema.as_object_mut() {
        map.remove("$schema");
        map.remove("title");
    }
    schema
}

pub(super) fn described(description: &str, mut schema: Value) -> Value {
    if let Some(map) = schema.as_object_mut() {
        map.insert("description".into(), description.into());
    }
    schema
}

fn default_of<T: schemars::JsonSchema>(default: &str) -> Value {
    let mut schema = part::<T>();
    if let Some(map) = schema.as_object_mut() {
        map.insert("default".into(), default.into());
    }
    schema
}

pub(super) fn steps_by_column(step: &str) -> Value {
    let item = json!({"$ref": format!("#/$defs/{step}")});
    json!({"type": "object", "additionalProperties": {"type": "array", "items": item}})
}

/// Lists of steps by column, and the entry `mixup`.
pub(super) fn augment(methods: &Methods) -> Value {
    let mut schema = steps_by_column("transform_step");
    if let (Some(map), Some(m)) = (schema.as_object_mut(), &methods.mixup) {
        let parameters = described(&m.about, strip(m.schema.clone()));
        map.insert("properties".into(), json!({MIXUP: parameters}));
    }
    schema
}

/// `name`, or `{name: {parameter: value}}`, with the keys of `beside` next to the name.
fn step(what: &str, methods: &[MethodInfo], beside: &Value) -> Value {
    let names: Vec<Value> =
        methods.iter().map(|m| json!({"const": m.name, "type": "string", "description": m.about})).collect();
    let mut properties = beside.as_object().cloned().unwrap_or_default();
    let beside: Vec<String> = properties.keys().cloned().collect();
    properties.extend(methods.iter().map(|m| (m.name.clone(), described(&m.about, strip(m.schema.clone())))));
    let map = json!({
        "type": "object", "x-what": what, "x-beside": beside,
        "minProperties": 1, "maxProperties": 1 + beside.len(),
        "properties": properties, "additionalProperties": false,
    });
    let mut branches = vec![map];
    if !names.is_empty() {
        branches.insert(0, json!({"oneOf": names}));
    }
    json!({"oneOf": branches, "x-what": what})
}

fn metric(metrics: &[MetricInfo]) -> Value {
    if metrics.is_empty() {
        return json!({"type": "string"});
    }
    let names: Vec<Value> =
        metrics.iter().map(|m| json!({"const": m.name, "type": "string", "description": m.about})).collect();
    json!({"oneOf": names, "x-what": "metric"})
}

fn judge() -> Value {
    json!({
        "type": "object",
        "description": "How the result is judged.",
        "properties": {
            "choose": {
                "$ref": "#/$defs/metric",
                "description": "The metric by which members and compositions are chosen, on honest predictions; \
                                log_loss for classes and rmse for values by default."
            },
            "report": {
                "type": "array", "items": {"$ref": "#/$defs/metric"}, "default": [],
                "description": "Metrics that are reported beside it."
            },
            "resamples": {
                "type": "integer", "minimum": 0, "maximum": 1_000_000, "default": RESAMPLES,
                "description": "How many bootstrap resamples; 0 for no intervals."
            },
            "level": {
                "type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1, "default": LEVEL,
                "description": "The level of the intervals."
            },
            "budget": described(
                "What the chosen model may cost at most, members included: what models declare, never a measured time.",
                part::<Budget>(),
            ),
        },
    })
}

pub(super) fn calibration() -> Value {
    json!({"$ref": "#/$defs/calibration", "description": "How what it says is calibrated."})
}

pub(super) fn names_of(description: &str) -> Value {
    json!({"type": "array", "items": {"type": "string"}, "minItems": 1, "description": description})
}

pub(super) fn values_of(description: &str) -> Value {
    json!({
        "type": "object", "additionalProperties": {"type": "string"}, "minProperties": 1,
        "description": description
    })
}

pub(super) fn columns_read() -> Value {
    let mut on = names_of("The columns it reads; the word table stands for all numbers and categories.");
    if let Some(map) = on.as_object_mut() {
        map.insert("default".into(), json!(["table"]));
    }
    on
}

fn member(methods: &Methods) -> Value {
    let own = json!({
        "on": columns_read(),
        "features": described(
            "Feature steps for some columns instead of the recipe's or the default ones.",
            steps_by_column("feature_step"),
        ),
        "augment": described(
            "Transforms of training rows for some columns instead of the recipe's; an empty list for none. For networks.",
            augment(methods),
        ),
        "from": {"type": "string", "description": "The member whose fitted model it starts from."},
        "rows": {"type": "string", "description": "A filter on the rows it is fitted on: third == 1."},
        "bag": {
            "type": "boolean", "default": false,
            "description": "Keep the fold models and predict by their mean, instead of a refit on all rows."
        },
        "calibrate": calibration(),
    });
    let seen = described(
        "Whether it has seen the rows of this recipe; unknown by default, and then the verdict says so.",
        part::<Seen>(),
    );
    let mut branches: Vec<Value> = methods.learners.iter().map(|m| branch("fit", m, &own, &[])).collect();
    branches.push(json!({
        "type": "object", "title": "load", "required": ["load"],
        "properties": {
            "load": {
                "type": "string",
                "description": "A model directory or an ONNX file, below the data folder or beside the recipe."
            },
            "seen": seen,
            "inputs": {
                "type": "object", "minProperties": 1,
                "additionalProperties": names_of("The columns that feed it, side by side in this order."),
                "description": "Of an ONNX file: for each of its inputs by name the columns that feed it."
            },
            "features": described(
                "Of an ONNX file: steps for some columns; only such as learn nothing from rows.",
                steps_by_column("feature_step"),
            ),
            "output": {
                "type": "string",
                "description": "Of an ONNX file: the output that predicts; the only one of floats by default."
            },
            "gives": described("Of an ONNX file: what the numbers of its output are.", default_of::<Gives>("probabilities")),
            "missing": described("Of an ONNX file: what stands for a missing number.", default_of::<Missing>("refused")),
            "classes": names_of("Of an ONNX file: the classes by name in the order of its outputs."),
            "calibrate": calibration(),
        },
    }));
    branches.push(json!({
        "type": "object", "title": "predictions", "required": ["predictions"],
        "properties": {
            "predictions": {
                "type": "string",
                "description": "A csv, parquet or npy file: ids, folds, one column a class (or one value)."
            },
            "id": {"type": "string", "description": "The column of row ids; id by default."},
            "fold": {"type": "string", "description": "The column of folds, if the predictions are out-of-fold."},
            "label": {
                "type": "string",
                "description": "The column of the class that it names, for members that do not say how sure they are: people, for one."
            },
            "columns": {
                "type": "object", "additionalProperties": {"type": "string"},
                "description": "Class name to column name; the class names themselves by default. Of two classes one is \
                    enough."
            },
            "member": {
                "type": "integer", "minimum": 0,
                "description": "Of an npy array [members, rows, classes]: which of them, from 0."
            },
            "seen": seen,
            "calibrate": calibration(),
        },
    }));
    json!({
        "description": "A member: fitted here, loaded, or predictions made elsewhere.",
        "x-what": "member",
        "x-method-keys": {"fit": "learner", "load": "model directory", "predictions": "table"},
        "oneOf": branches,
    })
}

/// Closes every map whose keys are named: a misspelt key is never accepted.
fn close(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(close),
        Value::Object(map) => {
            let names_keys =
                map.get("type").is_some_and(|t| *t == json!("object")) && map.contains_key("properties");
            if names_keys && !map.contains_key("additionalProperties") {
                map.insert("additionalProperties".into(), Value::Bool(false));
            }
            map.iter_mut().filter(|(k, _)| *k != "default" && *k != "const" && *k != "enum").for_each(
                |(_, v)| {
                    close(v);
                },
            );
        }
        _ => {}
    }
}

/// What is wrong with the registered methods themselves: schema words that the check does not understand (it would
/// let through what they forbid), parameters named like a key of the recipe, names given twice. Empty for sound
/// registries; a test of whoever puts the registries together.
pub fn complaints(methods: &Methods) -> Vec<String> {
    let mut out = Vec::new();
    let mixup: Vec<MethodInfo> = methods.mixup.iter().cloned().collect();
    let groups: [(&str, &str, &[MethodInfo]); 10] = [
        ("learner", "fit", &methods.learners),
        ("fuser", "fuse", &methods.fusers),
        ("calibrator", "", &methods.calibrators),
        ("region", "", &methods.regions),
        ("fusion", "fusion", &methods.fusions),
        ("merge", "merge", &methods.merges),
        ("adapter", "adapt", &methods.adapters),
        ("feature", "", &methods.features),
        ("transform", "", &methods.transforms),
        ("augment", "", &mixup),
    ];
    for (what, key, list) in groups {
        for (i, method) in list.iter().enumerate() {
            let place = format!("{what} {}", method.name);
            if list.iter().take(i).any(|m| m.name == method.name) {
                out.push(format!("{place}: the name is given twice"));
            }
            let parameters = method.schema.get("properties").and_then(Value::as_object);
            for name in parameters.into_iter().flat_map(Map::keys) {
                if own_keys(key).contains(&name.as_str()) {
                    out.push(format!("{place}: the parameter {name} is a key of the recipe itself"));
                }
            }
            unknown_words(&method.schema, &place, &mut out);
        }
    }
    out
}

const KNOWN_WORDS: [&str; 33] = [
    "$schema",
    "title",
    "description",
    "default",
    "examples",
    "deprecated",
    "readOnly",
    "writeOnly",
    "format",
    "type",
    "enum",
    "const",
    "oneOf",
    "anyOf",
    "allOf",
    "properties",
    "required",
    "additionalProperties",
    "minProperties",
    "maxProperties",
    "items",
    "prefixItems",
    "minItems",
    "maxItems",
    "uniqueItems",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "minLength",
    "maxLength",
    "x-what",
    "x-method-keys",
];

fn unknown_words(schema: &Value, place: &str, out: &mut Vec<String>) {
    let Some(map) = schema.as_object() else { return };
    for (word, value) in map {
        if !KNOWN_WORDS.contains(&word.as_str()) {
            out.push(format!("{place}: the schema word {word} is not understood"));
        }
        match (word.as_str(), value) {
            ("properties", Value::Object(inner)) => {
                inner.iter().for_each(|(k, v)| unknown_words(v, &format!("{place}.{k}"), out));
            }
            ("oneOf" | "anyOf" | "allOf" | "prefixItems", Value::Array(inner)) => {
                inner.iter().for_each(|v| unknown_words(v, place, out));
            }
            ("items" | "additionalProperties", inner) => unknown_words(inner, place, out),
            _ => {}
        }
    }
}
