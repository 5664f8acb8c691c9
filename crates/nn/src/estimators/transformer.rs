//! A network on text: attention among a text's tokens or a sequence's steps.

use consilience_core::Result;
use consilience_core::model::Field;
use consilience_core::registry::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{NetworkMethod, alone};
use crate::architecture::Architecture;
use crate::encode::{Encoder, TransformerEncoder};
use crate::train::Training;

/// Blocks of attention among the tokens of a text or the steps of a sequence, their mean, and a linear head. A
/// column of text becomes numbers of tokens by itself.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Transformer {
    /// What reads the modality.
    #[serde(flatten)]
    pub encoder: TransformerEncoder,
    /// How it is trained.
    #[serde(flatten)]
    pub training: Training,
}

impl Method for Transformer {
    const NAME: &'static str = "transformer";
    const ABOUT: &'static str = "attention among a text's tokens or a sequence's steps";

    fn validate(&self) -> Result<()> {
        self.training.validate()
    }
}

impl NetworkMethod for Transformer {
    fn architecture(&self, fields: &[Field]) -> Result<Architecture> {
        alone(fields, Encoder::Transformer(self.encoder.clone()))
    }

    fn reads_words(&self, _column: &str) -> bool {
        true
    }

    fn training(&self) -> &Training {
        &self.training
    }
}
