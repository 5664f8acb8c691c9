//! The JSON schema of the ways of composing.

use serde_json::{Map, Value, json};

use super::methods::{MethodInfo, Methods};
use super::schema::{
    augment, calibration, columns_read, described, names_of, steps_by_column, strip, values_of,
};

/// An entry of `synthesis:`.
pub(super) fn synthesis(methods: &Methods) -> Value {
    let fuse = json!({
        "of": names_of("The members, or names of other syntheses."),
        "prune": {
            "type": "number", "minimum": 0,
            "description": "Take members out, the least needed first, while the cross-fitted log-loss (squared error in units of the \
                            target's variance) rises by no more than this."
        },
        "calibrate": calibration(),
    });
    let fusion = json!({
        "on": names_of("The modalities: columns, or the word table."),
        "features": described("As for members.", steps_by_column("feature_step")),
        "augment": described("As for members.", augment(methods)),
        "calibrate": calibration(),
    });
    let distill = json!({
        "teacher": {"type": "string", "description": "The member or composition that it learns from."},
        "on": columns_read(),
        "features": described("As for members.", steps_by_column("feature_step")),
        "augment": described("As for members.", augment(methods)),
        "share": {
            "type": "number", "minimum": 0, "maximum": 1,
            "description": "How much the teacher counts; the rest is the truth. As is usual for the method unless said."
        },
        "temperature": {
            "type": "number", "minimum": 1, "maximum": 20,
            "description": "What the logits of teacher and student are divided by: the higher, the more the unlikely classes count. For \
                            networks that classify alone."
        },
        "calibrate": calibration(),
    });
    let adapt = json!({
        "member": {
            "type": "string",
            "description": "The member whose settings are fitted again on the matched features."
        },
        "source": values_of("Which rows are source: column name to value."),
        "target": values_of("Which rows are target: column name to value."),
    });
    let group = |key: &'static str, list: &[MethodInfo], own: &Value, required: &[&str]| -> Vec<Value> {
        list.iter().map(|m| branch(key, m, own, required)).collect()
    };
    let mut branches = group("fuse", &methods.fusers, &fuse, &["of"]);
    branches.extend(group("fusion", &methods.fusions, &fusion, &["on"]));
    branches.extend(methods.merges.iter().map(merge));
    branches.extend(group("distill", &methods.learners, &distill, &["teacher"]));
    branches.extend(group("adapt", &methods.adapters, &adapt, &["member", "source", "target"]));
    let any = if branches.is_empty() { json!([{"type": "object"}]) } else { Value::from(branches) };
    json!({
        "description": "A way of composing: of predictions, features, weights or domains; or one student of such a composition.",
        "x-what": "synthesis",
        "x-method-keys": {
            "fuse": "way to fuse", "fusion": "fusion network", "merge": "way to merge", "distill": "student",
            "adapt": "adapter"
        },
        "oneOf": any,
    })
}

/// An entry of a way to merge. Its parameters stand beside the key, or their values to try under `search`; that one is there which must
/// be is seen when it is decoded.
fn merge(method: &MethodInfo) -> Value {
    let mut own = json!({
        "of": names_of("The members whose weights are merged."),
        "base": {
            "type": "string",
            "description": "The member that all of them started from, for methods that work with one; by default the one that all \
                            name in from, where the method needs one."
        },
        "calibrate": calibration(),
    });
    let schema = strip(method.schema.clone());
    let parameters = schema.get("properties").and_then(Value::as_object);
    let values = |(name, schema): (&String, &Value)| {
        let mut one = schema.clone();
        if let Some(map) = one.as_object_mut() {
            map.remove("description");
            map.remove("default");
        }
        let all = json!({
            "type": "array", "items": one, "minItems": 1,
            "description": format!("The values of {name} to try.")
        });
        (name.clone(), all)
    };
    let tries: Map<String, Value> = parameters.into_iter().flatten().map(values).collect();
    if let (Some(map), false) = (own.as_object_mut(), tries.is_empty()) {
        let search = json!({
            "type": "object", "properties": tries, "minProperties": 1,
            "description": "Values to try, by parameter: all combinations, of which judge.choose takes the best on honest rows."
        });
        map.insert("search".into(), search);
    }
    let mut method = method.clone();
    if let Some(map) = method.schema.as_object_mut() {
        map.remove("required");
    }
    branch("merge", &method, &own, &["of"])
}

/// An entry of one method: its key, the recipe's own keys, its parameters.
pub(super) fn branch(key: &str, method: &MethodInfo, own: &Value, required: &[&str]) -> Value {
    let mut schema = strip(method.schema.clone());
    let mut properties = match schema.get_mut("properties").map(Value::take) {
        Some(Value::Object(map)) => map,
        _ => Map::new(),
    };
    properties.extend(own.as_object().cloned().unwrap_or_default());
    properties
        .insert(key.to_owned(), json!({"const": method.name, "type": "string", "description": method.about}));
    let mut needed: Vec<Value> = vec![Value::from(key)];
    needed.extend(required.iter().map(|r| Value::from(*r)));
    needed.extend(schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default());
    json!({
        "type": "object", "title": method.name, "description": method.about,
        "properties": properties, "required": needed,
    })
}
