//! The contract of a merge: several tensors of one name and shape become one.

use std::borrow::Cow;

use consilience_core::{Error, Result};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::work::Work;

/// What a method does with the model that all members started from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BaseNeed {
    /// It knows none: a base among the models is a member like the others.
    Unknown,
    /// It works on what members added to the base if there is one, else on their weights.
    Optional,
    /// It cannot do without.
    Needed,
}

/// What a method works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Needs {
    /// What it does with the base.
    pub base: BaseNeed,
    /// The fewest members, the base not counted unless it is [`BaseNeed::Unknown`].
    pub least: usize,
    /// The most members; `None` for any number.
    pub most: Option<usize>,
}

/// A way to merge checkpoints, tensor by tensor. Its fields are its parameters for one tensor.
pub trait MergeMethod: Send + Sync {
    /// Which members it works on.
    fn needs(&self) -> Needs;

    /// The parameters that each member has one of, by name.
    fn per_member(&self) -> Vec<(&'static str, &PerMember)> {
        Vec::new()
    }

    /// Whether it works on whole rows ([`Cut::rows`](crate::Cut)), which then must fit into memory.
    fn whole_rows(&self) -> bool {
        false
    }

    /// Merges one tensor: looks at its numbers in as many passes as it takes, then writes each of the result once.
    ///
    /// # Errors
    /// [`Error::Model`] for tensors that it cannot merge; what reading and writing them give.
    fn merge(&self, work: &Work<'_>) -> Result<()>;

    /// Whether it gives its only member as it is, so that the bytes can be copied.
    fn copies(&self) -> bool {
        false
    }

    /// Whether the weights of so many members give a result; `compat` as in [`Work::compat`].
    ///
    /// # Errors
    /// [`Error::Argument`] naming the parameter.
    fn check_weights(&self, _members: usize, _compat: bool) -> Result<()> {
        Ok(())
    }

    /// Whether it can merge so many members, with or without a base; called before any tensor is touched.
    ///
    /// # Errors
    /// [`Error::Argument`] naming the parameter that does not fit.
    fn check(&self, members: usize, base: bool) -> Result<()> {
        let needs = self.needs();
        if needs.base == BaseNeed::Needed && !base {
            return Err(Error::argument("there is no base")
                .expected("the model that all members started from")
                .remedy("name it as the base"));
        }
        if members < needs.least || needs.most.is_some_and(|most| members > most) {
            let count = match (needs.least, needs.most) {
                (least, Some(most)) if least == most => format!("{least}"),
                (least, Some(most)) => format!("{least} to {most}"),
                (least, None) => format!("{least} or more"),
            };
            let beside = if needs.base == BaseNeed::Needed { " beside the base" } else { "" };
            return Err(Error::argument("this way to merge does not take so many members")
                .expected(format!("{count}{beside}"))
                .got(members));
        }
        for (name, value) in self.per_member() {
            if let PerMember::Each(all) = value
                && all.len() != members
            {
                return Err(Error::argument("there is not one number for each member")
                    .at(name)
                    .expected(format!("{members} numbers, or one for all"))
                    .got(all.len()));
            }
        }
        Ok(())
    }
}

/// A parameter that each member has its own of: one number for all, or a list of one each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum PerMember {
    /// The same for all.
    All(f64),
    /// One for each member, in order.
    Each(Vec<f64>),
}

impl PerMember {
    /// The number of member `i`.
    pub fn of(&self, i: usize) -> f64 {
        match self {
            Self::All(value) => *value,
            Self::Each(all) => all.get(i).copied().unwrap_or(f64::NAN),
        }
    }

    /// The numbers of so many members.
    pub fn list(&self, members: usize) -> Vec<f64> {
        (0..members).map(|i| self.of(i)).collect()
    }

    /// All numbers that were given.
    pub fn given(&self) -> &[f64] {
        match self {
            Self::All(value) => std::slice::from_ref(value),
            Self::Each(all) => all,
        }
    }

    /// Checks each number.
    ///
    /// # Errors
    /// [`Error::Argument`] naming the parameter and the number.
    pub fn each(&self, name: &str, expected: &str, holds: impl Fn(f64) -> bool) -> Result<()> {
        match self.given().iter().find(|v| !v.is_finite() || !holds(**v)) {
            None => Ok(()),
            Some(wrong) => {
                Err(Error::argument(format!("{name} is out of range")).at(name).expected(expected).got(wrong))
            }
        }
    }
}

/// The sum of some weights, which is to divide them. A sum that is nothing but rounding is zero.
///
/// # Errors
/// [`Error::Argument`] if it is zero.
pub fn sum_of(weights: &[f64], otherwise: &str) -> Result<f64> {
    let (total, size) = (weights.iter().sum::<f64>(), weights.iter().map(|w| w.abs()).sum::<f64>());
    if total.abs() <= 1e-12 * size {
        return Err(Error::argument("the weights sum to zero")
            .at("weight")
            .expected(format!("a sum other than zero{otherwise}")));
    }
    Ok(total)
}

impl JsonSchema for PerMember {
    fn schema_name() -> Cow<'static, str> {
        "PerMember".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"anyOf": [{"type": "number"}, {"type": "array", "items": {"type": "number"}}]})
    }
}
