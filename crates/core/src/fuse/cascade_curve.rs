//! What a cascade spends and loses, by its threshold.

use serde::{Deserialize, Serialize};

use crate::array::MIN_PROBABILITY;
use crate::error::Result;
use crate::metrics::{self, Sample};
use crate::model::{Predictions, Target};

/// So many thresholds are tried: quantiles of how sure the stages are.
const TRIED: usize = 200;

/// One threshold.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// How sure a stage must be to answer.
    #[serde(with = "or_never")]
    pub threshold: f64,
    /// What a row costs on average, in the unit of the members' costs.
    pub cost: f64,
    /// The mean log-loss.
    pub loss: f64,
    /// The area under the ROC curve; for two classes.
    pub auc: Option<f64>,
}

/// JSON has no infinity: it is null.
mod or_never {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(v: &f64, s: S) -> Result<S::Ok, S::Error> {
        v.is_finite().then_some(*v).serialize(s)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<f64, D::Error> {
        Ok(Option::<f64>::deserialize(d)?.unwrap_or(f64::INFINITY))
    }
}

/// The answers of every stage to rows that they were not fitted to.
pub(super) struct Stages<'a> {
    /// One for each number of members asked.
    pub answers: &'a [Predictions],
    /// The same, calibrated: how sure each is.
    pub sure: &'a [Predictions],
    pub target: &'a Target,
    /// The rows that count.
    pub rows: &'a [usize],
    /// Their weights, which sum to one.
    pub weight: &'a [f64],
    /// What it costs to come so far.
    pub spent: &'a [f64],
}

/// The curve by rising threshold; the last point asks everybody about every row.
pub(super) fn curve(stages: &Stages<'_>) -> Result<Vec<Point>> {
    let mut sure: Vec<Vec<f32>> = Vec::new();
    for answer in stages.sure {
        let p = answer.p()?;
        let largest = |r: &usize| match answer.absent().is_set(*r) {
            true => f32::NEG_INFINITY,
            false => p.row(*r).iter().copied().fold(f32::NEG_INFINITY, f32::max),
        };
        sure.push(stages.rows.iter().map(largest).collect());
    }
    let before_last = sure.len().saturating_sub(1);
    let mut all: Vec<f32> =
        sure.iter().take(before_last).flatten().copied().filter(|v| v.is_finite()).collect();
    all.sort_by(f32::total_cmp);
    let quantile = |i: usize| all.get(i * all.len().saturating_sub(1) / (TRIED - 1)).map(|v| f64::from(*v));
    let mut thresholds: Vec<f64> = (0..TRIED).filter_map(quantile).collect();
    thresholds.dedup();
    thresholds.push(f64::INFINITY);
    thresholds.into_iter().map(|t| point(stages, &sure, t)).collect()
}

/// The stage that answers a row: the first that is sure enough, else the last.
fn stage_of(sure: &[Vec<f32>], row: usize, threshold: f64) -> usize {
    let last = sure.len().saturating_sub(1);
    (0..last).find(|s| f64::from(sure[*s][row]) >= threshold).unwrap_or(last)
}

fn point(stages: &Stages<'_>, sure: &[Vec<f32>], threshold: f64) -> Result<Point> {
    let (classes, codes) = stages.target.codes()?;
    let (mut cost, mut loss) = (0.0, 0.0);
    let mut rows = Vec::with_capacity(stages.rows.len());
    for (i, (row, weight)) in stages.rows.iter().zip(stages.weight).enumerate() {
        let stage = stage_of(sure, i, threshold);
        let p = stages.answers[stage].p()?.row(*row);
        cost += weight * stages.spent[stage];
        loss -= weight * f64::from(p[codes[*row] as usize].max(MIN_PROBABILITY)).ln();
        rows.push(p);
    }
    let auc = match classes.count() {
        2 => {
            let views: Vec<_> = rows.iter().map(|r| r.insert_axis(ndarray::Axis(0))).collect();
            let joined = ndarray::concatenate(ndarray::Axis(0), &views);
            let target = stages.target.take(stages.rows);
            // It is not defined where one class has no rows.
            joined
                .ok()
                .and_then(|p| metrics::get("auc").ok()?.score(&Sample::new(&target, p.view(), None)).ok())
        }
        _ => None,
    };
    Ok(Point { threshold, cost, loss, auc })
}
