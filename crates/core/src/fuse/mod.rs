//! Compositions of predictions: one way a file.
//!
//! A new one is a file with its parameters, formula, source and tests, and a line in each of the two lists here.

use crate::model::{Fused, Fuser, Load};
use crate::registry::Registry;

/// Every way to fuse, in the order in which it is shown.
pub static REGISTRY: Registry<dyn Fuser> = Registry { what: "way to fuse", entries: &[] };

/// How fitted ones are loaded, by kind.
pub const LOADERS: &[(&str, Load<dyn Fused>)] = &[];
