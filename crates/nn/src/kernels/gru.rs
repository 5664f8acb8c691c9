//! A gated recurrent unit over whole sequences, made as [`super::lstm`] is.

use std::sync::Arc;

use rayon::prelude::*;

use super::elementary::{sigmoid, tanh};
use super::product::{View, product};
use super::sequence::{Gates, Sequences, Steps, transposed};
use super::simd::wide;
use crate::backend::{self, Host, Operator, Saved, Tensor};

/// Gates of a step, in the order of the weights.
const GATES: usize = 3;

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
    let ([w, u], [b, c]) = (weights, biases);
    backend::operate(Arc::new(Gru { steps }), [x.into(), w.into(), u.into(), b.into(), c.into()])
}

#[derive(Debug)]
struct Gru {
    steps: Steps,
}

/// What a block of rows keeps: `gates [rows, steps, 3 hidden]`, `states` and `pulls [rows, steps, hidden]`, where a pull
/// is `U_n h + c_n`.
struct Block<'a> {
    gates: &'a mut [f32],
    states: &'a mut [f32],
    pulls: &'a mut [f32],
}

/// A block of rows forward; `gates` holds what comes from the inputs.
fn run(s: &Sequences<'_>, first: usize, u_t: &[f32], bias: &[f32], block: &mut Block<'_>) {
    let (h, width) = (s.hidden, s.width());
    let rows = block.states.len() / (s.steps * h).max(1);
    let mut from_state = vec![0.0f32; rows * width];
    let mut old = vec![0.0f32; h];
    for at in 0..s.steps {
        let (step, before) = (s.place(at), s.before(at));
        from_state.chunks_exact_mut(width).for_each(|row| row.copy_from_slice(bias));
        if let Some(before) = before {
            s.recur(block.states, u_t, before, &mut from_state, width);
        }
        wide(
            #[inline(always)]
            || {
                for (r, from_state) in from_state.chunks_exact(width).enumerate() {
                    let to = (r * s.steps + step) * h;
                    match before.map(|b| (r * s.steps + b) * h) {
                        Some(from) => old.copy_from_slice(&block.states[from..from + h]),
                        None => old.fill(0.0),
                    }
                    let state = &mut block.states[to..to + h];
                    if !s.has(first + r, step) {
                        state.copy_from_slice(&old);
                        continue;
                    }
                    let gates = &mut block.gates[(r * s.steps + step) * width..][..width];
                    forward_row(gates, from_state, &old, &mut block.pulls[to..to + h], state);
                }
            },
        );
    }
}

#[inline(always)]
fn forward_row(gates: &mut [f32], from_state: &[f32], old: &[f32], pull: &mut [f32], state: &mut [f32]) {
    let h = state.len();
    let (rz, n) = gates.split_at_mut(2 * h);
    let (pulls_rz, pulls_n) = from_state.split_at(2 * h);
    for (g, p) in rz.iter_mut().zip(pulls_rz) {
        *g = sigmoid(*g + p);
    }
    let (r, z) = rz.split_at(h);
    let (n, r, z, old) = (&mut n[..h], &r[..h], &z[..h], &old[..h]);
    pull.copy_from_slice(&pulls_n[..h]);
    for k in 0..h {
        n[k] = tanh(n[k] + r[k] * pull[k]);
        state[k] = (1.0 - z[k]) * n[k] + z[k] * old[k];
    }
}

