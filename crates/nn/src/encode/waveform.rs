//! Convolutions over the samples of a sound.

use consilience_core::features::Reader;
use consilience_core::model::Field;
use consilience_core::{Error, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Encode, image, wrong_shape};
use crate::backend::Tensor;
use crate::kernels::{Moves, Windows, max_pool};
use crate::layers::batch_norm::Normed;
use crate::layers::{Pass, mean_of_places};
use crate::params::Declared;

/// Samples of which the largest is taken at the end of each block.
const POOLED: usize = 4;

/// The length of the kernels behind the first.
const KERNEL: usize = 3;

/// Convolutions over the samples of a sound, `[channels, 1, samples]`: the first with a long kernel and a stride, as a bank
/// of filters, the others with kernels of three; behind each batch norm, a rectifier and the largest of each four
/// places; then the mean over all places.
///
/// # Reference
/// Dai, Dai, Qu, Li and Das (2017), "Very deep convolutional neural networks for raw waveforms".
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct WaveformEncoder {
    /// The channels that each block gives, from the input on; the last is the number of features.
    #[schemars(length(min = 1))]
    pub channels: Vec<usize>,
    /// The length of the first kernel in samples: 80 are 10 ms at 8 kHz.
    #[schemars(range(min = 1, max = 4096))]
    pub kernel: usize,
    /// Samples from one place of the first kernel to the next.
    #[schemars(range(min = 1, max = 4096))]
    pub stride: usize,
}

impl Default for WaveformEncoder {
    fn default() -> Self {
        Self { channels: vec![32, 32, 64, 64], kernel: 80, stride: 4 }
    }
}

/// A block: its names, sizes and moves.
struct Block {
    convolution: String,
    norm: String,
    inputs: usize,
    outputs: usize,
    kernel: usize,
    moves: Moves,
}

impl Block {
    fn normed(&self) -> Normed<'_> {
        Normed { convolution: &self.convolution, norm: &self.norm, moves: self.moves, rectify: true }
    }

    /// Places after the convolution.
    fn after(&self, length: usize) -> usize {
        let all = length + 2 * self.moves.padding[1];
        all.checked_sub(self.kernel).map_or(0, |rest| rest / self.moves.stride + 1)
    }
}

impl WaveformEncoder {
    fn blocks(&self, layer: &str, field: &Field) -> Vec<Block> {
        let [mut inputs, ..] = image(field).unwrap_or_default();
        let mut all = Vec::new();
        for (i, outputs) in self.channels.iter().copied().enumerate() {
            let (kernel, stride, padding) =
                if i == 0 { (self.kernel, self.stride, 0) } else { (KERNEL, 1, KERNEL / 2) };
            all.push(Block {
                convolution: format!("{layer}.conv{}", i + 1),
                norm: format!("{layer}.norm{}", i + 1),
                inputs,
                outputs,
                kernel,
                moves: Moves { stride, padding: [0, padding], ..Moves::default() },
            });
            inputs = outputs;
        }
        all
    }

    /// Places after each convolution.
    fn lengths(&self, field: &Field) -> Vec<usize> {
        let [.., mut length] = image(field).unwrap_or_default();
        let mut all = Vec::new();
        for block in self.blocks("", field) {
            let after = block.after(length);
            all.push(after);
            length = after / POOLED;
        }
        all
    }
}

impl Encode for WaveformEncoder {
    fn check(&self, field: &Field) -> Result<()> {
        if self.channels.is_empty() || self.channels.contains(&0) {
            return Err(Error::argument("channels must name at least one number, none of them 0")
                .expected("numbers such as [32, 64]")
                .got(format!("{:?}", self.channels)));
        }
        for (key, value) in [("kernel", self.kernel), ("stride", self.stride)] {
            if !(1..=4096).contains(&value) {
                let error = Error::argument("the number is out of range").at(key);
                return Err(error.expected("1 to 4096").got(value));
            }
        }
        if !image(field).is_some_and(|[c, h, w]| c > 0 && h == 1 && w > 0) {
            return Err(wrong_shape(field, "waveform encoder", "[channels, 1, samples]")
                .remedy("give the sounds the feature step waveform"));
        }
        if self.channels.len() > 15 || self.lengths(field).last().is_none_or(|last| *last < POOLED) {
            return Err(wrong_shape(field, "waveform encoder", "sounds long enough for its blocks")
                .remedy("take more samples, fewer channels entries, or a smaller kernel or stride"));
        }
        Ok(())
    }

