//! Merging models as data: everything but the numbers of the network must be the same.

use std::collections::BTreeMap;
use std::sync::Mutex;

use consilience_core::model::{Array, Parts};
use consilience_core::seed::Seed;
use consilience_core::{Error, Result};

use crate::memory::{Held, merge_held};
use crate::method::MergeMethod;

/// Arrays whose names begin so belong to fitted preprocessing: they must be equal in all members and are kept.
pub const PREPARATION: &str = "inputs/";

/// How models are merged.
pub struct PartsMerge<'a> {
    /// The method with its parameters.
    pub method: &'a dyn MergeMethod,
    /// The model that all members started from, with its name, where the method asks for it.
    pub base: Option<(&'a str, &'a Parts)>,
    /// What methods draw from.
    pub seed: Seed,
}

/// Merges models of one kind, configuration and shape. 32-bit floats are merged by the method; arrays of other types and
/// those of the preprocessing (see [`PREPARATION`]) must be equal, and so must files. Models inside a model are merged one by one.
///
/// Gives the model, and what the user should know.
///
/// # Errors
/// [`Error::Argument`] if the method cannot merge so many members; [`Error::Model`] naming the member and the tensor
/// that differs, or the tensor whose merge is not finite.
pub fn merge_parts(recipe: &PartsMerge<'_>, members: &[(&str, &Parts)]) -> Result<(Parts, Vec<String>)> {
    recipe.method.check(members.len(), recipe.base.is_some())?;
    let notes = Mutex::new(Vec::new());
    let parts = merge_level(recipe, members, &notes)?;
    Ok((parts, notes.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)))
}

fn merge_level(
    recipe: &PartsMerge<'_>,
    members: &[(&str, &Parts)],
    notes: &Mutex<Vec<String>>,
) -> Result<Parts> {
    let Some(((first_name, first), others)) = members.split_first() else {
        return Err(Error::model("a merge needs at least one member"));
    };
    for (name, parts) in others.iter().chain(&recipe.base) {
        same_outside(first_name, first, parts).map_err(|e| e.at(format!("member \"{name}\"")))?;
    }
    let mut arrays = BTreeMap::new();
    for (tensor, array) in &first.arrays {
        let merged = merge_tensor(recipe, tensor, array, members, notes)
            .map_err(|e| e.at(format!("tensor \"{tensor}\"")))?;
        arrays.insert(tensor.clone(), merged);
    }
    let mut inner = BTreeMap::new();
    for name in first.members.keys() {
        let level: Vec<(&str, &Parts)> =
            members.iter().filter_map(|(m, p)| p.members.get(name).map(|p| (*m, p))).collect();
        let base = recipe.base.and_then(|(b, p)| p.members.get(name).map(|p| (b, p)));
        let recipe = PartsMerge { method: recipe.method, base, seed: recipe.seed.child(name) };
        let merged =
            merge_level(&recipe, &level, notes).map_err(|e| e.at(format!("model \"{name}\" inside")))?;
        inner.insert(name.clone(), merged);
    }
    Ok(Parts {
        kind: first.kind.clone(),
        config: first.config.clone(),
        arrays,
        members: inner,
        files: first.files.clone(),
    })
}

/// Kind, configuration, names of tensors and of inner models.
fn same_outside(first_name: &str, first: &Parts, other: &Parts) -> Result<()> {
    if other.kind != first.kind {
        return Err(Error::model("members are of different kinds")
            .expected(format!("\"{}\" as in \"{first_name}\"", first.kind))
            .got(format!("\"{}\"", other.kind)));
    }
    if other.config != first.config {
        let (path, a, b) = first_difference(&first.config, &other.config, String::new());
        return Err(Error::model(format!("members have different configurations at {path}"))
            .expected(format!("{a} as in \"{first_name}\""))
            .got(b)
            .remedy(
                "only models of one architecture, fitted to the same inputs and classes, can be merged",
            ));
    }
    if first.files != other.files {
        return Err(Error::model(
            "members hold files of other programs that differ, and these cannot be merged",
        )
        .expected(format!("the files of \"{first_name}\""))
        .remedy("fuse such members instead"));
    }
    if let Some(name) = first.arrays.keys().find(|n| !other.arrays.contains_key(*n)) {
        return Err(Error::model(format!("the tensor \"{name}\" of \"{first_name}\" is missing")));
    }
    if let Some(name) = other.arrays.keys().find(|n| !first.arrays.contains_key(*n)) {
        return Err(Error::model(format!("the tensor \"{name}\" is not in \"{first_name}\"")));
    }
    if !other.members.keys().eq(first.members.keys()) {
        return Err(Error::model("the models inside have different names")
            .expected(format!("{:?} as in \"{first_name}\"", first.members.keys().collect::<Vec<_>>()))
            .got(format!("{:?}", other.members.keys().collect::<Vec<_>>())));
    }
    Ok(())
}

