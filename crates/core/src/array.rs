//! Dense arrays: ndarray's, under the names used here, and a few functions that several floors need.

pub use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis};

/// A row-major matrix of 32-bit floats: `[rows, columns]`.
pub type Matrix = Array2<f32>;

/// Probabilities below this are raised to it before a logarithm is taken.
pub const MIN_PROBABILITY: f32 = 1e-7;

/// Turns a row of logits into probabilities in place: `p_i = exp(x_i - max x) / sum_j exp(x_j - max x)`.
pub fn softmax(row: &mut [f32]) {
    let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0f64;
    for x in row.iter_mut() {
        *x = (*x - max).exp();
        sum += f64::from(*x);
    }
    for x in row.iter_mut() {
        *x = (f64::from(*x) / sum) as f32;
    }
}

/// `ln sum_i exp(x_i)` without overflow; negative infinity for an empty slice.
pub fn log_sum_exp(row: &[f64]) -> f64 {
    let max = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if max == f64::NEG_INFINITY {
        return max;
    }
    max + row.iter().map(|x| (x - max).exp()).sum::<f64>().ln()
}

/// The index of the largest value, the lowest one on a tie; `None` for an empty slice.
pub fn argmax(row: &[f32]) -> Option<usize> {
    let mut best: Option<(usize, f32)> = None;
    for (i, &x) in row.iter().enumerate() {
        if best.is_none_or(|(_, b)| x > b) {
            best = Some((i, x));
        }
    }
    best.map(|(i, _)| i)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn softmax_survives_large_logits() {
        let mut row = [1000.0, 1000.0, -1000.0];
        softmax(&mut row);
        assert_eq!(row, [0.5, 0.5, 0.0]);
    }

    #[test]
    fn argmax_prefers_the_first() {
        assert_eq!(argmax(&[1.0, 3.0, 3.0]), Some(1));
        assert_eq!(argmax(&[]), None);
    }

    #[test]
    fn log_sum_exp_matches_the_plain_formula() {
        let x = [0.1f64, -2.0, 3.0];
        let plain = x.iter().map(|v| v.exp()).sum::<f64>().ln();
        assert!((log_sum_exp(&x) - plain).abs() < 1e-12);
    }
}
