//! Inline SVG by hand: escaped text, scales, round ticks, one marker for each role.

use std::fmt::Write;

use super::number::{drawable, fixed, significant};
use super::text::escape;
use crate::outcome::Role;

/// A length in user units, at most one decimal; what cannot be drawn is 0.
pub(super) fn px(v: f64) -> String {
    if !v.is_finite() {
        return "0".to_owned();
    }
    let text = format!("{v:.1}");
    let text = text.strip_suffix(".0").unwrap_or(&text);
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// About how wide a text is at 12 units of font size.
pub(super) fn width_of(text: &str) -> f64 {
    text.chars().count() as f64 * 6.8
}

/// A picture being drawn. Colors come from the page's style by class, so that it follows light and dark.
pub(super) struct Svg {
    open: String,
    body: String,
}

impl Svg {
    /// A figure with a title for those who cannot see it; it keeps its proportions.
    pub(super) fn figure(class: &str, width: f64, height: f64, title: &str) -> Self {
        let open = format!(
            "<svg class=\"{class}\" role=\"img\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" height=\"{1}\"><title>{2}</title>",
            px(width),
            px(height),
            escape(title)
        );
        Self { open, body: String::new() }
    }

    /// A strip of 1000 by 20 that stretches with the page and stands beside its number, so that it needs no title.
    pub(super) fn strip() -> Self {
        let open =
            "<svg class=\"strip\" viewBox=\"0 0 1000 20\" preserveAspectRatio=\"none\" aria-hidden=\"true\">";
        Self { open: open.to_owned(), body: String::new() }
    }

    /// A sign of 12 by 12 within a line of text.
    pub(super) fn sign() -> Self {
        let open =
            "<svg class=\"sign\" viewBox=\"0 0 12 12\" width=\"12\" height=\"12\" aria-hidden=\"true\">";
        Self { open: open.to_owned(), body: String::new() }
    }

    /// A line.
    pub(super) fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        let _ = write!(
            self.body,
            "<line class=\"{class}\" x1=\"{}\" y1=\"{}\" x2=\"{}\" y2=\"{}\"/>",
            px(from.0),
            px(from.1),
            px(to.0),
            px(to.1)
        );
    }

    /// A rectangle from its corner and size.
    pub(super) fn rect(&mut self, class: &str, corner: (f64, f64), size: (f64, f64)) {
        self.shade(class, corner, size, 1.0);
    }

    /// A rectangle of which `opacity`, from 0 to 1, is seen.
    pub(super) fn shade(&mut self, class: &str, corner: (f64, f64), size: (f64, f64), opacity: f64) {
        let _ = write!(
            self.body,
            "<rect class=\"{class}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"",
            px(corner.0),
            px(corner.1),
            px(size.0.max(0.0)),
            px(size.1.max(0.0))
        );
        if opacity < 1.0 {
            let _ = write!(self.body, " fill-opacity=\"{opacity:.3}\"");
        }
        self.body.push_str("/>");
    }

    /// Text; where it is anchored says its class (`start` by default, `middle`, `end`).
    pub(super) fn text(&mut self, class: &str, at: (f64, f64), text: &str) {
        let _ = write!(
            self.body,
            "<text class=\"{class}\" x=\"{}\" y=\"{}\">{}</text>",
            px(at.0),
            px(at.1),
            escape(text)
        );
    }

    /// Text turned by so many degrees, clockwise.
    pub(super) fn turned(&mut self, class: &str, at: (f64, f64), degrees: f64, text: &str) {
        let _ = write!(
            self.body,
            "<text class=\"{class}\" transform=\"translate({} {}) rotate({})\">{}</text>",
            px(at.0),
            px(at.1),
            px(degrees),
            escape(text)
        );
    }

    /// A circle.
    pub(super) fn circle(&mut self, class: &str, center: (f64, f64), radius: f64) {
        let _ = write!(
            self.body,
            "<circle class=\"{class}\" cx=\"{}\" cy=\"{}\" r=\"{}\"/>",
            px(center.0),
            px(center.1),
            px(radius)
        );
    }

    /// A line through points.
    pub(super) fn through(&mut self, class: &str, points: &[(f64, f64)]) {
        let mut d = String::new();
        for (i, (x, y)) in points.iter().enumerate() {
            let _ = write!(d, "{}{} {}", if i == 0 { 'M' } else { 'L' }, px(*x), px(*y));
        }
        if !d.is_empty() {
            let _ = write!(self.body, "<path class=\"{class}\" d=\"{d}\"/>");
        }
    }

    /// The marker of a role: members hollow, compositions filled, each with its own shape.
    pub(super) fn marker(&mut self, role: Role, at: (f64, f64), r: f64) {
        let (x, y) = at;
        let corners: &[(f64, f64)] = match role {
            Role::Member => return self.circle("mark hollow", at, r * 0.9),
            Role::Fuse => return self.circle("mark", at, r),
            Role::Fusion => &[(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
            Role::Merge => &[(0.0, -1.2), (1.15, 0.85), (-1.15, 0.85)],
            Role::Distill => &[(0.0, 1.2), (1.15, -0.85), (-1.15, -0.85)],
            Role::Adapt => &[(0.0, -1.25), (1.25, 0.0), (0.0, 1.25), (-1.25, 0.0)],
        };
        let points: Vec<String> =
            corners.iter().map(|(dx, dy)| format!("{},{}", px(x + dx * r), px(y + dy * r))).collect();
        let _ = write!(self.body, "<polygon class=\"mark\" points=\"{}\"/>", points.join(" "));
    }

    /// A tip that what `draw` draws lies off the scale, to the given direction in degrees (0: right, 90: down).
    pub(super) fn beyond(&mut self, at: (f64, f64), degrees: f64) {
        let _ = write!(
            self.body,
            "<path class=\"beyond\" transform=\"translate({} {}) rotate({})\" d=\"M-8-5L0 0L-8 5\"/>",
            px(at.0),
            px(at.1),
            px(degrees)
        );
    }

    /// Opens a group with a tooltip; [`Svg::close`] must follow.
    pub(super) fn open(&mut self, class: &str, title: &str) {
        let _ = write!(self.body, "<g class=\"{class}\"><title>{}</title>", escape(title));
    }

    /// Closes the group.
    pub(super) fn close(&mut self) {
        self.body.push_str("</g>");
    }

    /// The picture.
    pub(super) fn finish(self) -> String {
        format!("{}{}</svg>", self.open, self.body)
    }
}

/// From values to a length of the picture; what lies outside is drawn at the end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
    log: bool,
}

impl Scale {
    /// Evenly. A range that cannot be drawn becomes one around it that can.
    pub(super) fn linear(range: (f64, f64), from: f64, to: f64) -> Self {
        let (low, high) = widened(range);
        Self { low, high, from, to, log: false }
    }

    /// By the logarithm; the range must be positive, else the scale is even.
    pub(super) fn log(range: (f64, f64), from: f64, to: f64) -> Self {
        if !(range.0 > 0.0 && drawable(range.0) && drawable(range.1) && range.1 >= range.0) {
            return Self::linear(range, from, to);
        }
        let (low, high) = if range.1 / range.0 < 1.5 { (range.0 / 1.5, range.1 * 1.5) } else { range };
        Self { low, high, from, to, log: true }
    }

    /// Where a value is drawn.
    pub(super) fn at(&self, v: f64) -> f64 {
        let share = if self.log {
            (v.max(f64::MIN_POSITIVE) / self.low).ln() / (self.high / self.low).ln()
        } else {
            (v - self.low) / (self.high - self.low)
        };
        let share = if share.is_nan() { 0.0 } else { share.clamp(0.0, 1.0) };
        self.from + (self.to - self.from) * share
    }

    /// Whether a value lies on the scale: `Less` and `Greater` say on which side it does not.
    pub(super) fn side(&self, v: f64) -> std::cmp::Ordering {
        let slack = if self.log { self.low * 1e-9 } else { (self.high - self.low) * 1e-9 };
        if v < self.low - slack {
            std::cmp::Ordering::Less
        } else if v > self.high + slack {
            std::cmp::Ordering::Greater
        } else {
            std::cmp::Ordering::Equal
        }
    }

    /// About `many` round values on the scale with what to write beside them.
    pub(super) fn ticks(&self, many: usize) -> Vec<(f64, String)> {
        if self.log { self.log_ticks(many) } else { self.even_ticks(many) }
    }

    fn even_ticks(&self, many: usize) -> Vec<(f64, String)> {
        let rough = (self.high - self.low) / many.max(1) as f64;
        let power = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].into_iter().find(|m| m * power >= rough).unwrap_or(10.0) * power;
        if !(step.is_finite() && step > 0.0) {
            return Vec::new();
        }
        let first = (self.low / step - 1e-9).ceil();
        let decimals = usize::try_from((-step.log10().floor()).clamp(0.0, 12.0) as i64).unwrap_or(0);
        let plain = decimals <= 6 && self.low.abs().max(self.high.abs()) < 1e6;
        (0..=2 * many.max(1))
            .map(|i| (first + i as f64) * step)
            .take_while(|v| *v <= self.high + step * 1e-9)
            .map(|v| (v, if plain { fixed(v, decimals) } else { significant(v, 4) }))
            .collect()
    }

    fn log_ticks(&self, many: usize) -> Vec<(f64, String)> {
        let (first, last) = (self.low.log10().floor() as i32, self.high.log10().ceil() as i32);
        let tens = |digits: &[f64]| -> Vec<(f64, String)> {
            (first..=last)
                .flat_map(|k| digits.iter().map(move |d| d * 10_f64.powi(k)))
                .filter(|v| self.side(*v).is_eq())
                .map(|v| (v, significant(v, 2)))
                .collect()
        };
        let decades = tens(&[1.0]);
        if decades.len() >= 3 {
            let every = decades.len() / (many.max(1) + 1) + 1;
            return decades.into_iter().step_by(every).collect();
        }
        let finer = tens(&[1.0, 2.0, 5.0]);
        if finer.len() >= 3 { finer } else { self.even_ticks(many) }
    }
}

