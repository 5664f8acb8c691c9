//! Fusion by features beside each other.

use std::collections::BTreeMap;

use consilience_core::model::Field;
use consilience_core::registry::Method;
use consilience_core::{Error, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{NetworkMethod, together};
use crate::architecture::Architecture;
use crate::encode::{Encode, Encoder};
use crate::fusion::{ConcatHead, Fusion};
use crate::train::Training;

/// An encoder for each modality; their features and presence flags side by side go through a dense layer with a
/// rectifier and dropout to a linear head: `z = max(W [h_1 .. h_M, r_1 .. r_M] + b, 0)`, `logits = V z + c`. All is
/// trained together. A modality that is absent on a row gives zero features with flag 0; any subset can be absent, in
/// training and in prediction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Concat {
    /// The encoder of a modality, by column, such as `image: {cnn: {channels: [16, 32]}}`. Columns that are not named
    /// get the usual one for their shape: rank 3 a cnn, rank 2 a gru, rank 1 an mlp, tokens a text_cnn. A text becomes
    /// tokens, and a sound samples, where its encoder is named and reads them, as text_cnn and waveform do.
    #[serde(deserialize_with = "crate::encode::by_column")]
    pub encoders: BTreeMap<String, Encoder>,
    /// The width of the dense layer.
    #[schemars(range(min = 1))]
    pub hidden: usize,
    /// How it is trained.
    #[serde(flatten)]
    pub training: Training,
}

impl Default for Concat {
    fn default() -> Self {
        Self { encoders: BTreeMap::new(), hidden: 64, training: Training::default() }
    }
}

impl Method for Concat {
    const NAME: &'static str = "concat";
    const VERSION: u32 = 4;
    const ABOUT: &'static str = "features of all modalities side by side, trained together";

    fn validate(&self) -> Result<()> {
        if self.hidden == 0 {
            return Err(Error::argument("hidden must be at least 1").got(0));
        }
        self.training.validate()
    }
}

impl NetworkMethod for Concat {
    fn architecture(&self, fields: &[Field]) -> Result<Architecture> {
        together(fields, &self.encoders, Fusion::Concat(ConcatHead { hidden: self.hidden }))
    }

    fn encoders(&self) -> Vec<(Option<&str>, &dyn Encode)> {
        self.encoders.iter().map(|(column, e)| (Some(column.as_str()), e.get())).collect()
    }

    fn training(&self) -> &Training {
        &self.training
    }
}
