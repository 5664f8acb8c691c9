//! What a split must not be, and what should be known about it.

use std::collections::{BTreeMap, BTreeSet};

use super::{Part, Rows, Split};
use crate::data::spec::HonestSpec;
use crate::error::{Error, Result};
use crate::model::Target;

fn parts(split: &Split) -> [(Part, &[usize]); 3] {
    [(Part::Fit, &split.fit), (Part::Choose, &split.choose), (Part::Judge, &split.judge)]
}

/// Every part that is needed has rows; `unjudged` says that no rows are to be judged here.
pub(super) fn no_part_is_empty(split: &Split, honest: &HonestSpec, unjudged: bool) -> Result<()> {
    for (part, rows) in parts(split) {
        let needed = match part {
            Part::Fit => true,
            Part::Choose => matches!(honest, HonestSpec::Validation(_)),
            Part::Judge => !unjudged,
        };
        if needed && rows.is_empty() {
            let error = Error::data(format!("no rows are for {}", part.name())).at("split");
            return Err(if part == Part::Choose {
                error.remedy("add validation: 0.2 to split, or use honest: {folds: 5}")
            } else {
                error.remedy("check the values of the column, or the shares")
            });
        }
    }
    Ok(())
}

/// No group has rows in two parts.
pub(super) fn no_group_is_torn(split: &Split, rows: &Rows) -> Result<()> {
    if rows.groups.is_none() {
        return Ok(());
    }
    let mut part_of: BTreeMap<u64, Part> = BTreeMap::new();
    let mut torn: BTreeMap<u64, (usize, Part, Part)> = BTreeMap::new();
    for (part, members) in parts(split) {
        for row in members {
            let group = rows.group(*row);
            let first = *part_of.entry(group).or_insert(part);
            if first != part {
                torn.entry(group).or_insert((*row, first, part));
            }
        }
    }
    match torn.values().next() {
        None => Ok(()),
        Some((row, first, second)) => Err(Error::data(format!(
            "group leak: the group \"{}\" is both for {} and for {}",
            rows.group_name(*row),
            first.name(),
            second.name()
        ))
        .at("split")
        .expected("every group in one part")
        .got(format!("{} of {} groups in two", torn.len(), part_of.len()))
        .remedy("split at random by holdout, which keeps groups together, or take the role group away if these rows are independent")),
    }
}

/// Rows for judging that were also for fitting, classes that a part lacks, inputs that split the data.
pub(super) fn notes(split: &Split, rows: &Rows) -> Vec<String> {
    let mut out = Vec::new();
    let digest = |r: &usize| rows.data.digests.get(*r).copied();
    let fit: BTreeSet<u64> = split.fit.iter().filter_map(digest).collect();
    for (part, members) in [(Part::Judge, &split.judge), (Part::Choose, &split.choose)] {
        let copies = members.iter().filter_map(digest).filter(|d| fit.contains(d)).count();
        if copies > 0 {
            out.push(format!(
                "leak: {copies} of {} rows for {} are exact copies of rows for fitting, truth included",
                members.len(),
                part.name()
            ));
        }
    }
    if let Some(Target::Classes { classes, codes }) = &rows.data.target {
        for (part, members) in parts(split).into_iter().filter(|(_, m)| !m.is_empty()) {
            let seen: BTreeSet<u32> = members.iter().filter_map(|r| codes.get(*r).copied()).collect();
            let lacking: Vec<&str> = classes
                .names()
                .iter()
                .zip(0u32..)
                .filter(|(_, i)| !seen.contains(i))
                .map(|(n, _)| n.as_str())
                .collect();
            if !lacking.is_empty() {
                out.push(format!("no rows for {} have the class {}", part.name(), lacking.join(", ")));
            }
        }
    }
    out
}
