//! Tables of predictions made elsewhere: csv or parquet with ids and folds, or npy in the order of the data.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use consilience_core::array::Matrix;
use consilience_core::data::{DataSpec, Role, npy_shape, open, read_npy, read_npy_entry};
use consilience_core::model::{Mask, Predictions};
use consilience_core::registry::nearest;
use consilience_core::{Error, Result};

use super::session::Session;

/// What was read.
pub(crate) struct Table {
    pub predictions: Predictions,
    pub folds: Option<Vec<u32>>,
}

/// What a recipe says of a table.
pub(crate) struct Form<'a> {
    /// The column of row ids.
    pub id: Option<&'a str>,
    /// The column of folds.
    pub fold: Option<&'a str>,
    /// The column of the class that is named.
    pub label: Option<&'a str>,
    /// Class name to column name, where they differ.
    pub columns: &'a BTreeMap<String, String>,
    /// Of an array of several members: which.
    pub member: Option<usize>,
}

/// Reads a table. Columns are called as the classes unless the form says otherwise; of two classes one is enough. A regression reads the
/// column `value`. Rows whose cells are all empty are absent.
pub(crate) fn read(session: &Session<'_>, path: &Path, form: &Form<'_>) -> Result<Table> {
    let Form { id, fold, label, columns, member } = *form;
    if path.extension().is_some_and(|e| e == "npy") {
        return from_npy(session, path, fold, member);
    }
    if member.is_some() {
        return Err(Error::argument("member: picks one of an array of several members")
            .at(path.display())
            .expected("an npy file of the shape [members, rows, classes]"));
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
    if let Some(label) = label {
        let (m, absent) = named(session, path, label, column(label)?)?;
        let predictions =
            Predictions::for_task(ids, &session.task, m, absent).map_err(|e| e.at(path.display()))?;
        let folds = folds.map(|f| here.iter().filter_map(|r| f.get(*r)).copied().collect());
        return Ok(Table { predictions: predictions.take(&here), folds });
    }
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
    // Of two classes one tells the other, where nothing else stands in the table that could be meant.
    let said = [Some(id), fold];
    let left = cells.keys().filter(|c| !said.contains(&Some(c.as_str())) && !outputs.contains(c)).count();
    let named = |k: usize| session.task.classes().is_some_and(|c| columns.contains_key(&c.names()[k]));
    let known: Vec<bool> = outputs.iter().map(|o| cells.contains_key(o)).collect();
    let only = match known.as_slice() {
        [true, false] if left == 0 && !named(1) => Some(0),
        [false, true] if left == 0 && !named(0) => Some(1),
        _ => None,
    };
    let mut m = Matrix::zeros((ids.len(), outputs.len()));
    let mut empty = vec![0usize; ids.len()];
    for (k, output) in outputs.iter().enumerate() {
        if only.is_some_and(|o| o != k) {
            continue;
        }
        for (r, cell) in column(output)?.iter().enumerate() {
            if is_missing(cell) {
                empty[r] += 1;
                continue;
            }
            let number: f32 = cell.trim().parse().map_err(|_| {
                Error::model("a prediction is not a number")
                    .at(format!("{}, row {}, column \"{output}\"", path.display(), r + 1))
                    .got(format!("\"{cell}\""))
            })?;
            m[[r, k]] = number;
            if only.is_some() {
                m[[r, 1 - k]] = 1.0 - number;
            }
        }
    }
    let all = if only.is_some() { 1 } else { outputs.len() };
    if let Some(r) = empty.iter().position(|e| *e > 0 && *e < all) {
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

/// The classes that stand in a column, each as a probability of one; an empty cell says nothing.
fn named(session: &Session<'_>, path: &Path, column: &str, cells: &[String]) -> Result<(Matrix, Mask)> {
    let Some(classes) = session.task.classes() else {
        return Err(
            Error::argument("label: names a column of classes, and the task has none").at(path.display())
        );
    };
    let mut m = Matrix::zeros((cells.len(), classes.count()));
    let mut absent = Mask::none(cells.len());
    for (r, cell) in cells.iter().enumerate() {
        match classes.position(cell.trim()) {
            Some(k) => m[[r, k]] = 1.0,
            None if is_missing(cell) => absent.set(r, true),
            None => {
                let error = Error::model("a class that the target has not")
                    .at(format!("{}, row {}, column \"{column}\"", path.display(), r + 1))
                    .expected(classes.names().join(", "))
                    .got(format!("\"{cell}\""));
                return Err(match nearest(cell, classes.names().iter().map(String::as_str)) {
                    Some(near) => error.remedy(format!("is it \"{near}\"? an empty cell says nothing")),
                    None => error.remedy("an empty cell says nothing"),
                });
            }
        }
    }
    Ok((m, absent))
}

/// Whether a cell holds no prediction: nothing, or not a number.
fn is_missing(cell: &str) -> bool {
    let cell = cell.trim();
    cell.is_empty() || cell.eq_ignore_ascii_case("nan") || cell == "NA"
}

/// `[rows, classes]`, `[rows]` (values, or the probability of the second of two classes), or `[members, rows, classes]` of which `member` is
/// taken, in the order of the data's rows.
fn from_npy(session: &Session<'_>, path: &Path, fold: Option<&str>, member: Option<usize>) -> Result<Table> {
    let array = match member {
        Some(member) => read_npy_entry(path, member)?,
        None => read_npy(path)?,
    };
    let ids = session.data.source.ids().to_vec();
    let (rows, width) = (ids.len(), session.task.width());
    let single = match array.shape.as_slice() {
        [r, c] if *r == rows && *c == width => false,
        [r] if *r == rows && width <= 2 => width == 2,
        shape => {
            let lead = if member.is_some() { "members, " } else { "" };
            let error = Error::model("the array of predictions has another shape")
                .at(path.display())
                .expected(format!("[{lead}{rows}, {width}]: every row of the data, in order"))
                .got(format!("{:?}", npy_shape(path)?));
            let several = member.is_none() && matches!(shape, [_, r, c] if *r == rows && *c == width);
            return Err(if several {
                error.remedy("it holds several members: say which with member: 0")
            } else {
                error
            });
        }
    };
    let own = array.to_f64();
    let values: Vec<f32> = match single {
        true => own.iter().flat_map(|v| [(1.0 - v) as f32, *v as f32]).collect(),
        false => own.iter().map(|v| *v as f32).collect(),
    };
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
