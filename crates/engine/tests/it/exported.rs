//! Exported models say what csl says: every kind of them, in rten, and in ONNX Runtime where `CSL_PYTHON` names a Python
//! that has it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use consilience_core::features::{REGISTRY, Reader};
use consilience_core::members::{Composition, Preprocess, Steps, Tabular, transfer};
use consilience_core::model::graph::{About, Element, Graph, Port};
use consilience_core::model::{
    Batch, Classes, Column, Context, Estimator, Field, Honest, Images, Inputs, Kind, Labelled, Mask, Memory,
    Model, Origin, Predictions, Quiet, Schema, Sequences, Source, Stop, Target, Unlabelled, Vectors,
};
use consilience_core::seed::Seed;
use consilience_core::{Error, adapt, fuse, learners};
use consilience_nn::{Augmentation, FUSIONS, NETWORKS};
use rten_tensor::prelude::*;
use rten_tensor::{NdTensor, Tensor};
use serde_json::{Value, json};

const ROWS: usize = 160;
/// What rten, which computes in 32 bits throughout, may differ by; ONNX Runtime is held to 1e-5 by the script.
const TOLERANCE: f32 = 1e-5;

/// A number from 0 to 1 that row and column decide.
fn at(row: usize, column: usize) -> f64 {
    let mut z = (row * 131 + column * 7919 + 1) as u64;
    for _ in 0..3 {
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z ^= z >> 27;
    }
    (z >> 11) as f64 / (1u64 << 53) as f64
}

fn class(row: usize) -> usize {
    row * 7 % 3
}

fn every(n: usize, from: usize) -> Mask {
    (0..ROWS).map(|r| r % n == from).collect()
}

/// Two numbers with gaps, one that is far from zero for its deviation, a category, an image, a vector and a sequence that
/// some rows lack, a text.
fn source() -> Memory {
    let number = |column: usize, far: f64, missing: Mask| Column::Number {
        values: (0..ROWS).map(|r| far + class(r) as f64 + 3.0 * at(r, column)).collect(),
        missing,
    };
    let levels = Arc::new(["blue", "green", "red", "rare"].map(str::to_owned).to_vec());
    let codes = (0..ROWS).map(|r| if r == 17 { 3 } else { (r + class(r)) as u32 % 3 }).collect();
    let mut images = Images::default();
    let mut signals = Sequences::new(2);
    for r in 0..ROWS {
        if r % 9 == 4 {
            images.push_absent();
        } else {
            let pixel = |i: usize| (60.0 * class(r) as f64 + 100.0 * at(r, 50 + i)) as u8;
            images.push([8, 8, 1], &(0..64).map(pixel).collect::<Vec<u8>>()).unwrap();
        }
        if r % 11 == 4 {
            signals.push_absent();
        } else {
            let steps = 3 + r % 6;
            let value = |i: usize| (class(r) as f64 * (i / 2) as f64 * 0.3 + at(r, 200 + i)) as f32;
            signals.push(&(0..2 * steps).map(value).collect::<Vec<f32>>()).unwrap();
        }
    }
    let width = 4;
    let values =
        (0..ROWS * width).map(|i| (class(i / width) as f64 - 2.0 * at(i / width, 300 + i % width)) as f32);
    let mut vectors = Vectors::new(vec![width], values.collect()).unwrap();
    vectors.absent = every(5, 4);
    let fields = vec![
        Field::new("a", Kind::Number),
        Field::new("b", Kind::Number),
        Field::new("c", Kind::Number),
        Field { levels: levels.to_vec(), ..Field::new("color", Kind::Category) },
        Field { shape: vec![8, 8, 1], ..Field::new("image", Kind::Image) },
        Field::vector("v", vec![width]),
        Field { shape: vec![2], longest: 8, ..Field::new("signal", Kind::Sequence) },
        Field::new("note", Kind::Text),
    ];
    let notes = Column::Text { values: vec!["a fox".to_owned(); ROWS], absent: Mask::none(ROWS) };
    let columns = [
        number(1, 0.0, every(7, 4)),
        number(2, 1.0e6, every(6, 4)),
        number(3, -1.0, every(13, 4)),
        Column::Category { levels, codes, missing: every(8, 4) },
        Column::Image(images),
        Column::Vector(vectors),
        Column::Sequence(signals),
        notes,
    ];
    let mut batch = Batch::new((0..ROWS as u64).collect());
    for (field, column) in fields.iter().zip(columns) {
        batch.set(&field.name, column).unwrap();
    }
    Memory::new(Schema { fields }, batch).unwrap()
}

