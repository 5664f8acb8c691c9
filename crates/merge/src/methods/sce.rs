//! Deltas where members differ most, weighted by their size, as far as members agree on their sign.

use consilience_core::registry::Method;
use consilience_core::{Error, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kernels::{Blend, Elect, Varied};
use crate::method::{Base, MergeMethod, Needs};
use crate::work::{Cut, Work};

/// Adds to the base what members changed where they differ most (select), with weights that follow from the size of the changes
/// (calculate), without those of the lesser sign (erase): `b + sum_i w_i d_i / sum_i w_i` over the members whose `d_i` has the sign of
/// `sum_i d_i`.
///
/// With `select_topk` below 1, only the `floor(select_topk m)` positions of highest variance across the members count, where `m`
/// positions have any; of equal ones the first. `w_i` is the mean of `d_i^2` over these positions, divided by the sum of these means.
///
/// # Reference
/// Wan, Zhong, Yang, Chen and Quan, "FuseChat: knowledge fusion of chat models", 2024, arXiv:2408.07990.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Sce {
    /// The part of the positions that count, those of highest variance. 1 selects all, also those without variance.
    pub select_topk: f64,
}

impl Default for Sce {
    fn default() -> Self {
        Self { select_topk: 1.0 }
    }
}

impl Method for Sce {
    const NAME: &'static str = "sce";
    const ABOUT: &'static str =
        "Changes where networks differ most and agree in sign, weighted by their size";

    fn validate(&self) -> Result<()> {
        if (0.0..=1.0).contains(&self.select_topk) {
            return Ok(());
        }
        Err(Error::argument("select_topk is out of range")
            .at("select_topk")
            .expected("a number from 0 to 1")
            .got(self.select_topk))
    }
}

impl MergeMethod for Sce {
    fn needs(&self) -> Needs {
        Needs { base: Base::Needed, least: 1, most: None }
    }

    fn merge(&self, work: &Work<'_>) -> Result<()> {
        let varied = Varied::find(work, self.select_topk)?;
        let squares = varied.squares(work)?;
        let total: f64 = squares.iter().sum();
        // mergekit takes equal weights where the mean squares sum to less.
        let equal = work.compat && total / (work.len() as f64) < 1e-6;
        let weight = |square: &f64| match () {
            () if equal => 1.0 / squares.len() as f64,
            () if total > 0.0 => square / total,
            () => 0.0,
        };
        let blend = Blend {
            weights: squares.iter().map(weight).collect(),
            elect: Elect::Plain,
            normalize: true,
            rescale: false,
            lambda: 1.0,
        };
        blend.merge(work, Cut::DELTAS, &varied)
    }
}
