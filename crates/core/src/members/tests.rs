//! What is put together from the contracts: saved, loaded, and given rows that lack something.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::error::{Error, Result};
use crate::features::{REGISTRY, Reader};
use crate::model::{
    Batch, Classes, Column, Context, Estimator, Field, Honest, Kind, Labelled, Loaders, Mask, Memory, Model,
    ModelDir, Origin, Predictions, Quiet, Record, Schema, Source, Stop, Target, Task, Unlabelled, Vectors,
    save_parts,
};
use crate::seed::Seed;
use crate::{adapt, features, fuse, learners};

const ROWS: usize = 60;
const ALL: [&str; 5] = ["age", "v", "sex", "income", "note"];

fn loaders() -> Loaders {
    Loaders {
        models: LOADERS.iter().copied().collect(),
        features: features::LOADERS.iter().copied().collect(),
        learners: learners::LOADERS.iter().copied().collect(),
        fused: fuse::LOADERS.iter().copied().collect(),
        adapted: adapt::LOADERS.iter().copied().collect(),
    }
}

/// Two numbers (`age` missing in every seventh row), a category, two numbers as a vector that is absent in every fifth
/// row, a text.
fn source() -> Memory {
    let levels = Arc::new(vec!["f".to_owned(), "m".to_owned()]);
    let category = Field { levels: levels.to_vec(), ..Field::new("sex", Kind::Category) };
    let schema = Schema {
        fields: vec![
            Field::new("age", Kind::Number),
            Field::vector("v", vec![2]),
            category,
            Field::new("income", Kind::Number),
            Field::new("note", Kind::Text),
        ],
    };
    let at = |r: usize, k: usize| ((r * 37 + k * 11) % 23) as f64;
    let every = |n: usize| -> Mask { (0..ROWS).map(|r| r % n == 0).collect() };
    let vectors = (0..ROWS).flat_map(|r| [(r % 2) as f32 + 0.1 * at(r, 3) as f32, at(r, 4) as f32]);
    let mut vectors = Vectors::new(vec![2], vectors.collect()).unwrap();
    vectors.absent = every(5);
    let batch = Batch::new((100..100 + ROWS as u64).collect())
        .with("age", Column::Number { values: (0..ROWS).map(|r| at(r, 1)).collect(), missing: every(7) })
        .and_then(|b| b.with("v", Column::Vector(vectors)))
        .and_then(|b| {
            let codes = (0..ROWS).map(|r| (r / 3 % 2) as u32).collect();
            b.with("sex", Column::Category { levels, codes, missing: Mask::none(ROWS) })
        })
        .and_then(|b| {
            let values = (0..ROWS).map(|r| 1000.0 * (r % 2) as f64 + at(r, 2)).collect();
            b.with("income", Column::Number { values, missing: Mask::none(ROWS) })
        })
        .and_then(|b| {
            let values = (0..ROWS).map(|r| if r % 2 == 0 { "red fox" } else { "blue fox" }.to_owned());
            b.with("note", Column::Text { values: values.collect(), absent: Mask::none(ROWS) })
        });
    Memory::new(schema, batch.unwrap()).unwrap()
}

fn target() -> Target {
    let classes = Classes::new(vec!["no".into(), "yes".into()]).unwrap();
    Target::Classes { classes, codes: (0..ROWS).map(|r| u32::from(r % 2 == 1 && r % 9 != 0)).collect() }
}

