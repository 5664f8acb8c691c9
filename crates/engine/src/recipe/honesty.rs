//! How rows are parted, where honest predictions come from, by what is judged: what these ask of each other.

use std::collections::BTreeSet;

use consilience_core::data::TaskKind;

use super::methods::Methods;
use super::validate::below;
use consilience_core::document::{Content, Node, Span};
use consilience_core::document::{Finding, List, quote};

/// Everything about `split`, `honest` and `judge` that their schemas cannot say.
pub(super) fn check(root: &Node, methods: &Methods, findings: &mut List) {
    split(root, findings);
    honest(root, findings);
    judge(root, methods, findings);
}

fn number(node: &Node) -> Option<f64> {
    match node.content {
        Content::Int(v) => Some(v as f64),
        Content::Float(v) => Some(v),
        _ => None,
    }
}

fn split(root: &Node, findings: &mut List) {
    let Some(entry) = root.entry("split").filter(|e| matches!(e.value.content, Content::Map(_))) else {
        return;
    };
    let split = &entry.value;
    let ways: Vec<&str> =
        ["column", "holdout", "domain", "folds"].into_iter().filter(|k| split.entry(k).is_some()).collect();
    let expected = "one of column, holdout, domain, folds";
    match ways.as_slice() {
        // The column names the outer folds.
        ["column", "folds"] => {}
        [] => findings.push(
            Finding::error("the split has no rows for judging", entry.key_span)
                .expected(expected)
                .at("split"),
        ),
        [_] => {}
        [_, second, ..] => findings.push(
            Finding::error(format!("{} stand side by side", ways.join(" and ")), split.locate(&[second]))
                .expected(expected)
                .at(below("split", second)),
        ),
    }
    if let Some(e) = split.entry("time")
        && !ways.is_empty()
        && !ways.contains(&"holdout")
    {
        let finding = Finding::error(format!("time beside {}", ways.join(" and ")), e.key_span)
            .expected("holdout: the share of the latest rows");
        findings.push(finding.at("split.time"));
    }
    if split.entry("column").is_none() {
        for key in ["fit", "choose", "judge"] {
            if let Some(e) = split.entry(key) {
                let finding = Finding::error(format!("{key} without column"), e.key_span)
                    .expected("column: the column whose values name the parts");
                findings.push(finding.at(below("split", key)));
            }
        }
    }
    let parted = split.entry("regions");
    match (parted, root.entry("regions")) {
        (None, Some(regions)) => findings.push(
            Finding::error("the split has no rows that set the thresholds of regions", regions.key_span)
                .expected("split: {regions: 0.1}: rows that are used for nothing else")
                .at("regions"),
        ),
        (Some(entry), None) => findings.push(
            Finding::error("rows are kept for regions, and there are none", entry.key_span)
                .expected("regions: lac, aps or raps for classes, split for values")
                .at("split.regions"),
        ),
        (Some(entry), Some(_)) if ways.contains(&"folds") => findings.push(
            Finding::error(
                "regions are measured on one part for judging, and there are outer folds",
                entry.key_span,
            )
            .expected("holdout, column or domain")
            .at("split.regions"),
        ),
        _ => {}
    }
    let mut fractions = 0.0;
    for key in ["holdout", "validation", "regions"] {
        let Some(node) = split.get(key) else { continue };
        let Some(v) = number(node) else { continue };
        if !((v > 0.0 && v < 1.0) || (v >= 2.0 && v.fract() == 0.0)) {
            let finding = Finding::error("this is no part of the rows", node.span)
                .expected("a fraction above 0 and below 1, or a whole number of rows of at least 2")
                .got(format!("{v}"));
            findings.push(finding.at(below("split", key)));
        } else if v < 1.0 {
            fractions += v;
        }
        if key != "holdout" && fractions >= 1.0 {
            let finding = Finding::error("no rows are left to fit on", node.span)
                .expected("holdout and validation that sum to less than 1")
                .got(format!("{fractions}"));
            findings.push(finding.at(below("split", key)));
        }
    }
    few_folds(split, "split", findings);
}

fn few_folds(node: &Node, path: &str, findings: &mut List) {
    if let Some(folds) = node.get("folds")
        && let Some(v) = number(folds)
        && v < 2.0
    {
        let finding = Finding::error("too few folds", folds.span).expected("at least 2").got(format!("{v}"));
        findings.push(finding.at(below(path, "folds")));
    }
}

