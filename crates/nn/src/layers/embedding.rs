//! A table of vectors, one a word, whose rows are drawn together bag by bag.

use consilience_core::Result;

use super::Pass;
use crate::backend::Tensor;
use crate::kernels::{Bags, Together, embedding_bag};
use crate::params::Declared;

/// `weight [words, width]`, which starts within `1 / sqrt(width)`.
pub fn declare(layer: &str, words: usize, width: usize) -> [Declared; 1] {
    [Declared::new(format!("{layer}.weight"), vec![words, width], width)]
}

/// Bags of words to `[bags, width]`, as [`embedding_bag`].
///
/// # Errors
/// As [`embedding_bag`], [`Pass::param`] and [`Pass::see`].
pub fn forward(pass: &Pass<'_>, layer: &str, bags: Bags, together: Together) -> Result<Tensor<2>> {
    let table: Tensor<2> = pass.param(layer, "weight")?;
    let y = embedding_bag(table, bags, together).map_err(|e| e.at(format!("layer {layer}")))?;
    pass.see(layer, y)
}

/// The vectors of some words, `[words, width]`.
///
/// # Errors
/// As [`forward`].
pub fn each(pass: &Pass<'_>, layer: &str, words: Vec<usize>) -> Result<Tensor<2>> {
    let bags = Bags { offsets: (0..words.len()).collect(), indices: words, weights: None };
    forward(pass, layer, bags, Together::Sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend;
    use crate::params::Params;
    use consilience_core::seed::Seed;

    #[test]
    fn words_are_looked_up_and_those_outside_are_refused_by_name() {
        let params = Params::init(&declare("words", 3, 2), Seed::new(1));
        let bound = params.bind(false);
        let pass = Pass::predicting(&bound);
        let draw = |indices: Vec<usize>| {
            let bags = Bags { indices, offsets: vec![0, 1], weights: None };
            forward(&pass, "words", bags, Together::Mean)
        };
        let (_, table) = params.iter().next().unwrap();
        let got = backend::read(draw(vec![2, 0]).unwrap()).unwrap();
        assert_eq!(got, [&table.numbers()[4..], &table.numbers()[..2]].concat());
        assert!(draw(vec![2, 3]).unwrap_err().to_string().contains("layer words"));
    }
}
