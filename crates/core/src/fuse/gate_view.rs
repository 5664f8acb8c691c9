//! What a gate looks at: how sure the members are, and the raw inputs in a few numbers.

use std::collections::BTreeMap;

use ndarray::{Array2, ArrayViewMut1};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::model::{Batch, Column, Inputs, Kind, Output, Predictions, Task};

/// Rows of raw inputs that are read at once.
const CHUNK: usize = 1024;
/// The most frequent levels of a category that get a feature each; the rest share none.
const LEVELS: usize = 32;

/// How a raw column is turned into numbers.
///
/// | kind | numbers |
/// |---|---|
/// | number | the value |
/// | category | one 0 or 1 for each of its 32 most frequent levels |
/// | text | logarithms of one plus the characters, and of one plus the words |
/// | image | mean and standard deviation of the bytes, over 255 |
/// | audio, vector, sequence | mean and standard deviation of the values |
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Look {
    pub(super) column: String,
    pub(super) kind: Kind,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) levels: Vec<String>,
}

impl Look {
    fn width(&self) -> usize {
        match self.kind {
            Kind::Number => 1,
            Kind::Category => self.levels.len(),
            _ => 2,
        }
    }

    /// Writes the numbers of each row from column `at` on; NaN where the row has nothing.
    fn write(&self, batch: &Batch, out: &mut Array2<f64>, first: usize, at: usize) -> Result<()> {
        let Some(column) = batch.get(&self.column) else {
            for r in 0..batch.rows() {
                (at..at + self.width()).for_each(|c| out[[first + r, c]] = f64::NAN);
            }
            return Ok(());
        };
        if column.kind() != self.kind {
            return Err(Error::data("a column is of another kind than at fitting")
                .at(format!("column \"{}\"", self.column))
                .expected(self.kind.name())
                .got(column.kind().name()));
        }
        for r in 0..batch.rows() {
            let numbers = self.row(column, r);
            for c in 0..self.width() {
                out[[first + r, at + c]] = match &numbers {
                    None => f64::NAN,
                    Some(n) => n.get(c).copied().filter(|v| v.is_finite()).ok_or_else(|| {
                        Error::data("a value is not finite").at(format!(
                            "column \"{}\", row id {}",
                            self.column,
                            batch.ids()[r]
                        ))
                    })?,
                };
            }
        }
        Ok(())
    }

    fn row(&self, column: &Column, row: usize) -> Option<Vec<f64>> {
        if column.unavailable().is_set(row) {
            return None;
        }
        match column {
            Column::Number { values, .. } => Some(vec![*values.get(row)?]),
            Column::Category { levels, codes, .. } => {
                let level = levels.get(*codes.get(row)? as usize);
                Some(self.levels.iter().map(|l| f64::from(u8::from(Some(l) == level))).collect())
            }
            Column::Text { values, .. } => {
                let text = values.get(row)?;
                let count = |n: usize| (1.0 + n as f64).ln();
                Some(vec![count(text.chars().count()), count(text.split_whitespace().count())])
            }
            Column::Image(images) => {
                images.get(row).map(|(_, b)| moments(b.iter().map(|v| f64::from(*v) / 255.0)))
            }
            Column::Audio(sounds) => sounds.get(row).map(|(_, s)| moments(s.iter().map(|v| f64::from(*v)))),
            Column::Vector(vectors) => vectors.get(row).map(|v| moments(v.iter().map(|v| f64::from(*v)))),
            Column::Sequence(steps) => steps.get(row).map(|s| moments(s.iter().map(|v| f64::from(*v)))),
        }
    }
}

