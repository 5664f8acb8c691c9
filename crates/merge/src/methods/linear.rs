//! The weighted average of weights.

use consilience_core::Result;
use consilience_core::registry::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kernels::wide;
use crate::method::{BaseNeed, MergeMethod, Needs, PerMember, sum_of};
use crate::work::{Cut, Work};

/// Weighted average of the members' weights: `sum_i w_i x_i / sum_i w_i`, or `sum_i w_i x_i` with `normalize: false`.
///
/// It is computed as `x_0 + sum_i s_i (x_i - x_0)` with the shares `s_i`, so that equal members give exactly the member.
///
/// # Reference
/// Wortsman and others, "Model soups: averaging weights of multiple fine-tuned models improves accuracy without
/// increasing inference time", ICML 2022.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Linear {
    /// A number for each member. A member of weight zero is left out. One number stands for all.
    pub weight: PerMember,
    /// Whether the weights are divided by their sum, which must not be zero then.
    pub normalize: bool,
}

impl Default for Linear {
    fn default() -> Self {
        Self { weight: PerMember::All(1.0), normalize: true }
    }
}

impl Method for Linear {
    const NAME: &'static str = "linear";
    const ABOUT: &'static str = "Weighted average of the weights of networks of one shape";

    fn validate(&self) -> Result<()> {
        self.weight.each("weight", "a number", |_| true)
    }
}

impl MergeMethod for Linear {
    fn needs(&self) -> Needs {
        Needs { base: BaseNeed::Unknown, least: 1, most: None }
    }

    fn per_member(&self) -> Vec<(&'static str, &PerMember)> {
        vec![("weight", &self.weight)]
    }

    fn check_weights(&self, members: usize, _: bool) -> Result<()> {
        match self.normalize {
            true => sum_of(&self.weight.list(members), ", or normalize: false").map(drop),
            false => Ok(()),
        }
    }

    fn merge(&self, work: &Work<'_>) -> Result<()> {
        self.check_weights(work.members.len(), work.compat)?;
        let weights = self.weight.list(work.members.len());
        let total: f64 = weights.iter().sum();
        let share = |w: f64| if self.normalize { w / total } else { w };
        let shares: Vec<f32> = weights.iter().map(|w| share(*w) as f32).collect();
        let Some(first) = shares.iter().position(|s| *s != 0.0) else {
            return work.write(Cut::NUMBERS, |_, out| {
                out.fill(0.0);
                Ok(())
            });
        };
        // Of normalized weights the first member's own share is what the others leave.
        let own = if self.normalize { 1.0 } else { weights.iter().sum::<f64>() as f32 };
        work.write(Cut::NUMBERS, |block, out| {
            let Some(&start) = block.members.get(first) else { return Ok(()) };
            let others = block.members.iter().zip(&shares).skip(first + 1).filter(|(_, s)| **s != 0.0);
            wide(
                #[inline(always)]
                || {
                    for (out, v) in out.iter_mut().zip(start) {
                        *out = own * v;
                    }
                },
            );
            for (values, &share) in others {
                wide(
                    #[inline(always)]
                    || {
                        for ((out, v), start) in out.iter_mut().zip(*values).zip(start) {
                            *out += share * (v - start);
                        }
                    },
                );
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::METHODS;
    use crate::memory::merged;
    use serde_json::json;

    #[test]
    fn it_is_the_weighted_mean_and_weight_zero_is_absence() {
        let method = METHODS.build("linear", &json!({"weight": [1.0, 3.0, 0.0]})).unwrap();
        let members = [&[0.0, 4.0][..], &[4.0, 8.0], &[f32::INFINITY, f32::NAN]];
        assert_eq!(merged(method.as_ref(), &[2], &members, None).unwrap(), [3.0, 7.0]);
        let plain = METHODS.build("linear", &json!(null)).unwrap();
        assert_eq!(merged(plain.as_ref(), &[1], &[&[1.0], &[2.0]], None).unwrap(), [1.5]);
        let sum = METHODS.build("linear", &json!({"weight": [2, -1], "normalize": false})).unwrap();
        assert_eq!(merged(sum.as_ref(), &[1], &[&[1.0], &[3.0]], None).unwrap(), [-1.0]);
    }

    #[test]
    fn many_equal_members_give_exactly_the_member() {
        let values: Vec<f32> = (1..500).map(|i| (i as f32 * 0.731).sin() * 10f32.powi(i % 60 - 30)).collect();
        let members: Vec<&[f32]> = vec![&values; 7];
        let weight = PerMember::Each(vec![0.3, 0.1, 7.0, 2.0, 1e-3, 11.0, 0.7]);
        let method = Linear { weight, normalize: true };
        assert_eq!(merged(&method, &[499], &members, None).unwrap(), values);
    }

    #[test]
    fn weights_that_cannot_be_are_refused() {
        for bad in [json!({"weight": "x"}), json!({"wieghts": [1.0]})] {
            assert_eq!(METHODS.build("linear", &bad).err().unwrap().exit_code(), 2, "{bad}");
        }
        let one = |weight| merged(&Linear { weight, normalize: true }, &[1], &[&[1.0]], None);
        let error = one(PerMember::Each(vec![1.0, 1.0])).unwrap_err().to_string();
        assert!(error.contains("1 numbers"), "{error}");
        assert!(one(PerMember::Each(vec![0.0])).unwrap_err().to_string().contains("sum to zero"));
    }
}
