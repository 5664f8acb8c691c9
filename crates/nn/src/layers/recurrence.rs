//! A gated recurrent layer, read forwards; its last state is its output.

use consilience_core::Result;

use super::Pass;
use crate::backend::{self, Tensor};
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

/// Steps `[rows, inputs]` in order, to the last state `[rows, hidden]`, starting from zeros:
///
/// `r = s(W_r x + b_r + U_r h + c_r)`, `z = s(W_z x + b_z + U_z h + c_z)`,
/// `n = tanh(W_n x + b_n + r (U_n h + c_n))`, `h <- (1 - z) n + z h`.
///
/// # Errors
/// As [`Pass::param`] and [`Pass::see`].
///
/// # Reference
/// Cho et al. (2014), "Learning phrase representations using RNN encoder-decoder"; the reset gate stands after the
/// product, as in cuDNN.
pub fn forward(pass: &Pass<'_>, layer: &str, rows: usize, steps: Vec<Tensor<2>>) -> Result<Tensor<2>> {
    let w: Tensor<2> = pass.param::<2>(layer, "weight_ih_l0")?.transpose();
    let u: Tensor<2> = pass.param::<2>(layer, "weight_hh_l0")?.transpose();
    let b: Tensor<2> = pass.param::<1>(layer, "bias_ih_l0")?.unsqueeze();
    let c: Tensor<2> = pass.param::<1>(layer, "bias_hh_l0")?.unsqueeze();
    let hidden = u.dims()[0];
    let mut state: Option<Tensor<2>> = None;
    for x in steps {
        let from_input = x.matmul(w.clone()) + b.clone();
        let from_state = match &state {
            Some(h) => h.clone().matmul(u.clone()) + c.clone(),
            None => c.clone().expand([rows, 3 * hidden]),
        };
        let gates = backend::sigmoid(
            from_input.clone().narrow(1, 0, 2 * hidden) + from_state.clone().narrow(1, 0, 2 * hidden),
        );
        let (reset, update) = (gates.clone().narrow(1, 0, hidden), gates.narrow(1, hidden, hidden));
        let new = (from_input.narrow(1, 2 * hidden, hidden)
            + reset * from_state.narrow(1, 2 * hidden, hidden))
        .tanh();
        let kept = match state {
            Some(h) => update * (h - new.clone()),
            None => -(update * new.clone()),
        };
        state = Some(new + kept);
    }
    pass.see(layer, state.unwrap_or_else(|| backend::zeros([rows, hidden])))
}
