//! Agreement of whole architectures with PyTorch and torchvision: predicting, training, gradients, running moments.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use consilience_core::model::{Array, Field, Parts};
use consilience_core::seed::Seed;
use consilience_core::weights::write_arrays;
use consilience_nn::architecture::Architecture;
use consilience_nn::backend::{self, Tensor};
use consilience_nn::fusion::Heads;
use consilience_nn::inputs::Inputs;
use consilience_nn::kernels::cross_entropy;
use consilience_nn::layers::{Pass, batch_norm};
use consilience_nn::params::Params;
use consilience_nn::train::{Weights, outside};
use serde::Deserialize;
use serde_json::Value;

use crate::data::{classes, method};

#[derive(Deserialize)]
struct Case {
    name: String,
    config: Value,
    shape: Vec<usize>,
    rows: usize,
    tensors: usize,
    predicted: Vec<f32>,
    logits: Vec<f32>,
    loss: f32,
    moments: BTreeMap<String, Few>,
    gradients: BTreeMap<String, Few>,
}

#[derive(Deserialize)]
struct Few {
    first: Vec<f32>,
    squares: f64,
}

impl Few {
    fn check(&self, got: &[f32], tolerance: f32, what: &str) {
        let size = (self.squares / got.len() as f64).sqrt() as f32;
        for (a, e) in got.iter().zip(&self.first) {
            assert!((a - e).abs() <= tolerance * (size + e.abs()), "{what}: {a} instead of {e}");
        }
        let squares: f64 = got.iter().map(|v| f64::from(*v).powi(2)).sum();
        assert!((squares - self.squares).abs() <= f64::from(tolerance) * self.squares, "{what}: {squares}");
    }
}

/// The numbers that `testdata/gen/architectures.py` gives a parameter.
fn fill(name: &str, shape: &[usize]) -> Vec<f32> {
    let salt: i64 = name.bytes().map(i64::from).sum();
    let count: usize = shape.iter().product();
    let one = |i: usize| {
        let v = ((i as i64 * 7919 + salt * 10429) % 2003) as f64 / 2003.0 - 0.5;
        let v = if shape.len() > 1 {
            v * (6.0 / (count / shape[0]) as f64).sqrt()
        } else if name.ends_with("running_var") || name.ends_with("weight") {
            v + 1.0
        } else {
            v
        };
        v as f32
    };
    (0..count).map(one).collect()
}

fn near(got: &[f32], expected: &[f32], tolerance: f32, what: &str) {
    assert_eq!(got.len(), expected.len(), "{what}");
    let size = expected.iter().fold(0.0f32, |m, v| m.max(v.abs()));
    for (a, e) in got.iter().zip(expected) {
        assert!((a - e).abs() <= tolerance * (1.0 + size), "{what}: {a} instead of {e}");
    }
}

fn logits(architecture: &Architecture, pass: &Pass<'_>, rows: usize, shape: &[usize]) -> Tensor<2> {
    let mut all = vec![rows];
    all.extend(shape);
    let width = shape.iter().product();
    let x = backend::constant(fill("input", &all), [rows, width]);
    let inputs = Inputs { rows, values: vec![Some(x)], present: vec![vec![1.0; rows]] };
    match architecture.forward(pass, inputs).unwrap().heads {
        Heads::One(logits) => logits,
        Heads::Each(_) => panic!("one head"),
    }
}

#[test]
fn predictions_training_and_gradients_agree() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/golden/architectures.json");
    let golden: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let cases: Vec<Case> = serde_json::from_value(golden["cases"].clone()).unwrap();
    assert_eq!(cases.len(), 6);
    for mut case in cases {
        let name = case.config.as_object_mut().unwrap().remove("method").unwrap();
        let method = method(name.as_str().unwrap(), case.config.clone());
        let architecture = method.architecture(&[Field::vector("x", case.shape.clone())]).unwrap();
        let target = classes((0..case.rows).map(|r| (r % 3) as u32).collect(), 3);
        let declared = architecture.declare(&target.task());
        assert_eq!(declared.len(), case.tensors, "{}", case.name);
        let parts = declared.iter().fold(Parts::default(), |parts, d| {
            parts.with(&d.name, Array::F32(d.shape.clone(), fill(&d.name, &d.shape)))
        });
        let mut params = Params::from_parts(&declared, &parts).unwrap();

        let bound = params.bind(false);
        let predicted = logits(&architecture, &Pass::predicting(&bound), case.rows, &case.shape);
        // Up to fifty layers of sums of some hundred products.
        near(&backend::read(predicted).unwrap(), &case.predicted, 1e-5, &case.name);

        let learned = |name: &str| declared.iter().any(|d| d.name == name && d.learned);
        let bound = params.bind_where(learned);
        let pass = Pass::training(&bound, 0.0, Seed::new(1));
        let given = logits(&architecture, &pass, case.rows, &case.shape);
        // A variance over few numbers of a small channel multiplies roundings, layer by layer.
        let tolerance = if case.name.starts_with("resnet") { 2e-3 } else { 1e-5 };
        near(&backend::read(given.clone()).unwrap(), &case.logits, tolerance, &case.name);
        let mut truth = vec![0.0; case.rows * 3];
        (0..case.rows).for_each(|r| truth[r * 3 + r % 3] = 1.0);
        let share = backend::constant(vec![1.0 / case.rows as f32; case.rows], [case.rows]);
        let loss = cross_entropy(given, backend::constant(truth, [case.rows, 3]), share);
        near(&backend::read(loss.clone()).unwrap(), &[case.loss], tolerance, &case.name);
        let gradients = bound.gradients(backend::backward(&loss).unwrap()).unwrap();
        for (n, few) in &case.gradients {
            few.check(gradients[n].numbers(), 10.0 * tolerance, &format!("{}: gradient of {n}", case.name));
        }
        params.approach(&pass.moments(), batch_norm::SHARE);
        for (n, few) in &case.moments {
            let (_, moment) = params.iter().find(|(p, _)| p == n).unwrap();
            few.check(moment.numbers(), tolerance, &format!("{}: {n}", case.name));
        }
    }
}

