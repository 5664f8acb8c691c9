//! Networks as members: saved and loaded, absent modalities, features, starting from another.

use consilience_core::features::Reader;
use consilience_core::model::{Batch, Column, Context, Mask, Model, Quiet, Stop, Vectors};
use consilience_core::seed::Seed;
use consilience_nn::network::Network;
use consilience_nn::{AsIs, FUSIONS, NETWORKS};
use serde_json::json;

use crate::data::{Made, classes, method, normal, phrases, says, stripes, xor};

fn small(name: &str) -> serde_json::Value {
    match name {
        "mlp" => json!({"hidden": [6], "epochs": 2}),
        "cnn" => json!({"channels": [3], "features": 5, "epochs": 2}),
        "gru" => json!({"hidden": 5, "epochs": 2}),
        "lstm" => json!({"hidden": 5, "layers": 2, "bidirectional": true, "epochs": 2}),
        "resnet" => json!({"width": 2, "stem": "small", "epochs": 2}),
        "spectrogram" => json!({"channels": [3], "features": 5, "epochs": 2}),
        "waveform" => json!({"channels": [3, 4], "kernel": 4, "stride": 1, "epochs": 2}),
        "text_bag" => json!({"width": 4, "features": 5, "epochs": 2}),
        "text_cnn" => json!({"width": 4, "filters": 3, "epochs": 2}),
        "transformer" => json!({"width": 8, "heads": 2, "depth": 1, "epochs": 2}),
        _ => json!({"encoders": {"image": {"cnn": {"channels": [3], "features": 5}}}, "epochs": 2}),
    }
}

/// The rows of `stripes` as a method of this name reads them.
fn rows_for(name: &str, rows: usize) -> Made {
    if method(name, small(name)).reader("image") == Reader::Words {
        return phrases("image", rows, 8, 3);
    }
    let mut made = stripes(rows, 8, 3);
    if NETWORKS.get(name).is_ok() {
        made.fields.truncate(1);
        let mut image = made.batch.column("image").unwrap().clone();
        if let (Column::Vector(v), "waveform") = (&mut image, name) {
            v.shape = vec![1, 1, 64];
            made.fields[0].shape = v.shape.clone();
        }
        made.batch = Batch::new(made.batch.ids().to_vec()).with("image", image).unwrap();
    }
    made
}

fn names() -> Vec<&'static str> {
    NETWORKS.entries.iter().chain(FUSIONS.entries).map(|e| e.name).collect()
}

#[test]
fn every_method_is_the_same_bytes_again_and_after_loading() {
    for name in names() {
        let made = rows_for(name, 300);
        let fit = |seed| made.fit(method(name, small(name)).as_ref(), seed).unwrap().model;
        let model = fit(1);
        let parts = model.save().unwrap();
        assert_eq!(parts, fit(1).save().unwrap(), "{name}");
        assert_ne!(parts, fit(2).save().unwrap(), "{name}");
        let inputs = AsIs::load(&parts.nested("inputs").unwrap()).unwrap();
        let loaded = Network::load(&parts, Box::new(inputs)).unwrap();
        assert_eq!(loaded.save().unwrap(), parts, "{name}");
        let (a, b) = (model.predict(&made.batch).unwrap(), loaded.predict(&made.batch).unwrap());
        assert_eq!(a, b, "{name}");
        assert_eq!((a.rows(), a.ids()), (300, made.batch.ids()));
        assert_eq!(model.parameters(), loaded.parameters());
        assert_eq!(model.schema().names(), made.fields.iter().map(|f| f.name.as_str()).collect::<Vec<_>>());
        let outline = method(name, small(name)).outline(&made.fields, &made.target.task());
        assert_eq!(outline.parameters, model.parameters(), "{name}");
        assert!(outline.memory.unwrap() > 0 && !outline.lines.is_empty());
        let mut careful = small(name);
        careful
            .as_object_mut()
            .unwrap()
            .extend([("average".into(), json!(0.9)), ("retries".into(), json!(1))]);
        let careful = method(name, careful).outline(&made.fields, &made.target.task());
        assert_eq!(careful.memory.unwrap() - outline.memory.unwrap(), 4 * 6 * outline.parameters.unwrap());
    }
}

#[test]
fn a_directory_that_was_tampered_with_is_named() {
    let made = xor(40, 1);
    let parts = made.fit(method("mlp", small("mlp")).as_ref(), 1).unwrap().model.save().unwrap();
    let load = |parts: &_| match Network::load(parts, made.inputs()) {
        Ok(_) => panic!("loaded"),
        Err(e) => e,
    };
    let mut other = parts.clone();
    other.kind = "leaf".into();
    says(load(&other), &["no network"]);
    let mut lacking = parts.clone();
    lacking.arrays.remove("head.weight");
    says(load(&lacking), &["tensor head.weight"]);
    let mut scale = parts.clone();
    scale.arrays.insert("target.scale".into(), consilience_core::model::Array::F64(vec![2], vec![0.0, 0.0]));
    says(load(&scale), &["scale"]);
    let wide = AsIs::new(vec![consilience_core::model::Field::vector("x", vec![3])]).unwrap();
    let Err(error) = Network::load(&parts, Box::new(wide)) else { panic!("loaded") };
    says(error, &["other columns"]);
}

fn without(batch: &Batch, name: &str, gone: &[usize]) -> Batch {
    let marks = (0..batch.rows()).map(|r| gone.contains(&r)).collect::<Mask>();
    let column = batch.column(name).unwrap().without(&marks).unwrap();
    batch.clone().with(name, column).unwrap()
}

