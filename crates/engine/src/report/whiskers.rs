//! Intervals drawn: a value between its whiskers, the best single member as the line through all rows.

use super::number::{drawable, fixed, signed, signed_ends};
use super::reading::{Reading, Side};
use super::svg::{Scale, Svg, range, width_of};
use super::text;
use crate::outcome::{Candidate, Interval};

/// The width of the column of whiskers.
const WIDTH: f64 = 300.0;
/// The height of one row's picture.
const HEIGHT: f64 = 40.0;
/// The room at both ends.
const EDGE: f64 = 14.0;

/// One scale for all rows of the leaderboard.
#[derive(Debug, Clone, Copy)]
pub(super) struct Whiskers {
    scale: Scale,
    reference: Option<f64>,
    decimals: usize,
}

impl Whiskers {
    /// The scale that shows the candidates; `None` where no score can be drawn.
    pub(super) fn of(reading: &Reading<'_>) -> Option<Self> {
        let reference =
            reading.best_single().and_then(|c| reading.chosen(c)).map(|s| s.value).filter(|v| drawable(*v));
        Some(Self {
            scale: Scale::linear(reading.range()?, EDGE, WIDTH - EDGE),
            reference,
            decimals: reading.decimals(reading.metric),
        })
    }

    /// The scale itself, for the head of the column.
    pub(super) fn head(&self, reading: &Reading<'_>) -> String {
        let title = format!("Scale of {}, {}", reading.metric_words(), reading.direction());
        let mut svg = Svg::figure("whisk head", WIDTH, 30.0, &title);
        for (v, label) in self.scale.ticks(4) {
            let x = self.scale.at(v);
            svg.line("axis", (x, 24.0), (x, 30.0));
            svg.text("tick middle", (x, 18.0), &label);
        }
        svg.line("axis", (EDGE, 29.5), (WIDTH - EDGE, 29.5));
        svg.finish()
    }

    /// A candidate's row.
    pub(super) fn row(&self, reading: &Reading<'_>, candidate: &Candidate) -> String {
        let middle = HEIGHT / 2.0;
        let score = candidate.scores.iter().find(|s| s.metric == reading.metric);
        let own = score.and_then(|s| s.interval);
        let value = score.map_or(f64::NAN, |s| s.value);
        let ends = own.map_or(String::new(), |i| {
            format!(" [{}, {}]", fixed(i.low, self.decimals), fixed(i.high, self.decimals))
        });
        let title = format!("{}: {}{ends}", text::full(&candidate.name), fixed(value, self.decimals));
        let class = match (reading.exported(candidate), candidate.role) {
            (true, _) => "whisk exported",
            (false, crate::outcome::Role::Member) => "whisk single",
            _ => "whisk",
        };
        let mut svg = Svg::figure(class, WIDTH, HEIGHT, &title);
        if let Some(reference) = self.reference {
            let x = self.scale.at(reference);
            // Longer than the row: the cell cuts it, so that the line is whole however tall rows grow.
            svg.line("reference", (x, -2000.0), (x, 2000.0));
        }
        if let Some(all) = score.and_then(|s| s.simultaneous) {
            self.span(&mut svg, &all, "thin", middle, 4.0);
        }
        if let Some(own) = own {
            self.span(&mut svg, &own, "thick", middle, 0.0);
        }
        if drawable(value) {
            match self.scale.side(value) {
                std::cmp::Ordering::Equal => svg.marker(candidate.role, (self.scale.at(value), middle), 5.2),
                std::cmp::Ordering::Less => svg.beyond((EDGE - 10.0, middle), 180.0),
                std::cmp::Ordering::Greater => svg.beyond((WIDTH - EDGE + 10.0, middle), 0.0),
            }
        }
        svg.finish()
    }

    /// The part of an interval that lies on the scale, with caps where its ends do.
    fn span(&self, svg: &mut Svg, interval: &Interval, class: &str, y: f64, cap: f64) {
        if !(drawable(interval.low) && drawable(interval.high)) {
            return;
        }
        let (low, high) = (self.scale.at(interval.low), self.scale.at(interval.high));
        if high - low < 0.05 {
            return;
        }
        svg.line(class, (low, y), (high, y));
        for (x, end) in [(low, interval.low), (high, interval.high)] {
            if cap > 0.0 && self.scale.side(end).is_eq() {
                svg.line(class, (x, y - cap), (x, y + cap));
            }
        }
    }
}

/// Differences to the best single member about their zero line.
pub(super) fn differences(reading: &Reading<'_>, rows: &[(&str, Interval)], width: f64) -> Option<String> {
    let rows: Vec<&(&str, Interval)> =
        rows.iter().filter(|(_, i)| drawable(i.value) && drawable(i.low) && drawable(i.high)).collect();
    if rows.is_empty() {
        return None;
    }
    // Where it is wide, the numbers stand left of their whiskers, else above them.
    let wide = width > 500.0;
    let (left, right) = (if wide { 232.0 } else { 4.0 }, width - 16.0);
    let tall = if wide { 36.0 } else { 52.0 };
    let (low, high) = range(rows.iter().flat_map(|(_, i)| [i.low, i.high, i.value, 0.0]))?;
    let room = (high - low) * 0.12;
    let scale = Scale::linear((low - room, high + room), left, right);
    let decimals = super::number::decimals_of(rows.iter().map(|(_, i)| i)).unwrap_or(3);
    let written: Vec<String> = rows
        .iter()
        .map(|(_, i)| format!("{} {}", signed(i.value, decimals), signed_ends(i, decimals)))
        .collect();
    let described: Vec<String> =
        rows.iter().zip(&written).map(|((name, _), numbers)| format!("{name} {numbers}")).collect();
    let title = format!(
        "Difference in {} to the best single member: {}",
        reading.metric_words(),
        described.join("; ")
    );
    let top = 30.0;
    let bottom = top + rows.len() as f64 * tall;
    let mut svg = Svg::figure("chart difference", width, bottom + 26.0, &title);
    let zero = scale.at(0.0);
    for (v, label) in scale.ticks(if wide { 5 } else { 3 }) {
        let x = scale.at(v);
        svg.line("grid", (x, top), (x, bottom));
        let label = if label.starts_with('\u{2212}') || v == 0.0 { label } else { format!("+{label}") };
        svg.text("tick middle", (x, bottom + 18.0), &label);
    }
    svg.line("reference", (zero, top - 8.0), (zero, bottom));
    let (before, after) = if reading.greater {
        ("← single better", "composition better →")
    } else {
        ("← composition better", "single better →")
    };
    if zero - left > width_of(before) {
        svg.text("tick end", (zero - 10.0, top - 12.0), before);
    }
    if right - zero > width_of(after) {
        svg.text("tick", (zero + 10.0, top - 12.0), after);
    }
    for (i, (((name, interval), numbers), tip)) in rows.iter().zip(&written).zip(&described).enumerate() {
        let above = top + i as f64 * tall;
        let y = above + if wide { tall / 2.0 } else { tall - 14.0 };
        let better = Side::of(interval, reading.greater) == Side::Better;
        let base = if wide { y + 4.5 } else { above + 18.0 };
        svg.text("label", (0.0, base), name);
        svg.text("label numbers", (62.0, base), numbers);
        svg.open(if better { "good" } else { "plain" }, tip);
        svg.line("thick", (scale.at(interval.low), y), (scale.at(interval.high), y));
        svg.circle("mark", (scale.at(interval.value), y), if i == 0 { 6.0 } else { 4.5 });
        svg.close();
    }
    Some(svg.finish())
}
