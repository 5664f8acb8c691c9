//! A model to start from.

use consilience_core::model::{Model, Task};
use consilience_core::{Error, Result};

use crate::architecture::Architecture;
use crate::network::KIND;
use crate::params::{Declared, Params};

/// The parameters of `start`, which must be a network for the same task whose tensors are those that are `declared`.
///
/// # Errors
/// [`Error::Model`] for another kind of model, other classes, or naming the tensor that differs.
pub fn params(
    start: &dyn Model,
    architecture: &Architecture,
    task: &Task,
    declared: &[Declared],
) -> Result<Params> {
    let place = "the model to start from";
    let parts = start.save()?;
    if parts.kind != KIND {
        return Err(Error::model("a network can only start from a network").at(place).got(parts.kind));
    }
    if start.task() != task {
        return Err(Error::model("it predicts something else")
            .at(place)
            .expected(format!("{task:?}"))
            .got(format!("{:?}", start.task())));
    }
    let params = Params::from_parts(declared, &parts)
        .map_err(|e| e.at(place).remedy("give both models the same encoders, fusion and columns"))?;
    let theirs: Architecture = parts.field("architecture")?;
    if let Some(extra) = theirs.declare(task).iter().find(|t| !declared.iter().any(|d| d.name == t.name)) {
        return Err(Error::model("it has a tensor that has no place here")
            .at(format!("{place}: tensor {}", extra.name))
            .remedy("give both models the same encoders, fusion and columns"));
    }
    if theirs != *architecture {
        return Err(Error::model("it has tensors of the same shapes in another architecture").at(place));
    }
    Ok(params)
}
