//! How far a confidence can be trusted: reliability diagrams, one panel a candidate.

use super::number::{counted, drawable, percent};
use super::reading::Reading;
use super::svg::{Scale, Svg};
use super::text;
use crate::outcome::Bin;

/// The most panels.
const PANELS: usize = 6;

/// One diagram.
pub(super) struct Panel {
    pub(super) name: String,
    pub(super) about: String,
    pub(super) said: String,
    pub(super) figure: String,
}

/// The exported model first, then the best single member, then whatever else the outcome holds.
pub(super) fn reliability(reading: &Reading<'_>) -> Vec<Panel> {
    let o = reading.outcome;
    let v = &o.verdict;
    let mut names: Vec<&String> = o.reliability.keys().collect();
    names.sort_by_key(|n| (**n != v.exported, **n != v.best_single));
    names
        .into_iter()
        .filter_map(|name| Some((name, o.reliability.get(name)?)))
        .filter(|(_, bins)| bins.iter().any(usable))
        .take(PANELS)
        .map(|(name, bins)| {
            let about = match (*name == v.exported, *name == v.best_single) {
                (true, true) => "exported, best single member",
                (true, false) => "exported",
                (false, true) => "best single member",
                (false, false) => "",
            };
            Panel {
                name: text::name(name),
                about: about.to_owned(),
                said: said(bins),
                figure: draw(name, bins, *name == v.exported),
            }
        })
        .collect()
}

fn usable(bin: &Bin) -> bool {
    bin.rows > 0 && drawable(bin.confidence) && drawable(bin.accuracy)
}

/// The whole in a sentence.
fn said(bins: &[Bin]) -> String {
    let (rows, confidence, accuracy) =
        bins.iter().filter(|b| usable(b)).fold((0.0, 0.0, 0.0), |(r, c, a), b| {
            let n = b.rows as f64;
            (r + n, c + n * b.confidence, a + n * b.accuracy)
        });
    let (confidence, accuracy) = (confidence / rows, accuracy / rows);
    let gap = (confidence - accuracy) * 100.0;
    let word = if gap.abs() < 0.5 {
        "confidence fits".to_owned()
    } else {
        format!("{:.1} points {}", gap.abs(), if gap > 0.0 { "overconfident" } else { "underconfident" })
    };
    format!("On average {} sure, {} right: {word}.", percent(confidence), percent(accuracy))
}

fn draw(name: &str, bins: &[Bin], exported: bool) -> String {
    let (left, right, top, bottom) = (42.0, 292.0, 12.0, 262.0);
    let (x, y) = (Scale::linear((0.0, 1.0), left, right), Scale::linear((0.0, 1.0), bottom, top));
    let title =
        format!("Reliability of {}: share right against confidence in {} bins", text::full(name), bins.len());
    let mut svg =
        Svg::figure(if exported { "chart panel exported" } else { "chart panel" }, 304.0, 352.0, &title);
    for (v, label) in x.ticks(5) {
        svg.line("grid", (x.at(v), top), (x.at(v), bottom));
        svg.line("grid", (left, y.at(v)), (right, y.at(v)));
        svg.text("tick end", (left - 7.0, y.at(v) + 4.0), &label);
        svg.text("tick middle", (x.at(v), bottom + 17.0), &label);
    }
    svg.line("reference", (left, bottom), (right, top));
    svg.text("hint", (left + 8.0, top + 16.0), "too modest");
    svg.text("hint end", (right - 8.0, bottom - 10.0), "too sure");
    let most = bins.iter().map(|b| b.rows).max().unwrap_or(1).max(1) as f64;
    let base = 330.0;
    let drawn: Vec<&Bin> = bins.iter().filter(|b| usable(b)).collect();
    let path: Vec<(f64, f64)> = drawn.iter().map(|b| (x.at(b.confidence), y.at(b.accuracy))).collect();
    svg.through("curve", &path);
    let thick = ((right - left) / bins.len().max(1) as f64 - 4.0).clamp(1.0, 18.0);
    for b in drawn {
        let (cx, cy) = (x.at(b.confidence), y.at(b.accuracy));
        let tip = format!(
            "{}: {} sure, {} right",
            counted(b.rows, "row", "rows"),
            percent(b.confidence),
            percent(b.accuracy)
        );
        svg.open("bin", &tip);
        svg.line("gap", (cx, cy), (cx, y.at(b.confidence)));
        svg.circle("mark", (cx, cy), 3.0 + 5.0 * (b.rows as f64 / most).sqrt());
        let tall = 36.0 * b.rows as f64 / most;
        svg.rect("column", (cx - thick / 2.0, base - tall.max(1.0)), (thick, tall.max(1.0)));
        svg.close();
    }
    svg.line("axis", (left, base), (right, base));
    svg.text("name end", (right, base + 17.0), "confidence (columns: rows)");
    svg.turned("name middle", (10.0, (top + bottom) / 2.0), -90.0, "share right");
    svg.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_weighs_bins_by_their_rows() {
        let bin = |rows, confidence, accuracy| Bin { rows, confidence, accuracy };
        let bins = [bin(30, 0.9, 0.8), bin(10, 0.5, 0.4), bin(0, f64::NAN, f64::NAN)];
        assert_eq!(said(&bins), "On average 80% sure, 70% right: 10.0 points overconfident.");
        assert_eq!(said(&[bin(4, 0.5, 0.502)]), "On average 50% sure, 50.2% right: confidence fits.");
        assert!(said(&[bin(4, 0.5, 0.75)]).ends_with("25.0 points underconfident."));
    }
}
