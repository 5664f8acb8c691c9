//! A member that another program made: an ONNX model with what feeds it and what its outputs mean.

use consilience_core::array::Matrix;
use consilience_core::model::{Batch, Field, Loaders, Mask, Model, Parts, Predictions, Schema, Task};
use consilience_core::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::feed::{Feed, filled, present};
use super::package::Package;
use super::session::{Given, Session};

/// What the numbers are that a model of classes gives.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Gives {
    /// A probability for each class; of two classes one number may stand for the second.
    #[default]
    Probabilities,
    /// Scores before a softmax; of two classes one number before a sigmoid may stand for the second.
    Logits,
}

/// What stands for a missing number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Missing {
    /// Nothing: rows that lack a number are an error.
    #[default]
    Refused,
    /// The float that is not a number.
    Nan,
}

/// The kind under which it is saved.
pub(super) const KIND: &str = "onnx";

/// An ONNX model as a member.
pub struct Foreign {
    pub(super) package: Package,
    pub(super) session: Session,
    pub(super) feeds: Vec<Feed>,
    pub(super) schema: Schema,
    pub(super) task: Task,
    pub(super) said: Said,
}

/// What a recipe says of the outputs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Said {
    /// The output that predicts.
    pub output: String,
    /// What its numbers are.
    pub gives: Gives,
    /// What stands for a missing number.
    pub missing: Missing,
    /// For each class of the task, its place among the outputs.
    pub places: Vec<usize>,
}

impl Foreign {
    /// Probabilities or values for the rows given, in the order of the task's classes.
    fn outputs(&self, rows: usize, given: &Given) -> Result<Matrix> {
        let width: usize = given.shape.iter().product();
        let classes = self.said.places.len();
        let paired = classes == 2 && width == 1;
        if given.data.len() != rows * width || (width != classes && !paired) {
            return Err(Error::model("the ONNX model gives another number of outputs than are declared")
                .at(&self.said.output)
                .expected(format!("{classes} a row"))
                .got(width));
        }
        if self.task.classes().is_none() {
            return Ok(Matrix::from_shape_fn((rows, 1), |(r, _)| {
                given.data.get(r).copied().unwrap_or(f32::NAN)
            }));
        }
        let mut out = Matrix::zeros((rows, classes));
        for (from, mut to) in given.data.chunks(width.max(1)).zip(out.rows_mut()) {
            let p = distribution(from, paired, self.said.gives);
            for (v, place) in to.iter_mut().zip(&self.said.places) {
                *v = p.get(*place).copied().unwrap_or(f32::NAN);
            }
        }
        Ok(out)
    }
}

/// A row of outputs as probabilities, in the model's order.
fn distribution(row: &[f32], paired: bool, gives: Gives) -> Vec<f32> {
    match (gives, row) {
        (Gives::Probabilities, [p]) if paired => vec![1.0 - p, *p],
        (Gives::Probabilities, row) => row.to_vec(),
        (Gives::Logits, [x]) if paired => {
            let p = |x: f32| (1.0 / (1.0 + (-f64::from(x)).exp())) as f32;
            vec![p(-x), p(*x)]
        }
        (Gives::Logits, row) => {
            let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let e: Vec<f64> = row.iter().map(|x| f64::from(x - top).exp()).collect();
            let sum: f64 = e.iter().sum();
            e.iter().map(|v| (v / sum) as f32).collect()
        }
    }
}

impl Model for Foreign {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn task(&self) -> &Task {
        &self.task
    }

    fn schema(&self) -> &Schema {
        &self.schema
    }

    fn predict(&self, batch: &Batch) -> Result<Predictions> {
        let rows = batch.rows();
        let present = present(batch, &self.schema.fields)?;
        let mut all = Matrix::zeros((rows, self.task.width()));
        if !present.is_empty() {
            let some = if present.len() == rows { batch.clone() } else { batch.take(&present)? };
            let some = filled(some, &self.schema.fields)?;
            let nan = self.said.missing == Missing::Nan;
            let inputs = self.feeds.iter().map(|f| f.rows(&some, nan)).collect::<Result<Vec<_>>>()?;
            let given = self.session.run(present.len(), &inputs)?;
            for (from, row) in self.outputs(present.len(), &given)?.rows().into_iter().zip(&present) {
                all.row_mut(*row).assign(&from);
            }
        }
        let mut silent = Mask::from_marks(vec![true; rows]);
        present.iter().for_each(|r| silent.set(*r, false));
        let made = Predictions::for_task(batch.ids().to_vec(), &self.task, all, silent);
        match self.said.gives {
            Gives::Probabilities if self.task.classes().is_some() => {
                made.map_err(|e| e.remedy("set gives: logits if the model ends without a softmax or sigmoid"))
            }
            _ => made,
        }
    }

    fn save(&self) -> Result<Parts> {
        let mut parts = Parts::new(KIND, Value::Null);
        let mut feeds = Vec::new();
        for (i, feed) in self.feeds.iter().enumerate() {
            let (with, value) = feed.save(i, parts)?;
            parts = with;
            feeds.push(value);
        }
        let own = json!({"task": self.task, "said": self.said, "feeds": feeds});
        match (&mut parts.config, own) {
            (Value::Object(all), Value::Object(own)) => all.extend(own),
            (config, own) => *config = own,
        }
        Ok(self.package.save(parts))
    }

    fn parameters(&self) -> Option<u64> {
        // Trees and linear models keep their numbers in attributes, which are not counted.
        Some(self.package.signature.parameters).filter(|n| *n > 0)
    }
}

/// Loads what [`Foreign`] saved.
///
/// # Errors
/// [`Error::Model`] for damaged parts, or an operator that this machine's runtime does not know.
pub fn load(parts: &Parts, loaders: &Loaders) -> Result<Box<dyn Model>> {
    let package = Package::load(parts)?;
    let (task, said): (Task, Said) = (parts.field("task")?, parts.field("said")?);
    let values: Vec<Value> = parts.field("feeds")?;
    let feeds = values
        .iter()
        .enumerate()
        .map(|(i, v)| Feed::load(i, v, parts, loaders))
        .collect::<Result<Vec<_>>>()?;
    let mut places = said.places.clone();
    places.sort_unstable();
    if !places.iter().copied().eq(0..task.width()) {
        return Err(Error::model("the saved classes of the ONNX model contradict themselves"));
    }
    let session = Session::open(&package, &said.output)?;
    let schema = schema_of(&feeds);
    Ok(Box::new(Foreign { package, session, feeds, schema, task, said }))
}

/// The raw columns of feeds, each once.
pub(super) fn schema_of(feeds: &[Feed]) -> Schema {
    let mut fields: Vec<Field> = Vec::new();
    for fed in feeds.iter().flat_map(|f| &f.columns) {
        if !fields.iter().any(|f| f.name == fed.field.name) {
            fields.push(fed.field.clone());
        }
    }
    Schema { fields }
}
