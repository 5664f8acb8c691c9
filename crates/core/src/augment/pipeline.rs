//! Transforms in a row, for each column, from a recipe.

use rayon::prelude::*;
use serde_json::{Map, Value, json};

use super::REGISTRY;
use super::mixup::Mixup;
use super::transform::{Draw, Sample, Transform, within};
use crate::error::{Error, Result};
use crate::model::{Audios, Batch, Column, Images, Kind, Schema};
use crate::registry::{Method, decode, nearest};
use crate::seed::Seed;

/// One place in a pipeline.
pub struct Step {
    /// The transform's name.
    pub name: &'static str,
    /// Its parameters, every default written out.
    pub parameters: Value,
    /// What it does.
    pub transform: Box<dyn Transform>,
    /// How often it is done at all.
    pub p: f64,
}

impl std::fmt::Debug for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Step").field("name", &self.name).field("p", &self.p).finish_non_exhaustive()
    }
}

impl Step {
    /// Builds a step from one entry of a recipe's list: `{rotate: {degrees: 10}}`, with `p` beside the name if it is not
    /// always to be done: `{noise: {deviation: 8}, p: 0.5}`.
    ///
    /// # Errors
    /// [`Error::Argument`] for an unknown name or parameter.
    pub fn from_value(value: &Value) -> Result<Self> {
        let expected = || {
            Error::argument("an entry names one transform")
                .expected("{name: {parameters}}, with p beside it or not")
                .got(value)
        };
        let map = value.as_object().ok_or_else(expected)?;
        let mut p = 1.0;
        let mut method = None;
        for (key, value) in map {
            if key == "p" {
                p = value.as_f64().ok_or_else(|| Error::argument("p is a number").at("p").got(value))?;
                within("p", p, 0.0, 1.0)?;
            } else if method.replace((key, value)).is_some() {
                return Err(expected());
            }
        }
        let (name, parameters) = method.ok_or_else(expected)?;
        let entry = REGISTRY.get(name)?;
        let parameters = (entry.resolve)(parameters)?;
        Ok(Self { name: entry.name, transform: (entry.build)(&parameters)?, parameters, p })
    }

    /// Draws with the step's own seed and changes the sample. Says what was drawn, `None` if it was not its turn.
    ///
    /// # Errors
    /// As [`Transform::apply`].
    pub fn run(&self, sample: &mut Sample<'_>, seed: Seed) -> Result<Option<Draw>> {
        use rand::RngExt;
        let mut rng = seed.rng();
        let turn = rng.random::<f64>() < self.p;
        if !turn {
            return Ok(None);
        }
        let draw = self.transform.draw(sample, &mut rng);
        self.transform.apply(&draw, sample)?;
        Ok(Some(draw))
    }
}

/// What is done to training rows, column by column. Never applied to any others.
///
/// What is drawn for a row depends on the seed, the epoch, the row's id, the column and the position in its list, and on
/// nothing else: not on the batch, its order, or the number of threads.
#[derive(Debug, Default)]
pub struct Augmenter {
    /// The steps of each column, columns by name.
    pub columns: Vec<(String, Vec<Step>)>,
    /// Whether rows are mixed with partners, by the trainer.
    pub mixup: Option<Mixup>,
}

impl Augmenter {
    /// Builds it from a recipe's `augment:` map: `{image: [{random_crop: {padding: 2}}], mixup: {alpha: 0.2}}`. Nothing
    /// (`null`) is an augmenter that does nothing.
    ///
    /// # Errors
    /// [`Error::Argument`] naming the column and the position.
    pub fn from_value(value: &Value) -> Result<Self> {
        if value.is_null() {
            return Ok(Self::default());
        }
        let map = value.as_object().ok_or_else(|| {
            Error::argument("augment maps columns to lists of transforms").at("augment").got(value)
        })?;
        let mut out = Self::default();
        for (column, list) in map {
            if column == Mixup::NAME && !list.is_array() {
                out.mixup = Some(decode::<Mixup>(list).map_err(|e| e.at("augment"))?);
                continue;
            }
            let list = list.as_array().ok_or_else(|| {
                Error::argument("a column has a list of transforms")
                    .at(format!("augment.{column}"))
                    .expected("[{name: {parameters}}, ...]")
                    .got(list)
            })?;
            let steps: Result<Vec<Step>> = list
                .iter()
                .enumerate()
                .map(|(i, v)| Step::from_value(v).map_err(|e| e.at(format!("augment.{column}[{i}]"))))
                .collect();
            out.columns.push((column.clone(), steps?));
        }
        out.columns.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(out)
    }

