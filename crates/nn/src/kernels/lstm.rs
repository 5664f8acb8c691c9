//! A long short-term memory over whole sequences: one product for all inputs, one for each step, gates in one pass.
//!
//! Rows are taken in blocks of a size that depends on their number alone; what blocks add up is added in their order.

use std::sync::Arc;

use rayon::prelude::*;

use super::elementary::{sigmoid, tanh};
use super::product::{View, product};
use super::sequence::{Gates, Sequences, Steps, transposed};
use super::simd::wide;
use crate::backend::{self, Host, Operator, Saved, Tensor};

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
    let ([w, u], [b, c]) = (weights, biases);
    backend::operate(Arc::new(Lstm { steps }), [x.into(), w.into(), u.into(), b.into(), c.into()])
}

/// Gates of a step, in the order of the weights.
const GATES: usize = 4;

#[derive(Debug)]
struct Lstm {
    steps: Steps,
}

/// A block of rows forward: `gates [rows, steps, 4 hidden]` holds what comes from the inputs and takes the gates;
/// `states` and `memories [rows, steps, hidden]` take what stands after each step.
fn run(
    s: &Sequences<'_>,
    first: usize,
    u_t: &[f32],
    gates: &mut [f32],
    states: &mut [f32],
    memories: &mut [f32],
) {
    let (h, width) = (s.hidden, s.width());
    let rows = states.len() / (s.steps * h).max(1);
    let zeros = vec![0.0f32; h];
    for at in 0..s.steps {
        let (step, before) = (s.place(at), s.before(at));
        if let Some(before) = before {
            s.recur(states, u_t, before, &mut gates[step * width..], s.steps * width);
        }
        wide(
            #[inline(always)]
            || {
                for r in 0..rows {
                    let to = (r * s.steps + step) * h;
                    let from = before.map(|b| (r * s.steps + b) * h);
                    if !s.has(first + r, step) {
                        if let Some(from) = from {
                            states.copy_within(from..from + h, to);
                            memories.copy_within(from..from + h, to);
                        }
                        continue;
                    }
                    let gates = &mut gates[(r * s.steps + step) * width..][..width];
                    let (old, memory) = apart(memories, from, to, h);
                    forward_row(gates, old.unwrap_or(&zeros), memory, &mut states[to..to + h]);
                }
            },
        );
    }
}

/// Two runs of `h` numbers, the first to read.
#[inline(always)]
fn apart(numbers: &mut [f32], from: Option<usize>, to: usize, h: usize) -> (Option<&[f32]>, &mut [f32]) {
    match from {
        None => (None, &mut numbers[to..to + h]),
        Some(from) if from < to => {
            let (a, b) = numbers.split_at_mut(to);
            (Some(&a[from..from + h]), &mut b[..h])
        }
        Some(from) => {
            let (a, b) = numbers.split_at_mut(from);
            (Some(&b[..h]), &mut a[to..to + h])
        }
    }
}

#[inline(always)]
fn forward_row(gates: &mut [f32], before: &[f32], memory: &mut [f32], state: &mut [f32]) {
    let h = state.len();
    let (i, rest) = gates.split_at_mut(h);
    let (f, rest) = rest.split_at_mut(h);
    let (g, o) = rest.split_at_mut(h);
    i.iter_mut().chain(f.iter_mut()).for_each(|v| *v = sigmoid(*v));
    g.iter_mut().for_each(|v| *v = tanh(*v));
    o.iter_mut().for_each(|v| *v = sigmoid(*v));
    let (o, before, memory) = (&o[..h], &before[..h], &mut memory[..h]);
    for k in 0..h {
        memory[k] = f[k] * before[k] + i[k] * g[k];
        state[k] = o[k] * tanh(memory[k]);
    }
}

/// A block of rows backward: `gates` become the gradients of what went into them. `dy [rows, steps, hidden]`.
fn back(s: &Sequences<'_>, first: usize, u: &[f32], dy: &[f32], gates: &mut [f32], memories: &[f32]) {
    let (h, width) = (s.hidden, s.width());
    let rows = dy.len() / (s.steps * h).max(1);
    let zeros = vec![0.0f32; h];
    let (mut d_states, mut d_memories) = (vec![0.0f32; rows * h], vec![0.0f32; rows * h]);
    let mut next = vec![0.0f32; rows * h];
    for at in (0..s.steps).rev() {
        let (step, before) = (s.place(at), s.before(at));
        wide(
            #[inline(always)]
            || {
                for r in 0..rows {
                    let here = (r * s.steps + step) * h;
                    let d_state = &mut d_states[r * h..(r + 1) * h];
                    d_state.iter_mut().zip(&dy[here..here + h]).for_each(|(d, g)| *d += g);
                    let gates = &mut gates[(r * s.steps + step) * width..][..width];
                    if !s.has(first + r, step) {
                        gates.fill(0.0);
                        continue;
                    }
                    let old = before.map_or(&zeros[..], |b| &memories[(r * s.steps + b) * h..][..h]);
                    backward_row(
                        gates,
                        old,
                        &memories[here..here + h],
                        d_state,
                        &mut d_memories[r * h..(r + 1) * h],
                    );
                }
            },
        );
        if before.is_none() {
            break;
        }
        let gates = View::apart(&gates[step * width..], rows, width, s.steps * width);
        product(gates, View::new(u, width, h), &mut next, h, false);
        for r in (0..rows).filter(|r| s.has(first + r, step)) {
            // A row without this step passes its gradient on as it is.
            d_states[r * h..(r + 1) * h].copy_from_slice(&next[r * h..(r + 1) * h]);
        }
    }
}

