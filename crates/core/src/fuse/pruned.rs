//! A composition without the members that it can do without.

use std::collections::BTreeSet;

use serde_json::json;

use super::calibrated;
use super::evidence::{row_weights, voiced_rows};
use crate::array::MIN_PROBABILITY;
use crate::error::{Error, Result};
use crate::model::graph::{Answer, Graph, Value};
use crate::model::{
    Batch, Context, Fused, Fuser, Honest, Inputs, Loaders, Parts, Predictions, Target, Task, Voices,
    cross_fitted,
};

/// The key under which it is loaded.
pub(super) const KIND: &str = "pruned";

/// A way to fuse of which members are taken out: first those of weight zero, then, one after the other, the one without which the
/// cross-fitted loss (log-loss, or squared error) is lowest, as long as it does not rise by more than `slack` above the lowest that
/// was met. Of two that may go alike the dearer goes.
///
/// What is left is fitted again to all honest rows; members that were taken out are neither kept with the model nor computed.
///
/// # Reference
/// Backward elimination: Guyon and Elisseeff, "An introduction to variable and feature selection", JMLR 3, 2003.
pub struct Pruned {
    /// What composes.
    pub fuser: Box<dyn Fuser>,
    /// How far the loss may rise, from 0 on; squared errors in units of the variance of the target.
    pub slack: f64,
}

impl Fuser for Pruned {
    fn check(&self, task: &Task, members: usize) -> Result<()> {
        if !self.slack.is_finite() || self.slack < 0.0 {
            return Err(Error::argument("the slack is not a number from zero on")
                .at("prune")
                .got(self.slack));
        }
        self.fuser.check(task, members)
    }

    fn wants_inputs(&self) -> bool {
        self.fuser.wants_inputs()
    }

    fn fit(
        &self,
        honest: &Honest,
        inputs: Option<Inputs<'_>>,
        context: &Context<'_>,
    ) -> Result<Box<dyn Fused>> {
        self.check(&honest.target().task(), honest.count())?;
        let whole = self.fuser.fit(honest, inputs, &context.child("whole"))?;
        let mut used: Voices = match whole.weights() {
            Some(weights) => weights.iter().map(|w| *w > 0.0).collect(),
            None => vec![true; honest.count()],
        };
        let mut lowest = self.loss(honest, &used, inputs, context)?;
        loop {
            let mut best: Option<(f64, f64, usize)> = None;
            for member in (0..used.len()).filter(|m| used[*m]) {
                context.stop.check()?;
                let mut without = used.clone();
                without[member] = false;
                // Every row must be spoken of by somebody who is left.
                if !speaks(honest, &without) {
                    continue;
                }
                let loss = self.loss(honest, &without, inputs, context)?;
                let cost = honest.costs().map_or(0.0, |c| c[member]);
                if best.is_none_or(|(l, c, _)| loss < l || (loss == l && cost > c)) {
                    best = Some((loss, cost, member));
                }
            }
            match best {
                Some((loss, _, member)) if loss <= lowest + self.slack => {
                    used[member] = false;
                    lowest = lowest.min(loss);
                }
                _ => break,
            }
        }
        let left = part_of(honest, &used)?;
        let inner = self.fuser.fit(&left, inputs, &context.child("left"))?;
        Ok(Box::new(Left { used, inner }))
    }
}

impl Pruned {
    /// The cross-fitted loss of a composition of some members.
    fn loss(
        &self,
        honest: &Honest,
        used: &[bool],
        inputs: Option<Inputs<'_>>,
        context: &Context<'_>,
    ) -> Result<f64> {
        let part = part_of(honest, used)?;
        // The same draws for every set of members: only the members differ.
        let crossed = cross_fitted(self.fuser.as_ref(), &part, inputs, &context.child("crossed"))?;
        loss(honest, &crossed)
    }
}

/// Whether every row that somebody speaks of is spoken of by those that are used.
fn speaks(honest: &Honest, used: &[bool]) -> bool {
    used.contains(&true) && honest.heard().keys().all(|voices| voices.iter().zip(used).any(|(v, u)| *v && *u))
}

