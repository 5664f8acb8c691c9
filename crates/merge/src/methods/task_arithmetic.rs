//! Adding and subtracting task vectors.

use consilience_core::Result;
use consilience_core::registry::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kernels::{combine, divisor};
use crate::method::{BaseNeed, MergeMethod, Needs, PerMember};
use crate::work::{Cut, Work};

/// Sum of the task vectors, what members added to the base: `b + lambda * sum_i w_i (x_i - b)`. A negative weight takes a task away.
///
/// # Reference
/// Ilharco and others, "Editing models with task arithmetic", ICLR 2023.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TaskArithmetic {
    /// A number for each member. A member of weight zero is left out.
    pub weight: PerMember,
    /// What the sum is multiplied with.
    pub lambda: f64,
    /// Whether the weights are divided by their sum, which must not be zero then.
    pub normalize: bool,
}

impl Default for TaskArithmetic {
    fn default() -> Self {
        Self { weight: PerMember::All(1.0), lambda: 1.0, normalize: false }
    }
}

impl Method for TaskArithmetic {
    const NAME: &'static str = "task_arithmetic";
    const ABOUT: &'static str = "Weighted sum of what members added to a base";

    fn validate(&self) -> Result<()> {
        self.weight.each("weight", "a number", |_| true)?;
        PerMember::All(self.lambda).each("lambda", "a number", |_| true)
    }
}

impl MergeMethod for TaskArithmetic {
    fn needs(&self) -> Needs {
        Needs { base: BaseNeed::Needed, least: 1, most: None }
    }

    fn per_member(&self) -> Vec<(&'static str, &PerMember)> {
        vec![("weight", &self.weight)]
    }

    fn check_weights(&self, members: usize, compat: bool) -> Result<()> {
        divisor(&self.weight.list(members), self.normalize, compat).map(drop)
    }

    fn merge(&self, work: &Work<'_>) -> Result<()> {
        let weights = self.weight.list(work.members.len());
        let factor = self.lambda / f64::from(divisor(&weights, self.normalize, work.compat)?);
        let shares: Vec<f32> = weights.iter().map(|w| (w * factor) as f32).collect();
        work.write(Cut::DELTAS, |block, out| {
            combine(block, 1.0, &shares, out);
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::METHODS;
    use crate::memory::merged;
    use serde_json::json;

    #[test]
    fn tasks_are_added_and_taken_away() {
        let members = [&[3.0, 1.0][..], &[2.0, 5.0], &[f32::NAN, 0.0]];
        let run = |parameters| {
            let method = METHODS.build("task_arithmetic", &parameters).unwrap();
            merged(method.as_ref(), &[2], &members, Some(&[1.0, 1.0]))
        };
        assert_eq!(run(json!({"weight": [1, -0.5, 0], "lambda": 2})).unwrap(), [4.0, -3.0]);
        assert_eq!(run(json!({"weight": [3, 1, 0], "normalize": true})).unwrap(), [2.75, 2.0]);
        let error = run(json!({"weight": [1, -1, 0], "normalize": true})).unwrap_err().to_string();
        assert!(error.contains("sum to zero"), "{error}");
    }
}
