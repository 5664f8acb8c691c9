//! The check by path: a tree against a JSON schema, every finding at once, each with its place.
//!
//! The subset of draft 2020-12 that [`schemars`] emits; [`complaints`](super::schema::complaints) names registered
//! schemas that leave it.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::expect::{Bounds, describe, list, noun, show};
use consilience_core::document::{Content, Entry, Node, Span};
use consilience_core::document::{Finding, List, quote, suggest};

/// The path of a key below a path.
pub(super) fn below(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// Everything in `root` that `schema` forbids.
pub fn validate(root: &Node, schema: &Value) -> Vec<Finding> {
    let mut check = Check { root: schema, findings: List::default() };
    check.node(root, schema, "", Span { end: root.span.start, ..root.span });
    check.findings.into_vec()
}

/// Follows `$ref` into the definitions of `root`.
pub(super) fn follow<'a>(root: &'a Value, mut schema: &'a Value) -> &'a Value {
    for _ in 0..16 {
        let Some(target) = schema.get("$ref").and_then(Value::as_str) else { break };
        let Some(found) = target.strip_prefix('#').and_then(|p| root.pointer(p)) else { break };
        schema = found;
    }
    schema
}

/// The alternatives of a schema, nested ones laid flat.
pub(super) fn leaves<'a>(root: &'a Value, schema: &'a Value, out: &mut Vec<&'a Value>) {
    let schema = follow(root, schema);
    match schema.get("oneOf").or_else(|| schema.get("anyOf")).and_then(Value::as_array) {
        Some(branches) => branches.iter().for_each(|b| leaves(root, b, out)),
        None => out.push(schema),
    }
}

/// The values of a schema that lists them.
pub(super) fn listed(schema: &Value) -> Option<Vec<&Value>> {
    match (schema.get("const"), schema.get("enum")) {
        (Some(value), _) => Some(vec![value]),
        (None, Some(Value::Array(values))) => Some(values.iter().collect()),
        _ => None,
    }
}

/// Whether a schema's `type` takes a node.
fn takes(schema: &Value, node: &Node) -> bool {
    let one = |name: &str| match &node.content {
        Content::Null => name == "null",
        Content::Bool(_) => name == "boolean",
        Content::Int(_) => name == "integer" || name == "number",
        Content::Float(_) => name == "number",
        Content::String(_) => name == "string",
        Content::Seq(_) => name == "array",
        Content::Map(_) => name == "object",
        Content::Refused => true,
    };
    match schema.get("type") {
        None => true,
        Some(Value::String(name)) => one(name),
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).any(one),
        Some(_) => false,
    }
}

/// Where a step stands, and what it should name.
struct Place<'a> {
    what: &'a str,
    path: &'a str,
    label: Span,
}

struct Check<'a> {
    root: &'a Value,
    findings: List,
}

impl<'a> Check<'a> {
    fn say(&mut self, finding: Finding, path: &str) {
        self.findings.push(finding.at(path));
    }

    /// Checks a node. `label` is where something missing from it is reported: its key.
    fn node(&mut self, node: &Node, schema: &'a Value, path: &str, label: Span) {
        if node.content == Content::Refused || self.findings.is_full() {
            return;
        }
        let schema = follow(self.root, schema);
        let Some(words) = schema.as_object() else {
            if schema == &Value::Bool(false) {
                self.say(Finding::error("nothing is allowed here", node.span).got(show(node)), path);
            }
            return;
        };
        if let Some(keys) = words.get("x-method-keys").and_then(Value::as_object) {
            return self.method_entry(node, schema, keys, path, label);
        }
        if words.contains_key("oneOf") || words.contains_key("anyOf") {
            return self.alternatives(node, schema, path, label);
        }
        for inner in words.get("allOf").and_then(Value::as_array).into_iter().flatten() {
            self.node(node, inner, path, label);
        }
        if let Some(values) = listed(schema) {
            return self.one_of(node, &values, schema, path, label);
        }
        if !takes(schema, node) {
            return self.wrong(node, describe(self.root, schema), path, label);
        }
        match &node.content {
            Content::Map(_) => self.map(node, words, path, label, None),
            Content::Seq(items) => self.list(node, items, words, path),
            Content::String(text) => {
                let bound = |word: &str| words.get(word).and_then(Value::as_u64);
                let length = text.chars().count() as u64;
                if bound("minLength").is_some_and(|m| length < m)
                    || bound("maxLength").is_some_and(|m| length > m)
                {
                    self.wrong(node, describe(self.root, schema), path, label);
                }
            }
            Content::Int(_) | Content::Float(_) => {
                let bounds = Bounds::of(schema);
                if !bounds.hold(node) {
                    let finding = Finding::error("the number is out of range", node.span)
                        .expected(bounds.expected(describe(self.root, schema), node))
                        .got(show(node));
                    self.say(finding, path);
                }
            }
            _ => {}
        }
    }

