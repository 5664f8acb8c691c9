//! How badly a class fits what a model says.

use ndarray::ArrayView1;
use rand::RngExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::seed::Seed;

/// A score, large where a class does not fit. With `p_(1) >= p_(2) >= ...` the sorted probabilities (ties in the
/// order of the classes), `r` the rank of the class and `u` a number in [0, 1) drawn for the row (0 where nothing is
/// drawn):
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum ClassScore {
    /// `1 - p`.
    Lac {},
    /// `p_(1) + ... + p_(r) - u p_(r)`.
    Aps {
        /// Where `u` comes from.
        seed: Option<u64>,
    },
    /// The same plus `lambda max(0, r - k_reg)`.
    Raps {
        /// Where `u` comes from.
        seed: Option<u64>,
        /// The price of each class beyond `k_reg`.
        lambda: f64,
        /// How many classes cost nothing.
        k_reg: usize,
    },
}

impl ClassScore {
    /// The number drawn for a row.
    pub(super) fn draw(&self, id: u64) -> f64 {
        match self {
            Self::Aps { seed: Some(seed) } | Self::Raps { seed: Some(seed), .. } => {
                Seed::new(*seed).item(id).rng().random()
            }
            _ => 0.0,
        }
    }

    /// The score of each class of a row; `order` is scratch.
    pub(super) fn of_row(&self, p: ArrayView1<'_, f32>, u: f64, order: &mut Vec<usize>, out: &mut [f64]) {
        let (lambda, k_reg) = match self {
            Self::Lac {} => {
                out.iter_mut().zip(p).for_each(|(s, p)| *s = 1.0 - f64::from(*p));
                return;
            }
            Self::Aps { .. } => (0.0, 0),
            Self::Raps { lambda, k_reg, .. } => (*lambda, *k_reg),
        };
        order.clear();
        order.extend(0..p.len());
        order.sort_by(|a, b| p[*b].total_cmp(&p[*a]));
        let mut sum = 0.0;
        for (before, &class) in order.iter().enumerate() {
            let own = f64::from(p[class]);
            // All of them sum to one, whatever their roundings do.
            sum = if before + 1 == order.len() { 1.0 } else { (sum + own).min(1.0) };
            out[class] = sum - u * own + lambda * (before + 1).saturating_sub(k_reg) as f64;
        }
    }
}

/// The score that CV+ holds classes against.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CumulatedOr {
    /// One minus the probability of the class, as in `lac`.
    #[default]
    Lac,
    /// The probability cumulated down to the class, as in `aps`.
    Aps,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_those_of_the_papers() {
        let p = ndarray::arr1(&[0.25f32, 0.5, 0.125, 0.125]);
        let mut out = [0.0; 4];
        let mut of = |score: ClassScore, u: f64| {
            score.of_row(p.view(), u, &mut Vec::new(), &mut out);
            out
        };
        assert_eq!(of(ClassScore::Lac {}, 0.3), [0.75, 0.5, 0.875, 0.875]);
        assert_eq!(of(ClassScore::Aps { seed: None }, 0.0), [0.75, 0.5, 0.875, 1.0]);
        assert_eq!(of(ClassScore::Aps { seed: None }, 0.5), [0.625, 0.25, 0.8125, 0.9375]);
        let raps = ClassScore::Raps { seed: None, lambda: 0.25, k_reg: 2 };
        assert_eq!(of(raps, 0.0), [0.75, 0.5, 1.125, 1.5]);
        assert_eq!(raps.draw(3), 0.0);
        let drawn = ClassScore::Aps { seed: Some(1) };
        assert_eq!(drawn.draw(3), drawn.draw(3));
        assert_ne!(drawn.draw(3), drawn.draw(4));
    }
}
