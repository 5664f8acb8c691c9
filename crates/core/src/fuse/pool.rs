//! The fitted form of every composition with one weight a member.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::aligned::Aligned;
use super::mixed::mixed;
use crate::error::{Error, Result};
use crate::model::graph::{Answer, Element, Graph, Value};
use crate::model::{Batch, Fused, Loaders, Parts, Predictions, Task};

/// The key under which a pool is loaded.
pub(super) const KIND: &str = "pool";

/// What a member puts into the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Content {
    /// Its probabilities or its value.
    Prediction,
    /// One vote for its most probable class; classes that tie share it.
    Vote,
}

/// A linear pool: `y = sum_i w_i c_i / sum_i w_i` over the members present on a row. Where all members present have
/// weight zero, they count the same.
#[derive(Debug, Clone)]
pub(super) struct Pool {
    task: Task,
    weights: Vec<f64>,
    content: Content,
}

impl Pool {
    /// A pool; weights are divided by their sum.
    pub(super) fn new(task: Task, weights: &[f64], content: Content) -> Result<Self> {
        let sum = checked_sum(weights)?;
        Ok(Self { task, weights: weights.iter().map(|w| w / sum).collect(), content })
    }

    /// A pool of the members whose voice is set, with a weight for each of them; the others have none.
    pub(super) fn among(task: Task, voices: &[bool], weights: &[f64], content: Content) -> Result<Self> {
        let mut own = weights.iter();
        let all: Vec<f64> =
            voices.iter().map(|v| if *v { own.next().copied().unwrap_or(0.0) } else { 0.0 }).collect();
        Self::new(task, &all, content)
    }

    /// Loads it.
    pub(super) fn load(parts: &Parts, _: &Loaders) -> Result<Box<dyn Fused>> {
        let task = parts.field("task")?;
        let content = parts.field("content")?;
        let weights = parts.f64("weights")?;
        checked_sum(weights)?;
        // The stored weights as they are: dividing again could change the last bit.
        Ok(Box::new(Self { task, weights: weights.to_vec(), content }))
    }
}

impl Fused for Pool {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn fuse(&self, members: &[Predictions], _: Option<&Batch>) -> Result<Predictions> {
        let aligned = Aligned::new(members, &self.task, self.weights.len())?;
        match self.content {
            Content::Prediction => aligned.average(&self.weights),
            Content::Vote => aligned.mix(|_, w| w.copy_from_slice(&self.weights), add_vote),
        }
    }

    fn graph(&self, graph: &mut Graph, members: &[Answer]) -> Result<Value> {
        let weights: Vec<Value> = self.weights.iter().map(|w| graph.scalar(Element::F64, *w)).collect();
        let evened = self.weights.contains(&0.0) && members.iter().any(|m| m.present.is_some());
        Ok(mixed(graph, members, &weights, self.content, evened))
    }

    fn save(&self) -> Result<Parts> {
        let config = json!({"task": self.task, "content": self.content});
        Ok(Parts::new(KIND, config).with_f64("weights", &self.weights))
    }

    fn weights(&self) -> Option<Vec<f64>> {
        Some(self.weights.clone())
    }

    fn parameters(&self) -> u64 {
        self.weights.len() as u64
    }
}

fn checked_sum(weights: &[f64]) -> Result<f64> {
    let sum: f64 = weights.iter().sum();
    if weights.iter().any(|w| !w.is_finite() || *w < 0.0) || !sum.is_finite() || sum <= 0.0 {
        return Err(Error::model(
            "the weights of a composition are not numbers from zero on with a sum above zero",
        )
        .got(format!("{weights:?}")));
    }
    Ok(sum)
}

fn add_vote(prediction: &[f32], weight: f64, sum: &mut [f64]) {
    let max = prediction.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let ties = prediction.iter().filter(|p| **p == max).count();
    for (s, p) in sum.iter_mut().zip(prediction) {
        if *p == max {
            *s += weight / ties as f64;
        }
    }
}

/// Checks weights that a user gave, one for each member.
pub(super) fn check_given(weights: &[f64], members: Option<usize>) -> Result<()> {
    if weights.iter().any(|w| !w.is_finite() || *w < 0.0) {
        return Err(Error::argument("a weight is not a number from zero on")
            .at("weights")
            .got(format!("{weights:?}")));
    }
    if !weights.is_empty() && weights.iter().all(|w| *w == 0.0) {
        return Err(Error::argument("every weight is zero").at("weights").expected("one above zero"));
    }
    match members {
        Some(n) if !weights.is_empty() && weights.len() != n => {
            Err(Error::argument("there is not one weight for each member")
                .at("weights")
                .expected(format!("{n} weights, in the order of the members"))
                .got(weights.len()))
        }
        _ => Ok(()),
    }
}

/// The weights given, or the same for all.
pub(super) fn given_or_equal(weights: &[f64], members: usize) -> Vec<f64> {
    if weights.is_empty() { vec![1.0; members] } else { weights.to_vec() }
}
