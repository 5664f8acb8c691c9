//! Cost against quality: what a row of prediction costs and what it is worth, with the line of the best trades.

use super::number::{drawable, fixed, micros};
use super::reading::{LISTED, Reading};
use super::svg::{Scale, Svg, range, width_of};
use super::text;
use crate::outcome::Candidate;

/// From so many points on only a few, those that matter most, are named.
const CROWD: usize = 40;
const FEW: usize = 16;

/// The figure in two widths.
pub(super) struct Scatter {
    pub(super) wide: String,
    pub(super) narrow: String,
    pub(super) missing: usize,
}

/// A candidate that can be drawn.
struct Point<'a> {
    candidate: &'a Candidate,
    cost: f64,
    value: f64,
    front: bool,
}

/// A label or marker that no other may cover: left, top, right, bottom.
type Area = (f64, f64, f64, f64);

/// Draws; `None` where fewer than two candidates have both a cost and a score.
pub(super) fn scatter(reading: &Reading<'_>) -> Option<Scatter> {
    let points = points(reading);
    if points.len() < 2 {
        return None;
    }
    Some(Scatter {
        wide: draw(reading, &points, 960.0, 430.0)?,
        narrow: draw(reading, &points, 340.0, 340.0)?,
        missing: reading.outcome.candidates.len().saturating_sub(points.len()),
    })
}

/// The candidates with cost and score, cheapest first, and whether nothing cheaper is as good.
fn points<'a>(reading: &Reading<'a>) -> Vec<Point<'a>> {
    let mut points: Vec<Point<'a>> = reading
        .outcome
        .candidates
        .iter()
        .take(LISTED)
        .filter_map(|candidate| {
            let cost = candidate.cost.predict_micros.filter(|c| drawable(*c) && *c > 0.0)?;
            let value = reading.chosen(candidate).map(|s| s.value).filter(|v| drawable(*v))?;
            Some(Point { candidate, cost, value, front: false })
        })
        .collect();
    let gain = |v: f64| if reading.greater { v } else { -v };
    points.sort_by(|a, b| a.cost.total_cmp(&b.cost).then(gain(b.value).total_cmp(&gain(a.value))));
    let mut best = f64::NEG_INFINITY;
    for p in &mut points {
        if gain(p.value) > best {
            best = gain(p.value);
            p.front = true;
        }
    }
    points
}

fn draw(reading: &Reading<'_>, points: &[Point<'_>], width: f64, height: f64) -> Option<String> {
    let (left, right, top, bottom) = (56.0, width - 20.0, 40.0, height - 50.0);
    let costs = range(points.iter().map(|p| p.cost.ln()))?;
    let x = Scale::log((costs.0.exp() / 1.2, costs.1.exp() * 1.2), left, right);
    let y = Scale::linear(reading.range()?, bottom, top);
    let title = format!(
        "{} ({}) against microseconds a row of prediction for {} candidates",
        reading.metric_words(),
        reading.direction(),
        points.len()
    );
    let mut svg = Svg::figure("chart scatter", width, height, &title);
    axes(&mut svg, reading, (&x, &y), (left, right, top, bottom), width > 500.0);
    front(&mut svg, points, (&x, &y), right);
    let decimals = reading.decimals(reading.metric);
    let at = |p: &Point<'_>| (x.at(p.cost), y.at(p.value));
    let mut taken: Vec<Area> = points.iter().map(|p| around(at(p), 7.0)).collect();
    for p in points {
        let (px, py) = at(p);
        let tip = format!(
            "{}: {} {}, {} a row",
            text::full(&p.candidate.name),
            reading.metric_words(),
            fixed(p.value, decimals),
            micros(p.cost)
        );
        svg.open(if reading.exported(p.candidate) { "exported" } else { "plain" }, &tip);
        if let Some(i) = reading.chosen(p.candidate).and_then(|s| s.interval)
            && y.side(p.value).is_eq()
        {
            svg.line("thin", (px, y.at(i.low)), (px, y.at(i.high)));
        }
        match y.side(p.value) {
            std::cmp::Ordering::Equal => svg.marker(p.candidate.role, (px, py), 5.5),
            std::cmp::Ordering::Less => svg.beyond((px, py), 90.0),
            std::cmp::Ordering::Greater => svg.beyond((px, py), -90.0),
        }
        svg.close();
    }
    for p in order_of_labels(reading, points).into_iter().take(if points.len() > CROWD { FEW } else { CROWD })
    {
        label(&mut svg, reading, p, at(p), (left, right, top, bottom), &mut taken);
    }
    Some(svg.finish())
}

