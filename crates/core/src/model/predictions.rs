//! What models say about rows.

use super::mask::Mask;
use super::target::{Classes, Task};
use crate::array::Matrix;
use crate::error::{Error, Result};

/// The content of predictions; open to intervals and sets.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Output {
    /// A probability for each class; every present row sums to one.
    Probabilities {
        /// The classes, in the order of the columns.
        classes: Classes,
        /// `[rows, classes]`.
        p: Matrix,
    },
    /// A value a row.
    Values(Vec<f32>),
}

/// Predictions for rows, with the rows about which the model could say nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct Predictions {
    ids: Vec<u64>,
    output: Output,
    absent: Mask,
}

impl Predictions {
    /// Probabilities `[rows, classes]`.
    ///
    /// # Errors
    /// [`Error::Model`] if shapes differ, or a present row is not finite, not within [0, 1] or does not sum to one
    /// (within 1e-3). Row sums within the tolerance are set right.
    pub fn probabilities(ids: Vec<u64>, classes: Classes, mut p: Matrix, absent: Mask) -> Result<Self> {
        if p.nrows() != ids.len() || absent.len() != ids.len() || p.ncols() != classes.count() {
            return Err(Error::model("predictions have the wrong shape")
                .expected(format!("{} rows of {} classes", ids.len(), classes.count()))
                .got(format!("{:?}, a mask of {}", p.shape(), absent.len())));
        }
        for (r, mut row) in p.rows_mut().into_iter().enumerate() {
            if absent.is_set(r) {
                row.fill(f32::NAN);
                continue;
            }
            let sum: f32 = row.sum();
            let bad = row.iter().any(|v| !v.is_finite() || *v < -1e-6 || *v > 1.0 + 1e-3);
            if bad || (sum - 1.0).abs() > 1e-3 {
                return Err(Error::model("a row is not a distribution over the classes")
                    .at(format!("row id {}", ids[r]))
                    .expected("numbers in [0, 1] that sum to 1")
                    .got(format!("{:?}", row.to_vec())));
            }
            row.mapv_inplace(|v| v.max(0.0));
            if (sum - 1.0).abs() > 1e-6 {
                row /= sum;
            }
        }
        Ok(Self { ids, output: Output::Probabilities { classes, p }, absent })
    }

    /// A value a row.
    ///
    /// # Errors
    /// [`Error::Model`] if lengths differ or a present value is not finite.
    pub fn values(ids: Vec<u64>, mut values: Vec<f32>, absent: Mask) -> Result<Self> {
        if values.len() != ids.len() || absent.len() != ids.len() {
            return Err(Error::model("predictions have the wrong length")
                .expected(ids.len())
                .got(values.len()));
        }
        for (r, v) in values.iter_mut().enumerate() {
            if absent.is_set(r) {
                *v = f32::NAN;
            } else if !v.is_finite() {
                return Err(Error::model("a prediction is not finite")
                    .at(format!("row id {}", ids[r]))
                    .got(*v));
            }
        }
        Ok(Self { ids, output: Output::Values(values), absent })
    }

    /// From a matrix of outputs, as the task says: probabilities, or one column of values.
    ///
    /// # Errors
    /// As [`Predictions::probabilities`] and [`Predictions::values`].
    pub fn for_task(ids: Vec<u64>, task: &Task, output: Matrix, absent: Mask) -> Result<Self> {
        match task {
            Task::Classify(classes) => Self::probabilities(ids, classes.clone(), output, absent),
            Task::Regress if output.ncols() == 1 => Self::values(ids, output.into_iter().collect(), absent),
            Task::Regress => {
                Err(Error::model("a regression gives one column").got(format!("{} columns", output.ncols())))
            }
        }
    }

    /// The row ids.
    pub fn ids(&self) -> &[u64] {
        &self.ids
    }

    /// How many rows.
    pub fn rows(&self) -> usize {
        self.ids.len()
    }

    /// The content. Absent rows hold NaN.
    pub fn output(&self) -> &Output {
        &self.output
    }

