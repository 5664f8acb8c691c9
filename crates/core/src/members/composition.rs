//! A composition of predictions as a model: the members predict, the fitted fuser composes. It is again a member.

use std::sync::Arc;

use serde_json::json;

use crate::array::Matrix;
use crate::error::{Error, Result};
use crate::model::graph::{Answer, Graph};
use crate::model::{Batch, Fused, Loaders, Mask, Model, Parts, Predictions, Schema, Staged, Task};

pub(super) const KIND: &str = "composition";

/// Models and what composes their predictions.
pub struct Composition {
    members: Vec<(String, Arc<dyn Model>)>,
    fused: Box<dyn Fused>,
    schema: Schema,
    task: Task,
}

impl Composition {
    /// Composes models, in the order in which the fuser was fitted.
    ///
    /// # Errors
    /// [`Error::Model`] if there are no members, two have one name, tasks differ, or two members read one column as
    /// different kinds.
    pub fn new(members: Vec<(String, Arc<dyn Model>)>, fused: Box<dyn Fused>) -> Result<Self> {
        let Some((_, first)) = members.first() else {
            return Err(Error::model("a composition needs at least one member"));
        };
        let task = first.task().clone();
        let mut schema = Schema::default();
        for (position, (name, member)) in members.iter().enumerate() {
            if members.iter().take(position).any(|(n, _)| n == name) {
                return Err(Error::model(format!("two members of the composition are called \"{name}\""))
                    .expected("a name of its own for each member"));
            }
            if *member.task() != task {
                return Err(Error::model("members predict different things")
                    .at(format!("member \"{name}\""))
                    .expected(format!("{task:?}"))
                    .got(format!("{:?}", member.task())));
            }
            for field in &member.schema().fields {
                match schema.fields.iter_mut().find(|f| f.name == field.name) {
                    None => schema.fields.push(field.clone()),
                    Some(known) if known.kind == field.kind => {
                        // Levels go by name: what one member knows, another need not.
                        for level in &field.levels {
                            if !known.levels.contains(level) {
                                known.levels.push(level.clone());
                            }
                        }
                    }
                    Some(known) => {
                        return Err(Error::model(format!(
                            "members read the column \"{}\" differently",
                            field.name
                        ))
                        .at(format!("member \"{name}\""))
                        .expected(known.kind.name())
                        .got(field.kind.name()));
                    }
                }
            }
        }
        Ok(Self { members, fused, schema, task })
    }
}

impl Composition {
    /// Asks the members in turn, each about the rows that are not settled yet.
    fn predict_in_turn(&self, staged: &dyn Staged, batch: &Batch) -> Result<Predictions> {
        let rows = batch.rows();
        let width = self.task.width();
        let mut said = Vec::with_capacity(self.members.len());
        for _ in &self.members {
            let nothing = Matrix::zeros((rows, width));
            said.push(Predictions::for_task(
                batch.ids().to_vec(),
                &self.task,
                nothing,
                Mask::from_marks(vec![true; rows]),
            )?);
        }
        let mut open: Vec<usize> = (0..rows).collect();
        for (asked, member) in staged.order().iter().enumerate() {
            if open.is_empty() {
                break;
            }
            let (Some((name, model)), Some(slot)) = (self.members.get(*member), said.get_mut(*member)) else {
                return Err(Error::internal("a cascade asks a member that is not there"));
            };
            let at = |e: Error| e.at(format!("member \"{name}\""));
            let part = model.predict(&batch.take(&open)?).map_err(at)?;
            let mut matrix = Matrix::zeros((rows, width));
            let mut absent = vec![true; rows];
            for ((row, place), from) in part.matrix().rows().into_iter().zip(&open).zip(0..) {
                matrix.row_mut(*place).assign(&row);
                absent[*place] = part.absent().is_set(from);
            }
            let absent = absent.into_iter().collect();
            *slot = Predictions::for_task(batch.ids().to_vec(), &self.task, matrix, absent)?;
            let settled = staged.settled(&said, asked + 1)?;
            open.retain(|row| !settled.is_set(*row));
        }
        self.fused.fuse(&said, Some(batch))
    }
}

impl Model for Composition {
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
        if let Some(staged) = self.fused.staged() {
            return self.predict_in_turn(staged, batch);
        }
        let predictions: Result<Vec<Predictions>> = self
            .members
            .iter()
            .map(|(name, m)| m.predict(batch).map_err(|e| e.at(format!("member \"{name}\""))))
            .collect();
        self.fused.fuse(&predictions?, Some(batch))
    }

    fn graph(&self, graph: &mut Graph) -> Result<Answer> {
        let mut answers = Vec::with_capacity(self.members.len());
        for (name, member) in &self.members {
            let answer = graph.within(name, |graph| member.graph(graph));
            answers.push(answer.map_err(|e| e.at(format!("member \"{name}\"")))?);
        }
        let value = self.fused.graph(graph, &answers)?;
        let present: Option<Vec<_>> = answers.into_iter().map(|a| a.present).collect();
        Ok(Answer { value, present: present.and_then(|p| graph.any(&p)) })
    }

    fn save(&self) -> Result<Parts> {
        let order: Vec<&str> = self.members.iter().map(|(n, _)| n.as_str()).collect();
        let mut parts = Parts::new(KIND, json!({"order": order})).nest("fused", self.fused.save()?);
        for (name, member) in &self.members {
            parts.members.insert(name.clone(), member.save()?);
        }
        Ok(parts)
    }

    fn parameters(&self) -> Option<u64> {
        let members: Option<u64> = self.members.iter().map(|(_, m)| m.parameters()).sum();
        members.map(|m| m + self.fused.parameters())
    }

    fn members(&self) -> Vec<(&str, &dyn Model)> {
        self.members.iter().map(|(n, m)| (n.as_str(), m.as_ref())).collect()
    }

    fn weights(&self) -> Option<Vec<(String, f64)>> {
        let names = self.members.iter().map(|(n, _)| n.clone());
        self.fused.weights().map(|w| names.zip(w).collect())
    }
}

pub(super) fn load(parts: &Parts, loaders: &Loaders) -> Result<Box<dyn Model>> {
    let order: Vec<String> = parts.field("order")?;
    let mut members = Vec::new();
    for name in order {
        let inner = parts.members.get(&name).ok_or_else(|| {
            Error::model(format!("the composition lacks its member \"{name}\""))
                .remedy("the model directory is damaged; restore it")
        })?;
        let model: Arc<dyn Model> = Arc::from(loaders.model(inner)?);
        members.push((name, model));
    }
    Ok(Box::new(Composition::new(members, loaders.fused(&parts.nested("fused")?)?)?))
}
