//! Making probabilities mean what they say, and regions that hold the truth as often as they promise.
//!
//! A calibrator is a [`Fuser`] of one member: it is fitted to that member's honest predictions and gives probabilities
//! again, so that whatever can be fused can be calibrated, a composition too. One way a file; a new one is a file with
//! its parameters, formula, source and tests, and a line in each of the two lists here. [`conformal`] holds regions.

mod auto;
mod beta;
#[cfg(test)]
mod cases;
pub mod conformal;
#[cfg(test)]
mod conformance;
#[cfg(test)]
mod golden;
mod isotonic;
mod logit_fit;
#[cfg(test)]
pub(crate) mod on_graph;
mod one_against_rest;
mod platt;
mod rows;
mod temperature;
mod uncalibrated;

pub use auto::Auto;
pub use beta::Beta;
pub use isotonic::Isotonic;
pub use platt::Platt;
pub use temperature::Temperature;

use crate::entry;
use crate::model::{Fused, Fuser, Load};
use crate::registry::Registry;

/// Every way to calibrate, in the order in which it is shown.
pub static REGISTRY: Registry<dyn Fuser> = Registry {
    what: "way to calibrate",
    entries: &[
        entry!(dyn Fuser, Auto),
        entry!(dyn Fuser, Temperature),
        entry!(dyn Fuser, Platt),
        entry!(dyn Fuser, Beta),
        entry!(dyn Fuser, Isotonic),
    ],
};

/// How fitted ones are loaded, by kind.
pub const LOADERS: &[(&str, Load<dyn Fused>)] = &[
    (uncalibrated::KIND, uncalibrated::load),
    (temperature::KIND, temperature::load),
    (platt::KIND, one_against_rest::load::<platt::Line>),
    (beta::KIND, one_against_rest::load::<beta::Bend>),
    (isotonic::KIND, one_against_rest::load::<isotonic::Steps>),
];
