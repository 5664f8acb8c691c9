//! A first recipe for data that were opened: its guesses stand in it with their reasons.

mod members;

use std::collections::{BTreeMap, BTreeSet};

use consilience_core::data::{DataSpec, Role};
use consilience_core::document::{self, Node, write_key, write_text};
use consilience_core::model::{Field, Kind, Schema, Task};
use serde_json::Value;

use super::columns::TABLE;
use super::methods::{Methods, find};
use super::names;
use members::{Proposal, chain, propose, settings};

/// More table columns than this are left to be guessed again when the recipe runs.
const MAX_COLUMNS: usize = 60;
/// More classes than this are not written out.
const MAX_CLASSES: usize = 50;
/// From this many rows on, one validation part is cheaper than folds and as good.
const MANY_ROWS: usize = 50_000;
/// Folds, where every class has enough rows for them.
const FOLDS: usize = 5;

/// Sounds of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sounds {
    /// Samples a second.
    pub rate: u32,
    /// The samples of the longest.
    pub longest: usize,
}

/// What is known of the data for which a recipe is written.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The name of the recipe.
    pub name: &'a str,
    /// What the data were opened with.
    pub data: &'a DataSpec,
    /// The input columns as they were read.
    pub schema: &'a Schema,
    /// What the target asks for.
    pub task: &'a Task,
    /// How many rows there are.
    pub rows: usize,
    /// How many of them the class with the fewest has, where there are classes.
    pub smallest_class: Option<usize>,
    /// The target's column; `None` where folders name the classes.
    pub target: Option<&'a str>,
    /// The other columns with a role.
    pub roles: &'a BTreeMap<String, Role>,
    /// Why columns are what they are described as, where that was guessed.
    pub reasons: &'a BTreeMap<String, String>,
    /// What is known of the sounds of a column.
    pub sounds: &'a BTreeMap<String, Sounds>,
    /// What was noticed about the data; written at the top.
    pub notes: &'a [String],
}

impl Facts<'_> {
    fn role(&self, role: Role) -> Option<&str> {
        self.roles.iter().find(|(_, r)| **r == role).map(|(name, _)| name.as_str())
    }

    /// The input columns that a recipe can name.
    fn fields(&self) -> impl Iterator<Item = &Field> {
        self.schema.fields.iter().filter(|f| f.name != TABLE)
    }

    fn classifies(&self) -> bool {
        self.task.classes().is_some()
    }
}

/// A recipe as commented YAML. It names only methods that are known, and loads without errors.
pub fn init(facts: &Facts<'_>, methods: &Methods) -> String {
    let mut out = String::new();
    comment(
        &mut out,
        "",
        "A first recipe. Every guess in it has a comment; change what is wrong and run it with csl run.",
    );
    for note in facts.notes {
        comment(&mut out, "", &format!("Noticed: {note}"));
    }
    out += "version: 1\n";
    out += &format!("name: {}\n", write_text(&names::fit(facts.name)));
    match facts.task {
        Task::Classify(c) => {
            out += &format!(
                "task: classify              # the target has {} classes; regress for numbers\n",
                c.count()
            );
        }
        Task::Regress => {
            out += "task: regress               # the target holds numbers; classify for classes\n"
        }
    }
    out += "seed: 7                     # the root of all chance: the same seed gives the same bytes\n\n";
    data(facts, &mut out);
    split(facts, &mut out);
    let members = propose(facts, methods);
    out += "\n";
    if members.is_empty() {
        comment(&mut out, "", "No method here reads such columns yet; describe a member by hand.");
        out += "members: {}\n";
    } else {
        comment(&mut out, "", "Members that err differently help each other most.");
        if members.iter().any(|m| m.line.contains(", epochs: ")) {
            let why = "Networks get more epochs than usual, for the rows are few; each stops when rows that are held out of \
                       its own for fitting say so.";
            comment(&mut out, "", why);
        }
        if members.iter().any(|m| m.line.contains(", clip: 1")) {
            comment(
                &mut out,
                "",
                "Recurrent layers take larger steps than usual with long gradients shortened (clip), and stop later: they \
                 often learn nothing at first.",
            );
        }
        for (column, why) in unusual(facts, &members) {
            comment(&mut out, "", &format!("{column}: {why}."));
        }
        out += "members:\n";
        let width = members.iter().map(|m| m.line.chars().count()).max().unwrap_or(0).min(80);
        for m in &members {
            out += &format!("  {:width$}  # {}\n", m.line, one_line(&m.about));
        }
    }
    out += "\n";
    synthesis(facts, methods, &members, &mut out);
    judge(facts, methods, &mut out);
    out
}

