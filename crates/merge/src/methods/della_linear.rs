//! Deltas kept by chance, the larger the likelier.

use consilience_core::Result;
use consilience_core::registry::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kernels::{Blend, Elect, Ranked, densities, divisor, odds, odds_fit};
use crate::method::{BaseNeed, MergeMethod, Needs, PerMember};
use crate::work::{Cut, Work};

/// Adds deltas that are kept by chance, the larger the likelier, to the base: `b + lambda sum_i w_i k_i`, divided by `sum_i w_i` with
/// `normalize: true`.
///
/// In each row (the last dimension; a tensor of one dimension is one row) the probability to be kept grows evenly with the rank of
/// `|d_i|`, from `density - epsilon` for the smallest to `density + epsilon` for the largest; a row of one number has `density`. A density
/// of 1 keeps all, of 0 none. Draws follow from the seed, the member's name, the tensor and the place alone. What is kept is scaled so
/// that the sum of its magnitudes is that of all deltas of the member.
///
/// # Reference
/// Deep, Bhardwaj and Poria, "DELLA-merging: reducing interference in model merging through magnitude-based sampling", 2024,
/// arXiv:2406.11617.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DellaLinear {
    /// A number for each member. A member of weight zero is left out. One number stands for all.
    pub weight: PerMember,
    /// The part of its deltas that each member keeps.
    pub density: PerMember,
    /// How far the probabilities of the smallest and the largest delta of a row lie from the density.
    pub epsilon: PerMember,
    /// Whether the sum is divided by the sum of the weights, which must not be zero then.
    pub normalize: bool,
    /// Whether what a member keeps is scaled so that the sum of its magnitudes is that of all its deltas.
    pub rescale: bool,
    /// A factor for what is added to the base.
    pub lambda: f64,
}

impl Default for DellaLinear {
    fn default() -> Self {
        Self {
            weight: PerMember::All(1.0),
            density: PerMember::All(1.0),
            epsilon: PerMember::All(0.15),
            normalize: false,
            rescale: true,
            lambda: 1.0,
        }
    }
}

impl Method for DellaLinear {
    const NAME: &'static str = "della_linear";
    const ABOUT: &'static str = "Changes of each network kept by chance, the larger the likelier";

    fn validate(&self) -> Result<()> {
        self.weight.each("weight", "a number", |_| true)?;
        self.density.each("density", "a number from 0 to 1", |d| (0.0..=1.0).contains(&d))?;
        self.epsilon.each("epsilon", "a number from 0 to 1", |e| (0.0..=1.0).contains(&e))?;
        odds_fit(&self.density, &self.epsilon)?;
        PerMember::All(self.lambda).each("lambda", "a number", |_| true)
    }
}

impl MergeMethod for DellaLinear {
    fn needs(&self) -> Needs {
        Needs { base: BaseNeed::Needed, least: 1, most: None }
    }

    fn per_member(&self) -> Vec<(&'static str, &PerMember)> {
        vec![("weight", &self.weight), ("density", &self.density), ("epsilon", &self.epsilon)]
    }

    fn whole_rows(&self) -> bool {
        true
    }

    fn check_weights(&self, members: usize, compat: bool) -> Result<()> {
        divisor(&self.weight.list(members), self.normalize, compat).map(drop)
    }

    fn merge(&self, work: &Work<'_>) -> Result<()> {
        let densities = densities(&self.density, &self.weight, work.members.len());
        let odds = odds(&densities, &self.epsilon);
        let blend = Blend {
            weights: self.weight.list(work.members.len()),
            elect: Elect::All,
            normalize: self.normalize,
            rescale: self.rescale,
            lambda: self.lambda,
        };
        blend.merge(work, Cut::DELTA_ROWS, &Ranked::new(work, &odds))
    }
}

#[cfg(test)]
mod tests {
    use super::super::sparse_tests::{noise, run};
    use serde_json::json;

    #[test]
    fn the_larger_in_its_row_the_likelier_it_is_kept() {
        let (rows, row) = (20_000, 5);
        let deltas: Vec<f32> =
            noise(rows * row, 9).iter().map(|v| if *v < 0.0 { v - 1.0 } else { v + 1.0 }).collect();
        let of = |parameters| run("della_linear", &parameters, &[rows, row], &[&deltas], false).0;
        let plain = of(json!({"density": 0.5, "epsilon": 0.2, "rescale": false}));
        let mut kept = vec![0.0; row];
        for (out, deltas) in plain.chunks(row).zip(deltas.chunks(row)) {
            let mut order: Vec<usize> = (0..row).collect();
            order.sort_by(|a, b| deltas[*a].abs().total_cmp(&deltas[*b].abs()));
            for (rank, i) in order.into_iter().enumerate() {
                assert!(out[i] == 0.0 || out[i] == deltas[i]);
                kept[rank] += f64::from(u8::from(out[i] != 0.0));
            }
        }
        for (rank, kept) in kept.iter().enumerate() {
            let p = 0.3 + 0.1 * rank as f64;
            let deviation = (rows as f64 * p * (1.0 - p)).sqrt();
            assert!((kept - p * rows as f64).abs() < 5.0 * deviation, "{rank}: {kept}");
        }
        let norm = |values: &[f32]| values.iter().map(|v| f64::from(v.abs())).sum::<f64>();
        let scaled = of(json!({"density": 0.5, "epsilon": 0.2}));
        assert!((norm(&scaled) / norm(&deltas) - 1.0).abs() < 1e-6);
    }

    #[test]
    fn a_row_of_one_number_is_kept_with_the_density_and_one_dimension_is_one_row() {
        let n = 50_000;
        let kept = |shape: &[usize], part: std::ops::Range<usize>| {
            let deltas: Vec<f32> = (1..=n).map(|v| v as f32).collect();
            let parameters = json!({"density": 0.4, "epsilon": 0.3, "rescale": false});
            let (out, _) = run("della_linear", &parameters, shape, &[&deltas], false);
            out[part.clone()].iter().filter(|v| **v != 0.0).count() as f64 / part.len() as f64
        };
        assert!((kept(&[n, 1], 0..n / 10) - 0.4).abs() < 0.035);
        assert!((kept(&[n, 1], n - n / 10..n) - 0.4).abs() < 0.035);
        assert!((kept(&[n], 0..n / 10) - 0.13).abs() < 0.035);
        assert!((kept(&[n], n - n / 10..n) - 0.67).abs() < 0.035);
    }
}
