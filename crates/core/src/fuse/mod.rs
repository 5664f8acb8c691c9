//! Compositions of predictions: one way a file.
//!
//! A new one is a file with its parameters, formula, source and tests, and a line in each of the two lists here.

mod aligned;
mod annotators;
mod blending;
mod boosted_stack;
mod by_voices;
mod calibrated;
mod cascade;
mod cascade_curve;
#[cfg(test)]
pub(crate) mod cases;
#[cfg(test)]
mod conformance;
mod dawid_skene;
mod evidence;
mod gate;
mod gate_graph;
mod gate_loss;
mod gate_open;
mod gate_view;
mod geometric_mean;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod golden_ways;
mod greedy;
mod greedy_area;
mod greedy_columns;
mod greedy_logs;
mod greedy_rows;
mod greedy_scores;
mod hard_vote;
mod median;
mod mixed;
mod pointwise;
mod pointwise_graph;
mod pool;
mod power_mean;
mod pruned;
mod pseudo_bma;
mod rank_mean;
#[cfg(test)]
mod reference;
mod simplex;
mod soft_vote;
mod stack;
mod stack_features;
mod stacking;
mod trimmed_mean;
mod weighted;

pub use blending::Blending;
pub use boosted_stack::BoostedStack;
pub use calibrated::Calibrated;
pub use cascade::{Cascade, spending};
pub use cascade_curve::Point;
pub use dawid_skene::{DawidSkene, Truth};
pub use gate::Gate;
pub use geometric_mean::GeometricMean;
pub use greedy::{Greedy, Objective};
pub use hard_vote::HardVote;
pub use median::Median;
pub use pointwise::{Exponent, Limit};
pub use power_mean::PowerMean;
pub use pruned::{Pruned, reduced};
pub use pseudo_bma::PseudoBma;
pub use rank_mean::RankMean;
pub use soft_vote::SoftVote;
pub use stack_features::On;
pub use stacking::Stacking;
pub use trimmed_mean::TrimmedMean;
pub use weighted::Weighted;

pub(crate) use aligned::view;
pub(crate) use evidence::{row_weights, voiced_rows};

use crate::entry;
use crate::model::{Fused, Fuser, Load};
pub use crate::model::{PARTS, cross_fitted, parts};
use crate::registry::Registry;

/// Every way to fuse, in the order in which it is shown.
pub static REGISTRY: Registry<dyn Fuser> = Registry {
    what: "way to fuse",
    entries: &[
        entry!(dyn Fuser, SoftVote),
        entry!(dyn Fuser, HardVote),
        entry!(dyn Fuser, Median),
        entry!(dyn Fuser, TrimmedMean),
        entry!(dyn Fuser, GeometricMean),
        entry!(dyn Fuser, PowerMean),
        entry!(dyn Fuser, RankMean),
        entry!(dyn Fuser, Weighted),
        entry!(dyn Fuser, PseudoBma),
        entry!(dyn Fuser, Greedy),
        entry!(dyn Fuser, Stacking),
        entry!(dyn Fuser, Blending),
        entry!(dyn Fuser, BoostedStack),
        entry!(dyn Fuser, DawidSkene),
        entry!(dyn Fuser, Cascade),
        entry!(dyn Fuser, Gate),
    ],
};

/// How fitted ones are loaded, by kind.
pub const LOADERS: &[(&str, Load<dyn Fused>)] = &[
    (pool::KIND, pool::Pool::load),
    (pointwise::KIND, pointwise::load),
    (rank_mean::KIND, rank_mean::load),
    (stack::KIND, stack::load),
    (annotators::KIND, annotators::load),
    (gate::KIND, gate::load),
    (by_voices::KIND, by_voices::load),
    (calibrated::KIND, calibrated::load),
    (pruned::KIND, pruned::load),
    (cascade::KIND, cascade::load),
];
