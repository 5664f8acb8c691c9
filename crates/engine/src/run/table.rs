//! Tables of predictions made elsewhere: csv or parquet with ids and folds, or npy in the order of the data.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use consilience_core::array::Matrix;
use consilience_core::data::{DataSpec, Role, open, read_npy};
use consilience_core::model::{Mask, Predictions};
use consilience_core::registry::nearest;
use consilience_core::{Error, Result};

use super::session::Session;

/// What was read.
pub(crate) struct Table {
    pub predictions: Predictions,
    pub folds: Option<Vec<u32>>,
}

/// Reads a table. `columns` says which column holds which class, where the class names are not the columns' names; a
/// regression reads the column `value`. Rows whose cells are all empty are absent.
pub(crate) fn read(
    session: &Session<'_>,
    path: &Path,
    id: Option<&str>,
    fold: Option<&str>,
    columns: &BTreeMap<String, String>,
) -> Result<Table> {
    if path.extension().is_some_and(|e| e == "npy") {
        return from_npy(session, path, fold);
    }
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    let parent = path.parent().unwrap_or_else(|| Path::new("."));
    let spec = DataSpec { table: Some(name.to_owned()), ..DataSpec::default() };
    let opened = open(&spec, parent, None, None)?;
    let cells = &opened.roles.cells;
    let column = |wanted: &str| -> Result<&Arc<Vec<String>>> {
        cells.get(wanted).ok_or_else(|| {
            let known: Vec<&str> = cells.keys().map(String::as_str).collect();
            let error = Error::model(format!("the predictions have no column \"{wanted}\""))
                .at(path.display())
                .expected(format!("one of {}", known.join(", ")));
            match nearest(wanted, known) {
                Some(near) => error.remedy(format!("did you mean \"{near}\"?")),
                None => error,
            }
        })
    };
    let id = id.unwrap_or("id");
    let ids = match by_name(session) {
        Some(known) => {
            let names = column(id)?.iter().map(|c| known.get(c.trim()).copied());
            // Other rows than the data's are passed over.
            names.collect::<Vec<Option<u64>>>()
        }
        None => numbers::<u64>(column(id)?, path, id)?.into_iter().map(Some).collect(),
    };
    unique(&ids, path)?;
    let here: Vec<usize> = (0..ids.len()).filter(|r| ids.get(*r).is_some_and(Option::is_some)).collect();
    let ids: Vec<u64> = ids.into_iter().map(|id| id.unwrap_or(0)).collect();
    let folds = fold.map(|f| numbers::<u32>(column(f)?, path, f)).transpose()?;
    let outputs: Vec<String> = match session.task.classes() {
        Some(classes) => {
            if let Some(extra) = columns.keys().find(|k| classes.position(k).is_none()) {
                return Err(Error::model(format!(
                    "the predictions name a class \"{extra}\" that the target has not"
                ))
                .at(path.display())
                .expected(classes.names().join(", ")));
            }
            classes.names().iter().map(|n| columns.get(n).cloned().unwrap_or_else(|| n.clone())).collect()
        }
        None => vec![columns.get("value").cloned().unwrap_or_else(|| "value".to_owned())],
    };
    let mut m = Matrix::zeros((ids.len(), outputs.len()));
    let mut empty = vec![0usize; ids.len()];
    for (k, output) in outputs.iter().enumerate() {
        for (r, cell) in column(output)?.iter().enumerate() {
            if cell.trim().is_empty() {
                empty[r] += 1;
                continue;
            }
            m[[r, k]] = cell.trim().parse().map_err(|_| {
                Error::model("a prediction is not a number")
                    .at(format!("{}, row {}, column \"{output}\"", path.display(), r + 1))
                    .got(format!("\"{cell}\""))
            })?;
        }
    }
    if let Some(r) = empty.iter().position(|e| *e > 0 && *e < outputs.len()) {
        return Err(Error::model("a row has only some of its predictions")
            .at(format!("{}, row {}", path.display(), r + 1))
            .expected("all of them, or none for a row without a prediction"));
    }
    let absent: Mask = empty.iter().map(|e| *e > 0).collect();
    let predictions =
        Predictions::for_task(ids, &session.task, m, absent).map_err(|e| e.at(path.display()))?;
    let folds = folds.map(|f| here.iter().filter_map(|r| f.get(*r)).copied().collect());
    Ok(Table { predictions: predictions.take(&here), folds })
}

/// The ids of the data's rows by their text, where the data have a column of ids that are no numbers.
fn by_name(session: &Session<'_>) -> Option<BTreeMap<String, u64>> {
    let columns = &session.recipe.data.columns;
    let (name, _) = columns.iter().find(|(_, c)| c.role == Some(Role::Id))?;
    let cells = session.data.roles.cells.get(name)?;
    let plain = cells.iter().all(|c| c.parse::<u64>().is_ok_and(|n| n.to_string() == **c));
    let pairs = || cells.iter().map(|c| c.trim().to_owned()).zip(session.data.source.ids().iter().copied());
    (!plain).then(|| pairs().collect())
}

/// `[rows, classes]`, or `[rows]`, in the order of the data's rows.
fn from_npy(session: &Session<'_>, path: &Path, fold: Option<&str>) -> Result<Table> {
    let array = read_npy(path)?;
    let ids = session.data.source.ids().to_vec();
    let width = session.task.width();
    let fits = match array.shape.as_slice() {
        [r, c] => *r == ids.len() && *c == width,
        [r] => *r == ids.len() && width == 1,
        _ => false,
    };
    if !fits {
        return Err(Error::model("the array of predictions has another shape")
            .at(path.display())
            .expected(format!("[{}, {width}]: every row of the data, in order", ids.len()))
            .got(format!("{:?}", array.shape)));
    }
    let values: Vec<f32> = array.to_f64().into_iter().map(|v| v as f32).collect();
    let absent: Mask = values.chunks(width).map(|row| row.iter().all(|v| v.is_nan())).collect();
    let m = Matrix::from_shape_vec((ids.len(), width), values).map_err(|e| Error::internal(e.to_string()))?;
    let predictions =
        Predictions::for_task(ids, &session.task, m, absent).map_err(|e| e.at(path.display()))?;
    let folds = match fold {
        None => None,
        Some(column) => {
            let cells = session.data.roles.cells.get(column).ok_or_else(|| {
                Error::model(format!("the data have no column \"{column}\" of folds")).at(path.display())
            })?;
            Some(numbers::<u32>(cells, path, column)?)
        }
    };
    Ok(Table { predictions, folds })
}

fn numbers<T: std::str::FromStr>(cells: &[String], path: &Path, column: &str) -> Result<Vec<T>> {
    cells
        .iter()
        .enumerate()
        .map(|(r, cell)| {
            cell.trim().parse().map_err(|_| {
                Error::model(format!("the column \"{column}\" does not hold whole numbers"))
                    .at(format!("{}, row {}", path.display(), r + 1))
                    .got(format!("\"{cell}\""))
            })
        })
        .collect()
}

fn unique(ids: &[Option<u64>], path: &Path) -> Result<()> {
    let mut seen = BTreeMap::new();
    for (r, id) in ids.iter().enumerate() {
        let Some(id) = id else { continue };
        if let Some(first) = seen.insert(*id, r) {
            return Err(Error::model(format!("the row id {id} stands twice"))
                .at(format!("{}, rows {} and {}", path.display(), first + 1, r + 1))
                .expected("one prediction a row"));
        }
    }
    Ok(())
}
