//! All candidates, best first: scores with intervals drawn and written, and what each costs.

use super::number::{self, NONE, ends, fixed, signed, signed_ends};
use super::reading::{LISTED, Reading, Side, direction, role, role_about, sign};
use super::text;
use super::whiskers::Whiskers;
use crate::outcome::{Candidate, Role, Score};

/// A metric as a column.
pub(super) struct Column {
    pub(super) name: String,
    pub(super) direction: &'static str,
}

/// A number with what stands below it.
pub(super) struct Cell {
    pub(super) value: String,
    pub(super) ends: String,
    pub(super) side: &'static str,
    pub(super) sign: &'static str,
    pub(super) word: &'static str,
}

impl Cell {
    /// Nothing to say.
    fn empty() -> Self {
        Self { value: NONE.to_owned(), ends: String::new(), side: "unclear", sign: "", word: "" }
    }
}

/// A role in the legend.
pub(super) struct Legend {
    pub(super) sign: String,
    pub(super) name: &'static str,
    pub(super) about: &'static str,
}

/// A candidate.
pub(super) struct Row {
    pub(super) rank: usize,
    pub(super) name: String,
    pub(super) full: String,
    pub(super) sign: String,
    pub(super) role: &'static str,
    pub(super) made: String,
    pub(super) exported: bool,
    pub(super) best_single: bool,
    pub(super) silent: String,
    pub(super) whisker: String,
    pub(super) chosen: Cell,
    pub(super) difference: Cell,
    pub(super) others: Vec<Cell>,
    pub(super) honest: String,
    pub(super) parameters: String,
    pub(super) fit: String,
    pub(super) predict: String,
    pub(super) bytes: String,
}

/// The table.
pub(super) struct Leaderboard {
    pub(super) metric: Column,
    pub(super) others: Vec<Column>,
    pub(super) head: Option<String>,
    pub(super) rows: Vec<Row>,
    pub(super) more: usize,
    pub(super) legend: Vec<Legend>,
    pub(super) level: String,
    pub(super) simultaneous: bool,
    pub(super) differences: bool,
    pub(super) honest: bool,
    pub(super) best_single: String,
}

/// Reads the candidates; `None` where there are none.
pub(super) fn leaderboard(reading: &Reading<'_>) -> Option<Leaderboard> {
    let candidates = &reading.outcome.candidates;
    if candidates.is_empty() {
        return None;
    }
    let others: Vec<(&str, bool, usize)> = reading
        .others()
        .into_iter()
        .map(|m| {
            let greater =
                candidates.iter().find_map(|c| reading.score(c, m)).is_some_and(|s| s.greater_is_better);
            (m, greater, reading.decimals(m))
        })
        .collect();
    let whiskers = Whiskers::of(reading);
    let decimals = reading.decimals(reading.metric);
    let wide = difference_decimals(reading);
    let rows = candidates
        .iter()
        .take(LISTED)
        .enumerate()
        .map(|(i, c)| {
            let score = reading.chosen(c);
            let (parameters, fit, predict, bytes) = cost(c);
            Row {
                rank: i + 1,
                name: text::name(&c.name),
                full: text::full(&c.name),
                sign: sign(c.role),
                role: role(c.role),
                made: made(c),
                exported: reading.exported(c),
                best_single: c.name == reading.outcome.verdict.best_single,
                silent: if c.silent > 0 {
                    format!("silent on {}", number::counted(c.silent, "row", "rows"))
                } else {
                    String::new()
                },
                whisker: whiskers.map_or(String::new(), |w| w.row(reading, c)),
                chosen: cell(score, decimals, false),
                difference: difference(score, wide),
                others: others.iter().map(|(m, _, d)| cell(reading.score(c, m), *d, true)).collect(),
                honest: c.honest.map_or(NONE.to_owned(), |v| fixed(v, decimals)),
                parameters,
                fit,
                predict,
                bytes,
            }
        })
        .collect();
    let chosen = || candidates.iter().filter_map(|c| reading.chosen(c));
    Some(Leaderboard {
        metric: Column { name: reading.metric_words(), direction: reading.direction() },
        others: others
            .iter()
            .map(|(m, g, _)| Column { name: text::words(m), direction: direction(*g) })
            .collect(),
        head: whiskers.map(|w| w.head(reading)),
        rows,
        more: candidates.len().saturating_sub(LISTED),
        legend: legend(candidates),
        level: reading.level(),
        simultaneous: chosen().any(|s| s.simultaneous.is_some()),
        differences: chosen().any(|s| s.against_best_single.is_some()),
        honest: candidates.iter().any(|c| c.honest.is_some()),
        best_single: text::name(&reading.outcome.verdict.best_single),
    })
}

/// The roles that occur.
fn legend(candidates: &[Candidate]) -> Vec<Legend> {
    [Role::Member, Role::Fuse, Role::Fusion, Role::Merge, Role::Distill, Role::Adapt]
        .into_iter()
        .filter(|r| candidates.iter().any(|c| c.role == *r))
        .map(|r| Legend { sign: sign(r), name: role(r), about: role_about(r) })
        .collect()
}

/// What a candidate is made of: "stacking of looks, sounds".
fn made(candidate: &Candidate) -> String {
    let method = text::name(&candidate.method);
    if candidate.of.is_empty() {
        return method;
    }
    let word =
        if matches!(candidate.role, Role::Member | Role::Fusion | Role::Distill) { "on" } else { "of" };
    format!("{method} {word} {}", text::list(&candidate.of, 6))
}

/// The decimals of the paired differences.
fn difference_decimals(reading: &Reading<'_>) -> usize {
    let all = reading.outcome.candidates.iter().filter_map(|c| reading.chosen(c));
    number::decimals_of(all.filter_map(|s| s.against_best_single.as_ref()))
        .unwrap_or(3)
        .max(reading.decimals(reading.metric))
}

/// A score; with a sign for its paired difference where `marked`.
fn cell(score: Option<&Score>, decimals: usize, marked: bool) -> Cell {
    let Some(score) = score else { return Cell::empty() };
    let side = match &score.against_best_single {
        Some(d) if marked => Side::of(d, score.greater_is_better),
        _ => Side::Unclear,
    };
    Cell {
        value: fixed(score.value, decimals),
        ends: score.interval.map_or(String::new(), |i| ends(&i, decimals)),
        side: side.class(),
        sign: side.sign(),
        word: if side == Side::Unclear { "" } else { side.word() },
    }
}

/// The paired difference to the best single member.
fn difference(score: Option<&Score>, decimals: usize) -> Cell {
    let Some((d, greater)) = score.and_then(|s| Some((s.against_best_single?, s.greater_is_better))) else {
        return Cell::empty();
    };
    let side = Side::of(&d, greater);
    Cell {
        value: signed(d.value, decimals),
        ends: signed_ends(&d, decimals),
        side: side.class(),
        sign: side.sign(),
        word: side.word(),
    }
}

/// Parameters, fitting, predicting, bytes.
fn cost(candidate: &Candidate) -> (String, String, String, String) {
    let none = || NONE.to_owned();
    let cost = &candidate.cost;
    (
        cost.parameters.map_or_else(none, number::large),
        number::seconds(cost.fit_seconds),
        cost.predict_micros.map_or_else(none, number::micros),
        cost.bytes.map_or_else(none, number::bytes),
    )
}
