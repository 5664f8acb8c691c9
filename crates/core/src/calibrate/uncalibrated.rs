//! Probabilities left as they are: what the automatic choice gives where nothing helps.

use serde_json::json;

use super::rows::only;
use crate::error::Result;
use crate::model::graph::{Answer, Graph, Value};
use crate::model::{Batch, Fused, Loaders, Parts, Predictions, Task};

/// The key under which it is loaded.
pub(super) const KIND: &str = "uncalibrated";

/// Gives back what it is given.
pub(super) struct Uncalibrated {
    pub(super) task: Task,
}

/// Loads it.
pub(super) fn load(parts: &Parts, _: &Loaders) -> Result<Box<dyn Fused>> {
    Ok(Box::new(Uncalibrated { task: parts.field("task")? }))
}

impl Fused for Uncalibrated {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn fuse(&self, members: &[Predictions], _: Option<&Batch>) -> Result<Predictions> {
        only(members, &self.task).cloned()
    }

    fn graph(&self, _: &mut Graph, members: &[Answer]) -> Result<Value> {
        super::one_against_rest::value_of(members).cloned()
    }

    fn save(&self) -> Result<Parts> {
        Ok(Parts::new(KIND, json!({"task": self.task})))
    }
}
