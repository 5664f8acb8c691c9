//! Fitted preprocessing: one step a file, from one column to one column.
//!
//! A new one is a file with its parameters, formula, source and tests, and a line in each of the two lists here.

use crate::model::{Feature, FittedFeature, Load};
use crate::registry::Registry;

/// Every feature step, in the order in which it is shown.
pub static REGISTRY: Registry<dyn Feature> = Registry { what: "feature step", entries: &[] };

/// How fitted ones are loaded, by kind.
pub const LOADERS: &[(&str, Load<dyn FittedFeature>)] = &[];

/// TEMP
pub fn defaults(_: &crate::model::Field, _: bool) -> crate::Result<Vec<(&'static str, serde_json::Value)>> {
    Ok(vec![])
}
