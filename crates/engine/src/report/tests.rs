//! The page as a whole: complete, well formed, inert.

use std::collections::BTreeMap;

use super::html;
use super::sample::{crowd, digits, prices};
use crate::outcome::{Bin, Interval, Outcome};

/// Every tag is closed in order; void elements close themselves. Gives the names of the elements.
fn elements(page: &str) -> Vec<String> {
    let mut open: Vec<String> = Vec::new();
    let mut all = Vec::new();
    let mut rest = page.strip_prefix("<!DOCTYPE html>").expect("a doctype");
    while let Some(start) = rest.find('<') {
        let text = &rest[..start];
        assert!(!text.contains('>') || open.last().is_some_and(|o| o == "style"), "a bare > in {text:?}");
        let (tag, after) = closed(&rest[start + 1..]);
        rest = after;
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name), "closed out of order");
            continue;
        }
        let name: String = tag.chars().take_while(|c| c.is_ascii_alphanumeric()).collect();
        assert!(!name.is_empty(), "a bare < before {tag:?}");
        attributes(&tag[name.len()..]);
        all.push(name.clone());
        if !tag.ends_with('/') {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "left open: {open:?}");
    all
}

/// A tag up to its `>` outside quotes, and what follows.
fn closed(text: &str) -> (&str, &str) {
    let mut quoted = false;
    for (i, c) in text.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '>' if !quoted => return (&text[..i], &text[i + 1..]),
            '<' if !quoted => panic!("a < inside a tag: {}", &text[..i]),
            _ => {}
        }
    }
    panic!("a tag without end");
}

/// Attributes have quoted values, come once, and never run anything.
fn attributes(text: &str) {
    let mut seen = std::collections::BTreeSet::new();
    let mut rest = text.trim_end_matches('/').trim();
    while !rest.is_empty() {
        let (name, value) = rest.split_once("=\"").unwrap_or_else(|| panic!("no value: {rest:?}"));
        assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'), "attribute {name:?}");
        assert!(seen.insert(name), "attribute {name} twice");
        assert!(!name.starts_with("on"), "attribute {name} runs a script");
        assert!(!matches!(name, "src" | "srcset" | "action"), "attribute {name} loads");
        let (value, after) = value.split_once('"').expect("a closing quote");
        if name == "href" {
            assert!(value.starts_with('#') || value == "data:,", "a link out: {value}");
        }
        rest = after.trim_start();
    }
}

fn checked(outcome: &Outcome) -> String {
    let page = html(outcome).unwrap();
    let all = elements(&page);
    assert!(
        !all.iter().any(|e| matches!(e.as_str(), "script" | "img" | "iframe" | "object" | "use" | "image"))
    );
    assert!(!page.contains("<script") && !page.contains("url(") && !page.contains("@import"));
    for svg in page.split("<svg ").skip(1) {
        let tag = svg.split('>').next().unwrap();
        assert!(tag.contains("role=\"img\"") || tag.contains("aria-hidden=\"true\""), "{tag}");
        assert!(!tag.contains("role=\"img\"") || svg[tag.len()..].starts_with("><title>"), "{tag}");
    }
    for odd in ["NaN", "\"inf", "None", "Some("] {
        assert!(!page.contains(odd), "{odd} is shown");
    }
    page
}

/// The sections of a page, by id.
fn sections(page: &str) -> Vec<&str> {
    page.split("<section id=\"").skip(1).filter_map(|s| s.split('"').next()).collect()
}

#[test]
fn all_that_a_run_found_is_there() {
    let page = checked(&digits());
    assert_eq!(
        sections(&page),
        [
            "verdict",
            "leaderboard",
            "cost",
            "confusion",
            "reliability",
            "modalities",
            "importances",
            "weights",
            "curves",
            "data",
            "reproduce"
        ]
    );
    for said in [
        "Composing pays",
        "Gain",
        "0.131",
        "[0.113, 0.148]",
        "\u{2212}0.073",
        "[\u{2212}0.094, \u{2212}0.054]",
        "silent on 38 rows",
        "95% for all candidates at once",
        "812\u{a0}µs",
        "185\u{a0}k",
        "4,000 rows",
        "12 groups",
        "csl run recipes/digits.yaml",
        "9f86d081884c7d65",
        "overconfident",
        "28 × 28 × 1",
    ] {
        assert!(page.contains(said), "{said} is missing");
    }
    assert!(!page.contains("http:") && !page.contains("https:"));
    assert_eq!(page, html(&digits()).unwrap(), "the same outcome gives the same bytes");
}

#[test]
fn a_regression_has_no_classes_to_show() {
    let page = checked(&prices());
    assert_eq!(
        sections(&page),
        ["verdict", "leaderboard", "cost", "modalities", "importances", "weights", "data", "reproduce"]
            .into_iter()
            .filter(|s| *s != "modalities")
            .collect::<Vec<_>>()
    );
    assert!(
        page.contains("No gain")
            && page.contains("58,914")
            && page.contains("[\u{2212}675, +1681]")
            && !page.contains(">better<")
    );
    assert!(page.contains("\u{2212}0.12"));
}

