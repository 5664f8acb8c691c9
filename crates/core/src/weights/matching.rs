//! A checkpoint into the tensors of a network: all of them, or one error that says everything that does not fit.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;

use super::checkpoint::Checkpoint;
use super::layout::Tensor;
use crate::error::{Error, Result, shown};
use crate::model::Array;

/// What training tools put before every name of a network that they wrap.
const WRAPPERS: [&str; 4] = ["module.", "_orig_mod.", "model.", "backbone."];

/// As many names of each kind an error tells.
const TOLD: usize = 5;

/// The tensors that are wanted, by name and shape, out of a checkpoint.
///
/// Names of the checkpoint that fit one of `ignore`, in which `*` stands for any text, are passed over where nobody wants them:
/// `*.num_batches_tracked`, or `fc.*` for a head that is replaced. Where each of the others starts with `module.`, `_orig_mod.`,
/// `model.` or `backbone.`, and no wanted one does, that is taken off, as often as it goes.
///
/// # Errors
/// [`Error::Model`], one for everything that does not fit: names that are missing, names that nobody knows, and tensors of
/// another shape. What [`Checkpoint::read_f32`] gives. Nothing is read unless all fit.
pub fn matching(
    checkpoint: &Checkpoint,
    wanted: &BTreeMap<String, Vec<usize>>,
    ignore: &[&str],
) -> Result<BTreeMap<String, Array>> {
    let strip = wrapper(checkpoint, wanted, ignore);
    let mut found: BTreeMap<&str, &Tensor> = BTreeMap::new();
    let mut unknown = Vec::new();
    for tensor in checkpoint.tensors() {
        // Only ignored names can lack the wrapper.
        let Some(name) = tensor.name().strip_prefix(&strip) else { continue };
        if wanted.contains_key(name) {
            found.insert(name, tensor);
        } else if !is_ignored(name, ignore) && !is_ignored(tensor.name(), ignore) {
            unknown.push(tensor.name());
        }
    }
    let missing: Vec<&str> =
        wanted.keys().map(String::as_str).filter(|name| !found.contains_key(name)).collect();
    let misshapen: Vec<(&str, &[usize], &[usize])> = found
        .iter()
        .filter_map(|(name, tensor)| {
            let shape = wanted.get(*name)?.as_slice();
            (shape != tensor.shape()).then_some((*name, shape, tensor.shape()))
        })
        .collect();
    if let Some(error) = misfit(&missing, &unknown, &misshapen) {
        return Err(error.at(checkpoint.path().display()));
    }
    found
        .into_par_iter()
        .map(|(name, tensor)| {
            let numbers = checkpoint.read_f32(tensor.name())?;
            Ok((name.to_owned(), Array::F32(tensor.shape().to_vec(), numbers)))
        })
        .collect()
}

/// Whether all numbers are finite.
///
/// # Errors
/// [`Error::Model`] naming the first array, by name, that holds an infinite number or one that is none.
pub fn check_finite(arrays: &BTreeMap<String, Array>) -> Result<()> {
    let finite = |array: &Array| match array {
        Array::F32(_, numbers) => numbers.iter().all(|v| v.is_finite()),
        Array::F64(_, numbers) => numbers.iter().all(|v| v.is_finite()),
        Array::U32(..) | Array::U8(..) => true,
    };
    match arrays.iter().find(|(_, array)| !finite(array)) {
        None => Ok(()),
        Some((name, _)) => Err(Error::model(format!(
            "the tensor \"{}\" holds numbers that are not finite",
            shown(name, 100)
        ))
        .remedy(
            "the training that made it has diverged, or the file is damaged; take an earlier checkpoint",
        )),
    }
}

/// What stands before all names of the checkpoint that count, and before none that is wanted.
fn wrapper(checkpoint: &Checkpoint, wanted: &BTreeMap<String, Vec<usize>>, ignore: &[&str]) -> String {
    let names: BTreeSet<&str> =
        checkpoint.tensors().iter().map(Tensor::name).filter(|name| !is_ignored(name, ignore)).collect();
    let mut strip = String::new();
    loop {
        let next = WRAPPERS.iter().find(|wrapper| {
            let longer = format!("{strip}{wrapper}");
            !names.is_empty()
                && names.iter().all(|name| name.starts_with(&longer))
                && !wanted.keys().any(|name| name.starts_with(*wrapper))
        });
        match next {
            Some(wrapper) => strip.push_str(wrapper),
            None => return strip,
        }
    }
}

fn is_ignored(name: &str, ignore: &[&str]) -> bool {
    ignore.iter().any(|pattern| fits(name, pattern))
}

/// Whether a name fits a pattern, in which `*` stands for any text.
fn fits(name: &str, pattern: &str) -> bool {
    let mut pieces = pattern.split('*');
    let Some(mut rest) = name.strip_prefix(pieces.next().unwrap_or_default()) else { return false };
    let Some(last) = pieces.next_back() else { return rest.is_empty() };
    for piece in pieces {
        let Some(at) = rest.find(piece) else { return false };
        rest = rest.get(at + piece.len()..).unwrap_or_default();
    }
    rest.ends_with(last)
}

/// One error for all that does not fit; `None` if everything does.
fn misfit(missing: &[&str], unknown: &[&str], misshapen: &[(&str, &[usize], &[usize])]) -> Option<Error> {
    let mut wrong = Vec::new();
    if let [(name, ..), rest @ ..] = misshapen {
        let more = if rest.is_empty() { String::new() } else { format!(", and so have {} more", rest.len()) };
        wrong.push(format!("the tensor \"{}\" has another shape{more}", shown(name, 60)));
    }
    if !missing.is_empty() {
        wrong.push(format!("{} missing: {}", tensors(missing.len()), list(missing)));
    }
    if !unknown.is_empty() {
        wrong.push(format!("{} unknown: {}", tensors(unknown.len()), list(unknown)));
    }
    if wrong.is_empty() {
        return None;
    }
    let error = Error::model(format!("the checkpoint does not fit: {}", wrong.join("; ")))
        .remedy("check that it is of the same architecture and size");
    Some(match misshapen {
        [(_, expected, got), ..] => error.expected(format!("{expected:?}")).got(format!("{got:?}")),
        [] => error,
    })
}

fn tensors(n: usize) -> String {
    if n == 1 { "1 tensor is".to_owned() } else { format!("{n} tensors are") }
}

fn list(names: &[&str]) -> String {
    let told: Vec<String> = names.iter().take(TOLD).map(|name| shown(name, 40)).collect();
    match names.len().checked_sub(TOLD) {
        None | Some(0) => told.join(", "),
        Some(more) => format!("{} and {more} more", told.join(", ")),
    }
}
