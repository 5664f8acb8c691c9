//! A recurrent network with long short-term memory.

use consilience_core::Result;
use consilience_core::model::Field;
use consilience_core::registry::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{NetworkMethod, alone};
use crate::architecture::Architecture;
use crate::encode::{Encode, Encoder, LstmEncoder};
use crate::train::Training;

/// Layers of long short-term memory and a linear head, on one modality of steps or frames.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Lstm {
    /// What reads the modality.
    #[serde(flatten)]
    pub encoder: LstmEncoder,
    /// How it is trained.
    #[serde(flatten)]
    pub training: Training,
}

impl Method for Lstm {
    const NAME: &'static str = "lstm";
    const VERSION: u32 = 1;
    const ABOUT: &'static str = "long short-term memory on one modality (sequences, log-mel frames)";

    fn validate(&self) -> Result<()> {
        self.training.validate()
    }
}

impl NetworkMethod for Lstm {
    fn architecture(&self, fields: &[Field]) -> Result<Architecture> {
        alone(fields, Encoder::Lstm(self.encoder.clone()))
    }

    fn encoders(&self) -> Vec<&dyn Encode> {
        vec![&self.encoder]
    }

    fn training(&self) -> &Training {
        &self.training
    }
}
