//! A convolutional network on samples.

use consilience_core::Result;
use consilience_core::model::Field;
use consilience_core::registry::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{NetworkMethod, alone};
use crate::architecture::Architecture;
use crate::encode::{Encode, Encoder, WaveformEncoder};
use crate::train::Training;

/// Convolutions over samples and a linear head, on one modality of sounds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Waveform {
    /// What reads the modality.
    #[serde(flatten)]
    pub encoder: WaveformEncoder,
    /// How it is trained.
    #[serde(flatten)]
    pub training: Training,
}

impl Method for Waveform {
    const NAME: &'static str = "waveform";
    const VERSION: u32 = 1;
    const ABOUT: &'static str = "convolutions over the samples of a sound";

    fn validate(&self) -> Result<()> {
        self.training.validate()
    }
}

impl NetworkMethod for Waveform {
    fn architecture(&self, fields: &[Field]) -> Result<Architecture> {
        alone(fields, Encoder::Waveform(self.encoder.clone()))
    }

    fn encoders(&self) -> Vec<&dyn Encode> {
        vec![&self.encoder]
    }

    fn training(&self) -> &Training {
        &self.training
    }
}
