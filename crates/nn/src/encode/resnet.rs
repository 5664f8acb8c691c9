//! Residual networks in the layout of torchvision.

use consilience_core::model::Field;
use consilience_core::model::graph::Value;
use consilience_core::{Error, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Encode, image, wrong_shape};
use crate::backend::Tensor;
use crate::graph::{self, Sketch};
use crate::kernels::{Moves, Windows, max_pool};
use crate::layers::batch_norm::Normed;
use crate::layers::{Pass, mean_of_places};
use crate::params::Declared;

/// What ends the large stem.
const POOLED: Windows = Windows { size: 3, stride: 2, padding: 1 };

/// How an image enters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stem {
    /// A convolution of 7 x 7 at stride 2, then the largest of 3 x 3 at stride 2, as torchvision: a quarter of the side.
    Large,
    /// A convolution of 3 x 3 that keeps the size, for images of up to about 64 pixels.
    Small,
}

/// A residual network on `[channels, height, width]`: a stem, four stages of residual blocks at 1, 2, 4 and 8 times the
/// width, each stage after the first at half the side, and the mean over all places. Batch norm is behind every
/// convolution. Layers are named as in torchvision (`conv1`, `bn1`, `layer1.0.conv1`, ..), whose weights it takes.
///
/// # Reference
/// He, Zhang, Ren and Sun (2016), "Deep residual learning for image recognition"; in blocks of three convolutions the
/// stride is that of the middle one, as in torchvision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ResnetEncoder {
    /// How deep: 18 or 34 with blocks of two convolutions, 50 with blocks of three.
    #[schemars(extend("enum" = [18, 34, 50]))]
    pub depth: usize,
    /// The channels of the first stage.
    #[schemars(range(min = 1, max = 4096))]
    pub width: usize,
    /// How an image enters: `large` as in torchvision, or `small`, which keeps the size of images of up to about 64 pixels.
    pub stem: Stem,
    /// A checkpoint below the data folder to start from, such as torchvision's (`.safetensors`, `.pth`): its layers by
    /// name, without its classifier.
    pub weights: Option<String>,
}

impl Default for ResnetEncoder {
    fn default() -> Self {
        Self { depth: 18, width: 64, stem: Stem::Large, weights: None }
    }
}

/// A convolution of a block, and where it stands.
struct Step {
    convolution: String,
    norm: String,
    inputs: usize,
    outputs: usize,
    kernel: usize,
    moves: Moves,
}

impl Step {
    fn new(names: [String; 2], inputs: usize, outputs: usize, kernel: usize, stride: usize) -> Self {
        let [convolution, norm] = names;
        let moves = Moves { stride, padding: [kernel / 2; 2], ..Moves::default() };
        Self { convolution, norm, inputs, outputs, kernel, moves }
    }

    fn normed(&self, rectify: bool) -> Normed<'_> {
        Normed { convolution: &self.convolution, norm: &self.norm, moves: self.moves, rectify }
    }

    fn declare(&self) -> Vec<Declared> {
        self.normed(false).declare(self.inputs, self.outputs, [self.kernel; 2])
    }

    /// The side after it.
    fn after(&self, side: usize) -> usize {
        (side + 2 * (self.kernel / 2)).saturating_sub(self.kernel) / self.moves.stride + 1
    }
}

/// A residual block: convolutions in a row, and what its input goes through beside them where its shape changes.
struct Residual {
    steps: Vec<Step>,
    beside: Option<Step>,
}

impl ResnetEncoder {
    /// The blocks of each stage, and whether they have three convolutions.
    fn table(&self) -> Option<([usize; 4], bool)> {
        match self.depth {
            18 => Some(([2, 2, 2, 2], false)),
            34 => Some(([3, 4, 6, 3], false)),
            50 => Some(([3, 4, 6, 3], true)),
            _ => None,
        }
    }

    /// By what the channels of a block are more than its width.
    fn wider(&self) -> usize {
        if self.depth == 50 { 4 } else { 1 }
    }

    fn stem(&self, layer: &str, channels: usize) -> Step {
        let (kernel, stride) = match self.stem {
            Stem::Large => (7, 2),
            Stem::Small => (3, 1),
        };
        let names = [format!("{layer}.conv1"), format!("{layer}.bn1")];
        Step::new(names, channels, self.width, kernel, stride)
    }

