//! Filters over runs of tokens, and the largest that each gives anywhere in a text.

use consilience_core::features::Reader;
use consilience_core::model::Field;
use consilience_core::{Error, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Encode;
use super::words::{Words, check, positive};
use crate::backend::{self, Tensor};
use crate::layers::{Pass, embedding, window};
use crate::params::Declared;

/// The longest run of tokens that a filter sees.
const LONGEST: usize = 64;

/// Filters over runs of a text's tokens, each as long as one of `reaches`, with a rectifier; of what a filter gives along the text
/// the largest is taken. These are the features, with dropout. A text without tokens has features of zero.
///
/// # Reference
/// Kim (2014), "Convolutional neural networks for sentence classification".
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct TextCnnEncoder {
    /// The width of a token's vector.
    #[schemars(range(min = 1))]
    pub width: usize,
    /// How many tokens filters see, from 1 to 64; each number has filters of its own.
    #[schemars(length(min = 1))]
    pub reaches: Vec<usize>,
    /// How many filters there are of each reach.
    #[schemars(range(min = 1))]
    pub filters: usize,
}

impl Default for TextCnnEncoder {
    fn default() -> Self {
        Self { width: 64, reaches: vec![3, 4, 5], filters: 64 }
    }
}

impl TextCnnEncoder {
    fn windows<'a>(&'a self, layer: &'a str) -> impl Iterator<Item = (String, usize)> {
        self.reaches.iter().map(move |reach| (format!("{layer}.window{reach}"), *reach))
    }
}

impl Encode for TextCnnEncoder {
    fn check(&self, field: &Field) -> Result<()> {
        positive(&[("width", self.width), ("filters", self.filters)])?;
        let mut sorted = self.reaches.clone();
        sorted.sort_unstable();
        sorted.dedup();
        let fit = sorted.iter().all(|r| (1..=LONGEST).contains(r));
        if sorted.is_empty() || sorted.len() != self.reaches.len() || !fit {
            return Err(Error::argument("reaches must name different numbers of tokens, at least one")
                .expected(format!("numbers from 1 to {LONGEST} such as [3, 4, 5]"))
                .got(format!("{:?}", self.reaches)));
        }
        check(field, "text_cnn encoder")
    }

    fn reader(&self) -> Reader {
        Reader::Words
    }

    fn declare(&self, layer: &str, field: &Field) -> Vec<Declared> {
        let mut all = embedding::declare(&format!("{layer}.words"), field.words, self.width).to_vec();
        for (name, reach) in self.windows(layer) {
            all.extend(window::declare(&name, [self.filters, reach, self.width]));
        }
        all
    }

    fn width(&self, _field: &Field) -> usize {
        self.reaches.len() * self.filters
    }

    fn forward(&self, pass: &Pass<'_>, layer: &str, field: &Field, x: Tensor<2>) -> Result<Tensor<2>> {
        let words = Words::of(x)?;
        if words.is_empty() {
            return Ok(backend::zeros([words.lengths.len(), self.width(field)]));
        }
        let vectors = words.embed(pass, &format!("{layer}.words"))?;
        let made: Result<Vec<Tensor<2>>> = self
            .windows(layer)
            .map(|(name, _)| window::forward(pass, &name, vectors.clone(), &words.lengths))
            .collect();
        Ok(pass.drop(layer, Tensor::cat(made?, 1)))
    }

    fn outline(&self, field: &Field) -> Vec<(String, u64)> {
        let length: usize = field.shape.iter().product();
        let words = format!("words {length}x{} of {}", self.width, field.words);
        let mut lines = vec![(words, (length * self.width) as u64)];
        lines.extend(self.windows("").map(|(name, _)| {
            (format!("{} {}", name.trim_start_matches('.'), self.filters), self.filters as u64)
        }));
        lines
    }
}