    /// Another kind of value than expected. Nothing at all is reported at its key.
    fn wrong(&mut self, node: &Node, expected: String, path: &str, label: Span) {
        let finding = match &node.content {
            Content::Null => {
                let span = if node.span.end > node.span.start { node.span } else { label };
                Finding::error("a value is missing", span).expected(expected)
            }
            _ => {
                let wants_text = expected.starts_with("text") || expected.starts_with("a name");
                let scalar = matches!(node.content, Content::Bool(_) | Content::Int(_) | Content::Float(_));
                let mut finding = Finding::error(format!("this is {}", noun(node)), node.span)
                    .expected(expected)
                    .got(show(node));
                if wants_text && scalar {
                    finding = finding.remedy("put it in quotes to make it text");
                }
                finding
            }
        };
        self.say(finding, path);
    }

    fn one_of(&mut self, node: &Node, values: &[&Value], schema: &Value, path: &str, label: Span) {
        let json = node.to_json();
        if values.contains(&&json) {
            return;
        }
        let names: Vec<&str> = values.iter().filter_map(|v| v.as_str()).collect();
        let all: Vec<String> = values.iter().filter(|v| !v.is_null()).map(|v| plain(v)).collect();
        match node.text().filter(|_| !names.is_empty()) {
            Some(text) => {
                let what = schema.get("x-what").and_then(Value::as_str);
                let message = match what {
                    Some(what) => format!("there is no {what} named {}", quote(text)),
                    None => format!("{} is not known here", quote(text)),
                };
                let finding = Finding::error(message, node.span)
                    .expected(list(&all))
                    .near(suggest(text, names.iter().copied()));
                self.say(finding, path);
            }
            None if values
                .iter()
                .any(|v| v.is_number() == json.is_number() && v.is_boolean() == json.is_boolean())
                && (json.is_number() || json.is_boolean()) =>
            {
                let finding = Finding::error(format!("{} is not known here", show(node)), node.span);
                self.say(finding.expected(list(&all)), path);
            }
            None => self.wrong(node, list(&all), path, label),
        }
    }

    fn alternatives(&mut self, node: &Node, schema: &'a Value, path: &str, label: Span) {
        let mut branches = Vec::new();
        leaves(self.root, schema, &mut branches);
        let values: Vec<&Value> = branches.iter().filter_map(|b| listed(b)).flatten().collect();
        let json = node.to_json();
        if values.contains(&&json) {
            return;
        }
        let typed: Vec<&'a Value> =
            branches.iter().copied().filter(|b| listed(b).is_none() && takes(b, node)).collect();
        match typed.as_slice() {
            [] if node.text().is_some() && values.iter().any(|v| v.is_string()) => {
                self.one_of(node, &values, schema, path, label);
            }
            [] => self.wrong(node, describe(self.root, schema), path, label),
            [only] => self.node(node, only, path, label),
            several => {
                // The alternative that finds least fault; the first of equals.
                let tries = several.iter().map(|branch| {
                    let mut check = Check { root: self.root, findings: List::default() };
                    check.node(node, branch, path, label);
                    check.findings.into_vec()
                });
                let best = tries.min_by_key(Vec::len).unwrap_or_default();
                self.findings.extend(best);
            }
        }
    }

