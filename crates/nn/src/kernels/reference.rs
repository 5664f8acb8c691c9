//! What kernels are tested against: plain sums in f64 and their finite differences.

use crate::backend::{Host, Operator};

/// Numbers in `[-1, 1)` that look like chance and are the same everywhere.
pub(super) fn numbers(count: usize, salt: u32) -> Vec<f32> {
    let mut state = salt.wrapping_mul(2_654_435_769).wrapping_add(1);
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// The same numbers in f64.
pub(super) fn wide(v: &[f32]) -> Vec<f64> {
    v.iter().map(|v| f64::from(*v)).collect()
}

/// How many gradients of an operator differ from the central differences of `plain`, which computes the same in f64.
/// In f64 a step of 1e-6 leaves an error near 1e-9, unless it crosses a kink.
pub(super) fn differences(
    operator: &dyn Operator,
    inputs: &[Host],
    plain: impl Fn(&[Vec<f64>]) -> Vec<f64>,
) -> usize {
    let (out, saved) = operator.forward(inputs, true);
    let pull = numbers(out.numbers().len(), 99);
    let gradient = Host::new(pull.clone(), out.shape());
    let got = operator.backward(inputs, &saved, &gradient, &vec![true; inputs.len()]);
    assert_eq!(got.len(), inputs.len());
    let all: Vec<Vec<f64>> = inputs.iter().map(|i| wide(i.numbers())).collect();
    let value =
        |all: &[Vec<f64>]| -> f64 { plain(all).iter().zip(&pull).map(|(a, b)| a * f64::from(*b)).sum() };
    let mut apart = 0;
    for (which, got) in got.into_iter().enumerate() {
        let got = got.expect("a wanted gradient");
        assert_eq!(got.shape(), inputs[which].shape());
        let count = got.numbers().len();
        // Of many numbers some.
        for i in (0..count).step_by(count.div_ceil(60)) {
            let at = |step: f64| {
                let mut moved = all.clone();
                moved[which][i] += step;
                value(&moved)
            };
            let difference = (at(1e-6) - at(-1e-6)) / 2e-6;
            let g = f64::from(got.numbers()[i]);
            if (g - difference).abs() > 1e-4 * (1.0 + difference.abs()) {
                eprintln!("input {which}, number {i}: {g} instead of {difference}");
                apart += 1;
            }
        }
    }
    apart
}
