//! A network on text: filters over runs of a text's tokens, and the largest of each.

use consilience_core::Result;
use consilience_core::model::Field;
use consilience_core::registry::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{NetworkMethod, alone};
use crate::architecture::Architecture;
use crate::encode::{Encoder, TextCnnEncoder};
use crate::train::Training;

/// Filters over runs of a text's tokens, the largest of each along the text, and a linear head. A
/// column of text becomes numbers of tokens by itself.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct TextCnn {
    /// What reads the modality.
    #[serde(flatten)]
    pub encoder: TextCnnEncoder,
    /// How it is trained.
    #[serde(flatten)]
    pub training: Training,
}

impl Method for TextCnn {
    const NAME: &'static str = "text_cnn";
    const ABOUT: &'static str = "filters over runs of a text's tokens, and the largest of each";

    fn validate(&self) -> Result<()> {
        self.training.validate()
    }
}

impl NetworkMethod for TextCnn {
    fn architecture(&self, fields: &[Field]) -> Result<Architecture> {
        alone(fields, Encoder::TextCnn(self.encoder.clone()))
    }

    fn reads_words(&self, _column: &str) -> bool {
        true
    }

    fn training(&self) -> &Training {
        &self.training
    }
}
