//! Convolution blocks and a dense layer.

use consilience_core::model::Field;
use consilience_core::model::graph::Value;
use consilience_core::{Error, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Encode, wrong_shape};
use crate::backend::Tensor;
use crate::graph::{self, Sketch};
use crate::layers::{Pass, convolution, dense};
use crate::params::Declared;

/// Convolution blocks on `[channels, height, width]`, each a convolution that keeps the size, a rectifier and the
/// largest of each 2 x 2 block; then one dense layer with a rectifier and dropout. Sequences `[steps, width]` are read
/// along the steps alone: the values of a step are the channels, kernels reach over steps, and of each two steps the
/// largest is taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct CnnEncoder {
    /// The channels that each block gives, from the input on.
    #[schemars(length(min = 1))]
    pub channels: Vec<usize>,
    /// The height and width of the kernels in pixels, or their length in steps; odd.
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
    /// The shape after the first `blocks` blocks: channels, height and width; steps lie along the width.
    fn shape(&self, field: &Field, blocks: usize) -> [usize; 3] {
        let (c, h, w) = match *field.shape.as_slice() {
            [c, h, w] => (c, h >> blocks, w),
            [steps, width] => (width, 1, steps),
            _ => (0, 0, 0),
        };
        let channels = if blocks == 0 { c } else { self.channels.get(blocks - 1).copied().unwrap_or(c) };
        [channels, h, w >> blocks]
    }

    /// The height and width of the kernels.
    fn window(&self, field: &Field) -> [usize; 2] {
        if field.shape.len() == 2 { [1, self.kernel] } else { [self.kernel, self.kernel] }
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
        let rank = field.shape.len();
        if rank != 3 && rank != 2 {
            return Err(wrong_shape(field, "cnn encoder", "[channels, height, width] or [steps, width]"));
        }
        // A block halves height and width, or the steps; more than 31 of them leave nothing of anything.
        let blocks = self.channels.len();
        if blocks > 31 || field.shape.contains(&0) || self.shape(field, blocks).contains(&0) {
            let what = if rank == 3 { "a height and width" } else { "a number of steps" };
            let error = wrong_shape(field, "cnn encoder", &format!("{what} that {blocks} blocks can halve"));
            return Err(error.remedy("use fewer channels entries, or larger images or longer sequences"));
        }
        Ok(())
    }

    fn declare(&self, layer: &str, field: &Field) -> Vec<Declared> {
        let mut all = Vec::new();
        for (name, i) in self.blocks() {
            let (inputs, outputs) = (self.shape(field, i)[0], self.shape(field, i + 1)[0]);
            let window = self.window(field);
            all.extend(convolution::declare(&format!("{layer}.{name}"), inputs, outputs, window));
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
        let mut x: Tensor<4> = match field.shape.as_slice() {
            // The values of a step become channels.
            [_, _] => x.reshape([rows, w, c]).swap_dims(1, 2).reshape([rows, c, h, w]),
            _ => x.reshape([rows, c, h, w]),
        };
        for (name, _) in self.blocks() {
            x = convolution::forward(pass, &format!("{layer}.{name}"), x)?;
        }
        let flat = self.shape(field, self.channels.len()).iter().product();
        let name = format!("{layer}.dense");
        Ok(pass.drop(&name, dense::rectified(pass, &name, x.reshape([rows, flat]))?))
    }

    fn graph(&self, sketch: &mut Sketch<'_>, layer: &str, field: &Field, x: &Value) -> Result<Value> {
        let flat = field.shape.len() == 2;
        let mut x = x.clone();
        if flat {
            let [c, h, w] = self.shape(field, 0).map(|side| side as i64);
            x = sketch.graph.transpose(&x, &[0, 2, 1]);
            x = sketch.graph.reshape(&x, &[0, c, h, w]);
        }
        for (name, _) in self.blocks() {
            x = graph::convolution(sketch, &format!("{layer}.{name}"), &x, flat)?;
        }
        let x = sketch.graph.flat(&x);
        graph::rectified(sketch, &format!("{layer}.dense"), &x)
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
