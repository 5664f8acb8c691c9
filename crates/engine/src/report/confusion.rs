//! What is taken for what: the confusion matrix as a grid, and the pairs that are confused most.

use super::bars::{self, Bar};
use super::number::{count, counted, percent};
use super::svg::{Svg, width_of};
use super::text;
use crate::outcome::Outcome;

/// The most classes of which a grid is drawn.
const GRID: usize = 20;
/// The pairs listed beside a grid, and without one.
const PAIRS: (usize, usize) = (8, 20);

/// The section.
pub(super) struct Confusion {
    pub(super) wide: Option<String>,
    pub(super) narrow: Option<String>,
    pub(super) pairs: Vec<Bar>,
    pub(super) classes: usize,
    pub(super) right: String,
}

/// Truth, prediction, rows, share of the truth's rows.
type Pair = (usize, usize, u64, f64);

/// Draws; `None` for a regression and where no row was judged.
pub(super) fn confusion(outcome: &Outcome) -> Option<Confusion> {
    let n = outcome.classes.len();
    let all: u64 = total(outcome.confusion.iter().flatten().copied());
    if n == 0 || all == 0 {
        return None;
    }
    let right = total((0..n).map(|i| rows(outcome, i, i)));
    let drawn = n <= GRID;
    Some(Confusion {
        wide: drawn.then(|| grid(outcome, n, 560.0)),
        narrow: drawn.then(|| grid(outcome, n, 340.0)),
        pairs: pairs(outcome, n, if drawn { PAIRS.0 } else { PAIRS.1 }),
        classes: n,
        right: format!(
            "{} of {} judged rows ({})",
            count(right),
            count(all),
            percent(right as f64 / all as f64)
        ),
    })
}

/// The rows of one cell; a cell that the outcome does not hold has none.
fn rows(outcome: &Outcome, truth: usize, predicted: usize) -> u64 {
    outcome.confusion.get(truth).and_then(|r| r.get(predicted)).copied().unwrap_or(0)
}

fn total(rows: impl Iterator<Item = u64>) -> u64 {
    rows.fold(0, u64::saturating_add)
}

fn row_total(outcome: &Outcome, truth: usize) -> u64 {
    outcome.confusion.get(truth).map_or(0, |r| total(r.iter().copied()))
}

fn class(outcome: &Outcome, i: usize, most: usize) -> String {
    outcome.classes.get(i).map_or(String::new(), |c| text::short(c, most))
}

/// The pairs confused most, by rows and then by order of the classes.
fn pairs(outcome: &Outcome, n: usize, most: usize) -> Vec<Bar> {
    let mut pairs: Vec<Pair> = Vec::new();
    for truth in 0..n {
        let all = row_total(outcome, truth).max(1) as f64;
        for predicted in (0..n).filter(|p| *p != truth) {
            let rows = rows(outcome, truth, predicted);
            if rows > 0 {
                pairs.push((truth, predicted, rows, rows as f64 / all));
            }
        }
    }
    pairs.sort_by_key(|p| (std::cmp::Reverse(p.2), p.0, p.1));
    pairs.truncate(most);
    let largest = pairs.first().map_or(1, |p| p.2) as f64;
    pairs
        .into_iter()
        .map(|(truth, predicted, rows, share)| {
            let (truth, predicted) = (class(outcome, truth, 32), class(outcome, predicted, 32));
            Bar {
                title: format!("{truth} taken for {predicted}: {} of {truth}", percent(share)),
                name: format!("{truth} → {predicted}"),
                value: counted(usize::try_from(rows).unwrap_or(usize::MAX), "row", "rows"),
                more: percent(share),
                strong: false,
                strip: bars::strip("wrong", (0.0, largest), rows as f64, None),
            }
        })
        .collect()
}

