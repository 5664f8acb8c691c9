//! A first recipe for data that nobody has described yet.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use consilience_core::data::{ColumnSpec, DataSpec, Role, TaskKind, open};
use consilience_core::model::Task;
use consilience_core::{Error, Result};

use crate::catalog;
use crate::recipe::{Facts, init};

/// From this many distinct values on, a target of numbers is taken for a value and not for classes.
const MANY_VALUES: usize = 20;

/// Writes a recipe for a csv or parquet file, or a folder with one folder a class. `home` is the folder where the recipe
/// will stand: its root is written as seen from there.
///
/// # Errors
/// [`Error::Argument`] if the target is not said or not there, [`Error::Data`] for data that cannot be read.
pub fn recipe_for(data: &Path, target: Option<&str>, home: &Path) -> Result<String> {
    let name = data
        .file_name()
        .and_then(|n| n.to_str())
        .ok_or_else(|| Error::argument("the name of the data cannot be used").got(data.display()))?;
    if !data.exists() {
        return Err(Error::argument("there are no such data")
            .at(data.display())
            .remedy("give a csv or parquet file, or a folder with one folder a class"));
    }
    let parent = data.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let folder = data.is_dir();
    let mut spec = DataSpec { root: Some(seen_from(home, parent)?), ..DataSpec::default() };
    if folder {
        spec.folder = Some(name.to_owned());
    } else {
        spec.table = Some(name.to_owned());
    }
    let mut roles = BTreeMap::new();
    if let Some(target) = target {
        spec.columns
            .insert(target.to_owned(), ColumnSpec { role: Some(Role::Target), ..ColumnSpec::default() });
        roles.insert(target.to_owned(), Role::Target);
    } else if !folder {
        let open = open(&spec, parent, None, None)?;
        let columns: Vec<String> = open.roles.cells.keys().cloned().collect();
        return Err(Error::argument("which column is to be predicted?")
            .expected(format!("--target and one of {}", columns.join(", "))));
    }
    let kind = match target {
        Some(target) => {
            let opened = open(&spec, parent, None, None)?;
            kind_of(opened.roles.cells.get(target).map(|c| c.as_slice()).unwrap_or_default())
        }
        None => TaskKind::Classify,
    };
    let opened = open(&spec, parent, Some(kind), None)?;
    let task = opened.target.as_ref().map_or(Task::Regress, consilience_core::model::Target::task);
    let stem = Path::new(name).file_stem().and_then(|s| s.to_str()).unwrap_or("first");
    let facts = Facts {
        name: stem,
        data: &spec,
        schema: opened.source.schema(),
        task: &task,
        rows: opened.source.rows(),
        target,
        roles: &roles,
        notes: &opened.notes,
    };
    Ok(init(&facts, &catalog::methods()))
}

/// The path of one folder as seen from another, which need not be there yet.
fn seen_from(home: &Path, folder: &Path) -> Result<String> {
    let whole = |path: &Path| std::path::absolute(path).map_err(|e| Error::read(path, e));
    let real = |path: &Path| path.canonicalize().or_else(|_| whole(path));
    let (home, folder) = (real(home)?, real(folder)?);
    let shared = home.components().zip(folder.components()).take_while(|(a, b)| a == b).count();
    let up = home.components().skip(shared).map(|_| Component::ParentDir);
    let path: PathBuf = up.chain(folder.components().skip(shared)).collect();
    Ok(if path.as_os_str().is_empty() { ".".to_owned() } else { path.display().to_string() })
}

/// Many different numbers are values; texts and few numbers are classes.
fn kind_of(cells: &[String]) -> TaskKind {
    let mut distinct: Vec<&str> = cells.iter().map(String::as_str).collect();
    distinct.sort_unstable();
    distinct.dedup();
    let numbers = distinct.iter().all(|c| c.is_empty() || c.parse::<f64>().is_ok_and(f64::is_finite));
    let whole = distinct.iter().all(|c| c.parse::<f64>().is_ok_and(|v| v.fract() == 0.0));
    if numbers && (distinct.len() > MANY_VALUES || !whole) { TaskKind::Regress } else { TaskKind::Classify }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_seen_from_where_the_recipe_stands() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        std::fs::create_dir(&data).unwrap();
        assert_eq!(seen_from(dir.path(), &data).unwrap(), "data");
        assert_eq!(seen_from(&data, &data).unwrap(), ".");
        assert_eq!(seen_from(&data, dir.path()).unwrap(), "..");
        std::fs::create_dir(dir.path().join("recipes")).unwrap();
        assert_eq!(seen_from(&dir.path().join("recipes"), &data).unwrap(), "../data");
    }

    #[test]
    fn few_whole_numbers_and_texts_are_classes() {
        let cells = |v: &[&str]| v.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        assert_eq!(kind_of(&cells(&["0", "1", "1"])), TaskKind::Classify);
        assert_eq!(kind_of(&cells(&["a", "b"])), TaskKind::Classify);
        assert_eq!(kind_of(&cells(&["0.5", "1"])), TaskKind::Regress);
        let many: Vec<String> = (0..30).map(|i| i.to_string()).collect();
        assert_eq!(kind_of(&many), TaskKind::Regress);
    }
}
