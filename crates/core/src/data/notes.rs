//! What should be known about data before anything is fitted: duplicates, constant columns, rare classes, missing shares,
//! columns that give the target away.

use std::collections::{BTreeMap, BTreeSet};

use super::inputs::Inputs;
use super::stored::Held;
use crate::model::{Column, Target};

/// Notes about the rows and columns, worst first.
pub(crate) fn notes(inputs: &Inputs, target: Option<&Target>, alone: &[u64], whole: &[u64]) -> Vec<String> {
    let mut out = Vec::new();
    let rows = alone.len();
    if let Some(target) = target {
        for field in &inputs.fields {
            if let Some(Held::Ready(column)) = inputs.held.get(&field.name)
                && gives_away(column, target)
            {
                out.push(format!(
                    "column \"{}\" equals the target row by row: a leak, unless it is known before the target is",
                    field.name
                ));
            }
        }
    }
    out.extend(duplicates(alone, whole));
    if let Some(Target::Classes { classes, codes }) = target {
        let mut counts = vec![0usize; classes.count()];
        for code in codes {
            if let Some(count) = counts.get_mut(*code as usize) {
                *count += 1;
            }
        }
        let rare: Vec<&str> =
            classes.names().iter().zip(&counts).filter(|(_, c)| **c < 2).map(|(n, _)| n.as_str()).collect();
        if !rare.is_empty() {
            out.push(format!("classes with fewer than two rows: {}", listed(&rare)));
        }
    }
    let (mut constant, mut empty, mut many) = (Vec::new(), Vec::new(), Vec::new());
    for field in &inputs.fields {
        let Some(held) = inputs.held.get(&field.name) else { continue };
        let gone = held.unavailable();
        if gone == rows {
            empty.push(field.name.as_str());
            continue;
        }
        if gone > 0 {
            let share = 100.0 * gone as f64 / rows as f64;
            let word = if field.kind.is_tabular() { "missing" } else { "absent" };
            out.push(format!("column \"{}\": {word} in {gone} of {rows} rows ({share:.1}%)", field.name));
        }
        if let Held::Ready(column) = held {
            match distinct(column) {
                Some(1) if gone == 0 => constant.push(field.name.as_str()),
                Some(n) if matches!(column, Column::Category { .. }) && n > 50 && 2 * n > rows => {
                    many.push(field.name.as_str());
                }
                _ => {}
            }
        }
    }
    for (names, what) in [
        (empty, "columns without any value"),
        (constant, "columns with one value only"),
        (many, "categories with a level for almost every row (an id or a text? give it a role or type)"),
    ] {
        if !names.is_empty() {
            out.push(format!("{what}: {}", listed(&names)));
        }
    }
    out
}

fn listed(names: &[&str]) -> String {
    let shown = names.iter().take(10).copied().collect::<Vec<_>>().join(", ");
    if names.len() > 10 { format!("{shown} and {} more", names.len() - 10) } else { shown }
}

fn duplicates(alone: &[u64], whole: &[u64]) -> Option<String> {
    let mut groups: BTreeMap<u64, (usize, BTreeSet<u64>)> = BTreeMap::new();
    for (a, w) in alone.iter().zip(whole) {
        let group = groups.entry(*a).or_default();
        group.0 += 1;
        group.1.insert(*w);
    }
    let copies: usize = groups.values().map(|g| g.0 - 1).sum();
    if copies == 0 {
        return None;
    }
    let torn: usize = groups.values().filter(|g| g.1.len() > 1).map(|g| g.0).sum();
    let also = if torn > 0 {
        format!("; {torn} rows have the inputs of a row with another target")
    } else {
        String::new()
    };
    Some(format!("{copies} rows are exact copies of the inputs of an earlier row{also}"))
}

/// How many different values there are, of numbers and categories.
fn distinct(column: &Column) -> Option<usize> {
    let seen: BTreeSet<u64> = keys(column)?.into_iter().flatten().collect();
    Some(seen.len())
}

/// The values as bits, nothing for a missing one.
fn keys(column: &Column) -> Option<Vec<Option<u64>>> {
    match column {
        Column::Number { values, missing } => Some(
            values
                .iter()
                .enumerate()
                .map(|(r, v)| (!missing.is_set(r)).then_some((v + 0.0).to_bits()))
                .collect(),
        ),
        Column::Category { codes, missing, .. } => Some(
            codes.iter().enumerate().map(|(r, c)| (!missing.is_set(r)).then_some(u64::from(*c))).collect(),
        ),
        _ => None,
    }
}

/// Whether values and classes belong to each other one to one, or values are the target's.
fn gives_away(column: &Column, target: &Target) -> bool {
    match (column, target) {
        (Column::Number { values, missing }, Target::Values(truth)) => {
            !missing.any() && values.iter().zip(truth).all(|(v, t)| *v as f32 == *t)
        }
        (_, Target::Classes { codes, .. }) => {
            let Some(keys) = keys(column) else { return false };
            let (mut there, mut back) = (BTreeMap::new(), BTreeMap::new());
            keys.iter().zip(codes).all(|(key, code)| {
                key.is_some_and(|key| {
                    *there.entry(key).or_insert(*code) == *code && *back.entry(*code).or_insert(key) == key
                })
            })
        }
        _ => false,
    }
}