/// Mean and standard deviation; zeros for no values.
fn moments(values: impl Iterator<Item = f64> + Clone) -> Vec<f64> {
    let (n, sum) = values.clone().fold((0.0, 0.0), |(n, s), v| (n + 1.0, s + v));
    if n == 0.0 {
        return vec![0.0, 0.0];
    }
    let mean = sum / n;
    vec![mean, (values.map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt()]
}

/// How many numbers a member's prediction gives.
fn member_width(task: &Task) -> usize {
    if task.classes().is_some() { 2 } else { 1 }
}

/// Entropy over its largest possible value, and the largest probability; for values the value.
fn member_numbers(member: &Predictions, row: usize, out: &mut ArrayViewMut1<'_, f64>) {
    if member.absent().is_set(row) {
        out.fill(f64::NAN);
        return;
    }
    match member.output() {
        Output::Values(v) => out[0] = f64::from(v[row]),
        Output::Probabilities { p, classes } => {
            let terms = p.row(row).into_iter().map(|p| f64::from(*p)).filter(|p| *p > 0.0);
            out[0] = -terms.map(|p| p * p.ln()).sum::<f64>() / (classes.count() as f64).ln();
            out[1] = p.row(row).into_iter().fold(0.0, |m, p| f64::max(m, f64::from(*p)));
        }
    }
}

/// A fitted view: columns and members turned into standardized features.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct View {
    members: usize,
    pub(super) looks: Vec<Look>,
    /// Per source (members, then columns): whether something was missing at fitting, so that absence is a feature.
    pub(super) flagged: Vec<bool>,
    /// One for each number.
    #[serde(skip)]
    pub mean: Vec<f64>,
    /// One for each number, above zero.
    #[serde(skip)]
    pub sd: Vec<f64>,
}

impl View {
    /// Fits to the rows of the members at the positions `rows`, and gives the features of these rows. `columns` names
    /// the raw columns; empty: numbers and categories, or all others where there are none of these.
    pub(super) fn fit(
        members: &[&Predictions],
        task: &Task,
        rows: &[usize],
        inputs: Inputs<'_>,
        columns: &[String],
    ) -> Result<(Self, Array2<f64>)> {
        let schema = inputs.source.schema();
        let fields = if columns.is_empty() {
            let tabular = schema.fields.iter().any(|f| f.kind.is_tabular());
            schema.fields.iter().filter(|f| f.kind.is_tabular() == tabular).cloned().collect()
        } else {
            schema.select(columns)?.fields
        };
        let mut looks = Vec::with_capacity(fields.len());
        for field in fields {
            let levels = match field.kind {
                Kind::Category => frequent_levels(inputs, rows, &field.name)?,
                _ => Vec::new(),
            };
            looks.push(Look { column: field.name, kind: field.kind, levels });
        }
        let count = members.len() + looks.len();
        let mut view = Self {
            members: members.len(),
            looks,
            flagged: vec![false; count],
            mean: Vec::new(),
            sd: Vec::new(),
        };
        let mut raw = view.member_part(members, task, rows);
        let names = view.columns();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        for (i, chunk) in rows.chunks(CHUNK).enumerate() {
            let here: Vec<usize> = chunk.iter().map(|&r| inputs.rows[r]).collect();
            view.write_columns(&inputs.source.read(&here, &names)?, task, &mut raw, i * CHUNK)?;
        }
        view.standardize(&raw, task);
        let features = view.features(&raw, task);
        Ok((view, features))
    }

    /// The features of all rows of members and a batch.
    pub(super) fn apply(
        &self,
        members: &[Predictions],
        task: &Task,
        batch: Option<&Batch>,
    ) -> Result<Array2<f64>> {
        let rows = members.first().map_or(0, Predictions::rows);
        let all: Vec<usize> = (0..rows).collect();
        let mut raw = self.member_part(&members.iter().collect::<Vec<_>>(), task, &all);
        if !self.looks.is_empty() {
            let Some(batch) = batch else {
                return Err(Error::data("the gate looks at the inputs, and there are none")
                    .expected(format!("columns {}", self.columns().join(", "))));
            };
            if members.first().is_some_and(|m| m.ids() != batch.ids()) {
                return Err(Error::model("the inputs are of other rows than the predictions")
                    .expected(format!("{rows} rows, in the same order"))
                    .got(format!("{} rows", batch.rows())));
            }
            self.write_columns(batch, task, &mut raw, 0)?;
        }
        Ok(self.features(&raw, task))
    }

    /// The raw columns it reads.
    pub(super) fn columns(&self) -> Vec<String> {
        self.looks.iter().map(|l| l.column.clone()).collect()
    }

    /// How many features it gives.
    pub(super) fn width(&self, task: &Task) -> usize {
        self.raw_width(task) + self.flagged.iter().filter(|f| **f).count()
    }

