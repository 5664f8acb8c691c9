//! One training step or prediction of the networks of `peer.py`, in milliseconds: `workloads NAME [SECONDS]`.
//!
//! Prints a line of JSON: median, least, count and the peak of resident memory.

// A bench prints, and what fails in it is a mistake in it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::time::Instant;

use consilience_core::model::{
    Batch, Classes, Column, Context, Field, Labelled, Progress, Schema, Source, Stop, Target, Task, Vectors,
};
use consilience_core::seed::Seed;
use consilience_core::weights::Checkpoint;
use consilience_nn::architecture::Architecture;
use consilience_nn::backend::{self, Host, Tensor};
use consilience_nn::encode::{CnnEncoder, Encode, Encoder, TransformerEncoder};
use consilience_nn::estimators::{self, Concat, NetworkMethod};
use consilience_nn::fusion::Heads;
use consilience_nn::inputs::{AsIs, Inputs};
use consilience_nn::kernels::{
    Activation, Steps, activate, convolution_block, cross_entropy, dense, lstm, softmax,
};
use consilience_nn::layers::Pass;
use consilience_nn::memory::Reuse;
use consilience_nn::params::{Bound, Declared, Params};
use consilience_nn::train::{self, Adam, Augmentation, Sgd, Step, Training, Weights};
use rand::RngExt;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    // As a fit does: on a thread of the pool, so that no piece of work is handed over from outside.
    rayon::scope(|_| run());
}

fn run() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let name = arguments.first().map_or("mlp", String::as_str);
    let seconds: f64 = arguments.get(1).and_then(|s| s.parse().ok()).unwrap_or(4.0);
    let _reuse = Reuse::begin();
    match name {
        "mlp" => step(name, seconds, mlp(), Box::new(Adam::new(0.0)), 1e-3, 128, 784, 10, mlp_forward),
        "cnn" => step(name, seconds, cnn(), Box::new(Sgd::new(0.0, 0.0)), 1e-2, 128, 784, 10, cnn_forward),
        "lstm" => {
            step(name, seconds, recurrent(), Box::new(Adam::new(0.0)), 1e-3, 32, 6400, 10, lstm_forward)
        }
        "transformer" => {
            step(name, seconds, transformer(), Box::new(Adam::new(0.0)), 1e-3, 32, 128, 10, read_text)
        }
        "r18train" => {
            let (net, task) = resnet(64);
            let declared = net.declare(&task);
            let forward = |p: &Bound, x: Tensor<2>| logits(&net, &Pass::training(p, 0.0, Seed::new(1)), x);
            step(name, seconds, declared, Box::new(Sgd::new(0.0, 0.0)), 1e-2, 16, 3 * 64 * 64, 1000, forward);
        }
        "r18infer" => {
            let (net, task) = resnet(224);
            let bound = Params::init(&net.declare(&task), Seed::new(1)).bind(false);
            let pass = Pass::predicting(&bound);
            let x: Tensor<2> = backend::constant(normal(8 * 3 * 224 * 224), [8, 3 * 224 * 224]);
            measure(name, seconds, || drop(backend::read(logits(&net, &pass, x.clone()))));
        }
        "softmax" | "gelu" => {
            let x: Tensor<2> = backend::constant(normal(4096 * 1024), [4096, 1024]);
            let soft = name == "softmax";
            measure(name, seconds, || {
                let y = if soft { softmax(x.clone()) } else { activate(Activation::Gelu, x.clone()) };
                drop(Host::of(y));
            });
        }
        "avmnist" => epochs(name, seconds),
        "outside" => outside(arguments.get(1).map_or(".", String::as_str)),
        other => eprintln!("there is no workload {other}"),
    }
}

/// Epochs of a fit of the concat model of AV-MNIST from end to end, as `csl run` does it: 10,000 rows of an image of
/// 28 x 28 and a sound of 32 x 64, batches of 64, Adam. What the numbers are makes no difference to the time.
fn epochs(name: &str, seconds: f64) {
    const ROWS: usize = 10_000;
    let fields = vec![Field::vector("image", vec![1, 28, 28]), Field::vector("audio", vec![1, 32, 64])];
    let source = Made { schema: Schema { fields: fields.clone() }, ids: (0..ROWS as u64).collect() };
    let classes = Classes::new((0..10).map(|c| c.to_string()).collect()).unwrap();
    let target = Target::Classes { classes, codes: (0..ROWS as u32).map(|r| r * 7 % 10).collect() };
    let rows: Vec<usize> = (0..ROWS).collect();
    let data = Labelled { source: &source, rows: &rows, target: &target, weight: None, group: None };
    let encoder = |channels: &[usize]| {
        Encoder::Cnn(CnnEncoder { channels: channels.to_vec(), ..CnnEncoder::default() })
    };
    let training = Training { epochs: 2 + (seconds / 2.0).ceil() as u32, inner: 0.0, ..Training::default() };
    let method = Concat {
        encoders: BTreeMap::from([
            ("image".to_owned(), encoder(&[16, 32])),
            ("audio".to_owned(), encoder(&[16, 32, 32])),
        ]),
        training,
        ..Concat::default()
    };
    let (ticks, stop) = (Ticks::default(), Stop::default());
    let context = Context::new(Seed::new(1), &ticks, &stop);
    let prepare = Box::new(AsIs::new(fields).unwrap());
    method.fit(&data, prepare, Augmentation::default(), &context).unwrap();
    // From the end of an epoch to the end of the next; the first, which also reads the rows, is left out.
    let ends = ticks.0.into_inner().unwrap();
    report(name, ends.windows(2).map(|w| (w[1] - w[0]).as_secs_f64() * 1e3).collect());
}

