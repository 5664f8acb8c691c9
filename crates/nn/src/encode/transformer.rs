//! Attention among the tokens of a text, or the steps of a sequence.

use consilience_core::features::Reader;
use consilience_core::model::Field;
use consilience_core::{Error, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::words::{Words, positive, starts};
use super::{Encode, wrong_shape};
use crate::backend::{self, Tensor};
use crate::kernels::{Activation, Bags, Together, activate, attention, embedding_bag};
use crate::layers::{Pass, dense, embedding, norm};
use crate::params::Declared;

/// The vectors of a text's tokens with those of their places go through blocks, `x <- x + W attention(norm(x))` and `x <- x + W_2
/// gelu(W_1 norm(x))`, with dropout before each sum; the features are the mean over the tokens of what the last norm gives. A
/// text without tokens has features of zero. Sequences `[steps, width]` are read alike: a dense layer takes the place of the
/// tokens' vectors.
///
/// # Reference
/// Vaswani et al. (2017), "Attention is all you need"; norms first: Xiong et al. (2020), "On layer normalization in the
/// transformer architecture".
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct TransformerEncoder {
    /// The width of a token's vector: the number of features.
    #[schemars(range(min = 1))]
    pub width: usize,
    /// How many blocks there are.
    #[schemars(range(min = 1, max = 48))]
    pub depth: usize,
    /// How many heads share the width.
    #[schemars(range(min = 1))]
    pub heads: usize,
    /// How many times as wide the inner layer of a block is.
    #[schemars(range(min = 1, max = 64))]
    pub feedforward: usize,
}

impl Default for TransformerEncoder {
    fn default() -> Self {
        Self { width: 128, depth: 2, heads: 4, feedforward: 4 }
    }
}

impl TransformerEncoder {
    fn blocks(&self) -> impl Iterator<Item = String> {
        (1..=self.depth).map(|i| format!("block{i}"))
    }

    /// One block on the steps of all rows.
    fn block(&self, pass: &Pass<'_>, layer: &str, x: Tensor<2>, lengths: &[usize]) -> Result<Tensor<2>> {
        let name = |part: &str| format!("{layer}.{part}");
        let seen = norm::by_row(pass, &name("norm1"), x.clone())?;
        let seen = dense::forward(pass, &name("attention.in"), seen)?;
        let seen = pass.see(&name("attention"), attention(seen, lengths, self.heads))?;
        let out = name("attention.out");
        let x = x + pass.drop(&out, dense::forward(pass, &out, seen)?);
        let inner = norm::by_row(pass, &name("norm2"), x.clone())?;
        let inner = activate(Activation::Gelu, dense::forward(pass, &name("dense1"), inner)?);
        let out = name("dense2");
        Ok(x + pass.drop(&out, dense::forward(pass, &out, inner)?))
    }

    /// The vectors of the steps of all rows before the first block, and how many steps each row has.
    fn start(
        &self,
        pass: &Pass<'_>,
        layer: &str,
        field: &Field,
        x: Tensor<2>,
    ) -> Result<(Tensor<2>, Vec<usize>)> {
        if let [steps, width] = field.shape.as_slice() {
            let rows = x.dims()[0];
            let x = dense::forward(pass, &format!("{layer}.steps"), x.reshape([rows * steps, *width]))?;
            return Ok((x, vec![*steps; rows]));
        }
        let words = Words::of(x)?;
        if words.is_empty() {
            return Ok((backend::zeros([0, self.width]), words.lengths));
        }
        Ok((words.embed(pass, &format!("{layer}.words"))?, words.lengths))
    }
}

impl Encode for TransformerEncoder {
    fn check(&self, field: &Field) -> Result<()> {
        let Self { width, depth, heads, feedforward } = *self;
        positive(&[("width", width), ("depth", depth), ("heads", heads), ("feedforward", feedforward)])?;
        if !width.is_multiple_of(heads) {
            return Err(Error::argument("the heads must share the width evenly")
                .expected(format!("a width that {heads} heads can share"))
                .got(width));
        }
        if depth > 48 || feedforward > 64 {
            return Err(Error::argument("the transformer is too deep or too wide inside")
                .expected("a depth of at most 48, a feedforward of at most 64")
                .got(format!("{depth}, {feedforward}")));
        }
        match field.shape.as_slice() {
            [1..=usize::MAX] if field.words > 1 => Ok(()),
            [1..=usize::MAX, 1..=usize::MAX] => Ok(()),
            _ => Err(wrong_shape(
                field,
                "transformer encoder",
                "the numbers of tokens, [length], or [steps, width]",
            )
            .remedy("end the features of a text with the step tokens")),
        }
    }

    fn reader(&self) -> Reader {
        Reader::Words
    }

    fn declare(&self, layer: &str, field: &Field) -> Vec<Declared> {
        let w = self.width;
        let mut all = match field.shape.as_slice() {
            [_, width] => dense::declare(&format!("{layer}.steps"), *width, w).to_vec(),
            _ => embedding::declare(&format!("{layer}.words"), field.words, w).to_vec(),
        };
        let longest = field.shape.first().copied().unwrap_or(0);
        all.extend(embedding::declare(&format!("{layer}.places"), longest, w));
        let inner = self.feedforward.saturating_mul(w);
        for block in self.blocks() {
            let name = |part: &str| format!("{layer}.{block}.{part}");
            all.extend(norm::declare(&name("norm1"), w));
            all.extend(dense::declare(&name("attention.in"), w, w.saturating_mul(3)));
            all.extend(dense::declare(&name("attention.out"), w, w));
            all.extend(norm::declare(&name("norm2"), w));
            all.extend(dense::declare(&name("dense1"), w, inner));
            all.extend(dense::declare(&name("dense2"), inner, w));
        }
        all.extend(norm::declare(&format!("{layer}.norm"), w));
        all
    }

    fn width(&self, _field: &Field) -> usize {
        self.width
    }

    fn forward(&self, pass: &Pass<'_>, layer: &str, field: &Field, x: Tensor<2>) -> Result<Tensor<2>> {
        let (x, lengths) = self.start(pass, layer, field, x)?;
        let steps = x.dims()[0];
        if steps == 0 {
            return Ok(backend::zeros([lengths.len(), self.width]));
        }
        let places = lengths.iter().flat_map(|length| 0..*length).collect();
        let places_layer = format!("{layer}.places");
        let x = pass.drop(&places_layer, x + embedding::each(pass, &places_layer, places)?);
        let x = self
            .blocks()
            .try_fold(x, |x, block| self.block(pass, &format!("{layer}.{block}"), x, &lengths))?;
        let x = norm::by_row(pass, &format!("{layer}.norm"), x)?;
        let rows = Bags { indices: (0..steps).collect(), offsets: starts(&lengths), weights: None };
        pass.see(layer, embedding_bag(x, rows, Together::Mean)?)
    }

    fn outline(&self, field: &Field) -> Vec<(String, u64)> {
        let (steps, w) = (field.shape.first().copied().unwrap_or(0), self.width);
        let numbers = |each: usize| (steps as u64).saturating_mul(each as u64);
        let from = match field.shape.as_slice() {
            [_, width] => format!("steps {steps}x{w} of {width}"),
            _ => format!("words {steps}x{w} of {}", field.words),
        };
        let mut lines = vec![(from, numbers(2 * w))];
        let inner = self.feedforward * w;
        for block in self.blocks() {
            lines.push((format!("{block}.attention {steps}x{w}, {} heads", self.heads), numbers(7 * w)));
            lines.push((format!("{block}.dense {steps}x{inner}, {steps}x{w}"), numbers(3 * w + 2 * inner)));
        }
        lines.push((format!("mean {w}"), numbers(w)));
        lines
    }
}
