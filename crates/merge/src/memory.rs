//! Merging tensors that lie in memory.

use std::sync::Mutex;

use consilience_core::model::Stop;
use consilience_core::seed::Seed;
use consilience_core::{Error, Result};

use crate::method::MergeMethod;
use crate::work::{Numbers, Sink, Work};

/// A result that is kept in memory.
struct Kept {
    values: Mutex<Vec<f32>>,
}

impl Sink for Kept {
    fn write(&self, from: usize, values: &[f32]) -> Result<()> {
        if let Some(i) = values.iter().position(|v| !v.is_finite()) {
            return Err(Error::model("the merged tensor is not finite")
                .got(format!("{} at position {}", values.get(i).copied().unwrap_or(f32::NAN), from + i))
                .remedy("a member holds numbers that are not finite, or too large to be added"));
        }
        let mut kept = self.values.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match kept.get_mut(from..from + values.len()) {
            Some(place) => place.copy_from_slice(values),
            None => return Err(Error::internal("a merge gave more numbers than the tensor has")),
        }
        Ok(())
    }
}

/// A tensor in the memory of each member.
pub struct Held<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its shape.
    pub shape: &'a [usize],
    /// The members' names.
    pub labels: &'a [&'a str],
    /// Its numbers in each member.
    pub members: &'a [&'a [f32]],
    /// Its numbers in the base.
    pub base: Option<&'a [f32]>,
    /// The seed of the merge.
    pub seed: Seed,
    /// Do as mergekit does where it differs on purpose.
    pub compat: bool,
}

/// Merges one tensor. `notes` takes what the user should know.
///
/// # Errors
/// [`Error::Argument`] if the method cannot merge so many members; [`Error::Model`] for members of different sizes, or a result that is
/// not finite.
pub fn merge_held(method: &dyn MergeMethod, held: &Held<'_>, notes: &Mutex<Vec<String>>) -> Result<Vec<f32>> {
    method.check(held.members.len(), held.base.is_some())?;
    let len = held.shape.iter().product();
    if let Some(odd) = held.members.iter().chain(&held.base).find(|m| m.len() != len) {
        return Err(Error::model("members hold a tensor in different lengths").expected(len).got(odd.len()));
    }
    let kept = Kept { values: Mutex::new(vec![0.0; len]) };
    let work = Work {
        name: held.name,
        shape: held.shape,
        members: held.members.iter().map(|m| m as &dyn Numbers).collect(),
        base: held.base.as_ref().map(|b| b as &dyn Numbers),
        seed: held.seed.child(held.name),
        labels: held.labels.to_vec(),
        compat: held.compat,
        stop: &Stop::default(),
        out: &kept,
        notes,
    };
    method.merge(&work)?;
    Ok(kept.values.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner))
}

/// Merges a tensor of some members, for tests.
#[cfg(test)]
pub fn merged(
    method: &dyn MergeMethod,
    shape: &[usize],
    members: &[&[f32]],
    base: Option<&[f32]>,
) -> Result<Vec<f32>> {
    let names: Vec<String> = (0..members.len()).map(|i| format!("m{i}")).collect();
    let labels: Vec<&str> = names.iter().map(String::as_str).collect();
    let held = Held { name: "w", shape, labels: &labels, members, base, seed: Seed::new(7), compat: false };
    merge_held(method, &held, &Mutex::new(Vec::new()))
}
