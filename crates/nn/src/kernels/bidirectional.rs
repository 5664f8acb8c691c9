//! Sequences read in both directions: two operators side by side.

use super::gru::gru;
use super::lstm::lstm;
use super::sequence::Steps;
use crate::backend::Tensor;

/// The parameters of one direction, in the layout of [`lstm`] or [`gru`].
#[derive(Debug, Clone)]
pub struct Direction {
    /// `weight_ih [gates hidden, inputs]` and `weight_hh [gates hidden, hidden]`.
    pub weights: [Tensor<2>; 2],
    /// `bias_ih` and `bias_hh [gates hidden]`.
    pub biases: [Tensor<1>; 2],
}

/// [`lstm`] from the first step to the last beside another from the last to the first. A row's last step is that of its
/// length; `lengths` is empty where all rows have all steps.
///
/// Where a row has no step, its forward half stays what it was after its last step, and its backward half is zero. So the
/// final state of every row's forward half is at the last step, that of its backward half at the first.
///
/// # Shapes
/// `x [rows, steps, inputs]` to `[rows, steps, 2 hidden]`, the forward half first.
///
/// # Reference
/// Schuster and Paliwal (1997), "Bidirectional recurrent neural networks"; where a row has steps, PyTorch's packed
/// sequences.
pub fn bidirectional_lstm(x: Tensor<3>, directions: [Direction; 2], lengths: Vec<usize>) -> Tensor<3> {
    both(lstm, x, directions, lengths)
}

/// As [`bidirectional_lstm`], of [`gru`].
///
/// # Shapes
/// `x [rows, steps, inputs]` to `[rows, steps, 2 hidden]`, the forward half first.
///
/// # Reference
/// As [`bidirectional_lstm`].
pub fn bidirectional_gru(x: Tensor<3>, directions: [Direction; 2], lengths: Vec<usize>) -> Tensor<3> {
    both(gru, x, directions, lengths)
}

/// [`lstm`] or [`gru`].
type Reader = fn(Tensor<3>, [Tensor<2>; 2], [Tensor<1>; 2], Steps) -> Tensor<3>;

fn both(read: Reader, x: Tensor<3>, [there, back]: [Direction; 2], lengths: Vec<usize>) -> Tensor<3> {
    let steps = Steps { lengths, backwards: false };
    let reversed = Steps { backwards: true, ..steps.clone() };
    let forwards = read(x.clone(), there.weights, there.biases, steps);
    let backwards = read(x, back.weights, back.biases, reversed);
    Tensor::cat(vec![forwards, backwards], 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::{self, Host};
    use crate::kernels::reference::numbers;

    #[test]
    fn each_half_is_a_reading_of_its_own_and_gradients_reach_both() {
        let (rows, steps, inputs, hidden) = (3, 4, 2, 5);
        for (gates, read, kernel) in [
            (4, bidirectional_lstm as fn(Tensor<3>, [Direction; 2], Vec<usize>) -> Tensor<3>, lstm as Reader),
            (3, bidirectional_gru, gru),
        ] {
            let width = gates * hidden;
            let leaf = |n: usize, salt: u32| backend::leaf(&Host::new(numbers(n, salt), [n]));
            let x = leaf(rows * steps * inputs, 1);
            let cube = || x.clone().reshape([rows, steps, inputs]);
            let leaves: Vec<Tensor<1>> = (0..2).map(|d| leaf(width * inputs, 2 + d)).collect();
            let direction = |d: usize| {
                let salt = 10 * d as u32;
                Direction {
                    weights: [
                        leaves[d].clone().reshape([width, inputs]),
                        backend::constant(numbers(width * hidden, salt + 4), [width, hidden]),
                    ],
                    biases: [5, 6].map(|s| backend::constant(numbers(width, salt + s), [width])),
                }
            };
            let lengths = vec![4, 1, 3];
            let y = read(cube(), [direction(0), direction(1)], lengths.clone());
            assert_eq!(y.dims(), [rows, steps, 2 * hidden]);
            let got = backend::read(y.clone()).unwrap();
            for d in 0..2 {
                let Direction { weights, biases } = direction(d);
                let reading = Steps { lengths: lengths.clone(), backwards: d == 1 };
                let half = backend::read(kernel(cube(), weights, biases, reading)).unwrap();
                for (got, half) in got.chunks(2 * hidden).zip(half.chunks(hidden)) {
                    assert_eq!(&got[d * hidden..(d + 1) * hidden], half);
                }
            }
            // Beyond the end of the second row: what the first step left, and nothing.
            let (first, third) = (&got[steps * 2 * hidden..][..hidden], &got[(steps + 2) * 2 * hidden..]);
            assert_eq!(first, &third[..hidden]);
            assert!(third[hidden..2 * hidden].iter().all(|v| *v == 0.0));
            let mut gradients = backend::backward(&y.sum()).unwrap();
            for leaf in leaves.iter().chain([&x]) {
                let gradient = backend::take_gradient(leaf, &mut gradients).unwrap().unwrap();
                assert!(gradient.numbers().iter().any(|v| *v != 0.0));
            }
        }
    }
}
