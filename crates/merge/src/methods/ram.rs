//! What one member alone changed as it is, what several changed on average.

use consilience_core::Result;
use consilience_core::registry::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kernels::shares;
use crate::method::{BaseNeed, MergeMethod, Needs, PerMember};
use crate::work::Work;

/// Adds to the base, at each position, the mean of the deltas of the members that changed it: `b + sum_i d_i / c` over the `c` members
/// with `|d_i| > epsilon`. What one member alone changed is so kept whole, and not diluted by members that did not touch it.
///
/// # Reference
/// Yuan and others, "Behavior knowledge merge in reinforced agentic models", 2026, arXiv:2601.13572.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Ram {
    /// A delta counts as a change if its magnitude is larger.
    pub epsilon: f64,
}

impl Default for Ram {
    fn default() -> Self {
        Self { epsilon: 1e-5 }
    }
}

impl Method for Ram {
    const NAME: &'static str = "ram";
    const ABOUT: &'static str = "What one network alone changed as it is, what several changed on average";

    fn validate(&self) -> Result<()> {
        PerMember::All(self.epsilon).each("epsilon", "zero or a positive number", |e| e >= 0.0)
    }
}

impl MergeMethod for Ram {
    fn needs(&self) -> Needs {
        Needs { base: BaseNeed::Needed, least: 1, most: None }
    }

    fn merge(&self, work: &Work<'_>) -> Result<()> {
        shares::write(work, self.epsilon, &vec![1.0; work.members.len()])
    }
}

#[cfg(test)]
mod tests {
    use super::super::sparse_tests::run;
    use serde_json::json;

    #[test]
    fn shared_changes_are_averaged_and_the_others_kept() {
        let members = [
            &[1.0, 1.0, 0.0, 0.0, 2.0, 1.0][..],
            &[0.0, 2.0, 3.0, 0.0, 2.0, -1.0],
            &[1e-6, 0.0, 4.0, 5.0, 2.0, 0.0],
        ];
        assert_eq!(run("ram", &json!({}), &[6], &members, false).0, [1.0, 1.5, 3.5, 5.0, 2.0, 0.0]);
        // What is no change adds nothing.
        assert_eq!(
            run("ram", &json!({"epsilon": 2.0}), &[6], &members, false).0,
            [0.0, 0.0, 3.5, 5.0, 0.0, 0.0]
        );
    }
}