#[test]
fn names_cannot_break_out() {
    let hostile = "<script>alert('1')</script>\"><img src=x onerror=alert(1)>&amp;{{ 7 }}";
    let mut outcome = crowd(6, 10, hostile);
    outcome.run = hostile.to_owned();
    outcome.verdict.sentence = hostile.to_owned();
    outcome.verdict.notes = vec![hostile.to_owned()];
    outcome.verdict.metric = hostile.to_owned();
    outcome.verdict.best_single = format!("{hostile}4");
    outcome.verdict.exported = format!("{hostile}0");
    outcome.verdict.best_composition = Some(format!("{hostile}0"));
    outcome.reliability = [(hostile.to_owned(), outcome.reliability["stack"].clone())].into();
    for c in &mut outcome.candidates {
        c.method = hostile.to_owned();
        c.of = vec![hostile.to_owned()];
        c.weights = Some(vec![(hostile.to_owned(), 0.5)]);
        for s in &mut c.scores {
            if s.metric == "log_loss" {
                s.metric = hostile.to_owned();
            }
        }
        for s in &mut c.subsets {
            s.on = vec![hostile.to_owned()];
            s.scores = [(hostile.to_owned(), 0.5)].into();
        }
    }
    for i in &mut outcome.importances {
        i.name = hostile.to_owned();
    }
    for c in &mut outcome.data.columns {
        c.name = hostile.to_owned();
        c.kind = hostile.to_owned();
    }
    outcome.data.notes = vec![hostile.to_owned()];
    outcome.reproduce.command = hostile.to_owned();
    outcome.reproduce.recipe = format!("{hostile}</code></pre></details>\u{202e}");
    outcome.reproduce.environment = BTreeMap::from([(hostile.to_owned(), hostile.to_owned())]);
    outcome.reproduce.data = hostile.to_owned();
    let page = checked(&outcome);
    assert!(page.contains("&#60;script&#62;") || page.contains("&lt;script&gt;"));
    assert!(!page.contains("onerror=alert(1)>") && !page.contains('\u{202e}'));
    // What was escaped already is shown as it is, not decoded.
    assert!(page.contains("&#38;amp;") && page.contains("&amp;amp;"));
    assert_eq!(sections(&page).len(), 11);
}

#[test]
fn nothing_found_is_a_page_too() {
    let mut outcome = digits();
    outcome.candidates = Vec::new();
    outcome.confusion = Vec::new();
    outcome.reliability = BTreeMap::new();
    outcome.importances = Vec::new();
    outcome.data = crate::outcome::DataSummary::default();
    outcome.reproduce = crate::outcome::Reproduce::default();
    outcome.verdict.difference = None;
    outcome.verdict.honest_difference = None;
    assert_eq!(sections(&checked(&outcome)), ["verdict"]);
    let one = crowd(1, 1, "only");
    assert!(sections(&checked(&one)).contains(&"leaderboard"));
}

#[test]
fn numbers_that_are_none_are_dashes() {
    for odd in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e308, -1e308, 0.0, 1e-320] {
        let none = Interval { value: odd, low: odd, high: odd };
        let mut outcome = digits();
        outcome.level = odd;
        outcome.seconds = odd;
        outcome.verdict.difference = Some(none);
        for (i, c) in outcome.candidates.iter_mut().enumerate() {
            c.honest = Some(odd);
            c.cost.predict_micros = Some(odd);
            c.cost.fit_seconds = odd;
            c.cost.parameters = Some(u64::MAX);
            for s in &mut c.scores {
                s.interval = Some(none);
                s.simultaneous = Some(none);
                s.against_best_single = Some(none);
                // The first keeps its value, so that scales are drawn with odd ends.
                s.value = if i == 0 { s.value } else { odd };
            }
            for row in &mut c.curve {
                row.held_loss = Some(odd as f32);
            }
            for w in c.weights.iter_mut().flatten() {
                w.1 = odd;
            }
            for s in &mut c.subsets {
                s.scores.values_mut().for_each(|v| *v = odd);
            }
        }
        for i in &mut outcome.importances {
            (i.mean, i.error) = (odd, odd);
        }
        for c in &mut outcome.data.columns {
            c.unavailable = odd;
        }
        outcome.confusion[0] = vec![u64::MAX; 3];
        outcome.data.parts = [usize::MAX; 3];
        outcome.reliability =
            [("stack".to_owned(), vec![Bin { rows: usize::MAX, confidence: odd, accuracy: 0.5 }])].into();
        checked(&outcome);
    }
}

#[test]
fn crowds_stay_small() {
    let long = "very_long_name_".repeat(200);
    for (candidates, classes, name) in
        [(300, 200, "c"), (300, 200, long.as_str()), (2000, 20, "c"), (3, 20, &long)]
    {
        let page = checked(&crowd(candidates, classes, name));
        assert!(page.len() < 4_000_000, "{} bytes for {candidates} candidates", page.len());
        assert_eq!(page.contains("chart confusion"), classes <= 20);
        assert!(page.contains("Confused most"));
    }
    let mut all = crowd(3, 10, "c");
    all.candidates[0].curve = (1..100_000)
        .map(|epoch| consilience_core::model::LogRow { epoch, fit_loss: 1.0 / epoch as f32, held_loss: None })
        .collect();
    assert!(checked(&all).len() < 300_000);
}

/// Writes the samples where a person can look at them: `cargo test -p consilience-engine -- --ignored looks`.
#[test]
#[ignore = "writes files to look at"]
fn looks() {
    let folder = std::env::temp_dir().join("consilience-report");
    std::fs::create_dir_all(&folder).unwrap();
    for (name, outcome) in [
        ("digits", digits()),
        ("prices", prices()),
        ("crowd", crowd(300, 200, "candidate_with_a_name_")),
        ("twenty", crowd(25, 20, "class ")),
    ] {
        let path = folder.join(format!("{name}.html"));
        std::fs::write(&path, html(&outcome).unwrap()).unwrap();
        println!("{}", path.display());
    }
}
