//! What every feature step promises, tried on each entry of the registry.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};

use super::{LOADERS, REGISTRY};
use crate::error::{Error, Result};
use crate::model::{
    Audios, Column, Context, Field, FittedFeature, Images, Kind, Loaders, Mask, Quiet, Sequences, Stop,
    Vectors,
};
use crate::seed::Seed;

/// Fits a step by name, in a data folder.
pub(super) fn fit_in(
    name: &str,
    parameters: Value,
    field: &Field,
    column: &Column,
    root: &Path,
) -> Result<Box<dyn FittedFeature>> {
    let stop = Stop::default();
    let context = Context { root: Some(root), ..Context::new(Seed::new(1), &Quiet, &stop) };
    REGISTRY.build(name, &parameters)?.fit(field, column, &context)
}

/// Fits a step by name.
pub(super) fn fit(
    name: &str,
    parameters: Value,
    field: &Field,
    column: &Column,
) -> Result<Box<dyn FittedFeature>> {
    fit_in(name, parameters, field, column, Path::new("."))
}

/// Fits and applies steps one after the other.
pub(super) fn chain(steps: &[(&str, Value)], field: &Field, column: &Column) -> (Field, Column) {
    let (mut field, mut column) = (field.clone(), column.clone());
    for (name, parameters) in steps {
        let step = fit(name, parameters.clone(), &field, &column).unwrap();
        column = step.apply(&column).unwrap();
        field = step.output().clone();
    }
    (field, column)
}

/// Expected values by name.
pub(super) fn golden(key: &str) -> Value {
    let text = include_str!("../../../../testdata/golden/features.json");
    serde_json::from_str::<Value>(text).unwrap()[key].clone()
}

/// The shared data; says that it skips where they are not, and fails where they must be.
pub(super) fn shared() -> Option<PathBuf> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared");
    let path = PathBuf::from(std::env::var("CSL_SHARED").unwrap_or_else(|_| default.to_owned())).join("data");
    if path.is_dir() {
        return Some(path);
    }
    assert!(std::env::var("CSL_REQUIRE_SHARED").as_deref() != Ok("1"), "{} is not there", path.display());
    println!("skipped: {} is not there", path.display());
    None
}

/// Numbers, none missing.
pub(super) fn number(values: &[f64]) -> Column {
    Column::Number { values: values.to_vec(), missing: Mask::none(values.len()) }
}

/// Texts, none absent.
pub(super) fn text(values: &[String]) -> Column {
    Column::Text { values: values.to_vec(), absent: Mask::none(values.len()) }
}

/// Levels, their names in the order in which they come.
pub(super) fn category(rows: &[Option<&str>]) -> Column {
    let mut levels: Vec<String> = Vec::new();
    let codes = rows
        .iter()
        .map(|row| {
            let Some(level) = row else { return 0 };
            levels.iter().position(|l| l == level).unwrap_or_else(|| {
                levels.push((*level).to_owned());
                levels.len() - 1
            }) as u32
        })
        .collect();
    let missing = rows.iter().map(Option::is_none).collect();
    Column::Category { levels: Arc::new(levels), codes, missing }
}

/// Sequences of a width; a row without steps given is absent.
pub(super) fn steps_of(width: usize, rows: &[Option<&[f32]>]) -> Column {
    let mut sequences = Sequences::new(width);
    for row in rows {
        match row {
            Some(steps) => sequences.push(steps).unwrap(),
            None => sequences.push_absent(),
        }
    }
    Column::Sequence(sequences)
}

