//! References to columns: against what the recipe declares, and, once the data are open, against what they hold.

use std::collections::{BTreeMap, BTreeSet};

use consilience_core::data::TaskKind;
use consilience_core::model::{Schema, Task};

use super::Checked;
use super::expect::show;
use super::types::MIXUP;
use super::validate::below;
use consilience_core::document::{Content, Node, Span};
use consilience_core::document::{Finding, List, quote, suggest};

/// The word for all numbers and categories.
pub(super) const TABLE: &str = "table";

/// A place where a column is named.
struct Use<'a> {
    name: &'a str,
    span: Span,
    path: String,
    /// Whether it must be an input: not the target, a group, ...
    input: bool,
}

/// What the recipe says of its columns.
struct Declared<'a> {
    /// Column name to role.
    columns: BTreeMap<&'a str, Option<&'a str>>,
    /// Whether a table may hold more columns than are named.
    open: bool,
}

fn declared(root: &Node) -> Declared<'_> {
    let data = root.get("data");
    let get = |key: &str| data.and_then(|d| d.get(key));
    let mut columns: BTreeMap<&str, Option<&str>> = BTreeMap::new();
    let mut tables = get("table").is_some() || get("folder").is_some();
    for source in get("sources").map(Node::items).unwrap_or_default() {
        tables |= source.get("table").is_some() || source.get("folder").is_some();
        for fixed in ["x", "y"] {
            if source.get(fixed).is_some() {
                columns.insert(fixed, None);
            }
        }
        for map in ["arrays", "set"] {
            let entries = source.get(map).map(Node::entries).unwrap_or_default();
            columns.extend(entries.iter().map(|e| (e.key.as_str(), None)));
        }
    }
    for entry in get("columns").map(Node::entries).unwrap_or_default() {
        columns.insert(&entry.key, entry.value.get("role").and_then(Node::text));
    }
    let only = get("only").is_some_and(|n| n.content == Content::Bool(true));
    // `only` leaves out undeclared inputs; split columns of the table are still there.
    Declared { columns, open: tables && !only }
}

/// The keys of an entry's `features:`, and what stands in its `on:` and `inputs:`.
fn uses_in<'a>(entry: &'a Node, path: &str, out: &mut Vec<Use<'a>>) {
    for (i, item) in entry.get("on").map(Node::items).unwrap_or_default().iter().enumerate() {
        if let Some(name) = item.text() {
            out.push(Use { name, span: item.span, path: format!("{path}.on[{i}]"), input: true });
        }
    }
    for input in entry.get("inputs").map(Node::entries).unwrap_or_default() {
        for (i, item) in input.value.items().iter().enumerate() {
            if let Some(name) = item.text() {
                let path = format!("{path}.inputs.{}[{i}]", input.key);
                out.push(Use { name, span: item.span, path, input: true });
            }
        }
    }
    steps(entry, "features", path, out);
    steps(entry, "augment", path, out);
}

fn steps<'a>(node: &'a Node, key: &str, path: &str, out: &mut Vec<Use<'a>>) {
    let path = below(path, key);
    for entry in node.get(key).map(Node::entries).unwrap_or_default() {
        if !(key == "augment" && entry.key == MIXUP) {
            out.push(Use {
                name: &entry.key,
                span: entry.key_span,
                path: below(&path, &entry.key),
                input: true,
            });
        }
    }
}

fn uses(root: &Node) -> Vec<Use<'_>> {
    let mut out = Vec::new();
    steps(root, "features", "", &mut out);
    steps(root, "augment", "", &mut out);
    for section in ["members", "synthesis"] {
        for entry in root.get(section).map(Node::entries).unwrap_or_default() {
            let path = below(section, &entry.key);
            uses_in(&entry.value, &path, &mut out);
            for map in ["source", "target"] {
                for e in entry.value.get(map).map(Node::entries).unwrap_or_default() {
                    let path = format!("{path}.{map}.{}", e.key);
                    out.push(Use { name: &e.key, span: e.key_span, path, input: false });
                }
            }
        }
    }
    let split = root.get("split");
    for key in ["column", "stratify", "group", "time"] {
        if let Some(node) = split.and_then(|s| s.get(key))
            && let Some(name) = node.text()
        {
            out.push(Use { name, span: node.span, path: below("split", key), input: false });
        }
    }
    out
}

