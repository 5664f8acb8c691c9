//! Preprocessing of one column: fitted on training rows only, stored in the model.

use super::batch::Column;
use super::estimator::Context;
use super::graph::{Graph, Value, refused};
use super::parts::Parts;
use super::schema::Field;
use crate::error::Result;

/// Unfitted settings of a step from one column to one column.
pub trait Feature: Send + Sync {
    /// The column it would give, as far as that is known before fitting.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) if the step cannot read such a column.
    fn output(&self, input: &Field) -> Result<Field>;

    /// Whether fitting learns from the numbers of the rows. A step that does not is the same for any rows of one shape,
    /// so that it may stand before a model that was made elsewhere.
    fn learns(&self) -> bool {
        true
    }

    /// The files in the data folder that it reads when fitted; their contents are part of its hash.
    fn files(&self) -> Vec<String> {
        Vec::new()
    }

    /// Fits to the training rows of a column.
    ///
    /// # Errors
    /// [`Error::Data`](crate::Error::Data) for rows it cannot be fitted to.
    fn fit(&self, input: &Field, column: &Column, context: &Context<'_>) -> Result<Box<dyn FittedFeature>>;
}

/// A fitted step.
pub trait FittedFeature: Send + Sync {
    /// The key under which it is loaded.
    fn kind(&self) -> &'static str;

    /// The column it gives: always of a known shape.
    fn output(&self) -> &Field;

    /// Transforms rows. Unavailable rows stay unavailable, unless filling them is what the step is for.
    ///
    /// # Errors
    /// [`Error::Data`](crate::Error::Data) for a column of another kind or shape.
    fn apply(&self, column: &Column) -> Result<Column>;

    /// Everything needed to load it again.
    ///
    /// # Errors
    /// [`Error::Internal`](crate::Error::Internal) if it cannot be said.
    fn save(&self) -> Result<Parts>;

    /// Writes what [`FittedFeature::apply`] does onto a graph: from the value of its input column to that of its output,
    /// both as [`graph`](super::graph) lays them out. A fitted vector is `float32 [rows, shape..]`.
    ///
    /// # Errors
    /// [`Error::Model`](crate::Error::Model) if no graph can say it.
    fn graph(&self, _graph: &mut Graph, _x: &Value) -> Result<Value> {
        Err(refused(&format!("the step \"{}\"", self.kind()), ""))
    }

    /// A name for each number of an output row ("age", "age missing", "sex=f"); empty if they have none (pixels).
    fn names(&self) -> Vec<String> {
        Vec::new()
    }
}
