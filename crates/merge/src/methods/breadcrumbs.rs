//! Deltas without the largest and the small ones.

use consilience_core::Result;
use consilience_core::registry::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kernels::{Band, Blend, Elect, densities, divisor};
use crate::method::{BaseNeed, MergeMethod, Needs, PerMember};
use crate::work::{Cut, Work};

/// Adds deltas that are neither very large nor small to the base: `b + lambda sum_i w_i k_i`, divided by `sum_i w_i` with
/// `normalize: true`.
///
/// Of the `n` deltas of a tensor each member drops the `floor(gamma n)` largest `|d_i|` and keeps the next `floor(density n)`; of equal
/// ones the first are the larger. Where so many do not remain, fewer of the largest are dropped. With `compat` a member drops all if it
/// would drop none of the largest.
///
/// # Reference
/// Davari and Belilovsky, "Model breadcrumbs: scaling multi-task model merging with sparse masks", ECCV 2024.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Breadcrumbs {
    /// A number for each member. A member of weight zero is left out. One number stands for all.
    pub weight: PerMember,
    /// The part of its deltas that each member keeps, once the largest are dropped.
    pub density: PerMember,
    /// The part of its deltas that each member drops, the largest ones.
    pub gamma: PerMember,
    /// Whether the sum is divided by the sum of the weights, which must not be zero then.
    pub normalize: bool,
    /// Whether what a member keeps is scaled so that the sum of its magnitudes is that of all its deltas.
    pub rescale: bool,
    /// A factor for what is added to the base.
    pub lambda: f64,
}

impl Default for Breadcrumbs {
    fn default() -> Self {
        Self {
            weight: PerMember::All(1.0),
            density: PerMember::All(1.0),
            gamma: PerMember::All(0.01),
            normalize: false,
            rescale: false,
            lambda: 1.0,
        }
    }
}

impl Method for Breadcrumbs {
    const NAME: &'static str = "breadcrumbs";
    const ABOUT: &'static str = "Changes of each network without the largest and the small ones";

    fn validate(&self) -> Result<()> {
        self.weight.each("weight", "a number", |_| true)?;
        self.density.each("density", "a number from 0 to 1", |d| (0.0..=1.0).contains(&d))?;
        self.gamma.each("gamma", "a number from 0 to 1", |g| (0.0..=1.0).contains(&g))?;
        PerMember::All(self.lambda).each("lambda", "a number", |_| true)
    }
}

impl MergeMethod for Breadcrumbs {
    fn needs(&self) -> Needs {
        Needs { base: BaseNeed::Needed, least: 1, most: None }
    }

    fn per_member(&self) -> Vec<(&'static str, &PerMember)> {
        vec![("weight", &self.weight), ("density", &self.density), ("gamma", &self.gamma)]
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
        blend.merge(work, Cut::DELTAS, &Band::middle(work, &densities, &self.gamma)?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::sparse_tests::run;
    use serde_json::json;

    #[test]
    fn the_largest_are_dropped_and_the_next_are_kept() {
        let deltas: Vec<f32> = (0..100).map(|i| ((i * 37) % 100 + 1) as f32).collect();
        let kept = |density: f64, gamma: f64, compat| {
            let parameters = json!({"density": density, "gamma": gamma});
            let (mut out, _) = run("breadcrumbs", &parameters, &[4, 25], &[&deltas], compat);
            out.retain(|v| *v != 0.0);
            out.sort_by(f32::total_cmp);
            (out.first().map(|v| *v as usize), out.last().map(|v| *v as usize), out.len())
        };
        for (density, gamma, first, last) in [
            (0.5, 0.01, 50, 99),
            (0.5, 0.1, 41, 90),
            (0.95, 0.1, 1, 95),
            (0.3, 0.9, 1, 30),
            (0.29, 0.29, 45, 72),
            (0.017, 0.029, 98, 98),
            (1.0, 0.1, 1, 100),
        ] {
            let expected = (Some(first), Some(last), last - first + 1);
            assert_eq!(kept(density, gamma, false), expected, "{density} {gamma}");
            assert_eq!(kept(density, gamma, true), expected, "{density} {gamma}");
        }
        // With so small a part no delta is too large; mergekit drops all of them then.
        assert_eq!(kept(0.5, 0.005, false), (Some(51), Some(100), 50));
        assert_eq!(kept(0.5, 0.005, true), (None, None, 0));
    }

    #[test]
    fn weights_multiply_and_divide() {
        let members = [&[1.0, -2.0, 3.0, 8.0][..], &[-4.0, 1.0, 9.0, 2.0]];
        let parameters = |normalize: bool| json!({"weight": [0.5, 1.5], "density": 0.5, "gamma": 0.25, "normalize": normalize});
        // Kept are -2, 3 and -4, 2.
        assert_eq!(run("breadcrumbs", &parameters(false), &[4], &members, false).0, [-6.0, -1.0, 1.5, 3.0]);
        assert_eq!(run("breadcrumbs", &parameters(true), &[4], &members, false).0, [-3.0, -0.5, 0.75, 1.5]);
    }
}