/// A block of rows backward: `gates` become the gradients of what went into them from the input, `own` of what went into
/// them from the state. `dy [rows, steps, hidden]`.
fn back(s: &Sequences<'_>, first: usize, u: &[f32], dy: &[f32], block: &mut Block<'_>, own: &mut [f32]) {
    let (h, width) = (s.hidden, s.width());
    let rows = dy.len() / (s.steps * h).max(1);
    let zeros = vec![0.0f32; h];
    let (mut d_states, mut next) = (vec![0.0f32; rows * h], vec![0.0f32; rows * h]);
    for at in (0..s.steps).rev() {
        let (step, before) = (s.place(at), s.before(at));
        wide(
            #[inline(always)]
            || {
                for r in 0..rows {
                    let here = (r * s.steps + step) * h;
                    let d_state = &mut d_states[r * h..(r + 1) * h];
                    d_state.iter_mut().zip(&dy[here..here + h]).for_each(|(d, g)| *d += g);
                    let span = (r * s.steps + step) * width;
                    let (gates, own) = (&mut block.gates[span..span + width], &mut own[span..span + width]);
                    if !s.has(first + r, step) {
                        gates.fill(0.0);
                        own.fill(0.0);
                        continue;
                    }
                    let old = before.map_or(&zeros[..], |b| &block.states[(r * s.steps + b) * h..][..h]);
                    backward_row(gates, own, old, &block.pulls[here..here + h], d_state);
                }
            },
        );
        if before.is_none() {
            break;
        }
        let own = View::apart(&own[step * width..], rows, width, s.steps * width);
        product(own, View::new(u, width, h), &mut next, h, false);
        for r in (0..rows).filter(|r| s.has(first + r, step)) {
            let d_state = &mut d_states[r * h..(r + 1) * h];
            d_state.iter_mut().zip(&next[r * h..(r + 1) * h]).for_each(|(d, g)| *d += g);
        }
    }
}

