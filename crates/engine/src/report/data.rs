//! The data in numbers: parts, classes, columns, what was noticed.

use super::bars::{self, Bar};
use super::number::{NONE, count, percent};
use super::svg::Svg;
use super::text;
use crate::outcome::Outcome;

/// The most classes and columns that are listed.
const CLASSES: usize = 40;
const COLUMNS: usize = 60;

/// A part of the rows.
pub(super) struct Part {
    pub(super) class: &'static str,
    pub(super) name: &'static str,
    pub(super) rows: String,
    pub(super) share: String,
    pub(super) about: &'static str,
}

/// An input column.
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) shape: String,
    pub(super) unavailable: String,
    pub(super) gaps: bool,
}

/// The section.
pub(super) struct Data {
    pub(super) rows: String,
    pub(super) groups: String,
    pub(super) folds: String,
    pub(super) parts: Vec<Part>,
    pub(super) figure: String,
    pub(super) classes: Vec<Bar>,
    pub(super) more_classes: usize,
    pub(super) columns: Vec<Column>,
    pub(super) more_columns: usize,
    pub(super) notes: Vec<String>,
}

/// Reads; `None` where the outcome says nothing of its data.
pub(super) fn data(outcome: &Outcome) -> Option<Data> {
    let d = &outcome.data;
    let parted: usize = d.parts.iter().fold(0, |a, b| a.saturating_add(*b));
    if d.rows == 0 && parted == 0 && d.columns.is_empty() && d.classes.is_empty() && d.notes.is_empty() {
        return None;
    }
    let names = [
        ("fit", "fitting", "members and compositions learn from them"),
        ("choose", "choosing", "honest predictions on them decide what is exported"),
        ("judge", "judging", "seen by nothing before the end"),
    ];
    let parts: Vec<Part> = names
        .into_iter()
        .zip(d.parts)
        .filter(|(_, rows)| *rows > 0)
        .map(|((class, name, about), rows)| Part {
            class,
            name,
            rows: count(rows as u64),
            share: percent(rows as f64 / parted as f64),
            about,
        })
        .collect();
    Some(Data {
        rows: if d.rows > 0 { count(d.rows as u64) } else { String::new() },
        folds: if d.outer_folds > 0 { count(d.outer_folds as u64) } else { String::new() },
        groups: d.judged_groups.map_or(String::new(), |g| count(g as u64)),
        figure: if parts.is_empty() { String::new() } else { figure(d.parts, parted) },
        parts,
        classes: classes(outcome),
        more_classes: d.classes.len().saturating_sub(CLASSES),
        columns: columns(outcome),
        more_columns: d.columns.len().saturating_sub(COLUMNS),
        notes: d.notes.iter().map(|n| text::whole(n)).collect(),
    })
}

/// The parts as one bar.
fn figure(parts: [usize; 3], all: usize) -> String {
    let mut svg = Svg::strip();
    let mut from = 0.0;
    for (class, rows) in ["fit", "choose", "judge"].into_iter().zip(parts) {
        let wide = 1000.0 * rows as f64 / all.max(1) as f64;
        svg.rect(class, (from, 0.0), (wide, 20.0));
        from += wide;
    }
    svg.finish()
}

fn classes(outcome: &Outcome) -> Vec<Bar> {
    let all = &outcome.data.classes;
    let range = bars::from_zero(all.iter().map(|c| c.1 as f64 + c.2 as f64));
    all.iter()
        .take(CLASSES)
        .map(|(name, fit, judged)| {
            let mut svg = Svg::strip();
            let scale = super::svg::Scale::linear(range, 0.0, 1000.0);
            let (a, b) = (scale.at(*fit as f64), scale.at(*fit as f64 + *judged as f64));
            svg.rect("fit", (0.0, 4.0), (a, 12.0));
            svg.rect("judge", (a, 4.0), (b - a, 12.0));
            Bar {
                name: text::name(name),
                title: text::full(name),
                value: count(*fit as u64),
                more: format!("+ {}", count(*judged as u64)),
                strong: false,
                strip: svg.finish(),
            }
        })
        .collect()
}

fn columns(outcome: &Outcome) -> Vec<Column> {
    outcome
        .data
        .columns
        .iter()
        .take(COLUMNS)
        .map(|c| {
            let mut shape: Vec<String> = c.shape.iter().take(6).map(ToString::to_string).collect();
            if c.shape.len() > 6 {
                shape.push("…".to_owned());
            }
            Column {
                name: text::name(&c.name),
                kind: text::name(&c.kind),
                shape: if shape.is_empty() { NONE.to_owned() } else { shape.join(" × ") },
                unavailable: if c.unavailable == 0.0 { "none".to_owned() } else { percent(c.unavailable) },
                gaps: c.unavailable > 0.0,
            }
        })
        .collect()
}
