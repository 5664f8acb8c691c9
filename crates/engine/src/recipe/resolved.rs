//! A checked recipe as YAML again, every default written out: it runs like the one it came from.

use std::collections::BTreeMap;

use consilience_core::document::{self, Content, Entry, Node, Span};
use consilience_core::{Error, Result};
use serde::Serialize;
use serde_json::Value;

use super::schema::own_keys;
use super::types::{Budget, Call, Member, Recipe, Synthesis, augment_value};

/// Maps under these keys always have a line an entry.
const OPEN: [&str; 6] = ["data", "columns", "features", "augment", "members", "synthesis"];

/// The recipe as YAML: loaded with the same methods it gives the same [`Recipe`].
///
/// # Errors
/// [`Error::Internal`] if a value cannot be written.
pub fn resolved_yaml(recipe: &Recipe) -> Result<String> {
    let mut root = vec![
        Entry::new("version", int(recipe.version)),
        Entry::new("name", text(&recipe.name)),
        Entry::new("task", json(&recipe.task)?),
        Entry::new("seed", json(&recipe.seed)?),
        Entry::new("data", ordered(json(&recipe.data)?)),
        Entry::new("split", json(&recipe.split)?),
        Entry::new("honest", json(&recipe.honest)?),
    ];
    if !recipe.features.is_empty() {
        root.push(Entry::new("features", steps_by_column(&recipe.features)));
    }
    if !recipe.augment.is_empty() {
        root.push(Entry::new("augment", Node::from_json(&augment_value(&recipe.augment))));
    }
    let calibrated = |name: &str, mut entries: Vec<Entry>| {
        let step = recipe.calibrate.get(name).map(|call| Node::from_json(&call.to_step()));
        entries.extend(step.map(|s| Entry::new("calibrate", s)));
        Entry::new(name, map(entries))
    };
    let members = recipe.members.iter().map(|(name, m)| Ok(calibrated(name, member(m)?)));
    root.push(Entry::new("members", map(members.collect::<Result<_>>()?)));
    let syntheses = recipe.synthesis.iter().map(|(name, s)| calibrated(name, synthesis(s)));
    root.push(Entry::new("synthesis", map(syntheses.collect())));
    if let Some(call) = &recipe.regions {
        let mut step = Node::from_json(&call.to_step());
        if let (Content::Map(entries), Some(column)) = (&mut step.content, &recipe.stratum) {
            entries.push(Entry::new("stratum", text(column)));
        }
        root.push(Entry::new("regions", step));
    }
    let mut judge = vec![
        Entry::new("choose", text(&recipe.judge.choose)),
        Entry::new("report", names(&recipe.judge.report)),
        Entry::new("resamples", int(recipe.judge.resamples)),
        Entry::new("level", json(&recipe.judge.level)?),
    ];
    if recipe.judge.budget != Budget::default() {
        judge.push(Entry::new("budget", json(&recipe.judge.budget)?));
    }
    root.push(Entry::new("judge", map(judge)));
    Ok(document::write(&map(root), &OPEN))
}

fn node(content: Content) -> Node {
    Node { content, span: Span::default() }
}

fn map(entries: Vec<Entry>) -> Node {
    node(Content::Map(entries))
}

fn text(text: &str) -> Node {
    node(Content::String(text.to_owned()))
}

fn int(value: u32) -> Node {
    node(Content::Int(i128::from(value)))
}

fn names(names: &[String]) -> Node {
    node(Content::Seq(names.iter().map(|n| text(n)).collect()))
}

fn texts(values: &BTreeMap<String, String>) -> Node {
    map(values.iter().map(|(k, v)| Entry::new(k, text(v))).collect())
}

fn json<T: Serialize>(value: &T) -> Result<Node> {
    let value = serde_json::to_value(value).map_err(|e| Error::internal(e.to_string()))?;
    Ok(Node::from_json(&value))
}

/// The keys of `data` in the order in which one reads them.
fn ordered(data: Node) -> Node {
    const ORDER: [&str; 8] =
        ["root", "table", "folder", "sources", "delimiter", "corrupt", "only", "columns"];
    match data.content {
        Content::Map(mut entries) => {
            entries.sort_by_key(|e| ORDER.iter().position(|k| *k == e.key));
            map(entries)
        }
        content => node(content),
    }
}

/// The parameters of the method under `key`. Those that have the name of a key of the entry itself can only have their
/// default, and are left out: a member's `features` are its feature steps.
fn parameters(value: &Value, key: &str) -> Vec<Entry> {
    match Node::from_json(value).content {
        Content::Map(entries) => {
            entries.into_iter().filter(|e| !own_keys(key).contains(&e.key.as_str())).collect()
        }
        _ => Vec::new(),
    }
}

fn steps_by_column(steps: &BTreeMap<String, Vec<Call>>) -> Node {
    let step = |call: &Call| Node::from_json(&call.to_step());
    map(steps
        .iter()
        .map(|(column, calls)| Entry::new(column, node(Content::Seq(calls.iter().map(step).collect()))))
        .collect())
}