    fn declare(&self, layer: &str, field: &Field) -> Vec<Declared> {
        let blocks = self.blocks(layer, field);
        blocks.iter().flat_map(|b| b.normed().declare(b.inputs, b.outputs, [1, b.kernel])).collect()
    }

    fn width(&self, _field: &Field) -> usize {
        self.channels.last().copied().unwrap_or(0)
    }

    fn reader(&self) -> Reader {
        Reader::Samples
    }

    fn by_batch(&self) -> bool {
        true
    }

    fn forward(&self, pass: &Pass<'_>, layer: &str, field: &Field, x: Tensor<2>) -> Result<Tensor<2>> {
        let [c, h, w] = image(field).unwrap_or_default();
        let mut x = {
            let rows = x.dims()[0];
            x.reshape([rows, c, h, w])
        };
        for block in self.blocks(layer, field) {
            x = block.normed().forward(pass, x, None)?;
            x = max_pool(x, Windows { size: POOLED, stride: POOLED, padding: 0 });
        }
        Ok(pass.drop(layer, mean_of_places(x)))
    }

    fn outline(&self, field: &Field) -> Vec<(String, u64)> {
        let mut lines = Vec::new();
        for (i, (channels, length)) in self.channels.iter().zip(self.lengths(field)).enumerate() {
            let pooled = length / POOLED;
            let size = channels.saturating_mul(2 * length + pooled) as u64;
            lines.push((format!("conv{} {channels}x{pooled}", i + 1), size));
        }
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
    fn filters_find_a_tone_wherever_it_is() {
        let encoder = WaveformEncoder { channels: vec![1, 2], kernel: 8, stride: 1 };
        let field = Field::vector("x", vec![1, 1, 128]);
        encoder.check(&field).unwrap();
        let declared = encoder.declare("e", &field);
        let mut params = Params::init(&declared, Seed::new(1));
        // The first filter is one period of a tone.
        let tone = |i: usize| (i as f32 * std::f32::consts::TAU / 8.0).sin();
        params.replace([("e.conv1.weight".to_owned(), (0..8).map(tone).collect())].into());
        let bound = params.bind(false);
        let features = |start: usize| {
            let sound = (0..128).map(|i| if (start..start + 32).contains(&i) { tone(i) } else { 0.0 });
            let x = backend::constant(sound.collect(), [1, 128]);
            backend::read(encoder.forward(&Pass::predicting(&bound), "e", &field, x).unwrap()).unwrap()
        };
        let (early, late, never) = (features(16), features(64), features(128));
        assert_ne!(early, never);
        // 48 samples later are 12 places of four, well inside.
        for (a, b) in early.iter().zip(&late) {
            assert!((a - b).abs() < 1e-5, "{early:?} {late:?}");
        }
        assert_eq!(encoder.outline(&field)[0].0, "conv1 1x30");
    }

    #[test]
    fn sounds_too_short_for_the_blocks_are_refused() {
        let encoder = WaveformEncoder::default();
        encoder.check(&Field::vector("x", vec![1, 1, 8192])).unwrap();
        for shape in [vec![1, 1, 500], vec![8192], vec![1, 2, 8192], vec![1, 1, 0]] {
            let error = encoder.check(&Field::vector("x", shape)).unwrap_err().to_string();
            assert!(error.contains("waveform encoder"), "{error}");
        }
    }
}
