//! Encoders: one modality to a vector of features.

mod choice;
mod cnn;
mod gru;
mod lstm;
mod mlp;
mod recurrent;
mod resnet;
mod spectrogram;
mod text_bag;
mod text_cnn;
mod transformer;
mod waveform;
mod words;

pub use choice::by_column;
pub use cnn::{CnnEncoder, Norm, Pooling, Reduce};
pub use gru::GruEncoder;
pub use lstm::LstmEncoder;
pub use mlp::MlpEncoder;
pub use resnet::{ResnetEncoder, Stem};
pub use spectrogram::SpectrogramEncoder;
pub use text_bag::TextBagEncoder;
pub use text_cnn::TextCnnEncoder;
pub use transformer::TransformerEncoder;
pub use waveform::WaveformEncoder;

use consilience_core::features::Reader;
use consilience_core::model::Field;
use consilience_core::model::graph::{Value, refused};
use consilience_core::{Error, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::backend::Tensor;
use crate::graph::Sketch;
use crate::layers::Pass;
use crate::params::Declared;

/// What every encoder can do. `layer` is the prefix of its parameters' names.
pub trait Encode {
    /// Checks the settings, and that rows of the field's shape can be read.
    ///
    /// # Errors
    /// [`Error::Argument`] naming the column.
    fn check(&self, field: &Field) -> Result<()>;

    /// How it reads a column, where a recipe names no feature steps for it.
    fn reader(&self) -> Reader {
        Reader::Network
    }

    /// The parameters it asks for.
    fn declare(&self, layer: &str, field: &Field) -> Vec<Declared>;

    /// How many features it gives.
    fn width(&self, field: &Field) -> usize;

    /// Rows `[rows, numbers of a row]` to features `[rows, width]`.
    ///
    /// # Errors
    /// As [`Pass::param`] and [`Pass::see`].
    fn forward(&self, pass: &Pass<'_>, layer: &str, field: &Field, x: Tensor<2>) -> Result<Tensor<2>>;

    /// Whether it normalizes by the moments of a batch.
    fn by_batch(&self) -> bool {
        false
    }

    /// The checkpoint of a recipe that it starts from.
    fn weights(&self) -> Option<&str> {
        None
    }

    /// Writes what [`Encode::forward`] does when predicting: rows `[rows, shape of the field..]` to `[rows, width]`.
    ///
    /// # Errors
    /// [`Error::Model`] if no graph can say it.
    fn graph(&self, _sketch: &mut Sketch<'_>, _layer: &str, _field: &Field, _x: &Value) -> Result<Value> {
        Err(refused("an encoder of this kind", ""))
    }

    /// The name that PyTorch's own module of this kind gives to a parameter of a network on one modality; ours is without
    /// the prefix of the layer ("conv1.weight"), and "head.weight" and "head.bias" are those of the head.
    fn torch_name(&self, name: &str) -> String {
        name.to_owned()
    }

    /// A line a layer with the shape of its output, and how many numbers one row takes in memory there.
    fn outline(&self, field: &Field) -> Vec<(String, u64)>;
}

/// The encoder of a modality, by name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Encoder {
    /// Dense layers.
    Mlp(MlpEncoder),
    /// Convolutions.
    Cnn(CnnEncoder),
    /// Gated recurrent layers.
    Gru(GruEncoder),
    /// Layers of long short-term memory.
    Lstm(LstmEncoder),
    /// A residual network.
    Resnet(ResnetEncoder),
    /// Convolutions over a spectrogram.
    Spectrogram(SpectrogramEncoder),
    /// Convolutions over samples.
    Waveform(WaveformEncoder),
    /// The mean of a text's tokens.
    TextBag(TextBagEncoder),
    /// Filters over runs of a text's tokens.
    TextCnn(TextCnnEncoder),
    /// Attention among tokens or steps.
    Transformer(TransformerEncoder),
}

impl Encoder {
    /// The usual encoder for rows of a field's shape: rank 3 a convolutional one (over samples where the height is 1),
    /// rank 2 a recurrent one, rank 1 a dense one, or filters where these are tokens.
    ///
    /// # Errors
    /// [`Error::Argument`] for other ranks.
    pub fn usual(field: &Field) -> Result<Self> {
        match field.shape.len() {
            3 if field.shape.get(1) == Some(&1) => Ok(Self::Waveform(WaveformEncoder::default())),
            1 if field.words > 0 => Ok(Self::TextCnn(TextCnnEncoder::default())),
            1 => Ok(Self::Mlp(MlpEncoder::default())),
            2 => Ok(Self::Gru(GruEncoder::default())),
            3 => Ok(Self::Cnn(CnnEncoder::default())),
            rank => Err(Error::argument("no encoder reads rows of this rank")
                .at(format!("column \"{}\"", field.name))
                .expected("1, 2 or 3 dimensions")
                .got(format!("{rank}, {:?}", field.shape))),
        }
    }

    /// Takes out the checkpoint that it starts from: once it has started, it is no part of what it is.
    pub fn take_weights(&mut self) -> Option<String> {
        match self {
            Self::Resnet(e) => e.weights.take(),
            _ => None,
        }
    }

    /// The encoder behind the name.
    pub fn get(&self) -> &dyn Encode {
        match self {
            Self::Mlp(e) => e,
            Self::Cnn(e) => e,
            Self::Gru(e) => e,
            Self::Lstm(e) => e,
            Self::Resnet(e) => e,
            Self::Spectrogram(e) => e,
            Self::Waveform(e) => e,
            Self::TextBag(e) => e,
            Self::TextCnn(e) => e,
            Self::Transformer(e) => e,
        }
    }
}

/// The shape of rows that are images.
fn image(field: &Field) -> Option<[usize; 3]> {
    field.shape.as_slice().try_into().ok()
}

fn wrong_shape(field: &Field, encoder: &str, expected: &str) -> Error {
    Error::argument(format!("the {encoder} cannot read rows of this shape"))
        .at(format!("column \"{}\"", field.name))
        .expected(expected)
        .got(format!("{:?}", field.shape))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend;
    use crate::params::Params;
    use consilience_core::seed::Seed;

    #[test]
    fn every_encoder_gives_its_width_and_refuses_other_shapes() {
        let cases: [(Encoder, &[usize], &[usize]); 10] = [
            (Encoder::Mlp(MlpEncoder { hidden: vec![5, 3] }), &[2, 4], &[0]),
            (
                Encoder::Cnn(CnnEncoder { channels: vec![3, 2], features: 5, ..CnnEncoder::default() }),
                &[2, 7, 9],
                &[2, 3, 9],
            ),
            (
                Encoder::Cnn(CnnEncoder { channels: vec![3, 2], features: 5, ..CnnEncoder::default() }),
                &[7, 2],
                &[3, 2],
            ),
            (Encoder::Gru(GruEncoder { hidden: 4, ..GruEncoder::default() }), &[1, 3, 6], &[2, 3, 6]),
            (Encoder::Gru(GruEncoder { hidden: 4, ..GruEncoder::default() }), &[6, 3], &[6]),
            (Encoder::Lstm(LstmEncoder { hidden: 4, layers: 2, bidirectional: true }), &[6, 3], &[2, 3, 6]),
            (
                Encoder::Cnn(CnnEncoder {
                    channels: vec![3, 2],
                    repeat: 2,
                    norm: Norm::Batch,
                    reduce: Reduce::Mean,
                    ..CnnEncoder::default()
                }),
                &[7, 2],
                &[3, 2],
            ),
            (Encoder::Resnet(ResnetEncoder { width: 2, ..ResnetEncoder::default() }), &[2, 9, 11], &[9, 11]),
            (
                Encoder::Spectrogram(SpectrogramEncoder { channels: vec![2, 3], features: 5 }),
                &[1, 8, 9],
                &[1, 3, 9],
            ),
            (
                Encoder::Waveform(WaveformEncoder { channels: vec![2, 3], kernel: 5, stride: 2 }),
                &[1, 1, 90],
                &[1, 1, 9],
            ),
        ];
        for (encoder, good, bad) in cases {
            let field = Field::vector("x", good.to_vec());
            let e = encoder.get();
            e.check(&field).unwrap();
            let declared = e.declare("enc", &field);
            assert!(declared.iter().all(|d| d.name.starts_with("enc.")));
            let bound = Params::init(&declared, Seed::new(1)).bind(false);
            let x =
                backend::constant(vec![0.5; 3 * good.iter().product::<usize>()], [3, good.iter().product()]);
            let y = e.forward(&Pass::predicting(&bound), "enc", &field, x).unwrap();
            assert_eq!(y.dims(), [3, e.width(&field)], "{encoder:?}");
            assert!(!e.outline(&field).is_empty());
            let error = e.check(&Field::vector("x", bad.to_vec())).unwrap_err();
            assert!(error.to_string().contains("column \"x\""), "{error}");
        }
        assert_eq!(
            Encoder::usual(&Field::vector("i", vec![1, 8, 8])).unwrap(),
            Encoder::Cnn(CnnEncoder::default())
        );
        assert!(Encoder::usual(&Field::vector("i", vec![])).is_err());
    }

    #[test]
    fn a_convolution_over_steps_is_the_plain_sum() {
        let encoder = CnnEncoder { channels: vec![1], features: 1, ..CnnEncoder::default() };
        let field = Field::vector("x", vec![4, 2]);
        let params = Params::init(&encoder.declare("enc", &field), Seed::new(1));
        let steps = [[1.0f32, -2.0], [0.5, 3.0], [2.0, 1.0], [-1.0, 0.25]];
        let bound = params.bind(false);
        let numbers = |name: &str| params.iter().find(|(n, _)| *n == name).unwrap().1.numbers().to_vec();
        let (w, b) = (numbers("enc.conv1.weight"), numbers("enc.conv1.bias"));
        assert_eq!(w.len(), 2 * 3);
        // Step t sees t - 1, t and t + 1, zeros outside; channel by channel.
        let at = |t: usize| -> f32 {
            let seen = (0..3).flat_map(|j| (0..2).map(move |c| (c, j)));
            b[0] + seen
                .filter_map(|(c, j)| Some(w[c * 3 + j] * steps.get((t + j).checked_sub(1)?)?[c]))
                .sum::<f32>()
        };
        let pooled = [at(0).max(at(1)).max(0.0), at(2).max(at(3)).max(0.0)];
        let (v, d) = (numbers("enc.dense.weight"), numbers("enc.dense.bias"));
        let expected = (v[0] * pooled[0] + v[1] * pooled[1] + d[0]).max(0.0);
        let x = backend::constant(steps.concat(), [1, 8]);
        let y = encoder.forward(&Pass::predicting(&bound), "enc", &field, x).unwrap();
        let got = backend::read(y).unwrap()[0];
        assert!((got - expected).abs() < 1e-6, "{got} instead of {expected}");
    }

    #[test]
    fn settings_that_cannot_be_are_refused() {
        let field = Field::vector("x", vec![1, 8, 8]);
        let bad = [
            Encoder::Mlp(MlpEncoder { hidden: vec![] }),
            Encoder::Mlp(MlpEncoder { hidden: vec![0] }),
            Encoder::Cnn(CnnEncoder { kernel: 2, ..CnnEncoder::default() }),
            Encoder::Cnn(CnnEncoder { channels: vec![], ..CnnEncoder::default() }),
            Encoder::Cnn(CnnEncoder { features: 0, ..CnnEncoder::default() }),
            Encoder::Gru(GruEncoder { hidden: 0, ..GruEncoder::default() }),
            Encoder::Lstm(LstmEncoder { layers: 0, ..LstmEncoder::default() }),
            Encoder::Cnn(CnnEncoder { repeat: 9, ..CnnEncoder::default() }),
            Encoder::Resnet(ResnetEncoder { depth: 19, ..ResnetEncoder::default() }),
            Encoder::Resnet(ResnetEncoder { width: 0, ..ResnetEncoder::default() }),
        ];
        for encoder in bad {
            assert_eq!(encoder.get().check(&field).unwrap_err().exit_code(), 2, "{encoder:?}");
        }
    }
}
