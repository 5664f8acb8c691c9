//! Words for what a schema asks for and for what stands there instead.

use serde_json::Value;

use super::validate::{follow, leaves, listed};
use consilience_core::document::quote;
use consilience_core::document::{Content, Node};

/// The most names that are listed.
const MAX_NAMES: usize = 40;

/// `a`, or `one of a, b, c`.
pub(super) fn list(names: &[String]) -> String {
    match names {
        [only] => only.clone(),
        _ if names.len() > MAX_NAMES => {
            let shown: Vec<&str> = names.iter().take(MAX_NAMES).map(String::as_str).collect();
            format!("one of {}, ... ({} in all)", shown.join(", "), names.len())
        }
        _ => format!("one of {}", names.join(", ")),
    }
}

/// The kind of a node with its article.
pub(super) fn noun(node: &Node) -> &'static str {
    match node.content {
        Content::Null => "nothing",
        Content::Bool(_) => "true or false",
        Content::Int(_) => "a whole number",
        Content::Float(_) => "a number",
        Content::String(_) => "text",
        Content::Seq(_) => "a list",
        Content::Map(_) => "a map",
        Content::Refused => "refused",
    }
}

/// A node in a few words.
pub(super) fn show(node: &Node) -> String {
    match &node.content {
        Content::Bool(b) => b.to_string(),
        Content::Int(v) => v.to_string(),
        Content::Float(v) => format!("{v:?}"),
        Content::String(s) => quote(s),
        Content::Seq(items) => match items.len() {
            1 => "a list of 1 entry".to_owned(),
            n => format!("a list of {n} entries"),
        },
        Content::Map(entries) => match entries.as_slice() {
            [] => "an empty map".to_owned(),
            [first, ..] => format!("a map with the key {}", quote(&first.key)),
        },
        Content::Null | Content::Refused => "nothing".to_owned(),
    }
}

/// What a schema asks for, in words.
pub(super) fn describe(root: &Value, schema: &Value) -> String {
    let mut branches = Vec::new();
    leaves(root, schema, &mut branches);
    let values: Vec<String> = branches
        .iter()
        .filter_map(|b| listed(b))
        .flatten()
        .filter(|v| !v.is_null())
        .map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned))
        .collect();
    let mut out: Vec<String> = Vec::new();
    if !values.is_empty() {
        out.push(list(&values));
    }
    for branch in branches.iter().filter(|b| listed(b).is_none()) {
        let names: Vec<&str> = match branch.get("type") {
            Some(Value::String(name)) => vec![name],
            Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        for name in names {
            let words = typed(root, branch, name);
            if name != "null" && !out.contains(&words) {
                out.push(words);
            }
        }
    }
    out.join(", or ")
}

fn typed(root: &Value, schema: &Value, name: &str) -> String {
    match name {
        "boolean" => "true or false".to_owned(),
        "integer" => format!("a whole number{}", Bounds::of(schema).words()),
        "number" => format!("a number{}", Bounds::of(schema).words()),
        "string" => match (schema.get("minLength"), schema.get("maxLength")) {
            (Some(a), Some(b)) if a == b && a.as_u64() == Some(1) => "text of one character".to_owned(),
            (Some(a), Some(b)) => format!("text of {a} to {b} characters"),
            (Some(a), None) => format!("text of at least {a} characters"),
            (None, Some(b)) => format!("text of at most {b} characters"),
            (None, None) => "text".to_owned(),
        },
        "array" => {
            let item = schema.get("items").map(|s| follow(root, s));
            match item.and_then(|s| s.get("type")).and_then(Value::as_str) {
                Some("string") => "a list of names, as in [a, b]".to_owned(),
                Some("integer" | "number") => "a list of numbers, as in [1, 2]".to_owned(),
                _ => "a list".to_owned(),
            }
        }
        "object" => {
            let keys: Vec<&str> = schema
                .get("properties")
                .and_then(Value::as_object)
                .into_iter()
                .flat_map(|p| p.keys().map(String::as_str))
                .collect();
            match keys.as_slice() {
                [] => "a map".to_owned(),
                [only] => format!("a map with the key {only}"),
                some if some.len() <= 6 => format!("a map with the keys {}", some.join(", ")),
                _ => "a map".to_owned(),
            }
        }
        other => other.to_owned(),
    }
}

