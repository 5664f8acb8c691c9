//! A first recipe for data that nobody has described yet.

mod columns;
mod tables;

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use consilience_core::data::{ColumnSpec, DataSpec, Dataset, Role, TaskKind, open};
use consilience_core::model::{Column, Kind, Target, Task};
use consilience_core::{Error, Result};

use crate::catalog;
use crate::recipe::{Facts, Sounds, init};
use columns::Guessed;

pub use tables::{Tables, TablesRecipe, recipe_of_tables};

/// From this many distinct values on, a target of numbers is taken for a value and not for classes.
const MANY_VALUES: usize = 20;
/// So many sounds are looked at for their rate and length, evenly over the rows.
const SOUNDS: usize = 200;

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
    if let Some(target) = target {
        let column = ColumnSpec { role: Some(Role::Target), ..ColumnSpec::default() };
        spec.columns.insert(target.to_owned(), column);
    }
    let (opened, guessed) = match target {
        Some(target) => table(&mut spec, parent, target)?,
        None if folder => (open(&spec, parent, Some(TaskKind::Classify), None)?, Guessed::default()),
        None => {
            let open = open(&spec, parent, None, None)?;
            let columns: Vec<String> = open.roles.cells.keys().cloned().collect();
            return Err(Error::argument("which column is to be predicted?")
                .expected(format!("--target and one of {}", columns.join(", "))));
        }
    };
    if opened.source.schema().fields.is_empty() {
        return Err(Error::data("the data have no input columns")
            .at(data.display())
            .remedy("`csl fuse` composes tables of predictions"));
    }
    let task = opened.target.as_ref().map_or(Task::Regress, Target::task);
    let stem = Path::new(name).file_stem().and_then(|s| s.to_str()).unwrap_or("first");
    let roles: BTreeMap<String, Role> =
        spec.columns.iter().filter_map(|(n, c)| c.role.map(|r| (n.clone(), r))).collect();
    let facts = Facts {
        name: stem,
        data: &spec,
        schema: opened.source.schema(),
        task: &task,
        rows: opened.source.rows(),
        smallest_class: smallest_class(&opened),
        target,
        roles: &roles,
        reasons: &guessed.reasons,
        sounds: &sounds(&opened)?,
        notes: &opened.notes,
    };
    Ok(init(&facts, &catalog::methods()))
}

/// Opens a table with what is guessed of its columns, which goes into `spec`.
fn table(spec: &mut DataSpec, root: &Path, target: &str) -> Result<(Dataset, Guessed)> {
    let cells = open(spec, root, None, None)?.roles.cells;
    let truth = cells.get(target).map(|c| c.as_slice()).unwrap_or_default();
    let kind = kind_of(truth);
    let classes = (kind == TaskKind::Classify).then_some(truth);
    let mut guessed = columns::guess(&cells, target, classes, root);
    let with = |guessed: &Guessed| {
        let mut spec = spec.clone();
        spec.columns.extend(guessed.columns.clone());
        spec
    };
    let mut opened = open(&with(&guessed), root, Some(kind), None);
    // Files that their endings promise and that are something else: these columns are left out, with the reason.
    if matches!(opened, Err(Error::Data(_))) {
        for name in guessed.modalities() {
            let mut alone = spec.clone();
            alone.only = true;
            alone.columns.extend(guessed.columns.get(&name).map(|c| (name.clone(), c.clone())));
            if let Err(e) = open(&alone, root, None, None) {
                guessed.give_up(&name, &e.to_string());
            }
        }
        opened = open(&with(&guessed), root, Some(kind), None);
    }
    let opened = opened?;
    *spec = with(&guessed);
    Ok((opened, guessed))
}

/// How many rows the class with the fewest has.
fn smallest_class(opened: &Dataset) -> Option<usize> {
    let (classes, codes) = opened.target.as_ref()?.codes().ok()?;
    let mut counts = vec![0usize; classes.count()];
    for code in codes {
        if let Some(count) = counts.get_mut(*code as usize) {
            *count += 1;
        }
    }
    counts.into_iter().min()
}

/// The rate and the longest sound of each column of sounds.
fn sounds(opened: &Dataset) -> Result<BTreeMap<String, Sounds>> {
    let rows = opened.source.rows();
    let some: Vec<usize> = (0..rows).step_by(rows.div_ceil(SOUNDS).max(1)).collect();
    let mut out = BTreeMap::new();
    for field in opened.source.schema().fields.iter().filter(|f| f.kind == Kind::Audio) {
        let batch = opened.source.read(&some, &[field.name.as_str()])?;
        let Column::Audio(audios) = batch.column(&field.name)? else { continue };
        let all = || (0..audios.len()).filter_map(|r| audios.get(r));
        let longest = all().map(|(_, samples)| samples.len()).max();
        if let (Some((rate, _)), Some(longest)) = (all().next(), longest) {
            out.insert(field.name.clone(), Sounds { rate, longest });
        }
    }
    Ok(out)
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