    /// Checks a map's keys and values, but for the value of the key `except`.
    fn map(
        &mut self,
        node: &Node,
        words: &'a Map<String, Value>,
        path: &str,
        label: Span,
        except: Option<&str>,
    ) {
        let entries = node.entries();
        let named = words.get("properties").and_then(Value::as_object);
        let beside = words.get("x-beside").and_then(Value::as_array);
        let known: Vec<&str> = named
            .into_iter()
            .flat_map(|p| p.keys().map(String::as_str))
            .filter(|k| !beside.is_some_and(|b| b.contains(&Value::from(*k))))
            .collect();
        let what = words.get("x-what").and_then(Value::as_str);
        let free: Vec<&str> = known.iter().copied().filter(|k| node.entry(k).is_none()).collect();
        let mut meant = Vec::new();
        for entry in entries.iter().filter(|e| except != Some(e.key.as_str())) {
            if self.findings.is_full() {
                return;
            }
            let inner = below(path, &entry.key);
            if let Some(schema) = named.and_then(|p| p.get(&entry.key)) {
                self.node(&entry.value, schema, &inner, entry.key_span);
                continue;
            }
            match words.get("additionalProperties") {
                Some(Value::Bool(false)) => {
                    let near = suggest(&entry.key, free.iter().copied());
                    meant.extend(near);
                    let all: Vec<String> = known.iter().map(|k| (*k).to_owned()).collect();
                    let of = words.get("title").and_then(Value::as_str).filter(|_| !path.is_empty());
                    let message = match (what, of) {
                        (Some(what), _) => format!("there is no {what} named {}", quote(&entry.key)),
                        (None, Some(of)) => format!("{of} has no key {}", quote(&entry.key)),
                        (None, None) => format!("the key {} is not known", quote(&entry.key)),
                    };
                    let expected = if all.is_empty() { "no keys".to_owned() } else { list(&all) };
                    self.say(Finding::error(message, entry.key_span).expected(expected).near(near), &inner);
                    // What was meant is clear enough to check its value too.
                    if let Some(schema) = near.and_then(|n| named.and_then(|p| p.get(n))) {
                        self.node(&entry.value, schema, &inner, entry.key_span);
                    }
                }
                Some(schema) => self.node(&entry.value, schema, &inner, entry.key_span),
                None => {}
            }
        }
        let required = words.get("required").and_then(Value::as_array);
        for key in required.into_iter().flatten().filter_map(Value::as_str) {
            if node.entry(key).is_none() && !meant.contains(&key) {
                let value = named.and_then(|p| p.get(key)).map(|s| describe(self.root, s));
                let expected = value.map_or_else(|| key.to_owned(), |v| format!("{key}: {v}"));
                let finding =
                    Finding::error(format!("the key \"{key}\" is missing"), label).expected(expected);
                self.say(finding, path);
            }
        }
        if let Some(beside) = beside {
            let place = Place { what: what.unwrap_or("method"), path, label };
            return self.one_name(node, beside, &known, place);
        }
        let bound = |word: &str| words.get(word).and_then(Value::as_u64).map(|v| v as usize);
        if bound("minProperties").is_some_and(|m| entries.len() < m) {
            let span = if node.span.end > node.span.start { node.span } else { label };
            self.say(Finding::error("the map is empty", span).expected("at least one key"), path);
        }
        if let Some(extra) = bound("maxProperties").and_then(|m| entries.get(m)) {
            let finding = Finding::error("this map has several keys", extra.key_span)
                .expected("fewer")
                .got(format!("{} keys", entries.len()));
            self.say(finding, path);
        }
    }

    /// A step names one method; `beside` are the keys that may stand next to it.
    fn one_name(&mut self, node: &Node, beside: &[Value], methods: &[&str], words: Place<'_>) {
        let Place { what, path, label } = words;
        let mut names = node.entries().iter().filter(|e| !beside.contains(&Value::from(e.key.as_str())));
        // Names that are not known were reported already.
        let mut known = names.clone().filter(|e| methods.contains(&e.key.as_str()));
        if names.next().is_none() {
            let span = if node.span.end > node.span.start { node.span } else { label };
            self.say(Finding::error(format!("this step names no {what}"), span), path);
        } else if let Some(second) = known.nth(1) {
            let finding = Finding::error(format!("this step names several {what}s"), second.key_span)
                .expected("one an entry of the list")
                .remedy("begin a new entry of the list for it");
            self.say(finding, path);
        }
    }

