//! A recurrent network.

use consilience_core::Result;
use consilience_core::model::Field;
use consilience_core::registry::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{NetworkMethod, alone};
use crate::architecture::Architecture;
use crate::encode::{Encode, Encoder, GruEncoder};
use crate::train::Training;

/// A gated recurrent layer and a linear head, on one modality of steps or frames.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Gru {
    /// What reads the modality.
    #[serde(flatten)]
    pub encoder: GruEncoder,
    /// How it is trained.
    #[serde(flatten)]
    pub training: Training,
}

impl Method for Gru {
    const NAME: &'static str = "gru";
    const VERSION: u32 = 4;
    const ABOUT: &'static str = "a recurrent layer on one modality (sequences, log-mel frames)";

    fn validate(&self) -> Result<()> {
        self.training.validate()
    }
}

impl NetworkMethod for Gru {
    fn architecture(&self, fields: &[Field]) -> Result<Architecture> {
        alone(fields, Encoder::Gru(self.encoder.clone()))
    }

    fn encoders(&self) -> Vec<&dyn Encode> {
        vec![&self.encoder]
    }

    fn training(&self) -> &Training {
        &self.training
    }
}