/// Three classes, of which one more never occurs; two; or values.
fn target(of: &str) -> Target {
    let codes = |count: usize| (0..ROWS).map(|r| (class(r) % count) as u32).collect();
    let classes = |names: &[&str]| Classes::new(names.iter().map(|n| (*n).to_owned()).collect()).unwrap();
    match of {
        "three" => Target::Classes { classes: classes(&["x", "y", "never", "z"]), codes: skip(codes(3)) },
        "two" => Target::Classes { classes: classes(&["no", "yes"]), codes: codes(2) },
        _ => Target::Values(
            (0..ROWS).map(|r| (300.0 + 40.0 * (class(r) as f64 + at(r, 400))) as f32).collect(),
        ),
    }
}

fn skip(codes: Vec<u32>) -> Vec<u32> {
    codes.into_iter().map(|c| if c == 2 { 3 } else { c }).collect()
}

/// An array of 64-bit floats as numpy writes it.
fn npy(shape: &str, values: &[f64]) -> Vec<u8> {
    let mut header = format!("{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}");
    while !(header.len() + 11).is_multiple_of(64) {
        header.push(' ');
    }
    header.push('\n');
    let mut out = b"\x93NUMPY\x01\x00".to_vec();
    out.extend(u16::try_from(header.len()).unwrap().to_le_bytes());
    out.extend(header.bytes());
    out.extend(values.iter().flat_map(|v| v.to_le_bytes()));
    out
}

/// A data folder with a mean and three directions for the images.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mean: Vec<f64> = (0..64).map(|i| 100.0 + 20.0 * at(i, 500)).collect();
    let basis: Vec<f64> = (0..64 * 3).map(|i| 0.4 * at(i, 501) - 0.2).collect();
    let small: Vec<f64> = mean.iter().map(|m| m / 255.0).collect();
    std::fs::write(folder.path().join("mean.npy"), npy("(64,)", &mean)).unwrap();
    std::fs::write(folder.path().join("small_mean.npy"), npy("(64,)", &small)).unwrap();
    std::fs::write(folder.path().join("basis.npy"), npy("(64, 3)", &basis)).unwrap();
    folder
}

