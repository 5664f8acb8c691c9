//! Compositions of predictions: one way a file.
//!
//! A new one is a file with its parameters, formula, source and tests, and a line in each of the two lists here.

mod aligned;
mod by_voices;
#[cfg(test)]
mod cases;
#[cfg(test)]
mod conformance;
mod crossfit;
mod evidence;
mod gate;
mod gate_graph;
mod gate_loss;
mod gate_open;
mod gate_view;
#[cfg(test)]
mod golden;
mod greedy;
mod greedy_scores;
mod hard_vote;
mod mixed;
mod pool;
#[cfg(test)]
mod reference;
mod simplex;
mod soft_vote;
mod stacking;
mod weighted;

pub use crossfit::{PARTS, cross_fitted, parts};
pub use gate::Gate;
pub use greedy::{Greedy, Objective};
pub use hard_vote::HardVote;
pub use soft_vote::SoftVote;
pub use stacking::Stacking;
pub use weighted::Weighted;

use crate::entry;
use crate::model::{Fused, Fuser, Load};
use crate::registry::Registry;

/// Every way to fuse, in the order in which it is shown.
pub static REGISTRY: Registry<dyn Fuser> = Registry {
    what: "way to fuse",
    entries: &[
        entry!(dyn Fuser, SoftVote),
        entry!(dyn Fuser, HardVote),
        entry!(dyn Fuser, Weighted),
        entry!(dyn Fuser, Greedy),
        entry!(dyn Fuser, Stacking),
        entry!(dyn Fuser, Gate),
    ],
};

/// How fitted ones are loaded, by kind.
pub const LOADERS: &[(&str, Load<dyn Fused>)] = &[
    (pool::KIND, pool::Pool::load),
    (stacking::KIND, stacking::load),
    (gate::KIND, gate::load),
    (by_voices::KIND, by_voices::load),
];