/// What can be said of columns before the data are open.
pub(super) fn check(root: &Node, findings: &mut List) {
    // A key of `data` that is not known may be the one that says what the columns are.
    let unsure = !root.get("data").is_some_and(|d| matches!(d.content, Content::Map(_)))
        || findings.errors_under("data").any(|f| !f.path.contains('[') && f.path.matches('.').count() < 2);
    if unsure {
        return;
    }
    roles(root, findings.has_errors_under("data.columns"), findings);
    let declared = declared(root);
    let inputs: Vec<&str> =
        declared.columns.iter().filter(|(_, role)| role.is_none()).map(|(n, _)| *n).collect();
    for used in uses(root) {
        if findings.is_full() {
            return;
        }
        if used.input && used.name == TABLE {
            continue;
        }
        match declared.columns.get(used.name) {
            Some(Some(role)) if used.input => {
                let finding = Finding::error(
                    format!("the column {} is no input: its role is {role}", quote(used.name)),
                    used.span,
                );
                findings.push(finding.at(used.path).expected("a column without a role"));
            }
            Some(_) => {}
            None => {
                let known: Vec<&str> =
                    if used.input { inputs.clone() } else { declared.columns.keys().copied().collect() };
                let near = suggest(used.name, known.iter().copied().chain(used.input.then_some(TABLE)));
                let message = format!("the column {} is not declared", quote(used.name));
                let closed = !declared.open && (used.input || !has_table(root));
                if closed {
                    let finding = Finding::error(message, used.span).expected(one_of(&known)).near(near);
                    findings.push(finding.at(used.path));
                } else if near.is_some_and(|n| used.name.len() > 3 && n.len().abs_diff(used.name.len()) < 2) {
                    // A short name is near to everything.
                    let finding = Finding::warning(message, used.span)
                        .near(near)
                        .remedy("it must be a column of the table, or be declared under data: columns:");
                    findings.push(finding.at(used.path));
                }
            }
        }
    }
}

fn has_table(root: &Node) -> bool {
    let data = root.get("data");
    let holds = |n: &Node| n.get("table").is_some() || n.get("folder").is_some();
    data.is_some_and(|d| holds(d) || d.get("sources").is_some_and(|s| s.items().iter().any(holds)))
}

fn one_of(known: &[&str]) -> String {
    match known.len() {
        0 => "a column declared under data: columns:".to_owned(),
        1..=20 => format!("one of {}", known.join(", ")),
        n => format!("one of the {n} columns declared under data: columns:"),
    }
}

fn named_table(span: Span) -> Finding {
    Finding::error("a column cannot be called table", span)
        .expected("another name: the word stands for all numbers and categories")
        .remedy("name it anew, as in other: {from: table}")
}

/// One target, and every other role at most once. A target is not missed while a column's own map is wrong.
fn roles(root: &Node, unsure: bool, findings: &mut List) {
    let Some(data) = root.entry("data") else { return };
    let mut first: BTreeMap<&str, &str> = BTreeMap::new();
    let columns = data.value.entry("columns");
    for entry in columns.map(|c| c.value.entries()).unwrap_or_default() {
        let Some(node) = entry.value.get("role") else { continue };
        let Some(role) = node.text().filter(|r| *r != "ignore") else { continue };
        if let Some(other) = first.insert(role, &entry.key) {
            let finding = Finding::error(format!("two columns have the role {}", quote(role)), node.span)
                .expected(format!("one; {} has it already", quote(other)))
                .at(format!("data.columns.{}.role", entry.key));
            findings.push(finding);
        }
    }
    let by_folder = |n: &Node| n.get("folder").is_some();
    let named_by_folder =
        by_folder(&data.value) || data.value.get("sources").is_some_and(|s| s.items().iter().any(by_folder));
    if !first.contains_key("target") && !named_by_folder && !unsure {
        let finding =
            Finding::error("no column has the role target", columns.map_or(data.key_span, |c| c.key_span))
                .expected("one column with role: target")
                .at("data.columns");
        findings.push(finding);
    }
    let split_by_domain = root.get("split").and_then(|s| s.get("domain"));
    if let Some(node) = split_by_domain.filter(|_| !first.contains_key("domain") && !unsure) {
        let finding = Finding::error("no column has the role domain", node.span)
            .expected("one column with role: domain")
            .at("split.domain");
        findings.push(finding);
    }
    if let Some(entry) = columns.and_then(|c| c.value.entry(TABLE)) {
        findings.push(named_table(entry.key_span).at("data.columns.table"));
    }
    let given: Vec<&str> =
        ["table", "folder", "sources"].into_iter().filter(|k| data.value.entry(k).is_some()).collect();
    if let [_, second, ..] = given.as_slice() {
        let finding = Finding::error(
            format!("{} stand side by side", given.join(" and ")),
            data.value.locate(&[second]),
        )
        .expected("one of table, folder, sources")
        .remedy("several tables or folders are entries of sources");
        findings.push(finding.at(below("data", second)));
    }
}

