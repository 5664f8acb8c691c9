//! The judge: every model by every metric on the same rows, with intervals and differences.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::interval::{Interval, percentile_interval};
use super::metric::{Draw, Metric, Prepared, Sample, whole_value};
use super::multiplicity::{PValues, p_values};
use super::paired::Difference;
use super::resample::{BootstrapSettings, Resampler};
use super::row_loss::matches;
use super::simultaneous::max_t_intervals;
use crate::array::Matrix;
use crate::error::{Error, Result};
use crate::model::{Predictions, Target};
use crate::seed::Seed;

/// Resamples that one piece of work draws; fixed, so that no number depends on the threads.
const BLOCK: usize = 16;

/// One metric of one model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// The name of the metric.
    pub metric: String,
    /// Whether a greater value is a better one.
    pub greater_is_better: bool,
    /// The score.
    pub value: f64,
    /// The uncorrected statistic, where the score corrects a bias ([`Metric::plain`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plain: Option<f64>,
    /// The lower end of the percentile interval of this score alone; `None` if there are no resamples, fewer than two
    /// groups, or the metric is defined on less than half of the resamples.
    pub low: Option<f64>,
    /// The upper end.
    pub high: Option<f64>,
    /// The interval that holds for all models of the table at once; `None` for one model.
    pub simultaneous: Option<(f64, f64)>,
    /// This model minus the reference; `None` for the reference itself.
    pub against_reference: Option<Difference>,
    /// The chances of such a difference from the reference if there were none, alone and among all models compared with
    /// it; `None` for the reference itself and without an interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p_values: Option<PValues>,
    /// How many rows were scored.
    pub rows: usize,
    /// In how many resamples the metric was defined for every model; the others are left out.
    pub resamples: usize,
}

/// Every metric of one model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelScores {
    /// The name of the model.
    pub model: String,
    /// The rows that every model predicts: those that were scored.
    pub rows: usize,
    /// The other rows.
    pub left_out: usize,
    /// How many groups were resampled, where rows have groups.
    pub groups: Option<usize>,
    /// The scores, in the order of the metrics asked for.
    pub scores: Vec<Score>,
}

/// Scores models by metrics on the rows that every model predicts, with bootstrap intervals.
///
/// All models and metrics see the same resamples, so that differences are paired. Rows are drawn with replacement;
/// where rows have groups, whole groups; for metrics of ranks within the classes ([`Metric::stratified`]). Intervals are
/// conditional on the fitted models: they say how much the choice of rows matters. The result is the same for any
/// number of threads.
///
/// * `models`: names and predictions, about the same rows in the same order;
/// * `reference`: the model that the others are compared with;
/// * `group`, `weight`: one a row.
///
/// # Errors
/// [`Error::Argument`] for no metric or model, a reference that is none of them, settings out of range, or a metric that
/// does not suit the task; [`Error::Model`] for predictions of other rows or classes than the target's; [`Error::Data`]
/// if no row is predicted by all, or a metric is not defined on the rows.
pub fn judge(
    metrics: &[&dyn Metric],
    target: &Target,
    models: &[(&str, &Predictions)],
    reference: Option<usize>,
    group: Option<&[u64]>,
    weight: Option<&[f32]>,
    settings: &BootstrapSettings,
) -> Result<Vec<ModelScores>> {
    settings.validate()?;
    check(metrics, target, models, reference, group, weight)?;
    let rows: Vec<usize> =
        (0..target.len()).filter(|r| !models.iter().any(|(_, p)| p.absent().is_set(*r))).collect();
    if rows.is_empty() {
        return Err(Error::data("there is no row that every model predicts").got(format!(
            "{} rows, {} models",
            target.len(),
            models.len()
        )));
    }
    let left_out = target.len() - rows.len();
    let target = target.take(&rows);
    let group: Option<Vec<u64>> = group.map(|g| rows.iter().map(|r| g[*r]).collect());
    let weight: Option<Vec<f32>> = weight.map(|w| rows.iter().map(|r| w[*r]).collect());
    let mut table = Vec::with_capacity(models.len());
    for (name, predictions) in models {
        let output: Matrix =
            if left_out == 0 { predictions.matrix() } else { predictions.take(&rows).matrix() };
        let sample = Sample::new(&target, output.view(), weight.as_deref());
        let cells: Result<Vec<Cell>> = metrics.iter().map(|m| Cell::new(*m, &sample)).collect();
        table.push(cells.map_err(|e| e.at(name))?);
    }
    let plain = Resampler::new(rows.len(), group.as_deref(), None)?;
    let stratified = Resampler::new(rows.len(), group.as_deref(), Some(&target))?;
    let resamples = if plain.units() < 2 { 0 } else { settings.resamples };
    let draws = draw_all(&table, metrics, [&plain, &stratified], resamples, settings.seed);
    let groups = group.is_some().then(|| plain.units());
    let mut out: Vec<ModelScores> = models
        .iter()
        .map(|(name, _)| ModelScores {
            model: (*name).to_owned(),
            rows: rows.len(),
            left_out,
            groups,
            scores: Vec::with_capacity(metrics.len()),
        })
        .collect();
    for (k, metric) in metrics.iter().enumerate() {
        let cells: Vec<&Cell> = table.iter().filter_map(|row| row.get(k)).collect();
        let columns = defined(&draws, k, cells.len());
        let scores = finish(*metric, &cells, &columns, reference, resamples, settings.level, rows.len());
        for (model, score) in out.iter_mut().zip(scores) {
            model.scores.push(score);
        }
    }
    Ok(out)
}

