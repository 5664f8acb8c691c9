//! Training: settings, optimizers, schedules, early stopping on inner rows, the loop.

mod adam;
mod feed;
mod fit;
mod loss;
mod schedule;
mod settings;
mod sgd;
mod split;
mod start;

pub use adam::Adam;
pub use fit::fit;
pub use schedule::Schedule;
pub use settings::{Optimizer, Training};
pub use sgd::Sgd;

use std::collections::BTreeMap;
use std::sync::Arc;

use consilience_core::Result;
use consilience_core::model::Batch;
use consilience_core::seed::Seed;

use crate::params::Params;

/// Changes a raw training batch before its fitted preprocessing: the batch, the seed of the fit's augmentation, and the
/// epoch from 1. What is drawn for a row should depend on seed, epoch and row id only.
pub type AugmentHook = Arc<dyn Fn(&mut Batch, Seed, u32) -> Result<()> + Send + Sync>;

/// Moves parameters against their gradients. A parameter without a gradient stays as it is.
pub trait Step: Send {
    /// One step of size `rate`.
    fn step(&mut self, params: &mut Params, gradients: &BTreeMap<String, Vec<f32>>, rate: f64);
}