fn merge_tensor(
    recipe: &PartsMerge<'_>,
    tensor: &str,
    first: &Array,
    members: &[(&str, &Parts)],
    notes: &Mutex<Vec<String>>,
) -> Result<Array> {
    let kept = tensor.starts_with(PREPARATION) || !matches!(first, Array::F32(..));
    let first_name = members.first().map_or("", |(n, _)| n);
    let mut values: Vec<&[f32]> = Vec::with_capacity(members.len() + 1);
    for (name, parts) in members.iter().chain(&recipe.base) {
        let place = || format!("member \"{name}\"");
        let Some(array) = parts.arrays.get(tensor) else {
            return Err(Error::model("the tensor is missing").at(place()));
        };
        if array.shape() != first.shape() || type_of(array) != type_of(first) {
            return Err(Error::model("members hold a tensor in different shapes")
                .at(place())
                .expected(format!("{} {:?} as in \"{first_name}\"", type_of(first), first.shape()))
                .got(format!("{} {:?}", type_of(array), array.shape())));
        }
        if kept && !same_bits(first, array) {
            return Err(Error::model("members differ where only equal ones can be merged")
                .at(place())
                .expected(format!("the same numbers as in \"{first_name}\""))
                .remedy("fit all members with the same preprocessing, on the same rows"));
        }
        if let Array::F32(_, data) = array {
            values.push(data);
        }
    }
    if kept {
        return Ok(first.clone());
    }
    let labels: Vec<&str> = members.iter().map(|(n, _)| *n).collect();
    let (held, base) = values.split_at(members.len().min(values.len()));
    let held = Held {
        name: tensor,
        shape: first.shape(),
        labels: &labels,
        members: held,
        base: base.first().copied(),
        seed: recipe.seed,
        compat: false,
    };
    Ok(Array::F32(first.shape().to_vec(), merge_held(recipe.method, &held, notes)?))
}

fn type_of(array: &Array) -> &'static str {
    match array {
        Array::F32(..) => "f32",
        Array::F64(..) => "f64",
        Array::U32(..) => "u32",
        Array::U8(..) => "u8",
    }
}

fn same_bits(a: &Array, b: &Array) -> bool {
    match (a, b) {
        (Array::F32(_, a), Array::F32(_, b)) => {
            a.iter().map(|v| v.to_bits()).eq(b.iter().map(|v| v.to_bits()))
        }
        (Array::F64(_, a), Array::F64(_, b)) => {
            a.iter().map(|v| v.to_bits()).eq(b.iter().map(|v| v.to_bits()))
        }
        (Array::U32(_, a), Array::U32(_, b)) => a == b,
        (Array::U8(_, a), Array::U8(_, b)) => a == b,
        _ => false,
    }
}

