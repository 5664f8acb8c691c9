//! Columns that name idx or npy files: which file and which row of it belongs to each row of the data.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::gather::{Gathered, Stack};
use super::names::table_name;
use super::read::{NdArray, read_idx_named, read_npy_named};
use super::spec::{ColumnSpec, DataSpec, PerValue};
use super::table::{Cells, Places, Table, Texts};
use super::typing::{Missing, plain_cells};
use crate::error::{Error, Result};
use crate::files::{confine, sha256_file};
use crate::model::Kind;
use crate::registry::nearest;

/// Arrays by file, each read once.
#[derive(Default)]
struct Loaded(BTreeMap<(PathBuf, bool), Arc<NdArray>>);

impl Loaded {
    fn get(&mut self, root: &Path, file: &str, idx: bool, hashes: &mut Vec<String>) -> Result<Arc<NdArray>> {
        let path = confine(root, file)?;
        let key = (path.clone(), idx);
        if let Some(array) = self.0.get(&key) {
            return Ok(Arc::clone(array));
        }
        let array = Arc::new(if idx { read_idx_named(&path, file)? } else { read_npy_named(&path, file)? });
        if array.shape.is_empty() || u32::try_from(array.rows()).is_err() {
            return Err(Error::data("the array has no rows, or too many")
                .at(file)
                .got(format!("{:?}", array.shape)));
        }
        hashes.push(sha256_file(&path)?);
        self.0.insert(key, Arc::clone(&array));
        Ok(array)
    }
}

/// Reads the idx and npy files of `spec` into `all`: arrays of one value a row become columns of cells where they have a
/// role or are numbers or categories, the rest columns of arrays. Data without a table get their rows from them.
///
/// With `absent_allowed`, a column whose table columns are not there is left out.
///
/// # Errors
/// [`Error::Data`] with the place for an index beyond the file, an unknown value of `by`, or another number of rows.
pub(crate) fn read_stacks(
    spec: &DataSpec,
    root: &Path,
    all: &mut Gathered,
    split_column: Option<&str>,
    absent_allowed: bool,
) -> Result<()> {
    let mut loaded = Loaded::default();
    for (name, column) in &spec.columns {
        let (files, idx) = match (&column.idx, &column.npy) {
            (None, None) => continue,
            (Some(files), None) => (files, true),
            (None, Some(files)) => (files, false),
            (Some(_), Some(_)) => {
                return Err(Error::argument(format!("column \"{name}\" names both idx and npy")));
            }
        };
        let needed = [column.index.as_deref(), by_of(files, column, split_column)];
        let lacking = needed.into_iter().flatten().any(|n| table_name(spec, &all.table, n).is_err());
        if absent_allowed && lacking && all.table.rows > 0 {
            continue;
        }
        let stack =
            one_stack(spec, name, column, files, idx, root, all, split_column, &mut loaded).map_err(|e| {
                if matches!(e, Error::Argument(_)) { e.at(format!("column \"{name}\"")) } else { e }
            })?;
        let cells = column.role.is_some()
            || matches!(column.kind, Some(Kind::Number | Kind::Category))
            || (column.kind.is_none() && stack.parts.iter().all(|a| a.shape.len() == 1));
        if cells {
            all.table.push(name, cells_of(name, &stack)?)?;
        } else if all.arrays.insert(name.clone(), stack).is_some() {
            return Err(Error::data(format!("two sources give the column \"{name}\"")));
        }
    }
    Ok(())
}

fn by_of<'a>(files: &PerValue, column: &'a ColumnSpec, split_column: Option<&'a str>) -> Option<&'a str> {
    match files {
        PerValue::One(_) => None,
        PerValue::Map(_) => column.by.as_deref().or(split_column),
    }
}

