//! Deltas kept by chance, the larger the likelier, as far as members agree on their sign.

use consilience_core::Result;
use consilience_core::registry::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kernels::{Blend, Elect, Ranked, densities, odds, odds_fit};
use crate::method::{BaseNeed, MergeMethod, Needs, PerMember};
use crate::work::{Cut, Work};

/// Adds deltas that are kept by chance, the larger the likelier, to the base, where members agree in sign:
/// `b + lambda sum_i w_i k_i / sum_i w_i`, both sums over the members whose `w_i k_i` has the sign of the sum of all.
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
pub struct Della {
    /// A number for each member. A member of weight zero is left out. One number stands for all.
    pub weight: PerMember,
    /// The part of its deltas that each member keeps.
    pub density: PerMember,
    /// How far the probabilities of the smallest and the largest delta of a row lie from the density.
    pub epsilon: PerMember,
    /// Whether the sum is divided by the sum of the weights of the members that agree.
    pub normalize: bool,
    /// Whether what a member keeps is scaled so that the sum of its magnitudes is that of all its deltas.
    pub rescale: bool,
    /// A factor for what is added to the base.
    pub lambda: f64,
}

impl Default for Della {
    fn default() -> Self {
        Self {
            weight: PerMember::All(1.0),
            density: PerMember::All(1.0),
            epsilon: PerMember::All(0.15),
            normalize: true,
            rescale: true,
            lambda: 1.0,
        }
    }
}

impl Method for Della {
    const NAME: &'static str = "della";
    const ABOUT: &'static str =
        "Changes of each network kept by chance, the larger the likelier, where they agree in sign";

    fn validate(&self) -> Result<()> {
        self.weight.each("weight", "a number", |_| true)?;
        self.density.each("density", "a number from 0 to 1", |d| (0.0..=1.0).contains(&d))?;
        self.epsilon.each("epsilon", "a number from 0 to 1", |e| (0.0..=1.0).contains(&e))?;
        odds_fit(&self.density, &self.epsilon)?;
        PerMember::All(self.lambda).each("lambda", "a number", |_| true)
    }
}

impl MergeMethod for Della {
    fn needs(&self) -> Needs {
        Needs { base: BaseNeed::Needed, least: 1, most: None }
    }

    fn per_member(&self) -> Vec<(&'static str, &PerMember)> {
        vec![("weight", &self.weight), ("density", &self.density), ("epsilon", &self.epsilon)]
    }

    fn whole_rows(&self) -> bool {
        true
    }

    fn merge(&self, work: &Work<'_>) -> Result<()> {
        let densities = densities(&self.density, &self.weight, work.members.len());
        let odds = odds(&densities, &self.epsilon);
        let blend = Blend {
            weights: self.weight.list(work.members.len()),
            elect: Elect::Weighted,
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
    fn of_one_member_it_is_the_linear_one_and_of_two_signs_are_elected() {
        let deltas = noise(3000, 6);
        let one = |name: &str| run(name, &json!({"density": 0.5}), &[30, 100], &[&deltas], false).0;
        // Divided by the weight of one that agrees: the same numbers.
        assert_eq!(one("della"), one("della_linear"));
        let opposed: Vec<f32> = deltas.iter().map(|d| -d * 0.5).collect();
        let parameters = json!({"density": 0.5, "rescale": false});
        let (out, _) = run("della", &parameters, &[30, 100], &[&deltas, &opposed], false);
        let known =
            out.iter().zip(deltas.iter().zip(&opposed)).all(|(v, (a, b))| *v == 0.0 || v == a || v == b);
        assert!(known);
        let (first, second) = out.iter().zip(&deltas).fold((0, 0), |(a, b), (v, d)| match () {
            () if *v == 0.0 => (a, b),
            () if v == d => (a + 1, b),
            () => (a, b + 1),
        });
        assert!(first > 1000 && second > 400, "{first} {second}");
    }
}
