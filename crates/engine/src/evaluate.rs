//! Scoring a model directory on data with truth, and whether it has learned from the rows that it is scored on.

use consilience_core::metrics::{self, BootstrapSettings};
use consilience_core::model::{Stop, Target};
use consilience_core::seed::Seed;
use consilience_core::{Error, Result};
use serde::Serialize;

use crate::outcome::Interval;
use crate::predict::Opened;

/// One metric of an evaluation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Evaluated {
    /// The metric.
    pub metric: String,
    /// Its value.
    pub value: f64,
    /// Its bootstrap interval at 95%.
    pub interval: Option<Interval>,
}

/// What the model's provenance says about the rows that it was scored on. A row counts as known to the model if one
/// that it was fitted on, or that chose it, is the same in every column and in the truth.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Known {
    /// How many of the scored rows the model has learned from, at least.
    pub learned: usize,
    /// Why it may have learned from others too; `None` if it has not.
    pub unknown: Option<String>,
}

/// An evaluation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Evaluation {
    /// The scores.
    pub scores: Vec<Evaluated>,
    /// How many rows were scored.
    pub rows: usize,
    /// The rows about which the model says nothing, and that are left out.
    pub silent: usize,
    /// The rows that are left out because the model has learned from them.
    pub left_out: usize,
    /// Whether the model has learned from the scored rows.
    pub known: Known,
}

/// Scores a model on data with truth; rows about which it says nothing are left out, and counted. With `unseen` the
/// rows are left out from which it has learned.
///
/// # Errors
/// [`Error::Data`] if the data have no target, or no row is unseen; [`Error::Model`] if `unseen` is wanted and the
/// provenance does not tell which rows are; [`Error::Argument`] for unknown metrics.
pub fn evaluate(opened: &Opened, wanted: &[String], unseen: bool, stop: &Stop) -> Result<Evaluation> {
    let truth = opened.data.target.as_ref().ok_or_else(|| {
        Error::data("the data have no target column")
            .at(opened.place.display())
            .expected(match &opened.target {
                Some(name) => format!("a column \"{name}\" with the truth"),
                None => "a column with the truth".to_owned(),
            })
            .remedy("evaluate needs the truth; csl predict does not")
    })?;
    let chosen = if wanted.is_empty() {
        metrics::default_reports(opened.model.task())
    } else {
        wanted.iter().map(|n| metrics::get(n)).collect::<Result<Vec<_>>>()?
    };
    let mut rows: Vec<usize> = (0..opened.data.source.rows()).collect();
    let all = rows.len();
    if unseen {
        rows = unseen_rows(opened, rows)?;
    }
    let left_out = all - rows.len();
    let said = opened.predict_rows(&rows, stop)?;
    let voiced: Vec<usize> = (0..rows.len()).filter(|r| !said.absent().is_set(*r)).collect();
    let silent = rows.len() - voiced.len();
    let predictions = said.take(&voiced);
    let rows: Vec<usize> = voiced.iter().map(|r| rows[*r]).collect();
    let truth: Target = truth.take(&rows);
    let group: Option<Vec<u64>> =
        opened.data.roles.group.as_ref().map(|(g, _)| rows.iter().map(|r| g[*r]).collect());
    let weight: Option<Vec<f32>> =
        opened.data.roles.weight.as_ref().map(|w| rows.iter().map(|r| w[*r]).collect());
    let settings = BootstrapSettings { resamples: 2000, level: 0.95, seed: Seed::new(0).child("evaluate") };
    let models = [("model", &predictions)];
    let scores =
        metrics::judge(&chosen, &truth, &models, None, group.as_deref(), weight.as_deref(), &settings)?;
    let scores = scores.first().map(|m| m.scores.as_slice()).unwrap_or_default();
    let scores = scores.iter().map(|s| Evaluated {
        metric: s.metric.to_string(),
        value: s.value,
        interval: s.low.zip(s.high).map(|(low, high)| Interval { value: s.value, low, high }),
    });
    let learned = opened.learned.overlap(&opened.data, &rows);
    let known = Known { learned, unknown: opened.unknown.clone() };
    Ok(Evaluation { scores: scores.collect(), rows: rows.len(), silent, left_out, known })
}

/// The rows from which the model has not learned.
fn unseen_rows(opened: &Opened, rows: Vec<usize>) -> Result<Vec<usize>> {
    if let Some(why) = &opened.unknown {
        return Err(Error::model("which of the rows the model has not seen cannot be told")
            .at(opened.directory.display())
            .got(why)
            .remedy("give it rows that you know to be new, without --unseen"));
    }
    let all = rows.len();
    let new: Vec<usize> =
        rows.into_iter().filter(|r| opened.learned.overlap(&opened.data, &[*r]) == 0).collect();
    if new.is_empty() {
        return Err(Error::data(format!("the model has learned from each of the {all} rows"))
            .at(opened.place.display())
            .expected("rows that it has not seen")
            .remedy("give it other rows"));
    }
    Ok(new)
}
