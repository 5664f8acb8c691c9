//! Using a model directory: predictions for new rows.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use consilience_core::array::argmax;
use consilience_core::calibrate::conformal::{Held, Sets};
use consilience_core::data::{DataSpec, Dataset, Role, Written, open_for, write_table};
use consilience_core::files::sweep_strays;
use consilience_core::model::{Field, Kind, Model, ModelDir, Output, Predictions, Schema, Stop};
use consilience_core::{Error, Result};
use serde_json::Value;

use crate::catalog;
use crate::ids::id_texts;
use crate::regioned::Attached;
use crate::run::{Learned, digested};

/// Rows are read and predicted in blocks of this many.
const BLOCK: usize = 2048;

/// A model directory that was opened, with the data it is to be used on.
pub struct Opened {
    pub(crate) model: Box<dyn Model>,
    /// The regions beside it, where it has some.
    regions: Option<Attached>,
    /// Where the model comes from.
    pub(crate) directory: PathBuf,
    pub(crate) data: Dataset,
    /// Where the data come from.
    pub(crate) place: PathBuf,
    /// The column that held the truth when the model was fitted.
    pub(crate) target: Option<String>,
    /// The text of every row's id, where ids are no whole numbers.
    ids: Option<Arc<Vec<String>>>,
    /// The rows from which the model has learned.
    pub(crate) learned: Learned,
    /// Why these may not be all, or are not known at all; nothing if they are all.
    pub(crate) unknown: Option<String>,
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
    let directory = model.to_path_buf();
    let regions = Attached::of(&dir.parts)?;
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
    let task = truth.then_some(model.task());
    let open_as = |schema: &Schema| open_for(schema, &spec, &table, &folder, task);
    let (data, (learned, unknown)) = if truth {
        open_known(model.as_ref(), &dir.record.provenance, &open_as)?
    } else {
        (open_as(model.schema())?, (Learned::unknown(), None))
    };
    let target =
        spec.columns.iter().find(|(_, c)| c.role == Some(Role::Target)).map(|(name, _)| name.clone());
    let ids = id_texts(&data, &spec);
    Ok(Opened { model, regions, directory, data, place: table, target, ids, learned, unknown })
}

/// Opens data with all columns of which the digests in a provenance were made, so that rows can be found again; and the
/// rows from which the model has learned, with the reason why they are not known, or not all.
fn open_known(
    model: &dyn Model,
    provenance: &Value,
    open_as: &dyn Fn(&Schema) -> Result<Dataset>,
) -> Result<(Dataset, (Learned, Option<String>))> {
    let columns = provenance.pointer("/digested/columns").cloned();
    let columns: Option<Vec<(String, Kind)>> = columns.and_then(|c| serde_json::from_value(c).ok());
    let Some(columns) = columns.filter(|_| provenance.get("fitting_row_digests").is_some()) else {
        let why = "its provenance holds no digests of rows".to_owned();
        return Ok((open_as(model.schema())?, (Learned::unknown(), Some(why))));
    };
    let mut wide = model.schema().clone();
    for (name, kind) in &columns {
        if !wide.fields.iter().any(|f| f.name == *name) {
            wide.fields.push(Field::new(name, *kind));
        }
    }
    let data = match open_as(&wide) {
        Ok(data) => data,
        // Columns that the model does not need: it can be scored without them.
        Err(error) => {
            let data = open_as(model.schema())?;
            let why = format!("rows are told by all columns that its data had, and here {error}");
            return Ok((data, (Learned::unknown(), Some(why))));
        }
    };
    let learned = Learned::read(provenance, &digested(&data, model.task()));
    let rows = data.source.rows();
    let gone = columns.iter().find(|(name, _)| data.source.unavailable(name) == Some(rows));
    let why = match gone {
        _ if learned.digests.is_empty() => Some("the digests in its provenance cannot be read".to_owned()),
        Some((name, _)) => Some(format!(
            "rows are told by all columns that its data had, and here none has the column \"{name}\""
        )),
        None if !learned.complete => {
            Some("its provenance does not name all rows that it, or a member of it, was fitted on".to_owned())
        }
        None => None,
    };
    Ok((data, (learned, why)))
}

impl Opened {
    /// Predicts every row.
    ///
    /// # Errors
    /// [`Error::Data`] for rows that cannot be read, [`Error::Interrupted`] when stopped.
    pub fn predict(&self, stop: &Stop) -> Result<Predictions> {
        self.predict_rows(&(0..self.data.source.rows()).collect::<Vec<_>>(), stop)
    }

    /// Predicts some rows.
    ///
    /// # Errors
    /// As [`Opened::predict`].
    pub(crate) fn predict_rows(&self, rows: &[usize], stop: &Stop) -> Result<Predictions> {
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

    /// Writes predictions of every row as csv or parquet: `id` as the data write it (the row's position where they have
    /// none), for classes `predicted` and a column of probabilities each, else `value`. Rows about which the model can
    /// say nothing have empty cells.
    ///
    /// # Errors
    /// [`Error::Argument`] for another ending, [`Error::Write`] if the file cannot be written.
    pub fn write(&self, predictions: &Predictions, out: &Path) -> Result<()> {
        let same = |a: &Path, b: &Path| {
            a.canonicalize().ok().zip(b.canonicalize().ok()).is_some_and(|(a, b)| a == b)
        };
        if same(out, &self.place) {
            return Err(Error::argument("the predictions would replace the data they are made from")
                .at(out.display())
                .remedy("name another file with --out"));
        }
        let ids = match &self.ids {
            Some(texts) => Written::Texts(texts.to_vec()),
            None => Written::Ids(predictions.ids().to_vec()),
        };
        let cells = self.regions.as_ref().and_then(|a| a.stratum.as_ref());
        let cells = cells.and_then(|s| self.data.roles.cells.get(&s.column)).map(|c| c.as_slice());
        let sets = self.regions.as_ref().map(|a| a.apply(predictions, cells)).transpose()?;
        write(ids, predictions, sets.as_ref(), out)
    }
}

/// The regions of rows as columns: the classes of each set with a bar between them, or the ends of each interval.
fn region_columns(sets: &Sets) -> Vec<(String, Written)> {
    match sets.held() {
        Held::Classes { classes, holds } => {
            let named = |r: usize| -> String {
                let names = classes.names().iter().enumerate();
                names.filter(|(k, _)| holds[[r, *k]]).map(|(_, n)| n.as_str()).collect::<Vec<_>>().join("|")
            };
            let texts =
                (0..sets.rows()).map(|r| if sets.absent().is_set(r) { String::new() } else { named(r) });
            vec![("set".to_owned(), Written::Texts(texts.collect()))]
        }
        Held::Intervals { lower, upper } => {
            let ends = |all: &[f64]| {
                let end = |(r, v): (usize, &f64)| if sets.absent().is_set(r) { f32::NAN } else { *v as f32 };
                Written::Numbers(all.iter().enumerate().map(end).collect())
            };
            vec![("lower".to_owned(), ends(lower)), ("upper".to_owned(), ends(upper))]
        }
    }
}

fn write(ids: Written, predictions: &Predictions, sets: Option<&Sets>, out: &Path) -> Result<()> {
    let mut columns = vec![("id".to_owned(), ids)];
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
    columns.extend(sets.map(region_columns).unwrap_or_default());
    let folder = out.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    sweep_strays(folder)?;
    write_table(out, &columns)
}
