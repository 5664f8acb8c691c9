//! Predictions in blocks of rows, with some columns taken from other rows, or left out.

use crate::array::{Axis, Matrix};
use crate::error::{Error, Result};
use crate::metrics::{Metric, Sample};
use crate::model::{Batch, Mask, Model, Source, Target};

/// Rows to explain a model on: rows that it was not fitted on.
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    /// Where they are read from.
    pub source: &'a dyn Source,
    /// Their positions in the source.
    pub rows: &'a [usize],
    /// The truth, one entry for each of `rows`.
    pub target: &'a Target,
    /// A weight for each of `rows`; `None` for one each.
    pub weight: Option<&'a [f32]>,
}

/// A model on rows that are read in blocks.
pub(super) struct Reader<'a> {
    model: &'a dyn Model,
    source: &'a dyn Source,
    rows: &'a [usize],
    target: &'a Target,
    weight: Option<&'a [f32]>,
    block: usize,
}

/// What a model said: outputs, and the rows about which it said nothing.
pub(super) struct Said {
    pub output: Matrix,
    pub absent: Mask,
}

impl<'a> Reader<'a> {
    /// Checks that everything is about the same rows and the same task; `block` rows are read at once.
    pub(super) fn new(model: &'a dyn Model, rows: &Rows<'a>, block: usize) -> Result<Self> {
        let Rows { source, rows, target, weight } = *rows;
        let reader = Self { model, source, rows, target, weight, block };
        reader.check()?;
        Ok(reader)
    }

    fn check(&self) -> Result<()> {
        if self.rows.is_empty() {
            return Err(Error::data("there are no rows to explain the model on"));
        }
        if let Some(row) = self.rows.iter().find(|r| **r >= self.source.rows()) {
            return Err(Error::data("a row is not in the source")
                .expected(format!("below {}", self.source.rows()))
                .got(row));
        }
        if self.target.len() != self.rows.len() {
            return Err(Error::data("there is not one target a row")
                .expected(self.rows.len())
                .got(self.target.len()));
        }
        if let Some(weight) = self.weight.filter(|w| w.len() != self.rows.len()) {
            return Err(Error::data("there is not one weight a row")
                .expected(self.rows.len())
                .got(weight.len()));
        }
        if self.target.task() != *self.model.task() {
            return Err(Error::model("the model predicts another task or other classes than the target")
                .expected(format!("{:?}", self.target.task()))
                .got(format!("{:?}", self.model.task())));
        }
        if self.block == 0 {
            return Err(Error::argument("a block of no rows").at("block_rows").expected("1 at least"));
        }
        Ok(())
    }

    /// Predicts every row from the columns named; those in `moved` come from the rows at `places` (positions in
    /// `self.rows`, one a row) instead of the row itself.
    pub(super) fn predict(&self, columns: &[&str], moved: &[String], places: &[usize]) -> Result<Said> {
        let moves = |c: &&str| moved.iter().any(|m| m == c);
        let kept: Vec<&str> = columns.iter().copied().filter(|c| !moves(c)).collect();
        let taken: Vec<&str> = columns.iter().copied().filter(moves).collect();
        let mut output = Matrix::zeros((self.rows.len(), self.model.task().width()));
        let mut absent = Vec::with_capacity(self.rows.len());
        for start in (0..self.rows.len()).step_by(self.block) {
            let end = (start + self.block).min(self.rows.len());
            let own = &self.rows[start..end];
            let mut batch = Batch::new(own.iter().map(|r| self.source.ids()[*r]).collect());
            for (names, rows) in [
                (&kept, own.to_vec()),
                (&taken, places.get(start..end).unwrap_or(&[]).iter().map(|p| self.rows[*p]).collect()),
            ] {
                if names.is_empty() {
                    continue;
                }
                let read = self.source.read(&rows, names)?;
                for name in names {
                    batch.set(*name, read.column(name)?.clone())?;
                }
            }
            let said = self.model.predict(&batch)?;
            if said.rows() != end - start || said.task() != *self.model.task() {
                return Err(Error::internal("the model's predictions have another shape than it says"));
            }
            output.slice_mut(ndarray::s![start..end, ..]).assign(&said.matrix());
            absent.extend_from_slice(said.absent().marks());
        }
        Ok(Said { output, absent: Mask::from_marks(absent) })
    }

    /// The score on the rows given (positions in `self.rows`).
    pub(super) fn score(&self, metric: &dyn Metric, said: &Said, rows: &[usize]) -> Result<f64> {
        let output = said.output.select(Axis(0), rows);
        let weight: Option<Vec<f32>> = self.weight.map(|w| rows.iter().map(|r| w[*r]).collect());
        metric.score(&Sample::new(&self.target.take(rows), output.view(), weight.as_deref()))
    }
}

/// The rows about which something was said.
pub(super) fn present(masks: &[&Mask], rows: usize) -> Vec<usize> {
    (0..rows).filter(|r| !masks.iter().any(|m| m.is_set(*r))).collect()
}