/// The exported candidate and the best single member first, then the front, then the rest.
fn order_of_labels<'a, 'b>(reading: &Reading<'_>, points: &'a [Point<'b>]) -> Vec<&'a Point<'b>> {
    let mut order: Vec<&Point<'b>> = points.iter().collect();
    order.sort_by_key(|p| {
        let single = p.candidate.name == reading.outcome.verdict.best_single;
        (!reading.exported(p.candidate), !single, !p.front)
    });
    order
}

fn axes(svg: &mut Svg, reading: &Reading<'_>, scales: (&Scale, &Scale), frame: Area, wide: bool) {
    let (x, y) = scales;
    let (left, right, _, bottom) = frame;
    for (v, tick) in y.ticks(5) {
        svg.line("grid", (left, y.at(v)), (right, y.at(v)));
        svg.text("tick end", (left - 8.0, y.at(v) + 4.0), &tick);
    }
    for (v, _) in x.ticks(if wide { 8 } else { 3 }) {
        svg.line("axis", (x.at(v), bottom), (x.at(v), bottom + 5.0));
        svg.text("tick middle", (x.at(v), bottom + 20.0), &micros(v));
    }
    svg.line("axis", (left, bottom), (right, bottom));
    // The hint stands outside, in the corner it points to.
    let name = format!("{}, {}", text::short(&reading.metric_words(), 24), reading.direction());
    let cost = if wide { "prediction, time a row (log scale)" } else { "time a row (log scale)" };
    svg.text("name", (0.0, 14.0), &name);
    svg.text("name end", (right, bottom + 42.0), cost);
    let (hint, at) = if reading.greater {
        (
            "↖ cheaper and better",
            (if wide { width_of(&name) + 30.0 } else { 0.0 }, if wide { 14.0 } else { 29.0 }),
        )
    } else {
        ("↙ cheaper and better", (0.0, bottom + 42.0))
    };
    svg.text("hint", at, hint);
}

/// The staircase of candidates that nothing cheaper reaches.
fn front(svg: &mut Svg, points: &[Point<'_>], scales: (&Scale, &Scale), right: f64) {
    let mut stairs: Vec<(f64, f64)> = Vec::new();
    for p in points.iter().filter(|p| p.front) {
        let (px, py) = (scales.0.at(p.cost), scales.1.at(p.value));
        if let Some((_, before)) = stairs.last().copied() {
            stairs.push((px, before));
        }
        stairs.push((px, py));
    }
    if let Some((_, last)) = stairs.last().copied() {
        stairs.push((right, last));
    }
    svg.through("front", &stairs);
}

fn around(at: (f64, f64), r: f64) -> Area {
    (at.0 - r, at.1 - r, at.0 + r, at.1 + r)
}

/// Writes a name beside its marker where there is room; where there is none the tooltip and the table tell it.
fn label(
    svg: &mut Svg,
    reading: &Reading<'_>,
    point: &Point<'_>,
    at: (f64, f64),
    frame: Area,
    taken: &mut Vec<Area>,
) {
    let name = text::short(&point.candidate.name, 24);
    let wide = width_of(&name);
    let (left, right, top, bottom) = frame;
    let places = [
        ("", (at.0 + 11.0, at.1 + 4.0), 0.0),
        ("end", (at.0 - 11.0, at.1 + 4.0), wide),
        ("middle", (at.0, at.1 - 12.0), wide / 2.0),
        ("middle", (at.0, at.1 + 21.0), wide / 2.0),
        ("", (at.0 + 8.0, at.1 - 9.0), 0.0),
        ("end", (at.0 - 8.0, at.1 - 9.0), wide),
        ("", (at.0 + 8.0, at.1 + 17.0), 0.0),
        ("end", (at.0 - 8.0, at.1 + 17.0), wide),
    ];
    for (anchor, (x, y), before) in places {
        let area = (x - before, y - 10.0, x - before + wide, y + 4.0);
        let inside = area.0 >= left && area.2 <= right && area.1 >= top - 10.0 && area.3 <= bottom;
        let free = taken.iter().all(|t| t.2 <= area.0 || t.0 >= area.2 || t.3 <= area.1 || t.1 >= area.3);
        if inside && free {
            let strong = if reading.exported(point.candidate) { "strong" } else { "" };
            svg.text(&format!("label {anchor} {strong}"), (x, y), &name);
            taken.push(area);
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::digits;
    use super::*;

    fn front(outcome: &crate::outcome::Outcome) -> Vec<&str> {
        points(&Reading::of(outcome)).iter().filter(|p| p.front).map(|p| p.candidate.name.as_str()).collect()
    }

    #[test]
    fn the_front_is_what_nothing_cheaper_reaches() {
        let mut outcome = digits();
        assert_eq!(front(&outcome), ["sounds", "looks", "soup", "joint", "stack"]);
        // Read as a metric of which more is better, the cheapest and worst loss is the best of all.
        for s in outcome.candidates.iter_mut().flat_map(|c| &mut c.scores) {
            s.greater_is_better = true;
        }
        assert_eq!(front(&outcome), ["sounds"]);
        // At the same cost only the better one counts.
        let mut outcome = digits();
        for c in &mut outcome.candidates {
            c.cost.predict_micros = Some(10.0);
        }
        assert_eq!(front(&outcome), ["stack"]);
        for c in &mut outcome.candidates {
            c.cost.predict_micros = None;
        }
        assert!(scatter(&Reading::of(&outcome)).is_none());
    }

    #[test]
    fn an_outlier_is_drawn_at_the_edge() {
        let mut outcome = digits();
        outcome.candidates[5].scores[0].value = 40.0;
        outcome.candidates[5].scores[0].interval = None;
        let drawn = scatter(&Reading::of(&outcome)).unwrap();
        assert_eq!(drawn.wide.matches("class=\"beyond\"").count(), 1);
        assert_eq!(drawn.missing, 0);
    }
}
