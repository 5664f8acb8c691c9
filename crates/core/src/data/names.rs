//! From the names in a recipe to the columns of the table.

use std::collections::{BTreeMap, BTreeSet};

use super::gather::Gathered;
use super::spec::{DataSpec, Role};
use super::table::Table;
use crate::error::{Error, Result};

/// The table's name for what a recipe calls `name`: itself, or what its column is `from`.
///
/// # Errors
/// [`Error::Data`] with the nearest name if neither is a column of the table.
pub(crate) fn table_name<'a>(spec: &'a DataSpec, table: &'a Table, name: &'a str) -> Result<&'a str> {
    if let Some(from) = spec.columns.get(name).and_then(|c| c.from.as_deref()) {
        return table.get(from).map(|_| from).ok_or_else(|| table.unknown(from));
    }
    table.get(name).map(|_| name).ok_or_else(|| table.unknown(name))
}

/// The column of each role by its name in the recipe: as declared, or as the sources imply. Columns of role ignore are
/// not among them.
///
/// # Errors
/// [`Error::Argument`] if two columns have one role.
pub(crate) fn role_columns(spec: &DataSpec, all: &Gathered) -> Result<BTreeMap<Role, String>> {
    let mut roles: BTreeMap<Role, String> = BTreeMap::new();
    for (name, column) in &spec.columns {
        let Some(role) = column.role.filter(|r| *r != Role::Ignore) else { continue };
        if let Some(other) = roles.insert(role, name.clone()) {
            return Err(Error::argument(format!(
                "the columns \"{other}\" and \"{name}\" have the same role"
            ))
            .expected("one column a role")
            .remedy("give one of them role: ignore"));
        }
    }
    for (role, name) in &all.implied {
        let taken = spec.columns.get(name).is_some_and(|c| c.role.is_some() || c.kind.is_some());
        if !taken {
            roles.entry(*role).or_insert_with(|| name.clone());
        }
    }
    Ok(roles)
}

/// The names of the table columns that a vector column takes, a prefix written out.
///
/// # Errors
/// [`Error::Data`] for a name or prefix that fits no column.
pub(crate) fn vector_columns(spec: &DataSpec, table: &Table, names: &[String]) -> Result<Vec<String>> {
    let mut out: Vec<String> = Vec::new();
    for name in names {
        let Some(prefix) = name.strip_suffix('*') else {
            out.push(table_name(spec, table, name)?.to_owned());
            continue;
        };
        let named = |n: &str| {
            spec.columns.contains_key(n) || spec.columns.values().any(|c| c.from.as_deref() == Some(n))
        };
        let before = out.len();
        out.extend(
            table.columns.iter().map(|c| c.name.clone()).filter(|n| n.starts_with(prefix) && !named(n)),
        );
        if out.len() == before {
            return Err(table.unknown(prefix).expected(format!("columns that begin with \"{prefix}\"")));
        }
    }
    let mut seen = BTreeSet::new();
    match out.iter().find(|n| !seen.insert(n.as_str())) {
        Some(twice) => Err(Error::argument(format!("a vector takes the column \"{twice}\" twice"))),
        None => Ok(out),
    }
}

/// The table columns that other columns are made of: file names, row numbers, choosers, parts of vectors, the column of
/// the split. They are no inputs themselves unless the recipe names them.
pub(crate) fn used_columns(spec: &DataSpec, table: &Table, split_column: Option<&str>) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    let mut add = |name: &str| {
        if let Ok(name) = table_name(spec, table, name) {
            used.insert(name.to_owned());
        }
    };
    split_column.into_iter().for_each(&mut add);
    for column in spec.columns.values() {
        for name in [&column.path, &column.index, &column.by, &column.from].into_iter().flatten() {
            add(name);
        }
    }
    used.extend(vector_parts(spec, table));
    used
}

/// The table columns that are parts of vectors.
pub(crate) fn vector_parts(spec: &DataSpec, table: &Table) -> BTreeSet<String> {
    let lists = spec.columns.values().filter(|c| !c.columns.is_empty());
    lists.filter_map(|c| vector_columns(spec, table, &c.columns).ok()).flatten().collect()
}
