//! From a recipe's words to data: everything is read or checked here, so that nothing is found wrong hours later.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::check::check_spec;
use super::dataset::Dataset;
use super::digest::{content, row_digests};
use super::gather::{Gathered, gather};
use super::inputs::{Inputs, Maker};
use super::names::{role_columns, table_name};
use super::notes::notes;
use super::roles::{RoleReader, Wanted};
use super::spec::{DataSpec, Role, SourceSpec, TaskKind};
use super::stacks::read_stacks;
use super::stored::Stored;
use crate::error::{Error, Result, SHOWN, shown};
use crate::model::{Schema, Task};

/// Opens data as a recipe describes them; every path is below `root`.
///
/// `task` decides how the target is read; with `None` it is left unread. `split_column` is the column of the map `split:`:
/// it is no input, and chooses among files where a column does not say `by`.
///
/// # Errors
/// [`Error::Argument`] for settings that cannot be; [`Error::Data`] with file, line and column for data that cannot be.
pub fn open(
    spec: &DataSpec,
    root: &Path,
    task: Option<TaskKind>,
    split_column: Option<&str>,
) -> Result<Dataset> {
    check_spec(spec)?;
    let mut all = gather(spec, root, false)?;
    read_stacks(spec, root, &mut all, split_column, false)?;
    if all.table.rows == 0 {
        return Err(Error::argument("data: names nothing to read")
            .expected("table, folder, sources, or columns with idx or npy files"));
    }
    if let Some(name) = split_column {
        table_name(spec, &all.table, name)?;
    }
    let roles = role_columns(spec, &all)?;
    let inputs = Maker { spec, root, all: &all }.all_inputs(&roles, split_column)?;
    if let Some(task) = task
        && !roles.contains_key(&Role::Target)
    {
        return Err(Error::argument(
            format!("no column has the role target (task: {task:?})").to_lowercase(),
        )
        .expected("columns: {name: {role: target}}"));
    }
    finish(spec, &all, &roles, inputs, task.map(Wanted::Kind), false)
}

/// The names of the columns of what a recipe's data name, before any of them is understood.
///
/// # Errors
/// As [`open`], for files that cannot be read.
pub fn table_columns(spec: &DataSpec, root: &Path) -> Result<Vec<String>> {
    check_spec(spec)?;
    let all = gather(spec, root, false)?;
    Ok(all.table.columns.iter().map(|c| c.name.clone()).collect())
}

/// Opens other data for a model: `table` (csv, parquet, npz, or a folder of class folders) stands in for the recipe's table
/// or sources, and is not confined; files that it names are below `root`.
///
/// A number or category of the model that the table lacks is an error, a modality that it lacks is absent on every row.
/// Roles are read where their columns are there. With `task` the target is read too, in the model's classes.
///
/// # Errors
/// As [`open`].
pub fn open_for(
    schema: &Schema,
    spec: &DataSpec,
    table: &Path,
    root: &Path,
    task: Option<&Task>,
) -> Result<Dataset> {
    // Links are followed first: the file may stand anywhere.
    let table = &table.canonicalize().map_err(|e| Error::read(table, e))?;
    let folder = table.parent().unwrap_or(Path::new("/"));
    let name = table.file_name().and_then(|n| n.to_str()).ok_or_else(|| {
        Error::argument("the name of the data cannot be used")
            .got(table.display())
            .expected("a file or folder")
    })?;
    let mut read = DataSpec {
        columns: spec.columns.clone(),
        delimiter: spec.delimiter,
        header: spec.header,
        corrupt: spec.corrupt,
        ..DataSpec::default()
    };
    let mut files_root = root;
    if table.is_dir() {
        read.folder = Some(name.to_owned());
        files_root = folder;
    } else if table.extension().is_some_and(|e| e == "npz") {
        let like = spec.sources.iter().find(|s| s.npz.is_some()).cloned().unwrap_or_default();
        read.sources = vec![SourceSpec { npz: Some(name.to_owned()), set: BTreeMap::new(), ..like }];
    } else {
        read.table = Some(name.to_owned());
    }
    check_spec(&read)?;
    let mut all = gather(&read, folder, true)?;
    read_stacks(&read, root, &mut all, None, true)?;
    let roles = role_columns(&read, &all)?;
    let inputs = Maker { spec: &read, root: files_root, all: &all }.model_inputs(schema)?;
    finish(&read, &all, &roles, inputs, task.map(Wanted::Of), true)
}

fn finish(
    spec: &DataSpec,
    all: &Gathered,
    roles: &BTreeMap<Role, String>,
    mut inputs: Inputs,
    wanted: Option<Wanted>,
    lenient: bool,
) -> Result<Dataset> {
    let reader = RoleReader { spec, all, roles, lenient };
    let target = match wanted {
        Some(wanted) => reader.target(wanted)?,
        None => None,
    };
    let ids = reader.ids()?;
    let others = reader.read()?;
    let (alone, digests) = row_digests(&inputs, target.as_ref(), all.table.rows);
    let mut said = all.notes.clone();
    said.append(&mut inputs.notes);
    said.extend(notes(&inputs, target.as_ref(), &alone, &digests));
    said.iter_mut().for_each(|note| *note = shown(note, SHOWN));
    let hashes: Vec<String> = all.hashes.iter().chain(&inputs.hashes).cloned().collect();
    let content = content(spec, &hashes)?;
    let schema = Schema { fields: inputs.fields };
    let source = Arc::new(Stored::new(schema, ids, inputs.held));
    Ok(Dataset { source, target, roles: others, content, digests, notes: said })
}
