//! The mean direction and mean length of any number of models.

use consilience_core::Result;
use consilience_core::registry::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kernels::{combine, gram};
use crate::method::{BaseNeed, MergeMethod, Needs, PerMember, sum_of};
use crate::work::{Cut, Work};

/// The weighted mean of the directions, in the weighted mean of the lengths: with `u = sum_i w_i x_i / |x_i|` it is
/// `u / |u| * sum_i w_i |x_i|`, each tensor one vector. With a base it is this of what members added to the base, added to the base.
///
/// A member that is all zero has no direction and counts by its length only. Where the directions cancel, `|u|` at most `eps` times
/// `sum_i |w_i|`, there is no mean direction: the weighted mean of the tensors is taken and noted.
///
/// # Reference
/// The mean direction of Mardia and Jupp, "Directional statistics", Wiley 2000.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MultiSlerp {
    /// A number for each member. A member of weight zero is left out.
    pub weight: PerMember,
    /// Whether the weights are divided by their sum, which must not be zero then.
    pub normalize_weights: bool,
    /// Directions whose mean is shorter than this cancel.
    #[schemars(range(min = 0.0))]
    pub eps: f64,
}

impl Default for MultiSlerp {
    fn default() -> Self {
        Self { weight: PerMember::All(1.0), normalize_weights: true, eps: 1e-8 }
    }
}

impl Method for MultiSlerp {
    const NAME: &'static str = "multislerp";
    const ABOUT: &'static str = "Mean direction and mean length of networks or their task vectors";

    fn validate(&self) -> Result<()> {
        self.weight.each("weight", "a number", |_| true)?;
        PerMember::All(self.eps).each("eps", "a number of at least 0", |eps| eps >= 0.0)
    }
}

impl MergeMethod for MultiSlerp {
    fn needs(&self) -> Needs {
        Needs { base: BaseNeed::Optional, least: 1, most: None }
    }

    fn per_member(&self) -> Vec<(&'static str, &PerMember)> {
        vec![("weight", &self.weight)]
    }

    fn check_weights(&self, members: usize, _: bool) -> Result<()> {
        match self.normalize_weights {
            true => sum_of(&self.weight.list(members), ", or normalize_weights: false").map(drop),
            false => Ok(()),
        }
    }

    fn merge(&self, work: &Work<'_>) -> Result<()> {
        self.check_weights(work.members.len(), work.compat)?;
        let cut = Cut { deltas: work.base.is_some(), rows: false };
        let mut weights = self.weight.list(work.members.len());
        let total: f64 = weights.iter().sum();
        if self.normalize_weights {
            weights.iter_mut().for_each(|w| *w /= total);
        }
        let gram = gram(work, cut)?;
        gram.finite(work, |i| weights.get(i).is_some_and(|w| *w != 0.0))?;
        let used = || weights.iter().enumerate().filter(|(_, w)| **w != 0.0);
        let length: f64 = used().map(|(i, w)| w * gram.norm(i)).sum();
        let directions: Vec<f64> = weights
            .iter()
            .enumerate()
            .map(|(i, w)| if *w != 0.0 && gram.norm(i) > 0.0 { w / gram.norm(i) } else { 0.0 })
            .collect();
        let mean = gram.length(&directions);
        let mass: f64 = used().filter(|(i, _)| gram.norm(*i) > 0.0).map(|(_, w)| w.abs()).sum();
        let shares: Vec<f32> = if mean > self.eps * mass {
            directions.iter().map(|d| (d / mean * length) as f32).collect()
        } else {
            if mass > 0.0 {
                work.note("the directions of the members cancel: their weighted mean was taken");
            }
            weights.iter().map(|w| *w as f32).collect()
        };
        work.write(cut, |block, out| {
            combine(block, if cut.deltas { 1.0 } else { 0.0 }, &shares, out);
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::merged;

    #[test]
    fn direction_and_length_are_averaged() {
        let out = merged(&MultiSlerp::default(), &[2], &[&[1.0, 0.0], &[0.0, 3.0]], None).unwrap();
        assert!(out.iter().all(|v| (v - 2f32.sqrt()).abs() < 1e-6), "{out:?}");
        let weight = PerMember::Each(vec![3.0, 1.0, 0.0]);
        let method = MultiSlerp { weight, normalize_weights: false, ..MultiSlerp::default() };
        let members = [&[2.0, 1.0][..], &[1.0, 5.0], &[f32::NAN, 0.0]];
        let out = merged(&method, &[2], &members, Some(&[1.0, 1.0])).unwrap();
        let (u, length) = ([3.0 / 10f32.sqrt(), 1.0 / 10f32.sqrt()], 7.0);
        assert!(out.iter().zip(u).all(|(v, u)| (v - 1.0 - u * length).abs() < 1e-5), "{out:?}");
    }

    #[test]
    fn members_without_direction_and_directions_that_cancel() {
        let method = MultiSlerp::default();
        assert_eq!(merged(&method, &[2], &[&[0.0, 0.0], &[0.0, 3.0]], None).unwrap(), [0.0, 1.5]);
        assert_eq!(merged(&method, &[2], &[&[0.0, 0.0], &[0.0, 0.0]], None).unwrap(), [0.0, 0.0]);
        assert_eq!(merged(&method, &[2], &[&[0.0, -1.0], &[0.0, 3.0]], None).unwrap(), [0.0, 1.0]);
        let method = MultiSlerp { weight: PerMember::Each(vec![1.0, -1.0]), ..method };
        let error = merged(&method, &[1], &[&[1.0], &[2.0]], None).unwrap_err().to_string();
        assert!(error.contains("sum to zero"), "{error}");
    }
}
