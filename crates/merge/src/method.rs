//! The contract of a merge: several tensors of one name and shape become one.

use consilience_core::Result;
use consilience_core::entry;
use consilience_core::registry::Registry;

use crate::linear::Linear;

/// A way to merge checkpoints, tensor by tensor.
pub trait MergeMethod: Send + Sync {
    /// Whether it can merge so many members, with or without a base; called once before any tensor is touched.
    ///
    /// # Errors
    /// [`Error::Argument`](consilience_core::Error::Argument) naming the parameter that does not fit.
    fn check(&self, members: usize, base: bool) -> Result<()>;

    /// Merges the tensor `name`. `members` holds its values in each member, in order, all of one length; `base` those
    /// of the model that all members started from, where the method wants one.
    ///
    /// # Errors
    /// [`Error::Model`](consilience_core::Error::Model) for tensors that it cannot merge.
    fn merge(&self, name: &str, members: &[&[f32]], base: Option<&[f32]>) -> Result<Vec<f32>>;
}

/// Every way to merge, in the order in which it is shown.
pub static METHODS: Registry<dyn MergeMethod> =
    Registry { what: "way to merge", entries: &[entry!(dyn MergeMethod, Linear)] };
