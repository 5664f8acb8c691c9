//! Rows of token numbers as the tokens that are there.

use consilience_core::model::Field;
use consilience_core::{Error, Result};

use super::wrong_shape;
use crate::backend::{self, Tensor};
use crate::kernels::Bags;
use crate::layers::{Pass, embedding};

/// The tokens of some rows, one row after the other, without the zeros that fill rows up.
pub(super) struct Words {
    tokens: Vec<usize>,
    /// How many tokens each row has.
    pub lengths: Vec<usize>,
}

impl Words {
    /// The tokens in `x [rows, length]`.
    ///
    /// # Errors
    /// [`Error::Internal`] if the backend cannot give them.
    pub fn of(x: Tensor<2>) -> Result<Self> {
        let [_, length] = x.dims();
        let mut tokens = Vec::new();
        let numbers = backend::read(x)?;
        let row = |row: &[f32]| {
            let before = tokens.len();
            tokens.extend(row.iter().filter(|v| **v > 0.0).map(|v| *v as usize));
            tokens.len() - before
        };
        let lengths = numbers.chunks_exact(length.max(1)).map(row).collect();
        Ok(Self { tokens, lengths })
    }

    /// Whether no row has a token.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// The tokens of each row in a bag.
    pub fn by_row(self) -> Bags {
        Bags { offsets: starts(&self.lengths), indices: self.tokens, weights: None }
    }

    /// The vector of each token, `[tokens, width]`.
    ///
    /// # Errors
    /// As [`embedding::each`].
    pub fn embed(&self, pass: &Pass<'_>, layer: &str) -> Result<Tensor<2>> {
        embedding::each(pass, layer, self.tokens.clone())
    }
}

/// Where each row begins.
pub(super) fn starts(lengths: &[usize]) -> Vec<usize> {
    let begin = |next: &mut usize, length: &usize| {
        let start = *next;
        *next += length;
        Some(start)
    };
    lengths.iter().scan(0, begin).collect()
}

/// Refuses columns that hold no tokens.
pub(super) fn check(field: &Field, encoder: &str) -> Result<()> {
    match field.shape.as_slice() {
        [1..=usize::MAX] if field.words > 1 => Ok(()),
        _ => Err(wrong_shape(field, encoder, "the numbers of tokens, [length]")
            .remedy("end the column's features with the step tokens")),
    }
}

/// Refuses a setting that must not be zero.
pub(super) fn positive(settings: &[(&str, usize)]) -> Result<()> {
    match settings.iter().find(|(_, value)| *value == 0) {
        Some((name, _)) => Err(Error::argument(format!("{name} must be at least 1")).got(0)),
        None => Ok(()),
    }
}
