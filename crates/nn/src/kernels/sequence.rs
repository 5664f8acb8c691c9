//! What recurrent kernels share: how rows are read step by step, and the sums of the weights' gradients.
//!
//! Everything is laid out `[rows, steps, width]`, so that all inputs are one product and so are all their gradients. Rows
//! are taken in blocks of a size that depends on their number alone, and what blocks add up is added in their order.

use rayon::prelude::*;

use super::product::{View, product};
use super::simd::columns;

/// How sequences are read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Steps {
    /// How many steps each row has, from the first on; all of them where this is empty.
    pub lengths: Vec<usize>,
    /// From the last step to the first.
    pub backwards: bool,
}

/// The sizes of one call.
#[derive(Debug, Clone)]
pub(super) struct Sequences<'a> {
    pub rows: usize,
    pub steps: usize,
    pub inputs: usize,
    pub hidden: usize,
    /// Gates beside each other: 4 for an LSTM, 3 for a GRU.
    pub gates: usize,
    reading: &'a Steps,
}

/// The gradients that one block of rows gives.
pub(super) struct Gates {
    /// `[rows, steps, gates * hidden]`: of what went into the gates from the input, and from the state before.
    pub input: Vec<f32>,
    /// The same where it differs, as for a GRU; else empty.
    pub state: Vec<f32>,
}

/// The gradients of input and parameters.
pub(super) struct Gradients {
    pub x: Vec<f32>,
    pub weight_ih: Vec<f32>,
    pub weight_hh: Vec<f32>,
    pub bias_ih: Vec<f32>,
    pub bias_hh: Vec<f32>,
}

impl<'a> Sequences<'a> {
    /// `x [rows, steps, inputs]` and `weight_hh [gates * hidden, hidden]`.
    pub fn new(x: &[usize], weight_hh: &[usize], gates: usize, reading: &'a Steps) -> Option<Self> {
        let ([rows, steps, inputs], [_, hidden]) = (x, weight_hh) else { return None };
        let (rows, steps, inputs, hidden) = (*rows, *steps, *inputs, *hidden);
        Some(Self { rows, steps, inputs, hidden, gates, reading })
    }

    /// Numbers of all gates of one row at one step.
    pub fn width(&self) -> usize {
        self.gates * self.hidden
    }

    /// Rows in a block.
    pub fn block(&self) -> usize {
        self.rows.div_ceil(2).clamp(1, 64)
    }

    /// The step that is read as number `at`.
    pub fn place(&self, at: usize) -> usize {
        if self.reading.backwards { self.steps - 1 - at } else { at }
    }

    /// The step that was read before number `at`.
    pub fn before(&self, at: usize) -> Option<usize> {
        at.checked_sub(1).map(|at| self.place(at))
    }

    /// Whether a row has that step.
    pub fn has(&self, row: usize, step: usize) -> bool {
        self.reading.lengths.get(row).is_none_or(|length| step < *length)
    }

    /// The numbers of a block of rows, `width` a step.
    pub fn of<'b>(&self, numbers: &'b [f32], block: usize, width: usize) -> &'b [f32] {
        let lot = self.block() * self.steps * width;
        &numbers[(block * lot).min(numbers.len())..((block + 1) * lot).min(numbers.len())]
    }

    /// `x W^T + b` for all steps of a block: `[rows, steps, width]`. `w_t` is `[inputs, width]`.
    pub fn project(&self, x: &[f32], w_t: &[f32], bias: &[f32], out: &mut [f32]) {
        let width = self.width();
        out.chunks_exact_mut(width).for_each(|row| row.copy_from_slice(bias));
        let rows = out.len() / width.max(1);
        let (x, w) = (View::new(x, rows, self.inputs), View::new(w_t, self.inputs, width));
        product(x, w, out, width, true);
    }

    /// `out += h U^T` for the step `at` of a block, where `h` is the state before it. `states` is `[rows, steps, hidden]`,
    /// `out` and its rows begin where the step's numbers do and are `down` apart; `u_t` is `[hidden, width]`.
    pub fn recur(&self, states: &[f32], u_t: &[f32], before: usize, out: &mut [f32], down: usize) {
        let (h, rows) = (self.hidden, states.len() / (self.steps * self.hidden).max(1));
        let states = View::apart(&states[before * h..], rows, h, self.steps * h);
        product(states, View::new(u_t, h, self.width()), out, down, true);
    }

    /// The gradients of everything, from those of the gates, which `each` gives for a block of rows by its number.
    pub fn gradients(
        &self,
        x: &[f32],
        states: &[f32],
        weight_ih: &[f32],
        want_x: bool,
        each: impl Fn(usize) -> Gates + Sync,
    ) -> Gradients {
        let (width, h) = (self.width(), self.hidden);
        let mut dx = vec![0.0f32; if want_x { x.len() } else { 0 }];
        let lot = self.block() * self.steps;
        let parts: Vec<&mut [f32]> = match want_x {
            true => dx.chunks_mut((lot * self.inputs).max(1)).collect(),
            false => (0..self.rows.div_ceil(self.block())).map(|_| &mut [][..]).collect(),
        };
        let sums: Vec<[Vec<f32>; 4]> = parts
            .into_par_iter()
            .zip(x.par_chunks((lot * self.inputs).max(1)))
            .zip(states.par_chunks((lot * h).max(1)))
            .enumerate()
            .map(|(block, ((dx, x), states))| {
                let Gates { input, state } = each(block);
                let both = if state.is_empty() { &input } else { &state };
                let rows = input.len() / width.max(1);
                if want_x {
                    let weight = View::new(weight_ih, width, self.inputs);
                    product(View::new(&input, rows, width), weight, dx, self.inputs, false);
                }
                let mut w = vec![0.0f32; width * self.inputs];
                let gates = View::new(&input, rows, width).transposed();
                product(gates, View::new(x, rows, self.inputs), &mut w, self.inputs, false);
                let mut u = vec![0.0f32; width * h];
                // The state before a step is the output one step back: all steps of a row but one.
                let many = self.steps.saturating_sub(1);
                let (skip_gates, skip_states) = if self.reading.backwards { (0, 1) } else { (1, 0) };
                let one = |skip: usize, wide: usize| skip.min(many) * wide;
                for (gates, states) in
                    both.chunks_exact(self.steps * width).zip(states.chunks_exact(self.steps * h))
                {
                    let gates = View::new(&gates[one(skip_gates, width)..], many, width).transposed();
                    let states = View::new(&states[one(skip_states, h)..], many, h);
                    product(gates, states, &mut u, h, true);
                }
                [
                    w,
                    u,
                    columns(&input, width),
                    if state.is_empty() { Vec::new() } else { columns(&state, width) },
                ]
            })
            .collect();
        let sum = |i: usize, length: usize| {
            let mut out = vec![0.0f32; length];
            for part in &sums {
                out.iter_mut().zip(&part[i]).for_each(|(a, b)| *a += b);
            }
            out
        };
        let bias_ih = sum(2, width);
        let own = sums.iter().any(|s| !s[3].is_empty());
        let bias_hh = if own { sum(3, width) } else { bias_ih.clone() };
        Gradients {
            x: dx,
            weight_ih: sum(0, width * self.inputs),
            weight_hh: sum(1, width * h),
            bias_ih,
            bias_hh,
        }
    }
}
