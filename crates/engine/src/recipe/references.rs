//! References among members and syntheses: they exist, they can do what is asked of them, they form no circle.

use std::collections::{BTreeMap, BTreeSet};

use super::validate::below;
use consilience_core::document::{Entry, Node};
use consilience_core::document::{Finding, List, quote, suggest};

/// Everything that refers to nothing, to the wrong thing, twice, or in a circle.
pub(super) fn check(root: &Node, findings: &mut List) {
    let all = |section: &str| root.get(section).map(Node::entries).unwrap_or_default();
    let names = Names {
        members: all("members").iter().map(|e| (e.key.as_str(), e)).collect(),
        syntheses: all("synthesis").iter().map(|e| (e.key.as_str(), e)).collect(),
    };
    for member in all("members") {
        let path = below("members", &member.key);
        if let Some(from) = member.value.get("from") {
            if from.text() == Some(member.key.as_str()) {
                let finding = Finding::error("a member cannot start from itself", from.span);
                findings.push(finding.at(below(&path, "from")));
            } else {
                names.refer(from, &below(&path, "from"), Wanted::WithWeights, findings);
            }
        }
    }
    for synthesis in all("synthesis") {
        let path = below("synthesis", &synthesis.key);
        let merges = synthesis.value.entry("merge").is_some();
        let wanted = if merges { Wanted::WithWeights } else { Wanted::Any };
        for list in ["of", "on"] {
            let Some(items) = synthesis.value.get(list).map(Node::items) else { continue };
            twice(items, &below(&path, list), findings);
            for (i, item) in items.iter().enumerate().filter(|_| list == "of") {
                names.refer(item, &format!("{path}.of[{i}]"), wanted, findings);
            }
        }
        if let Some(origin) = synthesis.value.get("base").filter(|_| merges) {
            names.refer(origin, &below(&path, "base"), Wanted::WithWeights, findings);
        }
        if let Some(teacher) = synthesis.value.get("teacher") {
            names.refer(teacher, &below(&path, "teacher"), Wanted::Any, findings);
        }
        if let Some(member) = synthesis.value.get("member") {
            names.refer(member, &below(&path, "member"), Wanted::WithSettings, findings);
        }
    }
    for member in all("members") {
        if let Some(on) = member.value.get("on") {
            twice(on.items(), &format!("members.{}.on", member.key), findings);
        }
    }
    circles("members", all("members"), |e| e.value.get("from").into_iter().collect(), findings);
    circles(
        "synthesis",
        all("synthesis"),
        |e| {
            e.value
                .get("of")
                .map(Node::items)
                .unwrap_or_default()
                .iter()
                .chain(e.value.get("teacher"))
                .collect()
        },
        findings,
    );
}

/// What a reference must be able to do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// Predict.
    Any,
    /// Hold weights.
    WithWeights,
    /// Be fitted again.
    WithSettings,
}

struct Names<'a> {
    members: BTreeMap<&'a str, &'a Entry>,
    syntheses: BTreeMap<&'a str, &'a Entry>,
}

impl Names<'_> {
    fn refer(&self, node: &Node, path: &str, wanted: Wanted, findings: &mut List) {
        let Some(name) = node.text() else { return };
        let member = self.members.get(name);
        if findings.is_full() {
            return;
        }
        let lacks = |what: &str, expected: &str| {
            Finding::error(format!("{} {what}", quote(name)), node.span).expected(expected)
        };
        let finding = match (wanted, member) {
            (_, None) if wanted != Wanted::Any && self.syntheses.contains_key(name) => {
                lacks("is a synthesis", "a member")
            }
            (Wanted::Any, None) if self.syntheses.contains_key(name) => return,
            (_, None) => {
                let known: Vec<&str> = match wanted {
                    Wanted::Any => self.members.keys().chain(self.syntheses.keys()).copied().collect(),
                    _ => self.members.keys().copied().collect(),
                };
                let near = suggest(name, known.iter().copied());
                let expected = match known.as_slice() {
                    [] => "a member; the recipe has none".to_owned(),
                    some if some.len() <= 20 => format!("one of {}", some.join(", ")),
                    _ => "a member of this recipe".to_owned(),
                };
                lacks("names no member", &expected).near(near)
            }
            (Wanted::WithWeights, Some(m)) if m.value.entry("predictions").is_some() => {
                lacks("is a table of predictions and has no weights", "a member that is fitted or loaded")
            }
            (Wanted::WithWeights, Some(m)) if m.value.entry("calibrate").is_some() => lacks(
                "is calibrated, and its weights stand within",
                "a member without calibrate; what is made of it can be calibrated",
            ),
            (Wanted::WithSettings, Some(m))
                if !m.value.entries().is_empty() && m.value.entry("fit").is_none() =>
            {
                lacks("has no settings that could be fitted again", "a member with the key fit")
            }
            _ => return,
        };
        findings.push(finding.at(path));
    }
}