/// A range that can be drawn and is not empty.
fn widened(range: (f64, f64)) -> (f64, f64) {
    let (low, high) = range;
    if !drawable(low) || !drawable(high) || high < low {
        return (0.0, 1.0);
    }
    let least = low.abs().max(high.abs()) * 1e-9;
    if high - low > least.max(1e-300) {
        return range;
    }
    let around = if low == 0.0 { 1.0 } else { low.abs() * 0.1 };
    (low - around, high + around)
}

/// The range of the values that can be drawn, with a little room on both sides.
pub(super) fn range(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    let (low, high) = values
        .filter(|v| drawable(*v))
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)));
    if low > high {
        return None;
    }
    let (low, high) = widened((low, high));
    let room = (high - low) * 0.04;
    Some((low - room, high + room))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        let labels = |s: Scale, n: usize| s.ticks(n).into_iter().map(|t| t.1).collect::<Vec<_>>();
        assert_eq!(
            labels(Scale::linear((0.0, 1.0), 0.0, 1.0), 5),
            ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]
        );
        assert_eq!(labels(Scale::linear((0.183, 0.241), 0.0, 1.0), 3), ["0.20", "0.22", "0.24"]);
        assert_eq!(labels(Scale::log((1.0, 1e4), 0.0, 1.0), 5), ["1", "10", "100", "1000", "10,000"]);
        assert_eq!(labels(Scale::log((3.0, 60.0), 0.0, 1.0), 5), ["5", "10", "20", "50"]);
        assert_eq!(labels(Scale::log((4.0, 8.0), 0.0, 1.0), 4), ["4", "5", "6", "7", "8"]);
        for odd in [(f64::NAN, 1.0), (1.0, 1.0), (5.0, 2.0), (-1e308, 1e308), (1e-320, 2e-320)] {
            assert!(Scale::linear(odd, 0.0, 1.0).ticks(5).len() <= 11);
            assert!(Scale::log(odd, 0.0, 1.0).ticks(5).len() <= 33);
        }
    }

    #[test]
    fn scales_clamp_and_say_so() {
        let s = Scale::linear((0.0, 10.0), 100.0, 0.0);
        assert_eq!((s.at(5.0), s.at(11.0), s.at(f64::NAN)), (50.0, 0.0, 100.0));
        assert!(s.side(11.0).is_gt() && s.side(-1.0).is_lt() && s.side(10.0).is_eq());
        let s = Scale::log((1.0, 100.0), 0.0, 2.0);
        assert!((s.at(10.0) - 1.0).abs() < 1e-12 && s.at(0.0) == 0.0);
        assert_eq!(range([f64::NAN].into_iter()), None);
        assert_eq!(px(-0.04), "0");
        assert_eq!(px(12.34), "12.3");
    }
}
