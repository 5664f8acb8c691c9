//! The regions of rows.

use ndarray::Array2;

use crate::error::{Error, Result};
use crate::model::{Classes, Mask, Predictions, Task};

/// What the regions of rows hold.
#[derive(Debug, Clone, PartialEq)]
pub enum Held {
    /// Sets of classes.
    Classes {
        /// The classes, in the order of the columns.
        classes: Classes,
        /// `[rows, classes]`: whether a class is in the set of a row.
        holds: Array2<bool>,
    },
    /// Intervals, ends included; empty where the lower end lies above the upper one, infinite where nothing is known.
    Intervals {
        /// The lower ends.
        lower: Vec<f64>,
        /// The upper ends.
        upper: Vec<f64>,
    },
}

/// A region for each row. What a row about which the model said nothing holds has no meaning.
#[derive(Debug, Clone, PartialEq)]
pub struct Sets {
    ids: Vec<u64>,
    held: Held,
    absent: Mask,
}

impl Sets {
    pub(super) fn new(ids: Vec<u64>, held: Held, absent: Mask) -> Self {
        Self { ids, held, absent }
    }

    /// The row ids.
    pub fn ids(&self) -> &[u64] {
        &self.ids
    }

    /// What they hold.
    pub fn held(&self) -> &Held {
        &self.held
    }

    /// The rows about which the model said nothing.
    pub fn absent(&self) -> &Mask {
        &self.absent
    }

    /// How many rows.
    pub fn rows(&self) -> usize {
        self.ids.len()
    }

    /// The size of a row's region: how many classes, or the length of the interval (0 for an empty one).
    pub fn size(&self, row: usize) -> f64 {
        match &self.held {
            Held::Classes { holds, .. } => holds.row(row).iter().filter(|h| **h).count() as f64,
            Held::Intervals { lower, upper } => (upper[row] - lower[row]).max(0.0),
        }
    }

    /// Whether a row's region is empty.
    pub fn is_empty(&self, row: usize) -> bool {
        match &self.held {
            Held::Classes { holds, .. } => !holds.row(row).iter().any(|h| *h),
            Held::Intervals { lower, upper } => lower[row] > upper[row],
        }
    }

    /// Whether a row's region is everything.
    pub fn is_full(&self, row: usize) -> bool {
        match &self.held {
            Held::Classes { holds, .. } => holds.row(row).iter().all(|h| *h),
            Held::Intervals { lower, upper } => {
                lower[row] == f64::NEG_INFINITY && upper[row] == f64::INFINITY
            }
        }
    }
}

/// Checks that there are `count` predictions of the same rows and of `task`; gives the rows about which any of them
/// says nothing.
pub(super) fn checked(said: &[Predictions], count: usize, task: &Task) -> Result<Mask> {
    if said.len() != count {
        return Err(Error::model("the region was asked for with another number of predictions")
            .expected(count)
            .got(said.len()));
    }
    let Some(first) = said.first() else {
        return Err(Error::model("a region needs predictions"));
    };
    if said.iter().any(|p| p.ids() != first.ids()) {
        return Err(Error::model("the predictions are for different rows"));
    }
    if said.iter().any(|p| p.task() != *task) {
        return Err(Error::model("the predictions are for another task or other classes than the region"));
    }
    Ok((0..first.rows()).map(|r| said.iter().any(|p| p.absent().is_set(r))).collect())
}

/// Checks the strata of new rows.
pub(super) fn checked_strata(by: super::By, stratum: Option<&[u32]>, rows: usize) -> Result<()> {
    by.check(stratum)?;
    match stratum {
        Some(s) if s.len() != rows => {
            Err(Error::model("there is not one stratum a row").expected(rows).got(s.len()))
        }
        _ => Ok(()),
    }
}
