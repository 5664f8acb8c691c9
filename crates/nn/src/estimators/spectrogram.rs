//! A convolutional network on spectrograms.

use consilience_core::Result;
use consilience_core::model::Field;
use consilience_core::registry::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{NetworkMethod, alone};
use crate::architecture::Architecture;
use crate::encode::{Encode, Encoder, SpectrogramEncoder};
use crate::train::Training;

/// Convolutions with batch norm over a spectrogram and a linear head, on one modality of sounds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Spectrogram {
    /// What reads the modality.
    #[serde(flatten)]
    pub encoder: SpectrogramEncoder,
    /// How it is trained.
    #[serde(flatten)]
    pub training: Training,
}

impl Method for Spectrogram {
    const NAME: &'static str = "spectrogram";
    const VERSION: u32 = 1;
    const ABOUT: &'static str =
        "convolutions with batch norm over a log-mel spectrogram, wherever in it something is";

    fn validate(&self) -> Result<()> {
        self.training.validate()
    }
}

impl NetworkMethod for Spectrogram {
    fn architecture(&self, fields: &[Field]) -> Result<Architecture> {
        alone(fields, Encoder::Spectrogram(self.encoder.clone()))
    }

    fn encoders(&self) -> Vec<&dyn Encode> {
        vec![&self.encoder]
    }

    fn training(&self) -> &Training {
        &self.training
    }
}