#[inline(always)]
fn backward_row(gates: &mut [f32], before: &[f32], memory: &[f32], d_state: &[f32], d_memory: &mut [f32]) {
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
}

impl Operator for Lstm {
    fn forward(&self, inputs: &[Host], save: bool) -> (Host, Saved) {
        let [x, w, u, b, c] = inputs else { return Default::default() };
        let Some(s) = Sequences::new(&x.shape(), &u.shape(), GATES, &self.steps) else {
            return Default::default();
        };
        let (h, width) = (s.hidden, s.width());
        let (w_t, u_t) = (transposed(w.numbers(), width, s.inputs), transposed(u.numbers(), width, h));
        let bias: Vec<f32> = b.numbers().iter().zip(c.numbers()).map(|(b, c)| b + c).collect();
        let (all, lot) = (s.rows * s.steps, s.block() * s.steps);
        let (mut states, mut memories) = (vec![0.0f32; all * h], vec![0.0f32; all * h]);
        let mut gates = vec![0.0f32; all * width];
        states
            .par_chunks_mut((lot * h).max(1))
            .zip(memories.par_chunks_mut((lot * h).max(1)))
            .zip(gates.par_chunks_mut((lot * width).max(1)))
            .zip(x.numbers().par_chunks((lot * s.inputs).max(1)))
            .enumerate()
            .for_each(|(block, (((states, memories), gates), x))| {
                s.project(x, &w_t, &bias, gates);
                run(&s, block * s.block(), &u_t, gates, states, memories);
            });
        let out = Host::new(states, [s.rows, s.steps, h]);
        let mut saved = Saved::default();
        if save {
            saved.hosts = vec![out.clone(), Host::new(gates, [all, width]), Host::new(memories, [all, h])];
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
        let ([x, w, u, b, c], [states, gates, memories]) = (inputs, saved.hosts.as_slice()) else {
            return Vec::new();
        };
        let Some(s) = Sequences::new(&x.shape(), &u.shape(), GATES, &self.steps) else { return Vec::new() };
        let want = |i: usize| wanted.get(i).copied().unwrap_or(false);
        let made = s.gradients(x.numbers(), states.numbers(), w.numbers(), want(0), |block| {
            let mut input = s.of(gates.numbers(), block, s.width()).to_vec();
            let memories = s.of(memories.numbers(), block, s.hidden);
            let dy = s.of(gradient.numbers(), block, s.hidden);
            back(&s, block * s.block(), u.numbers(), dy, &mut input, memories);
            Gates { input, state: Vec::new() }
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
            let (mut h, mut m) = (vec![0.0; hidden], vec![0.0; hidden]);
            for at in 0..steps {
                let t = if reading.backwards { steps - 1 - at } else { at };
                if reading.lengths.get(r).is_none_or(|l| t < *l) {
                    let gate = |k: usize| -> f64 {
                        let from_x: f64 =
                            (0..inputs).map(|i| w[k * inputs + i] * x[(r * steps + t) * inputs + i]).sum();
                        let from_h: f64 = (0..hidden).map(|j| u[k * hidden + j] * h[j]).sum();
                        from_x + from_h + b[k] + c[k]
                    };
                    let gates: Vec<f64> = (0..4 * hidden).map(gate).collect();
                    for k in 0..hidden {
                        let (i, f) = (sigmoid(gates[k]), sigmoid(gates[hidden + k]));
                        m[k] = f * m[k] + i * gates[2 * hidden + k].tanh();
                        h[k] = sigmoid(gates[3 * hidden + k]) * m[k].tanh();
                    }
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
                    Host::new(numbers(4 * hidden * inputs, 2), [4 * hidden, inputs]),
                    Host::new(numbers(4 * hidden * hidden, 3), [4 * hidden, hidden]),
                    Host::new(numbers(4 * hidden, 4), [4 * hidden]),
                    Host::new(numbers(4 * hidden, 5), [4 * hidden]),
                ];
                let operator = Lstm { steps: reading.clone() };
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
