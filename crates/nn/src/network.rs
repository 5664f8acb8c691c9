//! A fitted network: architecture, parameters and fitted preprocessing.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use consilience_core::array::{Matrix, softmax};
use consilience_core::model::graph::{Answer, Element, Graph, Value};
use consilience_core::model::{Array, Batch, Embed, Mask, Model, Parts, Predictions, Schema, Task};
use consilience_core::{Error, Result};
use serde_json::json;

use crate::architecture::Architecture;
use crate::backend;
use crate::fusion::{Drawn, Heads, Joint};
use crate::graph::Sketch;
use crate::inputs::{Block, Prepare};
use crate::layers::Pass;
use crate::memory::Reuse;
use crate::params::{Bound, Params};
use crate::pool::within;

/// The kind under which networks are saved.
pub const KIND: &str = "network";

/// Rows are predicted this many at a time, which bounds the memory whatever the size of the batch.
const CHUNK: usize = 256;

/// The mean and deviation that the targets of a regression were standardized by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    /// Taken off the targets.
    pub mean: f64,
    /// The targets were divided by it; positive.
    pub deviation: f64,
}

impl Default for Scale {
    fn default() -> Self {
        Self { mean: 0.0, deviation: 1.0 }
    }
}

/// A fitted network.
pub struct Network {
    architecture: Architecture,
    task: Task,
    scale: Scale,
    params: Params,
    /// The parameters as tensors, made when they are first asked for.
    bound: OnceLock<Bound>,
    prepare: Box<dyn Prepare>,
}

impl Network {
    /// Puts a network together.
    pub fn new(
        architecture: Architecture,
        task: Task,
        scale: Scale,
        params: Params,
        prepare: Box<dyn Prepare>,
    ) -> Self {
        Self { architecture, task, scale, params, bound: OnceLock::new(), prepare }
    }

    /// Loads what [`Model::save`] saved. The preprocessing is saved under "inputs"; take it out with
    /// `parts.nested("inputs")`, load it and give it here.
    ///
    /// # Errors
    /// [`Error::Model`] naming the tensor or setting that is missing or damaged, or if the preprocessing gives other
    /// columns than the network reads.
    pub fn load(parts: &Parts, prepare: Box<dyn Prepare>) -> Result<Self> {
        if parts.kind != KIND {
            return Err(Error::model("this is no network").expected(KIND).got(&parts.kind));
        }
        let architecture: Architecture = parts.field("architecture")?;
        architecture.check()?;
        if architecture.fields() != prepare.fields() {
            return Err(Error::model("the inputs give other columns than the network reads")
                .expected(format!("{:?}", architecture.fields()))
                .got(format!("{:?}", prepare.fields())));
        }
        let task: Task = parts.field("task")?;
        let scale = match parts.f64("target.scale")? {
            [mean, deviation] if mean.is_finite() && deviation.is_finite() && *deviation > 0.0 => {
                Scale { mean: *mean, deviation: *deviation }
            }
            other => {
                return Err(Error::model("the scale of the target is damaged").got(format!("{other:?}")));
            }
        };
        let params = Params::from_parts(&architecture.declare(&task), parts)?;
        Ok(Self::new(architecture, task, scale, params, prepare))
    }

    /// The architecture.
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// The parameters by name.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// What prepares its rows.
    pub fn prepare(&self) -> &dyn Prepare {
        self.prepare.as_ref()
    }

    /// Whether it has running moments of batch norms.
    pub fn has_moments(&self) -> bool {
        self.architecture.declare(&self.task).iter().any(|d| !d.learned)
    }

    /// The same network with other numbers for its parameters.
    #[must_use]
    pub fn with_params(self, params: Params) -> Self {
        Self { params, bound: OnceLock::new(), ..self }
    }

    /// The same network with the weights of another one of its architecture; its running moments are its own.
    ///
    /// # Errors
    /// [`Error::Model`] naming the tensor that is missing or damaged.
    pub fn with_weights(self, parts: &Parts) -> Result<Self> {
        let learned: Vec<_> =
            self.architecture.declare(&self.task).into_iter().filter(|d| d.learned).collect();
        let weights = Params::from_parts(&learned, parts)?;
        let mut params = self.params.clone();
        params.replace(weights.iter().map(|(n, p)| (n.to_owned(), p.numbers().to_vec())).collect());
        Ok(self.with_params(params))
    }

    /// Runs the network over the rows in chunks; `each` gets the row of the chunk's start, what came out, the presence
    /// flags and which rows have any modality.
    fn run(
        &self,
        batch: &Batch,
        mut each: impl FnMut(usize, Joint, &[Vec<f32>], &[bool]) -> Result<()>,
    ) -> Result<()> {
        let _reuse = Reuse::begin();
        let pass = Pass::predicting(self.bound.get_or_init(|| self.params.bind(false)));
        let fields = self.architecture.fields();
        for start in (0..batch.rows()).step_by(CHUNK) {
            let end = (start + CHUNK).min(batch.rows());
            let rows: Vec<usize> = (start..end).collect();
            let raw = if rows.len() == batch.rows() { batch.clone() } else { batch.take(&rows)? };
            let inputs = Block::new(&self.prepare.prepare(&raw)?, &fields)?.into_inputs();
            let (present, any) = (inputs.present.clone(), inputs.any());
            each(start, within(|| self.architecture.forward(&pass, inputs))?, &present, &any)?;
        }
        Ok(())
    }
}

