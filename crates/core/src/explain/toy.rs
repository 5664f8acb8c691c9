//! A model and rows for tests: `logit = 3 strong + weak`, a vector `weak` that every tenth row lacks, a column ignored.

use rand::RngExt;
use serde_json::Value;

use crate::array::Matrix;
use crate::error::Result;
use crate::model::{
    Batch, Classes, Column, Field, Kind, Mask, Memory, Model, Parts, Predictions, Schema, Target, Task,
    Vectors,
};
use crate::seed::Seed;

pub(super) struct Toy {
    schema: Schema,
    task: Task,
}

fn classes() -> Classes {
    Classes::new(vec!["no".into(), "yes".into()]).unwrap()
}

fn schema() -> Schema {
    let fields = vec![
        Field::new("strong", Kind::Number),
        Field::vector("weak", vec![1]),
        Field::new("ignored", Kind::Number),
    ];
    Schema { fields }
}

impl Toy {
    pub(super) fn new() -> Self {
        Self { schema: schema(), task: Task::Classify(classes()) }
    }
}

impl Model for Toy {
    fn kind(&self) -> &'static str {
        "toy"
    }

    fn task(&self) -> &Task {
        &self.task
    }

    fn schema(&self) -> &Schema {
        &self.schema
    }

    fn predict(&self, batch: &Batch) -> Result<Predictions> {
        let mut absent = Mask::none(batch.rows());
        let mut p = Matrix::zeros((batch.rows(), 2));
        for r in 0..batch.rows() {
            let strong = match batch.get("strong") {
                Some(Column::Number { values, .. }) => Some(values[r] as f32),
                _ => None,
            };
            let weak = match batch.get("weak") {
                Some(Column::Vector(v)) => v.get(r).map(|x| x[0]),
                _ => None,
            };
            if strong.is_none() && weak.is_none() {
                absent.set(r, true);
                continue;
            }
            let logit = 3.0 * strong.unwrap_or(0.0) + weak.unwrap_or(0.0);
            p[[r, 1]] = 1.0 / (1.0 + (-logit).exp());
            p[[r, 0]] = 1.0 - p[[r, 1]];
        }
        Predictions::probabilities(batch.ids().to_vec(), classes(), p, absent)
    }

    fn save(&self) -> Result<Parts> {
        Ok(Parts::new("toy", Value::Null))
    }
}

/// Rows drawn from the toy's own probabilities.
pub(super) fn data(rows: usize) -> (Memory, Target) {
    let mut rng = Seed::new(8).rng();
    let mut draw = || -> Vec<f64> { (0..rows).map(|_| rng.random_range(-1.0..1.0)).collect() };
    let (strong, ignored) = (draw(), draw());
    let weak: Vec<f32> = draw().into_iter().map(|v| v as f32).collect();
    let mut vectors = Vectors::new(vec![1], weak).unwrap();
    for r in (0..rows).step_by(10) {
        vectors.absent.set(r, true);
        vectors.data[r] = 0.0;
    }
    let number = |values: Vec<f64>| Column::Number { values, missing: Mask::none(rows) };
    let batch = Batch::new((100..100 + rows as u64).collect())
        .with("strong", number(strong))
        .unwrap()
        .with("weak", Column::Vector(vectors))
        .unwrap()
        .with("ignored", number(ignored))
        .unwrap();
    let p = Toy::new().predict(&batch).unwrap();
    let codes = p.p().unwrap().column(1).iter().map(|p| u32::from(rng.random::<f32>() < *p)).collect();
    (Memory::new(schema(), batch).unwrap(), Target::Classes { classes: classes(), codes })
}