    /// All blocks in order.
    fn blocks(&self, layer: &str) -> Vec<Residual> {
        let (counts, three) = self.table().unwrap_or_default();
        let mut inputs = self.width;
        let mut all = Vec::new();
        for (stage, count) in counts.into_iter().enumerate() {
            let width = self.width << stage;
            let outputs = width * self.wider();
            for block in 0..count {
                let stride = if stage > 0 && block == 0 { 2 } else { 1 };
                let names = |i: usize| {
                    let of = |what: &str| format!("{layer}.layer{}.{block}.{what}{i}", stage + 1);
                    [of("conv"), of("bn")]
                };
                let steps = match three {
                    false => vec![
                        Step::new(names(1), inputs, width, 3, stride),
                        Step::new(names(2), width, outputs, 3, 1),
                    ],
                    true => vec![
                        Step::new(names(1), inputs, width, 1, 1),
                        Step::new(names(2), width, width, 3, stride),
                        Step::new(names(3), width, outputs, 1, 1),
                    ],
                };
                let beside = (stride > 1 || inputs != outputs).then(|| {
                    let of = |i: usize| format!("{layer}.layer{}.{block}.downsample.{i}", stage + 1);
                    Step::new([of(0), of(1)], inputs, outputs, 1, stride)
                });
                all.push(Residual { steps, beside });
                inputs = outputs;
            }
        }
        all
    }
}

impl Encode for ResnetEncoder {
    fn check(&self, field: &Field) -> Result<()> {
        if self.table().is_none() {
            return Err(Error::argument("there is no residual network of this depth")
                .at("depth")
                .expected("18, 34 or 50")
                .got(self.depth));
        }
        if !(1..=4096).contains(&self.width) {
            return Err(Error::argument("the width is out of range")
                .at("width")
                .expected("1 to 4096")
                .got(self.width));
        }
        match image(field) {
            Some([c, h, w]) if c > 0 && h > 0 && w > 0 => Ok(()),
            _ => Err(wrong_shape(field, "resnet encoder", "[channels, height, width]")),
        }
    }

    fn declare(&self, layer: &str, field: &Field) -> Vec<Declared> {
        let [channels, ..] = image(field).unwrap_or_default();
        let mut all = self.stem(layer, channels).declare();
        for block in self.blocks(layer) {
            all.extend(block.steps.iter().chain(&block.beside).flat_map(Step::declare));
        }
        all
    }

    fn width(&self, _field: &Field) -> usize {
        8 * self.width * self.wider()
    }

    fn by_batch(&self) -> bool {
        true
    }

    fn weights(&self) -> Option<&str> {
        self.weights.as_deref()
    }

    fn forward(&self, pass: &Pass<'_>, layer: &str, field: &Field, x: Tensor<2>) -> Result<Tensor<2>> {
        let [c, h, w] = image(field).unwrap_or_default();
        let rows = x.dims()[0];
        let stem = self.stem(layer, c);
        let mut x = stem.normed(true).forward(pass, x.reshape([rows, c, h, w]), None)?;
        if self.stem == Stem::Large {
            x = max_pool(x, POOLED);
        }
        for Residual { steps, beside } in self.blocks(layer) {
            let skip = match beside {
                Some(step) => step.normed(false).forward(pass, x.clone(), None)?,
                None => x.clone(),
            };
            let mut skip = Some(skip);
            let last = steps.len().saturating_sub(1);
            for (i, step) in steps.iter().enumerate() {
                let residual = if i == last { skip.take() } else { None };
                x = step.normed(true).forward(pass, x, residual)?;
            }
        }
        Ok(mean_of_places(x))
    }

    fn graph(&self, sketch: &mut Sketch<'_>, layer: &str, field: &Field, x: &Value) -> Result<Value> {
        let [channels, ..] = image(field).unwrap_or_default();
        let mut x = self.stem(layer, channels).normed(true).graph(sketch, x, None)?;
        if self.stem == Stem::Large {
            x = graph::max_pool(sketch, &x, POOLED, false);
        }
        for Residual { steps, beside } in self.blocks(layer) {
            let skip = match beside {
                Some(step) => step.normed(false).graph(sketch, &x, None)?,
                None => x.clone(),
            };
            let last = steps.len().saturating_sub(1);
            for (i, step) in steps.iter().enumerate() {
                x = step.normed(true).graph(sketch, &x, Some(&skip).filter(|_| i == last))?;
            }
        }
        Ok(graph::mean_of_places(sketch, &x))
    }