/// Outputs as numbers `[rows, outputs]`: probabilities (averaged over present heads) or values in standard units.
pub(crate) fn outputs(heads: Heads, present: &[Vec<f32>], task: &Task) -> Result<Vec<f32>> {
    let width = task.width();
    let finish = |mut v: Vec<f32>| {
        if task.classes().is_some() {
            v.chunks_mut(width).for_each(softmax);
        }
        v
    };
    match heads {
        Heads::One(logits) => Ok(finish(backend::read(logits)?)),
        Heads::Each(heads) => {
            let rows = present.first().map_or(0, Vec::len);
            let mut sum = vec![0.0f32; rows * width];
            let mut count = vec![0.0f32; rows];
            for (head, flags) in heads.into_iter().zip(present) {
                let Some(head) = head else { continue };
                let values = finish(backend::read(head)?);
                for (r, flag) in flags.iter().enumerate().filter(|(_, f)| **f > 0.0) {
                    count[r] += flag;
                    for (s, v) in sum[r * width..(r + 1) * width].iter_mut().zip(&values[r * width..]) {
                        *s += v;
                    }
                }
            }
            for (row, n) in sum.chunks_mut(width).zip(&count) {
                row.iter_mut().for_each(|v| *v /= n.max(1.0));
            }
            Ok(sum)
        }
    }
}

impl Model for Network {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn task(&self) -> &Task {
        &self.task
    }

    fn schema(&self) -> &Schema {
        self.prepare.schema()
    }

    fn predict(&self, batch: &Batch) -> Result<Predictions> {
        let width = self.task.width();
        let mut values: Vec<f32> = Vec::with_capacity(batch.rows() * width);
        let mut absent = Mask::none(0);
        self.run(batch, |_, joint, present, any| {
            let mut chunk = outputs(joint.heads, present, &self.task)?;
            if self.task.classes().is_none() {
                let Scale { mean, deviation } = self.scale;
                chunk.iter_mut().for_each(|v| *v = (mean + deviation * f64::from(*v)) as f32);
            }
            values.extend(chunk);
            any.iter().for_each(|a| absent.push(!a));
            Ok(())
        })?;
        let matrix = Matrix::from_shape_vec((batch.rows(), width), values)
            .map_err(|e| Error::internal(e.to_string()))?;
        Predictions::for_task(batch.ids().to_vec(), &self.task, matrix, absent)
    }

    fn save(&self) -> Result<Parts> {
        let config = json!({"architecture": self.architecture, "task": self.task});
        let parts =
            Parts::new(KIND, config).with_f64("target.scale", &[self.scale.mean, self.scale.deviation]);
        Ok(self.params.write(parts).nest("inputs", self.prepare.save()?))
    }

    fn parameters(&self) -> Option<u64> {
        Some(self.architecture.parameters(&self.task))
    }

    fn graph(&self, graph: &mut Graph) -> Result<Answer> {
        let inputs = self.prepare.graph(graph)?;
        let drawn = self.architecture.graph(&mut Sketch::new(graph, &self.params), &inputs)?;
        let finish = |graph: &mut Graph, head: &Value| match self.task {
            Task::Classify(_) => graph.softmax(head),
            Task::Regress => head.clone(),
        };
        let said = match drawn {
            Drawn::One(head) => finish(graph, &head),
            Drawn::Each(heads) => {
                let (mut sums, mut counts) = (Vec::new(), Vec::new());
                for (head, input) in heads.iter().zip(&inputs) {
                    let said = finish(graph, head);
                    sums.push(graph.or_zero(input.present.as_ref(), &said));
                    counts.push(input.flag(graph));
                }
                let (sum, count) = (graph.sum(&sums), graph.sum(&counts));
                graph.div(&sum, &count)
            }
        };
        let value = match self.task {
            Task::Classify(_) => said,
            Task::Regress => {
                let said = graph.double(&said);
                let deviation = graph.scalar(Element::F64, self.scale.deviation);
                let mean = graph.scalar(Element::F64, self.scale.mean);
                let stretched = graph.mul(&said, &deviation);
                let moved = graph.add(&stretched, &mean);
                graph.single(&moved)
            }
        };
        let present: Option<Vec<Value>> = inputs.into_iter().map(|i| i.present).collect();
        Ok(Answer { value, present: present.and_then(|p| graph.any(&p)) })
    }

    fn tensors(&self, torch_names: bool) -> Option<BTreeMap<String, Array>> {
        let name = |n: &str| if torch_names { self.architecture.torch_name(n) } else { n.to_owned() };
        Some(
            self.params.iter().map(|(n, p)| (name(n), Array::F32(p.shape(), p.numbers().to_vec()))).collect(),
        )
    }

    fn embed(&self) -> Option<&dyn Embed> {
        Some(self)
    }
}

impl Embed for Network {
    fn width(&self) -> usize {
        self.architecture.width()
    }

    fn embed(&self, batch: &Batch) -> Result<Matrix> {
        let width = self.architecture.width();
        let mut values = vec![0.0f32; batch.rows() * width];
        self.run(batch, |start, joint, _, any| {
            let hidden = backend::read(joint.hidden)?;
            for (r, row) in hidden.chunks(width).enumerate().filter(|(r, _)| any.get(*r) == Some(&true)) {
                values[(start + r) * width..(start + r + 1) * width].copy_from_slice(row);
            }
            Ok(())
        })?;
        Matrix::from_shape_vec((batch.rows(), width), values).map_err(|e| Error::internal(e.to_string()))
    }
}
