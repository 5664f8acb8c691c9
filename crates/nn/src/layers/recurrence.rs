//! Recurrent layers over whole sequences; the last states are the output.

use consilience_core::Result;

use super::Pass;
use crate::backend::Tensor;
use crate::kernels::{Direction, Steps, bidirectional_gru, bidirectional_lstm, gru, lstm};
use crate::params::Declared;

/// What is computed at each step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cell {
    /// [`gru`], of three gates.
    Gru,
    /// [`lstm`], of four.
    Lstm,
}

impl Cell {
    fn gates(self) -> usize {
        match self {
            Self::Gru => 3,
            Self::Lstm => 4,
        }
    }
}

/// Recurrent layers one above the other, each reading the states of the one below.
#[derive(Debug, Clone, Copy)]
pub struct Recurrence {
    /// What is computed at each step.
    pub cell: Cell,
    /// The width of a state.
    pub hidden: usize,
    /// How many layers.
    pub layers: usize,
    /// Whether each is read in both directions.
    pub bidirectional: bool,
}

impl Recurrence {
    /// The endings of the names of a level's directions.
    fn directions(&self, level: usize) -> impl Iterator<Item = String> {
        let back = self.bidirectional.then(|| format!("_l{level}_reverse"));
        std::iter::once(format!("_l{level}")).chain(back)
    }

    /// The width of its output.
    pub fn width(&self) -> usize {
        if self.bidirectional { 2 * self.hidden } else { self.hidden }
    }

    /// For each level `weight_ih_l0 [gates hidden, inputs]`, `weight_hh_l0 [gates hidden, hidden]` and their biases, and the
    /// same with the ending `_reverse`; gates in the order of PyTorch. All start within `1 / sqrt(hidden)`.
    pub fn declare(&self, layer: &str, inputs: usize) -> Vec<Declared> {
        let (hidden, rows) = (self.hidden, self.cell.gates() * self.hidden);
        let mut all = Vec::new();
        for level in 0..self.layers {
            let inputs = if level == 0 { inputs } else { self.width() };
            for end in self.directions(level) {
                let mut array = |name: &str, shape: Vec<usize>| {
                    all.push(Declared::new(format!("{layer}.{name}{end}"), shape, hidden));
                };
                array("weight_ih", vec![rows, inputs]);
                array("weight_hh", vec![rows, hidden]);
                array("bias_ih", vec![rows]);
                array("bias_hh", vec![rows]);
            }
        }
        all
    }

    /// Rows `[rows, steps, inputs]` to `[rows, width]`: the state after the last step and, in both directions, beside it
    /// that of the reading backwards after the first step.
    ///
    /// # Errors
    /// As [`Pass::param`] and [`Pass::see`].
    pub fn forward(&self, pass: &Pass<'_>, layer: &str, mut x: Tensor<3>) -> Result<Tensor<2>> {
        let direction = |end: String| -> Result<Direction> {
            let weight = |name: &str| pass.param::<2>(layer, &format!("{name}{end}"));
            let bias = |name: &str| pass.param::<1>(layer, &format!("{name}{end}"));
            let weights = [weight("weight_ih")?, weight("weight_hh")?];
            Ok(Direction { weights, biases: [bias("bias_ih")?, bias("bias_hh")?] })
        };
        for level in 0..self.layers {
            let mut directions = self.directions(level).map(direction);
            let first = directions.next().transpose()?;
            let second = directions.next().transpose()?;
            x = match (self.cell, first, second) {
                (_, None, _) => x,
                (Cell::Gru, Some(d), None) => gru(x, d.weights, d.biases, Steps::default()),
                (Cell::Lstm, Some(d), None) => lstm(x, d.weights, d.biases, Steps::default()),
                (Cell::Gru, Some(d), Some(back)) => bidirectional_gru(x, [d, back], Vec::new()),
                (Cell::Lstm, Some(d), Some(back)) => bidirectional_lstm(x, [d, back], Vec::new()),
            };
        }
        let [rows, steps, width] = x.dims();
        let state = |step: usize, from: usize| {
            x.clone().narrow(1, step, 1).narrow(2, from, self.hidden).reshape([rows, self.hidden])
        };
        let last = state(steps.saturating_sub(1), 0);
        let read = match self.bidirectional {
            true => Tensor::cat(vec![last, state(0, width - self.hidden)], 1),
            false => last,
        };
        pass.see(layer, read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend;
    use crate::params::Params;
    use consilience_core::seed::Seed;

    #[test]
    fn the_end_of_each_direction_is_read() {
        let one = Recurrence { cell: Cell::Lstm, hidden: 3, layers: 1, bidirectional: false };
        let both = Recurrence { bidirectional: true, ..one };
        let params = Params::init(&both.declare("r", 2), Seed::new(1));
        let numbers: Vec<f32> = (0..2 * 4 * 2).map(|i| (i % 5) as f32 / 3.0).collect();
        let reversed: Vec<f32> = numbers
            .chunks(8)
            .flat_map(|row| row.chunks(2).rev().flatten().copied().collect::<Vec<_>>())
            .collect();
        let run = |r: Recurrence, params: &Params, numbers: &[f32]| {
            let bound = params.bind(false);
            let x = backend::constant(numbers.to_vec(), [2, 4, 2]);
            backend::read(r.forward(&Pass::predicting(&bound), "r", x).unwrap()).unwrap()
        };
        let got = run(both, &params, &numbers);
        // The second direction alone, on what is read from its end.
        let mut back = Params::init(&one.declare("r", 2), Seed::new(2));
        let of = |name: &str| params.iter().find(|(n, _)| *n == name).unwrap().1.numbers().to_vec();
        let names: Vec<String> = back.iter().map(|(n, _)| n.to_owned()).collect();
        back.replace(names.iter().map(|n| (n.clone(), of(&format!("{n}_reverse")))).collect());
        let (there, back) = (run(one, &params, &numbers), run(one, &back, &reversed));
        for (got, (there, back)) in got.chunks(6).zip(there.chunks(3).zip(back.chunks(3))) {
            for (a, e) in got.iter().zip(there.iter().chain(back)) {
                assert!((a - e).abs() < 1e-6, "{a} {e}");
            }
        }
    }

    #[test]
    fn layers_read_the_states_below() {
        for cell in [Cell::Gru, Cell::Lstm] {
            for bidirectional in [false, true] {
                let r = Recurrence { cell, hidden: 3, layers: 2, bidirectional };
                let declared = r.declare("r", 5);
                assert!(declared.iter().any(|d| d.name == "r.weight_ih_l1" && d.shape[1] == r.width()));
                let bound = Params::init(&declared, Seed::new(1)).bind(true);
                let x = backend::constant(vec![0.5; 2 * 4 * 5], [2, 4, 5]);
                let y = r.forward(&Pass::training(&bound, 0.0, Seed::new(1)), "r", x).unwrap();
                assert_eq!(y.dims(), [2, r.width()]);
                let gradients = bound.gradients(backend::backward(&y.sum()).unwrap()).unwrap();
                assert_eq!(gradients.len(), declared.len());
            }
        }
    }
}
