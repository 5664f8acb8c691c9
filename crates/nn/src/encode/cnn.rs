//! Convolution blocks and a dense layer.

use consilience_core::model::Field;
use consilience_core::{Error, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Encode, wrong_shape};
use crate::backend::{self, Tensor};
use crate::layers::{Pass, convolution, dense};
use crate::params::Declared;

/// Convolution blocks on `[channels, height, width]`, each a convolution that keeps the size, a rectifier and the
/// largest of each 2 x 2 block; then one dense layer with a rectifier and dropout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct CnnEncoder {
    /// The channels that each block gives, from the input on.
    #[schemars(length(min = 1))]
    pub channels: Vec<usize>,
    /// The height and width of the kernels in pixels; odd.
    #[schemars(range(min = 1, max = 15))]
    pub kernel: usize,
    /// The width of the dense layer: the number of features.
    #[schemars(range(min = 1))]
    pub features: usize,
}

impl Default for CnnEncoder {
    fn default() -> Self {
        Self { channels: vec![16, 32], kernel: 3, features: 64 }
    }
}

impl CnnEncoder {
    /// The shape after the first `blocks` blocks.
    fn shape(&self, field: &Field, blocks: usize) -> [usize; 3] {
        let [c, h, w] = <[usize; 3]>::try_from(field.shape.as_slice()).unwrap_or_default();
        let channels = if blocks == 0 { c } else { self.channels.get(blocks - 1).copied().unwrap_or(c) };
        [channels, h >> blocks, w >> blocks]
    }

    fn blocks(&self) -> impl Iterator<Item = (String, usize)> {
        (0..self.channels.len()).map(|i| (format!("conv{}", i + 1), i))
    }
}

impl Encode for CnnEncoder {
    fn check(&self, field: &Field) -> Result<()> {
        if self.channels.is_empty() || self.channels.contains(&0) {
            return Err(Error::argument("channels must name at least one number, none of them 0")
                .expected("numbers such as [16, 32]")
                .got(format!("{:?}", self.channels)));
        }
        if self.kernel.is_multiple_of(2) || self.kernel > 15 {
            return Err(Error::argument("the kernel must be odd").expected("1, 3, .. 15").got(self.kernel));
        }
        if self.features == 0 {
            return Err(Error::argument("features must be at least 1").got(0));
        }
        if field.shape.len() != 3 {
            return Err(wrong_shape(field, "cnn encoder", "[channels, height, width]"));
        }
        // A block halves height and width; more than 31 of them leave nothing of any image.
        let blocks = self.channels.len();
        if blocks > 31 || self.shape(field, blocks).contains(&0) {
            let error = wrong_shape(
                field,
                "cnn encoder",
                &format!("a height and width that {blocks} blocks can halve"),
            );
            return Err(error.remedy("use fewer channels entries, or larger images"));
        }
        Ok(())
    }

    fn declare(&self, layer: &str, field: &Field) -> Vec<Declared> {
        let mut all = Vec::new();
        for (name, i) in self.blocks() {
            let (inputs, outputs) = (self.shape(field, i)[0], self.shape(field, i + 1)[0]);
            all.extend(convolution::declare(&format!("{layer}.{name}"), inputs, outputs, self.kernel));
        }
        let flat = self.shape(field, self.channels.len()).iter().product();
        all.extend(dense::declare(&format!("{layer}.dense"), flat, self.features));
        all
    }

    fn width(&self, _field: &Field) -> usize {
        self.features
    }

    fn forward(&self, pass: &Pass<'_>, layer: &str, field: &Field, x: Tensor<2>) -> Result<Tensor<2>> {
        let rows = x.dims()[0];
        let [c, h, w] = self.shape(field, 0);
        let mut x: Tensor<4> = x.reshape([rows, c, h, w]);
        for (name, _) in self.blocks() {
            x = convolution::forward(pass, &format!("{layer}.{name}"), x)?;
        }
        let flat = self.shape(field, self.channels.len()).iter().product();
        let name = format!("{layer}.dense");
        Ok(pass.drop(&name, backend::relu(dense::forward(pass, &name, x.reshape([rows, flat]))?)))
    }

    fn outline(&self, field: &Field) -> Vec<(String, u64)> {
        let mut lines = Vec::new();
        for (name, i) in self.blocks() {
            let ([_, h, w], [c, p, q]) = (self.shape(field, i), self.shape(field, i + 1));
            lines.push((format!("{name} {c}x{p}x{q}"), (2 * c * h * w + c * p * q) as u64));
        }
        lines.push((format!("dense {}", self.features), self.features as u64));
        lines
    }
}
