//! The mean of the vectors of a text's tokens, and a dense layer.

use consilience_core::Result;
use consilience_core::features::Reader;
use consilience_core::model::Field;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Encode;
use super::words::{Words, check, positive};
use crate::backend::Tensor;
use crate::kernels::Together;
use crate::layers::{Pass, dense, embedding};
use crate::params::Declared;

/// The mean of the vectors of a text's tokens, whatever their order, then one dense layer with a rectifier and dropout:
/// `h = max(W mean_t e_t + b, 0)`. A text without tokens has a mean of zeros.
///
/// # Reference
/// Joulin et al. (2017), "Bag of tricks for efficient text classification".
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct TextBagEncoder {
    /// The width of a token's vector.
    #[schemars(range(min = 1))]
    pub width: usize,
    /// The width of the dense layer: the number of features.
    #[schemars(range(min = 1))]
    pub features: usize,
}

impl Default for TextBagEncoder {
    fn default() -> Self {
        Self { width: 64, features: 64 }
    }
}

impl Encode for TextBagEncoder {
    fn check(&self, field: &Field) -> Result<()> {
        positive(&[("width", self.width), ("features", self.features)])?;
        check(field, "text_bag encoder")
    }

    fn reader(&self) -> Reader {
        Reader::Words
    }

    fn declare(&self, layer: &str, field: &Field) -> Vec<Declared> {
        let mut all = embedding::declare(&format!("{layer}.words"), field.words, self.width).to_vec();
        all.extend(dense::declare(&format!("{layer}.dense"), self.width, self.features));
        all
    }

    fn width(&self, _field: &Field) -> usize {
        self.features
    }

    fn forward(&self, pass: &Pass<'_>, layer: &str, _field: &Field, x: Tensor<2>) -> Result<Tensor<2>> {
        let bags = Words::of(x)?.by_row();
        let mean = embedding::forward(pass, &format!("{layer}.words"), bags, Together::Mean)?;
        let name = format!("{layer}.dense");
        Ok(pass.drop(&name, dense::rectified(pass, &name, mean)?))
    }

    fn outline(&self, field: &Field) -> Vec<(String, u64)> {
        vec![
            (format!("words {} of {}", self.width, field.words), self.width as u64),
            (format!("dense {}", self.features), self.features as u64),
        ]
    }
}
