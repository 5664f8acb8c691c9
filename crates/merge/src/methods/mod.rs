//! One file a way to merge.

mod arcee_fusion;
#[cfg(test)]
mod conformance;
mod karcher;
mod linear;
mod model_stock;
mod multislerp;
mod nearswap;
mod nuslerp;
mod passthrough;
mod slerp;
mod task_arithmetic;

use consilience_core::entry;
use consilience_core::registry::Registry;

use crate::method::MergeMethod;

pub use arcee_fusion::ArceeFusion;
pub use karcher::Karcher;
pub use linear::Linear;
pub use model_stock::ModelStock;
pub use multislerp::MultiSlerp;
pub use nearswap::NearSwap;
pub use nuslerp::NuSlerp;
pub use passthrough::Passthrough;
pub use slerp::Slerp;
pub use task_arithmetic::TaskArithmetic;

/// Every way to merge, in the order in which it is shown.
pub static METHODS: Registry<dyn MergeMethod> = Registry {
    what: "way to merge",
    entries: &[
        entry!(dyn MergeMethod, Linear),
        entry!(dyn MergeMethod, Slerp),
        entry!(dyn MergeMethod, NuSlerp),
        entry!(dyn MergeMethod, MultiSlerp),
        entry!(dyn MergeMethod, Karcher),
        entry!(dyn MergeMethod, TaskArithmetic),
        entry!(dyn MergeMethod, ModelStock),
        entry!(dyn MergeMethod, NearSwap),
        entry!(dyn MergeMethod, ArceeFusion),
        entry!(dyn MergeMethod, Passthrough),
    ],
};