/// Where two configurations part, with what stands there.
fn first_difference(a: &serde_json::Value, b: &serde_json::Value, path: String) -> (String, String, String) {
    use serde_json::Value;
    let shown = |v: Option<&Value>| v.map_or_else(|| "nothing".to_owned(), Value::to_string);
    if let (Value::Object(x), Value::Object(y)) = (a, b) {
        for key in x.keys().chain(y.keys()) {
            let (p, q) = (x.get(key), y.get(key));
            if p == q {
                continue;
            }
            let inner = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            return match (p, q) {
                (Some(p), Some(q)) => first_difference(p, q, inner),
                _ => (inner, shown(p), shown(q)),
            };
        }
    }
    (path, a.to_string(), b.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Linear, PerMember};
    use serde_json::json;

    fn network(shift: f32) -> Parts {
        Parts::new("network", json!({"layers": {"hidden": 3, "act": "relu"}}))
            .with("fc.weight", Array::F32(vec![2, 2], vec![1.0 + shift, 2.0, 3.0, 4.0 - shift]))
            .with_f32("inputs/age/mean", &[40.5])
            .with_u32("steps", &[7])
    }

    fn merged(method: &Linear, members: &[(&str, Parts)]) -> Result<Parts> {
        let members: Vec<(&str, &Parts)> = members.iter().map(|(n, p)| (*n, p)).collect();
        let recipe = PartsMerge { method, base: None, seed: Seed::new(0) };
        Ok(merge_parts(&recipe, &members)?.0)
    }

    #[test]
    fn equal_members_give_the_member_also_inside() {
        let mut outer = network(0.1);
        outer.members.insert("part".into(), network(0.7));
        let three = [("a", outer.clone()), ("b", outer.clone()), ("c", outer.clone())];
        assert_eq!(merged(&Linear::default(), &three).unwrap(), outer);
        assert_eq!(merged(&Linear::default(), &three[..1]).unwrap(), outer);
    }

    #[test]
    fn weight_zero_is_absence_and_halves_meet_in_the_middle() {
        let (a, b) = (network(0.0), network(2.0));
        let zero = Linear { weight: PerMember::Each(vec![0.0, 5.0]), normalize: true };
        assert_eq!(merged(&zero, &[("a", a.clone()), ("b", b.clone())]).unwrap(), b);
        assert_eq!(merged(&Linear::default(), &[("a", a), ("b", b)]).unwrap(), network(1.0));
    }

    #[test]
    fn whatever_differs_is_named_with_its_member() {
        let good = network(0.0);
        let mut kind = good.clone();
        kind.kind = "tabular".into();
        let mut config = good.clone();
        config.config = json!({"layers": {"hidden": 4, "act": "relu"}});
        let mut file = good.clone();
        file.files.insert("model.onnx".into(), [1u8].into());
        let error = merged(&Linear::default(), &[("a", good.clone()), ("b", file)]).unwrap_err();
        assert!(error.to_string().contains("files of other programs"), "{error}");
        let mut missing = good.clone();
        missing.arrays.remove("fc.weight");
        let extra = good.clone().with_f32("fc.bias", &[0.0]);
        let shape = good.clone().with("fc.weight", Array::F32(vec![4], vec![0.0; 4]));
        let dtype = good.clone().with("fc.weight", Array::F64(vec![2, 2], vec![0.0; 4]));
        let prepared = good.clone().with_f32("inputs/age/mean", &[41.0]);
        let counted = good.clone().with_u32("steps", &[8]);
        let mut inside = good.clone();
        inside.members.insert("part".into(), network(0.0));
        let infinite =
            good.clone().with("fc.weight", Array::F32(vec![2, 2], vec![0.0, 0.0, f32::INFINITY, 0.0]));
        for (other, words) in [
            (kind, "tabular"),
            (config, "layers.hidden"),
            (missing, "fc.weight"),
            (extra, "fc.bias"),
            (shape, "fc.weight"),
            (dtype, "f64"),
            (prepared, "inputs/age/mean"),
            (counted, "steps"),
            (inside, "part"),
        ] {
            let error = merged(&Linear::default(), &[("a", good.clone()), ("odd", other)]).unwrap_err();
            assert_eq!(error.exit_code(), 3);
            assert!(error.to_string().contains(words), "{words}: {error}");
            assert!(error.to_string().contains("\"odd\""), "{words}: {error}");
        }
        let error = merged(&Linear::default(), &[("a", good), ("odd", infinite)]).unwrap_err();
        assert!(
            error.to_string().contains("fc.weight") && error.to_string().contains("position 2"),
            "{error}"
        );
        assert!(merged(&Linear::default(), &[]).is_err());
        let two = Linear { weight: PerMember::Each(vec![1.0, 1.0]), normalize: true };
        assert_eq!(merged(&two, &[("a", network(0.0))]).unwrap_err().exit_code(), 2);
    }
}