/// What is wrong with a checked recipe for the data it was opened with: `schema` holds the input columns, `task` what
/// the target asks for. Every finding has the recipe's place.
pub fn check_against(checked: &Checked, schema: &Schema, task: &Task) -> Vec<Finding> {
    let mut findings = List::default();
    let root = &checked.tree;
    let names = schema.names();
    let known: BTreeSet<&str> = names.iter().copied().collect();
    let tabular = schema.fields.iter().any(|f| f.kind.is_tabular());
    if known.contains(TABLE) {
        findings.push(named_table(root.locate(&["data"])).at("data"));
    }
    for used in uses(root).into_iter().filter(|u| u.input) {
        if findings.is_full() {
            break;
        }
        if used.name == TABLE {
            if !tabular && !used.path.split('.').any(|part| part == "augment") {
                let finding = Finding::error("the data have no numbers and no categories", used.span)
                    .expected(one_of_inputs(&names))
                    .at(used.path);
                findings.push(finding);
            }
        } else if !known.contains(used.name) {
            let near = suggest(used.name, names.iter().copied());
            let finding = Finding::error(format!("there is no column {}", quote(used.name)), used.span)
                .expected(one_of_inputs(&names))
                .near(near)
                .at(used.path);
            findings.push(finding);
        }
    }
    for entry in root.get("members").map(Node::entries).unwrap_or_default() {
        if entry.value.entry("fit").is_some() && entry.value.entry("on").is_none() && !tabular {
            let finding = Finding::error("the data have no numbers and no categories", entry.key_span)
                .expected(format!("on: {}", one_of_inputs(&names)))
                .remedy("without on: a member reads the table")
                .at(below("members", &entry.key));
            findings.push(finding);
        }
    }
    let asked = checked.recipe.task;
    let fits =
        matches!((asked, task), (TaskKind::Classify, Task::Classify(_)) | (TaskKind::Regress, Task::Regress));
    if !fits {
        let (word, holds) = match task {
            Task::Classify(c) => ("classify", format!("{} classes", c.count())),
            Task::Regress => ("regress", "numbers".to_owned()),
        };
        let got = root.get("task").map(show).unwrap_or_default();
        let finding = Finding::error("the target does not suit the task", root.locate(&["task"]))
            .expected(format!("{word}, for the target holds {holds}"))
            .got(got)
            .at("task");
        findings.push(finding);
    }
    let mut findings = findings.into_vec();
    findings.sort_by_key(|f| f.span.start);
    findings
}

/// What a checked recipe calls columns that neither its `data:` nor the table, whose columns are `table`, has.
pub fn check_names(checked: &Checked, table: &[String]) -> Vec<Finding> {
    let mut findings = List::default();
    let root = &checked.tree;
    // The columns of an npz file are its arrays, which no table names.
    if checked.recipe.data.sources.iter().any(|s| s.npz.is_some()) {
        return Vec::new();
    }
    let names: Vec<&str> = table.iter().map(String::as_str).collect();
    let mut look = |name: &str, span: Span, path: String, declared: &BTreeSet<&str>| {
        if !names.contains(&name) && !declared.contains(name) {
            let near = suggest(name, names.iter().chain(declared).copied());
            let finding = Finding::error(format!("there is no column {}", quote(name)), span)
                .expected(one_of_table(&names))
                .near(near);
            // One column, whose name looks like a whole line.
            let other = matches!(names.as_slice(), [one] if one.contains([';', '\t', '|']));
            let remedy = if other {
                "set data: {delimiter: ...}: cells seem to be separated by another sign"
            } else {
                ""
            };
            findings.push(finding.at(path).remedy(remedy));
        }
    };
    let entries = root.get("data").and_then(|d| d.get("columns")).map(Node::entries).unwrap_or_default();
    for entry in entries {
        let path = below("data.columns", &entry.key);
        // A column stands where it says, else under its own name in the table.
        let elsewhere =
            ["idx", "npy", "path", "columns", "from"].iter().any(|k| entry.value.get(k).is_some());
        if !elsewhere {
            look(&entry.key, entry.key_span, path.clone(), &BTreeSet::new());
        }
        for key in ["path", "from", "index", "by"] {
            if let Some(node) = entry.value.get(key)
                && let Some(name) = node.text()
            {
                let declared = entries.iter().map(|e| e.key.as_str()).collect();
                look(name, node.span, below(&path, key), &declared);
            }
        }
    }
    let declared: BTreeSet<&str> = entries.iter().map(|e| e.key.as_str()).chain([TABLE]).collect();
    for used in uses(root) {
        look(used.name, used.span, used.path.clone(), &declared);
    }
    findings.into_vec()
}

fn one_of_table(names: &[&str]) -> String {
    match names.len() {
        0 => "a column of the data".to_owned(),
        1..=20 => format!("one of {}", names.join(", ")),
        n => format!("one of the {n} columns of the table"),
    }
}

fn one_of_inputs(names: &[&str]) -> String {
    match names.len() {
        1..=20 => format!("one of {}", names.join(", ")),
        n => format!("one of the {n} input columns"),
    }
}