/// Six rows of a kind; the row `gone` is unavailable.
pub(super) fn sample(kind: Kind, gone: Option<usize>) -> (Field, Column) {
    let mask: Mask = (0..6).map(|r| Some(r) == gone).collect();
    let field = Field::new("column", kind);
    match kind {
        Kind::Number => {
            (field, Column::Number { values: vec![3.0, -1.0, 4.0, 1.0, -5.0, 9.0], missing: mask })
        }
        Kind::Category => {
            let levels = Arc::new(["x", "b", "a"].map(str::to_owned).to_vec());
            (field, Column::Category { levels, codes: vec![0, 1, 2, 0, 1, 1], missing: mask })
        }
        Kind::Text => {
            let values =
                ["one two", "two three", "three four!", "one", "seven one", "two two"].map(str::to_owned);
            (field, Column::Text { values: values.to_vec(), absent: mask })
        }
        Kind::Image => {
            let mut images = Images::default();
            for r in 0..6u8 {
                match mask.is_set(usize::from(r)) {
                    true => images.push_absent(),
                    false => images.push([2, 3, 1], &[r, 10, 20 * r, 255, 7, 100]).unwrap(),
                }
            }
            (Field { shape: vec![2, 3, 1], ..field }, Column::Image(images))
        }
        Kind::Audio => {
            let mut sounds = Audios::default();
            for r in 0..6usize {
                let wave: Vec<f32> =
                    (0..400 + 100 * r).map(|i| ((i * (r + 1)) as f32 * 0.1).sin() * 0.5).collect();
                match mask.is_set(r) {
                    true => sounds.push_absent(),
                    false => sounds.push(8000, &wave),
                }
            }
            (field, Column::Audio(sounds))
        }
        Kind::Vector => {
            let data: Vec<f32> = (0..36).map(|i| ((i * 7) % 11) as f32 - 4.0).collect();
            let mut v = Vectors::new(vec![2, 3], data).unwrap();
            v.absent = mask;
            (Field::vector("column", vec![2, 3]), Column::Vector(v))
        }
        Kind::Sequence => {
            let mut sequences = Sequences::new(2);
            for r in 0..6u8 {
                match mask.is_set(usize::from(r)) {
                    true => sequences.push_absent(),
                    false => sequences.push(&[f32::from(r), 1.0, 2.0, f32::from(r) * 0.5]).unwrap(),
                }
            }
            (Field { shape: vec![2], ..field }, Column::Sequence(sequences))
        }
    }
}

/// Every entry with every kind that it accepts, and parameters that make it work.
fn cases(root: &Path) -> Vec<(&'static str, Kind, Value)> {
    let mut cases = Vec::new();
    for entry in REGISTRY.entries {
        for kind in KINDS {
            let parameters = match (entry.name, kind) {
                ("project", Kind::Vector) => json!({"mean": "m.npy", "basis": "b.npy", "round": false}),
                ("project", _) => json!({"mean": "m.npy", "basis": "b.npy"}),
                _ => json!({}),
            };
            let (field, _) = sample(kind, None);
            match (entry.build)(&parameters).unwrap().output(&field) {
                Ok(_) => cases.push((entry.name, kind, parameters)),
                Err(e) => assert!(matches!(e, Error::Argument(_)), "{} {kind:?}: {e}", entry.name),
            }
        }
        assert!(cases.iter().any(|(n, ..)| *n == entry.name), "{} reads nothing", entry.name);
    }
    // mean 1..6, two orthonormal directions
    let floats = |v: &[f64]| v.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
    let npy = super::project_arrays::tests::npy;
    let mean = npy("<f8", "False", "(6,)", &floats(&[1., 2., 3., 4., 5., 6.]));
    let basis = npy("<f8", "False", "(6, 2)", &floats(&[1., 0., 0., 0.6, 0., 0.8, 0., 0., 0., 0., 0., 0.]));
    std::fs::write(root.join("m.npy"), mean).unwrap();
    std::fs::write(root.join("b.npy"), basis).unwrap();
    cases
}

const KINDS: [Kind; 7] =
    [Kind::Number, Kind::Category, Kind::Text, Kind::Image, Kind::Audio, Kind::Vector, Kind::Sequence];

fn loaders() -> Loaders {
    Loaders { features: LOADERS.iter().copied().collect(), ..Loaders::default() }
}

