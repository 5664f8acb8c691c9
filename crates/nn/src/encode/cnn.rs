//! Convolution blocks and a dense layer.

use consilience_core::model::Field;
use consilience_core::model::graph::Value;
use consilience_core::{Error, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Encode, wrong_shape};
use crate::backend::Tensor;
use crate::graph::{self, Sketch};
use crate::kernels::{Moves, Windows, max_pool, mean_pool};
use crate::layers::batch_norm::Normed;
use crate::layers::{Pass, convolution, dense, mean_of_places};
use crate::params::Declared;

/// What stands behind each convolution.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Norm {
    /// Its bias.
    #[default]
    None,
    /// Batch norm.
    Batch,
}

/// What becomes of each 2 x 2 pixels, or of two steps, at the end of a block.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// The largest.
    #[default]
    Max,
    /// The mean.
    Mean,
}

/// What the dense layer reads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reduce {
    /// All places of all channels.
    #[default]
    Flatten,
    /// The mean of each channel over all places, wherever in the image or the sound something is.
    Mean,
}

/// Convolution blocks on `[channels, height, width]`, each of convolutions that keep the size, with rectifiers, and the
/// largest (or the mean) of each 2 x 2 pixels; then one dense layer with a rectifier and dropout. Sequences `[steps,
/// width]` are read along the steps alone: the values of a step are the channels, kernels reach over steps, and of each
/// two steps the largest is taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct CnnEncoder {
    /// The channels that each block gives, from the input on.
    #[schemars(length(min = 1))]
    pub channels: Vec<usize>,
    /// The height and width of the kernels in pixels, or their length in steps; odd.
    #[schemars(range(min = 1, max = 15))]
    pub kernel: usize,
    /// How many convolutions a block has.
    #[schemars(range(min = 1, max = 8))]
    pub repeat: usize,
    /// What stands behind each convolution: `none` (its bias) or `batch` norm.
    pub norm: Norm,
    /// What becomes of each 2 x 2 pixels: their `max` or their `mean`.
    pub pool: Pooling,
    /// What the dense layer reads: all places (`flatten`) or the `mean` of each channel over them.
    pub reduce: Reduce,
    /// The width of the dense layer: the number of features.
    #[schemars(range(min = 1))]
    pub features: usize,
}

impl Default for CnnEncoder {
    fn default() -> Self {
        Self {
            channels: vec![16, 32],
            kernel: 3,
            repeat: 1,
            norm: Norm::None,
            pool: Pooling::Max,
            reduce: Reduce::Flatten,
            features: 64,
        }
    }
}

/// A convolution of a block.
struct Step {
    convolution: String,
    norm: String,
    inputs: usize,
    outputs: usize,
    /// Whether it is the last of its block.
    last: bool,
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

    /// All convolutions in order.
    fn steps(&self, layer: &str, field: &Field) -> Vec<Step> {
        let mut all = Vec::new();
        for block in 0..self.channels.len() {
            let outputs = self.shape(field, block + 1)[0];
            for i in 0..self.repeat {
                let inputs = if i == 0 { self.shape(field, block)[0] } else { outputs };
                let place = match self.repeat {
                    1 => format!("{}", block + 1),
                    _ => format!("{}.{i}", block + 1),
                };
                all.push(Step {
                    convolution: format!("{layer}.conv{place}"),
                    norm: format!("{layer}.norm{place}"),
                    inputs,
                    outputs,
                    last: i + 1 == self.repeat,
                });
            }
        }
        all
    }

