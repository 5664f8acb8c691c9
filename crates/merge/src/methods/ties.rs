//! The largest deltas, as far as members agree on their sign.

use consilience_core::Result;
use consilience_core::registry::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kernels::{Band, Blend, Elect, densities, portion};
use crate::method::{Base, MergeMethod, Needs, PerMember};
use crate::work::{Cut, Work};

/// Adds to the base what members changed most, where they agree: `b + lambda sum_i w_i d_i / sum_i w_i`, both sums over the members whose
/// `w_i d_i` has the elected sign.
///
/// Each member keeps the `floor(density n)` largest of the `n` deltas `|d_i|` of a tensor, of equal ones the first. The elected sign is
/// that of `sum_i w_i d_i`; a sum of zero is positive. Zeros agree with none. Where the weights that agree sum to less than `1e-8`, the
/// base stays as it is, and a note says so.
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
        Needs { base: Base::Needed, least: 1, most: None }
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