fn context<T>(work: impl FnOnce(&Context<'_>) -> T) -> T {
    let stop = Stop::default();
    work(&Context::new(Seed::new(3), &Quiet, &stop))
}

fn on(names: &[&str]) -> Vec<String> {
    names.iter().map(|n| (*n).to_owned()).collect()
}

fn preprocess(names: &[&str], given: &[(&str, &[(&str, Value)])]) -> Result<Preprocess> {
    let given: BTreeMap<String, Steps> = given
        .iter()
        .map(|(c, steps)| {
            ((*c).to_owned(), steps.iter().map(|(n, p)| ((*n).to_owned(), p.clone())).collect())
        })
        .collect();
    Preprocess::new(&REGISTRY, source().schema(), &on(names), &given, |_| Reader::Matrix)
}

fn prepared(names: &[&str]) -> Prepared {
    let (source, target) = (source(), target());
    let rows: Vec<usize> = (0..ROWS).collect();
    let data = Labelled { source: &source, rows: &rows, target: &target, weight: None, group: None };
    context(|c| preprocess(names, &[]).unwrap().fit(&data, c)).unwrap()
}

fn fitted(names: &[&str], learner: &str) -> Box<dyn Model> {
    let (source, target) = (source(), target());
    let rows: Vec<usize> = (0..ROWS).collect();
    let data = Labelled { source: &source, rows: &rows, target: &target, weight: None, group: None };
    let learner = learners::REGISTRY.build(learner, &Value::Null).unwrap();
    let tabular = Tabular::new(preprocess(names, &[]).unwrap(), learner);
    tabular.check(source.schema(), &target.task()).unwrap();
    context(|c| tabular.fit(&data, c)).unwrap().model
}

fn read(columns: &[&str]) -> Batch {
    source().read(&(0..ROWS).collect::<Vec<_>>(), columns).unwrap()
}

fn whole() -> Batch {
    read(&ALL)
}

/// The bits of predictions, so that absent rows compare.
fn bits(p: &Predictions) -> (Vec<u64>, Vec<u32>, Mask) {
    (p.ids().to_vec(), p.matrix().iter().map(|v| v.to_bits()).collect(), p.absent().clone())
}

/// Saves to a directory, loads, and compares the predictions of whole and lacking rows.
fn comes_back(model: &dyn Model) {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("m");
    let parts = model.save().unwrap();
    save_parts(&dir, &parts, &Record::default()).unwrap();
    let opened = ModelDir::open(&dir).unwrap();
    assert_eq!(opened.parts.arrays, parts.arrays);
    let again = opened.model(&loaders()).unwrap();
    assert_eq!((again.kind(), again.task(), again.schema()), (model.kind(), model.task(), model.schema()));
    assert_eq!((again.parameters(), again.weights()), (model.parameters(), model.weights()));
    for batch in [whole(), read(&["v"]), read(&["income", "note"]), whole().take(&[]).unwrap()] {
        assert_eq!(bits(&again.predict(&batch).unwrap()), bits(&model.predict(&batch).unwrap()));
    }
    assert_eq!(again.save().unwrap(), opened.parts);
}

#[test]
fn names_stand_beside_their_columns() {
    let prepared = prepared(&["note", "table", "v"]);
    let (x, silent) = prepared.matrix(&whole()).unwrap();
    let names = prepared.names();
    let expected = [
        "note: blue",
        "note: blue fox",
        "note: fox",
        "note: red",
        "note: red fox",
        "note present",
        "age",
        "age missing",
        "sex=f",
        "sex=m",
        "income",
        "table present",
        "v[0]",
        "v[1]",
        "v present",
    ];
    assert_eq!(names, expected);
    assert_eq!(x.ncols(), names.len());
    assert!(!silent.any());
    let column = |name: &str| x.column(names.iter().position(|n| n == name).unwrap()).to_vec();
    let (missing, female, there) = (column("age missing"), column("sex=f"), column("v present"));
    let (red, age) = (column("note: red"), column("age"));
    for r in 0..ROWS {
        // Standardized: whatever the scale, rows with and without the mark lie on either side of the mean.
        assert_eq!(missing[r] > 0.0, r % 7 == 0, "row {r}");
        assert_eq!(female[r], f32::from(u8::from(r / 3 % 2 == 0)), "row {r}");
        assert_eq!(there[r], f32::from(u8::from(r % 5 != 0)), "row {r}");
        assert_eq!(red[r] > 0.0, r % 2 == 0, "row {r}");
    }
    let other: Vec<f64> = (0..ROWS).map(|r| ((r * 37 + 11) % 23) as f64).collect();
    assert_eq!(age[1] > age[2], other[1] > other[2]);
    // One modality alone needs no mark of presence.
    let alone = super::tests::prepared(&["v"]);
    assert_eq!(alone.names(), ["v[0]", "v[1]"]);
    let (x, silent) = alone.matrix(&whole()).unwrap();
    assert_eq!((x.ncols(), silent.count()), (2, ROWS / 5));
}

#[test]
fn numbers_and_categories_are_one_modality_wherever_they_are_named() {
    let apart = preprocess(&["income", "v", "sex"], &[]).unwrap();
    let names: Vec<String> = apart.fields().unwrap().iter().map(|f| f.name.clone()).collect();
    assert_eq!(names, [TABLE, "v"]);
    let prepared = prepared(&["income", "v", "sex"]);
    assert_eq!(prepared.fields(), [Field::vector(TABLE, vec![3]), Field::vector("v", vec![2])]);
    assert_eq!(prepared.schema().names(), ["income", "v", "sex"]);
    let batch = prepared.apply(&whole()).unwrap();
    assert_eq!(batch.names(), ["v", TABLE]);
    let Column::Vector(table) = batch.column(TABLE).unwrap() else { panic!() };
    assert!(!table.absent.any());
    let text = format!("{:?}", apart.describe());
    assert!(text.contains("one_hot") && !text.contains("tfidf"), "{text}");
}

#[test]
fn a_column_that_is_not_there_is_missing_or_absent() {
    for names in [&["table", "v"][..], &["v", "note"], &["age", "note"]] {
        let model = fitted(names, "logistic");
        for left_out in model.schema().names() {
            let kept: Vec<&str> = ALL.into_iter().filter(|n| *n != left_out).collect();
            let without = model.predict(&read(&kept)).unwrap();
            let mut gone = whole();
            let column = gone.column(left_out).unwrap().without(&Mask::from_marks(vec![true; ROWS])).unwrap();
            gone.set(left_out, column).unwrap();
            let masked = model.predict(&gone).unwrap();
            assert_eq!(bits(&without), bits(&masked), "{names:?} without {left_out}");
        }
        // With nothing at all there is nothing to say.
        let none = model.predict(&Batch::new((0..4).collect())).unwrap();
        assert_eq!(none.absent().count(), 4, "{names:?}");
    }
    // The table is absent only where all of it is missing.
    let model = fitted(&["age", "v"], "logistic");
    let said = model.predict(&whole()).unwrap();
    for r in 0..ROWS {
        assert_eq!(said.absent().is_set(r), r % 5 == 0 && r % 7 == 0, "row {r}");
    }
}

#[test]
fn members_come_back_from_their_directories() {
    for learner in ["logistic", "naive_bayes", "random_forest", "constant"] {
        comes_back(fitted(&["table", "v", "note"], learner).as_ref());
    }
}

#[test]
fn a_saved_learner_of_other_classes_is_refused_and_takes_no_memory() {
    for classes in [3u64, 1 << 31, 1 << 62] {
        let mut parts = fitted(&["table"], "logistic").save().unwrap();
        parts.config["learner"]["config"]["present"]["classes"] = json!(classes);
        let error = loaders().model(&parts).err().unwrap();
        assert!(matches!(error, Error::Model(_)), "{classes}: {error}");
    }
}

#[test]
fn a_transferred_member_comes_back_and_never_sees_target_labels() {
    let (source, target) = (source(), target());
    let (from, to): (Vec<usize>, Vec<usize>) = (0..ROWS).partition(|r| *r < 40);
    let labels = target.take(&from);
    let make = |to: &[usize]| {
        let data = Labelled { source: &source, rows: &from, target: &labels, weight: None, group: None };
        let unlabelled = Unlabelled { source: &source, rows: to };
        let adapter = adapt::REGISTRY.build("coral", &Value::Null).unwrap();
        let learner = learners::REGISTRY.build("logistic", &Value::Null).unwrap();
        let preprocess = preprocess(&["income", "v"], &[]).unwrap();
        context(|c| transfer(&preprocess, adapter.as_ref(), learner.as_ref(), &data, &unlabelled, c))
    };
    let model = make(&to).unwrap();
    comes_back(&model);
    let other = make(&to[..10]).unwrap();
    assert_ne!(bits(&model.predict(&whole()).unwrap()), bits(&other.predict(&whole()).unwrap()));
    assert!(matches!(make(&[]), Err(Error::Data(_))));
}

fn vote(count: usize, rows: &Predictions) -> Box<dyn crate::model::Fused> {
    let members = (0..count).map(|i| (format!("m{i}"), rows.clone(), Origin::Validation)).collect();
    let honest = Honest::new(members, target(), vec![0; ROWS], None, None).unwrap();
    let fuser = fuse::REGISTRY.build("soft_vote", &Value::Null).unwrap();
    context(|c| fuser.fit(&honest, None, c)).unwrap()
}

#[test]
fn compositions_nest_and_come_back() {
    let a: Arc<dyn Model> = Arc::from(fitted(&["table"], "logistic"));
    let b: Arc<dyn Model> = Arc::from(fitted(&["v"], "naive_bayes"));
    let said = a.predict(&whole()).unwrap();
    let inner = Composition::new(
        vec![("zeta".into(), Arc::clone(&a)), ("beta".into(), Arc::clone(&b))],
        vote(2, &said),
    )
    .unwrap();
    assert_eq!(inner.schema().names(), ["age", "sex", "income", "v"]);
    assert_eq!(inner.weights().unwrap()[0], ("zeta".to_owned(), 0.5));
    assert_eq!(inner.parameters(), Some(a.parameters().unwrap() + b.parameters().unwrap() + 2));
    comes_back(&inner);
    // A member that is absent is left out.
    let (mean, alone) = (inner.predict(&whole()).unwrap(), a.predict(&whole()).unwrap());
    let (mean, alone) = (mean.p().unwrap().clone(), alone.p().unwrap().clone());
    assert_eq!(mean.row(0), alone.row(0));
    assert_ne!(mean.row(1), alone.row(1));
    let outer = Composition::new(vec![("inner".into(), Arc::new(inner)), ("b".into(), b)], vote(2, &said));
    comes_back(&outer.unwrap());
}

#[test]
fn compositions_that_cannot_be_are_refused() {
    let a: Arc<dyn Model> = Arc::from(fitted(&["table"], "logistic"));
    let said = a.predict(&whole()).unwrap();
    let refused = |members: Vec<(String, Arc<dyn Model>)>| {
        let count = members.len().max(1);
        let error = Composition::new(members, vote(count, &said)).err().unwrap();
        assert!(matches!(error, Error::Model(_)), "{error}");
        error.to_string()
    };
    assert!(refused(Vec::new()).contains("at least one member"));
    assert!(refused(vec![("a".into(), Arc::clone(&a)), ("a".into(), Arc::clone(&a))]).contains("\"a\""));
    let other = Other { task: Task::Regress, schema: a.schema().clone() };
    let error = refused(vec![("a".into(), Arc::clone(&a)), ("o".into(), Arc::new(other))]);
    assert!(error.contains("different things"), "{error}");
    let schema = Schema { fields: vec![Field::new("age", Kind::Text)] };
    let other = Other { task: a.task().clone(), schema };
    let error = refused(vec![("a".into(), Arc::clone(&a)), ("o".into(), Arc::new(other))]);
    assert!(error.contains("\"age\""), "{error}");
    // What one member knows of levels, the other need not.
    let levels = vec!["m".to_owned(), "x".to_owned()];
    let schema = Schema { fields: vec![Field { levels, ..Field::new("sex", Kind::Category) }] };
    let other = Other { task: a.task().clone(), schema };
    let members: Vec<(String, Arc<dyn Model>)> =
        vec![("a".into(), Arc::clone(&a)), ("o".into(), Arc::new(other))];
    let both = Composition::new(members, vote(2, &said)).unwrap();
    assert_eq!(both.schema().field("sex").unwrap().levels, ["f", "m", "x"]);
    // A damaged directory: a member of the order is not there.
    let mut parts = both_parts(&a, &said);
    parts.members.clear();
    assert!(loaders().model(&parts).err().unwrap().to_string().contains("lacks its member"));
}

fn both_parts(a: &Arc<dyn Model>, said: &Predictions) -> crate::model::Parts {
    Composition::new(vec![("a".into(), Arc::clone(a))], vote(1, said)).unwrap().save().unwrap()
}

/// A model of a task and schema that says nothing.
struct Other {
    task: Task,
    schema: Schema,
}

impl Model for Other {
    fn kind(&self) -> &'static str {
        "other"
    }
    fn task(&self) -> &Task {
        &self.task
    }
    fn schema(&self) -> &Schema {
        &self.schema
    }
    fn predict(&self, _: &Batch) -> Result<Predictions> {
        Err(Error::internal("never asked"))
    }
    fn save(&self) -> Result<crate::model::Parts> {
        Err(Error::internal("never asked"))
    }
}

