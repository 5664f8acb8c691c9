//! Networks on one modality: an encoder and a linear head. What they read and how is the encoder's; see `encode`.

use consilience_core::Result;
use consilience_core::model::Field;
use consilience_core::registry::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{NetworkMethod, alone};
use crate::architecture::Architecture;
use crate::encode::{
    CnnEncoder, Encode, Encoder, GruEncoder, LstmEncoder, MlpEncoder, ResnetEncoder, SpectrogramEncoder,
    TextBagEncoder, TextCnnEncoder, TransformerEncoder, WaveformEncoder,
};
use crate::train::Training;

/// The method of an encoder, under its name in recipes, with the version of its results.
macro_rules! network {
    ($(#[$doc:meta])* $name:ident($encoder:ident), $key:literal, $version:literal, $about:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(default)]
        pub struct $name {
            /// What reads the modality.
            #[serde(flatten)]
            pub encoder: $encoder,
            /// How it is trained.
            #[serde(flatten)]
            pub training: Training,
        }

        impl Method for $name {
            const NAME: &'static str = $key;
            const VERSION: u32 = $version;
            const ABOUT: &'static str = $about;

            fn validate(&self) -> Result<()> {
                self.training.validate()
            }
        }

        impl NetworkMethod for $name {
            fn architecture(&self, fields: &[Field]) -> Result<Architecture> {
                alone(fields, Encoder::$name(self.encoder.clone()))
            }

            fn encoders(&self) -> Vec<(Option<&str>, &dyn Encode)> {
                vec![(None, &self.encoder)]
            }

            fn training(&self) -> &Training {
                &self.training
            }
        }
    };
}

network!(
    /// Dense layers with rectifiers and a linear head, on one modality of any shape.
    Mlp(MlpEncoder), "mlp", 4, "dense layers on one modality (a table, an embedding)"
);
network!(
    /// Convolution blocks, a dense layer and a linear head, on one modality `[channels, height, width]` or `[steps, width]`.
    Cnn(CnnEncoder), "cnn", 4, "convolutions on one modality (images, log-mel spectrograms, sequences)"
);
network!(
    /// A residual network and a linear head, on one modality of images.
    Resnet(ResnetEncoder), "resnet", 1, "a residual network (18, 34, 50) on images, in torchvision's layout"
);
network!(
    /// Gated recurrent layers and a linear head, on one modality of steps or frames.
    Gru(GruEncoder), "gru", 4, "gated recurrent layers on one modality (sequences, log-mel frames)"
);
network!(
    /// Layers of long short-term memory and a linear head, on one modality of steps or frames.
    Lstm(LstmEncoder), "lstm", 1, "long short-term memory on one modality (sequences, log-mel frames)"
);
network!(
    /// Convolutions with batch norm over a spectrogram and a linear head, on one modality of sounds.
    Spectrogram(SpectrogramEncoder), "spectrogram", 1,
    "convolutions with batch norm over a log-mel spectrogram, wherever in it something is"
);
network!(
    /// Convolutions over samples and a linear head, on one modality of sounds.
    Waveform(WaveformEncoder), "waveform", 1, "convolutions over the samples of a sound"
);
network!(
    /// A dense layer on the mean of the vectors of a text's tokens, and a linear head.
    TextBag(TextBagEncoder), "text_bag", 1, "the mean of a text's tokens and a dense layer"
);
network!(
    /// Filters over runs of a text's tokens, the largest of each along the text, and a linear head.
    TextCnn(TextCnnEncoder), "text_cnn", 1, "filters over runs of a text's tokens, and the largest of each"
);
network!(
    /// Blocks of attention among the tokens of a text or the steps of a sequence, their mean, and a linear head.
    Transformer(TransformerEncoder), "transformer", 1, "attention among a text's tokens or a sequence's steps"
);