    /// The same as a value with every default written out: what a hash is made of. [`Augmenter::from_value`] reads it.
    pub fn resolved(&self) -> Value {
        let mut map = Map::new();
        for (column, steps) in &self.columns {
            let list = steps.iter().map(|s| json!({s.name: s.parameters, "p": s.p})).collect();
            map.insert(column.clone(), Value::Array(list));
        }
        if let Some(mixup) = &self.mixup {
            map.insert(Mixup::NAME.to_owned(), json!({"alpha": mixup.alpha}));
        }
        Value::Object(map)
    }

    /// Whether it does nothing.
    pub fn is_empty(&self) -> bool {
        self.mixup.is_none() && self.columns.iter().all(|(_, steps)| steps.is_empty())
    }

    /// Says before any work whether the columns exist and every transform can change its column.
    ///
    /// # Errors
    /// [`Error::Argument`] naming the column, the position and the transforms that could be meant.
    pub fn check(&self, schema: &Schema) -> Result<()> {
        for (column, steps) in &self.columns {
            let known = schema.names();
            let Some(field) = schema.fields.iter().find(|f| f.name == *column) else {
                let error = Error::argument(format!("there is no column \"{column}\""))
                    .at("augment")
                    .expected(format!("one of {}", known.join(", ")));
                return Err(match nearest(column, known) {
                    Some(near) => error.remedy(format!("did you mean \"{near}\"?")),
                    None => error,
                });
            };
            accepts(column, steps, field.kind)?;
        }
        Ok(())
    }

    /// Changes the rows of a batch. A column that the batch leaves out, and rows without a payload, stay as they are.
    ///
    /// # Errors
    /// As [`Augmenter::check`], for what the batch holds.
    pub fn apply(&self, batch: &mut Batch, seed: Seed, epoch: u32) -> Result<()> {
        for (name, steps) in &self.columns {
            if let Some(column) = batch.get(name) {
                accepts(name, steps, column.kind())?;
            }
        }
        for (name, steps) in &self.columns {
            let Some(column) = batch.get(name).filter(|_| !steps.is_empty()) else { continue };
            let key = seed.child("augment").item(u64::from(epoch)).child(name);
            let changed =
                change(column, batch.ids(), steps, key).map_err(|e| e.at(format!("augment.{name}")))?;
            batch.set(name.as_str(), changed)?;
        }
        Ok(())
    }

    /// The key of a row's partner in an epoch, for [`Mixup::mixup_partner`].
    pub fn mixup_key(seed: Seed, epoch: u32, id: u64) -> Seed {
        seed.child("mixup").item(u64::from(epoch)).item(id)
    }
}

fn accepts(column: &str, steps: &[Step], kind: Kind) -> Result<()> {
    let Some((i, step)) = steps.iter().enumerate().find(|(_, s)| !s.transform.accepts(kind)) else {
        return Ok(());
    };
    let fitting: Vec<&str> = REGISTRY
        .entries
        .iter()
        .filter(|e| (e.build)(&Value::Null).is_ok_and(|t| t.accepts(kind)))
        .map(|e| e.name)
        .collect();
    let error = Error::argument(format!("\"{}\" cannot change a column of kind {}", step.name, kind.name()))
        .at(format!("augment.{column}[{i}]"));
    Err(if fitting.is_empty() {
        error.remedy(format!("leave it out: there is no transform for the kind {}", kind.name()))
    } else {
        error.expected(format!("one of {}", fitting.join(", ")))
    })
}

