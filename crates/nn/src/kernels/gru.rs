//! A gated recurrent unit: [`super::recurrent`] with the mathematics of its cell.

use super::built_in;
use super::elementary::{sigmoid, tanh};
use super::recurrent::{Cell, recurrent};
use super::sequence::Steps;
use crate::backend::{self, Tensor};

/// `r = s(W_r x + b_r + U_r h + c_r)`, `z = s(W_z x + b_z + U_z h + c_z)`, `n = tanh(W_n x + b_n + r (U_n h + c_n))`,
/// `h <- (1 - z) n + z h`, from zeros; gives `h` after each step. Rows of `weight_ih [3 hidden, inputs]`,
/// `weight_hh [3 hidden, hidden]` and the biases are in the order r, z, n. After the last step of a row that is shorter
/// than the others its state stays.
///
/// # Shapes
/// `x [rows, steps, inputs]` to `[rows, steps, hidden]`.
///
/// # Reference
/// Cho et al. (2014), "Learning phrase representations using RNN encoder-decoder"; the reset gate stands after the
/// product, as in cuDNN.
pub fn gru(x: Tensor<3>, weights: [Tensor<2>; 2], biases: [Tensor<1>; 2], steps: Steps) -> Tensor<3> {
    if backend::elsewhere() {
        return built_in::gru(x, weights, biases, &steps);
    }
    recurrent::<Gru>(x, weights, biases, steps)
}

/// Keeps its pull `U_n h + c_n` beside the state.
#[derive(Debug)]
struct Gru;

impl Cell for Gru {
    const GATES: usize = 3;
    const APART: bool = true;

    #[inline(always)]
    fn forward(gates: &mut [f32], pulls: &[f32], [old, _]: [&[f32]; 2], [state, pull]: [&mut [f32]; 2]) {
        let h = state.len();
        let (rz, n) = gates.split_at_mut(2 * h);
        let (pulls_rz, pulls_n) = pulls.split_at(2 * h);
        for (g, p) in rz.iter_mut().zip(pulls_rz) {
            *g = sigmoid(*g + p);
        }
        let (r, z) = rz.split_at(h);
        let (n, r, z, old, pull) = (&mut n[..h], &r[..h], &z[..h], &old[..h], &mut pull[..h]);
        pull.copy_from_slice(&pulls_n[..h]);
        for k in 0..h {
            n[k] = tanh(n[k] + r[k] * pull[k]);
            state[k] = (1.0 - z[k]) * n[k] + z[k] * old[k];
        }
    }

    #[inline(always)]
    fn backward(
        gates: &mut [f32],
        own: &mut [f32],
        [old, _]: [&[f32]; 2],
        pull: &[f32],
        [d_state, _]: [&mut [f32]; 2],
    ) {
        let h = d_state.len();
        let (r, rest) = gates.split_at_mut(h);
        let (z, n) = rest.split_at_mut(h);
        let (own_r, rest) = own.split_at_mut(h);
        let (own_z, own_n) = rest.split_at_mut(h);
        let (n, own_n, old, pull) = (&mut n[..h], &mut own_n[..h], &old[..h], &pull[..h]);
        for k in 0..h {
            let (rv, zv, nv, d) = (r[k], z[k], n[k], d_state[k]);
            let dn = d * (1.0 - zv) * (1.0 - nv * nv);
            let dz = d * (old[k] - nv) * zv * (1.0 - zv);
            let dr = dn * pull[k] * rv * (1.0 - rv);
            (r[k], z[k], n[k]) = (dr, dz, dn);
            (own_r[k], own_z[k], own_n[k]) = (dr, dz, dn * rv);
            d_state[k] = d * zv;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::recurrent::tests::{agrees, sigmoid};

    #[test]
    fn states_and_gradients_are_those_of_the_plain_recurrence() {
        agrees::<Gru>(|from_x, from_h, h, _| {
            let hidden = h.len();
            for k in 0..hidden {
                let gate = |which: usize| from_x[which * hidden + k] + from_h[which * hidden + k];
                let (reset, update) = (sigmoid(gate(0)), sigmoid(gate(1)));
                let new = (from_x[2 * hidden + k] + reset * from_h[2 * hidden + k]).tanh();
                h[k] = (1.0 - update) * new + update * h[k];
            }
        });
    }
}
