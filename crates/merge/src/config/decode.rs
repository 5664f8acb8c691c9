//! From a tree to a [`Config`]: what a document may hold, and what cannot be.

use std::collections::{BTreeMap, BTreeSet};

use consilience_core::document::{Content, Entry, Finding, List, Node, Span, flow, quote, suggest};
use consilience_core::weights::Dtype;

use super::{Config, ModelName, Module, Setting, Settings, Slice, Source};
use crate::methods::METHODS;

const TOP: [&str; 13] = [
    "merge_method",
    "models",
    "slices",
    "modules",
    "base_model",
    "dtype",
    "out_dtype",
    "parameters",
    "tokenizer",
    "tokenizer_source",
    "chat_template",
    "name",
    "architecture",
];

/// The most layers that a slice may name.
const MAX_LAYERS: usize = 1 << 20;

/// The most documents of one file.
const MAX_DOCUMENTS: usize = 100;

/// Parameters that mergekit knows and that change nothing in a result.
const WITHOUT_EFFECT: [&str; 2] = ["int8_mask", "embed_slerp"];

/// Reads one document. `None` where there is not enough to go on with; there are findings then.
pub fn decode(root: &Node, findings: &mut List) -> Option<Config> {
    let Content::Map(_) = &root.content else {
        findings.push(
            Finding::error("a merge file is a map", root.span).expected("merge_method: linear, models: ..."),
        );
        return None;
    };
    known(root, &TOP, "", findings);
    if let Some(entry) = root.entry("architecture") {
        let what = "architecture has no effect: layers are found by the tensors' names";
        findings.push(Finding::warning(what, entry.key_span).at("architecture"));
    }
    let method = root.get("merge_method");
    let (method_name, method_span) = match method.map(|n| (n.text(), n.span)) {
        Some((Some(name), span)) => (name.to_owned(), span),
        Some((None, span)) => {
            findings
                .push(Finding::error("the method is no name", span).at("merge_method").expected(methods()));
            (String::new(), span)
        }
        None => {
            let finding = Finding::error("there is no method", root.span);
            findings.push(finding.at("merge_method").expected(format!("merge_method: {}", methods())));
            (String::new(), root.span)
        }
    };
    if !method_name.is_empty() && METHODS.get(&method_name).is_err() {
        findings.push(
            Finding::error(format!("there is no way to merge named {}", quote(&method_name)), method_span)
                .at("merge_method")
                .expected(methods())
                .near(suggest(&method_name, METHODS.entries.iter().map(|e| e.name))),
        );
    }
    let bodies: Vec<&Entry> =
        ["models", "slices", "modules"].iter().filter_map(|key| root.entry(key)).collect();
    let modules = match bodies.as_slice() {
        [] => {
            findings.push(
                Finding::error("there is nothing to merge", root.span)
                    .expected("one of models, slices or modules"),
            );
            Vec::new()
        }
        [entry] if entry.key == "modules" => modules(entry, findings),
        [entry] => vec![Module {
            name: None,
            span: entry.key_span,
            slices: slices_of(entry, &entry.key, findings),
            parameters: Settings::new(),
        }],
        [first, others @ ..] => {
            for other in others {
                findings.push(
                    Finding::error(format!("{} stands beside {}", other.key, first.key), other.key_span)
                        .expected("only one of models, slices and modules"),
                );
            }
            Vec::new()
        }
    };
    if let (Some(_), Some(entry)) = (root.entry("tokenizer"), root.entry("tokenizer_source")) {
        findings.push(
            Finding::error("tokenizer_source stands beside tokenizer", entry.key_span)
                .expected("only one of them")
                .remedy("tokenizer: {source: ...} says the same as tokenizer_source"),
        );
    }
    let text = |key: &str, findings: &mut List| {
        let node = root.get(key).filter(|n| n.content != Content::Null)?;
        if node.text().is_none() {
            findings.push(Finding::error(format!("{key} is no text"), node.span).at(key).expected("text"));
        }
        node.text().map(|t| (t.to_owned(), node.span))
    };
    Some(Config {
        name: text("name", findings).map(|(name, _)| name),
        span: root.span,
        method: method_name,
        method_span,
        base: base(root, "", findings),
        modules,
        parameters: parameters(root, "", findings),
        dtype: dtype(root, "dtype", findings),
        out_dtype: dtype(root, "out_dtype", findings),
        tokenizer: root
            .get("tokenizer")
            .or(root.get("tokenizer_source"))
            .filter(|n| n.content != Content::Null)
            .cloned(),
        chat_template: text("chat_template", findings),
        tree: root.clone(),
    })
}