fn context<T>(work: impl FnOnce(&Context<'_>) -> T) -> T {
    let (stop, folder) = (Stop::default(), folder());
    work(&Context { root: Some(folder.path()), ..Context::new(Seed::new(3), &Quiet, &stop) })
}

/// A member: its method with parameters, its columns, and steps where they are not the usual ones.
fn member(
    source: &Memory,
    target: &Target,
    method: &str,
    parameters: Value,
    on: &[&str],
    steps: Value,
) -> Box<dyn Model> {
    let on: Vec<String> = on.iter().map(|n| (*n).to_owned()).collect();
    let steps: BTreeMap<String, Steps> = serde_json::from_value(steps).unwrap();
    let rows: Vec<usize> = (0..ROWS).collect();
    let data = Labelled { source, rows: &rows, target, weight: None, group: None };
    context(|context| {
        if let Ok(learner) = learners::REGISTRY.build(method, &parameters) {
            let preprocess =
                Preprocess::new(&REGISTRY, source.schema(), &on, &steps, |_| Reader::Matrix).unwrap();
            return Tabular::new(preprocess, learner).fit(&data, context).unwrap().model;
        }
        let network = if NETWORKS.get(method).is_ok() { &NETWORKS } else { &FUSIONS };
        let mut settings = json!({"epochs": 2, "inner": 0});
        settings.as_object_mut().unwrap().extend(parameters.as_object().unwrap().clone());
        let network = network.build(method, &settings).unwrap();
        let prepared = Preprocess::new(&REGISTRY, source.schema(), &on, &steps, |_| Reader::Network)
            .unwrap()
            .fit(&data, context)
            .unwrap();
        network.fit(&data, Box::new(prepared), Augmentation::default(), context).unwrap().model
    })
}

/// A composition of members, fitted to what they say of the rows.
fn composed(
    source: &Memory,
    target: &Target,
    fuser: &str,
    parameters: Value,
    members: Vec<(&str, Box<dyn Model>)>,
) -> Box<dyn Model> {
    let rows: Vec<usize> = (0..ROWS).collect();
    let batch = source.read(&rows, &source.schema().names()).unwrap();
    let said: Vec<(String, Predictions, Origin)> = members
        .iter()
        .map(|(n, m)| ((*n).to_owned(), m.predict(&batch).unwrap(), Origin::Validation))
        .collect();
    // Rows about which nobody speaks have no place in honest predictions.
    let kept: Vec<usize> =
        rows.into_iter().filter(|r| said.iter().any(|(_, p, _)| !p.absent().is_set(*r))).collect();
    let said = said.into_iter().map(|(n, p, o)| (n, p.take(&kept), o)).collect();
    let honest = Honest::new(said, target.take(&kept), vec![0; kept.len()], None, None).unwrap();
    let fuser = fuse::REGISTRY.build(fuser, &parameters).unwrap();
    let inputs = fuser.wants_inputs().then_some(Inputs { source, rows: &kept });
    let fused = context(|c| fuser.fit(&honest, inputs, c)).unwrap();
    let members = members.into_iter().map(|(n, m)| (n.to_owned(), Arc::from(m))).collect();
    Box::new(Composition::new(members, fused).unwrap())
}

/// A learner carried to the domain of the second half of the rows.
fn carried(source: &Memory, adapter: &str, parameters: Value) -> Box<dyn Model> {
    let (ours, theirs): (Vec<usize>, Vec<usize>) = (0..ROWS).partition(|r| r % 2 == 0);
    let target = target("two").take(&ours);
    let on = ["a".to_owned(), "v".to_owned()];
    let preprocess =
        Preprocess::new(&REGISTRY, source.schema(), &on, &BTreeMap::new(), |_| Reader::Matrix).unwrap();
    let learner = learners::REGISTRY.build("logistic", &json!({})).unwrap();
    let adapter = adapt::REGISTRY.build(adapter, &parameters).unwrap();
    let labelled = Labelled { source, rows: &ours, target: &target, weight: None, group: None };
    let unlabelled = Unlabelled { source, rows: &theirs };
    let moved =
        context(|c| transfer(&preprocess, adapter.as_ref(), learner.as_ref(), &labelled, &unlabelled, c));
    Box::new(moved.unwrap())
}

/// Every kind of model that can be exported, by name.
fn models(source: &Memory) -> Vec<(String, Box<dyn Model>)> {
    let (two, three, values) = (target("two"), target("three"), target("values"));
    let mut all: Vec<(String, Box<dyn Model>)> = Vec::new();
    let table = ["a", "b", "c", "color"];
    let none = || json!({});
    for (name, parameters) in [
        ("constant", none()),
        ("logistic", none()),
        ("naive_bayes", none()),
        ("gradient_boosting", json!({"rounds": 20, "min_leaf": 4})),
        ("random_forest", json!({"trees": 20})),
    ] {
        for (label, target) in [("two", &two), ("three", &three)] {
            let model = member(source, target, name, parameters.clone(), &table, none());
            all.push((format!("{name} {label}"), model));
            let model = member(source, target, name, parameters.clone(), &["a", "c", "v"], none());
            all.push((format!("{name} {label} numbers and a vector"), model));
        }
    }
    for kind in ["bernoulli", "multinomial"] {
        let steps = json!({"color": [["one_hot", {"max_levels": 2}]]});
        let model = member(source, &three, "naive_bayes", json!({"kind": kind}), &["color"], steps);
        all.push((format!("naive_bayes {kind}"), model));
    }
    for (name, parameters) in [
        ("constant", none()),
        ("linear", none()),
        ("gradient_boosting", json!({"rounds": 20, "min_leaf": 4})),
        ("random_forest", json!({"trees": 20})),
    ] {
        all.push((format!("{name} values"), member(source, &values, name, parameters, &table, none())));
    }
    let span = json!({"mean": "mean.npy", "basis": "basis.npy"});
    let unrounded = json!({"mean": "small_mean.npy", "basis": "basis.npy", "round": false});
    for (label, on, steps) in [
        (
            "power",
            &["a", "v"][..],
            json!({"a": [["impute", {"strategy": "mean", "indicator": false}], ["power", {}]], "v": [["power", {}]]}),
        ),
        (
            "power at its limits",
            &["a", "v"],
            json!({"a": [["impute", {}], ["power", {"lambda": 0.0}]], "v": [["power", {"lambda": 2.0}]]}),
        ),
        (
            "scale",
            &["c", "v"],
            json!({"c": [["impute", {"strategy": "constant", "value": 7.5}], ["scale", {"multiply": -0.3, "add": 2.0}]], "v": [["scale", {"add": 1.0}], ["standardize", {"per": "all"}]]}),
        ),
        (
            "ordinal",
            &["color"],
            json!({"color": [["ordinal", {"order": ["green", "blue", "rare", "red"]}], ["standardize", {}]]}),
        ),
        ("rare levels", &["color"], json!({"color": [["one_hot", {"min_count": 2}]]})),
        ("pixels", &["image"], none()),
        (
            "projected bytes",
            &["image"],
            json!({"image": [["project", span], ["tensor", {}], ["flatten", {}]]}),
        ),
        (
            "projected numbers",
            &["image"],
            json!({"image": [["tensor", {}], ["project", unrounded], ["flatten", {}]]}),
        ),
        ("summary", &["signal"], none()),
        ("every modality", &["a", "image", "v", "signal", "color"], none()),
    ] {
        all.push((format!("logistic {label}"), member(source, &three, "logistic", none(), on, steps)));
    }
    for longer in ["first", "last"] {
        let steps = json!({"signal": [["steps", {"length": 5, "longer": longer}], ["flatten", {}]]});
        all.push((
            format!("logistic {longer} steps"),
            member(source, &two, "logistic", none(), &["signal"], steps),
        ));
    }
    let small = json!({"channels": [4, 6], "features": 8});
    let encoders =
        json!({"encoders": {"image": {"cnn": small}, "signal": {"gru": {"hidden": 6}}}, "hidden": 7});
    let heads = json!({"encoders": encoders["encoders"]});
    let modalities = ["image", "signal", "a", "v"];
    for (label, method, parameters, on) in [
        ("mlp", "mlp", json!({"hidden": [9, 5]}), &["a", "c"][..]),
        ("mlp of a table", "mlp", json!({"hidden": [9, 5]}), &table),
        ("cnn", "cnn", small.clone(), &["image"]),
        ("cnn of steps", "cnn", small.clone(), &["signal"]),
        (
            "cnn with batch norm",
            "cnn",
            json!({"channels": [4], "repeat": 2, "norm": "batch", "pool": "mean", "reduce": "mean", "features": 5}),
            &["image"],
        ),
        ("resnet", "resnet", json!({"width": 2}), &["image"]),
        ("resnet 50", "resnet", json!({"width": 2, "depth": 50, "stem": "small"}), &["image"]),
        ("spectrogram", "spectrogram", json!({"channels": [3, 4], "features": 5}), &["image"]),
        ("lstm", "lstm", json!({"hidden": 6}), &["signal"]),
        (
            "lstm in both directions",
            "lstm",
            json!({"hidden": 4, "layers": 2, "bidirectional": true}),
            &["signal"],
        ),
        ("gru", "gru", json!({"hidden": 6}), &["signal"]),
        ("gru of an image", "gru", json!({"hidden": 6}), &["image"]),
        ("concat", "concat", encoders, &modalities),
        ("late", "late", heads.clone(), &modalities),
    ] {
        all.push((label.to_owned(), member(source, &three, method, parameters, on, none())));
    }
    all.push((
        "mlp values".to_owned(),
        member(source, &values, "mlp", json!({"hidden": [9]}), &["a", "c"], none()),
    ));
    all.push(("late values".to_owned(), member(source, &values, "late", heads, &modalities, none())));
    // Not rank_mean: on the rows that it was fitted to a rounding of what a member says is half a rank.
    for (fuser, parameters) in [
        ("soft_vote", none()),
        ("soft_vote", json!({"weights": [0.0, 1.0, 0.5]})),
        ("hard_vote", none()),
        ("weighted", none()),
        ("greedy", none()),
        ("stacking", none()),
        ("stacking", json!({"on": "probabilities", "non_negative": true})),
        ("blending", json!({"share": 0.9})),
        ("boosted_stack", json!({"rounds": 20, "min_leaf": 4})),
        ("median", none()),
        ("trimmed_mean", json!({"share": 0.34})),
        ("geometric_mean", json!({"weights": [0.0, 1.0, 0.5]})),
        ("power_mean", json!({"exponent": -2.0})),
        ("power_mean", json!({"exponent": "max", "weights": [0.0, 1.0, 0.5]})),
        ("pseudo_bma", none()),
        ("dawid_skene", none()),
    ] {
        for (label, target) in [("two", &two), ("three", &three)] {
            let members = vec![
                ("numbers", member(source, target, "logistic", none(), &["a", "c"], none())),
                ("looks", member(source, target, "cnn", small.clone(), &["image"], none())),
                ("reads", member(source, target, "naive_bayes", none(), &["signal"], none())),
            ];
            let plain = parameters == none();
            let given = if plain { String::new() } else { format!(" given {parameters}") };
            let given: String =
                given.chars().filter(|c| c.is_alphanumeric() || " _.-".contains(*c)).collect();
            let name = format!("{fuser}{given} {label}");
            all.push((name, composed(source, target, fuser, parameters.clone(), members)));
        }
    }
    for fuser in [
        "soft_vote",
        "weighted",
        "stacking",
        "boosted_stack",
        "median",
        "trimmed_mean",
        "geometric_mean",
        "power_mean",
        "pseudo_bma",
    ] {
        let members = vec![
            ("numbers", member(source, &values, "linear", none(), &["a", "c"], none())),
            ("vectors", member(source, &values, "linear", none(), &["v"], none())),
        ];
        all.push((format!("{fuser} values"), composed(source, &values, fuser, none(), members)));
    }
    for (label, columns, target) in [
        ("of a table", json!(["a", "color"]), &three),
        ("of payloads", json!(["image", "v"]), &two),
        ("values", json!(["a", "v"]), &values),
    ] {
        let (line, reads) =
            if label == "values" { ("linear", "linear") } else { ("logistic", "naive_bayes") };
        let members = vec![
            ("numbers", member(source, target, line, none(), &["a", "c"], none())),
            ("looks", member(source, target, line, none(), &["image", "color"], none())),
            ("vectors", member(source, target, reads, none(), &["v"], none())),
        ];
        let name = format!("gate {label}");
        all.push((name, composed(source, target, "gate", json!({"columns": columns}), members)));
    }
    let members = vec![
        ("numbers", member(source, &three, "logistic", none(), &["a", "c"], none())),
        ("looks", member(source, &three, "logistic", none(), &["image", "color"], none())),
        ("vectors", member(source, &three, "naive_bayes", none(), &["v"], none())),
    ];
    let asked = json!({"columns": ["a"], "top": 2, "balance": 0.1});
    all.push(("gate that asks two".to_owned(), composed(source, &three, "gate", asked, members)));
    let members = vec![
        ("trees", member(source, &three, "random_forest", json!({"trees": 9}), &table, none())),
        ("line", member(source, &three, "logistic", none(), &table, none())),
    ];
    all.push(("stacking of one table".to_owned(), composed(source, &three, "stacking", none(), members)));
    all.push(("coral".to_owned(), carried(source, "coral", none())));
    all.push(("coral unit".to_owned(), carried(source, "coral", json!({"unit": true}))));
    all.push(("source_only".to_owned(), carried(source, "source_only", none())));
    all
}

/// An input of a graph, filled from rows.
struct Feed {
    shape: Vec<usize>,
    numbers: Vec<f64>,
    texts: Vec<String>,
}

/// What the rows hold for an input. Cells without a value get numbers that must not matter.
fn feed(port: &Port, batch: &Batch) -> Feed {
    let rows = batch.rows();
    let of = |end: &str| port.name.strip_suffix(end).and_then(|n| batch.get(n));
    let flag = |on: bool| f64::from(u8::from(on));
    let mut shape = vec![rows, 1];
    let mut texts = Vec::new();
    let numbers = if let Some(column) = of("_present") {
        (0..rows).map(|r| flag(!column.unavailable().is_set(r))).collect()
    } else if let Some(Column::Sequence(s)) = of("_steps") {
        (0..rows).map(|r| s.get(r).map_or(0.0, |v| (v.len() / s.width()) as f64)).collect()
    } else {
        match batch.column(&port.name).unwrap() {
            Column::Number { values, missing } => {
                (0..rows).map(|r| if missing.is_set(r) { f64::NAN } else { values[r] }).collect()
            }
            Column::Category { levels, codes, missing } => {
                let level =
                    |r| if missing.is_set(r) { String::new() } else { levels[codes[r] as usize].clone() };
                texts = (0..rows).map(level).collect();
                Vec::new()
            }
            Column::Image(images) => {
                shape = vec![rows, 8, 8, 1];
                let pixels = |r| {
                    images.get(r).map_or(vec![9.0; 64], |(_, p)| p.iter().map(|v| f64::from(*v)).collect())
                };
                (0..rows).flat_map(pixels).collect()
            }
            Column::Vector(v) => {
                shape = vec![rows, v.width()];
                let row = |r| {
                    v.get(r).map_or(vec![f64::NAN; v.width()], |v| v.iter().map(|v| f64::from(*v)).collect())
                };
                (0..rows).flat_map(row).collect()
            }
            Column::Sequence(s) => {
                let longest =
                    (0..rows).filter_map(|r| s.get(r)).map(<[f32]>::len).max().unwrap_or(0) / s.width();
                shape = vec![rows, longest, s.width()];
                let row = |r| {
                    let mut row: Vec<f64> = s.get(r).unwrap_or(&[]).iter().map(|v| f64::from(*v)).collect();
                    row.resize(longest * s.width(), -99.0);
                    row
                };
                (0..rows).flat_map(row).collect()
            }
            other => panic!("{:?}", other.kind()),
        }
    };
    Feed { shape, numbers, texts }
}

/// Runs a graph in rten; nothing where it cannot: texts and trees.
fn in_rten(graph: &Graph, bytes: Vec<u8>, batch: &Batch) -> Option<Vec<f32>> {
    let foreign = |o: &str| o == "TreeEnsembleRegressor" || o == "LabelEncoder";
    if graph.nodes().iter().any(|n| foreign(n.operator)) {
        return None;
    }
    let model = rten::Model::load(bytes).unwrap();
    let inputs = graph.inputs().iter().map(|port| {
        let Feed { shape, numbers, .. } = feed(port, batch);
        let id = model.node_id(&port.name).unwrap();
        let shape = shape.as_slice();
        let value: rten::Value = match port.element {
            Element::F32 | Element::F64 => {
                Tensor::from_data(shape, numbers.iter().map(|v| *v as f32).collect::<Vec<f32>>()).into()
            }
            Element::U8 => {
                Tensor::from_data(shape, numbers.iter().map(|v| *v as u8).collect::<Vec<u8>>()).into()
            }
            _ => Tensor::from_data(shape, numbers.iter().map(|v| *v as i32).collect::<Vec<i32>>()).into(),
        };
        (id, value.into())
    });
    let output = model.node_id(&graph.outputs()[0].name).unwrap();
    let said = model.run(inputs.collect(), &[output], None).unwrap().remove(0);
    let said: NdTensor<f32, 2> = said.try_into().unwrap();
    Some(said.to_vec())
}

fn gap(said: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(said.len(), expected.len());
    let one = |(s, e): (&f32, &f32)| match (s.is_nan(), e.is_nan()) {
        (true, true) => 0.0,
        (false, false) => (s - e).abs() / e.abs().max(1.0),
        _ => f32::INFINITY,
    };
    said.iter().zip(expected).map(one).fold(0.0, f32::max)
}

fn write_case(folder: &Path, graph: &Graph, bytes: &[u8], batch: &Batch, expected: &[f32]) {
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join("model.onnx"), bytes).unwrap();
    let array = |element: &str, shape: &[usize], data: Value| json!({"element": element, "shape": shape, "data": data});
    let inputs: BTreeMap<String, Value> = graph
        .inputs()
        .iter()
        .map(|port| {
            let Feed { shape, numbers, texts } = feed(port, batch);
            let data = if texts.is_empty() { json!(numbers) } else { json!(texts) };
            (port.name.to_string(), array(port.element.name(), &shape, data))
        })
        .collect();
    let shape = [batch.rows(), expected.len() / batch.rows()];
    let expected = array("float32", &shape, json!(expected));
    std::fs::write(folder.join("inputs.json"), json!(inputs).to_string()).unwrap();
    std::fs::write(folder.join("expected.json"), expected.to_string()).unwrap();
}