#[test]
fn every_entry_has_a_loader_and_a_schema() {
    let names: Vec<&str> = REGISTRY.entries.iter().map(|e| e.name).collect();
    let kinds: Vec<&str> = LOADERS.iter().map(|(k, _)| *k).collect();
    assert_eq!(names, kinds);
    for entry in REGISTRY.entries {
        let schema = (entry.schema)();
        assert_eq!(schema["additionalProperties"], json!(false), "{}", entry.name);
        for (key, property) in schema["properties"].as_object().into_iter().flatten() {
            assert!(property["description"].is_string(), "{}.{key} has no doc", entry.name);
        }
        assert!((entry.build)(&json!({"no_such_parameter": 1})).is_err(), "{}", entry.name);
    }
}

#[test]
fn rows_come_out_finite_shaped_the_same_each_time_and_after_loading() {
    let dir = tempfile::tempdir().unwrap();
    for (name, kind, parameters) in cases(dir.path()) {
        let (field, column) = sample(kind, None);
        let go = || fit_in(name, parameters.clone(), &field, &column, dir.path()).unwrap();
        let step = go();
        let out = step.apply(&column).unwrap();
        assert_eq!(out.len(), 6);
        assert_eq!(out.kind(), step.output().kind);
        assert_eq!(step.output().name, "column");
        if let Column::Vector(v) = &out {
            assert_eq!(v.shape, step.output().shape);
            assert!(v.data.iter().all(|x| x.is_finite()), "{name} {kind:?}");
            assert!(step.names().is_empty() || step.names().len() == v.width(), "{name} {kind:?}");
        }
        assert_eq!(go().apply(&column).unwrap(), out, "{name} {kind:?}");
        let parts = step.save().unwrap();
        assert_eq!(go().save().unwrap(), parts, "{name} {kind:?}");
        assert_eq!(parts.kind, name);
        let loaded = loaders().feature(&parts).unwrap();
        assert_eq!(loaded.apply(&column).unwrap(), out, "{name} {kind:?}");
        assert_eq!(loaded.save().unwrap(), parts);
        assert_eq!((loaded.names(), loaded.output()), (step.names(), step.output()));
        // One row by itself gives what it gives among others.
        let alone = column.take(&[4]).unwrap();
        assert_eq!(step.apply(&alone).unwrap(), out.take(&[4]).unwrap(), "{name} {kind:?}");
        assert_eq!(step.apply(&column.take(&[]).unwrap()).unwrap().len(), 0);
    }
}

/// Steps that give a row without a value one all the same, because that is what they are for.
const FILL: [&str; 3] = ["impute", "one_hot", "ordinal"];

#[test]
fn unavailable_rows_stay_so_and_never_enter_a_statistic() {
    let dir = tempfile::tempdir().unwrap();
    for (name, kind, parameters) in cases(dir.path()) {
        let (field, column) = sample(kind, Some(2));
        if kind == Kind::Number && name != "impute" {
            assert!(fit(name, parameters, &field, &column).err().unwrap().to_string().contains("impute"));
            continue;
        }
        let go = |column: &Column| fit_in(name, parameters.clone(), &field, column, dir.path()).unwrap();
        let out = go(&column).apply(&column).unwrap();
        assert_eq!(out.unavailable().is_set(2), !FILL.contains(&name), "{name} {kind:?}");
        assert_eq!(out.unavailable().count(), usize::from(!FILL.contains(&name)));
        // Whatever lies in the buffer of an unavailable row.
        let mut hostile = column.clone();
        match &mut hostile {
            Column::Number { values, .. } => values[2] = f64::NAN,
            Column::Category { codes, .. } => codes[2] = u32::MAX,
            Column::Text { values, .. } => "zebra zoo".clone_into(&mut values[2]),
            Column::Vector(v) => v.data[12..18].fill(f32::INFINITY),
            // An absent row of the others has no buffer.
            _ => {}
        }
        let step = go(&hostile);
        assert_eq!(step.save().unwrap(), go(&column).save().unwrap(), "{name} {kind:?}");
        let again = step.apply(&hostile).unwrap();
        let present: Vec<usize> = (0..6).filter(|r| *r != 2).collect();
        assert_eq!(again.take(&present).unwrap(), out.take(&present).unwrap(), "{name} {kind:?}");
        if FILL.contains(&name) {
            assert_eq!(again, out, "{name} {kind:?}");
        }
    }
}

