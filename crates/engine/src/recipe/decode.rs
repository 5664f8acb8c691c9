//! From a tree to a typed recipe, every default written out. A method's own check of its parameters happens here, for
//! every entry in which nothing else is wrong, so that its findings stand beside all others.

mod merges;

use std::collections::BTreeMap;

use consilience_core::Error;
use consilience_core::data::{HonestSpec, SplitSpec, TaskKind, Validation};
use consilience_core::model::Distill;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::foreign::{Declared, is_onnx};

use super::methods::{MethodInfo, Methods, find};
use super::names;
use super::schema::{LEVEL, RESAMPLES, own_keys};
use super::types::{Budget, Call, Judge, MIXUP, Member, Recipe, Seen, Synthesis};
use super::validate::below;
use consilience_core::document::{Content, Entry, Node, Span};
use consilience_core::document::{Finding, List, quote};

/// The recipe, if nothing is wrong with it. What the methods say about their parameters is added to `findings`.
pub(super) fn decode(root: &Node, methods: &Methods, file_name: &str, findings: &mut List) -> Option<Recipe> {
    let mut decoder = Decoder { root, methods, findings };
    let d = &mut decoder;
    let task: Option<TaskKind> = d.part(root, "task");
    let data = d.part(root, "data");
    let split: Option<SplitSpec> = d.part(root, "split");
    let honest = match (root.get("honest"), &split) {
        (Some(_), _) => d.part(root, "honest"),
        (None, Some(split)) => Some(usual_honesty(split)),
        (None, None) => None,
    };
    let features = d.steps_by_column(root.entry("features"), "features", &methods.features);
    let augment = d.augment(root.entry("augment"), "augment");
    let members = d.entries(root.get("members"), "members", Decoder::member);
    let synthesis = d.entries(root.get("synthesis"), "synthesis", Decoder::synthesis);
    let calibrate = d.calibrations(root);
    let regions = root
        .get("regions")
        .filter(|_| d.is_sound("regions"))
        .and_then(|n| d.step(n, &methods.regions, "regions"));
    let stratum = root.get("regions").and_then(|n| n.get("stratum")).and_then(Node::text).map(str::to_owned);
    let judge = task.and_then(|task| d.judge(root, task));
    if findings.has_errors() {
        return None;
    }
    Some(Recipe {
        version: 1,
        name: root
            .get("name")
            .and_then(Node::text)
            .map_or_else(|| names::from_file(file_name), str::to_owned),
        task: task?,
        seed: root.get("seed").and_then(|n| n.to_json().as_u64()).unwrap_or(0),
        data: data?,
        split: split?,
        honest: honest?,
        features: features?,
        augment: augment?,
        members: members?,
        synthesis: synthesis?,
        calibrate,
        regions,
        stratum,
        judge: judge?,
    })
}

/// Where honest predictions come from unless the recipe says: from the rows for choosing where the split has some
/// (`validation` or `choose`), else from five folds.
pub(super) fn usual_honesty(split: &SplitSpec) -> HonestSpec {
    if split.validation.is_some() || !split.choose.is_empty() {
        HonestSpec::Validation(Validation::Validation)
    } else {
        HonestSpec::Folds { folds: 5 }
    }
}

struct Decoder<'a> {
    root: &'a Node,
    methods: &'a Methods,
    findings: &'a mut List,
}

