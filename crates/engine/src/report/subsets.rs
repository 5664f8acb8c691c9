//! Scores with some modalities only: which one carries, and what each adds.

use super::number::{NONE, count, drawable, fixed};
use super::reading::Reading;
use super::svg::{Scale, Svg, range};
use super::text;
use crate::outcome::{Candidate, Subset};

/// The most candidates and the most subsets of each.
const TABLES: usize = 12;
const ROWS: usize = 64;
/// The most modalities that get a column each.
const MODALITIES: usize = 8;

/// A subset as a row.
pub(super) struct Row {
    pub(super) given: Vec<bool>,
    pub(super) names: String,
    pub(super) whole: bool,
    pub(super) rows: String,
    pub(super) strip: String,
    pub(super) chosen: String,
    pub(super) others: Vec<String>,
}

/// One candidate's table.
pub(super) struct Table {
    pub(super) name: String,
    pub(super) method: String,
    pub(super) exported: bool,
    pub(super) modalities: Vec<String>,
    pub(super) metric: String,
    pub(super) others: Vec<String>,
    pub(super) rows: Vec<Row>,
    pub(super) more: usize,
}

/// The tables, and how many candidates were left out.
pub(super) fn subsets(reading: &Reading<'_>) -> (Vec<Table>, usize) {
    let having: Vec<&Candidate> =
        reading.outcome.candidates.iter().filter(|c| !c.subsets.is_empty()).collect();
    let chosen = |s: &Subset| s.scores.get(reading.metric).copied();
    let all = || having.iter().take(TABLES).flat_map(|c| c.subsets.iter().take(ROWS)).filter_map(chosen);
    let scale = range(all()).map(|r| Scale::linear(r, 0.0, 1000.0));
    let decimals = super::number::decimals(all());
    let tables = having.iter().take(TABLES).map(|c| table(reading, c, scale, decimals)).collect();
    (tables, having.len().saturating_sub(TABLES))
}

fn table(reading: &Reading<'_>, candidate: &Candidate, scale: Option<Scale>, decimals: usize) -> Table {
    let mut modalities: Vec<&String> = Vec::new();
    let mut metrics: Vec<&String> = Vec::new();
    for subset in candidate.subsets.iter().take(ROWS) {
        for m in &subset.on {
            if !modalities.contains(&m) {
                modalities.push(m);
            }
        }
        for m in subset.scores.keys() {
            if m != reading.metric && !metrics.contains(&m) {
                metrics.push(m);
            }
        }
    }
    let whole = candidate.subsets.iter().find(|s| modalities.iter().all(|m| s.on.contains(m)));
    let reference = whole.and_then(|s| s.scores.get(reading.metric)).copied().filter(|v| drawable(*v));
    let dotted = modalities.len() <= MODALITIES;
    let rows = candidate
        .subsets
        .iter()
        .take(ROWS)
        .map(|s| {
            let value = s.scores.get(reading.metric).copied();
            Row {
                given: if dotted {
                    modalities.iter().map(|m| s.on.contains(m)).collect()
                } else {
                    Vec::new()
                },
                names: text::list(&s.on, 8),
                whole: modalities.iter().all(|m| s.on.contains(m)),
                rows: count(s.rows as u64),
                strip: scale.map_or(String::new(), |scale| strip(scale, value, reference)),
                chosen: value.map_or(NONE.to_owned(), |v| fixed(v, decimals)),
                others: metrics
                    .iter()
                    .map(|m| {
                        s.scores.get(*m).map_or(NONE.to_owned(), |v| fixed(*v, reading.decimals(m).max(3)))
                    })
                    .collect(),
            }
        })
        .collect();
    Table {
        name: text::name(&candidate.name),
        method: text::name(&candidate.method),
        exported: reading.exported(candidate),
        modalities: if dotted { modalities.iter().map(|m| text::short(m, 24)).collect() } else { Vec::new() },
        metric: reading.metric_words(),
        others: metrics.iter().map(|m| text::words(m)).collect(),
        rows,
        more: candidate.subsets.len().saturating_sub(ROWS),
    }
}

/// A score as a tick, joined to the score with all modalities.
fn strip(scale: Scale, value: Option<f64>, reference: Option<f64>) -> String {
    let mut svg = Svg::strip();
    let value = value.filter(|v| drawable(*v));
    if let Some(r) = reference {
        svg.line("zero", (scale.at(r), -40.0), (scale.at(r), 60.0));
    }
    if let Some(v) = value {
        if let Some(r) = reference {
            svg.line("error", (scale.at(r), 10.0), (scale.at(v), 10.0));
        }
        svg.line("tip", (scale.at(v), 3.0), (scale.at(v), 17.0));
    }
    svg.finish()
}
