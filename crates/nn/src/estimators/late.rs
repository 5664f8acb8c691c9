//! Fusion by a head for each modality.

use std::collections::BTreeMap;

use consilience_core::Result;
use consilience_core::model::Field;
use consilience_core::registry::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{NetworkMethod, together};
use crate::architecture::Architecture;
use crate::encode::{Encode, Encoder};
use crate::fusion::{Fusion, LateHead};
use crate::train::Training;

/// An encoder and a linear head for each modality, trained together with the sum of their losses. The prediction is the
/// mean of the probabilities (or values) over the modalities that are present on a row.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Late {
    /// The encoder of a modality, by column, such as `image: {cnn: {channels: [16, 32]}}`. Columns that are not named
    /// get the usual one for their shape: rank 3 a cnn, rank 2 a gru, rank 1 an mlp, tokens a text_cnn. A text becomes
    /// tokens, and a sound samples, where its encoder is named and reads them, as text_cnn and waveform do.
    #[serde(deserialize_with = "crate::encode::by_column")]
    pub encoders: BTreeMap<String, Encoder>,
    /// How it is trained.
    #[serde(flatten)]
    pub training: Training,
}

impl Method for Late {
    const NAME: &'static str = "late";
    const VERSION: u32 = 4;
    const ABOUT: &'static str = "a head for each modality, trained together; the mean of those present";

    fn validate(&self) -> Result<()> {
        self.training.validate()
    }
}

impl NetworkMethod for Late {
    fn architecture(&self, fields: &[Field]) -> Result<Architecture> {
        together(fields, &self.encoders, Fusion::Late(LateHead::default()))
    }

    fn encoders(&self) -> Vec<(Option<&str>, &dyn Encode)> {
        self.encoders.iter().map(|(column, e)| (Some(column.as_str()), e.get())).collect()
    }

    fn training(&self) -> &Training {
        &self.training
    }
}
