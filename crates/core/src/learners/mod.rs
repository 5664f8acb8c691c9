//! Members without a tensor backend: one learner a file, on a matrix of features.
//!
//! A new one is a file with its parameters, formula, source and tests, and a line in each of the two lists here.

use crate::model::{FittedLearner, Learner, Load};
use crate::registry::Registry;

/// Every learner, in the order in which it is shown.
pub static REGISTRY: Registry<dyn Learner> = Registry { what: "learner", entries: &[] };

/// How fitted ones are loaded, by kind.
pub const LOADERS: &[(&str, Load<dyn FittedLearner>)] = &[];
