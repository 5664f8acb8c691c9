//! What cannot be is refused by name, for every method.

use consilience_core::features::Reader;
use consilience_core::model::{Batch, Column, Context, Field, Quiet, Stop, Target, Vectors};
use consilience_core::seed::Seed;
use consilience_nn::{FUSIONS, NETWORKS};
use serde_json::{Value, json};

use crate::data::{Made, classes, method, normal, phrases, says};

/// What each method reads: sounds or small images.
fn shape_for(name: &str) -> Vec<usize> {
    match name {
        "waveform" => vec![1, 1, 2048],
        "spectrogram" => vec![1, 8, 8],
        _ => vec![1, 6, 6],
    }
}

/// Rows that every method can read: one column for a network, two for a fusion.
fn rows_for(name: &str) -> Made {
    if method(name, json!({})).reader("a") == Reader::Words {
        return phrases("a", 12, 36, 1);
    }
    let shape = shape_for(name);
    let size = 12 * shape.iter().product::<usize>();
    let column = |seed| Vectors::new(shape.clone(), normal(size, Seed::new(seed))).unwrap();
    let mut columns = vec![("a", column(1))];
    if FUSIONS.get(name).is_ok() {
        columns.push(("b", column(2)));
    }
    Made::new(columns, classes((0..12).map(|r| r % 2).collect(), 2))
}

fn names() -> Vec<&'static str> {
    NETWORKS.entries.iter().chain(FUSIONS.entries).map(|e| e.name).collect()
}

fn spoil(made: &mut Made, at: usize, value: f32) {
    let Column::Vector(mut v) = made.batch.column("a").unwrap().clone() else { panic!("vectors") };
    v.data[at] = value;
    made.batch.set("a", Column::Vector(v)).unwrap();
}

#[test]
fn numbers_that_are_not_finite_are_named() {
    for name in names() {
        let quick = method(name, json!({"epochs": 1, "inner": 0.0}));
        let mut made = rows_for(name);
        let model = made.fit(quick.as_ref(), 1).unwrap().model;
        spoil(&mut made, 3 * shape_for(name).iter().product::<usize>() + 5, f32::NAN);
        let error = made.fit(quick.as_ref(), 1).unwrap_err();
        assert_eq!(error.exit_code(), 3);
        says(error, &["column \"a\", row id 103", "finite"]);
        says(model.predict(&made.batch).unwrap_err(), &["column \"a\", row id 103"]);
        let mut made = rows_for(name);
        made.target = Target::Values((0..12).map(|r| if r == 4 { f32::INFINITY } else { 0.0 }).collect());
        says(made.fit(quick.as_ref(), 1).unwrap_err(), &["target", "finite"]);
        let mut made = rows_for(name);
        made.weight = Some(vec![0.0; 12]);
        says(made.fit(quick.as_ref(), 1).unwrap_err(), &["weight"]);
    }
}

#[test]
fn numbers_that_run_away_name_the_epoch_the_batch_and_the_layer() {
    // The gates of recurrent cells hold their numbers back.
    for name in names().into_iter().filter(|n| !["gru", "lstm"].contains(n)) {
        let made = rows_for(name);
        let wild = json!({"epochs": 5, "rate": 1e38, "optimizer": "sgd", "inner": 0.0, "batch": 6});
        let error = made.fit(method(name, wild).as_ref(), 1).unwrap_err();
        assert_eq!(error.exit_code(), 3, "{error}");
        let text = error.to_string();
        assert!(text.contains("epoch 1, batch ") || text.contains("epoch 2, batch "), "{text}");
        assert!(text.contains("layer ") || text.contains("parameter "), "{text}");
        assert!(text.contains("clip"), "{text}");
    }
}

#[test]
fn no_rows_other_shapes_and_other_kinds_are_refused() {
    for name in names() {
        let made = rows_for(name);
        let quick = method(name, json!({"epochs": 1}));
        let mut empty = Made::new(
            made.fields
                .iter()
                .map(|f| (f.name.as_str(), Vectors { shape: f.shape.clone(), ..no_rows() }))
                .collect(),
            classes(vec![], 2),
        );
        empty.fields.clone_from(&made.fields);
        says(empty.fit(quick.as_ref(), 1).unwrap_err(), &["no rows"]);
        let model = made.fit(quick.as_ref(), 1).unwrap().model;
        let narrow = Column::Vector(Vectors::new(vec![1, 6, 5], vec![0.0; 12 * 30]).unwrap());
        let batch = made.batch.clone().with("a", narrow).unwrap();
        says(
            model.predict(&batch).unwrap_err(),
            &["column \"a\"", &format!("{:?}", made.fields[0].shape), "[1, 6, 5]"],
        );
        let text =
            Column::Text { values: vec![String::new(); 12], absent: consilience_core::model::Mask::none(12) };
        let batch = made.batch.clone().with("a", text).unwrap();
        says(model.predict(&batch).unwrap_err(), &["column \"a\"", "text"]);
        let nothing = model.predict(&Batch::new(vec![1, 2])).unwrap();
        assert_eq!(nothing.absent().count(), 2);
        assert_eq!(model.predict(&Batch::new(vec![])).unwrap().rows(), 0);
    }
}

fn no_rows() -> Vectors {
    Vectors { shape: vec![], data: vec![], absent: consilience_core::model::Mask::none(0) }
}

