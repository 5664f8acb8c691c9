//! Members without a tensor backend: one learner a file, on a matrix of features.
//!
//! A new one is a file with its parameters, formula, source and tests, and a line in each of the two lists here.
//! Learners whose loss is linear in the truth take shares of classes too
//! ([`ByShares`](crate::model::ByShares)), by which they learn from a teacher.
//! Classes that do not occur among the fitting rows get a probability of zero; where only one class occurs every
//! learner gives that class, as [`Constant`] does. Results are the same bits on any number of threads.

mod boost_loss;
mod constant;
mod gradient_boosting;
mod knn;
mod labels;
mod linear;
mod logistic;
mod naive_bayes;
mod present;
mod random_forest;
mod rows;
mod trees;

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod credit;
#[cfg(test)]
mod golden;

pub use constant::Constant;
pub use gradient_boosting::GradientBoosting;
pub use knn::{Knn, Votes};
pub use linear::Linear;
pub use logistic::Logistic;
pub use naive_bayes::{Likelihood, NaiveBayes};
pub use random_forest::RandomForest;

use crate::entry;
use crate::model::{FittedLearner, Learner, Load};
use crate::registry::Registry;

/// Every learner, in the order in which it is shown.
pub static REGISTRY: Registry<dyn Learner> = Registry {
    what: "learner",
    entries: &[
        entry!(dyn Learner, Constant),
        entry!(dyn Learner, Linear),
        entry!(dyn Learner, Logistic),
        entry!(dyn Learner, NaiveBayes),
        entry!(dyn Learner, Knn),
        entry!(dyn Learner, RandomForest),
        entry!(dyn Learner, GradientBoosting),
    ],
};

/// How fitted ones are loaded, by kind.
pub const LOADERS: &[(&str, Load<dyn FittedLearner>)] = &[
    ("constant", constant::load),
    ("linear", linear::load),
    ("logistic", logistic::load),
    ("naive_bayes", naive_bayes::load),
    ("knn", knn::load),
    ("random_forest", random_forest::load),
    ("gradient_boosting", gradient_boosting::load),
];