fn weights() -> Vec<Weights> {
    vec![Weights { layer: "encoders.x".to_owned(), file: "resnet18.pth".to_owned() }]
}

fn checkpoints() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/golden/checkpoints")
}

fn narrow(width: usize) -> Architecture {
    method("resnet", serde_json::json!({"width": width}))
        .architecture(&[Field::vector("x", vec![3, 32, 32])])
        .unwrap()
}

#[test]
fn a_checkpoint_of_torchvision_is_taken_by_name() {
    let task = |count: u32| classes(vec![0], count).task();
    let root = checkpoints();
    // As many classes: the classifier is kept.
    let kept = outside(&weights(), &narrow(2), &task(3), Some(&root)).unwrap();
    assert!(kept.notes[0].contains("its classifier is kept"), "{:?}", kept.notes);
    let declared = narrow(2).declare(&task(3));
    assert_eq!(kept.numbers.len(), declared.len());
    for d in &declared {
        let theirs =
            d.name.strip_prefix("encoders.x.").map_or_else(|| d.name.replace("head.", "fc."), str::to_owned);
        assert_eq!(kept.numbers[&d.name], fill(&theirs, &d.shape), "{theirs}");
    }
    let replaced = outside(&weights(), &narrow(2), &task(4), Some(&root)).unwrap();
    assert!(replaced.notes[0].contains("the classifier is new"), "{:?}", replaced.notes);
    assert_eq!(replaced.numbers.len(), declared.len() - 2);
    // A network of ours under another column's name.
    let dir = tempfile::tempdir().unwrap();
    let ours: BTreeMap<String, Array> = declared
        .iter()
        .map(|d| {
            let name = d.name.replace("encoders.x.", "encoders.photo.");
            (name, Array::F32(d.shape.clone(), kept.numbers[&d.name].clone()))
        })
        .chain([("target.scale".to_owned(), Array::F64(vec![2], vec![0.0, 1.0]))])
        .collect();
    write_arrays(&dir.path().join("resnet18.pth"), &ours).unwrap();
    let again = outside(&weights(), &narrow(2), &task(3), Some(dir.path())).unwrap();
    assert_eq!(again.numbers, kept.numbers);
}

#[test]
fn a_checkpoint_that_does_not_fit_is_refused_whole() {
    let task = classes(vec![0], 3).task();
    let root = checkpoints();
    let refused = |width: usize, root: Option<&Path>, file: &str| {
        let weights = [Weights { layer: "encoders.x".to_owned(), file: file.to_owned() }];
        outside(&weights, &narrow(width), &task, root).unwrap_err()
    };
    let error = refused(3, Some(&root), "resnet18.pth");
    assert_eq!(error.exit_code(), 3);
    let text = error.to_string();
    assert!(text.contains("bn1.bias") && text.contains("[3]") && text.contains("[2]"), "{text}");
    let gray = method("resnet", serde_json::json!({"width": 2}));
    let gray = gray.architecture(&[Field::vector("x", vec![1, 32, 32])]).unwrap();
    let text = outside(&weights(), &gray, &task, Some(&root)).unwrap_err().to_string();
    assert!(text.contains("tensor: {channels: 3}"), "{text}");
    assert!(refused(2, None, "resnet18.pth").to_string().contains("data folder"));
    assert!(refused(2, Some(&root), "../nn.json").to_string().contains("nn.json"));
    assert_eq!(refused(2, Some(&root), "none.pth").exit_code(), 3);
    let declared = narrow(2).declare(&task);
    let spoiled = |change: &dyn Fn(&mut BTreeMap<String, Array>)| {
        let mut all: BTreeMap<String, Array> = declared
            .iter()
            .map(|d| {
                (d.name.replace("encoders.x.", ""), Array::F32(d.shape.clone(), fill(&d.name, &d.shape)))
            })
            .collect();
        change(&mut all);
        let dir = tempfile::tempdir().unwrap();
        write_arrays(&dir.path().join("w"), &all).unwrap();
        refused(2, Some(dir.path()), "w").to_string()
    };
    let with = |name: &str, value: f32| {
        let name = name.to_owned();
        move |all: &mut BTreeMap<String, Array>| {
            if let Some(Array::F32(_, numbers)) = all.get_mut(&name) {
                numbers[1] = value;
            }
        }
    };
    assert!(spoiled(&with("conv1.weight", f32::NAN)).contains("conv1.weight"));
    assert!(spoiled(&with("bn1.running_var", -0.5)).contains("running variance"));
    let text = spoiled(&|all| {
        all.remove("layer3.1.conv2.weight");
        all.insert("layer5.weight".to_owned(), Array::F32(vec![1], vec![0.0]));
    });
    assert!(text.contains("layer3.1.conv2.weight") && text.contains("layer5.weight"), "{text}");
}
