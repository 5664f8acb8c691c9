//! A long short-term memory: [`super::recurrent`] with the mathematics of its cell.

use super::built_in;
use super::elementary::{sigmoid, tanh};
use super::recurrent::{Cell, recurrent};
use super::sequence::Steps;
use crate::backend::{self, Tensor};

/// `i = s(..)`, `f = s(..)`, `g = tanh(..)`, `o = s(..)` of `W x + b + U h + c`, `m <- f m + i g`, `h <- o tanh(m)`, from
/// zeros; gives `h` after each step. Rows of `weight_ih [4 hidden, inputs]`, `weight_hh [4 hidden, hidden]` and the biases
/// are in the order i, f, g, o. After the last step of a row that is shorter than the others its state stays.
///
/// # Shapes
/// `x [rows, steps, inputs]` to `[rows, steps, hidden]`.
///
/// # Reference
/// Hochreiter and Schmidhuber (1997), "Long short-term memory"; layout of PyTorch.
pub fn lstm(x: Tensor<3>, weights: [Tensor<2>; 2], biases: [Tensor<1>; 2], steps: Steps) -> Tensor<3> {
    if backend::elsewhere() {
        return built_in::lstm(x, weights, biases, &steps);
    }
    recurrent::<Lstm>(x, weights, biases, steps)
}

/// Keeps its memory beside the state.
#[derive(Debug)]
struct Lstm;

impl Cell for Lstm {
    const GATES: usize = 4;
    const APART: bool = false;

    #[inline(always)]
    fn forward(gates: &mut [f32], _: &[f32], [_, before]: [&[f32]; 2], [state, memory]: [&mut [f32]; 2]) {
        let h = state.len();
        let (i, rest) = gates.split_at_mut(h);
        let (f, rest) = rest.split_at_mut(h);
        let (g, o) = rest.split_at_mut(h);
        let (o, before, memory) = (&mut o[..h], &before[..h], &mut memory[..h]);
        for k in 0..h {
            (i[k], f[k], g[k], o[k]) = (sigmoid(i[k]), sigmoid(f[k]), tanh(g[k]), sigmoid(o[k]));
            memory[k] = f[k] * before[k] + i[k] * g[k];
            state[k] = o[k] * tanh(memory[k]);
        }
    }

    #[inline(always)]
    fn backward(
        gates: &mut [f32],
        _: &mut [f32],
        [_, before]: [&[f32]; 2],
        memory: &[f32],
        [d_state, d_memory]: [&mut [f32]; 2],
    ) {
        let h = d_state.len();
        let (i, rest) = gates.split_at_mut(h);
        let (f, rest) = rest.split_at_mut(h);
        let (g, o) = rest.split_at_mut(h);
        let (o, before, memory, d_memory) = (&mut o[..h], &before[..h], &memory[..h], &mut d_memory[..h]);
        for k in 0..h {
            let (iv, fv, gv, ov) = (i[k], f[k], g[k], o[k]);
            let t = tanh(memory[k]);
            let d = d_memory[k] + d_state[k] * ov * (1.0 - t * t);
            i[k] = d * gv * iv * (1.0 - iv);
            f[k] = d * before[k] * fv * (1.0 - fv);
            g[k] = d * iv * (1.0 - gv * gv);
            o[k] = d_state[k] * t * ov * (1.0 - ov);
            d_memory[k] = d * fv;
        }
        // Nothing of the state goes straight on. Minus zero changes no bit of what is added to it.
        d_state.fill(-0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::recurrent::tests::{agrees, sigmoid};

    #[test]
    fn states_and_gradients_are_those_of_the_plain_recurrence() {
        agrees::<Lstm>(|from_x, from_h, h, m| {
            let hidden = h.len();
            for k in 0..hidden {
                let gate = |which: usize| from_x[which * hidden + k] + from_h[which * hidden + k];
                m[k] = sigmoid(gate(1)) * m[k] + sigmoid(gate(0)) * gate(2).tanh();
                h[k] = sigmoid(gate(3)) * m[k].tanh();
            }
        });
    }
}