#[allow(clippy::too_many_arguments, reason = "one caller; the arguments are the recipe's parts")]
fn one_stack(
    spec: &DataSpec,
    name: &str,
    column: &ColumnSpec,
    files: &PerValue,
    idx: bool,
    root: &Path,
    all: &mut Gathered,
    split_column: Option<&str>,
    loaded: &mut Loaded,
) -> Result<Stack> {
    let mut stack = Stack::default();
    // For each row the part, and how it is named in errors.
    let part_of: Vec<u32> = match files {
        PerValue::One(file) => {
            let array = loaded.get(root, file, idx, &mut all.hashes)?;
            if all.table.rows == 0 && column.index.is_none() {
                let rows = array.rows();
                all.table = Table { places: Places::rows(file, rows), rows, ..Table::default() };
            }
            stack.parts.push(array);
            stack.names.push(file.clone());
            vec![0; all.table.rows]
        }
        PerValue::Map(map) => {
            let by = by_of(files, column, split_column).ok_or_else(|| {
                Error::argument("several files need the column that chooses among them")
                    .expected("by: column")
            })?;
            let by_column = all.table.column(table_name(spec, &all.table, by)?)?;
            let mut numbers: BTreeMap<&str, u32> = BTreeMap::new();
            for (value, file) in map {
                let number =
                    u32::try_from(stack.parts.len()).map_err(|_| Error::internal("too many files"))?;
                numbers.insert(value, number);
                stack.parts.push(loaded.get(root, file, idx, &mut all.hashes)?);
                stack.names.push(file.clone());
            }
            let empty = ColumnSpec::default();
            let cells = plain_cells(by_column, Missing::of(spec.columns.get(by).unwrap_or(&empty)));
            let mut out = Vec::with_capacity(cells.len());
            for (row, cell) in cells.iter().enumerate() {
                out.push(*numbers.get(cell.as_str()).ok_or_else(|| {
                    let error =
                        Error::data(format!("no file of the column \"{name}\" is for {by} = \"{cell}\""))
                            .at(all.table.places.of(row))
                            .expected(format!(
                                "one of {}",
                                map.keys().cloned().collect::<Vec<_>>().join(", ")
                            ));
                    match nearest(cell, map.keys().map(String::as_str)) {
                        Some(near) => error.remedy(format!("did you mean \"{near}\"?")),
                        None => error.remedy("name a file for it in the recipe"),
                    }
                })?);
            }
            out
        }
    };
    stack.at = match &column.index {
        Some(index) => at_index(spec, name, index, &all.table, &stack, &part_of)?,
        None => in_table_order(name, &all.table, &stack, &part_of)?,
    };
    Ok(stack)
}

fn at_index(
    spec: &DataSpec,
    name: &str,
    index: &str,
    table: &Table,
    stack: &Stack,
    part_of: &[u32],
) -> Result<Vec<Option<(u32, u32)>>> {
    let column = table.column(table_name(spec, table, index)?)?;
    let empty = ColumnSpec::default();
    let cells = plain_cells(column, Missing::of(spec.columns.get(index).unwrap_or(&empty)));
    let mut at = Vec::with_capacity(cells.len());
    for (row, (cell, part)) in cells.iter().zip(part_of).enumerate() {
        if cell.is_empty() {
            at.push(None);
            continue;
        }
        let rows = stack.parts.get(*part as usize).map_or(0, |a| a.rows());
        let file = stack.names.get(*part as usize).map_or("", String::as_str);
        match cell.parse::<u32>().ok().filter(|i| (*i as usize) < rows) {
            Some(i) => at.push(Some((*part, i))),
            None => {
                return Err(Error::data(format!("\"{index}\" is no row of {file} (column \"{name}\")"))
                    .at(table.places.of(row))
                    .expected(format!("a whole number from 0 to {}", rows.saturating_sub(1)))
                    .got(format!("\"{cell}\""))
                    .remedy("rows are counted from 0; an empty cell is an absent modality"));
            }
        }
    }
    Ok(at)
}

/// Without an index the rows of each file are those of the table, in order, and none may be left.
fn in_table_order(
    name: &str,
    table: &Table,
    stack: &Stack,
    part_of: &[u32],
) -> Result<Vec<Option<(u32, u32)>>> {
    let mut next: Vec<u32> = vec![0; stack.parts.len()];
    let mut at = Vec::with_capacity(part_of.len());
    for part in part_of {
        if let Some(n) = next.get_mut(*part as usize) {
            at.push(Some((*part, *n)));
            *n += 1;
        }
    }
    for ((array, file), n) in stack.parts.iter().zip(&stack.names).zip(&next) {
        if array.rows() != *n as usize {
            return Err(Error::data(format!(
                "the array of the column \"{name}\" has another number of rows"
            ))
            .at(file)
            .expected(format!("{n} rows, as in {}", table.places.files()))
            .got(array.rows())
            .remedy("say which row belongs to which with index: the table's column of row numbers"));
        }
    }
    Ok(at)
}

fn cells_of(name: &str, stack: &Stack) -> Result<Cells> {
    if let Some((array, file)) = stack.parts.iter().zip(&stack.names).find(|(a, _)| a.row_len() != 1) {
        return Err(Error::data(format!("the column \"{name}\" needs one value a row"))
            .at(file)
            .got(format!("an array of {:?}", array.shape)));
    }
    let mut texts = Texts::default();
    for at in &stack.at {
        let text = at.and_then(|(p, r)| stack.parts.get(p as usize).map(|a| a.data.text(r as usize)));
        texts.push(&text.unwrap_or_default());
    }
    Ok(Cells::Texts(texts))
}
