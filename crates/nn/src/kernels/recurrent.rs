//! Recurrent cells over whole sequences: one product for all inputs, one for each step, gates in one pass. A cell says only
//! what happens to one row at one step.
//!
//! Rows are taken in blocks of a size that depends on their number alone; what blocks add up is added in their order.

use std::fmt::Debug;
use std::marker::PhantomData;
use std::sync::Arc;

use rayon::prelude::*;

use super::product::{View, product};
use super::sequence::{Gates, Sequences, Steps};
use super::simd::wide;
use super::transpose::transpose;
use crate::backend::{self, Host, Operator, Saved, Tensor};
use crate::memory::{fresh, give_back, zeros};

/// The mathematics of one row at one step. Its functions are `#[inline(always)]`, so that they become vector code.
pub(super) trait Cell: Debug + Send + Sync + 'static {
    /// Gates of a step, in the order of the weights.
    const GATES: usize;

    /// Whether the cell needs `U h + c` apart from `W x + b`, as a reset gate does; otherwise it gets their sum.
    const APART: bool;

    /// One step forward. `gates [GATES hidden]` holds `W x + b`, or the sum, and takes the gates; `pull` is `U h + c`, or
    /// empty. `old` and `new` are the state and what the cell keeps beside it, `[hidden]` each.
    fn forward(gates: &mut [f32], pull: &[f32], old: [&[f32]; 2], new: [&mut [f32]; 2]);

    /// One step backward. `gates` become the gradients of what went into them, from the input where the state's part is
    /// apart, and `own`, otherwise empty, of what went into them from the state. `kept` is what the cell kept at this
    /// step. `d` are the gradients of the state and of what is kept, and become those that go straight to the step before.
    fn backward(gates: &mut [f32], own: &mut [f32], old: [&[f32]; 2], kept: &[f32], d: [&mut [f32]; 2]);
}

/// Reads `x [rows, steps, inputs]`, gives the states `[rows, steps, hidden]`.
pub(super) fn recurrent<C: Cell>(
    x: Tensor<3>,
    [w, u]: [Tensor<2>; 2],
    [b, c]: [Tensor<1>; 2],
    steps: Steps,
) -> Tensor<3> {
    let operator = Arc::new(Recurrent::<C>::new(steps));
    backend::operate(operator, [x.into(), w.into(), u.into(), b.into(), c.into()])
}

#[derive(Debug)]
struct Recurrent<C> {
    steps: Steps,
    cell: PhantomData<C>,
}

impl<C: Cell> Recurrent<C> {
    fn new(steps: Steps) -> Self {
        Self { steps, cell: PhantomData }
    }
}

/// What a block of rows has at all of its steps, `[rows, steps, ..]`: gates, states, and what the cell keeps beside them.
struct Block<'a> {
    gates: &'a mut [f32],
    states: &'a mut [f32],
    kept: &'a mut [f32],
}