#[test]
fn exported_models_say_what_csl_says() {
    let source = source();
    let rows: Vec<usize> = (0..ROWS).collect();
    let batch = source.read(&rows, &source.schema().names()).unwrap();
    let cases = tempfile::tempdir().unwrap();
    let (mut ran, mut wrong) = (0, Vec::new());
    for (name, model) in models(&source) {
        let graph = Graph::of(model.as_ref()).unwrap_or_else(|e| panic!("{name}: {e}"));
        let bytes = graph.to_onnx(&About::default()).unwrap();
        assert_eq!(bytes, Graph::of(model.as_ref()).unwrap().to_onnx(&About::default()).unwrap(), "{name}");
        // A model of one image or vector needs it on every row.
        let lacking = model.predict(&batch).unwrap().absent().clone();
        let spoken: Vec<usize> = rows.iter().copied().filter(|r| !lacking.is_set(*r)).collect();
        let batch = if graph.inputs().len() == 1 { batch.take(&spoken).unwrap() } else { batch.clone() };
        let expected: Vec<f32> = model.predict(&batch).unwrap().matrix().iter().copied().collect();
        write_case(&cases.path().join(name.replace(' ', "-")), &graph, &bytes, &batch, &expected);
        if let Some(said) = in_rten(&graph, bytes, &batch) {
            ran += 1;
            let gap = gap(&said, &expected);
            // A logit in 32 bits: of 1 - p, near the clip at 1e-6, a tenth is rounding.
            let logits = name.starts_with("stacking") || name.starts_with("blending");
            let most = if logits { 100.0 * TOLERANCE } else { TOLERANCE };
            if gap > most {
                wrong.push(format!("{name}: {gap:e}"));
            }
        }
    }
    assert!(ran >= 30, "rten ran {ran}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let Some(python) = std::env::var_os("CSL_PYTHON") else {
        eprintln!("skipped: ONNX Runtime; CSL_PYTHON names no Python that has it");
        return;
    };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/onnx/check.py");
    let done = std::process::Command::new(python).arg(script).arg(cases.path()).output().unwrap();
    let told = String::from_utf8_lossy(&done.stdout).into_owned();
    eprintln!("{told}");
    assert!(done.status.success(), "{told}\n{}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn what_onnx_cannot_say_is_refused_by_name() {
    let source = source();
    let two = target("two");
    let refused = |model: &dyn Model| -> Error { Graph::of(model).expect_err("written") };
    let says = |error: Error, parts: &[&str]| {
        assert!(matches!(error, Error::Model(_)), "{error}");
        let text = error.to_string();
        assert!(parts.iter().all(|p| text.contains(p)), "{text}");
    };
    let none = json!({});
    let words = || member(&source, &two, "logistic", none.clone(), &["note"], none.clone());
    says(refused(words().as_ref()), &["column \"note\"", "step \"tfidf\"", "ONNX"]);
    let near = member(&source, &two, "knn", none.clone(), &["a"], none.clone());
    says(refused(near.as_ref()), &["learner \"knn\""]);
    let steps = json!({"image": [["tensor", {"height": 4, "width": 4}], ["flatten", {}]]});
    let resized = member(&source, &two, "logistic", none.clone(), &["image"], steps);
    says(refused(resized.as_ref()), &["column \"image\"", "step \"tensor\"", "resized"]);
    let lines = || {
        vec![
            ("line", member(&source, &two, "logistic", none.clone(), &["a"], none.clone())),
            ("other", member(&source, &two, "logistic", none.clone(), &["v"], none.clone())),
        ]
    };
    let gate = |columns: Value| composed(&source, &two, "gate", json!({"columns": columns}), lines());
    says(refused(gate(json!(["c"])).as_ref()), &["gate", "number column \"c\"", "no member reads"]);
    says(refused(gate(json!(["note"])).as_ref()), &["gate", "text column \"note\""]);
    let members =
        vec![("words", words()), ("line", member(&source, &two, "logistic", none.clone(), &["a"], none))];
    let both = composed(&source, &two, "soft_vote", json!({}), members);
    says(refused(both.as_ref()), &["member \"words\": column \"note\"", "step \"tfidf\""]);
}
