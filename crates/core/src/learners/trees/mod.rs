//! Decision trees on binned features: what the forest and the boosting share.

mod bins;
mod boost;
mod flat;
mod forest;
mod graph;

pub(super) use bins::Binned;
pub(super) use boost::Booster;
pub(super) use flat::{Tree, Trees};
pub(super) use forest::{Grower, Truth};
