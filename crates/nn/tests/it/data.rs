//! Made data, and fits on it.

use consilience_core::model::{
    Batch, Classes, Column, Context, Field, Fitted, Labelled, Memory, Predictions, Quiet, Schema, Stop,
    Target, Vectors,
};
use consilience_core::seed::Seed;
use consilience_core::{Error, Result};
use consilience_nn::{AsIs, Augmentation, FUSIONS, NETWORKS, NetworkMethod};
use rand::RngExt;
use serde_json::Value;

/// Rows in memory with their truth.
pub struct Made {
    pub fields: Vec<Field>,
    pub batch: Batch,
    pub target: Target,
    pub group: Option<Vec<u64>>,
    pub weight: Option<Vec<f32>>,
}

impl Made {
    pub fn new(columns: Vec<(&str, Vectors)>, target: Target) -> Self {
        let mut batch = Batch::new((0..target.len() as u64).map(|i| 100 + i).collect());
        let mut fields = Vec::new();
        for (name, vectors) in columns {
            fields.push(Field::vector(name, vectors.shape.clone()));
            batch.set(name, Column::Vector(vectors)).unwrap();
        }
        Self { fields, batch, target, group: None, weight: None }
    }

    pub fn source(&self) -> Memory {
        Memory::new(Schema { fields: self.fields.clone() }, self.batch.clone()).unwrap()
    }

    pub fn inputs(&self) -> Box<AsIs> {
        Box::new(AsIs::new(self.fields.clone()).unwrap())
    }

    pub fn fit(&self, method: &dyn NetworkMethod, seed: u64) -> Result<Fitted> {
        self.fit_in(method, &Context::new(Seed::new(seed), &Quiet, &Stop::default()))
    }

    pub fn fit_in(&self, method: &dyn NetworkMethod, context: &Context<'_>) -> Result<Fitted> {
        self.fit_augmented(method, Augmentation::default(), context)
    }

    pub fn fit_augmented(
        &self,
        method: &dyn NetworkMethod,
        augment: Augmentation,
        context: &Context<'_>,
    ) -> Result<Fitted> {
        let source = self.source();
        let rows: Vec<usize> = (0..self.batch.rows()).collect();
        let data = Labelled {
            source: &source,
            rows: &rows,
            target: &self.target,
            weight: self.weight.as_deref(),
            group: self.group.as_deref(),
        };
        method.fit(&data, self.inputs(), augment, context)
    }
}

pub fn method(name: &str, parameters: Value) -> Box<dyn NetworkMethod> {
    match NETWORKS.get(name) {
        Ok(_) => NETWORKS.build(name, &parameters).unwrap(),
        Err(_) => FUSIONS.build(name, &parameters).unwrap(),
    }
}

pub fn classes(codes: Vec<u32>, count: u32) -> Target {
    let names = (0..count).map(|c| format!("class {c}")).collect();
    Target::Classes { classes: Classes::new(names).unwrap(), codes }
}

/// Standard normal numbers.
pub fn normal(count: usize, seed: Seed) -> Vec<f32> {
    let mut rng = seed.rng();
    let mut one = || {
        let (u, v): (f64, f64) = (rng.random(), rng.random());
        ((-2.0 * (1.0 - u).ln()).sqrt() * (2.0 * std::f64::consts::PI * v).cos()) as f32
    };
    (0..count).map(|_| one()).collect()
}

/// Two clouds a class at the corners of a square, opposite corners of one class.
pub fn xor(rows: usize, seed: u64) -> Made {
    let noise = normal(rows * 2, Seed::new(seed));
    let mut data = Vec::new();
    let mut codes = Vec::new();
    for r in 0..rows {
        let (a, b) = (r % 2, r / 2 % 2);
        data.push(a as f32 * 2.0 - 1.0 + 0.3 * noise[2 * r]);
        data.push(b as f32 * 2.0 - 1.0 + 0.3 * noise[2 * r + 1]);
        codes.push((a ^ b) as u32);
    }
    Made::new(vec![("x", Vectors::new(vec![2], data).unwrap())], classes(codes, 2))
}

/// Noise images with a bright stripe, upright or level; and a vector that says the same less clearly.
pub fn stripes(rows: usize, side: usize, seed: u64) -> Made {
    let seed = Seed::new(seed);
    let mut image = normal(rows * side * side, seed.child("image"));
    let mut vector = normal(rows * 3, seed.child("vector"));
    let mut codes = Vec::new();
    let mut rng = seed.child("where").rng();
    for r in 0..rows {
        let code = (r % 2) as u32;
        let at = rng.random_range(0..side);
        for i in 0..side {
            let pixel = if code == 0 { at * side + i } else { i * side + at };
            image[r * side * side + pixel] += 2.5;
        }
        vector[r * 3] += code as f32 * 1.5;
        codes.push(code);
    }
    let image = Vectors::new(vec![1, side, side], image).unwrap();
    let vector = Vectors::new(vec![3], vector).unwrap();
    Made::new(vec![("image", image), ("vector", vector)], classes(codes, 2))
}

/// Rows of tokens in a column, `length` at most of 50 different ones; a class has two tokens one way round, the other the other,
/// among others that say nothing and come up in both alike.
pub fn phrases(column: &str, rows: usize, length: usize, seed: u64) -> Made {
    let mut rng = Seed::new(seed).rng();
    let mut data = vec![0.0f32; rows * length];
    let mut codes = Vec::new();
    for (r, row) in data.chunks_mut(length).enumerate() {
        let code = rng.random_range(0..2u32);
        let count = if r % 11 == 3 { length } else { rng.random_range(4..=length) };
        row[..count].iter_mut().for_each(|v| *v = rng.random_range(4..50u32) as f32);
        let at = rng.random_range(0..count - 1);
        row[at..at + 2].copy_from_slice(if code == 0 { &[1.0, 2.0] } else { &[2.0, 1.0] });
        codes.push(code);
    }
    let mut made = Made::new(vec![(column, Vectors::new(vec![length], data).unwrap())], classes(codes, 2));
    made.fields[0].words = 50;
    made
}

pub fn accuracy(predictions: &Predictions, target: &Target) -> f64 {
    let (_, codes) = target.codes().unwrap();
    let p = predictions.p().unwrap();
    let right = p
        .rows()
        .into_iter()
        .zip(codes)
        .filter(|(row, c)| consilience_core::array::argmax(row.as_slice().unwrap()) == Some(**c as usize))
        .count();
    right as f64 / codes.len() as f64
}

pub fn says(error: Error, parts: &[&str]) {
    let text = error.to_string();
    for part in parts {
        assert!(text.contains(part), "\"{text}\" does not say \"{part}\"");
    }
}