/// Rows that are made when they are read, as files are: what the bench itself holds is not counted as memory of the fit.
struct Made {
    schema: Schema,
    ids: Vec<u64>,
}

impl Source for Made {
    fn schema(&self) -> &Schema {
        &self.schema
    }

    fn ids(&self) -> &[u64] {
        &self.ids
    }

    fn read(&self, rows: &[usize], _: &[&str]) -> consilience_core::Result<Batch> {
        let mut batch = Batch::new(rows.iter().map(|r| self.ids[*r]).collect());
        for field in &self.schema.fields {
            let width: usize = field.shape.iter().product();
            let vectors = Vectors::new(field.shape.clone(), normal(rows.len() * width))?;
            batch.set(&field.name, Column::Vector(vectors))?;
        }
        Ok(batch)
    }
}

/// When each epoch ended.
#[derive(Default)]
struct Ticks(Mutex<Vec<Instant>>);

impl Progress for Ticks {
    fn step(&self, done: u64, _: u64, _: &str) {
        if done.is_multiple_of(10_000u64.div_ceil(64)) {
            self.0.lock().unwrap().push(Instant::now());
        }
    }
}

fn normal(count: usize) -> Vec<f32> {
    let mut rng = Seed::new(7).rng();
    // Near enough to normal for a clock.
    (0..count).map(|_| (0..4).map(|_| rng.random::<f32>() - 0.5).sum::<f32>() * 1.7).collect()
}

fn peak() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|l| l.starts_with("VmHWM")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|k| k.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}

