//! Bringing a source domain and a target domain together: one way a file.
//!
//! A new one is a file with its parameters, formula, source and tests, and a line in each of the two lists here.

#[cfg(test)]
mod cases;
#[cfg(test)]
mod conformance;
mod coral;
mod domains;
#[cfg(test)]
mod reference;
mod source_only;

pub use coral::{Auto, Coral, Regularization};
pub use source_only::SourceOnly;

use crate::entry;
use crate::model::{Adapted, Adapter, Load};
use crate::registry::Registry;

/// Every way to adapt, in the order in which it is shown.
pub static REGISTRY: Registry<dyn Adapter> = Registry {
    what: "way to adapt",
    entries: &[entry!(dyn Adapter, SourceOnly), entry!(dyn Adapter, Coral)],
};

/// How fitted ones are loaded, by kind.
pub const LOADERS: &[(&str, Load<dyn Adapted>)] =
    &[(source_only::KIND, source_only::load), (coral::KIND, coral::load)];
