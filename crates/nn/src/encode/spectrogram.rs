//! Convolutions over a spectrogram.

use consilience_core::Result;
use consilience_core::model::Field;
use consilience_core::model::graph::Value;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CnnEncoder, Encode, Norm, Pooling, Reduce};
use crate::backend::Tensor;
use crate::graph::Sketch;
use crate::layers::Pass;
use crate::params::Declared;

/// Convolution blocks on a spectrogram `[1, mels, frames]`, each of two convolutions with batch norm and the mean of each
/// 2 x 2 places; then the mean over all places, so that it makes no difference when in the sound something is, and a dense
/// layer with a rectifier and dropout.
///
/// # Reference
/// Kong et al. (2020), "PANNs: large-scale pretrained audio neural networks", whose blocks these are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SpectrogramEncoder {
    /// The channels that each block gives, from the input on.
    #[schemars(length(min = 1))]
    pub channels: Vec<usize>,
    /// The width of the dense layer: the number of features.
    #[schemars(range(min = 1))]
    pub features: usize,
}

impl Default for SpectrogramEncoder {
    fn default() -> Self {
        Self { channels: vec![16, 32, 64], features: 64 }
    }
}

impl SpectrogramEncoder {
    fn cnn(&self) -> CnnEncoder {
        CnnEncoder {
            channels: self.channels.clone(),
            kernel: 3,
            repeat: 2,
            norm: Norm::Batch,
            pool: Pooling::Mean,
            reduce: Reduce::Mean,
            features: self.features,
        }
    }
}

impl Encode for SpectrogramEncoder {
    fn check(&self, field: &Field) -> Result<()> {
        self.cnn().check(field)
    }

    fn declare(&self, layer: &str, field: &Field) -> Vec<Declared> {
        self.cnn().declare(layer, field)
    }

    fn width(&self, field: &Field) -> usize {
        self.cnn().width(field)
    }

    fn by_batch(&self) -> bool {
        true
    }

    fn forward(&self, pass: &Pass<'_>, layer: &str, field: &Field, x: Tensor<2>) -> Result<Tensor<2>> {
        self.cnn().forward(pass, layer, field, x)
    }

    fn graph(&self, sketch: &mut Sketch<'_>, layer: &str, field: &Field, x: &Value) -> Result<Value> {
        self.cnn().graph(sketch, layer, field, x)
    }

    fn outline(&self, field: &Field) -> Vec<(String, u64)> {
        self.cnn().outline(field)
    }
}
