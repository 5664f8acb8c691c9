//! Which rows fit, which choose, which judge; and folds for predictions that their makers have not seen.

mod by_value;
mod checks;
mod draw;
mod folds;

use std::collections::BTreeSet;

use super::dataset::Dataset;
use super::roles::in_time;
use super::spec::{HonestSpec, SplitSpec};
use super::table::Places;
use super::typing::in_order;
use crate::error::{Error, Result};
use crate::model::Target;
use crate::registry::nearest;
use crate::seed::Seed;

/// What a row may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// To fit members and, out of fold, compositions.
    Fit,
    /// To fit compositions on, and to choose among them.
    Choose,
    /// To judge, once.
    Judge,
}

impl Part {
    /// The name in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fit => "fitting",
            Self::Choose => "choosing",
            Self::Judge => "judging",
        }
    }
}

/// Rows by position, each part in ascending order; no row is in two parts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Split {
    /// The rows for fitting.
    pub fit: Vec<usize>,
    /// The rows for choosing; may be empty if honest predictions come from folds.
    pub choose: Vec<usize>,
    /// The rows for judging.
    pub judge: Vec<usize>,
    /// The rows that set the thresholds of regions and nothing else.
    pub regions: Vec<usize>,
    /// The fold of each row of `fit`, in its order; empty unless `honest` asks for folds.
    pub folds: Vec<u32>,
    /// What should be known: leaks, classes that a part lacks, parts of another size than asked for.
    pub notes: Vec<String>,
}

/// Splits rows as a recipe says: by a column of part names, by time, by domain, or at random by a fraction.
///
/// Random parts are stratified by the target's classes (or `stratify`), and rows of one group stay together. With
/// `honest: {folds: k}` the rows for fitting get folds by the same rules; of a split by time, in blocks of time.
///
/// # Errors
/// [`Error::Argument`] if the recipe says nothing, too much, or something the data cannot give; [`Error::Data`] if a part is
/// empty, a group is in two parts, there are more folds than groups, or a class has all its rows in one fold.
pub fn split(spec: &SplitSpec, honest: &HonestSpec, data: &Dataset, seed: Seed) -> Result<Split> {
    if spec.folds.is_some() {
        return Err(Error::argument("split: {folds: ...} asks for nested folds").expected("a single split"));
    }
    let ways = [spec.column.is_some(), spec.domain.is_some(), spec.time.is_some() || spec.holdout.is_some()];
    match ways.iter().filter(|w| **w).count() {
        0 => {
            return Err(Error::argument("split: does not say how")
                .expected("column, holdout, time with holdout, domain, or folds")
                .remedy("e.g. split: {holdout: 0.2}"));
        }
        1 => {}
        _ => {
            return Err(Error::argument("split: names more than one way")
                .expected("one of column, holdout (with time or without), domain"));
        }
    }
    let lists = !(spec.fit.is_empty() && spec.choose.is_empty() && spec.judge.is_empty());
    if lists && spec.column.is_none() {
        return Err(Error::argument("fit, choose and judge name values of a column").expected("column: name"));
    }
    let rows = Rows::of(spec, data)?;
    let mut out = if let Some(column) = &spec.column {
        by_value::by_column(spec, column, &rows)?
    } else if let Some(domain) = &spec.domain {
        by_value::by_domain(domain, &rows)?
    } else {
        let size = draw::size(spec.holdout, rows.count, "holdout")?.ok_or_else(|| {
            Error::argument("a split by time needs the share of the latest rows").expected("holdout: 0.2")
        })?;
        let all: Vec<usize> = (0..rows.count).collect();
        let (judge, fit) = rows.take(&all, size, seed.child("holdout"), &mut Vec::new())?;
        Split { fit, judge, ..Split::default() }
    };
    complete(spec, honest, &rows, seed, &mut out)?;
    Ok(out)
}

/// The splits of a nested design.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Nested {
    /// All rows, none for judging: what the exported model is made of.
    pub whole: Split,
    /// One for each outer fold, which it judges; every row is judged in exactly one of them.
    pub outer: Vec<Split>,
}