    fn torch_name(&self, name: &str) -> String {
        name.strip_prefix("head.").map_or_else(|| name.to_owned(), |rest| format!("fc.{rest}"))
    }

    fn outline(&self, field: &Field) -> Vec<(String, u64)> {
        let [channels, mut h, mut w] = image(field).unwrap_or_default();
        let stem = self.stem("", channels);
        (h, w) = (stem.after(h), stem.after(w));
        let mut lines = vec![(format!("conv1 {}x{h}x{w}", self.width), (2 * self.width * h * w) as u64)];
        if self.stem == Stem::Large {
            let pooled = |side: usize| side.div_ceil(2);
            (h, w) = (pooled(h), pooled(w));
            lines.push((format!("maxpool {}x{h}x{w}", self.width), (self.width * h * w) as u64));
        }
        for Residual { steps, beside } in self.blocks("") {
            let (before, mut size) = ([h, w], 0);
            for step in &steps {
                (h, w) = (step.after(h), step.after(w));
                // What the convolution gives and what the norm gives.
                size += 2 * step.outputs * h * w;
            }
            if let Some(step) = beside {
                size += 2 * step.outputs * step.after(before[0]) * step.after(before[1]);
            }
            if let Some(last) = steps.last() {
                let name = last.convolution.trim_start_matches('.');
                let block = name.rsplit_once('.').map_or(name, |(block, _)| block);
                lines.push((format!("{block} {}x{h}x{w}", last.outputs), size as u64));
            }
        }
        lines.push((format!("avgpool {}", self.width(field)), self.width(field) as u64));
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend;
    use crate::params::Params;
    use consilience_core::seed::Seed;

    #[test]
    fn parameters_are_those_of_torchvision() {
        let field = Field::vector("x", vec![3, 224, 224]);
        // What torchvision's models have without their classifier: 11,689,512, 21,797,672 and 25,557,032 with it.
        for (depth, classifier, all, tensors) in
            [(18, 513_000, 11_689_512, 100), (34, 513_000, 21_797_672, 180), (50, 2_049_000, 25_557_032, 265)]
        {
            let encoder = ResnetEncoder { depth, ..ResnetEncoder::default() };
            encoder.check(&field).unwrap();
            let declared = encoder.declare("e", &field);
            let learned: usize = declared.iter().filter(|d| d.learned).map(Declared::size).sum();
            assert_eq!(learned + classifier, all, "{depth}");
            assert_eq!(declared.len(), tensors, "{depth}");
            let outline = encoder.outline(&field);
            let end = format!("layer4.{} {}x7x7", if depth == 18 { 1 } else { 2 }, encoder.width(&field));
            assert!(outline.iter().any(|(line, _)| *line == end), "{outline:?}");
            assert!(declared.iter().any(|d| d.name == "e.layer2.0.downsample.1.running_var"));
        }
        let names = |depth: usize| {
            let encoder = ResnetEncoder { depth, ..ResnetEncoder::default() };
            encoder.declare("e", &field).into_iter().map(|d| d.name).collect::<Vec<_>>()
        };
        assert!(!names(18).contains(&"e.layer1.0.downsample.0.weight".to_owned()));
        assert!(names(50).contains(&"e.layer1.0.downsample.0.weight".to_owned()));
    }

    #[test]
    fn images_of_any_size_become_features() {
        for (shape, stem, depth) in [
            ([1, 9, 14], Stem::Large, 18),
            ([2, 8, 8], Stem::Small, 34),
            ([3, 1, 1], Stem::Small, 50),
            ([3, 2, 5], Stem::Large, 50),
        ] {
            let field = Field::vector("x", shape.to_vec());
            let encoder = ResnetEncoder { depth, stem, width: 4, weights: None };
            encoder.check(&field).unwrap();
            let bound = Params::init(&encoder.declare("e", &field), Seed::new(1)).bind(false);
            let size = shape.iter().product::<usize>();
            let x = backend::constant(vec![0.5; 2 * size], [2, size]);
            let y = encoder.forward(&Pass::predicting(&bound), "e", &field, x).unwrap();
            assert_eq!(y.dims(), [2, encoder.width(&field)]);
            assert!(backend::read(y).unwrap().iter().all(|v| v.is_finite()));
        }
    }
}
