//! From the sources that a recipe names to one table, arrays beside it, and what they imply.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use super::read::{NdArray, is_parquet, npz_names, read_csv, read_npz_named, read_parquet};
use super::spec::{BesideSpec, DataSpec, Header, Role, SourceSpec};
use super::table::{Cells, Places, Table, Texts};
use crate::error::{Error, Result};
use crate::files::{Hasher, confine, sha256_file};
use crate::model::Mask;

/// Rows of arrays: for each row of the data the array and the row in it, or nothing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stack {
    /// The arrays.
    pub(crate) parts: Vec<Arc<NdArray>>,
    /// What they are called in messages.
    pub(crate) names: Vec<String>,
    /// For each row of the data the part and the row in it.
    pub(crate) at: Vec<Option<(u32, u32)>>,
}

/// Everything that was read before columns are told apart.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    /// Columns of cells: tables, one-dimensional arrays, constants.
    pub(crate) table: Table,
    /// Columns of arrays.
    pub(crate) arrays: BTreeMap<String, Stack>,
    /// Columns that are no inputs unless the recipe names them.
    pub(crate) constant: BTreeSet<String>,
    /// The columns that have a role unless another column is declared to have it.
    pub(crate) implied: BTreeMap<Role, String>,
    /// The column with the files of a folder.
    pub(crate) listing: Option<String>,
    /// Hashes of what was read.
    pub(crate) hashes: Vec<String>,
    /// What should be known.
    pub(crate) notes: Vec<String>,
}

/// Reads the table, folder or sources of `spec`. Without any of them the table has no rows yet.
///
/// With `lenient`, an array `y` that is not there is passed over (data without a target).
///
/// # Errors
/// [`Error::Argument`] if the recipe names more than one kind; the readers' errors.
pub(crate) fn gather(spec: &DataSpec, root: &Path, lenient: bool) -> Result<Gathered> {
    let kinds = [spec.table.is_some(), spec.folder.is_some(), !spec.sources.is_empty()];
    if kinds.iter().filter(|k| **k).count() > 1 {
        return Err(Error::argument("data: names more than one of table, folder and sources")
            .remedy("name one; several files go under sources"));
    }
    let single;
    let sources: &[SourceSpec] = if spec.table.is_some() || spec.folder.is_some() {
        single =
            [SourceSpec { table: spec.table.clone(), folder: spec.folder.clone(), ..SourceSpec::default() }];
        &single
    } else {
        &spec.sources
    };
    let mut all = Gathered::default();
    for (i, source) in sources.iter().enumerate() {
        let one = read_source(spec, source, root, lenient).map_err(|e| {
            if sources.len() > 1 && matches!(e, Error::Argument(_)) {
                e.at(format!("sources[{i}]"))
            } else {
                e
            }
        })?;
        if i == 0 { all = one } else { put_under(&mut all, one)? }
    }
    for beside in &spec.beside {
        put_beside(&mut all, spec, beside, root)?;
    }
    Ok(all)
}

/// Reads a table of either format, known by its first bytes.
fn read_table(root: &Path, file: &str, delimiter: Option<char>, header: Header) -> Result<(Table, String)> {
    let path = confine(root, file)?;
    if is_parquet(&path) { read_parquet(&path, file) } else { read_csv(&path, file, delimiter, header) }
}

fn read_source(spec: &DataSpec, source: &SourceSpec, root: &Path, lenient: bool) -> Result<Gathered> {
    let mut one = match (&source.table, &source.npz, &source.folder) {
        (Some(file), None, None) => {
            let (table, hash) = read_table(root, file, spec.delimiter, spec.header)?;
            Gathered { table, hashes: vec![hash], ..Gathered::default() }
        }
        (None, Some(file), None) => read_arrays(source, root, file, lenient)?,
        (None, None, Some(folder)) => read_folder(root, folder)?,
        _ => return Err(Error::argument("a source needs exactly one of table, npz and folder")),
    };
    let has_arrays = source.x.is_some() || source.y.is_some() || !source.arrays.is_empty();
    if source.npz.is_none() && has_arrays {
        return Err(
            Error::argument("x, y and arrays go with npz").remedy("use columns for the other formats")
        );
    }
    for (name, value) in &source.set {
        let cells = Cells::constant(value, one.table.rows);
        one.table.push(name, cells)?;
        one.constant.insert(name.clone());
    }
    if source.set.contains_key("domain") {
        one.implied.insert(Role::Domain, "domain".to_owned());
    }
    Ok(one)
}

