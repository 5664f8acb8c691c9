//! One file a way to merge.

mod breadcrumbs;
mod breadcrumbs_ties;
mod dare_linear;
mod dare_ties;
mod della;
mod della_linear;
mod linear;
mod ram;
mod ramplus_tl;
mod sce;
#[cfg(test)]
mod sparse_tests;
mod ties;

use consilience_core::entry;
use consilience_core::registry::Registry;

use crate::method::MergeMethod;

pub use breadcrumbs::Breadcrumbs;
pub use breadcrumbs_ties::BreadcrumbsTies;
pub use dare_linear::DareLinear;
pub use dare_ties::DareTies;
pub use della::Della;
pub use della_linear::DellaLinear;
pub use linear::Linear;
pub use ram::Ram;
pub use ramplus_tl::RamPlus;
pub use sce::Sce;
pub use ties::Ties;

/// Every way to merge, in the order in which it is shown.
pub static METHODS: Registry<dyn MergeMethod> = Registry {
    what: "way to merge",
    entries: &[
        entry!(dyn MergeMethod, Linear),
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
    ],
};