/// The splits of a nested design: `split: {folds: k}` deals all rows into `k` outer folds, and each is judged by what was
/// fitted, composed and chosen on the others. With `column` beside it the outer folds are the values of that column.
///
/// # Errors
/// As [`split`]; [`Error::Argument`] if `folds` stands beside another way to split.
pub fn nested(spec: &SplitSpec, honest: &HonestSpec, data: &Dataset, seed: Seed) -> Result<Nested> {
    let Some(count) = spec.folds else {
        return Err(Error::argument("nested folds need their number").expected("split: {folds: 5}"));
    };
    if spec.domain.is_some() || spec.holdout.is_some() || spec.time.is_some() {
        return Err(Error::argument("folds stand beside another way to split")
            .expected("folds, with column, validation, stratify and group if needed"));
    }
    let rows = Rows::of(spec, data)?;
    let all: Vec<usize> = (0..rows.count).collect();
    let seed = seed.child("outer");
    let mut notes = Vec::new();
    let fold_of = match &spec.column {
        Some(column) => folds::named(&rows, column, count),
        None => folds::folds(&rows, &all, count, seed, &mut notes),
    };
    let fold_of = fold_of.map_err(|e| e.at("split: folds"))?;
    let mut outer = Vec::new();
    for fold in 0..count {
        let mut out = Split { notes: notes.clone(), ..Split::default() };
        for (row, f) in all.iter().zip(&fold_of) {
            if *f == fold { out.judge.push(*row) } else { out.fit.push(*row) }
        }
        complete(spec, honest, &rows, seed.item(u64::from(fold)), &mut out)
            .map_err(|e| e.at(format!("outer fold {}/{count}", fold + 1)))?;
        outer.push(out);
    }
    let mut whole = Split { fit: all, ..Split::default() };
    complete(spec, honest, &rows, seed.child("whole"), &mut whole)?;
    Ok(Nested { whole, outer })
}

/// Draws the rows for choosing, deals the folds, checks.
fn complete(spec: &SplitSpec, honest: &HonestSpec, rows: &Rows, seed: Seed, out: &mut Split) -> Result<()> {
    if out.choose.is_empty() {
        // A share is one of all rows where the parts are drawn, else of those for fitting.
        let whole = if spec.holdout.is_some() { rows.count } else { out.fit.len() };
        if let Some(size) = draw::size(spec.validation, whole, "validation")? {
            let mut notes = Vec::new();
            let (choose, fit) = rows.take(&out.fit, size, seed.child("validation"), &mut notes)?;
            out.choose = choose;
            out.fit = fit;
            out.notes.extend(notes);
        }
    } else if spec.validation.is_some() {
        return Err(Error::argument("the column already names rows for choosing")
            .expected("either validation, or values of the column for choosing"));
    }
    if let Some(size) = draw::size(spec.regions, out.fit.len(), "regions")? {
        let mut notes = Vec::new();
        let (regions, fit) = rows.take(&out.fit, size, seed.child("regions"), &mut notes)?;
        out.regions = regions;
        out.fit = fit;
        out.notes.extend(notes);
    }
    checks::no_part_is_empty(out, honest, spec.folds.is_some() && out.judge.is_empty())?;
    checks::no_group_is_torn(out, rows)?;
    if let HonestSpec::Folds { folds: count } = honest {
        let mut notes = Vec::new();
        out.folds = folds::folds(rows, &out.fit, *count, seed.child("folds"), &mut notes)?;
        out.notes.extend(notes);
    }
    out.notes.extend(checks::notes(out, rows));
    Ok(())
}

/// What splitting needs to know about the rows.
struct Rows<'a> {
    data: &'a Dataset,
    count: usize,
    /// The stratum of each row.
    strata: Option<Vec<u32>>,
    /// The group of each row.
    groups: Option<Vec<u64>>,
    /// The names of the groups, where `group` gives them and not the role.
    group_cells: Option<&'a [String]>,
    /// The time of each row, of a split by time.
    times: Option<Vec<f64>>,
}

