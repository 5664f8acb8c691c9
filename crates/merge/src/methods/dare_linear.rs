//! Deltas kept by chance.

use consilience_core::Result;
use consilience_core::registry::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kernels::{Blend, Chance, Elect, densities, divisor};
use crate::method::{BaseNeed, MergeMethod, Needs, PerMember};
use crate::work::{Cut, Work};

/// Adds deltas that are kept by chance to the base: `b + lambda sum_i w_i k_i`, divided by `sum_i w_i` with `normalize: true`.
///
/// Each delta is kept with probability `density`: it follows from the seed, the member's name, the tensor and the place alone. What is
/// kept is scaled so that the sum of its magnitudes is that of all deltas of the member.
///
/// # Reference
/// Yu, Yu, Yu, Huang and Li, "Language models are super Mario: absorbing abilities from homologous models as a free lunch", ICML 2024.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DareLinear {
    /// A number for each member. A member of weight zero is left out. One number stands for all.
    pub weight: PerMember,
    /// The probability with which each delta of a member is kept.
    pub density: PerMember,
    /// Whether the sum is divided by the sum of the weights, which must not be zero then.
    pub normalize: bool,
    /// Whether what a member keeps is scaled so that the sum of its magnitudes is that of all its deltas.
    pub rescale: bool,
    /// A factor for what is added to the base.
    pub lambda: f64,
}

impl Default for DareLinear {
    fn default() -> Self {
        Self {
            weight: PerMember::All(1.0),
            density: PerMember::All(1.0),
            normalize: false,
            rescale: true,
            lambda: 1.0,
        }
    }
}

impl Method for DareLinear {
    const NAME: &'static str = "dare_linear";
    const ABOUT: &'static str = "Changes of each network kept by chance";

    fn validate(&self) -> Result<()> {
        self.weight.each("weight", "a number", |_| true)?;
        self.density.each("density", "a number from 0 to 1", |d| (0.0..=1.0).contains(&d))?;
        PerMember::All(self.lambda).each("lambda", "a number", |_| true)
    }
}

impl MergeMethod for DareLinear {
    fn needs(&self) -> Needs {
        Needs { base: BaseNeed::Needed, least: 1, most: None }
    }

    fn per_member(&self) -> Vec<(&'static str, &PerMember)> {
        vec![("weight", &self.weight), ("density", &self.density)]
    }

    fn check_weights(&self, members: usize, compat: bool) -> Result<()> {
        divisor(&self.weight.list(members), self.normalize, compat).map(drop)
    }

    fn merge(&self, work: &Work<'_>) -> Result<()> {
        let densities = densities(&self.density, &self.weight, work.members.len());
        let blend = Blend {
            weights: self.weight.list(work.members.len()),
            elect: Elect::All,
            normalize: self.normalize,
            rescale: self.rescale,
            lambda: self.lambda,
        };
        blend.merge(work, Cut::DELTAS, &Chance::new(work, &densities))
    }
}

#[cfg(test)]
mod tests {
    use super::super::sparse_tests::{noise, run};
    use serde_json::json;

    const N: usize = 200_000;

    #[test]
    fn the_part_that_is_kept_is_the_density_and_rescaling_keeps_the_norm() {
        let deltas: Vec<f32> = noise(N, 4).iter().map(|v| v + 1.0).collect();
        for density in [0.05, 0.3, 0.5, 0.99] {
            let of = |rescale: bool| {
                let parameters = json!({"density": density, "rescale": rescale});
                run("dare_linear", &parameters, &[400, 500], &[&deltas], false).0
            };
            let plain = of(false);
            assert!(plain.iter().zip(&deltas).all(|(out, d)| *out == 0.0 || out == d));
            let kept = plain.iter().filter(|v| **v != 0.0).count() as f64;
            let deviation = (N as f64 * density * (1.0 - density)).sqrt();
            assert!((kept - N as f64 * density).abs() < 5.0 * deviation, "{density}: {kept}");
            let norm = |values: &[f32]| values.iter().map(|v| f64::from(v.abs())).sum::<f64>();
            assert!((norm(&of(true)) / norm(&deltas) - 1.0).abs() < 1e-6);
            // Kept at the same places, and kept without regard to what they are: the mean stays.
            let mean = norm(&plain) / kept;
            assert!((mean / (norm(&deltas) / N as f64) - 1.0).abs() < 5.0 * (1.0 / kept).sqrt());
        }
    }

    #[test]
    fn members_and_neighbors_are_drawn_apart() {
        let ones = vec![1.0; N];
        let parameters = json!({"weight": [1.0, 2.0], "density": 0.5, "rescale": false});
        let (out, _) = run("dare_linear", &parameters, &[N], &[&ones, &ones], false);
        let near = |count: usize, part: f64| {
            let all = N as f64;
            (count as f64 - all * part).abs() < 5.0 * (all * part * (1.0 - part)).sqrt()
        };
        for sum in [0.0, 1.0, 2.0, 3.0] {
            assert!(near(out.iter().filter(|v| **v == sum).count(), 0.25), "{sum}");
        }
        for lag in [1, 16, 64] {
            let same = out.iter().zip(&out[lag..]).filter(|(a, b)| a == b).count();
            assert!(near(same, 0.25), "{lag}: {same}");
        }
    }
}