/// Names that stand twice in a list.
fn twice(items: &[Node], path: &str, findings: &mut List) {
    let mut seen = BTreeSet::new();
    for (i, item) in items.iter().enumerate() {
        if let Some(name) = item.text()
            && !seen.insert(name)
        {
            let finding = Finding::error(format!("{} stands in this list twice", quote(name)), item.span)
                .expected("each name once");
            findings.push(finding.at(format!("{path}[{i}]")));
        }
    }
}

/// One finding for every circle of references.
fn circles<'a>(
    section: &str,
    entries: &'a [Entry],
    uses: impl Fn(&'a Entry) -> Vec<&'a Node>,
    findings: &mut List,
) {
    let index: BTreeMap<&str, usize> = entries.iter().enumerate().map(|(i, e)| (e.key.as_str(), i)).collect();
    let edges: Vec<Vec<usize>> = entries
        .iter()
        .map(|e| {
            uses(e).into_iter().filter_map(Node::text).filter_map(|name| index.get(name).copied()).collect()
        })
        .collect();
    // Take away, again and again, whatever uses nothing that is left: circles and their users remain.
    let mut users = vec![Vec::new(); entries.len()];
    let mut open: Vec<usize> = edges.iter().map(Vec::len).collect();
    for (from, used) in edges.iter().enumerate() {
        for to in used {
            if let Some(list) = users.get_mut(*to) {
                list.push(from);
            }
        }
    }
    let mut done: Vec<usize> = (0..entries.len()).filter(|i| open.get(*i) == Some(&0)).collect();
    while let Some(i) = done.pop() {
        for user in users.get(i).into_iter().flatten() {
            if let Some(count) = open.get_mut(*user) {
                *count -= 1;
                if *count == 0 {
                    done.push(*user);
                }
            }
        }
    }
    let left = |i: usize| open.get(i).is_some_and(|c| *c > 0);
    let mut visited = vec![false; entries.len()];
    for start in (0..entries.len()).filter(|i| left(*i)) {
        let (mut walk, mut at) = (Vec::new(), start);
        while visited.get(at) == Some(&false) {
            if let Some(v) = visited.get_mut(at) {
                *v = true;
            }
            walk.push(at);
            let Some(next) = edges.get(at).and_then(|e| e.iter().copied().find(|n| left(*n))) else { break };
            at = next;
        }
        let Some(begin) = walk.iter().position(|i| *i == at) else { continue };
        let circle: Vec<&Entry> = walk.iter().skip(begin).filter_map(|i| entries.get(*i)).collect();
        // A member that starts from itself was reported where it says so.
        let itself = circle.len() == 1 && section == "members";
        if let Some(first) = circle.iter().min_by_key(|e| e.key_span.start).filter(|_| !itself) {
            let mut names: Vec<&str> = circle.iter().map(|e| e.key.as_str()).take(12).collect();
            names.push(if circle.len() > 12 { "..." } else { circle.first().map_or("", |e| e.key.as_str()) });
            let finding = Finding::error("these refer to each other in a circle", first.key_span)
                .got(names.join(" -> "))
                .at(below(section, &first.key));
            findings.push(finding);
        }
    }
}
