//! Convolutions over images or steps: cross-correlation, bias, rectifier, and the largest of each block.

use consilience_core::Result;

use super::Pass;
use crate::backend::Tensor;
use crate::kernels::{Moves, conv2d, convolution_block};
use crate::params::Declared;

/// `weight [outputs, inputs, height, width]`, the last two those of the kernel, and `bias [outputs]`.
pub fn declare(layer: &str, inputs: usize, outputs: usize, [height, width]: [usize; 2]) -> [Declared; 2] {
    let fan_in = inputs * height * width;
    [
        Declared::new(format!("{layer}.weight"), vec![outputs, inputs, height, width], fan_in),
        Declared::new(format!("{layer}.bias"), vec![outputs], fan_in),
    ]
}

/// A convolution with bias and rectifier that keeps the size: an odd kernel with half of it as padding on each side.
///
/// # Errors
/// As [`Pass::param`] and [`Pass::see`].
pub fn rectified(pass: &Pass<'_>, layer: &str, x: Tensor<4>) -> Result<Tensor<4>> {
    let weight: Tensor<4> = pass.param(layer, "weight")?;
    let bias: Tensor<1> = pass.param(layer, "bias")?;
    let [.., height, width] = weight.dims();
    let moves = Moves { padding: [height / 2, width / 2], ..Moves::default() };
    pass.see(layer, conv2d(x, weight, Some(bias), None, moves, true))
}

/// `x [rows, inputs, h, w]` to `[rows, outputs, h / 2, w / 2]`; an odd kernel with half of it as padding on each side. A
/// height of 1 stays 1.
///
/// # Errors
/// As [`Pass::param`] and [`Pass::see`].
pub fn forward(pass: &Pass<'_>, layer: &str, x: Tensor<4>) -> Result<Tensor<4>> {
    let weight: Tensor<4> = pass.param(layer, "weight")?;
    let bias: Tensor<1> = pass.param(layer, "bias")?;
    pass.see(layer, convolution_block(x, weight, bias))
}
