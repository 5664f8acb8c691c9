//! The median of what the members say.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::evidence::voiced_rows;
use super::pointwise::{Pointwise, Rule};
use crate::error::Result;
use crate::model::{Context, Fused, Fuser, Honest, Inputs, Task};
use crate::registry::Method;

/// The median of the members' probabilities for each class, at least 1e-7 each, divided by the sum over the classes; or
/// the median of their values. Of an even number of members present on a row it is the mean of the two in the middle.
/// A member that is far off does not move it.
///
/// # Reference
/// Kittler and others, "On combining classifiers", IEEE PAMI 20(3), 1998 (the median rule).
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Median {}

impl Method for Median {
    const NAME: &'static str = "median";
    const ABOUT: &'static str = "Median of the members' probabilities or values";
}

impl Fuser for Median {
    fn check(&self, _: &Task, _: usize) -> Result<()> {
        Ok(())
    }

    fn fit(&self, honest: &Honest, _: Option<Inputs<'_>>, _: &Context<'_>) -> Result<Box<dyn Fused>> {
        voiced_rows(honest)?;
        let weights = vec![1.0; honest.count()];
        Ok(Box::new(Pointwise::new(honest.target().task(), Rule::Median, &weights)?))
    }
}