/// Why columns are read by other steps than the default ones, for those that are.
fn unusual(facts: &Facts<'_>, members: &[Proposal]) -> BTreeSet<(String, String)> {
    let written = |column: &str| members.iter().any(|m| m.line.contains(&format!("features: {{{column}: ")));
    let methods = ["cnn", "gru", "logistic"];
    let all =
        facts.fields().flat_map(|f| methods.iter().filter_map(|m| Some((&f.name, chain(facts, f, m)?))));
    all.filter(|(name, _)| written(&write_text(name))).map(|(name, c)| (name.clone(), c.why)).collect()
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A comment, broken into lines of at most 100 characters.
fn comment(out: &mut String, indent: &str, text: &str) {
    let mut line = String::new();
    for word in one_line(text).split_whitespace() {
        if !line.is_empty() && line.chars().count() + word.chars().count() > 98 {
            *out += &format!("{indent}# {line}\n");
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    if !line.is_empty() {
        *out += &format!("{indent}# {line}\n");
    }
}

fn flow<T: serde::Serialize>(value: &T) -> String {
    document::flow(&Node::from_json(&serde_json::to_value(value).unwrap_or(Value::Null)))
}

fn data(facts: &Facts<'_>, out: &mut String) {
    *out += "data:\n";
    *out += &format!(
        "  root: {}  # relative to this file; --data replaces it; nothing outside is read\n",
        write_text(facts.data.root.as_deref().unwrap_or("."))
    );
    let spec = facts.data;
    for (key, value) in [("table", &spec.table), ("folder", &spec.folder)] {
        if let Some(value) = value {
            *out += &format!("  {key}: {}\n", write_text(value));
        }
    }
    if !spec.sources.is_empty() {
        *out += "  sources:\n";
        for source in &spec.sources {
            *out += &format!("    - {}\n", flow(source));
        }
    }
    if let Some(delimiter) = spec.delimiter {
        *out += &format!("  delimiter: {}\n", flow(&delimiter));
    }
    if let Some(corrupt) = spec.corrupt {
        *out += &format!("  corrupt: {}\n", flow(&corrupt));
    }
    if spec.only {
        *out += "  only: true\n";
    }
    // Columns as they were described, then what was guessed.
    let mut lines: Vec<(String, String, String)> = Vec::new();
    for (name, column) in &spec.columns {
        let mut column = column.clone();
        if facts.target == Some(name.as_str()) {
            column.role = Some(Role::Target);
        } else if let Some(role) = facts.roles.get(name) {
            column.role = Some(*role);
        }
        let why = match facts.reasons.get(name) {
            _ if column.role == Some(Role::Target) => classes(facts.task),
            Some(why) => why.clone(),
            None => String::new(),
        };
        lines.push((name.clone(), flow(&column), why));
    }
    let guessed: Vec<&Field> = facts.fields().filter(|f| !spec.columns.contains_key(&f.name)).collect();
    let written = if guessed.len() > MAX_COLUMNS { Vec::new() } else { guessed.clone() };
    for field in &written {
        lines.push((field.name.clone(), format!("{{type: {}}}", field.kind.name()), reason(facts, field)));
    }
    for (name, role) in facts.roles.iter().filter(|(n, _)| !spec.columns.contains_key(*n)) {
        let why = facts.reasons.get(name).cloned().unwrap_or_default();
        lines.push((name.clone(), format!("{{role: {}}}", flow(role)), why));
    }
    if let Some(target) = facts.target.filter(|t| !spec.columns.contains_key(*t)) {
        lines.push((target.to_owned(), "{role: target}".to_owned(), classes(facts.task)));
    }
    if facts.schema.fields.iter().any(|f| f.name == TABLE) {
        comment(
            out,
            "  ",
            "A column is called table, which is the word for all numbers and categories: name it anew, as in \
             other: {from: table}.",
        );
    }
    if written.len() < guessed.len() {
        comment(
            out,
            "  ",
            &format!(
                "{} more columns of the table are inputs; each is a number if every value is one, else a category.",
                guessed.len()
            ),
        );
    }
    if lines.is_empty() {
        *out += "  columns: {}\n\n";
        return;
    }
    *out += "  columns:\n";
    let width = lines.iter().map(|(n, v, _)| write_key(n).chars().count() + v.chars().count() + 2).max();
    let width = width.unwrap_or(0).min(60);
    for (name, value, why) in lines {
        let line = format!("{}: {value}", write_key(&name));
        if why.is_empty() {
            *out += &format!("    {line}\n");
        } else {
            *out += &format!("    {line:width$}  # {}\n", one_line(&why));
        }
    }
    *out += "\n";
}

fn reason(facts: &Facts<'_>, field: &Field) -> String {
    if let Some(why) = facts.reasons.get(&field.name) {
        return why.clone();
    }
    match field.kind {
        Kind::Sequence if field.longest > 0 => {
            format!("up to {} steps of {} numbers", field.longest, field.shape.iter().product::<usize>())
        }
        Kind::Number => "every value is a number; category if they are codes".to_owned(),
        Kind::Category if field.levels.is_empty() => "not every value is a number".to_owned(),
        Kind::Category => format!("{} levels; text if it is prose", field.levels.len()),
        _ if !field.shape.is_empty() => {
            let sides: Vec<String> = field.shape.iter().map(ToString::to_string).collect();
            format!("every row is {}", sides.join(" x "))
        }
        _ => "guessed from the files".to_owned(),
    }
}

fn classes(task: &Task) -> String {
    match task.classes() {
        Some(c) if c.count() <= MAX_CLASSES => {
            let names = c.names().join(", ");
            if names.chars().count() <= 100 {
                format!("classes {names}")
            } else {
                format!("{} classes", c.count())
            }
        }
        Some(c) => format!("{} classes", c.count()),
        None => "numbers".to_owned(),
    }
}

fn split(facts: &Facts<'_>, out: &mut String) {
    let mut parts = vec!["holdout: 0.2".to_owned()];
    let mut why = vec!["A fifth of the rows is for judging alone.".to_owned()];
    if let Some(time) = facts.role(Role::Time) {
        parts.push(format!("time: {}", write_text(time)));
        why.push("There is a column of times: judged on the latest rows.".to_owned());
    } else if let Some(target) = facts.target.filter(|_| facts.classifies()) {
        parts.push(format!("stratify: {}", write_text(target)));
        why.push("The classes are spread evenly.".to_owned());
    }
    if let Some(group) = facts.role(Role::Group) {
        parts.push(format!("group: {}", write_text(group)));
        why.push("Rows of one group stay together.".to_owned());
    }
    if let Some(domain) = facts.role(Role::Domain) {
        why.push(format!(
            "To be judged on a domain that no member has seen, write {{domain: a value of {domain}}} instead."
        ));
    }
    let many = facts.rows >= MANY_ROWS;
    if many {
        parts.push("validation: 0.1".to_owned());
    }
    comment(out, "", &why.join(" "));
    *out += &format!("split: {{{}}}\n", parts.join(", "));
    if many {
        comment(
            out,
            "",
            &format!(
                "With {} rows a validation part is enough for the fusers; {{folds: 5}} uses all rows and takes five \
                 times as long.",
                facts.rows
            ),
        );
        *out += "honest: validation\n";
    } else {
        // Every class needs a row in each fold of the rows for fitting, of which a fifth is gone.
        let folds = facts.smallest_class.map_or(FOLDS, |rows| (rows * 4 / 5).clamp(2, FOLDS));
        let fewer = match facts.smallest_class {
            Some(rows) if folds < FOLDS => format!(" One class has {rows} rows, so there are {folds} folds."),
            _ => String::new(),
        };
        comment(
            out,
            "",
            &format!(
                "With {} rows, fusers learn from out-of-fold predictions: every row is predicted by models that have \
                 not seen it.{fewer}",
                facts.rows
            ),
        );
        *out += &format!("honest: {{folds: {folds}}}\n");
    }
}

fn synthesis(facts: &Facts<'_>, methods: &Methods, members: &[Proposal], out: &mut String) {
    let mut lines: Vec<(String, String)> = Vec::new();
    let taken = |name: &str| members.iter().any(|m| m.name.eq_ignore_ascii_case(name));
    let free = |name: &str| if taken(name) { format!("{name}_all") } else { name.to_owned() };
    if members.len() > 1 {
        let of: Vec<String> = members.iter().map(|m| write_text(&m.name)).collect();
        for name in ["soft_vote", "weighted", "greedy", "stacking", "gate"] {
            if let Some(m) = find(&methods.fusers, name) {
                let line = format!("{}: {{fuse: {name}, of: [{}]}}", free(name), of.join(", "));
                lines.push((line, m.about.clone()));
            }
        }
    }
    let tabular = facts.fields().any(|f| f.kind.is_tabular());
    let mut on: Vec<&str> = if tabular { vec![TABLE] } else { Vec::new() };
    on.extend(facts.fields().filter(|f| !f.kind.is_tabular()).map(|f| f.name.as_str()));
    if on.len() > 1 {
        let on: Vec<String> = on.iter().map(|c| write_text(c)).collect();
        // Fusions read sequences by recurrent layers, and the rest as a cnn does.
        let chains: Vec<_> =
            facts.fields().filter_map(|f| Some((write_text(&f.name), chain(facts, f, "gru")?))).collect();
        let known = chains.iter().all(|(_, c)| c.is_known(methods));
        let written: Vec<String> = chains.iter().map(|(n, c)| format!("{n}: {}", flow(&c.steps))).collect();
        let features = match written.as_slice() {
            [] => String::new(),
            some => format!(", features: {{{}}}", some.join(", ")),
        };
        for name in ["concat", "late"] {
            if let Some(m) = find(&methods.fusions, name).filter(|_| known) {
                let recurrent = facts.fields().any(|f| f.kind == Kind::Sequence);
                let settings = settings(facts, m, recurrent);
                let line = format!(
                    "{}: {{fusion: {name}, on: [{}]{settings}{features}}}",
                    free(name),
                    on.join(", ")
                );
                lines.push((line, m.about.clone()));
            }
        }
    }
    if lines.is_empty() {
        return;
    }
    comment(
        out,
        "",
        "Ways to compose them; the best on honest predictions is judged against the best single member.",
    );
    *out += "synthesis:\n";
    for (line, about) in lines {
        comment(out, "  ", &about);
        *out += &format!("  {line}\n");
    }
    *out += "\n";
}

fn judge(facts: &Facts<'_>, methods: &Methods, out: &mut String) {
    let (choose, report): (&[&str], &[&str]) = if facts.classifies() {
        (&["log_loss", "accuracy"], &["accuracy", "balanced_accuracy", "ece"])
    } else {
        (&["rmse", "mse", "mae"], &["mae", "r2"])
    };
    let known = |name: &&&str| {
        methods
            .metrics
            .iter()
            .any(|m| m.name == **name && if facts.classifies() { m.classify } else { m.regress })
    };
    let Some(choose) = choose.iter().find(known) else { return };
    let report: Vec<&str> = report.iter().filter(known).filter(|r| *r != choose).copied().collect();
    comment(out, "", "Chosen by the first, the others are reported; every figure with its interval.");
    *out += &format!("judge: {{choose: {choose}, report: [{}]}}\n", report.join(", "));
}
