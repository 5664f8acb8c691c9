//! What matches two feature spaces. Target labels cannot reach it: it is given none.

use super::estimator::Context;
use super::graph::{Graph, Value, refused};
use super::parts::Parts;
use super::target::Target;
use crate::array::{ArrayView2, Matrix};
use crate::error::Result;

/// Unfitted settings of a way to bring a source domain and a target domain together.
pub trait Adapter: Send + Sync {
    /// Fits to the features of both domains, `[rows, features]` each, and the labels of the source.
    ///
    /// # Errors
    /// [`Error::Data`](crate::Error::Data) for features it cannot be fitted to.
    fn fit(
        &self,
        source: ArrayView2<'_, f32>,
        labels: &Target,
        target: ArrayView2<'_, f32>,
        context: &Context<'_>,
    ) -> Result<Box<dyn Adapted>>;
}

/// A fitted match: maps features of either domain into the common space.
pub trait Adapted: Send + Sync {
    /// The key under which it is loaded.
    fn kind(&self) -> &'static str;

    /// Maps source features `[rows, features]`.
    ///
    /// # Errors
    /// [`Error::Data`](crate::Error::Data) if the width differs.
    fn source(&self, x: ArrayView2<'_, f32>) -> Result<Matrix>;

    /// Maps target features `[rows, features]`.
    ///
    /// # Errors
    /// [`Error::Data`](crate::Error::Data) if the width differs.
    fn target(&self, x: ArrayView2<'_, f32>) -> Result<Matrix>;

    /// Writes what [`Adapted::target`] does onto a graph, `float32 [rows, features]` to the same.
    ///
    /// # Errors
    /// [`Error::Model`](crate::Error::Model) if no graph can say it.
    fn graph(&self, _graph: &mut Graph, _x: &Value) -> Result<Value> {
        Err(refused(&format!("the adapter \"{}\"", self.kind()), ""))
    }

    /// Everything needed to load it again.
    ///
    /// # Errors
    /// [`Error::Internal`](crate::Error::Internal) if it cannot be said.
    fn save(&self) -> Result<Parts>;
}