fn measure(name: &str, seconds: f64, mut work: impl FnMut()) {
    (0..3).for_each(|_| work());
    let (mut times, begin) = (Vec::new(), Instant::now());
    while times.len() < 3 || (begin.elapsed().as_secs_f64() < seconds && times.len() < 2000) {
        let start = Instant::now();
        work();
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    report(name, times);
}

fn report(name: &str, mut times: Vec<f64>) {
    times.sort_by(f64::total_cmp);
    let (median, least, count) = (times[times.len() / 2], times[0], times.len());
    println!(
        "{{\"wl\": \"{name}\", \"ms\": {median:.4}, \"min\": {least:.4}, \"n\": {count}, \"rss\": {:.0}}}",
        peak()
    );
}

#[allow(clippy::too_many_arguments)]
fn step(
    name: &str,
    seconds: f64,
    declared: Vec<Declared>,
    mut optimizer: Box<dyn Step>,
    rate: f64,
    rows: usize,
    width: usize,
    classes: usize,
    forward: impl Fn(&Bound, Tensor<2>) -> Tensor<2>,
) {
    let mut params = Params::init(&declared, Seed::new(1));
    let x = normal(rows * width);
    let mut truth = vec![0.0f32; rows * classes];
    for (r, row) in truth.chunks_mut(classes).enumerate() {
        row[r % classes.min(10)] = 1.0;
    }
    let share = vec![1.0 / rows as f32; rows];
    measure(name, seconds, || {
        let bound = params.bind_where(|name| !name.contains("running"));
        let y = forward(&bound, backend::constant(x.clone(), [rows, width]));
        let truth = backend::constant(truth.clone(), [rows, classes]);
        let loss = cross_entropy(y, truth, backend::constant(share.clone(), [rows]));
        let value = backend::read(loss.clone()).unwrap();
        assert!(value[0].is_finite());
        let gradients = bound.gradients(backend::backward(&loss).unwrap()).unwrap();
        drop((loss, bound));
        optimizer.step(&mut params, &gradients, rate);
    });
}

fn affine(p: &Bound, name: &str, x: Tensor<2>, rectify: bool) -> Tensor<2> {
    let weight = p.get(&format!("{name}.weight")).unwrap();
    dense(x, weight, p.get(&format!("{name}.bias")).unwrap(), rectify)
}

fn declare_dense(name: &str, inputs: usize, outputs: usize) -> Vec<Declared> {
    vec![
        Declared::new(format!("{name}.weight"), vec![outputs, inputs], inputs),
        Declared::new(format!("{name}.bias"), vec![outputs], inputs),
    ]
}

fn mlp() -> Vec<Declared> {
    [declare_dense("a", 784, 512), declare_dense("b", 512, 256), declare_dense("c", 256, 10)].concat()
}

fn mlp_forward(p: &Bound, x: Tensor<2>) -> Tensor<2> {
    let h = affine(p, "b", affine(p, "a", x, true), true);
    affine(p, "c", h, false)
}

fn declare_conv(name: &str, inputs: usize, outputs: usize, kernel: usize, bias: bool) -> Vec<Declared> {
    let fan = inputs * kernel * kernel;
    let mut all = vec![Declared::new(format!("{name}.weight"), vec![outputs, inputs, kernel, kernel], fan)];
    all.extend(bias.then(|| Declared::new(format!("{name}.bias"), vec![outputs], fan)));
    all
}

fn cnn() -> Vec<Declared> {
    [
        declare_conv("c1", 1, 32, 3, true),
        declare_conv("c2", 32, 64, 3, true),
        declare_dense("fc", 64 * 49, 10),
    ]
    .concat()
}

fn cnn_forward(p: &Bound, x: Tensor<2>) -> Tensor<2> {
    let rows = x.dims()[0];
    let block = |x: Tensor<4>, name: &str| {
        convolution_block(
            x,
            p.get(&format!("{name}.weight")).unwrap(),
            p.get(&format!("{name}.bias")).unwrap(),
        )
    };
    let x = block(block(x.reshape([rows, 1, 28, 28]), "c1"), "c2");
    affine(p, "fc", x.reshape([rows, 64 * 49]), false)
}

fn recurrent() -> Vec<Declared> {
    let array = |name: &str, shape: Vec<usize>| Declared::new(name, shape, 128);
    let mut all = vec![
        array("w", vec![512, 64]),
        array("u", vec![512, 128]),
        array("b", vec![512]),
        array("c", vec![512]),
    ];
    all.extend(declare_dense("fc", 128, 10));
    all
}

fn lstm_forward(p: &Bound, x: Tensor<2>) -> Tensor<2> {
    let rows = x.dims()[0];
    let get = |name: &str| p.get::<2>(name).unwrap();
    let bias = |name: &str| p.get::<1>(name).unwrap();
    let x = x.reshape([rows, 100, 64]);
    let states = lstm(x, [get("w"), get("u")], [bias("b"), bias("c")], Steps::default());
    affine(p, "fc", states.narrow(1, 99, 1).reshape([rows, 128]), false)
}

/// 128 tokens of a text, of 4000 different ones.
fn text() -> Field {
    Field { words: 4000, ..Field::vector("text", vec![128]) }
}

fn transformer() -> Vec<Declared> {
    let encoder = TransformerEncoder::default().declare("text", &text());
    [encoder, declare_dense("fc", 128, 10)].concat()
}

fn read_text(p: &Bound, x: Tensor<2>) -> Tensor<2> {
    let tokens = x.abs() * 700.0 + 1.0;
    let h = TransformerEncoder::default().forward(&Pass::predicting(p), "text", &text(), tokens).unwrap();
    affine(p, "fc", h, false)
}

/// ResNet-18 of torchvision on images of a side, with a thousand classes.
fn resnet(side: usize) -> (Architecture, Task) {
    let net = estimators::Resnet::default().architecture(&[Field::vector("x", vec![3, side, side])]).unwrap();
    (net, Task::Classify(Classes::new((0..1000).map(|c| c.to_string()).collect()).unwrap()))
}

/// torchvision's ResNet-18 out of a folder that `outside.py` wrote: how long it takes to read, and how far its outputs are
/// from torchvision's.
fn outside(folder: &str) {
    let (net, task) = resnet(224);
    let cases = Checkpoint::open(&Path::new(folder).join("cases.pth")).unwrap();
    let (x, expected) = (cases.read_f32("x").unwrap(), cases.read_f32("y").unwrap());
    for file in ["resnet18.pth", "resnet18.safetensors"] {
        let weights = [Weights { layer: "encoders.x".to_owned(), file: file.to_owned() }];
        let read = || train::outside(&weights, &net, &task, Some(Path::new(folder))).unwrap();
        drop(read());
        let start = Instant::now();
        let outside = read();
        let ms = start.elapsed().as_secs_f64() * 1e3;
        let mut params = Params::init(&net.declare(&task), Seed::new(1));
        params.replace(outside.numbers);
        let bound = params.bind(false);
        let x = backend::constant(x.clone(), [x.len() / (3 * 224 * 224), 3 * 224 * 224]);
        let got = backend::read(logits(&net, &Pass::predicting(&bound), x)).unwrap();
        let apart = got.iter().zip(&expected).fold(0.0f32, |far, (a, e)| far.max((a - e).abs()));
        let size = expected.iter().fold(0.0f32, |far, e| far.max(e.abs()));
        println!(
            "{{\"file\": \"{file}\", \"ms\": {ms:.1}, \"apart\": {apart:.2e}, \"largest output\": {size:.2}, \"{}\"}}",
            outside.notes.join("; ")
        );
    }
}

fn logits(net: &Architecture, pass: &Pass<'_>, x: Tensor<2>) -> Tensor<2> {
    let rows = x.dims()[0];
    let inputs = Inputs { rows, values: vec![Some(x)], present: vec![vec![1.0; rows]] };
    match net.forward(pass, inputs).unwrap().heads {
        Heads::One(logits) => logits,
        Heads::Each(_) => panic!("a network on one modality has one head"),
    }
}
