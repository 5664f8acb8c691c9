//! A residual network.

use consilience_core::Result;
use consilience_core::model::Field;
use consilience_core::registry::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{NetworkMethod, alone};
use crate::architecture::Architecture;
use crate::encode::{Encode, Encoder, ResnetEncoder};
use crate::train::Training;

/// A residual network and a linear head, on one modality of images.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Resnet {
    /// What reads the modality.
    #[serde(flatten)]
    pub encoder: ResnetEncoder,
    /// How it is trained.
    #[serde(flatten)]
    pub training: Training,
}

impl Method for Resnet {
    const NAME: &'static str = "resnet";
    const VERSION: u32 = 1;
    const ABOUT: &'static str = "a residual network (18, 34, 50) on images, in torchvision's layout";

    fn validate(&self) -> Result<()> {
        self.training.validate()
    }
}

impl NetworkMethod for Resnet {
    fn architecture(&self, fields: &[Field]) -> Result<Architecture> {
        alone(fields, Encoder::Resnet(self.encoder.clone()))
    }

    fn encoders(&self) -> Vec<&dyn Encode> {
        vec![&self.encoder]
    }

    fn training(&self) -> &Training {
        &self.training
    }
}
