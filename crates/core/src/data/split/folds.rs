//! Folds of the rows for fitting: stratified, by groups, or in blocks of time.

use std::collections::BTreeMap;

use super::{Rows, cells, codes, complete_cells, draw};
use crate::error::{Error, Result};
use crate::model::Target;
use crate::seed::Seed;

/// The fold of each of `among`: `count` folds of nearly one size.
pub(super) fn folds(
    rows: &Rows,
    among: &[usize],
    count: u32,
    seed: Seed,
    notes: &mut Vec<String>,
) -> Result<Vec<u32>> {
    if count < 2 {
        return Err(Error::argument("folds must be at least 2").got(count));
    }
    if (count as usize) > among.len() {
        return Err(Error::data("there are more folds than rows for fitting")
            .at("honest")
            .expected(format!("at most {} folds", among.len()))
            .got(count)
            .remedy("ask for fewer folds, get more rows, or use honest: validation"));
    }
    let out = if let Some(times) = &rows.times {
        notes.push("folds are blocks of time".to_owned());
        blocks(among, count, times)?
    } else if rows.groups.is_some() {
        let shares = vec![1.0 / f64::from(count); count as usize];
        let parts = draw::deal_groups(rows, among, &shares, seed)?;
        parts.into_iter().map(|p| u32::try_from(p).unwrap_or(u32::MAX)).collect()
    } else {
        let order = draw::by_stratum(rows, among, seed);
        let fold_of: BTreeMap<usize, u32> = order.into_iter().zip((0..count).cycle()).collect();
        among.iter().map(|r| fold_of.get(r).copied().unwrap_or(0)).collect()
    };
    check_groups(rows, among, &out)?;
    check_classes(rows, among, &out, count, notes)?;
    Ok(out)
}

/// The folds that a column names, by its values in order.
pub(super) fn named(rows: &Rows, column: &str, count: u32) -> Result<Vec<u32>> {
    let cells = cells(rows.data, column, "column")?;
    complete_cells(column, cells)?;
    let out = codes(cells);
    let values = out.iter().max().map_or(0, |m| m + 1);
    if values != count {
        return Err(Error::data(format!("the column \"{column}\" does not name {count} folds"))
            .expected(format!("{count} different values"))
            .got(format!("{values}"))
            .remedy(format!("set split: {{column: {column}, folds: {values}}}")));
    }
    Ok(out)
}

/// Blocks of consecutive times; rows of one time stay together.
fn blocks(among: &[usize], count: u32, times: &[f64]) -> Result<Vec<u32>> {
    let time = |r: &usize| times.get(*r).copied().unwrap_or(f64::NEG_INFINITY);
    let mut sorted: Vec<f64> = among.iter().map(time).collect();
    sorted.sort_by(f64::total_cmp);
    let fold = |r: &usize| {
        let first = sorted.partition_point(|t| *t < time(r)) as u64;
        u32::try_from(first * u64::from(count) / sorted.len() as u64).unwrap_or(u32::MAX)
    };
    let out: Vec<u32> = among.iter().map(fold).collect();
    match (0..count).find(|f| !out.contains(f)) {
        Some(_) => Err(Error::data("too many rows are of one time for the folds")
            .got(format!("{count} folds"))
            .remedy("ask for fewer folds")),
        None => Ok(out),
    }
}

fn check_groups(rows: &Rows, among: &[usize], folds: &[u32]) -> Result<()> {
    if rows.groups.is_none() {
        return Ok(());
    }
    let mut fold_of: BTreeMap<u64, u32> = BTreeMap::new();
    for (row, fold) in among.iter().zip(folds) {
        if *fold_of.entry(rows.group(*row)).or_insert(*fold) != *fold {
            return Err(Error::data(format!(
                "group leak: the group \"{}\" is in two folds, which are blocks of time",
                rows.group_name(*row)
            ))
            .expected("groups that do not reach over blocks")
            .remedy("use honest: validation, or remove the role group"));
        }
    }
    Ok(())
}

/// A class whose rows are all in one fold has nothing to be learned from when that fold is predicted.
fn check_classes(
    rows: &Rows,
    among: &[usize],
    folds: &[u32],
    count: u32,
    notes: &mut Vec<String>,
) -> Result<()> {
    let Some(Target::Classes { classes, codes }) = &rows.data.target else { return Ok(()) };
    let mut seen: BTreeMap<u32, (usize, u32, bool)> = BTreeMap::new();
    for (row, fold) in among.iter().zip(folds) {
        let Some(code) = codes.get(*row) else { continue };
        let entry = seen.entry(*code).or_insert((0, *fold, false));
        entry.0 += 1;
        entry.2 |= entry.1 != *fold;
    }
    let mut few = Vec::new();
    for (code, (n, _, spread)) in &seen {
        let name = classes.names().get(*code as usize).map_or("", String::as_str);
        if !spread {
            return Err(Error::data(format!(
                "the class \"{name}\" has all its rows for fitting in one fold"
            ))
            .expected("rows in at least two folds, so that one can be predicted from the other")
            .got(if *n == 1 { "1 row".to_owned() } else { format!("{n} rows in one group or time") })
            .remedy("leave the class out or join it with another, or use honest: validation"));
        }
        if *n < count as usize {
            few.push(name);
        }
    }
    if !few.is_empty() {
        notes.push(format!("classes with fewer rows for fitting than folds: {}", few.join(", ")));
    }
    Ok(())
}
