//! The largest deltas, as far as members agree on their sign.

use consilience_core::Result;
use consilience_core::registry::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kernels::{Band, Blend, Elect, densities, portion};
use crate::method::{BaseNeed, MergeMethod, Needs, PerMember};
use crate::work::{Cut, Work};

/// Adds to the base what members changed most, where they agree: `b + lambda sum_i w_i d_i / sum_i w_i`, both sums over the members whose
/// `w_i d_i` has the elected sign.
///
/// Each member keeps the `floor(density n)` largest of the `n` deltas `|d_i|` of a tensor, of equal ones the first. The elected sign is
/// that of `sum_i w_i d_i`; a sum of zero is positive. Zeros agree with none. Where the weights that agree sum to less than `1e-8`, the
/// base stays as it is, and a note says so; with `compat` the sum is divided by any mass but zero, and left as it is there.
///
/// # Reference
/// Yadav, Tam, Choshen, Raffel and Bansal, "TIES-merging: resolving interference when merging models", NeurIPS 2023.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Ties {
    /// A number for each member. A member of weight zero is left out. One number stands for all.
    pub weight: PerMember,
    /// The part of its deltas that each member keeps, the largest ones.
    pub density: PerMember,
    /// Whether the sum is divided by the sum of the weights of the members that agree.
    pub normalize: bool,
    /// Whether what a member keeps is scaled so that the sum of its magnitudes is that of all its deltas.
    pub rescale: bool,
    /// A factor for what is added to the base.
    pub lambda: f64,
}

impl Default for Ties {
    fn default() -> Self {
        Self {
            weight: PerMember::All(1.0),
            density: PerMember::All(1.0),
            normalize: true,
            rescale: false,
            lambda: 1.0,
        }
    }
}

impl Method for Ties {
    const NAME: &'static str = "ties";
    const ABOUT: &'static str = "The largest changes of each network, where they agree in sign";

    fn validate(&self) -> Result<()> {
        self.weight.each("weight", "a number", |_| true)?;
        self.density.each("density", "a number from 0 to 1", |d| (0.0..=1.0).contains(&d))?;
        PerMember::All(self.lambda).each("lambda", "a number", |_| true)
    }
}

impl MergeMethod for Ties {
    fn needs(&self) -> Needs {
        Needs { base: BaseNeed::Needed, least: 1, most: None }
    }

    fn per_member(&self) -> Vec<(&'static str, &PerMember)> {
        vec![("weight", &self.weight), ("density", &self.density)]
    }

    fn merge(&self, work: &Work<'_>) -> Result<()> {
        let densities = densities(&self.density, &self.weight, work.members.len());
        let counts: Vec<(usize, usize)> = densities.iter().map(|d| (0, portion(work, *d))).collect();
        let blend = Blend {
            weights: self.weight.list(work.members.len()),
            elect: Elect::Weighted,
            normalize: self.normalize,
            rescale: self.rescale,
            lambda: self.lambda,
        };
        blend.merge(work, Cut::DELTAS, &Band::find(work, &counts)?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::sparse_tests::run;
    use serde_json::json;

    #[test]
    fn the_largest_count_as_far_as_they_agree() {
        let members = [&[1.0, 2.0, 3.0, 4.0][..], &[-4.0, 1.0, -1.0, 2.0]];
        let of = |parameters| run("ties", &parameters, &[2, 2], &members, false).0;
        // Kept are 3, 4 and -4, 2; the last has weight 1 of the first and 0.5 of the second.
        assert_eq!(of(json!({"weight": [1.0, 0.5], "density": 0.5})), [-4.0, 0.0, 3.0, 5.0 / 1.5]);
        let sum = json!({"weight": [1.0, 0.5], "density": 0.5, "normalize": false, "lambda": 2.0});
        assert_eq!(of(sum), [-4.0, 0.0, 6.0, 10.0]);
        // A weight below zero turns the sign of its member: 3 / 0.5, 2 / 1, 3.5 / 0.5 and 4 / 1.
        assert_eq!(of(json!({"weight": [1.0, -0.5]})), [6.0, 2.0, 7.0, 4.0]);
    }

    #[test]
    fn of_equal_deltas_the_first_are_kept_and_a_sum_of_zero_is_positive() {
        let flat = [1.0, 1.0, -1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 2.0, -2.0];
        let (out, _) = run("ties", &json!({"density": 0.5}), &[10], &[&flat], false);
        assert_eq!(out, [1.0, 1.0, -1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 2.0, -2.0]);
        let (out, _) = run("ties", &json!({}), &[2], &[&[-1.0, 1.0], &[1.0, -1.0]], false);
        assert_eq!(out, [1.0, 1.0]);
    }

    #[test]
    fn weights_that_cancel_leave_the_base_and_say_so() {
        let members = [&[1.0, 1.0, 0.0, 2.0][..], &[-1.0, 1.0, 0.0, -1.0]];
        let weights = json!({"weight": [0.3, -0.3]});
        let (out, notes) = run("ties", &weights, &[4], &members, false);
        assert_eq!(out, [0.0, 1.0, 0.0, 0.0]);
        assert_eq!(notes.len(), 1);
        assert!(notes[0].starts_with("w: 2 of 4"), "{notes:?}");
        let (out, notes) = run("ties", &weights, &[4], &members, true);
        assert_eq!((out, notes.len()), (vec![0.6, 1.0, 0.0, 0.90000004], 0));
    }

    #[test]
    fn a_density_that_keeps_none_says_so() {
        let (out, notes) = run("ties", &json!({"density": 0.3}), &[3], &[&[1.0, 2.0, 3.0]], false);
        assert_eq!(out, [0.0; 3]);
        assert!(notes[0].contains("keeps none of 3"), "{notes:?}");
        assert!(run("ties", &json!({"density": 0.0}), &[3], &[&[1.0, 2.0, 3.0]], false).1.is_empty());
    }
}