/// Documents in the order in which they are merged: each after those that it uses. The result comes last: the document without a name,
/// else the last of the file. Finds names that stand twice, and documents that use each other.
pub fn ordered(configs: Vec<Config>, findings: &mut List) -> Vec<Config> {
    if let Some(config) = configs.get(MAX_DOCUMENTS) {
        let finding = Finding::error("there are too many documents", config.span);
        findings.push(finding.expected(format!("at most {MAX_DOCUMENTS}")).got(configs.len().to_string()));
        return configs;
    }
    let mut names: BTreeMap<&str, usize> = BTreeMap::new();
    let mut result = None;
    for (i, config) in configs.iter().enumerate() {
        match &config.name {
            Some(name) => {
                if names.insert(name, i).is_some() {
                    let finding =
                        Finding::error(format!("two documents have the name {}", quote(name)), config.span);
                    findings.push(finding.at("name"));
                }
            }
            None if result.is_none() => result = Some(i),
            None => findings.push(
                Finding::error("a second document has no name", config.span).expected("name: ...").remedy(
                    "the one document without a name is the result; others use the rest by their names",
                ),
            ),
        }
    }
    let result = result.unwrap_or(configs.len().saturating_sub(1));
    let mut order: Vec<usize> = Vec::new();
    let mut open = Vec::new();
    for i in (0..configs.len()).filter(|i| *i != result).chain(std::iter::once(result)) {
        place(i, &configs, &names, &mut open, &mut order, findings);
    }
    if order.last() != Some(&result)
        && let Some(config) = configs.get(result).filter(|_| !findings.has_errors())
    {
        findings.push(
            Finding::error("the last document is the result, and another one uses it", config.span)
                .remedy("put the result last, or leave out its name"),
        );
    }
    drop(names);
    let mut left: Vec<Option<Config>> = configs.into_iter().map(Some).collect();
    order.into_iter().filter_map(|i| left.get_mut(i)?.take()).collect()
}

/// Puts a document after those that it uses.
fn place(
    i: usize,
    configs: &[Config],
    names: &BTreeMap<&str, usize>,
    open: &mut Vec<usize>,
    order: &mut Vec<usize>,
    findings: &mut List,
) {
    if order.contains(&i) {
        return;
    }
    let Some(config) = configs.get(i) else { return };
    open.push(i);
    for (model, span) in config.models() {
        let Some(&used) = names.get(model.path.as_str()) else { continue };
        if open.contains(&used) {
            findings.push(
                Finding::error(format!("{} is made of itself", quote(&model.path)), span)
                    .expected("documents that use others, and not each other"),
            );
        } else {
            place(used, configs, names, open, order, findings);
        }
    }
    open.pop();
    order.push(i);
}

fn methods() -> String {
    METHODS.entries.iter().map(|e| e.name).collect::<Vec<_>>().join(", ")
}