fn read_arrays(source: &SourceSpec, root: &Path, file: &str, lenient: bool) -> Result<Gathered> {
    let path = confine(root, file)?;
    let mut wanted: BTreeMap<&str, &str> =
        source.arrays.iter().map(|(c, a)| (c.as_str(), a.as_str())).collect();
    let there = if lenient { npz_names(&path, file)? } else { Vec::new() };
    for (column, array) in [("x", &source.x), ("y", &source.y)] {
        let Some(array) = array else { continue };
        if lenient && column == "y" && !there.contains(array) {
            continue;
        }
        if wanted.insert(column, array).is_some() {
            return Err(Error::argument(format!("the column {column} is named twice")).at(file));
        }
    }
    if wanted.is_empty() {
        return Err(Error::argument("an npz source needs the names of its arrays")
            .at(file)
            .expected("x: ..., y: ... or arrays: {...}"));
    }
    let names: Vec<&str> = wanted.values().copied().collect();
    let mut arrays = read_npz_named(&path, file, &names)?;
    let mut one = Gathered { hashes: vec![sha256_file(&path)?], ..Gathered::default() };
    let last = wanted.len();
    for (i, (column, name)) in wanted.iter().enumerate() {
        // An array that two columns name is copied but for the last.
        let shared = wanted.values().skip(i + 1).take(last).any(|n| n == name);
        let array = if shared { arrays.get(*name).cloned() } else { arrays.remove(*name) };
        let Some(array) = array else {
            return Err(Error::internal(format!("the array {name} was not read")));
        };
        let place = format!("{file}: {name}");
        if array.shape.is_empty() {
            return Err(Error::data("the array is a single number").at(place).expected("one entry a row"));
        }
        let rows = array.rows();
        if one.table.rows == 0 {
            one.table = Table { places: Places::rows(file, rows), rows, ..Table::default() };
        }
        if rows != one.table.rows {
            return Err(Error::data("the arrays have different numbers of rows")
                .at(place)
                .expected(one.table.rows)
                .got(rows));
        }
        if array.row_len() == 1 && (array.shape.len() == 1 || *column == "y") {
            one.table.push(column, Cells::Numbers(array.data, Mask::none(rows)))?;
        } else {
            let at = (0..rows).map(|r| u32::try_from(r).ok().map(|r| (0, r))).collect();
            one.arrays
                .insert((*column).to_owned(), Stack { parts: vec![Arc::new(array)], names: vec![place], at });
        }
    }
    if one.table.get("y").is_some() {
        one.implied.insert(Role::Target, "y".to_owned());
    }
    Ok(one)
}

fn read_folder(root: &Path, folder: &str) -> Result<Gathered> {
    let path = confine(root, folder)?;
    let (mut files, mut classes, mut names) = (Texts::default(), Texts::default(), BTreeSet::new());
    let mut hidden = 0usize;
    let mut beside = 0usize;
    let mut hash = Hasher::new();
    for (class, is_folder) in entries(&path)? {
        if class.starts_with('.') {
            hidden += 1;
            continue;
        }
        if !is_folder {
            beside += 1;
            continue;
        }
        for (file, is_folder) in entries(&path.join(&class))? {
            if file.starts_with('.') {
                hidden += 1;
                continue;
            }
            if is_folder {
                return Err(Error::data("a folder inside a class folder")
                    .at(format!("{folder}/{class}/{file}"))
                    .expected("files")
                    .remedy(
                        "for train/ and test/ with class folders in each, use sources with one folder each",
                    ));
            }
            files.push(&format!("{folder}/{class}/{file}"));
            classes.push(&class);
            hash = hash.part(&class);
            names.insert(class.clone());
        }
    }
    let rows = files.len();
    if rows == 0 {
        return Err(Error::data("the folder holds no class folders with files").at(folder));
    }
    let mut one = Gathered {
        table: Table { places: Places::rows(folder, rows), rows, ..Table::default() },
        hashes: vec![hash.finish()],
        listing: Some("file".to_owned()),
        ..Gathered::default()
    };
    one.table.push("file", Cells::Texts(files))?;
    one.table.push("class", Cells::Texts(classes))?;
    one.implied.insert(Role::Target, "class".to_owned());
    one.constant.insert("class".to_owned());
    if hidden > 0 {
        one.notes.push(format!("{folder}: {hidden} hidden files or folders were passed over"));
    }
    if beside > 0 {
        one.notes.push(format!("{folder}: {beside} files beside the class folders were passed over"));
    }
    Ok(one)
}

/// The names in a folder, in order, and whether each is a folder.
fn entries(path: &Path) -> Result<Vec<(String, bool)>> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(path).map_err(|e| Error::read(path, e))? {
        let entry = entry.map_err(|e| Error::read(path, e))?;
        let name = entry.file_name().into_string().map_err(|name| {
            Error::data("a file name is not UTF-8").at(path.join(name).display()).remedy("rename it")
        })?;
        out.push((name, entry.path().is_dir()));
    }
    out.sort();
    Ok(out)
}

