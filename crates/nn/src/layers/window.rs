//! Filters over runs of steps, of which the largest along a row is taken.

use consilience_core::Result;

use super::Pass;
use crate::backend::Tensor;
use crate::kernels::largest_window;
use crate::params::Declared;

/// `weight [filters, reach, width]` and `bias [filters]`.
pub fn declare(layer: &str, [filters, reach, width]: [usize; 3]) -> [Declared; 2] {
    let fan_in = reach * width;
    [
        Declared::new(format!("{layer}.weight"), vec![filters, reach, width], fan_in),
        Declared::new(format!("{layer}.bias"), vec![filters], fan_in),
    ]
}

/// The steps of rows `x [steps, width]`, of which each row has so many, to `[rows, filters]`, as [`largest_window`].
///
/// # Errors
/// As [`Pass::param`] and [`Pass::see`].
pub fn forward(pass: &Pass<'_>, layer: &str, x: Tensor<2>, lengths: &[usize]) -> Result<Tensor<2>> {
    let weight: Tensor<3> = pass.param(layer, "weight")?;
    let bias: Tensor<1> = pass.param(layer, "bias")?;
    pass.see(layer, largest_window(x, lengths, weight, bias))
}