/// Finds keys that are not known.
fn known(node: &Node, keys: &[&str], path: &str, findings: &mut List) {
    for entry in node.entries() {
        if !keys.contains(&entry.key.as_str()) {
            findings.push(
                Finding::error(format!("the key {} is not known here", quote(&entry.key)), entry.key_span)
                    .at(path)
                    .expected(format!("one of {}", keys.join(", ")))
                    .near(suggest(&entry.key, keys.iter().copied())),
            );
        }
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

fn base(node: &Node, path: &str, findings: &mut List) -> Option<(ModelName, Span)> {
    let node = node.get("base_model").filter(|n| n.content != Content::Null)?;
    ModelName::read(node, &join(path, "base_model"), findings)
}

fn dtype(root: &Node, key: &str, findings: &mut List) -> Option<Dtype> {
    const KNOWN: [(&str, Dtype); 4] =
        [("float32", Dtype::F32), ("float16", Dtype::F16), ("bfloat16", Dtype::Bf16), ("int64", Dtype::I64)];
    let node = root.get(key).filter(|n| n.content != Content::Null)?;
    let text = node.text().unwrap_or_default();
    let plain = text.strip_prefix("torch.").unwrap_or(text);
    let found = KNOWN.iter().find(|(name, _)| *name == plain).map(|(_, dtype)| *dtype);
    if found.is_none() {
        findings.push(
            Finding::error(format!("{key} is no type of numbers"), node.span)
                .at(key)
                .expected("float32, float16, bfloat16 or int64")
                .got(flow(node))
                .near(suggest(plain, KNOWN.iter().map(|(name, _)| *name))),
        );
    }
    found
}

fn parameters(node: &Node, path: &str, findings: &mut List) -> Settings {
    let path = join(path, "parameters");
    let Some(entry) = node.entry("parameters").filter(|e| e.value.content != Content::Null) else {
        return Settings::new();
    };
    let Content::Map(entries) = &entry.value.content else {
        findings
            .push(Finding::error("parameters are a map", entry.value.span).at(path).expected("name: value"));
        return Settings::new();
    };
    let mut all = Settings::new();
    for entry in entries {
        let path = join(&path, &entry.key);
        if WITHOUT_EFFECT.contains(&entry.key.as_str()) {
            findings.push(Finding::warning(format!("{} has no effect", entry.key), entry.key_span).at(&path));
            continue;
        }
        if let Some(mut setting) = Setting::read(&entry.value, &path, findings) {
            setting.span = Span { end: setting.span.end, ..entry.key_span };
            all.insert(entry.key.clone(), setting);
        }
    }
    all
}

fn modules(entry: &Entry, findings: &mut List) -> Vec<Module> {
    let Content::Map(entries) = &entry.value.content else {
        findings.push(
            Finding::error("modules are a map", entry.value.span)
                .at("modules")
                .expected("name: {models: ...}"),
        );
        return Vec::new();
    };
    if entries.is_empty() {
        findings.push(Finding::error("there is nothing to merge", entry.key_span).at("modules"));
    }
    let mut all = Vec::new();
    for module in entries {
        let path = format!("modules.{}", module.key);
        known(&module.value, &["models", "slices", "parameters"], &path, findings);
        let slices = match (module.value.entry("models"), module.value.entry("slices")) {
            (Some(body), None) | (None, Some(body)) => slices_of(body, &join(&path, &body.key), findings),
            _ => {
                findings.push(
                    Finding::error("a module has models or slices", module.key_span)
                        .at(&path)
                        .expected("one of models and slices"),
                );
                Vec::new()
            }
        };
        all.push(Module {
            name: Some(module.key.clone()),
            span: module.key_span,
            slices,
            parameters: parameters(&module.value, &path, findings),
        });
    }
    all
}

/// The slices under `slices`, or the single one that `models` makes.
fn slices_of(entry: &Entry, path: &str, findings: &mut List) -> Vec<Slice> {
    let Content::Seq(items) = &entry.value.content else {
        findings.push(Finding::error(format!("{} is a list", entry.key), entry.value.span).at(path));
        return Vec::new();
    };
    if items.is_empty() {
        findings.push(Finding::error(format!("{} is empty", entry.key), entry.key_span).at(path));
    }
    if entry.key == "models" {
        let sources = items.iter().enumerate().filter_map(|(i, item)| {
            source(item, &["model", "parameters"], &format!("{path}[{i}]"), findings)
        });
        let sources: Vec<Source> = sources.collect();
        warn_of_twins(&sources, path, findings);
        return vec![Slice { span: entry.key_span, sources, base: None, parameters: Settings::new() }];
    }
    let mut all = Vec::new();
    for (i, item) in items.iter().enumerate() {
        let path = format!("{path}[{i}]");
        known(item, &["sources", "base_model", "parameters"], &path, findings);
        let Some(Content::Seq(items)) = item.get("sources").map(|n| &n.content) else {
            findings.push(
                Finding::error("a slice has a list of sources", item.span)
                    .at(&path)
                    .expected("sources: [...]"),
            );
            continue;
        };
        let sources: Vec<Source> = items
            .iter()
            .enumerate()
            .filter_map(|(j, item)| {
                let keys = ["model", "layer_range", "parameters"];
                source(item, &keys, &format!("{path}.sources[{j}]"), findings)
            })
            .collect();
        check_lengths(&sources, &path, findings);
        warn_of_twins(&sources, &path, findings);
        if items.is_empty() {
            findings.push(Finding::error("a slice without sources", item.span).at(&path));
        }
        let parameters = parameters(item, &path, findings);
        all.push(Slice { span: item.span, sources, base: base(item, &path, findings), parameters });
    }
    all
}

/// A member that is listed twice counts twice, which may not be meant: mergekit takes the last.
fn warn_of_twins(sources: &[Source], path: &str, findings: &mut List) {
    let mut seen = BTreeSet::new();
    for source in sources {
        if !seen.insert((&source.model, source.layers)) {
            let what =
                format!("the model {} is listed twice, and counts twice", quote(&source.model.to_string()));
            findings.push(Finding::warning(what, source.span).at(path).expected("each model once"));
        }
    }
}

fn check_lengths(sources: &[Source], path: &str, findings: &mut List) {
    let count = |s: &Source| s.layers.map(|(a, b)| b - a);
    let Some(first) = sources.first() else { return };
    for other in sources.iter().skip(1) {
        if count(other) != count(first) {
            let words = |s: &Source| match s.layers {
                Some((a, b)) => format!("{} layers ({a} to {b})", b - a),
                None => "all layers".to_owned(),
            };
            findings.push(
                Finding::error("the sources of a slice have different numbers of layers", other.span)
                    .at(path)
                    .expected(format!("{} as in the first source", words(first)))
                    .got(words(other)),
            );
        }
    }
}

fn source(item: &Node, keys: &[&str], path: &str, findings: &mut List) -> Option<Source> {
    if let Content::String(_) = item.content {
        // A bare name: mergekit asks for `model:`, and there is only one thing that it can mean.
        let (model, span) = ModelName::read(item, path, findings)?;
        return Some(Source { model, span, layers: None, parameters: Settings::new() });
    }
    known(item, keys, path, findings);
    let Some(node) = item.get("model") else {
        findings.push(Finding::error("here is no model", item.span).at(path).expected("model: path"));
        return None;
    };
    let (model, span) = ModelName::read(node, &join(path, "model"), findings)?;
    let layers = match item.get("layer_range").filter(|n| n.content != Content::Null) {
        None => None,
        Some(node) => Some(range(node, &join(path, "layer_range"), findings)?),
    };
    Some(Source { model, span, layers, parameters: parameters(item, path, findings) })
}

fn range(node: &Node, path: &str, findings: &mut List) -> Option<(usize, usize)> {
    let whole = |n: &Node| match n.content {
        Content::Int(v) => usize::try_from(v).ok().filter(|v| *v <= MAX_LAYERS),
        _ => None,
    };
    let ends: Option<Vec<usize>> = node.items().iter().map(whole).collect();
    match ends.as_deref() {
        Some([a, b]) if a < b => Some((*a, *b)),
        _ => {
            findings.push(
                Finding::error("this is no range of layers", node.span)
                    .at(path)
                    .expected("[first, last + 1], whole numbers, the first below the second"),
            );
            None
        }
    }
}
