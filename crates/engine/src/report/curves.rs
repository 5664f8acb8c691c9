//! Learning curves as small multiples: loss on the fitting rows and on the inner rows held out, epoch by epoch.

use consilience_core::model::LogRow;

use super::number::{count, number};
use super::reading::Reading;
use super::svg::{Scale, Svg, range};
use super::text;

/// The most panels.
const PANELS: usize = 24;
/// The most points of a line.
const POINTS: usize = 400;

/// One candidate's curve.
pub(super) struct Curve {
    pub(super) name: String,
    pub(super) said: String,
    pub(super) figure: String,
}

/// The curves, and how many candidates were left out.
pub(super) fn curves(reading: &Reading<'_>) -> (Vec<Curve>, usize) {
    let learned: Vec<_> = reading
        .outcome
        .candidates
        .iter()
        .filter_map(|c| Some((c, draw(&c.name, &c.curve, reading.exported(c))?)))
        .collect();
    let left_out = learned.len().saturating_sub(PANELS);
    let curves = learned
        .into_iter()
        .take(PANELS)
        .map(|(c, figure)| Curve { name: text::name(&c.name), said: said(&c.curve), figure })
        .collect();
    (curves, left_out)
}

/// The row with the least held loss.
fn least(curve: &[LogRow]) -> Option<(u32, f64)> {
    curve
        .iter()
        .filter_map(|r| Some((r.epoch, f64::from(r.held_loss?))))
        .filter(|(_, loss)| loss.is_finite())
        .min_by(|a, b| a.1.total_cmp(&b.1))
}

fn said(curve: &[LogRow]) -> String {
    let last = curve.iter().map(|r| r.epoch).max().unwrap_or(0);
    match least(curve) {
        Some((epoch, loss)) => {
            format!(
                "Least held loss {} at {} of {}.",
                number(loss),
                count(u64::from(epoch)),
                count(u64::from(last))
            )
        }
        None => format!("{} in all, none held out.", count(u64::from(last))),
    }
}

/// Every so many points, the last always.
fn thinned(points: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    let every = points.len() / POINTS + 1;
    let last = points.len().saturating_sub(1);
    points.into_iter().enumerate().filter(|(i, _)| i % every == 0 || *i == last).map(|(_, p)| p).collect()
}

/// Draws; `None` where no loss can be drawn.
fn draw(name: &str, curve: &[LogRow], exported: bool) -> Option<String> {
    let fit: Vec<(f64, f64)> = curve.iter().map(|r| (f64::from(r.epoch), f64::from(r.fit_loss))).collect();
    let held: Vec<(f64, f64)> =
        curve.iter().filter_map(|r| Some((f64::from(r.epoch), f64::from(r.held_loss?)))).collect();
    let finite = |p: &&(f64, f64)| p.1.is_finite();
    let losses = || fit.iter().chain(&held).filter(finite).map(|p| p.1);
    let (low, high) = range(losses())?;
    let (left, right, top, bottom) = (46.0, 292.0, 10.0, 146.0);
    let least_loss = losses().fold(f64::INFINITY, f64::min);
    let most_loss = losses().fold(f64::NEG_INFINITY, f64::max);
    // Losses that fall by more than a factor of thirty are told apart by their logarithm only.
    let logarithmic = least_loss > 0.0 && most_loss / least_loss > 30.0;
    let y = if logarithmic {
        Scale::log((least_loss / 1.1, most_loss * 1.1), bottom, top)
    } else {
        Scale::linear((low, high), bottom, top)
    };
    let last = curve.iter().map(|r| r.epoch).max().unwrap_or(1).max(2);
    let first = curve.iter().map(|r| r.epoch).min().unwrap_or(1).min(last - 1);
    let x = Scale::linear((f64::from(first), f64::from(last)), left, right);
    let title = format!("Learning curve of {}: {}", text::full(name), said(curve));
    let mut svg =
        Svg::figure(if exported { "chart panel exported" } else { "chart panel" }, 304.0, 186.0, &title);
    for (v, label) in y.ticks(4) {
        svg.line("grid", (left, y.at(v)), (right, y.at(v)));
        svg.text("tick end", (left - 7.0, y.at(v) + 4.0), &label);
    }
    for (v, _) in x.ticks(5).into_iter().filter(|t| t.0.fract().abs() < 1e-9) {
        svg.text("tick middle", (x.at(v), bottom + 17.0), &count(v as u64));
    }
    svg.line("axis", (left, bottom), (right, bottom));
    let kind = if logarithmic { "epoch or round (log loss axis)" } else { "epoch or round" };
    svg.text("name end", (right, bottom + 36.0), kind);
    let place = |points: &[(f64, f64)]| {
        thinned(points.iter().filter(finite).map(|(e, l)| (x.at(*e), y.at(*l))).collect())
    };
    svg.through("curve faint", &place(&fit));
    svg.through("curve", &place(&held));
    if let Some((epoch, loss)) = least(curve) {
        svg.circle("mark", (x.at(f64::from(epoch)), y.at(loss)), 4.0);
    }
    Some(svg.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_held_loss_is_told_and_long_curves_are_thinned() {
        let row = |epoch, held_loss| LogRow { epoch, fit_loss: 1.0, held_loss };
        let curve = [row(1, Some(0.9)), row(2, Some(0.5)), row(3, Some(f32::NAN)), row(4, Some(0.75))];
        assert_eq!(said(&curve), "Least held loss 0.5 at 2 of 4.");
        assert_eq!(said(&[row(7, None)]), "7 in all, none held out.");
        assert!(draw("none", &[], false).is_none());
        let points: Vec<(f64, f64)> = (0..10_001).map(|i| (f64::from(i), 0.0)).collect();
        let thin = thinned(points);
        assert!(thin.len() <= POINTS + 1 && thin.last() == Some(&(10_000.0, 0.0)));
    }
}