    fn list(&mut self, node: &Node, items: &[Node], words: &'a Map<String, Value>, path: &str) {
        let first = words.get("prefixItems").and_then(Value::as_array);
        let unique = words.get("uniqueItems") == Some(&Value::Bool(true));
        let mut seen = BTreeSet::new();
        for (i, item) in items.iter().enumerate() {
            let schema = first.and_then(|f| f.get(i)).or_else(|| words.get("items"));
            if let Some(schema) = schema {
                self.node(item, schema, &format!("{path}[{i}]"), item.span);
            }
            if unique && !seen.insert(item.to_json().to_string()) {
                let finding =
                    Finding::error(format!("{} is given twice", show(item)), item.span).expected("each once");
                self.say(finding, &format!("{path}[{i}]"));
            }
        }
        let bound = |word: &str| words.get(word).and_then(Value::as_u64).map(|v| v as usize);
        let (least, most) = (bound("minItems"), bound("maxItems"));
        if least.is_some_and(|m| items.len() < m) || most.is_some_and(|m| items.len() > m) {
            let entries = |n: usize| if n == 1 { "1 entry".to_owned() } else { format!("{n} entries") };
            let expected = match (least, most) {
                (Some(a), Some(b)) if a == b => entries(a),
                (Some(a), Some(b)) => format!("{a} to {b} entries"),
                (Some(a), None) => format!("at least {}", entries(a)),
                (None, Some(b)) => format!("at most {}", entries(b)),
                (None, None) => String::new(),
            };
            let finding = Finding::error("the list has the wrong length", node.span)
                .expected(expected)
                .got(entries(items.len()));
            self.say(finding, path);
        }
    }

    /// An entry with one method key: finds it, then the method, then checks the entry as one of that method.
    fn method_entry(
        &mut self,
        node: &Node,
        schema: &'a Value,
        keys: &'a Map<String, Value>,
        path: &str,
        label: Span,
    ) {
        let names: Vec<String> = keys.keys().cloned().collect();
        if !matches!(node.content, Content::Map(_)) {
            return self.wrong(node, format!("a map with one of the keys {}", names.join(", ")), path, label);
        }
        let present: Vec<&Entry> = node.entries().iter().filter(|e| keys.contains_key(&e.key)).collect();
        let Some(entry) = present.first() else {
            let what = schema.get("x-what").and_then(Value::as_str).unwrap_or("entry");
            let near = node
                .entries()
                .iter()
                .find_map(|e| suggest(&e.key, names.iter().map(String::as_str)).map(|near| (e, near)));
            let span = near.map_or(label, |(e, _)| e.key_span);
            let finding = Finding::error(format!("this {what} has no method"), span)
                .expected(format!("one of the keys {}", names.join(", ")))
                .near(near.map(|(_, n)| n));
            return self.say(finding, path);
        };
        if let Some(second) = present.get(1) {
            let finding = Finding::error(
                format!("{} and {} stand in one entry", quote(&entry.key), quote(&second.key)),
                second.key_span,
            )
            .expected(format!("one of the keys {}", names.join(", ")))
            .remedy("make two entries of it");
            return self.say(finding, path);
        }
        let key = entry.key.as_str();
        let branches: Vec<&'a Value> = schema
            .get("oneOf")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter(|b| {
                b.get("required").and_then(Value::as_array).is_some_and(|r| r.contains(&Value::from(key)))
            })
            .collect();
        let name_of = |b: &'a Value| b.get("properties")?.get(key)?.get("const")?.as_str();
        let methods: Vec<&str> = branches.iter().filter_map(|b| name_of(b)).collect();
        let inner = below(path, key);
        let branch = if methods.is_empty() && !branches.is_empty() {
            branches.first()
        } else {
            let what = keys.get(key).and_then(Value::as_str).unwrap_or("method");
            let Some(name) = entry.value.text() else {
                if entry.value.content != Content::Refused {
                    self.wrong(
                        &entry.value,
                        format!("a name: {}", list_of(&methods)),
                        &inner,
                        entry.key_span,
                    );
                }
                return;
            };
            let near =
                if methods.contains(&name) { Some(name) } else { suggest(name, methods.iter().copied()) };
            if near != Some(name) {
                let finding =
                    Finding::error(format!("there is no {what} named {}", quote(name)), entry.value.span)
                        .expected(if methods.is_empty() { String::new() } else { list_of(&methods) })
                        .near(near);
                self.say(finding, &inner);
            }
            branches.iter().find(|b| near.is_some() && name_of(b) == near)
        };
        let Some(words) = branch.and_then(|b| b.as_object()) else { return };
        // The method key itself was dealt with above, unless it holds a path.
        self.map(node, words, path, label, (!methods.is_empty()).then_some(key));
    }
}

fn list_of(names: &[&str]) -> String {
    list(&names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>())
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
