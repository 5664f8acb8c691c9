//! What one member alone changed amplified, what several changed on average.

use consilience_core::Result;
use consilience_core::registry::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kernels::shares;
use crate::method::{BaseNeed, MergeMethod, Needs, PerMember};
use crate::work::Work;

/// As `ram`, with what a member alone changed amplified the more, the more of its changes it shares with others:
/// `d_i (1 + r min(rho_i, alpha))` where `rho_i` is the number of its changes that are shared, divided by that of those that are not,
/// both of this tensor alone.
///
/// # Reference
/// Yuan and others, "Behavior knowledge merge in reinforced agentic models", 2026, arXiv:2601.13572.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RamPlus {
    /// A delta counts as a change if its magnitude is larger.
    pub epsilon: f64,
    /// How strongly changes are amplified.
    pub r: f64,
    /// The largest ratio that counts.
    pub alpha: f64,
}

impl Default for RamPlus {
    fn default() -> Self {
        Self { epsilon: 1e-5, r: 0.1, alpha: 0.2 }
    }
}

impl Method for RamPlus {
    const NAME: &'static str = "ramplus_tl";
    const ABOUT: &'static str = "What one network alone changed amplified, what several changed on average";

    fn validate(&self) -> Result<()> {
        PerMember::All(self.epsilon).each("epsilon", "zero or a positive number", |e| e >= 0.0)?;
        PerMember::All(self.r).each("r", "a number", |_| true)?;
        PerMember::All(self.alpha).each("alpha", "zero or a positive number", |a| a >= 0.0)
    }
}

impl MergeMethod for RamPlus {
    fn needs(&self) -> Needs {
        Needs { base: BaseNeed::Needed, least: 1, most: None }
    }

    fn merge(&self, work: &Work<'_>) -> Result<()> {
        let factor = |(shared, unique): &(usize, usize)| match unique {
            0 => 1.0,
            _ => 1.0 + self.r * (*shared as f64 / *unique as f64).clamp(0.0, self.alpha),
        };
        let factors: Vec<f64> = shares::count(work, self.epsilon)?.iter().map(factor).collect();
        shares::write(work, self.epsilon, &factors)
    }
}

#[cfg(test)]
mod tests {
    use super::super::sparse_tests::run;
    use serde_json::json;

    #[test]
    fn what_one_changed_alone_grows_with_what_it_shares() {
        // The first shares one change of four, the second one of two.
        let members = [&[1.0, 2.0, 3.0, 4.0, 0.0, 0.0][..], &[0.0, 0.0, 0.0, 2.0, 8.0, 0.0]];
        let of = |parameters| run("ramplus_tl", &parameters, &[2, 3], &members, false).0;
        let scaled = |a: f32, b: f32| vec![a, 2.0 * a, 3.0 * a, 3.0, 8.0 * b, 0.0];
        assert_eq!(of(json!({"r": 0.75, "alpha": 9.0})), scaled(1.25, 1.75));
        assert_eq!(of(json!({"r": 0.75, "alpha": 0.5})), scaled(1.25, 1.375));
        assert_eq!(of(json!({"r": 0.0})), scaled(1.0, 1.0));
        assert_eq!(of(json!({})), scaled(1.02, 1.02));
    }

    #[test]
    fn shared_alone_it_is_the_mean() {
        assert_eq!(run("ramplus_tl", &json!({}), &[2], &[&[1.0, 2.0], &[3.0, -2.0]], false).0, [2.0, 0.0]);
    }
}