    fn normed<'a>(&self, step: &'a Step, field: &Field) -> Normed<'a> {
        let moves = Moves { padding: self.window(field).map(|side| side / 2), ..Moves::default() };
        Normed { convolution: &step.convolution, norm: &step.norm, moves, rectify: true }
    }

    /// How many numbers the dense layer reads.
    fn reduced(&self, field: &Field) -> usize {
        let [c, h, w] = self.shape(field, self.channels.len());
        match self.reduce {
            Reduce::Flatten => c * h * w,
            Reduce::Mean => c,
        }
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
        if !(1..=8).contains(&self.repeat) {
            let error = Error::argument("the number of convolutions of a block is out of range").at("repeat");
            return Err(error.expected("1 to 8").got(self.repeat));
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
        let window = self.window(field);
        for step in self.steps(layer, field) {
            let Step { convolution, inputs, outputs, .. } = &step;
            match self.norm {
                Norm::None => all.extend(convolution::declare(convolution, *inputs, *outputs, window)),
                Norm::Batch => all.extend(self.normed(&step, field).declare(*inputs, *outputs, window)),
            }
        }
        all.extend(dense::declare(&format!("{layer}.dense"), self.reduced(field), self.features));
        all
    }

    fn width(&self, _field: &Field) -> usize {
        self.features
    }

    fn by_batch(&self) -> bool {
        self.norm == Norm::Batch
    }

    fn forward(&self, pass: &Pass<'_>, layer: &str, field: &Field, x: Tensor<2>) -> Result<Tensor<2>> {
        let rows = x.dims()[0];
        let [c, h, w] = self.shape(field, 0);
        let mut x: Tensor<4> = match field.shape.as_slice() {
            // The values of a step become channels.
            [_, _] => x.reshape([rows, w, c]).swap_dims(1, 2).reshape([rows, c, h, w]),
            _ => x.reshape([rows, c, h, w]),
        };
        let halves = Windows { size: 2, stride: 2, padding: 0 };
        for step in self.steps(layer, field) {
            if step.last && self.norm == Norm::None && self.pool == Pooling::Max {
                x = convolution::forward(pass, &step.convolution, x)?;
                continue;
            }
            x = match self.norm {
                Norm::None => convolution::rectified(pass, &step.convolution, x)?,
                Norm::Batch => self.normed(&step, field).forward(pass, x, None)?,
            };
            if step.last {
                x = match self.pool {
                    Pooling::Max => max_pool(x, halves),
                    Pooling::Mean => mean_pool(x, halves),
                };
            }
        }
        let x = match self.reduce {
            Reduce::Flatten => x.reshape([rows, self.reduced(field)]),
            Reduce::Mean => mean_of_places(x),
        };
        let name = format!("{layer}.dense");
        Ok(pass.drop(&name, dense::rectified(pass, &name, x)?))
    }

    fn graph(&self, sketch: &mut Sketch<'_>, layer: &str, field: &Field, x: &Value) -> Result<Value> {
        let flat = field.shape.len() == 2;
        let mut x = x.clone();
        if flat {
            let [c, h, w] = self.shape(field, 0).map(|side| side as i64);
            x = sketch.graph.transpose(&x, &[0, 2, 1]);
            x = sketch.graph.reshape(&x, &[0, c, h, w]);
        }
        let halves = Windows { size: 2, stride: 2, padding: 0 };
        for step in self.steps(layer, field) {
            x = match self.norm {
                Norm::None => graph::rectified_conv2d(sketch, &step.convolution, &x)?,
                Norm::Batch => self.normed(&step, field).graph(sketch, &x, None)?,
            };
            if step.last {
                x = match self.pool {
                    Pooling::Max => graph::max_pool(sketch, &x, halves, flat),
                    Pooling::Mean => graph::mean_pool(sketch, &x, halves, flat),
                };
            }
        }
        let x = match self.reduce {
            Reduce::Flatten => sketch.graph.flat(&x),
            Reduce::Mean => graph::mean_of_places(sketch, &x),
        };
        graph::rectified(sketch, &format!("{layer}.dense"), &x)
    }

    fn outline(&self, field: &Field) -> Vec<(String, u64)> {
        let mut lines = Vec::new();
        let each = if self.norm == Norm::Batch { 3 } else { 2 };
        for (i, _) in self.channels.iter().enumerate() {
            let ([_, h, w], [c, p, q]) = (self.shape(field, i), self.shape(field, i + 1));
            let size = (each * self.repeat).saturating_mul(c * h * w).saturating_add(c * p * q);
            lines.push((format!("conv{} {c}x{p}x{q}", i + 1), size as u64));
        }
        lines.push((format!("dense {}", self.features), self.features as u64));
        lines
    }
}
