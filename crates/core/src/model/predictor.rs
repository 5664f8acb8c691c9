//! What predicts.

use std::collections::BTreeMap;

use super::batch::Batch;
use super::graph::{Answer, Graph, refused};
use super::parts::{Array, Parts};
use super::predictions::Predictions;
use super::schema::Schema;
use super::target::Task;
use crate::array::Matrix;
use crate::error::Result;

/// A fitted model: immutable, shareable between threads, saved and loaded as a directory.
pub trait Model: Send + Sync {
    /// The key under which [`Loaders`](super::Loaders) load it: "tabular", "network", "composition".
    fn kind(&self) -> &'static str;

    /// What it predicts: classes by name in order, or values.
    fn task(&self) -> &Task;

    /// The raw columns that it reads.
    fn schema(&self) -> &Schema;

    /// Predicts. A column that the batch lacks is absent on every row; a row about which nothing can be said is
    /// marked absent in the result.
    ///
    /// # Errors
    /// [`Error::Data`](crate::Error::Data) for columns of another kind or shape.
    fn predict(&self, batch: &Batch) -> Result<Predictions>;

    /// Everything needed to load it again, as data.
    ///
    /// # Errors
    /// [`Error::Internal`](crate::Error::Internal) if it cannot be said.
    fn save(&self) -> Result<Parts>;

    /// How many trained numbers it has, where that means something.
    fn parameters(&self) -> Option<u64> {
        None
    }

    /// The features before its head, if it has such.
    fn embed(&self) -> Option<&dyn Embed> {
        None
    }

    /// Writes what it computes onto a graph, from the inputs of its raw columns on.
    ///
    /// # Errors
    /// [`Error::Model`](crate::Error::Model) naming the part that no graph can say.
    fn graph(&self, _graph: &mut Graph) -> Result<Answer> {
        Err(refused(&format!("a model of the kind \"{}\"", self.kind()), ""))
    }

    /// The trained arrays by name, for models that are networks; as PyTorch's own modules name them if asked to.
    fn tensors(&self, _torch_names: bool) -> Option<BTreeMap<String, Array>> {
        None
    }

    /// The models it is composed of, by name.
    fn members(&self) -> Vec<(&str, &dyn Model)> {
        Vec::new()
    }

    /// The weight of each member or modality in the composition, where there is such a thing.
    fn weights(&self) -> Option<Vec<(String, f64)>> {
        None
    }
}

/// Gives the features before the head.
pub trait Embed: Send + Sync {
    /// The width of a row of features.
    fn width(&self) -> usize;

    /// Features `[rows, width]`; rows whose inputs are absent hold zeros.
    ///
    /// # Errors
    /// As [`Model::predict`].
    fn embed(&self, batch: &Batch) -> Result<Matrix>;
}