#[test]
fn columns_and_steps_that_cannot_be_are_refused() {
    let refused = |names: &[&str], given: &[(&str, &[(&str, Value)])], code: u8, part: &str| {
        let error = preprocess(names, given).unwrap_err();
        assert_eq!(error.exit_code(), code, "{error}");
        assert!(error.to_string().contains(part), "{error}");
    };
    refused(&[], &[], 2, "at least one column");
    refused(&["age", "age"], &[], 2, "named twice");
    refused(&["table", "age"], &[], 2, "named twice");
    refused(&["incme"], &[], 3, "did you mean \"income\"");
    refused(&["note"], &[("note", &[])], 2, "do not end in a vector");
    refused(&["v"], &[("v", &[("one_hot", json!({}))])], 2, "features of \"v\"");
    refused(&["v"], &[("v", &[("standardise", json!({}))])], 2, "standardize");
    refused(&["v"], &[("v", &[("standardize", json!({"pr": "all"}))])], 2, "pr");
    // The word table, where there is none, and where another column has the name.
    let schema = Schema { fields: vec![Field::vector("v", vec![2])] };
    let made = |schema: &Schema, names: &[&str]| {
        Preprocess::new(&REGISTRY, schema, &on(names), &BTreeMap::new(), |_| Reader::Matrix)
    };
    let error = made(&schema, &["table"]).unwrap_err();
    assert!(error.to_string().contains("there are none"), "{error}");
    let schema = Schema { fields: vec![Field::vector("table", vec![2]), Field::new("age", Kind::Number)] };
    assert!(made(&schema, &["table"]).is_ok());
    let error = made(&schema, &["table", "age"]).unwrap_err();
    assert!(error.to_string().contains("another name"), "{error}");
}