    /// The rows about which the model said nothing.
    pub fn absent(&self) -> &Mask {
        &self.absent
    }

    /// What was predicted.
    pub fn task(&self) -> Task {
        match &self.output {
            Output::Probabilities { classes, .. } => Task::Classify(classes.clone()),
            Output::Values(_) => Task::Regress,
        }
    }

    /// The probabilities `[rows, classes]`.
    ///
    /// # Errors
    /// [`Error::Argument`] for values.
    pub fn p(&self) -> Result<&Matrix> {
        match &self.output {
            Output::Probabilities { p, .. } => Ok(p),
            Output::Values(_) => Err(Error::argument("this method needs probabilities").got("values")),
        }
    }

    /// The content as a matrix: `[rows, classes]`, or `[rows, 1]` for values.
    pub fn matrix(&self) -> Matrix {
        match &self.output {
            Output::Probabilities { p, .. } => p.clone(),
            Output::Values(v) => Matrix::from_shape_fn((v.len(), 1), |(r, _)| v[r]),
        }
    }

    /// The rows given, in that order; they must exist.
    #[must_use]
    pub fn take(&self, rows: &[usize]) -> Self {
        Self {
            ids: rows.iter().map(|&r| self.ids[r]).collect(),
            output: match &self.output {
                Output::Probabilities { classes, p } => {
                    Output::Probabilities { classes: classes.clone(), p: p.select(ndarray::Axis(0), rows) }
                }
                Output::Values(v) => Output::Values(rows.iter().map(|&r| v[r]).collect()),
            },
            absent: self.absent.take(rows),
        }
    }

    /// Predictions of folds put one after the other.
    ///
    /// # Errors
    /// [`Error::Model`] if the tasks differ or there are none.
    pub fn concat(parts: &[Self]) -> Result<Self> {
        let Some(first) = parts.first() else {
            return Err(Error::model("there are no predictions to put together"));
        };
        let task = first.task();
        if parts.iter().any(|p| p.task() != task) {
            return Err(Error::model("the predictions are for different tasks or classes"));
        }
        let ids = parts.iter().flat_map(|p| p.ids.iter().copied()).collect();
        let absent = parts.iter().flat_map(|p| p.absent.marks().iter().copied()).collect();
        let rows: Vec<Matrix> = parts.iter().map(Self::matrix).collect();
        let views: Vec<_> = rows.iter().map(|m| m.view()).collect();
        let all =
            ndarray::concatenate(ndarray::Axis(0), &views).map_err(|e| Error::internal(e.to_string()))?;
        Self::for_task(ids, &task, all, absent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes() -> Classes {
        Classes::new(vec!["a".into(), "b".into()]).unwrap()
    }

    #[test]
    fn rows_that_are_no_distribution_are_refused() {
        let ok = Matrix::from_shape_vec((1, 2), vec![0.25, 0.75]).unwrap();
        assert!(Predictions::probabilities(vec![1], classes(), ok, Mask::none(1)).is_ok());
        for bad in [[0.5, 0.6], [f32::NAN, 1.0], [-0.5, 1.5]] {
            let p = Matrix::from_shape_vec((1, 2), bad.to_vec()).unwrap();
            let e = Predictions::probabilities(vec![7], classes(), p, Mask::none(1)).unwrap_err();
            assert!(e.to_string().contains("row id 7"), "{e}");
        }
    }

    #[test]
    fn absent_rows_hold_nan_and_are_not_checked() {
        let p = Matrix::from_shape_vec((2, 2), vec![9.0, 9.0, 0.5, 0.5]).unwrap();
        let mask = Mask::from_marks(vec![true, false]);
        let p = Predictions::probabilities(vec![1, 2], classes(), p, mask).unwrap();
        assert!(p.p().unwrap()[[0, 0]].is_nan());
        let both = Predictions::concat(&[p.take(&[1]), p.take(&[0])]).unwrap();
        assert_eq!(both.ids(), [2, 1]);
        assert!(both.absent().is_set(1));
    }
}
