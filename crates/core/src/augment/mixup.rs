//! Pairs of rows mixed into one.

use rand::RngExt;
use rand_distr::{Beta, Distribution};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::transform::within;
use crate::error::Result;
use crate::registry::Method;
use crate::seed::Seed;

/// Mixes a row with a partner: `x = lambda x_i + (1 - lambda) x_j`, and the same of their labels, with
/// `lambda ~ Beta(alpha, alpha)`.
///
/// The partner is drawn by key from all training rows, not from the batch, so that it is the same for any batch size,
/// order and number of threads. The trainer does the mixing, on tensors.
///
/// # Reference
/// Zhang, Cisse, Dauphin, Lopez-Paz 2018, mixup: Beyond Empirical Risk Minimization.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Mixup {
    /// Both parameters of the beta distribution: small values leave most rows almost as they are.
    #[schemars(range(min = 0.01, max = 100))]
    pub alpha: f64,
}

impl Default for Mixup {
    fn default() -> Self {
        Self { alpha: 0.2 }
    }
}

impl Method for Mixup {
    const NAME: &'static str = "mixup";
    const ABOUT: &'static str = "rows and labels mixed with those of a partner from the training set";

    fn validate(&self) -> Result<()> {
        within("alpha", self.alpha, 0.01, 100.0)
    }
}

impl Mixup {
    /// The partner, a position among the `rows` training rows, and the weight `lambda` of the row itself, for the row
    /// whose key is given (see [`Augmenter::mixup_key`](super::Augmenter::mixup_key)). Without rows the row stays alone.
    pub fn mixup_partner(&self, key: Seed, rows: usize) -> (usize, f32) {
        let mut rng = key.rng();
        if rows == 0 {
            return (0, 1.0);
        }
        // A 64-bit draw, so that the same rows come out where a usize has 32 bits.
        let partner = rng.random_range(0..rows as u64) as usize;
        let lambda = match Beta::new(self.alpha, self.alpha) {
            Ok(beta) => beta.sample(&mut rng),
            Err(_) => 1.0,
        };
        (partner, lambda as f32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::conformance::golden;

    #[test]
    fn lambda_follows_the_beta_distribution_and_partners_are_even() {
        let golden = golden("beta");
        let mixup = Mixup { alpha: golden["alpha"].as_f64().unwrap() };
        let n = 20_000u64;
        let draws: Vec<(usize, f32)> =
            (0..n).map(|i| mixup.mixup_partner(Seed::new(3).item(i), 10)).collect();
        let list = |k: &str| -> Vec<f64> { serde_json::from_value(golden[k].clone()).unwrap() };
        for (x, expected) in list("quantiles").into_iter().zip(list("cdf")) {
            let share = draws.iter().filter(|(_, l)| f64::from(*l) <= x).count() as f64 / n as f64;
            // Kolmogorov-Smirnov at .001: 1.95 / sqrt(n).
            assert!((share - expected).abs() < 1.95 / (n as f64).sqrt(), "{x}: {share} for {expected}");
        }
        for partner in 0..10 {
            let count = draws.iter().filter(|(p, _)| *p == partner).count() as f64;
            assert!((count - 2000.0).abs() < 4.5 * (n as f64 * 0.09).sqrt(), "{partner}: {count}");
        }
        assert_eq!(mixup.mixup_partner(Seed::new(1), 10), mixup.mixup_partner(Seed::new(1), 10));
        assert!(draws.iter().all(|(_, l)| (0.0..=1.0).contains(l)));
        assert_eq!(mixup.mixup_partner(Seed::new(1), 0), (0, 1.0));
    }
}