/// A block of rows forward; `gates` holds what comes from the inputs.
fn run<C: Cell>(s: &Sequences<'_>, first: usize, u_t: &[f32], bias: &[f32], block: Block<'_>) {
    let Block { gates, states, kept } = block;
    let (h, width) = (s.hidden, s.width());
    let rows = states.len() / (s.steps * h).max(1);
    let zeros = vec![0.0f32; h];
    let mut pulls = vec![0.0f32; if C::APART { rows * width } else { 0 }];
    for at in 0..s.steps {
        let (step, before) = (s.place(at), s.before(at));
        pulls.chunks_exact_mut(width).for_each(|row| row.copy_from_slice(bias));
        if let Some(before) = before {
            match C::APART {
                true => s.recur(states, u_t, before, &mut pulls, width),
                false => s.recur(states, u_t, before, &mut gates[step * width..], s.steps * width),
            }
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
                            kept.copy_within(from..from + h, to);
                        }
                        continue;
                    }
                    let gates = &mut gates[(r * s.steps + step) * width..][..width];
                    let pull = if C::APART { &pulls[r * width..][..width] } else { &[] };
                    let (old, state) = apart(states, from, to, h);
                    let (beside, kept) = apart(kept, from, to, h);
                    let old = [old.unwrap_or(&zeros), beside.unwrap_or(&zeros)];
                    C::forward(gates, pull, old, [state, kept]);
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

/// A block of rows backward, from the gradient `dy [rows, steps, hidden]` of its states, and those.
fn back<C: Cell>(
    s: &Sequences<'_>,
    first: usize,
    u: &[f32],
    dy: &[f32],
    gates: &[f32],
    [states, kept]: [&[f32]; 2],
) -> Gates {
    let (h, width) = (s.hidden, s.width());
    let rows = dy.len() / (s.steps * h).max(1);
    let mut gates = gates.to_vec();
    let mut own = vec![0.0f32; if C::APART { gates.len() } else { 0 }];
    let zeros = vec![0.0f32; h];
    let (mut d_states, mut d_kept) = (vec![0.0f32; rows * h], vec![0.0f32; rows * h]);
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
                    let span = (r * s.steps + step) * width;
                    let gates = &mut gates[span..span + width];
                    let own = if C::APART { &mut own[span..span + width] } else { &mut [] };
                    if !s.has(first + r, step) {
                        gates.fill(0.0);
                        own.fill(0.0);
                        continue;
                    }
                    let old = [states, kept].map(|all| match before {
                        Some(b) => &all[(r * s.steps + b) * h..][..h],
                        None => &zeros,
                    });
                    let d = [d_state, &mut d_kept[r * h..(r + 1) * h]];
                    C::backward(gates, own, old, &kept[here..here + h], d);
                }
            },
        );
        if before.is_none() {
            break;
        }
        let given = if C::APART { &own } else { &gates };
        let given = View::apart(&given[step * width..], rows, width, s.steps * width);
        product(given, View::new(u, width, h), &mut next, h, false);
        // A row without this step passes its gradient on as it is.
        for r in (0..rows).filter(|r| s.has(first + r, step)) {
            let d_state = &mut d_states[r * h..(r + 1) * h];
            d_state.iter_mut().zip(&next[r * h..(r + 1) * h]).for_each(|(d, g)| *d += g);
        }
    }
    Gates { input: gates, state: own }
}

