//! Columns that are no inputs: the target, groups, domains, weights, times, ids, and the cells that filters read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::dataset::Roles;
use super::gather::Gathered;
use super::names::{table_name, vector_parts};
use super::spec::{ColumnSpec, DataSpec, Role, TaskKind};
use super::table::{Places, TableColumn};
use super::typing::{Missing, in_order, not_a_level, numbers, plain_cells};
use crate::error::{Error, Result};
use crate::model::{Classes, Target, Task};

/// The table's columns with their roles.
pub(crate) struct RoleReader<'a> {
    pub(crate) spec: &'a DataSpec,
    pub(crate) all: &'a Gathered,
    pub(crate) roles: &'a BTreeMap<Role, String>,
    /// Roles whose columns are not there are passed over.
    pub(crate) lenient: bool,
}

/// What the target is to become.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Wanted<'a> {
    /// By what the recipe says; the classes are those declared or seen.
    Kind(TaskKind),
    /// For a model that exists: its classes.
    Of(&'a Task),
}

impl<'a> RoleReader<'a> {
    fn places(&self) -> &'a Places {
        &self.all.table.places
    }

    /// The column of a role, if there is one, with the recipe's words about it.
    fn column(&self, role: Role) -> Result<Option<(&'a TableColumn, ColumnSpec)>> {
        let Some(name) = self.roles.get(&role) else { return Ok(None) };
        match table_name(self.spec, &self.all.table, name) {
            Ok(there) => {
                let spec = self.spec.columns.get(name).cloned().unwrap_or_default();
                Ok(Some((self.all.table.column(there)?, spec)))
            }
            Err(_) if self.lenient => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// The cells of a role's column; every row must have one.
    fn complete(&self, role: Role, what: &str) -> Result<Option<(String, Vec<String>)>> {
        let Some((column, spec)) = self.column(role)? else { return Ok(None) };
        let cells = plain_cells(column, Missing::of(&spec));
        match cells.iter().position(String::is_empty) {
            Some(row) => Err(Error::data(format!("the {what} is missing"))
                .at(self.places().of(row))
                .expected(format!("a value in the column \"{}\"", column.name))
                .remedy("fill it in, or remove the row")),
            None => Ok(Some((column.name.clone(), cells))),
        }
    }

    /// All roles but the target and the ids.
    ///
    /// # Errors
    /// [`Error::Data`] with the place of a cell that is missing or no such value.
    pub(crate) fn read(&self) -> Result<Roles> {
        let mut roles = Roles { cells: self.cells(), ..Roles::default() };
        if let Some((_, cells)) = self.complete(Role::Group, "group")? {
            roles.group = Some(numbered(&cells));
        }
        roles.domain = self.complete(Role::Domain, "domain")?.map(|(_, cells)| cells);
        if let Some((name, cells)) = self.complete(Role::Time, "time")? {
            roles.time = Some(in_time(&name, &cells, self.places())?);
        }
        if let Some((column, spec)) = self.column(Role::Weight)? {
            let (values, missing) = numbers(column, Missing::of(&spec), self.places())?;
            let weights: Vec<f32> = values.iter().map(|v| *v as f32).collect();
            let bad =
                weights.iter().enumerate().find(|(r, w)| missing.is_set(*r) || **w <= 0.0 || !w.is_finite());
            if let Some((row, _)) = bad {
                return Err(Error::data("the weight is missing or not positive")
                    .at(self.places().of(row))
                    .expected("a positive number")
                    .got(format!("\"{}\"", column.cells.text(row)))
                    .remedy("leave rows without weight out with a row filter"));
            }
            roles.weight = Some(weights);
        }
        Ok(roles)
    }

    /// The text of every table column under the recipe's names for it, but parts of vectors.
    fn cells(&self) -> BTreeMap<String, Arc<Vec<String>>> {
        let parts = vector_parts(self.spec, &self.all.table);
        let mut out = BTreeMap::new();
        for column in &self.all.table.columns {
            let mut names: BTreeSet<&str> = self
                .spec
                .columns
                .iter()
                .filter(|(_, c)| c.from.as_deref() == Some(column.name.as_str()))
                .map(|(n, _)| n.as_str())
                .collect();
            let own = self.spec.columns.get(&column.name);
            if own.is_some_and(|c| c.from.is_none()) || (own.is_none() && !parts.contains(&column.name)) {
                names.insert(&column.name);
            }
            for name in names {
                let spec = self.spec.columns.get(name).cloned().unwrap_or_default();
                out.insert(name.to_owned(), Arc::new(plain_cells(column, Missing::of(&spec))));
            }
        }
        out
    }

    /// The ids: numbers as they stand, other names by their SHA-256; row positions without a column of role id.
    ///
    /// # Errors
    /// [`Error::Data`] naming both rows if an id stands twice, or the row where it is missing.
    pub(crate) fn ids(&self) -> Result<Vec<u64>> {
        let rows = self.all.table.rows;
        let Some((name, cells)) = self.complete(Role::Id, "id")? else {
            return Ok((0..rows as u64).collect());
        };
        let mut first: BTreeMap<&str, usize> = BTreeMap::new();
        for (row, cell) in cells.iter().enumerate() {
            if let Some(other) = first.insert(cell, row) {
                return Err(Error::data(format!("the id \"{cell}\" (column \"{name}\") stands twice"))
                    .at(format!("{} and {}", self.places().of(other), self.places().of(row)))
                    .expected("a unique id in every row")
                    .remedy("remove the copy; if rows of one thing may repeat, use role: group"));
            }
        }
        let plain: Option<Vec<u64>> =
            cells.iter().map(|c| c.parse::<u64>().ok().filter(|n| n.to_string() == **c)).collect();
        let ids = plain.unwrap_or_else(|| {
            let digest = |cell: &String| {
                let mut first = [0u8; 8];
                first.copy_from_slice(&Sha256::digest(cell.as_bytes())[..8]);
                u64::from_le_bytes(first)
            };
            cells.iter().map(digest).collect()
        });
        let unique: BTreeSet<u64> = ids.iter().copied().collect();
        if unique.len() != ids.len() {
            return Err(Error::data(format!("two ids of the column \"{name}\" have the same hash"))
                .remedy("number the rows instead"));
        }
        Ok(ids)
    }

    /// The truth, if a column has the role.
    ///
    /// # Errors
    /// [`Error::Data`] with the place for a missing or impossible cell, or if there is only one class.
    pub(crate) fn target(&self, wanted: Wanted) -> Result<Option<Target>> {
        let Some((column, spec)) = self.column(Role::Target)? else { return Ok(None) };
        let regress = matches!(wanted, Wanted::Kind(TaskKind::Regress) | Wanted::Of(Task::Regress));
        if regress {
            if !spec.levels.is_empty() {
                return Err(Error::argument("levels have no effect on a regression").at(&column.name));
            }
            let (values, missing) = numbers(column, Missing::of(&spec), self.places())
                .map_err(|e| e.remedy("correct it, or use task: classify"))?;
            let values: Vec<f32> = values.iter().map(|v| *v as f32).collect();
            for (row, value) in values.iter().enumerate() {
                if missing.is_set(row) {
                    return Err(missing_target(column, self.places(), row));
                }
                if !value.is_finite() {
                    return Err(Error::data("the target is out of the range of 32-bit floats")
                        .at(self.places().of(row))
                        .got(format!("\"{}\"", column.cells.text(row))));
                }
            }
            return Ok(Some(Target::Values(values)));
        }
        let cells = plain_cells(column, Missing::of(&spec));
        if let Some(row) = cells.iter().position(String::is_empty) {
            return Err(missing_target(column, self.places(), row));
        }
        let seen: BTreeSet<&String> = cells.iter().collect();
        let classes = match wanted {
            Wanted::Of(Task::Classify(classes)) => classes.clone(),
            _ if seen.len() < 2 => {
                let only = seen.first().map_or("", |s| s.as_str());
                return Err(Error::data("the target has only one class")
                    .at(self.places().files())
                    .expected(format!("at least two classes in the column \"{}\"", column.name))
                    .got(format!("only \"{only}\""))
                    .remedy("check the column and the rows, or use task: regress"));
            }
            _ if !spec.levels.is_empty() => Classes::new(spec.levels.clone())?,
            _ => {
                let names = in_order(seen.into_iter().cloned().collect());
                same_number_twice(&column.name, &names)?;
                Classes::new(names)?
            }
        };
        let positions: BTreeMap<&str, u32> = classes
            .names()
            .iter()
            .enumerate()
            .map(|(i, n)| (n.as_str(), u32::try_from(i).unwrap_or(u32::MAX)))
            .collect();
        let mut codes = Vec::with_capacity(cells.len());
        for (row, cell) in cells.iter().enumerate() {
            let code = positions.get(cell.as_str()).copied();
            codes.push(
                code.ok_or_else(|| {
                    not_a_level(&column.name, cell, classes.names()).at(self.places().of(row))
                })?,
            );
        }
        Ok(Some(Target::Classes { classes, codes }))
    }
}

fn missing_target(column: &TableColumn, places: &Places, row: usize) -> Error {
    Error::data("the target is missing")
        .at(places.of(row))
        .expected(format!("a value in the column \"{}\"", column.name))
        .got(format!("\"{}\"", column.cells.text(row)))
        .remedy("fill it in, or remove the row; a class of this name must be among the column's levels")
}

/// `1` and `1.0` would be two classes.
fn same_number_twice(column: &str, names: &[String]) -> Result<()> {
    for pair in names.windows(2) {
        if let [a, b] = pair
            && let (Ok(x), Ok(y)) = (a.parse::<f64>(), b.parse::<f64>())
            && x == y
        {
            return Err(Error::data(format!("the classes \"{a}\" and \"{b}\" are the same number"))
                .at(format!("column \"{column}\""))
                .remedy("write every class in one way"));
        }
    }
    Ok(())
}

/// Names as numbers in the order of their first rows.
fn numbered(cells: &[String]) -> (Vec<u64>, Vec<String>) {
    let mut names: Vec<String> = Vec::new();
    let mut numbers: BTreeMap<&str, u64> = BTreeMap::new();
    let codes = cells
        .iter()
        .map(|cell| {
            *numbers.entry(cell).or_insert_with(|| {
                names.push(cell.clone());
                names.len() as u64 - 1
            })
        })
        .collect();
    (codes, names)
}

/// Times as numbers that grow: the numbers themselves, or the rank of texts that sort by time.
///
/// # Errors
/// [`Error::Data`] for texts that do not begin with the year, or that are not all written alike.
pub(crate) fn in_time(name: &str, cells: &[String], places: &Places) -> Result<Vec<f64>> {
    let numbers: Option<Vec<f64>> =
        cells.iter().map(|c| c.parse().ok().filter(|x: &f64| x.is_finite())).collect();
    if let Some(numbers) = numbers {
        return Ok(numbers);
    }
    let pattern =
        |c: &str| -> String { c.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect() };
    let first = cells.first().map(|c| pattern(c)).unwrap_or_default();
    let odd = cells.iter().position(|c| pattern(c) != first || !pattern(c).starts_with("0000"));
    if let Some(row) = odd {
        return Err(Error::data(format!("the texts of the time column \"{name}\" do not sort by time"))
            .at(places.of(row))
            .expected("numbers, or dates that are all written alike and begin with the year, as 2024-05-31")
            .got(format!("\"{}\"", cells.get(row).map_or("", String::as_str))));
    }
    let sorted: BTreeSet<&String> = cells.iter().collect();
    let ranks: BTreeMap<&String, f64> = sorted.into_iter().enumerate().map(|(i, c)| (c, i as f64)).collect();
    Ok(cells.iter().map(|c| ranks.get(c).copied().unwrap_or(0.0)).collect())
}