    /// Whether what was loaded fits together for so many members.
    pub(super) fn is_whole(&self, task: &Task, members: usize) -> bool {
        let raw = self.raw_width(task);
        self.members == members
            && self.flagged.len() == members + self.looks.len()
            && self.mean.len() == raw
            && self.sd.len() == raw
            && self.sd.iter().all(|s| s.is_finite() && *s > 0.0)
            && self.mean.iter().all(|m| m.is_finite())
    }

    fn raw_width(&self, task: &Task) -> usize {
        self.members * member_width(task) + self.looks.iter().map(Look::width).sum::<usize>()
    }

    /// Where the numbers of each source begin, members first, and the end.
    pub(super) fn starts(&self, task: &Task) -> Vec<usize> {
        let widths =
            std::iter::repeat_n(member_width(task), self.members).chain(self.looks.iter().map(Look::width));
        let mut starts = vec![0];
        for width in widths {
            starts.push(starts.last().copied().unwrap_or(0) + width);
        }
        starts
    }

    fn member_part(&self, members: &[&Predictions], task: &Task, rows: &[usize]) -> Array2<f64> {
        let mut raw = Array2::zeros((rows.len(), self.raw_width(task)));
        let width = member_width(task);
        for (mut line, &row) in raw.rows_mut().into_iter().zip(rows) {
            for (m, member) in members.iter().enumerate() {
                member_numbers(member, row, &mut line.slice_mut(ndarray::s![m * width..(m + 1) * width]));
            }
        }
        raw
    }

    fn write_columns(&self, batch: &Batch, task: &Task, raw: &mut Array2<f64>, first: usize) -> Result<()> {
        let mut at = self.members * member_width(task);
        for look in &self.looks {
            look.write(batch, raw, first, at)?;
            at += look.width();
        }
        Ok(())
    }

    fn standardize(&mut self, raw: &Array2<f64>, task: &Task) {
        for column in raw.columns() {
            let there = column.into_iter().copied().filter(|v| !v.is_nan());
            let moments = moments(there);
            self.mean.push(moments[0]);
            self.sd.push(if moments[1] > 1e-12 * moments[0].abs().max(1e-12) { moments[1] } else { 1.0 });
        }
        let starts = self.starts(task);
        for (flag, span) in self.flagged.iter_mut().zip(starts.windows(2)) {
            *flag = span[0] < span[1] && raw.column(span[0]).iter().any(|v| v.is_nan());
        }
    }

    /// Standardized numbers, zero where there is nothing, then a mark for each source that has gaps.
    fn features(&self, raw: &Array2<f64>, task: &Task) -> Array2<f64> {
        let mut out = Array2::zeros((raw.nrows(), self.width(task)));
        let starts = self.starts(task);
        let flags: Vec<usize> =
            self.flagged.iter().zip(&starts).filter(|(f, _)| **f).map(|(_, start)| *start).collect();
        for (mut to, from) in out.rows_mut().into_iter().zip(raw.rows()) {
            for (c, v) in from.iter().enumerate().filter(|(_, v)| !v.is_nan()) {
                to[c] = (v - self.mean[c]) / self.sd[c];
            }
            for (i, start) in flags.iter().enumerate() {
                to[from.len() + i] = f64::from(u8::from(from[*start].is_nan()));
            }
        }
        out
    }
}

/// The most frequent levels, the more frequent first, then by name.
fn frequent_levels(inputs: Inputs<'_>, rows: &[usize], name: &str) -> Result<Vec<String>> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for chunk in rows.chunks(CHUNK) {
        let here: Vec<usize> = chunk.iter().map(|&r| inputs.rows[r]).collect();
        let batch = inputs.source.read(&here, &[name])?;
        if let Column::Category { levels, codes, missing } = batch.column(name)? {
            for (r, code) in codes.iter().enumerate().filter(|(r, _)| !missing.is_set(*r)) {
                let level = levels.get(*code as usize).ok_or_else(|| {
                    Error::data("a category has a code without a level")
                        .at(format!("column \"{name}\", row id {}", batch.ids()[r]))
                        .got(code)
                })?;
                match counts.get_mut(level) {
                    Some(n) => *n += 1,
                    None => {
                        counts.insert(level.clone(), 1);
                    }
                }
            }
        }
    }
    let mut levels: Vec<(String, usize)> = counts.into_iter().collect();
    levels.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    levels.truncate(LEVELS);
    Ok(levels.into_iter().map(|(l, _)| l).collect())
}
