//! What models say about rows.

use std::sync::Arc;

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
    ids: Arc<Vec<u64>>,
    output: Output,
    absent: Mask,
}

impl Predictions {
    /// Probabilities `[rows, classes]`.
    ///
    /// # Errors
    /// [`Error::Model`] if shapes differ, or a present row is not finite, not within [0, 1] or does not sum to one
    /// (within 1e-3). Row sums within the tolerance are set right.
    pub fn probabilities(ids: Vec<u64>, classes: Classes, p: Matrix, absent: Mask) -> Result<Self> {
        Self::checked_probabilities(Arc::new(ids), classes, p, absent)
    }

    fn checked_probabilities(
        ids: Arc<Vec<u64>>,
        classes: Classes,
        mut p: Matrix,
        absent: Mask,
    ) -> Result<Self> {
        if p.nrows() != ids.len() || absent.len() != ids.len() || p.ncols() != classes.count() {
            return Err(Error::model("predictions have the wrong shape")
                .expected(format!("{} rows of {} classes", ids.len(), classes.count()))
                .got(format!("{:?}, a mask of {}", p.shape(), absent.len())));
        }
        if classes.count() == 2 && !absent.any() && p.as_slice().is_some_and(are_shares) {
            return Ok(Self { ids, output: Output::Probabilities { classes, p }, absent });
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
            if (sum - 1.0).abs() > SUM_TOLERANCE {
                row /= sum;
            }
        }
        Ok(Self { ids, output: Output::Probabilities { classes, p }, absent })
    }

    /// A value a row.
    ///
    /// # Errors
    /// [`Error::Model`] if lengths differ or a present value is not finite.
    pub fn values(ids: Vec<u64>, values: Vec<f32>, absent: Mask) -> Result<Self> {
        Self::checked_values(Arc::new(ids), values, absent)
    }

    fn checked_values(ids: Arc<Vec<u64>>, mut values: Vec<f32>, absent: Mask) -> Result<Self> {
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
        Self::checked(Arc::new(ids), task, output, absent)
    }

    /// The same for the rows of other predictions, whose ids are shared.
    ///
    /// # Errors
    /// As [`Predictions::for_task`].
    pub fn for_rows_of(other: &Self, task: &Task, output: Matrix, absent: Mask) -> Result<Self> {
        Self::checked(Arc::clone(&other.ids), task, output, absent)
    }

    fn checked(ids: Arc<Vec<u64>>, task: &Task, output: Matrix, absent: Mask) -> Result<Self> {
        match task {
            Task::Classify(classes) => Self::checked_probabilities(ids, classes.clone(), output, absent),
            Task::Regress if output.ncols() == 1 => {
                Self::checked_values(ids, output.into_iter().collect(), absent)
            }
            Task::Regress => {
                Err(Error::model("a regression gives one column").got(format!("{} columns", output.ncols())))
            }
        }
    }

    /// The row ids.
    pub fn ids(&self) -> &[u64] {
        &self.ids
    }

    /// Whether these are the same rows in the same order.
    pub fn same_rows(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.ids, &other.ids) || self.ids == other.ids
    }

    /// Holds the ids of `other` instead of its own, if they are the same: once in memory for all members.
    #[must_use]
    pub fn sharing_ids(self, other: &Self) -> Self {
        if self.same_rows(other) { Self { ids: Arc::clone(&other.ids), ..self } } else { self }
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
            ids: Arc::new(rows.iter().map(|&r| self.ids[r]).collect()),
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

/// Row sums this near to one are left as they are.
const SUM_TOLERANCE: f32 = 1e-6;

/// Whether the rows of two classes are as they must be, so that there is nothing to set right.
fn are_shares(cells: &[f32]) -> bool {
    let bad = |[a, b]: &[f32; 2]| {
        let share = |v: f32| (0.0..=1.0).contains(&v) & v.is_sign_positive();
        !(share(*a) & share(*b) & ((a + b - 1.0).abs() <= SUM_TOLERANCE))
    };
    // A block at a time, without a branch within it.
    cells.as_chunks::<2>().0.chunks(1024).all(|rows| !rows.iter().fold(false, |any, row| any | bad(row)))
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
    fn rows_of_two_classes_are_judged_one_by_one_or_all_at_once_alike() {
        for odd in [
            [0.25, 0.75],
            [0.25, 0.7503],
            [-0.0, 1.0],
            [-1e-7, 1.0],
            [0.5, 0.6],
            [f32::NAN, 1.0],
            [1.2, -0.2],
        ] {
            // Beside an absent row none is passed over.
            let rows = |absent: f32| vec![0.5, 0.5, odd[0], odd[1], absent, 1.0 - absent];
            let of = |rows, mask| {
                let p = Matrix::from_shape_vec((3, 2), rows).unwrap();
                let p = Predictions::probabilities(vec![1, 2, 3], classes(), p, Mask::from_marks(mask));
                p.map(|p| {
                    p.p().unwrap().as_slice().unwrap()[..4].iter().map(|v| v.to_bits()).collect::<Vec<_>>()
                })
            };
            let (all, each) = (of(rows(0.5), vec![false; 3]), of(rows(9.0), vec![false, false, true]));
            match (all, each) {
                (Ok(all), Ok(each)) => assert_eq!(all, each, "{odd:?}"),
                (all, each) => assert!(all.is_err() && each.is_err(), "{odd:?}"),
            }
        }
    }

    #[test]
    fn ids_are_shared_by_the_same_rows_alone() {
        let of = |ids: Vec<u64>| Predictions::values(ids, vec![1.0, 2.0], Mask::none(2)).unwrap();
        let (a, b, c) = (of(vec![1, 2]), of(vec![1, 2]), of(vec![2, 1]));
        assert!(a.same_rows(&b) && !a.same_rows(&c));
        assert!(std::ptr::eq(b.sharing_ids(&a).ids(), a.ids()));
        assert_eq!(c.sharing_ids(&a).ids(), [2, 1]);
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