fn check(
    metrics: &[&dyn Metric],
    target: &Target,
    models: &[(&str, &Predictions)],
    reference: Option<usize>,
    group: Option<&[u64]>,
    weight: Option<&[f32]>,
) -> Result<()> {
    if metrics.is_empty() {
        return Err(Error::argument("there is no metric to judge by"));
    }
    let Some((first_name, first)) = models.first() else {
        return Err(Error::argument("there is no model to judge"));
    };
    if let Some(reference) = reference.filter(|r| *r >= models.len()) {
        return Err(Error::argument("the reference is none of the models")
            .expected(format!("below {}", models.len()))
            .got(reference));
    }
    for (name, predictions) in models {
        matches(target, predictions).map_err(|e| e.at(name))?;
        if predictions.ids() != first.ids() {
            return Err(Error::model("the predictions are about other rows, or in another order")
                .at(name)
                .expected(format!("the row ids of \"{first_name}\"")));
        }
    }
    for (what, length) in [("group", group.map(<[u64]>::len)), ("weight", weight.map(<[f32]>::len))] {
        if let Some(length) = length.filter(|n| *n != target.len()) {
            return Err(Error::data(format!("there is not one {what} a row"))
                .expected(target.len())
                .got(length));
        }
    }
    if let Target::Values(values) = target
        && let Some(row) = values.iter().position(|v| !v.is_finite())
    {
        return Err(Error::data("a target is not finite").at(format!("row {row}")).got(values[row]));
    }
    Ok(())
}

/// One metric prepared for one model.
struct Cell {
    prepared: Box<dyn Prepared>,
    value: f64,
    plain: Option<f64>,
}

impl Cell {
    fn new(metric: &dyn Metric, sample: &Sample<'_>) -> Result<Self> {
        let prepared = metric.prepare(sample)?;
        let value = whole_value(metric.name(), prepared.as_ref(), sample.rows())?;
        Ok(Self { prepared, value, plain: metric.plain(sample)? })
    }
}

