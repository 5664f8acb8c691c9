//! The dense layer: `y = x W^T + b`.

use consilience_core::Result;

use super::Pass;
use crate::backend::Tensor;
use crate::kernels::dense;
use crate::params::Declared;

/// `weight [outputs, inputs]` and `bias [outputs]`.
pub fn declare(layer: &str, inputs: usize, outputs: usize) -> [Declared; 2] {
    [
        Declared::new(format!("{layer}.weight"), vec![outputs, inputs], inputs),
        Declared::new(format!("{layer}.bias"), vec![outputs], inputs),
    ]
}

/// `x [rows, inputs]` to `[rows, outputs]`.
///
/// # Errors
/// As [`Pass::param`] and [`Pass::see`].
pub fn forward(pass: &Pass<'_>, layer: &str, x: Tensor<2>) -> Result<Tensor<2>> {
    affine(pass, layer, x, false)
}

/// As [`forward`], with a rectifier.
///
/// # Errors
/// As [`Pass::param`] and [`Pass::see`].
pub fn rectified(pass: &Pass<'_>, layer: &str, x: Tensor<2>) -> Result<Tensor<2>> {
    affine(pass, layer, x, true)
}

fn affine(pass: &Pass<'_>, layer: &str, x: Tensor<2>, rectify: bool) -> Result<Tensor<2>> {
    let weight: Tensor<2> = pass.param(layer, "weight")?;
    let bias: Tensor<1> = pass.param(layer, "bias")?;
    pass.see(layer, dense(x, weight, bias, rectify))
}