fn member(member: &Member) -> Result<Vec<Entry>> {
    let mut out = Vec::new();
    match member {
        Member::Fit { method, on, features, augment, from, rows, bag } => {
            out.push(Entry::new("fit", text(&method.name)));
            out.push(Entry::new("on", names(on)));
            out.extend(from.iter().map(|f| Entry::new("from", text(f))));
            out.extend(rows.iter().map(|r| Entry::new("rows", text(r))));
            out.push(Entry::new("bag", node(Content::Bool(*bag))));
            if !features.is_empty() {
                out.push(Entry::new("features", steps_by_column(features)));
            }
            if !augment.is_empty() {
                out.push(Entry::new("augment", Node::from_json(&augment_value(augment))));
            }
            out.extend(parameters(&method.parameters, "fit"));
        }
        Member::Load { path, seen, onnx } => {
            out.push(Entry::new("load", text(path)));
            out.push(Entry::new("seen", json(seen)?));
            if let Some(declared) = onnx {
                let inputs = declared.inputs.iter().map(|(input, columns)| Entry::new(input, names(columns)));
                out.push(Entry::new("inputs", map(inputs.collect())));
                if !declared.features.is_empty() {
                    out.push(Entry::new("features", steps_by_column(&declared.features)));
                }
                out.extend(declared.output.iter().map(|o| Entry::new("output", text(o))));
                out.push(Entry::new("gives", json(&declared.gives)?));
                out.push(Entry::new("missing", json(&declared.missing)?));
                if !declared.classes.is_empty() {
                    out.push(Entry::new("classes", names(&declared.classes)));
                }
            }
        }
        Member::Predictions { path, id, fold, label, columns, member, seen } => {
            out.push(Entry::new("predictions", text(path)));
            out.extend(id.iter().map(|c| Entry::new("id", text(c))));
            out.extend(fold.iter().map(|c| Entry::new("fold", text(c))));
            out.extend(label.iter().map(|c| Entry::new("label", text(c))));
            if !columns.is_empty() {
                out.push(Entry::new("columns", texts(columns)));
            }
            if let Some(member) = member {
                out.push(Entry::new("member", json(member)?));
            }
            out.push(Entry::new("seen", json(seen)?));
        }
    }
    Ok(out)
}

fn synthesis(synthesis: &Synthesis) -> Vec<Entry> {
    let mut out = Vec::new();
    let method = match synthesis {
        Synthesis::Fuse { method, of, prune } => {
            out.push(Entry::new("fuse", text(&method.name)));
            out.push(Entry::new("of", names(of)));
            out.extend(prune.map(|p| Entry::new("prune", Node::from_json(&Value::from(p)))));
            method
        }
        Synthesis::Fusion { method, on, features, augment } => {
            out.push(Entry::new("fusion", text(&method.name)));
            out.push(Entry::new("on", names(on)));
            if !features.is_empty() {
                out.push(Entry::new("features", steps_by_column(features)));
            }
            if !augment.is_empty() {
                out.push(Entry::new("augment", Node::from_json(&augment_value(augment))));
            }
            method
        }
        Synthesis::Merge { method, of, base, search } => {
            out.push(Entry::new("merge", text(&method.name)));
            out.push(Entry::new("of", names(of)));
            out.extend(base.iter().map(|b| Entry::new("base", text(b))));
            if !search.is_empty() {
                let values = |v: &Vec<Value>| Node::from_json(&Value::Array(v.clone()));
                let tries = search.iter().map(|(key, v)| Entry::new(key, values(v)));
                out.push(Entry::new("search", map(tries.collect())));
            }
            let fixed = parameters(&method.parameters, "merge");
            out.extend(fixed.into_iter().filter(|e| !search.contains_key(&e.key)));
            return out;
        }
        Synthesis::Distill { method, teacher, on, features, augment, lesson } => {
            out.push(Entry::new("distill", text(&method.name)));
            out.push(Entry::new("teacher", text(teacher)));
            out.push(Entry::new("on", names(on)));
            let number =
                |key: &str, v: Option<f64>| v.map(|v| Entry::new(key, Node::from_json(&Value::from(v))));
            out.extend(number("share", lesson.share));
            out.extend(number("temperature", lesson.temperature));
            if !features.is_empty() {
                out.push(Entry::new("features", steps_by_column(features)));
            }
            if !augment.is_empty() {
                out.push(Entry::new("augment", Node::from_json(&augment_value(augment))));
            }
            method
        }
        Synthesis::Adapt { method, member, source, target } => {
            out.push(Entry::new("adapt", text(&method.name)));
            out.push(Entry::new("member", text(member)));
            out.push(Entry::new("source", texts(source)));
            out.push(Entry::new("target", texts(target)));
            method
        }
    };
    let key = out.first().map(|e| e.key.clone()).unwrap_or_default();
    out.extend(parameters(&method.parameters, &key));
    out
}
