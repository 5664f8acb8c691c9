//! One file a way to merge.

mod linear;

use consilience_core::entry;
use consilience_core::registry::Registry;

use crate::method::MergeMethod;

pub use linear::Linear;

/// Every way to merge, in the order in which it is shown.
pub static METHODS: Registry<dyn MergeMethod> =
    Registry { what: "way to merge", entries: &[entry!(dyn MergeMethod, Linear)] };
