//! Deltas kept by chance, as far as members agree on their sign.

use consilience_core::Result;
use consilience_core::registry::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kernels::{Blend, Chance, Elect, densities};
use crate::method::{BaseNeed, MergeMethod, Needs, PerMember};
use crate::work::{Cut, Work};

/// Adds deltas that are kept by chance to the base, where members agree in sign: `b + lambda sum_i w_i k_i` over the members whose
/// `w_i k_i` has the sign of the sum of all; divided by the sum of their weights with `normalize: true`.
///
/// Each delta is kept with probability `density`: it follows from the seed, the member's name, the tensor and the place alone. What is
/// kept is scaled so that the sum of its magnitudes is that of all deltas of the member.
///
/// # Reference
/// Yu, Yu, Yu, Huang and Li, "Language models are super Mario: absorbing abilities from homologous models as a free lunch", ICML 2024.
///
/// Yadav, Tam, Choshen, Raffel and Bansal, "TIES-merging: resolving interference when merging models", NeurIPS 2023.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DareTies {
    /// A number for each member. A member of weight zero is left out. One number stands for all.
    pub weight: PerMember,
    /// The probability with which each delta of a member is kept.
    pub density: PerMember,
    /// Whether the sum is divided by the sum of the weights of the members that agree.
    pub normalize: bool,
    /// Whether what a member keeps is scaled so that the sum of its magnitudes is that of all its deltas.
    pub rescale: bool,
    /// A factor for what is added to the base.
    pub lambda: f64,
}

impl Default for DareTies {
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

impl Method for DareTies {
    const NAME: &'static str = "dare_ties";
    const ABOUT: &'static str = "Changes of each network kept by chance, where they agree in sign";

    fn validate(&self) -> Result<()> {
        self.weight.each("weight", "a number", |_| true)?;
        self.density.each("density", "a number from 0 to 1", |d| (0.0..=1.0).contains(&d))?;
        PerMember::All(self.lambda).each("lambda", "a number", |_| true)
    }
}

impl MergeMethod for DareTies {
    fn needs(&self) -> Needs {
        Needs { base: BaseNeed::Needed, least: 1, most: None }
    }

    fn per_member(&self) -> Vec<(&'static str, &PerMember)> {
        vec![("weight", &self.weight), ("density", &self.density)]
    }

    fn merge(&self, work: &Work<'_>) -> Result<()> {
        let densities = densities(&self.density, &self.weight, work.members.len());
        let blend = Blend {
            weights: self.weight.list(work.members.len()),
            elect: Elect::Weighted,
            normalize: self.normalize,
            rescale: self.rescale,
            lambda: self.lambda,
        };
        blend.merge(work, Cut::DELTAS, &Chance::new(work, &densities))
    }
}

#[cfg(test)]
mod tests {
    use super::super::sparse_tests::run;
    use serde_json::json;

    #[test]
    fn what_was_drawn_counts_as_far_as_it_agrees() {
        let (a, b) = (vec![1.0f32; 1000], vec![-2.0f32; 1000]);
        let of = |normalize: bool| {
            let parameters =
                json!({"density": 0.5, "rescale": false, "normalize": normalize, "weight": [0.5, 0.5]});
            run("dare_ties", &parameters, &[1000], &[&a, &b], false).0
        };
        let count = |values: &[f32], v: f32| values.iter().filter(|x| **x == v).count();
        // Where the second member is drawn it decides the sign.
        let out = of(true);
        assert_eq!(count(&out, 0.0) + count(&out, 1.0) + count(&out, -2.0), 1000);
        assert!(count(&out, -2.0) > 400 && count(&out, 1.0) > 180 && count(&out, 0.0) > 180);
        let halves: Vec<f32> = out.iter().map(|v| v / 2.0).collect();
        assert_eq!(of(false), halves);
    }
}