/// The values of every resample: `[resample][metric * models + model]`, NaN where not defined.
fn draw_all(
    table: &[Vec<Cell>],
    metrics: &[&dyn Metric],
    [plain, stratified]: [&Resampler; 2],
    resamples: usize,
    seed: Seed,
) -> Vec<Vec<f64>> {
    let seed = seed.child("bootstrap");
    let (seed_plain, seed_stratified) = (seed.child("rows"), seed.child("stratified"));
    let needs = |kind: bool| metrics.iter().any(|m| m.stratified() == kind);
    let (needs_plain, needs_stratified) = (needs(false), needs(true));
    let block = |block: usize| -> Vec<Vec<f64>> {
        let (mut a, mut b, mut scratch) = (Draw::default(), Draw::default(), Vec::new());
        let one = |index: usize| {
            if needs_plain {
                plain.draw(seed_plain.item(index as u64), &mut a, &mut scratch);
            }
            if needs_stratified {
                stratified.draw(seed_stratified.item(index as u64), &mut b, &mut scratch);
            }
            let mut values = Vec::with_capacity(metrics.len() * table.len());
            for (k, metric) in metrics.iter().enumerate() {
                let draw = if metric.stratified() { &b } else { &a };
                let cells = table.iter().filter_map(|row| row.get(k));
                values.extend(cells.map(|c| c.prepared.value(draw).unwrap_or(f64::NAN)));
            }
            values
        };
        (block * BLOCK..resamples.min((block + 1) * BLOCK)).map(one).collect()
    };
    let blocks: Vec<Vec<Vec<f64>>> = (0..resamples.div_ceil(BLOCK)).into_par_iter().map(block).collect();
    blocks.into_iter().flatten().collect()
}

/// The values of metric `k` for each model, of the resamples in which it is defined for all.
fn defined(draws: &[Vec<f64>], k: usize, models: usize) -> Vec<Vec<f64>> {
    let mut columns = vec![Vec::with_capacity(draws.len()); models];
    for draw in draws {
        let values = draw.get(k * models..(k + 1) * models).unwrap_or(&[]);
        if values.iter().all(|v| v.is_finite()) {
            for (column, v) in columns.iter_mut().zip(values) {
                column.push(*v);
            }
        }
    }
    columns
}

/// The scores of one metric for every model.
fn finish(
    metric: &dyn Metric,
    cells: &[&Cell],
    columns: &[Vec<f64>],
    reference: Option<usize>,
    resamples: usize,
    level: f64,
    rows: usize,
) -> Vec<Score> {
    let used = columns.first().map_or(0, Vec::len);
    let enough = used > 0 && 2 * used >= resamples;
    let bounds = metric.bounds();
    let values: Vec<f64> = cells.iter().map(|c| c.value).collect();
    let all = if enough { max_t_intervals(&values, columns, level) } else { None };
    let chances = reference.filter(|_| enough).map(|r| against(&values, columns, r)).unwrap_or_default();
    let of = |values: &[f64]| if enough { percentile_interval(values, level) } else { None };
    let score = |(m, (cell, column)): (usize, (&&Cell, &Vec<f64>))| {
        let interval = of(column).map(|i| i.within(bounds));
        let simultaneous: Option<Interval> = all.as_ref().and_then(|a| a.get(m)).map(|i| i.within(bounds));
        let against = reference.filter(|r| *r != m).and_then(|r| {
            let (value, other) = (cell.value - values.get(r)?, columns.get(r)?);
            let differences: Vec<f64> = column.iter().zip(other).map(|(a, b)| a - b).collect();
            Some(Difference::new(value, of(&differences), metric.greater_is_better()))
        });
        Score {
            metric: metric.name().to_owned(),
            greater_is_better: metric.greater_is_better(),
            value: cell.value,
            plain: cell.plain,
            low: interval.map(|i| i.low),
            high: interval.map(|i| i.high),
            simultaneous: simultaneous.map(|i| (i.low, i.high)),
            against_reference: against,
            p_values: chances.get(m).copied().flatten(),
            rows,
            resamples: used,
        }
    };
    cells.iter().zip(columns).enumerate().map(score).collect()
}

/// The p values of every model against the reference; `None` for itself.
fn against(values: &[f64], columns: &[Vec<f64>], reference: usize) -> Vec<Option<PValues>> {
    let others: Vec<usize> = (0..values.len()).filter(|m| *m != reference).collect();
    let differences: Vec<f64> = others.iter().map(|m| values[*m] - values[reference]).collect();
    let minus = |m: &usize| columns[*m].iter().zip(&columns[reference]).map(|(a, b)| a - b).collect();
    let draws: Vec<Vec<f64>> = others.iter().map(minus).collect();
    let mut out = vec![None; values.len()];
    for (m, p) in others.iter().zip(p_values(&differences, &draws).unwrap_or_default()) {
        out[*m] = Some(p);
    }
    out
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
