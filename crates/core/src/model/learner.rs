//! What fits on a matrix of features: the members without a tensor backend.

use super::estimator::Context;
use super::graph::{Graph, Value, refused};
use super::parts::Parts;
use super::target::{Classes, Target, Task};
use crate::array::{ArrayView2, Matrix};
use crate::error::Result;

/// Unfitted settings of a learner on features.
pub trait Learner: Send + Sync {
    /// Whether it can do the task.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) if it cannot.
    fn check(&self, task: &Task) -> Result<()>;

    /// Fits to `x [rows, features]`, finite, with one truth and optionally one positive weight a row.
    ///
    /// # Errors
    /// [`Error::Data`](crate::Error::Data) for rows it cannot be fitted to (no rows, not finite).
    fn fit(
        &self,
        x: ArrayView2<'_, f32>,
        target: &Target,
        weight: Option<&[f32]>,
        context: &Context<'_>,
    ) -> Result<Box<dyn FittedLearner>>;

    /// The same learner fitted to shares of classes, if it can be.
    fn by_shares(&self) -> Option<&dyn ByShares> {
        None
    }
}

/// How much of each row belongs to each class: what a teacher says, mixed with the truth.
#[derive(Debug, Clone, Copy)]
pub struct Shares<'a> {
    /// The classes.
    pub classes: &'a Classes,
    /// `[rows, classes]`, from zero on; every row sums to one.
    pub p: ArrayView2<'a, f32>,
}

/// A learner whose loss is linear in the truth: a row that belongs to several classes counts as so many rows, each of one
/// class and with its share of the weight, but is drawn, held back and counted as the one row that it is.
pub trait ByShares: Send + Sync {
    /// Fits to `x [rows, features]`, finite, with shares of the classes and optionally one positive weight a row. Where
    /// every row belongs to one class it gives what [`Learner::fit`] gives.
    ///
    /// # Errors
    /// [`Error::Data`](crate::Error::Data) for rows it cannot be fitted to.
    fn fit_shares(
        &self,
        x: ArrayView2<'_, f32>,
        shares: Shares<'_>,
        weight: Option<&[f32]>,
        context: &Context<'_>,
    ) -> Result<Box<dyn FittedLearner>>;
}

/// A fitted learner.
pub trait FittedLearner: Send + Sync {
    /// The key under which it is loaded.
    fn kind(&self) -> &'static str;

    /// Probabilities `[rows, classes]`, or values `[rows, 1]`, for `x [rows, features]`.
    ///
    /// # Errors
    /// [`Error::Data`](crate::Error::Data) if the width differs from that of fitting.
    fn predict(&self, x: ArrayView2<'_, f32>) -> Result<Matrix>;

    /// Everything needed to load it again.
    ///
    /// # Errors
    /// [`Error::Internal`](crate::Error::Internal) if it cannot be said.
    fn save(&self) -> Result<Parts>;

    /// Writes what [`FittedLearner::predict`] does onto a graph: `float32 [rows, features]` to `float32 [rows, outputs]`.
    ///
    /// # Errors
    /// [`Error::Model`](crate::Error::Model) if no graph can say it.
    fn graph(&self, _graph: &mut Graph, _x: &Value) -> Result<Value> {
        Err(refused(&format!("the learner \"{}\"", self.kind()), ""))
    }

    /// How many fitted numbers it has.
    fn parameters(&self) -> u64;
}
