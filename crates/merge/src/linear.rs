//! The weighted average of weights.

use consilience_core::registry::Method;
use consilience_core::{Error, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::method::MergeMethod;

/// Weighted average of the members' weights: `t = sum_i w_i t_i / sum_i w_i`, summed in 64 bits.
///
/// # Reference
/// Wortsman and others, "Model soups: averaging weights of multiple fine-tuned models improves accuracy without
/// increasing inference time", ICML 2022.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Linear {
    /// One weight for each member, in order: not negative, not all zero; they are divided by their sum. A member of
    /// weight zero is left out. Empty: all the same.
    pub weights: Vec<f64>,
}

impl Method for Linear {
    const NAME: &'static str = "linear";
    const ABOUT: &'static str = "Weighted average of the weights of networks of one shape";

    fn validate(&self) -> Result<()> {
        if self.weights.iter().any(|w| !w.is_finite() || *w < 0.0) {
            return Err(Error::argument("a weight is not a number from zero on")
                .at("weights")
                .got(format!("{:?}", self.weights)));
        }
        if !self.weights.is_empty() && self.weights.iter().all(|w| *w == 0.0) {
            return Err(Error::argument("every weight is zero").at("weights").expected("one above zero"));
        }
        Ok(())
    }
}

impl MergeMethod for Linear {
    fn check(&self, members: usize, _base: bool) -> Result<()> {
        if !self.weights.is_empty() && self.weights.len() != members {
            return Err(Error::argument("there is not one weight for each member")
                .at("weights")
                .expected(format!("{members} weights"))
                .got(self.weights.len()));
        }
        Ok(())
    }

    fn merge(&self, name: &str, members: &[&[f32]], _base: Option<&[f32]>) -> Result<Vec<f32>> {
        self.check(members.len(), false)?;
        let Some(first) = members.first() else {
            return Err(Error::model("there are no members to merge").at(format!("tensor \"{name}\"")));
        };
        if let Some(other) = members.iter().find(|m| m.len() != first.len()) {
            return Err(Error::model("members hold a tensor in different lengths")
                .at(format!("tensor \"{name}\""))
                .expected(first.len())
                .got(other.len()));
        }
        let weight = |i: usize| self.weights.get(i).copied().unwrap_or(1.0);
        let total: f64 = (0..members.len()).map(weight).sum();
        let mut sum = vec![0.0f64; first.len()];
        for (i, member) in members.iter().enumerate() {
            let share = weight(i) / total;
            if share == 0.0 {
                continue;
            }
            for (s, v) in sum.iter_mut().zip(*member) {
                *s += share * f64::from(*v);
            }
        }
        Ok(sum.into_iter().map(|s| s as f32).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::METHODS;
    use serde_json::json;

    #[test]
    fn it_is_the_weighted_mean_and_weight_zero_is_absence() {
        let method = METHODS.build("linear", &json!({"weights": [1.0, 3.0, 0.0]})).unwrap();
        let merged =
            method.merge("w", &[&[0.0, 4.0], &[4.0, 8.0], &[f32::INFINITY, f32::NAN]], None).unwrap();
        assert_eq!(merged, [3.0, 7.0]);
        let plain = METHODS.build("linear", &json!(null)).unwrap();
        assert_eq!(plain.merge("w", &[&[1.0], &[2.0]], None).unwrap(), [1.5]);
    }

    #[test]
    fn many_equal_members_give_exactly_the_member() {
        let values: Vec<f32> = (1..500).map(|i| (i as f32 * 0.731).sin() * 10f32.powi(i % 60 - 30)).collect();
        let members: Vec<&[f32]> = vec![&values; 7];
        let method = Linear { weights: vec![0.3, 0.1, 7.0, 2.0, 1e-3, 11.0, 0.7] };
        assert_eq!(method.merge("w", &members, None).unwrap(), values);
    }

    #[test]
    fn weights_that_cannot_be_are_refused() {
        for bad in [json!({"weights": [-1.0]}), json!({"weights": [0.0, 0.0]}), json!({"wieghts": [1.0]})] {
            assert_eq!(METHODS.build("linear", &bad).err().unwrap().exit_code(), 2, "{bad}");
        }
        let two = Linear { weights: vec![1.0, 1.0] };
        assert!(two.merge("w", &[&[1.0]], None).unwrap_err().to_string().contains("1 weights"));
        let plain = Linear::default();
        assert!(plain.merge("w", &[], None).is_err());
        assert!(plain.merge("fc", &[&[1.0], &[]], None).unwrap_err().to_string().contains("\"fc\""));
    }
}
