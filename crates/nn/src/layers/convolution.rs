//! A convolution block: cross-correlation, bias, rectifier, and the largest of each 2 x 2 block.

use consilience_core::Result;

use super::Pass;
use crate::backend::Tensor;
use crate::kernels::convolution_block;
use crate::params::Declared;

/// `weight [outputs, inputs, kernel, kernel]` and `bias [outputs]`.
pub fn declare(layer: &str, inputs: usize, outputs: usize, kernel: usize) -> [Declared; 2] {
    let fan_in = inputs * kernel * kernel;
    [
        Declared::new(format!("{layer}.weight"), vec![outputs, inputs, kernel, kernel], fan_in),
        Declared::new(format!("{layer}.bias"), vec![outputs], fan_in),
    ]
}

/// `x [rows, inputs, h, w]` to `[rows, outputs, h / 2, w / 2]`; an odd kernel with half of it as padding on each side.
///
/// # Errors
/// As [`Pass::param`] and [`Pass::see`].
pub fn forward(pass: &Pass<'_>, layer: &str, x: Tensor<4>) -> Result<Tensor<4>> {
    let weight: Tensor<4> = pass.param(layer, "weight")?;
    let bias: Tensor<1> = pass.param(layer, "bias")?;
    pass.see(layer, convolution_block(x, weight, bias))
}
