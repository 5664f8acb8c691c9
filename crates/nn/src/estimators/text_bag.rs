//! A network on text: the mean of a text's tokens and a dense layer.

use consilience_core::Result;
use consilience_core::model::Field;
use consilience_core::registry::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{NetworkMethod, alone};
use crate::architecture::Architecture;
use crate::encode::{Encoder, TextBagEncoder};
use crate::train::Training;

/// A dense layer on the mean of the vectors of a text's tokens, and a linear head. A
/// column of text becomes numbers of tokens by itself.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct TextBag {
    /// What reads the modality.
    #[serde(flatten)]
    pub encoder: TextBagEncoder,
    /// How it is trained.
    #[serde(flatten)]
    pub training: Training,
}

impl Method for TextBag {
    const NAME: &'static str = "text_bag";
    const ABOUT: &'static str = "the mean of a text's tokens and a dense layer";

    fn validate(&self) -> Result<()> {
        self.training.validate()
    }
}

impl NetworkMethod for TextBag {
    fn architecture(&self, fields: &[Field]) -> Result<Architecture> {
        alone(fields, Encoder::TextBag(self.encoder.clone()))
    }

    fn reads_words(&self, _column: &str) -> bool {
        true
    }

    fn training(&self) -> &Training {
        &self.training
    }
}
