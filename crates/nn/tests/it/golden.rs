//! Agreement with PyTorch: forward passes, losses, gradients, optimizers, schedules.

use std::collections::BTreeMap;

use consilience_core::model::{Array, Batch, Column, Field, Mask, Parts, Vectors};
use consilience_nn::backend::{self, Host, Tensor};
use consilience_nn::fusion::Heads;
use consilience_nn::inputs::Block;
use consilience_nn::kernels::cross_entropy;
use consilience_nn::layers::Pass;
use consilience_nn::params::{Declared, Params};
use consilience_nn::train::{Adam, Schedule, Sgd, Step};
use serde::Deserialize;
use serde_json::Value;

use crate::data::{classes, method};

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
    steps: Vec<Steps>,
    schedules: BTreeMap<String, Vec<f64>>,
}

#[derive(Deserialize)]
pub struct Flat {
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    config: Value,
    shapes: BTreeMap<String, Vec<usize>>,
    inputs: Vec<Flat>,
    present: Vec<Vec<u8>>,
    params: BTreeMap<String, Flat>,
    logits: Flat,
    loss: f32,
    gradients: BTreeMap<String, Flat>,
}

#[derive(Deserialize)]
struct Steps {
    name: String,
    rate: f64,
    decay: f64,
    momentum: f64,
    start: Vec<Flat>,
    gradients: Vec<Vec<Flat>>,
    end: Vec<Flat>,
}

fn golden() -> Golden {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/golden/nn.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Sums of up to a few hundred products of numbers near one in another order: 1e-5 is some hundred roundings.
pub fn near(got: &[f32], expected: &[f32], what: &str) {
    assert_eq!(got.len(), expected.len(), "{what}");
    for (a, b) in got.iter().zip(expected) {
        assert!((a - b).abs() <= 1e-5 * (1.0 + b.abs()), "{what}: {a} instead of {b}");
    }
}

#[test]
fn forward_passes_losses_and_gradients_agree() {
    let golden = golden();
    assert_eq!(golden.cases.len(), 6);
    for case in golden.cases {
        let mut config = case.config;
        let name = config.as_object_mut().unwrap().remove("method").unwrap();
        let method = method(name.as_str().unwrap(), config);
        let fields: Vec<Field> = case.shapes.iter().map(|(n, s)| Field::vector(n, s.clone())).collect();
        let (rows, count) = (case.logits.shape[0], case.logits.shape[1]);
        let target = classes((0..rows).map(|r| (r % count) as u32).collect(), count as u32);
        let architecture = method.architecture(&fields).unwrap();
        let declared = architecture.declare(&target.task());
        assert_eq!(declared.len(), case.params.len(), "{}", case.name);
        let parts = case.params.iter().fold(Parts::default(), |parts, (n, p)| {
            parts.with(n, Array::F32(p.shape.clone(), p.values.clone()))
        });
        let params = Params::from_parts(&declared, &parts).unwrap();

        let mut batch = Batch::new((0..rows as u64).collect());
        for ((field, x), present) in fields.iter().zip(&case.inputs).zip(&case.present) {
            let mut vectors = Vectors::new(field.shape.clone(), x.values.clone()).unwrap();
            vectors.absent = present.iter().map(|p| *p == 0).collect::<Mask>();
            batch.set(&field.name, Column::Vector(vectors)).unwrap();
        }
        let bound = params.bind(true);
        let inputs = Block::new(&batch, &fields).unwrap().into_inputs();
        let joint = architecture.forward(&Pass::predicting(&bound), inputs).unwrap();
        let Heads::One(logits) = joint.heads else { panic!("one head") };
        near(&backend::read(logits.clone()).unwrap(), &case.logits.values, &case.name);

        let (_, codes) = target.codes().unwrap();
        let mut truth = vec![0.0; rows * count];
        codes.iter().enumerate().for_each(|(r, c)| truth[r * count + *c as usize] = 1.0);
        let share = backend::constant(vec![1.0 / rows as f32; rows], [rows]);
        let loss: Tensor<1> = cross_entropy(logits, backend::constant(truth, [rows, count]), share);
        near(&backend::read(loss.clone()).unwrap(), &[case.loss], &case.name);
        let gradients = bound.gradients(backend::backward(&loss).unwrap()).unwrap();
        for (n, expected) in &case.gradients {
            near(gradients[n].numbers(), &expected.values, &format!("{}: {n}", case.name));
        }
    }
}

#[test]
fn optimizers_agree() {
    for case in golden().steps {
        let declared = [Declared::new("w", vec![2, 3], 3), Declared::new("b", vec![2], 3)];
        let pair = |f: &[Flat]| {
            let of = |i: usize| Host::new(f[i].values.clone(), f[i].shape.clone());
            BTreeMap::from([("w".to_owned(), of(0)), ("b".to_owned(), of(1))])
        };
        let start = pair(&case.start).into_iter().fold(Parts::default(), |p, (n, v)| {
            let shape = if n == "w" { vec![2, 3] } else { vec![2] };
            p.with(&n, Array::F32(shape, v.numbers().to_vec()))
        });
        let mut params = Params::from_parts(&declared, &start).unwrap();
        let mut optimizer: Box<dyn Step> = match case.name.as_str() {
            "adam" => Box::new(Adam::new(case.decay)),
            _ => Box::new(Sgd::new(case.momentum, case.decay)),
        };
        for gradients in &case.gradients {
            optimizer.step(&mut params, &pair(gradients), case.rate);
        }
        let end = pair(&case.end);
        for (n, p) in params.iter() {
            near(p.numbers(), end[n].numbers(), &format!("{}: {n}", case.name));
        }
    }
}

#[test]
fn schedules_agree() {
    let schedules = golden().schedules;
    for (name, schedule) in [("cosine", Schedule::Cosine), ("one_cycle", Schedule::OneCycle)] {
        let expected = &schedules[name];
        for (step, e) in expected.iter().enumerate() {
            let f = schedule.factor(step as u64, expected.len() as u64);
            assert!((f - e).abs() < 1e-9, "{name} {step}: {f} instead of {e}");
        }
    }
}
