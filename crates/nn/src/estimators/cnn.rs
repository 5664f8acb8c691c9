//! A convolutional network.

use consilience_core::Result;
use consilience_core::model::Field;
use consilience_core::registry::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{NetworkMethod, alone};
use crate::architecture::Architecture;
use crate::encode::{CnnEncoder, Encode, Encoder};
use crate::train::Training;

/// Convolution blocks, a dense layer and a linear head, on one modality `[channels, height, width]` or `[steps, width]`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Cnn {
    /// What reads the modality.
    #[serde(flatten)]
    pub encoder: CnnEncoder,
    /// How it is trained.
    #[serde(flatten)]
    pub training: Training,
}

impl Method for Cnn {
    const NAME: &'static str = "cnn";
    const VERSION: u32 = 4;
    const ABOUT: &'static str = "convolutions on one modality (images, log-mel spectrograms, sequences)";

    fn validate(&self) -> Result<()> {
        self.training.validate()
    }
}

impl NetworkMethod for Cnn {
    fn architecture(&self, fields: &[Field]) -> Result<Architecture> {
        alone(fields, Encoder::Cnn(self.encoder.clone()))
    }

    fn encoders(&self) -> Vec<&dyn Encode> {
        vec![&self.encoder]
    }

    fn training(&self) -> &Training {
        &self.training
    }
}