impl<C: Cell> Operator for Recurrent<C> {
    fn forward(&self, inputs: &[Host], save: bool) -> (Host, Saved) {
        let [x, w, u, b, c] = inputs else { return Default::default() };
        let Some(s) = Sequences::new(&x.shape(), &u.shape(), C::GATES, &self.steps) else {
            return Default::default();
        };
        let (h, width) = (s.hidden, s.width());
        let (mut w_t, mut u_t) = (fresh(w.numbers().len()), fresh(u.numbers().len()));
        transpose(w.numbers(), width, s.inputs, &mut w_t);
        transpose(u.numbers(), width, h, &mut u_t);
        let bias: Vec<f32> = match C::APART {
            true => b.numbers().to_vec(),
            false => b.numbers().iter().zip(c.numbers()).map(|(b, c)| b + c).collect(),
        };
        let (all, lot) = (s.rows * s.steps, s.block() * s.steps);
        let (mut states, mut kept) = (zeros(all * h), zeros(all * h));
        let mut gates = fresh(all * width);
        states
            .par_chunks_mut((lot * h).max(1))
            .zip(kept.par_chunks_mut((lot * h).max(1)))
            .zip(gates.par_chunks_mut((lot * width).max(1)))
            .zip(x.numbers().par_chunks((lot * s.inputs).max(1)))
            .enumerate()
            .for_each(|(block, (((states, kept), gates), x))| {
                s.project(x, &w_t, &bias, gates);
                run::<C>(&s, block * s.block(), &u_t, c.numbers(), Block { gates, states, kept });
            });
        give_back(w_t);
        give_back(u_t);
        let out = Host::new(states, [s.rows, s.steps, h]);
        let mut saved = Saved::default();
        if save {
            saved.hosts = vec![out.clone(), Host::new(gates, [all, width]), Host::new(kept, [all, h])];
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
        let ([x, w, u, b, c], [states, gates, kept]) = (inputs, saved.hosts.as_slice()) else {
            return Vec::new();
        };
        let Some(s) = Sequences::new(&x.shape(), &u.shape(), C::GATES, &self.steps) else {
            return Vec::new();
        };
        let want = |i: usize| wanted.get(i).copied().unwrap_or(false);
        let made = s.gradients(x.numbers(), states.numbers(), w.numbers(), want(0), |block| {
            let of = |numbers, width| s.of(numbers, block, width);
            let dy = of(gradient.numbers(), s.hidden);
            let gates = of(gates.numbers(), s.width());
            let beside = [of(states.numbers(), s.hidden), of(kept.numbers(), s.hidden)];
            back::<C>(&s, block * s.block(), u.numbers(), dy, gates, beside)
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
pub(super) mod tests {
    use super::*;
    use crate::kernels::reference::{differences, numbers, wide as f64s};

    pub fn sigmoid(v: f64) -> f64 {
        1.0 / (1.0 + (-v).exp())
    }

    /// One step of the plain recurrence in f64: `W x + b`, `U h + c`, the state and what is kept beside it.
    pub type Step = fn(&[f64], &[f64], &mut [f64], &mut [f64]);

    /// The plain recurrence: outputs `[rows, steps, hidden]`.
    fn plain(
        reading: &Steps,
        [rows, steps, inputs, hidden]: [usize; 4],
        all: &[Vec<f64>],
        step: Step,
    ) -> Vec<f64> {
        let [x, w, u, b, c] = all else { panic!() };
        let mut out = vec![0.0; rows * steps * hidden];
        for r in 0..rows {
            let (mut h, mut m) = (vec![0.0; hidden], vec![0.0; hidden]);
            for at in 0..steps {
                let t = if reading.backwards { steps - 1 - at } else { at };
                if reading.lengths.get(r).is_none_or(|l| t < *l) {
                    let dense = |v: &[f64], weight: &[f64], bias: &[f64]| -> Vec<f64> {
                        let row =
                            |k: usize| v.iter().zip(&weight[k * v.len()..]).map(|(v, w)| v * w).sum::<f64>();
                        bias.iter().enumerate().map(|(k, b)| b + row(k)).collect()
                    };
                    let from_x = dense(&x[(r * steps + t) * inputs..][..inputs], w, b);
                    let from_h = dense(&h, u, c);
                    step(&from_x, &from_h, &mut h, &mut m);
                }
                out[(r * steps + t) * hidden..][..hidden].copy_from_slice(&h);
            }
        }
        out
    }

    /// Whether a cell gives the states and gradients of the plain recurrence, both ways, with lengths and without.
    pub fn agrees<C: Cell>(step: Step) {
        for backwards in [false, true] {
            for lengths in [vec![], vec![4, 1, 3, 4, 2]] {
                let reading = Steps { lengths, backwards };
                let shape @ [rows, steps, inputs, hidden] = [5, 4, 3, 2];
                let width = C::GATES * hidden;
                let inputs = [
                    Host::new(numbers(rows * steps * inputs, 1), [rows, steps, inputs]),
                    Host::new(numbers(width * inputs, 2), [width, inputs]),
                    Host::new(numbers(width * hidden, 3), [width, hidden]),
                    Host::new(numbers(width, 4), [width]),
                    Host::new(numbers(width, 5), [width]),
                ];
                let operator = Recurrent::<C>::new(reading.clone());
                let all: Vec<Vec<f64>> = inputs.iter().map(|i| f64s(i.numbers())).collect();
                let (out, _) = operator.forward(&inputs, false);
                assert_eq!(out.shape(), [rows, steps, hidden]);
                for (a, e) in out.numbers().iter().zip(plain(&reading, shape, &all, step)) {
                    assert!((f64::from(*a) - e).abs() < 2e-6, "{reading:?}: {a} {e}");
                }
                let apart = differences(&operator, &inputs, |x| plain(&reading, shape, x, step));
                assert_eq!(apart, 0, "{reading:?}");
            }
        }
    }
}