#[test]
fn impossible_rows_are_typed_errors() {
    let dir = tempfile::tempdir().unwrap();
    for (name, kind, parameters) in cases(dir.path()) {
        let (field, column) = sample(kind, None);
        let attempt = |column: &Column| fit_in(name, parameters.clone(), &field, column, dir.path());
        let step = attempt(&column).unwrap();
        let data = |e: Option<Error>, what: &str| {
            assert!(matches!(e, Some(Error::Data(_))), "{name} {kind:?} {what}")
        };
        data(attempt(&column.take(&[]).unwrap()).err(), "empty");
        for other in KINDS.into_iter().filter(|k| *k != kind) {
            data(attempt(&sample(other, None).1).err(), "fitted to another kind");
            data(step.apply(&sample(other, None).1).err(), "applied to another kind");
        }
        let bad = match column.clone() {
            Column::Number { mut values, missing } => {
                values[1] = f64::NAN;
                Some(Column::Number { values, missing })
            }
            Column::Vector(mut v) => {
                v.data[1] = f32::NAN;
                Some(Column::Vector(v))
            }
            Column::Audio(mut a) => {
                a.get_mut(1).unwrap().1[0] = f32::NAN;
                Some(Column::Audio(a))
            }
            Column::Sequence(_) => Some(steps_of(2, &[Some(&[1.0, 2.0]), Some(&[1.0, f32::NAN])])),
            Column::Category { levels, mut codes, missing } => {
                codes[1] = 99;
                Some(Column::Category { levels, codes, missing })
            }
            _ => None,
        };
        if let Some(bad) = bad {
            data(attempt(&bad).err(), "fitted to NaN");
            data(step.apply(&bad).err(), "applied to NaN");
        }
        let other_shape = match kind {
            Kind::Sequence => Some(steps_of(3, &[Some(&[1.0, 2.0, 3.0])])),
            Kind::Vector => Some(Column::Vector(Vectors::new(vec![6], vec![0.0; 6]).unwrap())),
            Kind::Image => {
                let mut images = Images::default();
                images.push([3, 2, 1], &[0; 6]).unwrap();
                Some(Column::Image(images))
            }
            _ => None,
        };
        if let Some(other) = other_shape {
            data(step.apply(&other).err(), "another shape");
        }
    }
}

#[test]
fn damaged_parts_are_refused_or_harmless() {
    let dir = tempfile::tempdir().unwrap();
    for (name, kind, parameters) in cases(dir.path()) {
        let (field, column) = sample(kind, None);
        let parts = fit_in(name, parameters, &field, &column, dir.path()).unwrap().save().unwrap();
        for array in parts.arrays.keys() {
            let mut less = parts.clone();
            less.arrays.remove(array);
            assert!(
                matches!(loaders().feature(&less).err(), Some(Error::Model(_))),
                "{name} without {array}"
            );
            let mut short = parts.clone();
            short.arrays.insert(array.clone(), crate::model::Array::F64(vec![9], vec![0.0; 9]));
            assert!(loaders().feature(&short).is_err(), "{name} with another {array}");
        }
        for key in parts.config.as_object().unwrap().keys() {
            let mut less = parts.clone();
            less.config.as_object_mut().unwrap().remove(key);
            assert!(matches!(loaders().feature(&less).err(), Some(Error::Model(_))), "{name} without {key}");
        }
    }
}