/// One row back through one step; `d_state` becomes the part that goes straight to the state before.
#[inline(always)]
fn backward_row(gates: &mut [f32], own: &mut [f32], old: &[f32], pull: &[f32], d_state: &mut [f32]) {
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

impl Operator for Gru {
    fn forward(&self, inputs: &[Host], save: bool) -> (Host, Saved) {
        let [x, w, u, b, c] = inputs else { return Default::default() };
        let Some(s) = Sequences::new(&x.shape(), &u.shape(), GATES, &self.steps) else {
            return Default::default();
        };
        let (h, width) = (s.hidden, s.width());
        let (w_t, u_t) = (transposed(w.numbers(), width, s.inputs), transposed(u.numbers(), width, h));
        let (all, lot) = (s.rows * s.steps, s.block() * s.steps);
        let (mut states, mut pulls) = (vec![0.0f32; all * h], vec![0.0f32; all * h]);
        let mut gates = vec![0.0f32; all * width];
        states
            .par_chunks_mut((lot * h).max(1))
            .zip(pulls.par_chunks_mut((lot * h).max(1)))
            .zip(gates.par_chunks_mut((lot * width).max(1)))
            .zip(x.numbers().par_chunks((lot * s.inputs).max(1)))
            .enumerate()
            .for_each(|(block, (((states, pulls), gates), x))| {
                s.project(x, &w_t, b.numbers(), gates);
                run(&s, block * s.block(), &u_t, c.numbers(), &mut Block { gates, states, pulls });
            });
        let out = Host::new(states, [s.rows, s.steps, h]);
        let mut saved = Saved::default();
        if save {
            saved.hosts = vec![out.clone(), Host::new(gates, [all, width]), Host::new(pulls, [all, h])];
        }
        (out, saved)
    }

    fn backward(
        &self,
        inputs: &[Host],
        saved: &Saved,
        gradient: &Host,
        wanted: &[bool],
    ) -> Vec<Option<Host>> {
        let ([x, w, u, b, c], [states, gates, pulls]) = (inputs, saved.hosts.as_slice()) else {
            return Vec::new();
        };
        let Some(s) = Sequences::new(&x.shape(), &u.shape(), GATES, &self.steps) else { return Vec::new() };
        let want = |i: usize| wanted.get(i).copied().unwrap_or(false);
        let made = s.gradients(x.numbers(), states.numbers(), w.numbers(), want(0), |block| {
            let mut input = s.of(gates.numbers(), block, s.width()).to_vec();
            let mut state = vec![0.0f32; input.len()];
            let mut kept = s.of(pulls.numbers(), block, s.hidden).to_vec();
            let mut own = s.of(states.numbers(), block, s.hidden).to_vec();
            let mut all = Block { gates: &mut input, states: &mut own, pulls: &mut kept };
            let dy = s.of(gradient.numbers(), block, s.hidden);
            back(&s, block * s.block(), u.numbers(), dy, &mut all, &mut state);
            Gates { input, state }
        });
        vec![
            want(0).then(|| Host::new(made.x, x.shape())),
            want(1).then(|| Host::new(made.weight_ih, w.shape())),
            want(2).then(|| Host::new(made.weight_hh, u.shape())),
            want(3).then(|| Host::new(made.bias_ih, b.shape())),
            want(4).then(|| Host::new(made.bias_hh, c.shape())),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::reference::{differences, numbers, wide as f64s};

    /// The plain recurrence in f64: outputs `[rows, steps, hidden]`.
    fn plain(reading: &Steps, [rows, steps, inputs, hidden]: [usize; 4], all: &[Vec<f64>]) -> Vec<f64> {
        let [x, w, u, b, c] = all else { panic!() };
        let mut out = vec![0.0; rows * steps * hidden];
        let sigmoid = |v: f64| 1.0 / (1.0 + (-v).exp());
        for r in 0..rows {
            let mut h = vec![0.0; hidden];
            for at in 0..steps {
                let t = if reading.backwards { steps - 1 - at } else { at };
                if reading.lengths.get(r).is_none_or(|l| t < *l) {
                    let from_x = |k: usize| -> f64 {
                        let row = &x[(r * steps + t) * inputs..][..inputs];
                        b[k] + row.iter().zip(&w[k * inputs..]).map(|(x, w)| x * w).sum::<f64>()
                    };
                    let from_h = |k: usize| -> f64 {
                        c[k] + h.iter().zip(&u[k * hidden..]).map(|(h, u)| h * u).sum::<f64>()
                    };
                    let next: Vec<f64> = (0..hidden)
                        .map(|k| {
                            let reset = sigmoid(from_x(k) + from_h(k));
                            let update = sigmoid(from_x(hidden + k) + from_h(hidden + k));
                            let new = (from_x(2 * hidden + k) + reset * from_h(2 * hidden + k)).tanh();
                            (1.0 - update) * new + update * h[k]
                        })
                        .collect();
                    h = next;
                }
                out[(r * steps + t) * hidden..][..hidden].copy_from_slice(&h);
            }
        }
        out
    }

    #[test]
    fn states_and_gradients_are_those_of_the_plain_recurrence() {
        for backwards in [false, true] {
            for lengths in [vec![], vec![4, 1, 3, 4, 2]] {
                let reading = Steps { lengths, backwards };
                let shape @ [rows, steps, inputs, hidden] = [5, 4, 3, 2];
                let inputs = [
                    Host::new(numbers(rows * steps * inputs, 1), [rows, steps, inputs]),
                    Host::new(numbers(3 * hidden * inputs, 2), [3 * hidden, inputs]),
                    Host::new(numbers(3 * hidden * hidden, 3), [3 * hidden, hidden]),
                    Host::new(numbers(3 * hidden, 4), [3 * hidden]),
                    Host::new(numbers(3 * hidden, 5), [3 * hidden]),
                ];
                let operator = Gru { steps: reading.clone() };
                let all: Vec<Vec<f64>> = inputs.iter().map(|i| f64s(i.numbers())).collect();
                let (out, _) = operator.forward(&inputs, false);
                assert_eq!(out.shape(), [rows, steps, hidden]);
                for (a, e) in out.numbers().iter().zip(plain(&reading, shape, &all)) {
                    assert!((f64::from(*a) - e).abs() < 2e-6, "{reading:?}: {a} {e}");
                }
                assert_eq!(differences(&operator, &inputs, |x| plain(&reading, shape, x)), 0, "{reading:?}");
            }
        }
    }
}
