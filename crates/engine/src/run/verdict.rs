//! The verdict in words: whether composing helped, and what a reader must know beside it.

use consilience_core::metrics::Metric;

use super::Round;
use super::candidate::notes_of;
use super::choice::{Choice, wins, within};
use crate::outcome::{Candidate, Interval, Verdict};

/// What was judged against each other: scores, and the draft that each round chose.
pub(super) struct Pair<'a> {
    pub single: (f64, &'a [usize]),
    pub composition: Option<(f64, &'a [usize])>,
    /// Composition less single member.
    pub difference: Option<Interval>,
    pub rows: usize,
}

/// Concludes.
pub(super) fn verdict(
    last: &Round<'_>,
    rounds: &[&Round<'_>],
    choose: &dyn Metric,
    candidates: &[Candidate],
    choice: &Choice,
    pair: &Pair<'_>,
) -> Verdict {
    let gain = pair.difference.as_ref().is_some_and(|d| wins(choose, d));
    let name = |i: usize| last.drafts.get(i).map_or("", |d| d.name.as_str()).to_owned();
    Verdict {
        sentence: sentence(choose, pair, gain, &name),
        gain,
        metric: choose.name().to_owned(),
        best_composition: choice.composition.map(&name),
        best_single: name(choice.single),
        exported: name(choice.exported),
        difference: pair.difference,
        honest_difference: choice.difference,
        notes: notes(last, rounds, candidates, choice, gain, &name),
    }
}

fn sentence(choose: &dyn Metric, pair: &Pair<'_>, gain: bool, name: &dyn Fn(usize) -> String) -> String {
    let metric = choose.name();
    let single = chosen("the best single member", pair.single.1, name);
    let on = match pair.single.1.len() {
        1 => format!("on {} judged rows", pair.rows),
        folds => format!("on {} rows, each judged in one of {folds} outer folds", pair.rows),
    };
    let Some((score, picks)) = pair.composition else {
        return format!(
            "Nothing was composed that could be chosen: the best single member is {} with {metric} {} {on}.",
            quoted(pair.single.1, name),
            short(pair.single.0)
        );
    };
    let composition = match picks.len() {
        1 => quoted(picks, name),
        _ => chosen("the best composition", picks, name),
    };
    let scores = format!("{metric} {} against {}", short(score), short(pair.single.0));
    match &pair.difference {
        Some(d) => {
            let lead = if gain {
                format!("Gain: {composition} beats {single}")
            } else if d.value == 0.0 || !worse(choose, d) {
                format!("No gain: {composition} does not beat {single} beyond its interval")
            } else {
                format!("No gain: {composition} is worse than {single}")
            };
            format!("{lead}: {scores}, difference {:+.4} [{:+.4}, {:+.4}] {on}.", d.value, d.low, d.high)
        }
        None => format!(
            "No verdict, since there are no intervals: {metric} of {composition} is {}, of {single} {}, {on}.",
            short(score),
            short(pair.single.0)
        ),
    }
}

/// What the rounds chose: `the best single member "a"`, or with how often each was chosen.
fn chosen(what: &str, picks: &[usize], name: &dyn Fn(usize) -> String) -> String {
    if picks.len() == 1 {
        format!("{what} {}", quoted(picks, name))
    } else {
        format!("{what} ({})", quoted(picks, name))
    }
}

fn quoted(picks: &[usize], name: &dyn Fn(usize) -> String) -> String {
    let mut different: Vec<usize> = picks.to_vec();
    different.sort_unstable();
    different.dedup();
    let count = |i: usize| picks.iter().filter(|p| **p == i).count();
    different.sort_by_key(|i| std::cmp::Reverse(count(*i)));
    match different.as_slice() {
        [one] => format!("\"{}\"", name(*one)),
        several => several
            .iter()
            .map(|i| format!("\"{}\" in {} folds", name(*i), count(*i)))
            .collect::<Vec<_>>()
            .join(", "),
    }
}

fn notes(
    last: &Round<'_>,
    rounds: &[&Round<'_>],
    candidates: &[Candidate],
    choice: &Choice,
    gain: bool,
    name: &dyn Fn(usize) -> String,
) -> Vec<String> {
    let session = last.session;
    let exported = name(choice.exported);
    let has_model = |i: usize| last.drafts.get(i).is_some_and(|d| d.kept().is_some());
    let all: Vec<_> = rounds.iter().flat_map(|r| &r.drafts).chain(&last.drafts).collect();
    let mut notes = notes_of(&all);
    if rounds.len() > 1 {
        notes.push(format!(
            "the scores are those of what was fitted, composed and chosen without each outer fold in its turn; the \
             exported model \"{exported}\" was made once more, of all rows, and is itself not judged"
        ));
    }
    let budget = &session.recipe.judge.budget;
    let dear: Vec<String> =
        last.drafts.iter().filter(|d| !within(budget, d)).map(|d| format!("\"{}\"", d.name)).collect();
    if !dear.is_empty() {
        notes.push(format!(
            "beyond the budget, or without a declared cost, and not to be chosen: {}",
            dear.join(", ")
        ));
    }
    for candidate in candidates.iter().filter(|c| c.silent > 0) {
        notes.push(format!(
            "\"{}\" said nothing about {} of the judged rows; there it is scored by the {} of the fitting rows",
            candidate.name,
            candidate.silent,
            if session.task.classes().is_some() { "class shares" } else { "mean" }
        ));
    }
    if let Some(c) = choice.composition.filter(|c| choice.exported != *c && gain && has_model(*c)) {
        notes.push(format!(
            "\"{exported}\" was exported and not \"{}\": the honest predictions, which alone decide, did not show the gain",
            name(c)
        ));
    }
    if choice.composition == Some(choice.exported) && !gain {
        notes.push(format!(
            "\"{exported}\" was exported because it gained on the honest predictions, which alone decide; the judged rows \
             do not confirm it"
        ));
    }
    if let Some(draft) = last.drafts.get(choice.exported).filter(|d| d.model.is_none() && d.given.is_some()) {
        let columns: Vec<&str> = draft.given.iter().flat_map(|m| m.schema().names()).take(3).collect();
        notes.push(format!(
            "the exported model reads what tables of predictions say from columns of their names: {} and so on; `csl fuse --with` \
             puts tables together for it",
            columns.iter().map(|c| format!("\"{c}\"")).collect::<Vec<_>>().join(", ")
        ));
    }
    notes
}

fn worse(choose: &dyn Metric, d: &Interval) -> bool {
    if choose.greater_is_better() { d.high < 0.0 } else { d.low > 0.0 }
}

fn short(value: f64) -> String {
    format!("{value:.4}")
}
