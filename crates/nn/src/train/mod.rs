//! Training: settings, optimizers, schedules, early stopping on inner rows, the loop.

mod adam;
mod ahead;
mod average;
mod checkpoint;
mod class_weights;
mod divergence;
mod feed;
mod fit;
mod loss;
mod mixing;
mod moments;
mod outside;
mod pace;
mod rates;
mod run;
mod schedule;
mod settings;
mod sgd;
mod split;
mod standing;
mod start;
mod step;
mod taught;

pub use adam::Adam;
pub use class_weights::{ClassWeights, Rule};
pub use fit::{fit, lesson};
pub use moments::{MOMENT_ROWS, MOMENTS_VERSION, refresh_moments};
pub use outside::{Outside, Weights, read as outside};
pub use rates::Factors;
pub use schedule::Schedule;
pub use settings::{Optimizer, Training};
pub use sgd::Sgd;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use consilience_core::Result;
use consilience_core::augment::Mixup;
use consilience_core::model::{Batch, Parts};
use consilience_core::seed::Seed;

use crate::backend::Host;
use crate::params::Params;

/// Changes a raw training batch before its fitted preprocessing: the batch, the seed of the fit's augmentation, and the
/// epoch from 1. What is drawn for a row should depend on seed, epoch and row id only.
pub type AugmentHook = Arc<dyn Fn(&mut Batch, Seed, u32) -> Result<()> + Send + Sync>;

/// What is done to the rows that a network is fitted to, and to no others (not to those held out for early stopping).
#[derive(Clone, Default)]
pub struct Augmentation {
    /// Changes raw batches.
    pub batch: Option<AugmentHook>,
    /// Mixes prepared rows, and their truths, with partners; after `batch`.
    pub mixup: Option<Mixup>,
}

impl fmt::Debug for Augmentation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Augmentation")
            .field("batch", &self.batch.is_some())
            .field("mixup", &self.mixup)
            .finish()
    }
}

/// Moves parameters against their gradients. A parameter without a gradient stays as it is, to the last bit.
pub trait Step: Send {
    /// One step of size `rate`.
    fn step(&mut self, params: &mut Params, gradients: &BTreeMap<String, Host>, rate: f64) {
        self.step_by(params, gradients, rate, &Factors::default());
    }

    /// One step of size `rate` times the factor of each parameter; those that are frozen stay.
    fn step_by(
        &mut self,
        params: &mut Params,
        gradients: &BTreeMap<String, Host>,
        rate: f64,
        factors: &Factors,
    );

    /// What it remembers of the steps so far.
    fn save(&self) -> Parts;

    /// Takes back what [`Step::save`] gave, for these parameters.
    ///
    /// # Errors
    /// [`Error::Model`](consilience_core::Error::Model) if it does not fit the parameters.
    fn load(&mut self, parts: &Parts, params: &Params) -> Result<()>;
}
