//! A network of dense layers.

use consilience_core::Result;
use consilience_core::model::Field;
use consilience_core::registry::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{NetworkMethod, alone};
use crate::architecture::Architecture;
use crate::encode::{Encode, Encoder, MlpEncoder};
use crate::train::Training;

/// Dense layers with rectifiers and a linear head, on one modality of any shape.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Mlp {
    /// What reads the modality.
    #[serde(flatten)]
    pub encoder: MlpEncoder,
    /// How it is trained.
    #[serde(flatten)]
    pub training: Training,
}

impl Method for Mlp {
    const NAME: &'static str = "mlp";
    const VERSION: u32 = 4;
    const ABOUT: &'static str = "dense layers on one modality (a table, an embedding)";

    fn validate(&self) -> Result<()> {
        self.training.validate()
    }
}

impl NetworkMethod for Mlp {
    fn architecture(&self, fields: &[Field]) -> Result<Architecture> {
        alone(fields, Encoder::Mlp(self.encoder.clone()))
    }

    fn encoders(&self) -> Vec<&dyn Encode> {
        vec![&self.encoder]
    }

    fn training(&self) -> &Training {
        &self.training
    }
}
