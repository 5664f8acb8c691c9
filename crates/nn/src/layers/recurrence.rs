//! A gated recurrent layer, read forwards; its last state is its output.

use consilience_core::Result;

use super::Pass;
use crate::backend::Tensor;
use crate::kernels::{Steps, gru};
use crate::params::Declared;

/// `weight_ih_l0 [3 hidden, inputs]`, `weight_hh_l0 [3 hidden, hidden]` and their biases; rows in the order reset,
/// update, new. All start within `1 / sqrt(hidden)`.
pub fn declare(layer: &str, inputs: usize, hidden: usize) -> [Declared; 4] {
    let array = |name: &str, shape: Vec<usize>| Declared::new(format!("{layer}.{name}"), shape, hidden);
    [
        array("weight_ih_l0", vec![3 * hidden, inputs]),
        array("weight_hh_l0", vec![3 * hidden, hidden]),
        array("bias_ih_l0", vec![3 * hidden]),
        array("bias_hh_l0", vec![3 * hidden]),
    ]
}

/// Rows `[rows, steps, inputs]` to the last state `[rows, hidden]` of [`gru`].
///
/// # Errors
/// As [`Pass::param`] and [`Pass::see`].
pub fn forward(pass: &Pass<'_>, layer: &str, x: Tensor<3>) -> Result<Tensor<2>> {
    let weights = [pass.param::<2>(layer, "weight_ih_l0")?, pass.param::<2>(layer, "weight_hh_l0")?];
    let biases = [pass.param::<1>(layer, "bias_ih_l0")?, pass.param::<1>(layer, "bias_hh_l0")?];
    let states = gru(x, weights, biases, Steps::default());
    let [rows, steps, hidden] = states.dims();
    pass.see(layer, states.narrow(1, steps.saturating_sub(1), 1).reshape([rows, hidden]))
}