impl Decoder<'_> {
    fn is_sound(&self, path: &str) -> bool {
        !self.findings.has_errors_under(path)
    }

    /// Decodes what the schema let through; should the two disagree, that is a finding too.
    fn value<T: DeserializeOwned>(&mut self, node: &Node, path: &str, label: Span) -> Option<T> {
        if !self.is_sound(path) {
            return None;
        }
        match serde_json::from_value(node.to_json()) {
            Ok(value) => Some(value),
            Err(e) => {
                self.findings.push(Finding::error(e.to_string(), label).at(path));
                None
            }
        }
    }

    /// The value of a key, or its default.
    fn word<T: DeserializeOwned + Default>(&mut self, node: &Node, key: &str, path: &str) -> Option<T> {
        match node.entry(key) {
            Some(e) => self.value(&e.value, &below(path, key), e.key_span),
            None => Some(T::default()),
        }
    }

    fn part<T: DeserializeOwned>(&mut self, root: &Node, key: &str) -> Option<T> {
        let entry = root.entry(key)?;
        self.value(&entry.value, key, entry.key_span)
    }

    fn entries<T>(
        &mut self,
        node: Option<&Node>,
        path: &str,
        one: fn(&mut Self, &Node, &str) -> Option<T>,
    ) -> Option<Vec<(String, T)>> {
        let mut out = Vec::new();
        for entry in node.map(Node::entries).unwrap_or_default() {
            let path = below(path, &entry.key);
            if self.is_sound(&path) {
                out.extend(one(self, &entry.value, &path).map(|value| (entry.key.clone(), value)));
            }
        }
        Some(out)
    }

    fn member(&mut self, node: &Node, path: &str) -> Option<Member> {
        let text = |key: &str| node.get(key).and_then(Node::text).map(str::to_owned);
        let seen = match node.entry("seen") {
            Some(e) => self.value(&e.value, &below(path, "seen"), e.key_span)?,
            None => Seen::Unknown,
        };
        if let Some(load) = text("load") {
            let onnx = self.declared(node, &load, path)?;
            return Some(Member::Load { path: load, seen, onnx });
        }
        if let Some(path) = text("predictions") {
            let columns = texts_by_key(node.get("columns"));
            let member = match node.get("member").map(|n| &n.content) {
                Some(Content::Int(i)) => usize::try_from(*i).ok(),
                _ => None,
            };
            let (id, fold, label) = (text("id"), text("fold"), text("label"));
            return Some(Member::Predictions { path, id, fold, label, columns, member, seen });
        }
        let methods = self.methods;
        let method = self.call(node, "fit", &methods.learners, path);
        let features =
            self.steps_by_column(node.entry("features"), &below(path, "features"), &methods.features);
        let augment = self.augment(node.entry("augment"), &below(path, "augment"));
        let on = match node.get("on") {
            Some(on) => texts(on),
            None => vec!["table".to_owned()],
        };
        Some(Member::Fit {
            method: method?,
            on,
            features: features?,
            augment: augment?,
            from: text("from"),
            rows: text("rows"),
            bag: node.get("bag").is_some_and(|b| b.content == Content::Bool(true)),
        })
    }

    /// What is said of an ONNX file; nothing of a model directory, which says it itself.
    fn declared(&mut self, node: &Node, load: &str, path: &str) -> Option<Option<Declared>> {
        let others = own_keys("load").iter().filter(|k| !["load", "seen"].contains(*k));
        let given = others.filter_map(|k| node.entry(k)).next();
        if !is_onnx(load) {
            if let Some(entry) = given {
                let finding = Finding::error(
                    format!("{} is for ONNX files; a model directory says it itself", quote(&entry.key)),
                    entry.key_span,
                );
                self.findings
                    .push(finding.at(below(path, &entry.key)).expected("load: a file that ends in .onnx"));
                return None;
            }
            return Some(None);
        }
        let entry = node.entry("load")?;
        if node.get("inputs").is_none() {
            let finding = Finding::error("an ONNX file does not say which columns feed it", entry.value.span)
                .expected("inputs: {its input: [columns]}")
                .at(below(path, "load"));
            self.findings.push(finding);
            return None;
        }
        let methods = self.methods;
        let features =
            self.steps_by_column(node.entry("features"), &below(path, "features"), &methods.features)?;
        let inputs = node.get("inputs").map(Node::entries).unwrap_or_default();
        Some(Some(Declared {
            inputs: inputs.iter().map(|e| (e.key.clone(), texts(&e.value))).collect(),
            features,
            output: node.get("output").and_then(Node::text).map(str::to_owned),
            gives: self.word(node, "gives", path)?,
            missing: self.word(node, "missing", path)?,
            classes: node.get("classes").map(texts).unwrap_or_default(),
        }))
    }

    fn synthesis(&mut self, node: &Node, path: &str) -> Option<Synthesis> {
        let methods = self.methods;
        let names = |key: &str| node.get(key).map(texts).unwrap_or_default();
        if node.entry("fuse").is_some() {
            let method = self.call(node, "fuse", &methods.fusers, path)?;
            let prune = node.get("prune").and_then(|n| n.to_json().as_f64());
            return Some(Synthesis::Fuse { method, of: names("of"), prune });
        }
        if node.entry("merge").is_some() {
            return self.merge(node, path);
        }
        if node.entry("fusion").is_some() {
            let method = self.call(node, "fusion", &methods.fusions, path);
            let features =
                self.steps_by_column(node.entry("features"), &below(path, "features"), &methods.features);
            let augment = self.augment(node.entry("augment"), &below(path, "augment"));
            return Some(Synthesis::Fusion {
                method: method?,
                on: names("on"),
                features: features?,
                augment: augment?,
            });
        }
        if node.entry("distill").is_some() {
            return self.distill(node, path);
        }
        let method = self.call(node, "adapt", &methods.adapters, path)?;
        Some(Synthesis::Adapt {
            method,
            member: node.get("member").and_then(Node::text)?.to_owned(),
            source: texts_by_key(node.get("source")),
            target: texts_by_key(node.get("target")),
        })
    }

    fn distill(&mut self, node: &Node, path: &str) -> Option<Synthesis> {
        let methods = self.methods;
        let method = self.call(node, "distill", &methods.learners, path);
        let features =
            self.steps_by_column(node.entry("features"), &below(path, "features"), &methods.features);
        let augment = self.augment(node.entry("augment"), &below(path, "augment"));
        let number = |key: &str| node.get(key).and_then(|n| n.to_json().as_f64());
        Some(Synthesis::Distill {
            method: method?,
            teacher: node.get("teacher").and_then(Node::text)?.to_owned(),
            on: node.get("on").map_or_else(|| vec!["table".to_owned()], texts),
            features: features?,
            augment: augment?,
            lesson: Distill { share: number("share"), temperature: number("temperature") },
        })
    }

    /// The ways to calibrate that stand in the entries of members and compositions, by name.
    fn calibrations(&mut self, root: &Node) -> BTreeMap<String, Call> {
        let mut out = BTreeMap::new();
        for group in ["members", "synthesis"] {
            for entry in root.get(group).map(Node::entries).unwrap_or_default() {
                let path = below(&below(group, &entry.key), "calibrate");
                if let Some(step) = entry.value.get("calibrate").filter(|_| self.is_sound(&path)) {
                    let call = self.step(step, &self.methods.calibrators, &path);
                    out.extend(call.map(|call| (entry.key.clone(), call)));
                }
            }
        }
        out
    }

    /// The method of an entry with the parameters beside its key.
    fn call(&mut self, node: &Node, key: &str, list: &[MethodInfo], path: &str) -> Option<Call> {
        let entry = node.entry(key)?;
        let info = find(list, entry.value.text()?)?;
        let own = own_keys(key);
        let beside = node.entries().iter().filter(|e| !own.contains(&e.key.as_str()));
        self.resolve(info, &given(beside, path), entry.value.span, path)
    }

    fn resolve(&mut self, info: &MethodInfo, given: &[Given<'_>], span: Span, path: &str) -> Option<Call> {
        let parameters: Map<String, Value> =
            given.iter().map(|g| (g.key.to_owned(), g.value.to_json())).collect();
        match (info.resolve)(&Value::Object(parameters)) {
            Ok(parameters) => Some(Call { name: info.name.clone(), parameters, p: None }),
            Err(error) => {
                self.blame(info, &error, given, span, path);
                None
            }
        }
    }

    /// What a method says. If it speaks of one given parameter, that is the place.
    fn blame(&mut self, info: &MethodInfo, error: &Error, given: &[Given<'_>], span: Span, path: &str) {
        let said = error.to_string();
        let mut named = given.iter().filter(|g| speaks_of(&said, g.key));
        let (span, path) = match (named.next(), named.next()) {
            (Some(only), None) => (only.value.span, only.path.as_str()),
            _ => (span, path),
        };
        let mut finding = Finding::of(error, span).at(path);
        if !said.starts_with(&info.name) {
            finding.message = format!("{}: {}", info.name, finding.message);
        }
        self.findings.push(finding);
    }

    fn steps_by_column(
        &mut self,
        entry: Option<&Entry>,
        path: &str,
        list: &[MethodInfo],
    ) -> Option<BTreeMap<String, Vec<Call>>> {
        let mut out = BTreeMap::new();
        for column in entry.map(|e| e.value.entries()).unwrap_or_default() {
            let path = below(path, &column.key);
            let mut calls = Vec::new();
            for (i, step) in column.value.items().iter().enumerate() {
                let path = format!("{path}[{i}]");
                if self.is_sound(&path) {
                    calls.extend(self.step(step, list, &path));
                }
            }
            out.insert(column.key.clone(), calls);
        }
        Some(out)
    }

    fn step(&mut self, step: &Node, list: &[MethodInfo], path: &str) -> Option<Call> {
        if let Some(name) = step.text() {
            return self.resolve(find(list, name)?, &[], step.span, path);
        }
        // `p` is a key of the recipe, unless a method has that name.
        let entry = step.entries().iter().find(|e| find(list, &e.key).is_some())?;
        let info = find(list, &entry.key)?;
        let path = below(path, &entry.key);
        let call = self.resolve(info, &given(entry.value.entries(), &path), entry.key_span, &path)?;
        let p = step.get("p").filter(|_| entry.key != "p").and_then(|p| p.to_json().as_f64());
        Some(Call { p, ..call })
    }

    /// Steps by column, and the entry `mixup`, whose parameters stand under it at once.
    fn augment(&mut self, entry: Option<&Entry>, path: &str) -> Option<BTreeMap<String, Vec<Call>>> {
        let mut out = self.steps_by_column(entry, path, &self.methods.transforms)?;
        let mixup = entry.and_then(|e| e.value.entry(MIXUP));
        if let (Some(mixup), Some(info)) = (mixup, &self.methods.mixup) {
            let path = below(path, MIXUP);
            if self.is_sound(&path) {
                let call = self.resolve(info, &given(mixup.value.entries(), &path), mixup.key_span, &path);
                out.insert(MIXUP.to_owned(), call.into_iter().collect());
            }
        }
        Some(out)
    }

    fn judge(&mut self, root: &Node, task: TaskKind) -> Option<Judge> {
        let node = root.get("judge");
        let get = |key: &str| node.and_then(|n| n.get(key));
        let choose = match get("choose").and_then(Node::text).or_else(|| self.methods.usual_metric(task)) {
            Some(name) => name.to_owned(),
            None => {
                let finding = Finding::error("there is no metric for this task", root.locate(&["judge"]));
                self.findings.push(finding.at("judge").expected("choose: a metric"));
                return None;
            }
        };
        let budget = match node.and_then(|n| n.entry("budget")) {
            Some(e) => self.value(&e.value, "judge.budget", e.key_span)?,
            None => Budget::default(),
        };
        Some(Judge {
            choose,
            budget,
            report: get("report").map(texts).unwrap_or_default(),
            resamples: get("resamples")
                .and_then(|n| n.to_json().as_u64())
                .and_then(|v| u32::try_from(v).ok())
                .unwrap_or(RESAMPLES),
            level: get("level").and_then(|n| n.to_json().as_f64()).unwrap_or(LEVEL),
        })
    }
}

/// A parameter as it is given.
#[derive(Clone)]
struct Given<'a> {
    key: &'a str,
    path: String,
    value: &'a Node,
}

/// Parameters that stand in one map.
fn given<'a>(entries: impl IntoIterator<Item = &'a Entry>, path: &str) -> Vec<Given<'a>> {
    let one = |e: &'a Entry| Given { key: &e.key, path: below(path, &e.key), value: &e.value };
    entries.into_iter().map(one).collect()
}

fn texts(node: &Node) -> Vec<String> {
    node.items().iter().filter_map(Node::text).map(str::to_owned).collect()
}

fn texts_by_key(node: Option<&Node>) -> BTreeMap<String, String> {
    node.map(Node::entries)
        .unwrap_or_default()
        .iter()
        .filter_map(|e| e.value.text().map(|t| (e.key.clone(), t.to_owned())))
        .collect()
}

/// Whether a message holds a parameter's name as a word of its own.
fn speaks_of(message: &str, name: &str) -> bool {
    let quoted = quote(name);
    message.contains(&quoted)
        || message.split(|c: char| !(c.is_alphanumeric() || c == '_')).any(|word| word == name)
}
