//! Fitted preprocessing: one step a file, from one column to one column.
//!
//! A new one is a file with its parameters, formula, source and tests, and a line in each of the two lists here.
//! Every step is fitted on the rows it is given and nothing else: rows without a value never enter a statistic.

mod defaults;
mod flatten;
mod impute;
#[cfg(feature = "audio")]
mod log_mel;
mod normalize;
mod one_hot;
mod ordinal;
mod power;
mod project;
mod project_arrays;
mod reading;
mod resample;
mod scale;
mod standardize;
mod steps;
mod summary;
mod tensor;
mod tfidf;
mod tokens;
#[cfg(feature = "audio")]
mod waveform;
mod words;

#[cfg(test)]
mod conformance;

pub use defaults::{Reader, defaults};
pub use flatten::Flatten;
pub use impute::{Impute, Strategy};
#[cfg(feature = "audio")]
pub use log_mel::LogMel;
pub use normalize::Normalize;
pub use one_hot::OneHot;
pub use ordinal::Ordinal;
pub use power::Power;
pub use project::Project;
pub use scale::Scale;
pub use standardize::{Per, Standardize};
pub use steps::{Longer, Steps};
pub use summary::Summary;
pub use tensor::Tensor;
pub use tfidf::TfIdf;
pub use tokens::Tokens;
#[cfg(feature = "audio")]
pub use waveform::Waveform;

use crate::entry;
use crate::model::{Feature, FittedFeature, Load};
use crate::registry::{Entry, Registry};

/// Every feature step, in the order in which it is shown.
pub static REGISTRY: Registry<dyn Feature> = Registry { what: "feature step", entries: ENTRIES };

/// The steps of [`REGISTRY`], for registries that hold more.
pub const ENTRIES: &[Entry<dyn Feature>] = &[
    entry!(dyn Feature, Impute),
    entry!(dyn Feature, Standardize),
    entry!(dyn Feature, Scale),
    entry!(dyn Feature, Normalize),
    entry!(dyn Feature, Power),
    entry!(dyn Feature, OneHot),
    entry!(dyn Feature, Ordinal),
    entry!(dyn Feature, Tensor),
    entry!(dyn Feature, Project),
    #[cfg(feature = "audio")]
    entry!(dyn Feature, LogMel),
    #[cfg(feature = "audio")]
    entry!(dyn Feature, Waveform),
    entry!(dyn Feature, TfIdf),
    entry!(dyn Feature, Tokens),
    entry!(dyn Feature, Steps),
    entry!(dyn Feature, Summary),
    entry!(dyn Feature, Flatten),
];

/// How fitted ones are loaded, by kind.
pub const LOADERS: &[(&str, Load<dyn FittedFeature>)] = &[
    ("impute", impute::load),
    ("standardize", standardize::load),
    ("scale", scale::load),
    ("normalize", normalize::load),
    ("power", power::load),
    ("one_hot", one_hot::load),
    ("ordinal", ordinal::load),
    ("tensor", tensor::load),
    ("project", project::load),
    #[cfg(feature = "audio")]
    ("log_mel", log_mel::load),
    #[cfg(feature = "audio")]
    ("waveform", waveform::load),
    ("tfidf", tfidf::load),
    ("tokens", tokens::load),
    ("steps", steps::load),
    ("summary", summary::load),
    ("flatten", flatten::load),
];