/// The members that are used, with what is to be expected of them.
fn part_of(honest: &Honest, used: &[bool]) -> Result<Honest> {
    let expected: Option<BTreeSet<Voices>> = honest.expected().map(|all| {
        let kept = |voices: &Voices| voices.iter().zip(used).filter(|(_, u)| **u).map(|(v, _)| *v).collect();
        all.iter().map(kept).collect()
    });
    let part = honest.clone().only(used);
    match expected {
        Some(expected) => part.expecting(expected),
        None => Ok(part),
    }
}

/// The mean log-loss, or the squared error in units of the target's variance.
fn loss(honest: &Honest, said: &Predictions) -> Result<f64> {
    let rows = voiced_rows(honest)?;
    let weight = row_weights(honest, &rows)?;
    let matrix = said.matrix();
    let sum = |f: &dyn Fn(usize) -> f64| rows.iter().zip(&weight).map(|(r, w)| w * f(*r)).sum::<f64>();
    Ok(match honest.target() {
        Target::Classes { codes, .. } => {
            sum(&|r| -f64::from(matrix[[r, codes[r] as usize]].max(MIN_PROBABILITY)).ln())
        }
        Target::Values(y) => {
            let mean = sum(&|r| f64::from(y[r]));
            let variance = sum(&|r| (f64::from(y[r]) - mean).powi(2)).max(f64::MIN_POSITIVE);
            sum(&|r| (f64::from(y[r]) - f64::from(matrix[[r, 0]])).powi(2)) / variance
        }
    })
}

/// What is left of a composition.
struct Left {
    used: Voices,
    inner: Box<dyn Fused>,
}

/// Loads one.
pub(super) fn load(parts: &Parts, loaders: &Loaders) -> Result<Box<dyn Fused>> {
    let used: Voices = parts.field("used")?;
    if !used.contains(&true) {
        return Err(Error::model("a composition was pruned of every member"));
    }
    Ok(Box::new(Left { used, inner: loaders.fused(&parts.nested("inner")?)? }))
}

/// Of a saved composition that looks at some of its members only: which, and the composition of these alone.
pub fn reduced(parts: &Parts) -> Result<Option<(Voices, Parts)>> {
    if parts.kind == calibrated::KIND {
        let inner = reduced(&parts.nested("fuser")?)?;
        let calibrator = parts.nested("calibrator")?;
        return Ok(inner.map(|(used, inner)| {
            let whole =
                Parts::new(calibrated::KIND, json!({})).nest("fuser", inner).nest("calibrator", calibrator);
            (used, whole)
        }));
    }
    if parts.kind != KIND {
        return Ok(None);
    }
    let used: Voices = parts.field("used")?;
    Ok((!used.iter().all(|u| *u)).then_some((used, parts.nested("inner")?)))
}

impl Left {
    fn pick<T: Clone>(&self, all: &[T]) -> Result<Vec<T>> {
        if all.len() != self.used.len() {
            return Err(Error::model("the composition was fitted to another number of members")
                .expected(format!("{} members", self.used.len()))
                .got(all.len()));
        }
        Ok(all.iter().zip(&self.used).filter(|(_, u)| **u).map(|(m, _)| m.clone()).collect())
    }
}

impl Fused for Left {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn columns(&self) -> Vec<String> {
        self.inner.columns()
    }

    fn fuse(&self, members: &[Predictions], inputs: Option<&Batch>) -> Result<Predictions> {
        self.inner.fuse(&self.pick(members)?, inputs)
    }

    fn graph(&self, graph: &mut Graph, members: &[Answer]) -> Result<Value> {
        self.inner.graph(graph, &self.pick(members)?)
    }

    fn save(&self) -> Result<Parts> {
        Ok(Parts::new(KIND, json!({"used": self.used})).nest("inner", self.inner.save()?))
    }

    fn weights(&self) -> Option<Vec<f64>> {
        let mut own = self.inner.weights()?.into_iter();
        Some(self.used.iter().map(|u| if *u { own.next().unwrap_or(0.0) } else { 0.0 }).collect())
    }

    fn parameters(&self) -> u64 {
        self.inner.parameters()
    }
}
