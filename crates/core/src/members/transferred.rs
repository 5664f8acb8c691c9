//! A member carried to another domain: features, a match of the domains, then a learner fitted on matched source rows.

use serde_json::json;

use super::prepared::Prepared;
use super::preprocess::Preprocess;
use super::tabular::{Tabular, agree};
use crate::array::Matrix;
use crate::error::{Error, Result};
use crate::model::graph::{Answer, Graph};
use crate::model::{
    Adapted, Adapter, Batch, Context, FittedLearner, Labelled, Learner, Loaders, Model, Parts, Predictions,
    Schema, Task, Unlabelled,
};

pub(super) const KIND: &str = "transferred";

/// A learner for the target domain, fitted on source rows alone and unlabelled target rows.
pub struct Transferred {
    prepared: Prepared,
    adapted: Box<dyn Adapted>,
    learner: Box<dyn FittedLearner>,
    task: Task,
}

/// Fits features on the source rows, matches the domains by the adapter, and fits the learner on the matched source.
/// Target labels cannot take part: `target` has none.
///
/// # Errors
/// [`Error::Data`] for rows that the parts cannot be fitted to; [`Error::Argument`] for a teacher.
pub fn transfer(
    preprocess: &Preprocess,
    adapter: &dyn Adapter,
    learner: &dyn Learner,
    source: &Labelled<'_>,
    target: &Unlabelled<'_>,
    context: &Context<'_>,
) -> Result<Transferred> {
    if context.teacher.is_some() {
        return Err(Error::argument(
            "a learner that is carried to another domain cannot learn from a teacher",
        ));
    }
    let prepared = preprocess.fit(source, &context.child("features"))?;
    let (xs, rows) = Tabular::matrix(&prepared, source)?;
    let labels = source.target.take(&rows);
    let (xt, absent) = prepared.matrix(&target.source.read(target.rows, &prepared.schema().names())?)?;
    let present: Vec<usize> = (0..xt.nrows()).filter(|r| !absent.is_set(*r)).collect();
    let xt = xt.select(ndarray::Axis(0), &present);
    let adapted = adapter.fit(xs.view(), &labels, xt.view(), &context.child("adapt"))?;
    let matched = adapted.source(xs.view())?;
    let weight: Option<Vec<f32>> = source.weight.map(|w| rows.iter().map(|&r| w[r]).collect());
    let learner = learner.fit(matched.view(), &labels, weight.as_deref(), &context.child("learner"))?;
    Ok(Transferred { prepared, adapted, learner, task: labels.task() })
}

impl Model for Transferred {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn task(&self) -> &Task {
        &self.task
    }

    fn schema(&self) -> &Schema {
        self.prepared.schema()
    }

    fn predict(&self, batch: &Batch) -> Result<Predictions> {
        let (x, absent) = self.prepared.matrix(batch)?;
        let output = if x.nrows() == 0 {
            Matrix::zeros((0, self.task.width()))
        } else {
            self.learner.predict(self.adapted.target(x.view())?.view())?
        };
        Predictions::for_task(batch.ids().to_vec(), &self.task, output, absent)
    }

    fn graph(&self, graph: &mut Graph) -> Result<Answer> {
        let (x, present) = self.prepared.matrix_graph(graph)?;
        let x = self.adapted.graph(graph, &x)?;
        Ok(Answer { value: self.learner.graph(graph, &x)?, present })
    }

    fn save(&self) -> Result<Parts> {
        Ok(Parts::new(KIND, json!({"task": self.task}))
            .nest("features", self.prepared.save()?)
            .nest("adapted", self.adapted.save()?)
            .nest("learner", self.learner.save()?))
    }

    fn parameters(&self) -> Option<u64> {
        Some(self.learner.parameters())
    }
}

pub(super) fn load(parts: &Parts, loaders: &Loaders) -> Result<Box<dyn Model>> {
    let loaded = Transferred {
        prepared: Prepared::load(&parts.nested("features")?, loaders)?,
        adapted: loaders.adapted(&parts.nested("adapted")?)?,
        learner: loaders.learner(&parts.nested("learner")?)?,
        task: parts.field("task")?,
    };
    let width = loaded.prepared.matrix(&Batch::new(Vec::new()))?.0.ncols();
    let row = loaded.adapted.target(Matrix::zeros((1, width)).view())?;
    agree(&loaded.learner.predict(row.view())?, &loaded.task)?;
    Ok(Box::new(loaded))
}
