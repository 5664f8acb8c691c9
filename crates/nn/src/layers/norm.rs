//! Normalization by the mean and variance of a row, or of a group of channels; the same in training and predicting.

use consilience_core::Result;

use super::Pass;
use crate::backend::Tensor;
use crate::kernels::{group_norm, layer_norm};
use crate::params::Declared;

/// Added to every variance.
const EPSILON: f32 = 1e-5;

/// `weight [width]`, which starts at one, and `bias [width]`, which starts at zero; the width is that of a row, or the
/// number of channels.
pub fn declare(layer: &str, width: usize) -> [Declared; 2] {
    [
        Declared::constant(format!("{layer}.weight"), vec![width], 1.0),
        Declared::constant(format!("{layer}.bias"), vec![width], 0.0),
    ]
}

/// `x [.., width]` to the same shape: [`layer_norm`] over the last dimension.
///
/// # Errors
/// As [`Pass::param`] and [`Pass::see`].
pub fn by_row<const D: usize>(pass: &Pass<'_>, layer: &str, x: Tensor<D>) -> Result<Tensor<D>> {
    let weight: Tensor<1> = pass.param(layer, "weight")?;
    let bias: Tensor<1> = pass.param(layer, "bias")?;
    pass.see(layer, layer_norm(x, weight, bias, EPSILON))
}

/// `x [rows, width, h, w]` to the same shape: [`group_norm`] with so many groups of channels.
///
/// # Errors
/// As [`group_norm`], [`Pass::param`] and [`Pass::see`].
pub fn by_group(pass: &Pass<'_>, layer: &str, x: Tensor<4>, groups: usize) -> Result<Tensor<4>> {
    let weight: Tensor<1> = pass.param(layer, "weight")?;
    let bias: Tensor<1> = pass.param(layer, "bias")?;
    let y = group_norm(x, weight, bias, groups, EPSILON).map_err(|e| e.at(format!("layer {layer}")))?;
    pass.see(layer, y)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend;
    use crate::params::Params;
    use consilience_core::seed::Seed;

    #[test]
    fn layers_start_as_the_bare_normalization_and_name_themselves() {
        let declared = [declare("row", 4), declare("group", 2)].concat();
        let bound = Params::init(&declared, Seed::new(1)).bind(false);
        let pass = Pass::predicting(&bound);
        let x = || vec![1.0, 3.0, 1.0, 3.0, 10.0, 10.0, 30.0, 30.0];
        let rows = by_row(&pass, "row", backend::constant(x(), [2, 1, 4])).unwrap();
        let groups = by_group(&pass, "group", backend::constant(x(), [2, 2, 1, 2]), 1).unwrap();
        let expected = [-1.0, 1.0, -1.0, 1.0, -1.0, -1.0, 1.0, 1.0];
        for got in [backend::read(rows).unwrap(), backend::read(groups).unwrap()] {
            // Epsilon beside a variance of one.
            assert!(got.iter().zip(expected).all(|(a, e)| (a - e).abs() < 1e-5), "{got:?}");
        }
        let error = by_group(&pass, "group", backend::constant(x(), [2, 2, 1, 2]), 3).unwrap_err();
        assert!(error.to_string().contains("layer group"), "{error}");
    }
}