/// The bounds of a number.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Bounds {
    least: Option<f64>,
    most: Option<f64>,
    above: Option<f64>,
    below: Option<f64>,
    /// What the type itself can hold.
    holds: Option<(i128, i128)>,
}

impl Bounds {
    pub(super) fn of(schema: &Value) -> Self {
        let number = |word: &str| schema.get(word).and_then(Value::as_f64);
        let holds = match schema.get("format").and_then(Value::as_str) {
            Some("uint8") => Some((0, i128::from(u8::MAX))),
            Some("uint16") => Some((0, i128::from(u16::MAX))),
            Some("uint32") => Some((0, i128::from(u32::MAX))),
            Some("uint64" | "uint") => Some((0, i128::from(u64::MAX))),
            Some("int8") => Some((i128::from(i8::MIN), i128::from(i8::MAX))),
            Some("int16") => Some((i128::from(i16::MIN), i128::from(i16::MAX))),
            Some("int32") => Some((i128::from(i32::MIN), i128::from(i32::MAX))),
            Some("int64" | "int") => Some((i128::from(i64::MIN), i128::from(i64::MAX))),
            _ => None,
        };
        Self {
            least: number("minimum"),
            most: number("maximum"),
            above: number("exclusiveMinimum"),
            below: number("exclusiveMaximum"),
            holds,
        }
    }

    /// Whether a number keeps them.
    pub(super) fn hold(&self, node: &Node) -> bool {
        let v = match node.content {
            Content::Int(v) => v as f64,
            Content::Float(v) => v,
            _ => return true,
        };
        self.least.is_none_or(|b| v >= b)
            && self.most.is_none_or(|b| v <= b)
            && self.above.is_none_or(|b| v > b)
            && self.below.is_none_or(|b| v < b)
            && self.fits(node)
    }

    fn fits(&self, node: &Node) -> bool {
        match (self.holds, &node.content) {
            (Some((least, most)), Content::Int(v)) => *v >= least && *v <= most,
            _ => true,
        }
    }

    /// What was expected of a number that does not keep them.
    pub(super) fn expected(&self, described: String, node: &Node) -> String {
        match self.holds.filter(|_| !self.fits(node)) {
            Some((least, most)) => format!("a whole number from {least} to {most}"),
            None => described,
        }
    }

    fn words(self) -> String {
        let lower = match (self.least, self.above) {
            (_, Some(a)) => format!(" above {a}"),
            (Some(a), None) => format!(" of at least {a}"),
            (None, None) => String::new(),
        };
        match (self.least, self.above, self.most, self.below) {
            (Some(a), None, Some(b), None) => format!(" from {a} to {b}"),
            (_, _, _, Some(b)) if lower.is_empty() => format!(" below {b}"),
            (_, _, _, Some(b)) => format!("{lower} and below {b}"),
            (_, _, Some(b), None) if lower.is_empty() => format!(" of at most {b}"),
            (_, _, Some(b), None) => format!("{lower} and at most {b}"),
            (_, _, None, None) => lower,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_schema_is_said_in_words() {
        for (schema, words) in [
            (json!({"type": "integer", "minimum": 1, "maximum": 9}), "a whole number from 1 to 9"),
            (json!({"type": "integer", "minimum": 1}), "a whole number of at least 1"),
            (
                json!({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}),
                "a number above 0 and below 1",
            ),
            (
                json!({"type": "number", "exclusiveMinimum": 0, "maximum": 1}),
                "a number above 0 and at most 1",
            ),
            (json!({"type": "number", "maximum": 1.5}), "a number of at most 1.5"),
            (json!({"type": ["string", "null"]}), "text"),
            (json!({"type": "string", "minLength": 1, "maxLength": 1}), "text of one character"),
            (
                json!({"anyOf": [{"oneOf": [{"const": "a"}, {"const": "b"}]}, {"type": "null"}]}),
                "one of a, b",
            ),
            (
                json!({"anyOf": [{"const": "v"}, {"type": "object", "properties": {"folds": {}}}]}),
                "v, or a map with the key folds",
            ),
            (json!({"type": "array", "items": {"type": "string"}}), "a list of names, as in [a, b]"),
        ] {
            assert_eq!(describe(&schema, &schema), words);
        }
    }
}
