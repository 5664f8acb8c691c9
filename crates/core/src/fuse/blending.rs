//! Stacking on a part of the honest rows.

use rand::seq::SliceRandom;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::stack_features::On;
use super::stacking::Stacking;
use crate::error::{Error, Result};
use crate::model::strata;
use crate::model::{Context, Fused, Fuser, Honest, Inputs, Task};
use crate::registry::Method;
use crate::seed::Seed;

/// Stacking that is fitted to a drawn share of the honest rows only: the same share of each class, or whole groups where
/// there are groups. It is what many mean by blending. Out-of-fold predictions of all rows say more about the members
/// than a holdout does, so `stacking` is the better choice unless the rows are too many.
///
/// # Reference
/// Töscher, Jahrer and Bell, "The BigChaos solution to the Netflix grand prize", 2009 (blending on a probe set).
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Blending {
    /// The share of the honest rows that is used, above 0 and at most 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub share: f64,
    /// As for `stacking`: inverse strength of the penalty.
    pub c: f64,
    /// As for `stacking`: what of the members' probabilities is used.
    pub on: On,
    /// As for `stacking`: whether coefficients must be zero or above.
    pub non_negative: bool,
}

impl Default for Blending {
    fn default() -> Self {
        let Stacking { c, on, non_negative } = Stacking::default();
        Self { share: 0.2, c, on, non_negative }
    }
}

impl Blending {
    fn stacking(&self) -> Stacking {
        Stacking { c: self.c, on: self.on, non_negative: self.non_negative }
    }
}

impl Method for Blending {
    const NAME: &'static str = "blending";
    const ABOUT: &'static str = "Stacking on a stratified holdout share of the honest rows";

    fn validate(&self) -> Result<()> {
        if self.share > 0.0 && self.share <= 1.0 {
            return self.stacking().validate();
        }
        Err(Error::argument("the share is out of range")
            .at("share")
            .expected("above 0, at most 1")
            .got(self.share))
    }
}

impl Fuser for Blending {
    fn check(&self, task: &Task, members: usize) -> Result<()> {
        self.validate()?;
        self.stacking().check(task, members)
    }

    fn fit(&self, honest: &Honest, _: Option<Inputs<'_>>, context: &Context<'_>) -> Result<Box<dyn Fused>> {
        self.validate()?;
        let rows = holdout(honest, self.share, context.seed.child("holdout"));
        self.stacking().fit(&honest.take(&rows), None, context)
    }
}

/// A drawn share of the rows, rising: of each stratum so many units that their rows are the share or just more.
fn holdout(honest: &Honest, share: f64, seed: Seed) -> Vec<usize> {
    let mut rng = seed.rng();
    let mut rows = Vec::new();
    for mut units in strata(honest).into_values() {
        let all: usize = units.iter().map(Vec::len).sum();
        let wanted = rows.len() + (share * all as f64).ceil() as usize;
        units.shuffle(&mut rng);
        for unit in units {
            if rows.len() >= wanted {
                break;
            }
            rows.extend(unit);
        }
    }
    rows.sort_unstable();
    rows
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::fuse::cases::{honest, regrouped, said};
    use crate::model::{Quiet, Stop};

    #[test]
    fn a_holdout_has_its_share_of_each_class_and_whole_groups() {
        let data = honest(200, 3, 2, false);
        let (_, codes) = data.target().codes().unwrap();
        let rows = holdout(&data, 0.2, Seed::new(1));
        assert_ne!(rows, holdout(&data, 0.2, Seed::new(2)));
        let mut counts = BTreeMap::new();
        for (r, code) in codes.iter().enumerate() {
            let (of, all) = counts.entry(*code).or_insert((0, 0));
            *of += usize::from(rows.contains(&r));
            *all += 1;
        }
        assert!(
            counts.values().all(|(of, all)| *of == (0.2 * f64::from(*all)).ceil() as usize),
            "{counts:?}"
        );
        let groups: Vec<u64> = (0..200).map(|r| r / 8).collect();
        let grouped = regrouped(&data, Some(groups), vec![0; 200]).unwrap();
        let rows = holdout(&grouped, 0.2, Seed::new(1));
        assert_eq!(rows.len(), 40);
        assert!(rows.chunks(8).all(|c| c[0] % 8 == 0 && c[7] == c[0] + 7), "{rows:?}");
        assert_eq!(holdout(&data, 1.0, Seed::new(1)).len(), 200);
        // A class of a single row is there.
        assert_eq!(holdout(&data.take(&[0]), 0.2, Seed::new(1)), [0]);
    }

    #[test]
    fn a_blend_is_the_stack_of_its_holdout() {
        let data = honest(300, 3, 3, false);
        let stop = Stop::default();
        let context = Context::new(Seed::new(4), &Quiet, &stop);
        let blend = Blending::default().fit(&data, None, &context).unwrap();
        let rows = holdout(&data, 0.2, context.seed.child("holdout"));
        let stack = Stacking::default().fit(&data.take(&rows), None, &context).unwrap();
        assert_eq!(blend.fuse(&said(&data), None).unwrap(), stack.fuse(&said(&data), None).unwrap());
        let all = Blending { share: 1.0, ..Blending::default() }.fit(&data, None, &context).unwrap();
        let stack = Stacking::default().fit(&data, None, &context).unwrap();
        assert_eq!(all.fuse(&said(&data), None).unwrap(), stack.fuse(&said(&data), None).unwrap());
    }
}
