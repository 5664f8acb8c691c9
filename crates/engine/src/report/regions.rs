//! The regions of the exported model, and what cascades save.

use consilience_core::calibrate::conformal::Share;

use super::number::{NONE, count, fixed};
use super::text;
use crate::outcome::{Outcome, RegionsFound};

/// The most rows of a table.
const ROWS: usize = 40;

/// Some judged rows.
pub(super) struct Row {
    pub(super) name: String,
    pub(super) rows: String,
    pub(super) coverage: String,
    pub(super) expected: String,
    pub(super) size: String,
}

/// The section about regions.
pub(super) struct Regions {
    pub(super) sentence: String,
    pub(super) size: &'static str,
    pub(super) rows: Vec<Row>,
    pub(super) more: usize,
}

/// What regions do on the judged rows: all of them, those of each class, those of each stratum.
pub(super) fn regions(outcome: &Outcome) -> Option<Regions> {
    let found = outcome.regions.as_ref()?;
    let coverage = &found.coverage;
    let strata = coverage.by_stratum.iter().map(|(code, share)| {
        let value = found.strata.get(*code as usize).map_or("another", String::as_str);
        row(value, share)
    });
    let classes = coverage.by_class.iter().map(|(class, share)| row(class, share));
    let all: Vec<Row> =
        std::iter::once(row("all judged rows", &coverage.all)).chain(classes).chain(strata).collect();
    let more = all.len().saturating_sub(ROWS);
    Some(Regions {
        sentence: sentence(found),
        size: if outcome.classes.is_empty() { "mean length" } else { "mean number of classes" },
        rows: all.into_iter().take(ROWS).collect(),
        more,
    })
}

/// What is promised and what was found, in words.
pub(super) fn sentence(found: &RegionsFound) -> String {
    let promise = match found.guaranteed {
        Some(p) => format!("promise {} %", fixed(100.0 * p, 1)),
        None => "promise nothing".to_owned(),
    };
    let all = &found.coverage.all;
    let expected = all.expected.map_or_else(String::new, |i| {
        format!(
            " (95 in 100 such runs lie between {} and {} %)",
            fixed(100.0 * i.low, 1),
            fixed(100.0 * i.high, 1)
        )
    });
    format!(
        "Regions ({}) {promise}: they hold the truth of {} % of {} judged rows{expected}, set by {} rows",
        found.method,
        fixed(100.0 * all.coverage, 1),
        all.rows,
        found.rows
    )
}

fn row(name: &str, share: &Share) -> Row {
    let percent = |v: f64| fixed(100.0 * v, 1);
    Row {
        name: text::name(name),
        rows: count(share.rows as u64),
        coverage: format!("{} %", percent(share.coverage)),
        expected: share
            .expected
            .map_or_else(|| NONE.to_owned(), |i| format!("{} to {}", percent(i.low), percent(i.high))),
        size: share.size.map_or_else(|| NONE.to_owned(), |s| fixed(s, 2)),
    }
}

/// One threshold of a cascade.
pub(super) struct Step {
    pub(super) threshold: String,
    pub(super) cost: String,
    pub(super) share: String,
    pub(super) loss: String,
    pub(super) auc: String,
}

/// What a cascade spends and loses.
pub(super) struct Cascade {
    pub(super) name: String,
    pub(super) steps: Vec<Step>,
}

/// So many thresholds are shown.
const STEPS: usize = 12;

/// The curve of every cascade, at thresholds that spend evenly spaced parts of everything.
pub(super) fn cascades(outcome: &Outcome) -> Vec<Cascade> {
    let all = outcome.candidates.iter().filter(|c| c.spending.len() > 1);
    all.map(|c| {
        let points = &c.spending;
        let most = points.iter().map(|p| p.cost).fold(f64::MIN_POSITIVE, f64::max);
        let picked = (0..STEPS).map(|i| &points[i * (points.len() - 1) / (STEPS - 1)]);
        let mut steps: Vec<Step> = Vec::new();
        let mut last = f64::NAN;
        for p in picked {
            if p.threshold == last {
                continue;
            }
            last = p.threshold;
            steps.push(Step {
                threshold: if p.threshold.is_finite() { fixed(p.threshold, 3) } else { "ask all".to_owned() },
                cost: fixed(p.cost, 1),
                share: format!("{} %", fixed(100.0 * p.cost / most, 1)),
                loss: fixed(p.loss, 4),
                auc: p.auc.map_or_else(|| NONE.to_owned(), |a| fixed(a, 4)),
            });
        }
        Cascade { name: text::name(&c.name), steps }
    })
    .collect()
}