#[test]
fn rows_of_another_kind_or_shape_are_refused() {
    let rows = |column: Column| Batch::new(vec![1]).with("v", column).unwrap();
    let raw = {
        let (source, target) = (source(), target());
        let all: Vec<usize> = (0..ROWS).collect();
        let data = Labelled { source: &source, rows: &all, target: &target, weight: None, group: None };
        context(|c| preprocess(&["v"], &[("v", &[])]).unwrap().fit(&data, c)).unwrap()
    };
    for prepared in [prepared(&["v"]), raw] {
        let wide = Vectors::new(vec![5], vec![0.0; 5]).unwrap();
        let error = prepared.matrix(&rows(Column::Vector(wide))).unwrap_err();
        assert!(matches!(error, Error::Data(_)) && error.to_string().contains("\"v\""), "{error}");
        let error =
            prepared.matrix(&rows(Column::Number { values: vec![1.0], missing: Mask::none(1) })).unwrap_err();
        assert!(error.to_string().contains("another kind"), "{error}");
    }
    // No row has any of the columns.
    let (source, target) = (source(), target());
    let absent: Vec<usize> = vec![0, 5, 10];
    let taken = target.take(&absent);
    let data = Labelled { source: &source, rows: &absent, target: &taken, weight: None, group: None };
    let learner = learners::REGISTRY.build("logistic", &Value::Null).unwrap();
    let tabular = Tabular::new(preprocess(&["v"], &[("v", &[])]).unwrap(), learner);
    let error = context(|c| tabular.fit(&data, c)).unwrap_err();
    assert!(error.to_string().contains("no row has any"), "{error}");
}
