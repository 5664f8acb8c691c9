//! Using a model directory: predictions for new rows, and scores where the truth is known.

use std::path::{Path, PathBuf};

use consilience_core::array::argmax;
use consilience_core::data::{DataSpec, Dataset, Role, Written, open_for, write_table};
use consilience_core::files::sweep_strays;
use consilience_core::metrics::{self, BootstrapSettings};
use consilience_core::model::{Model, ModelDir, Output, Predictions, Stop, Target};
use consilience_core::seed::Seed;
use consilience_core::{Error, Result};
use serde::Serialize;

use crate::catalog;
use crate::outcome::Interval;

/// Rows are read and predicted in blocks of this many.
const BLOCK: usize = 2048;

/// A model directory that was opened, with the data it is to be used on.
pub struct Opened {
    model: Box<dyn Model>,
    data: Dataset,
    /// Where the data come from.
    place: PathBuf,
    /// The column that held the truth when the model was fitted.
    target: Option<String>,
}

/// Opens a model directory and data without truth for it, to predict them: a target column is not read, so that it may
/// be empty or hold classes that the model does not know.
///
/// # Errors
/// As [`open`].
pub fn open_unlabelled(model: &Path, data: &Path, root: Option<&Path>) -> Result<Opened> {
    open_with(model, data, root, false)
}

/// Opens a model directory and data for it, truth included where they have it. `data` is a table, whose folder is the root of paths in it, or a folder
/// laid out as the one the model was fitted on.
///
/// # Errors
/// [`Error::Model`] for a damaged model, [`Error::Data`] for data that do not fit it.
pub fn open(model: &Path, data: &Path, root: Option<&Path>) -> Result<Opened> {
    open_with(model, data, root, true)
}

fn open_with(model: &Path, data: &Path, root: Option<&Path>, truth: bool) -> Result<Opened> {
    let dir = ModelDir::open(model)?;
    let spec: DataSpec = match dir.record.provenance.get("data") {
        Some(v) => serde_json::from_value(v.clone()).map_err(|e| {
            Error::model(format!("the model does not say how to read data: {e}")).at(model.display())
        })?,
        None => DataSpec::default(),
    };
    let model = dir.model(&catalog::loaders())?;
    let (table, folder) = match (&spec.table, data.is_dir()) {
        (Some(table), true) => (data.join(table), data.to_path_buf()),
        (None, true) => (data.to_path_buf(), data.to_path_buf()),
        (_, false) => {
            let parent =
                data.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
            (data.to_path_buf(), root.unwrap_or(parent).to_path_buf())
        }
    };
    let data = open_for(model.schema(), &spec, &table, &folder, truth.then_some(model.task()))?;
    let target =
        spec.columns.iter().find(|(_, c)| c.role == Some(Role::Target)).map(|(name, _)| name.clone());
    Ok(Opened { model, data, place: table, target })
}

impl Opened {
    /// Predicts every row.
    ///
    /// # Errors
    /// [`Error::Data`] for rows that cannot be read, [`Error::Interrupted`] when stopped.
    pub fn predict(&self, stop: &Stop) -> Result<Predictions> {
        let rows: Vec<usize> = (0..self.data.source.rows()).collect();
        let known = self.data.source.schema().names();
        let columns: Vec<&str> =
            self.model.schema().names().into_iter().filter(|n| known.contains(n)).collect();
        let mut parts = Vec::new();
        for block in rows.chunks(BLOCK) {
            stop.check()?;
            parts.push(self.model.predict(&self.data.source.read(block, &columns)?)?);
        }
        if parts.is_empty() {
            return Err(Error::data("the data have no rows"));
        }
        Predictions::concat(&parts)
    }
}

/// Writes predictions as csv or parquet: `id`, for classes `predicted` and a column of probabilities each, else
/// `value`. Rows about which the model can say nothing have empty cells.
///
/// # Errors
/// [`Error::Argument`] for another ending, [`Error::Write`] if the file cannot be written.
pub fn write(predictions: &Predictions, out: &Path) -> Result<()> {
    let mut columns = vec![("id".to_owned(), Written::Ids(predictions.ids().to_vec()))];
    match predictions.output() {
        Output::Probabilities { classes, p } => {
            let predicted = p
                .rows()
                .into_iter()
                .enumerate()
                .map(|(r, row)| {
                    let best = argmax(&row.to_vec()).filter(|_| !predictions.absent().is_set(r));
                    best.map_or_else(String::new, |k| classes.names()[k].clone())
                })
                .collect();
            columns.push(("predicted".to_owned(), Written::Texts(predicted)));
            for (name, column) in classes.names().iter().zip(p.columns()) {
                columns.push((name.clone(), Written::Numbers(column.to_vec())));
            }
        }
        Output::Values(v) => columns.push(("value".to_owned(), Written::Numbers(v.clone()))),
        _ => return Err(Error::internal("predictions of an unknown form")),
    }
    let folder = out.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    sweep_strays(folder)?;
    write_table(out, &columns)
}

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

/// Scores a model on data with truth; rows about which it says nothing are left out, and counted.
///
/// # Errors
/// [`Error::Data`] if the data have no target, [`Error::Argument`] for unknown metrics.
pub fn evaluate(opened: &Opened, wanted: &[String], stop: &Stop) -> Result<(Vec<Evaluated>, usize, usize)> {
    let truth = opened.data.target.as_ref().ok_or_else(|| {
        Error::data("the data have no target column")
            .at(opened.place.display())
            .expected(match &opened.target {
                Some(name) => format!("a column \"{name}\" with the truth"),
                None => "a column with the truth".to_owned(),
            })
            .remedy("evaluate needs the truth; csl predict does not")
    })?;
    let all = opened.predict(stop)?;
    let rows: Vec<usize> = (0..all.rows()).filter(|r| !all.absent().is_set(*r)).collect();
    let predictions = all.take(&rows);
    let truth: Target = truth.take(&rows);
    let chosen = if wanted.is_empty() {
        metrics::default_reports(opened.model.task())
    } else {
        wanted.iter().map(|n| metrics::get(n)).collect::<Result<Vec<_>>>()?
    };
    let group: Option<Vec<u64>> =
        opened.data.roles.group.as_ref().map(|(g, _)| rows.iter().map(|r| g[*r]).collect());
    let weight: Option<Vec<f32>> =
        opened.data.roles.weight.as_ref().map(|w| rows.iter().map(|r| w[*r]).collect());
    let settings = BootstrapSettings { resamples: 2000, level: 0.95, seed: Seed::new(0).child("evaluate") };
    let models = [("model", &predictions)];
    let scores =
        metrics::judge(&chosen, &truth, &models, None, group.as_deref(), weight.as_deref(), &settings)?;
    let scores = scores.first().map(|m| m.scores.as_slice()).unwrap_or_default();
    let out = scores
        .iter()
        .map(|s| Evaluated {
            metric: s.metric.to_string(),
            value: s.value,
            interval: s.low.zip(s.high).map(|(low, high)| Interval { value: s.value, low, high }),
        })
        .collect();
    Ok((out, rows.len(), all.rows() - rows.len()))
}
