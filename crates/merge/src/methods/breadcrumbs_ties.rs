//! Deltas without the largest and the small ones, as far as members agree on their sign.

use consilience_core::Result;
use consilience_core::registry::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kernels::{Band, Blend, Elect, densities};
use crate::method::{BaseNeed, MergeMethod, Needs, PerMember};
use crate::work::{Cut, Work};

/// Adds deltas that are neither very large nor small to the base, where members agree in sign: `b + lambda sum_i w_i k_i` over the members
/// whose `w_i k_i` has the sign of the sum of all; divided by the sum of their weights with `normalize: true`.
///
/// Of the `n` deltas of a tensor each member drops the `floor(gamma n)` largest `|d_i|` and keeps the next `floor(density n)`; of equal
/// ones the first are the larger. Where so many do not remain, fewer of the largest are dropped. With `compat` a member drops all if it
/// would drop none of the largest.
///
/// # Reference
/// Davari and Belilovsky, "Model breadcrumbs: scaling multi-task model merging with sparse masks", ECCV 2024.
///
/// Yadav, Tam, Choshen, Raffel and Bansal, "TIES-merging: resolving interference when merging models", NeurIPS 2023.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BreadcrumbsTies {
    /// A number for each member. A member of weight zero is left out. One number stands for all.
    pub weight: PerMember,
    /// The part of its deltas that each member keeps, once the largest are dropped.
    pub density: PerMember,
    /// The part of its deltas that each member drops, the largest ones.
    pub gamma: PerMember,
    /// Whether the sum is divided by the sum of the weights of the members that agree.
    pub normalize: bool,
    /// Whether what a member keeps is scaled so that the sum of its magnitudes is that of all its deltas.
    pub rescale: bool,
    /// A factor for what is added to the base.
    pub lambda: f64,
}

impl Default for BreadcrumbsTies {
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

impl Method for BreadcrumbsTies {
    const NAME: &'static str = "breadcrumbs_ties";
    const ABOUT: &'static str =
        "Changes of each network without the largest and the small ones, where they agree in sign";

    fn validate(&self) -> Result<()> {
        self.weight.each("weight", "a number", |_| true)?;
        self.density.each("density", "a number from 0 to 1", |d| (0.0..=1.0).contains(&d))?;
        self.gamma.each("gamma", "a number from 0 to 1", |g| (0.0..=1.0).contains(&g))?;
        PerMember::All(self.lambda).each("lambda", "a number", |_| true)
    }
}

impl MergeMethod for BreadcrumbsTies {
    fn needs(&self) -> Needs {
        Needs { base: BaseNeed::Needed, least: 1, most: None }
    }

    fn per_member(&self) -> Vec<(&'static str, &PerMember)> {
        vec![("weight", &self.weight), ("density", &self.density), ("gamma", &self.gamma)]
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
        blend.merge(work, Cut::DELTAS, &Band::middle(work, &densities, &self.gamma)?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::sparse_tests::run;
    use serde_json::json;

    #[test]
    fn what_is_kept_counts_as_far_as_it_agrees() {
        let members = [&[1.0, -2.0, 3.0, 8.0][..], &[-4.0, 1.0, -2.0, 9.0]];
        let parameters = |normalize: bool| json!({"weight": [0.5, 1.5], "density": 0.5, "gamma": 0.25, "normalize": normalize});
        // Kept are -2, 3 and -4, -2; at the third the second member has the greater weight.
        assert_eq!(
            run("breadcrumbs_ties", &parameters(false), &[4], &members, false).0,
            [-6.0, -1.0, -3.0, 0.0]
        );
        assert_eq!(
            run("breadcrumbs_ties", &parameters(true), &[4], &members, false).0,
            [-4.0, -2.0, -2.0, 0.0]
        );
    }
}