fn put_under(all: &mut Gathered, one: Gathered) -> Result<()> {
    let before = all.table.rows;
    // A column that only one of two sources gives as an array would be absent in the other.
    for (name, stack) in one.arrays {
        let into = all.arrays.entry(name.clone()).or_insert_with(|| {
            all.notes.push(format!(
                "column \"{name}\" is absent in the first {before} rows, whose sources lack it"
            ));
            Stack { at: vec![None; before], ..Stack::default() }
        });
        let shift = u32::try_from(into.parts.len()).map_err(|_| Error::internal("too many sources"))?;
        into.parts.extend(stack.parts);
        into.names.extend(stack.names);
        into.at.extend(stack.at.into_iter().map(|a| a.map(|(p, r)| (p + shift, r))));
    }
    all.table.append(&one.table)?;
    for (name, stack) in &mut all.arrays {
        if stack.at.len() < all.table.rows {
            all.notes.push(format!(
                "column \"{name}\" is absent in rows {} to {}, whose source lacks it",
                stack.at.len(),
                all.table.rows - 1
            ));
            stack.at.resize(all.table.rows, None);
        }
    }
    all.constant.extend(one.constant);
    all.implied.extend(one.implied);
    all.listing = all.listing.take().or(one.listing);
    all.hashes.extend(one.hashes);
    all.notes.extend(one.notes);
    Ok(())
}

fn put_beside(all: &mut Gathered, spec: &DataSpec, beside: &BesideSpec, root: &Path) -> Result<()> {
    let (table, hash) = read_table(root, &beside.table, spec.delimiter, beside.header)?;
    if all.table.rows == 0 {
        all.table = Table { places: table.places.clone(), rows: table.rows, ..Table::default() };
    }
    if table.rows != all.table.rows {
        return Err(Error::data("the table beside has another number of rows")
            .at(&beside.table)
            .expected(all.table.rows)
            .got(table.rows));
    }
    for column in table.columns {
        all.table.push(&format!("{}{}", beside.prefix, column.name), column.cells)?;
    }
    all.hashes.push(hash);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, name: &str, text: &str) {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    #[test]
    fn sources_come_one_after_the_other_with_their_constants() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "a.csv", "x,y\n1,a\n");
        write(dir.path(), "b.csv", "y,x\nb,2\n");
        let source = |table: &str, domain: &str| SourceSpec {
            table: Some(table.to_owned()),
            set: [("domain".to_owned(), domain.to_owned())].into(),
            ..SourceSpec::default()
        };
        let spec =
            DataSpec { sources: vec![source("a.csv", "p"), source("b.csv", "q")], ..DataSpec::default() };
        let all = gather(&spec, dir.path(), false).unwrap();
        let texts = |name: &str| -> Vec<String> {
            (0..2).map(|r| all.table.column(name).unwrap().cells.text(r).into_owned()).collect()
        };
        assert_eq!(
            (texts("x"), texts("y"), texts("domain")),
            (
                vec!["1".to_owned(), "2".to_owned()],
                vec!["a".to_owned(), "b".to_owned()],
                vec!["p".to_owned(), "q".to_owned()]
            )
        );
        assert_eq!(all.table.places.of(1), "b.csv:2");
        assert_eq!(all.implied[&Role::Domain], "domain");
        write(dir.path(), "b.csv", "y,z\nb,2\n");
        assert!(gather(&spec, dir.path(), false).unwrap_err().to_string().contains("no column \"z\""));
    }

    #[test]
    fn class_folders_are_listed_in_order() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["d/b/2.txt", "d/b/1.txt", "d/a/3.txt", "d/a/.hidden", "d/LICENSE"] {
            write(dir.path(), name, "t");
        }
        let spec = DataSpec { folder: Some("d".to_owned()), ..DataSpec::default() };
        let all = gather(&spec, dir.path(), false).unwrap();
        let files: Vec<String> =
            (0..3).map(|r| all.table.column("file").unwrap().cells.text(r).into_owned()).collect();
        assert_eq!(files, ["d/a/3.txt", "d/b/1.txt", "d/b/2.txt"]);
        assert_eq!(all.notes.len(), 2);
        write(dir.path(), "d/a/deep/4.txt", "t");
        assert!(gather(&spec, dir.path(), false).unwrap_err().to_string().contains("a folder inside"));
    }

    #[test]
    fn tables_stand_beside_each_other() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "a.csv", "y\na\nb\n");
        write(dir.path(), "v.csv", "0,0\n1,2\n3,4\n");
        let beside = BesideSpec { table: "v.csv".into(), prefix: "v_".into(), header: Header::Skip };
        let mut spec = DataSpec { table: Some("a.csv".into()), beside: vec![beside], ..DataSpec::default() };
        let all = gather(&spec, dir.path(), false).unwrap();
        assert_eq!(all.table.column("v_c2").unwrap().cells.text(1), "4");
        spec.beside[0].header = Header::None;
        assert!(gather(&spec, dir.path(), false).unwrap_err().to_string().contains("another number of rows"));
        spec.folder = Some("d".into());
        assert_eq!(gather(&spec, dir.path(), false).unwrap_err().exit_code(), 2);
    }
}