impl<'a> Rows<'a> {
    fn of(spec: &SplitSpec, data: &'a Dataset) -> Result<Self> {
        let count = data.source.rows();
        let strata = match (&spec.stratify, &data.target) {
            (Some(name), _) => Some(strata(name, cells(data, name, "stratify")?)?),
            (None, Some(Target::Classes { codes, .. })) => Some(codes.clone()),
            _ => None,
        };
        let (groups, group_cells) = match (&spec.group, &data.roles.group) {
            (Some(name), _) => {
                let cells = cells(data, name, "group")?;
                complete_cells(name, cells)?;
                (Some(codes(cells).into_iter().map(u64::from).collect()), Some(cells))
            }
            (None, Some((groups, _))) => (Some(groups.clone()), None),
            _ => (None, None),
        };
        let times = match &spec.time {
            Some(name) => {
                let cells = cells(data, name, "time")?;
                complete_cells(name, cells)?;
                Some(in_time(name, cells, &Places::default())?)
            }
            None => None,
        };
        Ok(Self { data, count, strata, groups, group_cells, times })
    }

    /// Takes `size` of `rows`: the latest of a split by time, else at random. Gives those taken and the rest.
    fn take(
        &self,
        rows: &[usize],
        size: usize,
        seed: Seed,
        notes: &mut Vec<String>,
    ) -> Result<(Vec<usize>, Vec<usize>)> {
        if size >= rows.len() {
            return Err(Error::data("there are not enough rows for the parts")
                .expected(format!("more than {size} rows"))
                .got(rows.len()));
        }
        match &self.times {
            Some(times) => draw::latest(rows, size, times),
            None => draw::at_random(self, rows, size, seed, notes),
        }
    }

    fn stratum(&self, row: usize) -> u32 {
        self.strata.as_ref().and_then(|s| s.get(row)).copied().unwrap_or(0)
    }

    fn group(&self, row: usize) -> u64 {
        self.groups.as_ref().and_then(|g| g.get(row)).copied().unwrap_or(row as u64)
    }

    /// How the group of a row is called.
    fn group_name(&self, row: usize) -> String {
        let by_role = self.data.roles.group.as_ref().and_then(|(g, names)| {
            g.get(row).and_then(|g| usize::try_from(*g).ok()).and_then(|g| names.get(g))
        });
        let name = self.group_cells.map_or(by_role, |c| c.get(row));
        name.cloned().unwrap_or_default()
    }
}

/// The cells of a column that the recipe names under `split:`.
fn cells<'a>(data: &'a Dataset, name: &str, setting: &str) -> Result<&'a [String]> {
    let known = &data.roles.cells;
    known.get(name).map(|c| c.as_slice()).ok_or_else(|| {
        let error =
            Error::argument(format!("the data have no column \"{name}\"")).at(format!("split: {setting}"));
        match nearest(name, known.keys().map(String::as_str)) {
            Some(near) => error.remedy(format!("did you mean \"{near}\"?")),
            None => {
                let names: Vec<&str> = known.keys().map(String::as_str).take(12).collect();
                error.expected(format!("one of {}", names.join(", ")))
            }
        }
    })
}

fn complete_cells(name: &str, cells: &[String]) -> Result<()> {
    match cells.iter().position(String::is_empty) {
        Some(row) => Err(Error::data(format!("the column \"{name}\" has no value in row {row}"))
            .expected("a value in every row, to split by it")),
        None => Ok(()),
    }
}

/// The position of each cell among the different ones, in order.
fn codes(cells: &[String]) -> Vec<u32> {
    let names = in_order(cells.iter().collect::<BTreeSet<_>>().into_iter().cloned().collect());
    let positions: std::collections::BTreeMap<&String, u32> = names.iter().zip(0u32..).collect();
    cells.iter().map(|c| positions.get(c).copied().unwrap_or(0)).collect()
}

fn strata(name: &str, cells: &[String]) -> Result<Vec<u32>> {
    let out = codes(cells);
    let count = out.iter().max().map_or(0, |m| *m as usize + 1);
    if 2 * count > cells.len() {
        return Err(Error::argument("the column to stratify by has almost as many values as rows")
            .at(format!("split: {{stratify: {name}}}"))
            .expected("a column of few values")
            .got(format!("{count} values in {} rows", cells.len())));
    }
    Ok(out)
}

#[cfg(test)]
mod tests;