fn honest(root: &Node, findings: &mut List) {
    let split = root.get("split");
    let gives = |key: &str| split.is_some_and(|s| s.entry(key).is_some());
    let chooses = gives("validation") || gives("choose") || gives("column");
    let node = root.get("honest");
    if let Some(node) = node {
        few_folds(node, "honest", findings);
    }
    let by_validation = match node {
        Some(n) => n.text() == Some("validation"),
        None => gives("validation") || gives("choose"),
    };
    if by_validation && !chooses {
        let finding = Finding::error(
            "the split has no rows for choosing",
            node.map_or_else(|| root.locate(&["split"]), |n| n.span),
        )
        .expected("validation: a fraction in the split, or honest: {folds: 5}");
        findings.push(finding.at("honest"));
    }
    // Predictions of rows that their maker was fitted on are no use to a fuser.
    let members = root.get("members").map(Node::entries).unwrap_or_default();
    let word = |n: &Node, key: &str| n.get(key).and_then(Node::text).map(str::to_owned);
    for entry in members.iter().filter(|_| !by_validation) {
        let path = below("members", &entry.key);
        if findings.has_errors_under(&path) {
            continue;
        }
        let seen = word(&entry.value, "seen").unwrap_or_else(|| "unknown".to_owned());
        let place = |key: &str| -> Span { entry.value.entry(key).map_or(entry.key_span, |e| e.value.span) };
        if entry.value.entry("predictions").is_some() && entry.value.entry("fold").is_none() && seen != "none"
        {
            let finding =
                Finding::error("nothing shows that these predictions are out-of-fold", place("predictions"))
                    .expected("fold: the column with the fold of each row")
                    .remedy(
                        "or seen: none, if their maker has seen none of these rows; or honest: validation",
                    );
            findings.push(finding.at(path));
        } else if entry.value.entry("load").is_some() && seen != "none" {
            let message = match seen.as_str() {
                "part" => "this model has seen some of the rows on which it would be weighed",
                _ => "nobody knows whether this model has seen the rows on which it is weighed",
            };
            let finding = Finding::warning(message, place(if seen == "part" { "seen" } else { "load" }))
                .expected("seen: none")
                .remedy("the verdict will say so");
            findings.push(finding.at(path));
        }
    }
    for entry in root.get("synthesis").map(Node::entries).unwrap_or_default() {
        let path = below("synthesis", &entry.key);
        let (source, target) = (entry.value.get("source"), entry.value.get("target"));
        if let (Some(source), Some(target)) = (source, target)
            && !source.entries().is_empty()
            && source.to_json() == target.to_json()
        {
            let finding = Finding::error("source and target are the same rows", target.span)
                .expected("two domains, as in source: {domain: a}, target: {domain: b}");
            findings.push(finding.at(below(&path, "target")));
        }
        let joins = entry.value.entry("fusion").is_some();
        if let Some(on) = entry.value.get("on").filter(|on| joins && on.items().len() == 1) {
            let finding = Finding::warning("there is only one modality to bring together", on.span)
                .remedy("fit one member on it instead");
            findings.push(finding.at(below(&path, "on")));
        }
    }
    let nothing = |key: &str| root.get(key).is_none_or(|n| n.entries().is_empty());
    let sound = |key: &str| !findings.has_errors_under(key);
    if nothing("members") && nothing("synthesis") && sound("members") && sound("synthesis") {
        let finding = Finding::error("there is nothing to fit", root.locate(&["members"]))
            .expected("at least one member, as in members: {a: {fit: logistic}}");
        findings.push(finding.at("members"));
    }
}

fn judge(root: &Node, methods: &Methods, findings: &mut List) {
    let task = match root.get("task").and_then(Node::text) {
        Some("classify") => TaskKind::Classify,
        Some("regress") => TaskKind::Regress,
        _ => return,
    };
    let Some(judge) = root.get("judge") else { return };
    let report = judge.get("report").map(Node::items).unwrap_or_default();
    let named = judge
        .get("choose")
        .into_iter()
        .map(|n| (n, "judge.choose".to_owned()))
        .chain(report.iter().enumerate().map(|(i, n)| (n, format!("judge.report[{i}]"))));
    for (node, path) in named {
        let Some(metric) = node.text().and_then(|t| methods.metrics.iter().find(|m| m.name == t)) else {
            continue;
        };
        if !metric.suits(task) {
            let (what, suiting): (_, Vec<&str>) = (
                if task == TaskKind::Classify { "classes" } else { "values" },
                methods.metrics.iter().filter(|m| m.suits(task)).map(|m| m.name.as_str()).collect(),
            );
            let finding = Finding::error(format!("{} does not judge {what}", quote(&metric.name)), node.span)
                .expected(format!("one of {}", suiting.join(", ")));
            findings.push(finding.at(path));
        }
    }
    let mut seen = BTreeSet::new();
    for (i, node) in report.iter().enumerate() {
        if let Some(name) = node.text()
            && !seen.insert(name)
        {
            let finding = Finding::warning(format!("{} is reported twice", quote(name)), node.span);
            findings.push(finding.at(format!("judge.report[{i}]")));
        }
    }
}