/// All steps on one row.
fn run(mut sample: Sample<'_>, steps: &[Step], row: Seed) -> Result<()> {
    for (position, step) in steps.iter().enumerate() {
        step.run(&mut sample, row.item(position as u64))?;
    }
    Ok(())
}

fn change(column: &Column, ids: &[u64], steps: &[Step], key: Seed) -> Result<Column> {
    match column {
        Column::Image(images) => {
            let rows: Result<Vec<_>> = ids
                .par_iter()
                .enumerate()
                .map(|(row, id)| {
                    let Some((shape, pixels)) = images.get(row) else { return Ok(None) };
                    let mut pixels = pixels.to_vec();
                    run(Sample::Image { shape, pixels: &mut pixels }, steps, key.item(*id))?;
                    Ok(Some((shape, pixels)))
                })
                .collect();
            let mut out = Images::default();
            for row in rows? {
                match row {
                    Some((shape, pixels)) => out.push(shape, &pixels)?,
                    None => out.push_absent(),
                }
            }
            Ok(Column::Image(out))
        }
        Column::Audio(sounds) => {
            let rows: Result<Vec<_>> = ids
                .par_iter()
                .enumerate()
                .map(|(row, id)| {
                    let Some((rate, samples)) = sounds.get(row) else { return Ok(None) };
                    let mut samples = samples.to_vec();
                    run(Sample::Audio { rate, samples: &mut samples }, steps, key.item(*id))?;
                    Ok(Some((rate, samples)))
                })
                .collect();
            let mut out = Audios::default();
            for row in rows? {
                match row {
                    Some((rate, samples)) => out.push(rate, &samples),
                    None => out.push_absent(),
                }
            }
            Ok(Column::Audio(out))
        }
        Column::Vector(vectors) => {
            let mut out = vectors.clone();
            let (width, shape, absent) = (vectors.width(), &vectors.shape, &vectors.absent);
            if width == 0 || width.checked_mul(ids.len()) != Some(out.data.len()) {
                return Err(Error::data("the numbers do not fill the rows")
                    .expected(format!("{} rows of shape {shape:?}", ids.len()))
                    .got(format!("{} numbers", out.data.len())));
            }
            out.data.par_chunks_mut(width).zip(ids).enumerate().try_for_each(|(row, (values, id))| {
                if absent.is_set(row) {
                    return Ok(());
                }
                run(Sample::Vector { shape, values }, steps, key.item(*id))
            })?;
            Ok(Column::Vector(out))
        }
        // No transform accepts these kinds: `accepts` has refused any step.
        other => Ok(other.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::conformance::batch;
    use crate::model::Field;

    fn everything() -> Augmenter {
        Augmenter::from_value(&json!({
            "image": [{"random_crop": {"padding": 1}}, {"rotate": {"degrees": 20}, "p": 0.7}, {"scale": {}},
                {"flip": {}}, {"noise": {}}],
            "audio": [{"shift": {"max_seconds": 0.001}}, {"gain": {}}, {"audio_noise": {}, "p": 0.5}],
            "vector": [{"vector_noise": {}}],
            "mixup": {"alpha": 0.4},
        }))
        .unwrap()
    }

    #[test]
    fn rows_do_not_depend_on_batches_order_or_threads() {
        let augmenter = everything();
        let apply = |batch: &Batch| {
            let mut batch = batch.clone();
            augmenter.apply(&mut batch, Seed::new(5), 2).unwrap();
            batch
        };
        let whole = batch(40);
        let expected = apply(&whole);
        assert_ne!(expected, whole);
        let order: Vec<usize> = (0..40).map(|i| (i * 17 + 3) % 40).collect();
        assert_eq!(apply(&whole.take(&order).unwrap()), expected.take(&order).unwrap());
        for row in [0, 13, 39] {
            assert_eq!(apply(&whole.take(&[row]).unwrap()), expected.take(&[row]).unwrap());
        }
        for threads in [1, 2] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            assert_eq!(pool.install(|| apply(&whole)), expected, "{threads} threads");
        }
        // Columns that a caller leaves out do not change what the others become.
        let mut less = Batch::new(whole.ids().to_vec());
        less.set("image", whole.column("image").unwrap().clone()).unwrap();
        assert_eq!(apply(&less).column("image").unwrap(), expected.column("image").unwrap());
    }

    #[test]
    fn epochs_seeds_and_positions_draw_anew() {
        let once = |value: Value, seed: u64, epoch: u32| {
            let mut batch = batch(10);
            Augmenter::from_value(&value).unwrap().apply(&mut batch, Seed::new(seed), epoch).unwrap();
            let Column::Vector(v) = batch.column("vector").unwrap() else { panic!() };
            v.data.clone()
        };
        let noise = json!({"vector": [{"vector_noise": {"deviation": 1}}]});
        let first = once(noise.clone(), 1, 0);
        assert_eq!(first, once(noise.clone(), 1, 0));
        assert_ne!(first, once(noise.clone(), 1, 1));
        assert_ne!(first, once(noise.clone(), 2, 0));
        let twice =
            json!({"vector": [{"vector_noise": {"deviation": 1}}, {"vector_noise": {"deviation": 1}}]});
        let Column::Vector(plain) = batch(10).column("vector").unwrap().clone() else { panic!() };
        let two = once(twice, 1, 0);
        // The first five rows are all present. The second step must not add the first one's noise again.
        let noise = |from: &[f32], to: &[f32], i: usize| to[i] - from[i];
        let same = |i: &usize| (noise(&plain.data, &first, *i) - noise(&first, &two, *i)).abs() < 1e-3;
        assert!((0..30).filter(same).count() < 3);
        let never = json!({"vector": [{"vector_noise": {}, "p": 0}]});
        assert_eq!(once(never, 1, 0), plain.data);
    }

    #[test]
    fn recipes_are_checked_before_any_work() {
        let schema =
            Schema { fields: vec![Field::new("image", Kind::Image), Field::new("note", Kind::Text)] };
        let message = |value: Value| match Augmenter::from_value(&value).and_then(|a| a.check(&schema)) {
            Ok(()) => String::new(),
            Err(e) => {
                assert_eq!(e.exit_code(), 2);
                e.to_string()
            }
        };
        assert_eq!(message(json!({"image": [{"rotate": {"degrees": 5}}]})), "");
        assert_eq!(message(Value::Null), "");
        for (value, part) in [
            (json!({"image": [{"flip": {}}, {"gain": {}}]}), "augment.image[1]"),
            (json!({"image": [{"gain": {}}]}), "random_crop"),
            (json!({"note": [{"gain": {}}]}), "no transform for the kind text"),
            (json!({"imag": []}), "did you mean \"image\""),
            (json!({"image": [{"rotat": {}}]}), "did you mean \"rotate\""),
            (json!({"image": [{"rotate": {"angle": 3}}]}), "angle"),
            (json!({"image": [{"rotate": {"degrees": -3}}]}), "degrees"),
            (json!({"image": [{"rotate": {}, "flip": {}}]}), "one transform"),
            (json!({"image": [{"rotate": {}, "p": 2}]}), "p: the number"),
            (json!({"image": {"rotate": {}}}), "list"),
            (json!({"mixup": {"alpha": 0}}), "alpha"),
            (json!([1]), "maps columns"),
        ] {
            let said = message(value.clone());
            assert!(said.contains(part), "{value}: {said}");
        }
        let wrong = Augmenter::from_value(&json!({"vector": [{"flip": {}}]})).unwrap();
        let mut rows = batch(3);
        assert!(wrong.apply(&mut rows, Seed::new(1), 0).is_err());
        assert_eq!(rows, batch(3));
    }

    #[test]
    fn what_is_resolved_builds_the_same_again() {
        let value = everything().resolved();
        assert_eq!(value["image"][3], json!({"flip": {"axis": "horizontal", "p": 0.5}, "p": 1.0}));
        assert_eq!(Augmenter::from_value(&value).unwrap().resolved(), value);
        assert!(!everything().is_empty() && Augmenter::default().is_empty());
    }
}
