//! A member without a tensor backend: features, then a learner on their matrix.

use serde_json::json;

use super::prepared::Prepared;
use super::preprocess::Preprocess;
use crate::array::Matrix;
use crate::error::{Error, Result};
use crate::model::graph::{Answer, Graph};
use crate::model::{
    Batch, Context, Distill, Estimator, Fitted, FittedLearner, Labelled, Learner, Lesson, Loaders, Model,
    Outline, Parts, Predictions, Schema, Shares, Target, Task, Teacher,
};

pub(super) const KIND: &str = "tabular";

/// Unfitted: features and a learner.
pub struct Tabular {
    preprocess: Preprocess,
    learner: Box<dyn Learner>,
}

impl Tabular {
    /// A learner on the features of some columns.
    pub fn new(preprocess: Preprocess, learner: Box<dyn Learner>) -> Self {
        Self { preprocess, learner }
    }

    /// The features of labelled rows with everything that a learner needs, rows without any modality left out.
    pub(super) fn matrix(prepared: &Prepared, data: &Labelled<'_>) -> Result<(Matrix, Vec<usize>)> {
        let (x, absent) = prepared.matrix(&data.read(&prepared.schema().names())?)?;
        let rows: Vec<usize> = (0..x.nrows()).filter(|r| !absent.is_set(*r)).collect();
        if rows.is_empty() {
            return Err(Error::data("no row has any of the member's columns")
                .at(prepared.schema().names().join(", "))
                .remedy("check the paths and missing values of these columns"));
        }
        let x = if rows.len() == x.nrows() { x } else { x.select(ndarray::Axis(0), &rows) };
        Ok((x, rows))
    }

    /// Fits the learner to what the teacher says of rows, mixed with their truth.
    fn taught(
        &self,
        x: &Matrix,
        target: &Target,
        weight: Option<&[f32]>,
        (teacher, ids): (Teacher<'_>, &[u64]),
        context: &Context<'_>,
    ) -> Result<Box<dyn FittedLearner>> {
        let task = target.task();
        let mixed = teacher.on(ids, &task)?.mixed(target)?;
        match (&task, self.learner.by_shares()) {
            (Task::Regress, _) => {
                let mixed = Target::Values(mixed.into_iter().collect());
                self.learner.fit(x.view(), &mixed, weight, context)
            }
            (Task::Classify(classes), Some(learner)) => {
                learner.fit_shares(x.view(), Shares { classes, p: mixed.view() }, weight, context)
            }
            (Task::Classify(_), None) => Err(deaf()),
        }
    }
}

fn deaf() -> Error {
    Error::argument("this learner wants one class a row, and a teacher says how much of each")
        .expected("a learner that takes shares of classes")
        .remedy("distill into another learner, such as gradient_boosting or logistic")
}

impl Estimator for Tabular {
    fn check(&self, schema: &Schema, task: &Task) -> Result<()> {
        for field in &self.preprocess.schema().fields {
            schema.field(&field.name)?;
        }
        self.learner.check(task)
    }

    fn lesson(&self, task: &Task, asked: Distill) -> Result<Lesson> {
        self.learner.check(task)?;
        if task.classes().is_some() && self.learner.by_shares().is_none() {
            return Err(deaf());
        }
        asked.plain(0.5)
    }

    fn fit(&self, data: &Labelled<'_>, context: &Context<'_>) -> Result<Fitted> {
        if context.start.is_some() {
            return Err(Error::argument("this member cannot start from another").remedy("remove from:"));
        }
        if let Some(teacher) = context.teacher {
            self.lesson(&data.target.task(), teacher.lesson.into())?;
        }
        let prepared = self.preprocess.fit(data, &context.child("features"))?;
        let (x, rows) = Self::matrix(&prepared, data)?;
        let target = data.target.take(&rows);
        let weight: Option<Vec<f32>> = data.weight.map(|w| rows.iter().map(|&r| w[r]).collect());
        let inner = Context { teacher: None, ..context.child("learner") };
        let weight = weight.as_deref();
        let learner = match context.teacher {
            Some(teacher) if teacher.lesson.share > 0.0 => {
                let all = data.ids()?;
                let ids: Vec<u64> = rows.iter().map(|&r| all[r]).collect();
                self.taught(&x, &target, weight, (teacher, &ids), &inner)?
            }
            _ => self.learner.fit(x.view(), &target, weight, &inner)?,
        };
        let model = TabularModel { prepared, learner, task: target.task() };
        Ok(Fitted { model: Box::new(model), log: Vec::new(), best_epoch: None, notes: Vec::new() })
    }

    fn outline(&self, _: &Schema, _: &Task) -> Outline {
        Outline { inputs: self.preprocess.outputs().unwrap_or_default(), ..Outline::default() }
    }
}

/// Fitted: features and a learner.
pub struct TabularModel {
    prepared: Prepared,
    learner: Box<dyn FittedLearner>,
    task: Task,
}

impl TabularModel {
    /// The fitted features.
    pub fn prepared(&self) -> &Prepared {
        &self.prepared
    }
}

impl Model for TabularModel {
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
            self.learner.predict(x.view())?
        };
        Predictions::for_task(batch.ids().to_vec(), &self.task, output, absent)
    }

    fn graph(&self, graph: &mut Graph) -> Result<Answer> {
        let (x, present) = self.prepared.matrix_graph(graph)?;
        Ok(Answer { value: self.learner.graph(graph, &x)?, present })
    }

    fn save(&self) -> Result<Parts> {
        Ok(Parts::new(KIND, json!({"task": self.task}))
            .nest("features", self.prepared.save()?)
            .nest("learner", self.learner.save()?))
    }

    fn parameters(&self) -> Option<u64> {
        Some(self.learner.parameters())
    }
}

pub(super) fn load(parts: &Parts, loaders: &Loaders) -> Result<Box<dyn Model>> {
    let prepared = Prepared::load(&parts.nested("features")?, loaders)?;
    let learner = loaders.learner(&parts.nested("learner")?)?;
    let task: Task = parts.field("task")?;
    let width = prepared.matrix(&Batch::new(Vec::new()))?.0.ncols();
    agree(&learner.predict(Matrix::zeros((1, width)).view())?, &task)?;
    Ok(Box::new(TabularModel { prepared, learner, task }))
}

/// Checks that what a loaded learner says of a row is what the task asks for.
///
/// # Errors
/// [`Error::Model`] if it has another number of outputs.
pub(crate) fn agree(said: &Matrix, task: &Task) -> Result<()> {
    if said.ncols() == task.width() {
        return Ok(());
    }
    Err(Error::model("the learner and the task of a saved member do not agree")
        .expected(format!("{} outputs", task.width()))
        .got(said.ncols())
        .remedy("the model directory is damaged or was made by another version; fit it again"))
}
