//! Bars: numbers of one kind side by side, from zero, with a standard error where there is one.

use super::number::{self, drawable, fixed, number};
use super::reading::{Reading, role};
use super::svg::{Scale, Svg};
use super::text;
use crate::outcome::Outcome;

/// The most bars of one list.
const BARS: usize = 40;
/// The most lists of weights.
const LISTS: usize = 24;

/// One bar: its name, its number, its picture.
pub(super) struct Bar {
    pub(super) name: String,
    pub(super) title: String,
    pub(super) value: String,
    pub(super) more: String,
    pub(super) strong: bool,
    pub(super) strip: String,
}

/// Bars that belong together.
pub(super) struct Bars {
    pub(super) title: String,
    pub(super) about: String,
    pub(super) bars: Vec<Bar>,
    pub(super) more: usize,
}

/// A bar from zero to `value` on a strip over `range` (which must hold zero), with an error to both sides.
pub(super) fn strip(class: &str, range: (f64, f64), value: f64, error: Option<f64>) -> String {
    let scale = Scale::linear(range, 0.0, 1000.0);
    let mut svg = Svg::strip();
    let zero = scale.at(0.0);
    if drawable(value) {
        let end = scale.at(value);
        svg.rect(class, (zero.min(end), 4.0), ((end - zero).abs(), 12.0));
        if let Some(e) = error.filter(|e| drawable(*e) && *e > 0.0) {
            svg.line("halo", (scale.at(value - e), 10.0), (scale.at(value + e), 10.0));
            svg.line("error", (scale.at(value - e), 10.0), (scale.at(value + e), 10.0));
        }
    }
    svg.line("zero", (zero, 0.0), (zero, 20.0));
    svg.finish()
}

/// A range that holds zero and all values.
pub(super) fn from_zero(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) =
        values.filter(|v| drawable(*v)).fold((0.0_f64, 0.0_f64), |(a, b), v| (a.min(v), b.max(v)));
    if low == high { (0.0, 1.0) } else { (low, high) }
}

/// The weights of every composition that has them, and how many compositions were left out.
pub(super) fn weights(reading: &Reading<'_>) -> (Vec<Bars>, usize) {
    let weighted: Vec<_> = reading
        .outcome
        .candidates
        .iter()
        .filter_map(|c| Some((c, c.weights.as_ref().filter(|w| !w.is_empty())?)))
        .collect();
    let lists = weighted
        .iter()
        .take(LISTS)
        .map(|(c, weights)| {
            let range = from_zero(weights.iter().map(|w| w.1));
            let decimals = number::decimals(weights.iter().map(|w| w.1)).min(4);
            let strong = reading.exported(c);
            Bars {
                title: text::name(&c.name),
                about: format!("{}, {}", role(c.role), text::name(&c.method)),
                bars: weights
                    .iter()
                    .take(BARS)
                    .map(|(member, w)| Bar {
                        name: text::name(member),
                        title: text::full(member),
                        value: fixed(*w, decimals),
                        more: String::new(),
                        strong,
                        strip: strip(if strong { "accent" } else { "neutral" }, range, *w, None),
                    })
                    .collect(),
                more: weights.len().saturating_sub(BARS),
            }
        })
        .collect();
    (lists, weighted.len().saturating_sub(LISTS))
}

/// The importances of the exported model; `None` where there are none.
pub(super) fn importances(outcome: &Outcome) -> Option<Bars> {
    let all = &outcome.importances;
    if all.is_empty() {
        return None;
    }
    let range = from_zero(all.iter().take(BARS).flat_map(|i| {
        let error = if drawable(i.error) { i.error.abs() } else { 0.0 };
        [i.mean - error, i.mean, i.mean + error]
    }));
    Some(Bars {
        title: String::new(),
        about: String::new(),
        bars: all
            .iter()
            .take(BARS)
            .map(|i| Bar {
                name: text::name(&i.name),
                title: text::full(&i.name),
                value: number(i.mean),
                more: if i.error.is_finite() {
                    format!("± {}", number::significant(i.error, 2))
                } else {
                    String::new()
                },
                strong: i.modality,
                strip: strip(if i.modality { "accent" } else { "neutral" }, range, i.mean, Some(i.error)),
            })
            .collect(),
        more: all.len().saturating_sub(BARS),
    })
}
