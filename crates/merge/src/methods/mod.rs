//! One file a way to merge.

mod arcee_fusion;
mod breadcrumbs;
mod breadcrumbs_ties;
#[cfg(test)]
mod conformance;
mod dare_linear;
mod dare_ties;
mod della;
mod della_linear;
mod karcher;
mod linear;
mod model_stock;
mod multislerp;
mod nearswap;
mod nuslerp;
mod passthrough;
mod ram;
mod ramplus_tl;
mod sce;
mod slerp;
#[cfg(test)]
mod sparse_tests;
mod task_arithmetic;
mod ties;

use consilience_core::entry;
use consilience_core::registry::Registry;

use crate::method::MergeMethod;

pub use arcee_fusion::ArceeFusion;
pub use breadcrumbs::Breadcrumbs;
pub use breadcrumbs_ties::BreadcrumbsTies;
pub use dare_linear::DareLinear;
pub use dare_ties::DareTies;
pub use della::Della;
pub use della_linear::DellaLinear;
pub use karcher::Karcher;
pub use linear::Linear;
pub use model_stock::ModelStock;
pub use multislerp::MultiSlerp;
pub use nearswap::NearSwap;
pub use nuslerp::NuSlerp;
pub use passthrough::Passthrough;
pub use ram::Ram;
pub use ramplus_tl::RamPlus;
pub use sce::Sce;
pub use slerp::Slerp;
pub use task_arithmetic::TaskArithmetic;
pub use ties::Ties;

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
        entry!(dyn MergeMethod, Ties),
        entry!(dyn MergeMethod, DareLinear),
        entry!(dyn MergeMethod, DareTies),
        entry!(dyn MergeMethod, Breadcrumbs),
        entry!(dyn MergeMethod, BreadcrumbsTies),
        entry!(dyn MergeMethod, Della),
        entry!(dyn MergeMethod, DellaLinear),
        entry!(dyn MergeMethod, Sce),
        entry!(dyn MergeMethod, Ram),
        entry!(dyn MergeMethod, RamPlus),
        entry!(dyn MergeMethod, ModelStock),
        entry!(dyn MergeMethod, NearSwap),
        entry!(dyn MergeMethod, ArceeFusion),
        entry!(dyn MergeMethod, Passthrough),
    ],
};
