//! Deltas where members differ most, weighted by their size, as far as members agree on their sign.

use consilience_core::registry::Method;
use consilience_core::{Error, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kernels::{Blend, Elect, Varied};
use crate::method::{BaseNeed, MergeMethod, Needs};
use crate::work::{Cut, Work};

/// Adds to the base what members changed where they differ most (select), with weights that follow from the size of the changes
/// (calculate), without those of the lesser sign (erase): `b + sum_i w_i d_i / sum_i w_i` over the members whose `d_i` has the sign of
/// `sum_i d_i`.
///
/// With `select_topk` below 1, only the `floor(select_topk m)` positions of highest variance across the members count, where `m`
/// positions have any; of equal ones the first. `w_i` is the mean of `d_i^2` over these positions, divided by the sum of these means.
/// With `compat` the weights are equal where the means, taken over all positions, sum to less than `1e-6`.
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
        Needs { base: BaseNeed::Needed, least: 1, most: None }
    }

    fn merge(&self, work: &Work<'_>) -> Result<()> {
        let varied = Varied::find(work, self.select_topk)?;
        let squares = varied.squares(work)?;
        let total: f64 = squares.iter().sum();
        // mergekit takes equal weights where the mean squares sum to less.
        let equal = work.compat && total / (work.len() as f64) < 1e-6;
        let weight = |square: &f64| match () {
            () if equal => 1.0 / squares.len() as f64,
            () if total == 0.0 => 0.0,
            () => square / total,
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

#[cfg(test)]
mod tests {
    use super::super::sparse_tests::run;
    use serde_json::json;

    const MEMBERS: [&[f32]; 3] = [
        &[1.0, 2.0, -3.0, 4.0, 0.5, 0.0],
        &[2.0, -1.0, -1.0, 4.0, 0.0, 0.0],
        &[0.5, 0.5, 2.0, 4.0, -0.1, 0.0],
    ];

    fn near(out: &[f32], expected: &[f64]) {
        assert_eq!(out.len(), expected.len());
        for (a, b) in out.iter().zip(expected) {
            assert!((f64::from(*a) - b).abs() <= 1e-6 * b.abs(), "{out:?} {expected:?}");
        }
    }

    #[test]
    fn weights_are_the_squares_of_what_is_selected() {
        // All: the squares sum to 30.25, 22 and 20.51.
        let (a, b, c) = (30.25, 22.0, 20.51);
        let all = [
            (a + 2.0 * b + 0.5 * c) / (a + b + c),
            (2.0 * a + 0.5 * c) / (a + c),
            -(3.0 * a + b) / (a + b),
            4.0,
            0.5,
            0.0,
        ];
        near(&run("sce", &json!({}), &[6], &MEMBERS, false).0, &all);
        // 2 of the 4 positions with variance: the second and the third, with squares 13, 2 and 4.25.
        let part = [0.0, (2.0 * 13.0 + 0.5 * 4.25) / 17.25, -(3.0 * 13.0 + 2.0) / 15.0, 0.0, 0.0, 0.0];
        near(&run("sce", &json!({"select_topk": 0.6}), &[6], &MEMBERS, false).0, &part);
        // A part that rounding has made less than a half, as a gradient does.
        let half = json!({"select_topk": 0.49999999999999994});
        near(&run("sce", &half, &[6], &MEMBERS, false).0, &part);
        assert_eq!(run("sce", &json!({"select_topk": 0.2}), &[6], &MEMBERS, false).0, [0.0; 6]);
    }

    #[test]
    fn equal_members_vary_nowhere() {
        let [a, ..] = MEMBERS;
        assert_eq!(run("sce", &json!({"select_topk": 0.9}), &[6], &[a, a, a], false).0, [0.0; 6]);
        near(&run("sce", &json!({}), &[6], &[a, a, a], false).0, &[1.0, 2.0, -3.0, 4.0, 0.5, 0.0]);
    }

    #[test]
    fn small_deltas_have_the_weights_of_large_ones() {
        let small: Vec<Vec<f32>> =
            MEMBERS.iter().map(|m| m.iter().map(|v| v * 2f32.powi(-14)).collect()).collect();
        let small: Vec<&[f32]> = small.iter().map(Vec::as_slice).collect();
        let large = |compat| run("sce", &json!({}), &[6], &MEMBERS, compat).0;
        let scaled = |compat| -> Vec<f32> {
            run("sce", &json!({}), &[6], &small, compat).0.iter().map(|v| v * 2f32.powi(14)).collect()
        };
        assert_eq!(scaled(false), large(false));
        assert_eq!(large(true), large(false));
        // mergekit takes equal weights for small ones.
        near(&scaled(true), &[3.5 / 3.0, 1.25, -2.0, 4.0, 0.5, 0.0]);
    }
}
