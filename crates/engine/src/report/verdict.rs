//! The conclusion: the sentence, the difference it rests on, the names that matter.

use super::number;
use super::reading::Reading;
use super::text;
use super::whiskers;

/// A name and its value.
pub(super) struct Fact {
    pub(super) name: String,
    pub(super) value: String,
    pub(super) more: String,
}

/// What stands at the top.
pub(super) struct Verdict {
    pub(super) sentence: String,
    pub(super) gain: bool,
    pub(super) wide: Option<String>,
    pub(super) narrow: Option<String>,
    pub(super) caption: String,
    pub(super) facts: Vec<Fact>,
    pub(super) notes: Vec<String>,
}

/// Reads the conclusion.
pub(super) fn verdict(reading: &Reading<'_>) -> Verdict {
    let v = &reading.outcome.verdict;
    let mut rows = Vec::new();
    rows.extend(v.difference.map(|i| ("judged", i)));
    rows.extend(v.honest_difference.map(|i| ("honest", i)));
    Verdict {
        sentence: text::short(&v.sentence, 600),
        gain: v.gain,
        wide: whiskers::differences(reading, &rows, 720.0),
        narrow: whiskers::differences(reading, &rows, 340.0),
        caption: caption(reading),
        facts: facts(reading),
        notes: v.notes.iter().map(|n| text::whole(n)).collect(),
    }
}

/// What the differences are, in one sentence each.
fn caption(reading: &Reading<'_>) -> String {
    let v = &reading.outcome.verdict;
    let Some(best) = &v.best_composition else { return String::new() };
    let mut said = format!(
        "{} less {} in {} ({}), paired row by row, with {} intervals.",
        text::name(best),
        text::name(&v.best_single),
        reading.metric_words(),
        reading.direction(),
        reading.level()
    );
    if v.difference.is_some() {
        said.push_str(" Judged: on rows that nothing else has seen.");
    }
    if v.honest_difference.is_some() {
        said.push_str(" Honest: on the cross-fitted predictions that decided what was exported.");
    }
    said
}

/// The names that matter.
fn facts(reading: &Reading<'_>) -> Vec<Fact> {
    let o = reading.outcome;
    let v = &o.verdict;
    let score = |name: &str| {
        let d = reading.decimals(reading.metric);
        reading
            .named(name)
            .and_then(|c| reading.chosen(c))
            .map_or(String::new(), |s| format!("{} {}", reading.metric_words(), number::fixed(s.value, d)))
    };
    let mut facts = Vec::new();
    let mut told = |title: &str, name: &str| {
        facts.push(Fact { name: title.to_owned(), value: text::name(name), more: score(name) });
    };
    let composed = v.best_composition.as_ref();
    match composed {
        Some(best) if *best == v.exported => told("Exported, the best composition", best),
        _ if v.best_single == v.exported => told("Exported, the best single member", &v.exported),
        _ => told("Exported", &v.exported),
    }
    if let Some(best) = composed.filter(|best| **best != v.exported) {
        told("Best composition", best);
    }
    if v.best_single != v.exported {
        told("Best single member", &v.best_single);
    }
    let [_, _, judged] = o.data.parts;
    let judged = if o.data.outer_folds > 0 { o.data.rows } else { judged };
    if judged > 0 {
        let groups = o.data.judged_groups.map(|g| number::counted(g, "group", "groups"));
        let folds = (o.data.outer_folds > 0).then(|| format!("in {} outer folds", o.data.outer_folds));
        let more: Vec<String> = groups.into_iter().chain(folds).collect();
        facts.push(Fact {
            name: "Judged on".to_owned(),
            value: number::counted(judged, "row", "rows"),
            more: more.join(", "),
        });
    }
    facts.push(Fact {
        name: "Compared".to_owned(),
        value: number::counted(o.candidates.len(), "candidate", "candidates"),
        more: if o.seconds > 0.0 { format!("in {}", number::seconds(o.seconds)) } else { String::new() },
    });
    facts
}