#[test]
fn columns_that_do_not_fit_are_refused_before_any_work() {
    let task = classes(vec![], 2).task();
    let one = [Field::vector("a", vec![4])];
    let two = [Field::vector("a", vec![4]), Field::vector("image", vec![1, 6, 6])];
    for name in ["mlp", "cnn", "gru"] {
        says(method(name, Value::Null).check(&two, &task).unwrap_err(), &["one modality", "a, image"]);
    }
    says(method("cnn", Value::Null).check(&one, &task).unwrap_err(), &["column \"a\"", "height"]);
    says(method("gru", Value::Null).check(&one, &task).unwrap_err(), &["column \"a\"", "frames"]);
    says(method("cnn", json!({"channels": [2, 2, 2]})).check(&two[1..], &task).unwrap_err(), &["halve"]);
    for name in ["concat", "late"] {
        says(method(name, Value::Null).check(&one, &task).unwrap_err(), &["at least two"]);
        method(name, Value::Null).check(&two, &task).unwrap();
        let misspelt = method(name, json!({"encoders": {"imge": {"cnn": {}}}}));
        says(misspelt.check(&two, &task).unwrap_err(), &["\"imge\"", "did you mean \"image\""]);
        let twice = [two[0].clone(), two[0].clone()];
        says(method(name, Value::Null).check(&twice, &task).unwrap_err(), &["twice"]);
        assert_eq!(method(name, Value::Null).outline(&one, &task).parameters, None);
    }
    for name in ["concat", "late"] {
        let refused = |encoder: Value| {
            let error = FUSIONS.build(name, &json!({"encoders": {"image": encoder}})).err().unwrap();
            assert_eq!(error.exit_code(), 2);
            error
        };
        says(
            refused(json!({"cnn": {"chanels": [4]}})),
            &[name, "encoders.image: cnn", "\"chanels\"", "kernel", "did you mean \"channels\""],
        );
        says(refused(json!({"cn": {}})), &["encoders.image", "\"cn\"", "did you mean \"cnn\""]);
        says(refused(json!({"cnn": {"kernel": "three"}})), &["encoders.image: cnn", "three"]);
        says(refused(json!({"cnn": {}, "mlp": {}})), &["encoders.image", "one encoder"]);
        says(refused(json!("cnn")), &["encoders.image", "one encoder"]);
        assert!(FUSIONS.build(name, &json!({"encoders": {"image": {"cnn": {"kernel": 5}}}})).is_ok());
    }
    says(FUSIONS.build("concat", &json!({"hidden": 0})).err().unwrap(), &["concat", "hidden"]);
    says(NETWORKS.build("mlp", &json!({"rate": -1.0})).err().unwrap(), &["mlp", "rate"]);
    says(NETWORKS.build("cnnn", &Value::Null).err().unwrap(), &["did you mean \"cnn\""]);
}

#[test]
fn every_setting_is_in_the_schema_with_its_doc_and_default() {
    let own = [
        ("mlp", "hidden"),
        ("cnn", "channels"),
        ("gru", "hidden"),
        ("concat", "encoders"),
        ("late", "encoders"),
    ];
    for (name, key) in own {
        let entry = NETWORKS.get(name).map_or_else(
            |_| FUSIONS.get(name).map(|e| ((e.schema)(), (e.resolve)(&Value::Null))),
            |e| Ok(((e.schema)(), (e.resolve)(&Value::Null))),
        );
        let (schema, resolved) = entry.unwrap();
        let resolved = resolved.unwrap();
        let properties = schema["properties"].as_object().unwrap();
        for key in
            [key, "epochs", "batch", "rate", "optimizer", "schedule", "inner", "patience", "dropout", "clip"]
        {
            let property = properties.get(key).unwrap_or_else(|| panic!("{name} has no {key}"));
            assert!(property["description"].is_string(), "{name}.{key}: {property}");
            assert!(resolved.get(key).is_some(), "{name}.{key}");
        }
        let settings: Vec<&String> = resolved.as_object().unwrap().keys().collect();
        assert!(settings.iter().all(|s| properties.contains_key(*s)), "{settings:?}");
    }
}

#[test]
fn a_stop_is_heard() {
    let stop = Stop::default();
    stop.request();
    let context = Context::new(Seed::new(1), &Quiet, &stop);
    let error = rows_for("mlp").fit_in(method("mlp", Value::Null).as_ref(), &context).unwrap_err();
    assert_eq!(error.exit_code(), 130);
}

#[test]
fn batch_norm_needs_more_than_one_row() {
    let made = rows_for("resnet");
    let narrow = json!({"width": 2, "epochs": 1, "inner": 0.0, "batch": 1});
    let error = made.fit(method("resnet", narrow.clone()).as_ref(), 1).unwrap_err();
    assert_eq!(error.exit_code(), 2);
    says(error, &["batch", "at least 2"]);
    // A cnn without norms does not mind.
    made.fit(method("cnn", json!({"epochs": 1, "inner": 0.0, "batch": 1})).as_ref(), 1).unwrap();
    let normed = json!({"norm": "batch", "epochs": 1, "inner": 0.0, "batch": 1});
    says(made.fit(method("cnn", normed).as_ref(), 1).unwrap_err(), &["batch"]);
    let one = Made::new(
        vec![("a", Vectors::new(vec![1, 6, 6], normal(36, Seed::new(1))).unwrap())],
        classes(vec![0], 2),
    );
    let narrow = json!({"width": 2, "epochs": 1, "inner": 0.0, "batch": 4});
    let error = one.fit(method("resnet", narrow).as_ref(), 1).unwrap_err();
    assert_eq!(error.exit_code(), 3);
    says(error, &["batch norm", "at least 2 rows"]);
}