fn grid(outcome: &Outcome, n: usize, width: f64) -> String {
    let wide = width > 500.0;
    let names: Vec<String> = (0..n).map(|i| class(outcome, i, if wide { 14 } else { 9 })).collect();
    let longest = names.iter().map(|s| width_of(s)).fold(0.0, f64::max);
    let flat = longest < 24.0;
    let left = 34.0 + longest;
    let top = if flat { 46.0 } else { 34.0 + longest * 0.72 };
    // The last name leans over the edge of the grid.
    let right = if flat { 46.0 } else { (longest * 0.72 - 4.0).max(46.0) };
    let side = ((width - left - right) / n as f64).min(54.0);
    let whole = left + side * n as f64 + right;
    let edge = left + side * n as f64 + 44.0;
    let height = top + side * n as f64 + if flat { 6.0 } else { 24.0 };
    let title = format!(
        "Confusion matrix of {n} classes: truth in rows, prediction in columns, judged rows in cells"
    );
    let mut svg = Svg::figure("chart confusion", whole, height, &title);
    svg.text("name middle", (left + side * n as f64 / 2.0, 14.0), "predicted");
    svg.turned("name middle", (11.0, top + side * n as f64 / 2.0), -90.0, "truth");
    // Above the shares where names stand upright, below them where they lean.
    svg.text("tick end", (edge, if flat { top - 8.0 } else { height - 6.0 }), "right");
    for truth in 0..n {
        let y = top + side * truth as f64;
        let all = row_total(outcome, truth);
        let name = names.get(truth).map_or("", String::as_str);
        svg.text("label end", (left - 8.0, y + side / 2.0 + 4.0), name);
        let x = left + side * (truth as f64 + 0.5);
        if flat {
            svg.text("label middle", (x, top - 8.0), name);
        } else {
            svg.turned("label", (x, top - 8.0), -46.0, name);
        }
        for predicted in 0..n {
            let cell = rows(outcome, truth, predicted);
            let share = if all == 0 { 0.0 } else { cell as f64 / all as f64 };
            let corner = (left + side * predicted as f64 + 1.0, y + 1.0);
            let size = (side - 2.0, side - 2.0);
            svg.rect("empty", corner, size);
            if cell > 0 {
                let (class, opacity) = if truth == predicted {
                    ("right", 0.6 * share)
                } else {
                    // Errors are rare: the root shows one in a hundred as a tenth.
                    ("wrong", 0.08 + 0.52 * share.sqrt())
                };
                let tip = format!(
                    "{name} taken for {}: {} ({} of {name})",
                    names.get(predicted).map_or("", String::as_str),
                    counted(usize::try_from(cell).unwrap_or(usize::MAX), "row", "rows"),
                    percent(share)
                );
                svg.open("cell", &tip);
                svg.shade(class, corner, size, opacity);
                let written = count(cell);
                if width_of(&written) + 2.0 <= side {
                    let center = (corner.0 + size.0 / 2.0, corner.1 + size.1 / 2.0 + 4.0);
                    svg.text("count middle", center, &written);
                }
                svg.close();
            }
        }
        if all > 0 {
            let share = rows(outcome, truth, truth) as f64 / all as f64;
            let written = if side < 13.0 { String::new() } else { format!("{:.0}%", share * 100.0) };
            svg.text("tick end", (edge, y + side / 2.0 + 4.0), &written);
        }
    }
    svg.finish()
}

#[cfg(test)]
mod tests {
    use super::super::sample::digits;
    use super::*;

    #[test]
    fn pairs_come_by_rows_and_skip_the_diagonal() {
        let mut outcome = digits();
        outcome.classes = ["a", "b", "c"].iter().map(ToString::to_string).collect();
        outcome.confusion = vec![vec![90, 2, 8], vec![0, 50, 0], vec![3, 0]];
        let drawn = confusion(&outcome).unwrap();
        let said: Vec<_> =
            drawn.pairs.iter().map(|p| (p.name.as_str(), p.value.as_str(), p.more.as_str())).collect();
        assert_eq!(said, [("a → c", "8 rows", "8%"), ("c → a", "3 rows", "100%"), ("a → b", "2 rows", "2%")]);
        assert_eq!(drawn.right, "140 of 153 judged rows (91.5%)");
        assert!(drawn.wide.unwrap().contains("a taken for c: 8 rows (8% of a)"));
    }
}