#[test]
fn absent_modalities_are_left_out_and_are_not_zeros() {
    let mut made = stripes(120, 8, 1);
    // Training rows lack one, the other, or both.
    made.batch = without(&made.batch, "image", &[0, 1, 2, 50]);
    made.batch = without(&made.batch, "vector", &[2, 3, 4]);
    for name in ["concat", "late"] {
        let model = made.fit(method(name, small(name)).as_ref(), 1).unwrap().model;
        let p = model.predict(&made.batch).unwrap();
        let marks: Vec<usize> = (0..120).filter(|r| p.absent().is_set(*r)).collect();
        assert_eq!(marks, [2], "{name}: only the row that lacks both is absent");

        // A column that is left out is the same as one that is absent on every row.
        let all: Vec<usize> = (0..120).collect();
        let absent = model.predict(&without(&made.batch, "image", &all)).unwrap();
        let vector = made.batch.column("vector").unwrap().clone();
        let left_out =
            model.predict(&Batch::new(made.batch.ids().to_vec()).with("vector", vector).unwrap()).unwrap();
        assert_eq!(absent.absent(), left_out.absent());
        let row = |p: &consilience_core::model::Predictions, r: usize| p.p().unwrap().row(r).to_vec();
        assert_eq!(row(&absent, 7), row(&left_out, 7));

        // An image of zeros is not an absent image.
        let mut zeros = made.batch.clone();
        let Column::Vector(mut v) = zeros.column("image").unwrap().clone() else { panic!("vectors") };
        v.data.fill(0.0);
        zeros.set("image", Column::Vector(v)).unwrap();
        assert_ne!(row(&model.predict(&zeros).unwrap(), 7), row(&absent, 7), "{name}");

        let embed = model.embed().unwrap();
        let features = embed.embed(&made.batch).unwrap();
        assert_eq!(features.shape(), [120, embed.width()]);
        assert!(features.row(2).iter().all(|v| *v == 0.0));
        assert!(features.row(5).iter().any(|v| *v != 0.0));
    }
}

#[test]
fn late_fusion_of_one_present_modality_is_that_modality() {
    let made = stripes(60, 8, 1);
    let model = made.fit(method("late", small("late")).as_ref(), 1).unwrap().model;
    let all: Vec<usize> = (0..60).collect();
    let [image, vector] =
        ["vector", "image"].map(|gone| model.predict(&without(&made.batch, gone, &all)).unwrap());
    let both = model.predict(&made.batch).unwrap();
    let mean = (image.p().unwrap() + vector.p().unwrap()) / 2.0;
    for (a, b) in both.p().unwrap().iter().zip(&mean) {
        assert!((a - b).abs() < 1e-6);
    }
}

#[test]
fn a_network_starts_from_another_of_the_same_architecture() {
    let made = xor(60, 1);
    let first = made.fit(method("mlp", small("mlp")).as_ref(), 1).unwrap().model;
    let stop = Stop::default();
    let start = |model: &dyn Model, hidden: usize| {
        let mut context = Context::new(Seed::new(9), &Quiet, &stop);
        context.start = Some(model);
        let still = json!({"hidden": [hidden], "epochs": 1, "rate": 1e-12, "inner": 0.0});
        made.fit_in(method("mlp", still).as_ref(), &context)
    };
    let second = start(first.as_ref(), 6).unwrap().model;
    let (a, b) = (first.predict(&made.batch).unwrap(), second.predict(&made.batch).unwrap());
    for (a, b) in a.p().unwrap().iter().zip(b.p().unwrap()) {
        assert!((a - b).abs() < 1e-5);
    }
    says(start(first.as_ref(), 7).unwrap_err(), &["to start from", "tensor encoders.x.dense1.weight"]);
    let cnn = rows_for("cnn", 20).fit(method("cnn", small("cnn")).as_ref(), 1).unwrap().model;
    says(start(cnn.as_ref(), 6).unwrap_err(), &["tensor encoders.x.dense1.weight"]);
}

#[test]
fn every_small_shape_that_is_not_refused_is_fitted_and_predicted() {
    let mut fitted = 0;
    for shape in
        [vec![1, 2, 2], vec![2, 3, 9], vec![17, 4, 4], vec![2, 3], vec![3, 1], vec![6, 5], vec![1, 5, 1]]
    {
        let x =
            Vectors::new(shape.clone(), normal(3 * shape.iter().product::<usize>(), Seed::new(1))).unwrap();
        let made = Made::new(vec![("x", x)], classes(vec![0, 1, 0], 2));
        let kernels =
            [1, 3, 5, 7, 9, 15].map(|k| ("cnn", json!({"channels": [16], "kernel": k, "features": 2})));
        let others = [("mlp", json!({"hidden": [1]})), ("gru", json!({"hidden": 1}))];
        for (name, settings) in kernels.into_iter().chain(others) {
            for batch in [1, 2, 100] {
                let mut settings = settings.clone();
                settings.as_object_mut().unwrap().extend([
                    ("batch".into(), json!(batch)),
                    ("epochs".into(), json!(1)),
                    ("inner".into(), json!(0)),
                ]);
                let method = method(name, settings);
                if method.check(&made.fields, &made.target.task()).is_err() {
                    continue;
                }
                let model = made.fit(method.as_ref(), 1).unwrap().model;
                let p = model.predict(&made.batch).unwrap();
                assert!(p.p().unwrap().iter().all(|v| v.is_finite()), "{name} {shape:?}");
                assert_eq!(model.predict(&made.batch.take(&[]).unwrap()).unwrap().rows(), 0);
                fitted += 1;
            }
        }
    }
    assert!(fitted > 100, "{fitted}");
}
