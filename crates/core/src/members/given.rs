//! Predictions that were made elsewhere, as a model: it reads them from columns.

use serde_json::json;

use crate::array::Matrix;
use crate::error::{Error, Result};
use crate::model::graph::{Answer, Graph};
use crate::model::{Batch, Column, Field, Kind, Loaders, Mask, Model, Parts, Predictions, Schema, Task};

pub(super) const KIND: &str = "given";

/// A model that says what stands in columns of numbers, one a class in order, or one for a value: a table of predictions as a member
/// that can be kept, composed and used on other tables. A row whose columns are all missing is absent.
pub struct Given {
    task: Task,
    schema: Schema,
}

impl Given {
    /// A model of the predictions of a member: it reads the columns `member: class`, or `member` for values.
    pub fn new(task: Task, member: &str) -> Self {
        let fields = given_columns(&task, member).iter().map(|name| Field::new(name, Kind::Number)).collect();
        Self { task, schema: Schema { fields } }
    }
}

/// The columns in which the predictions of a member stand: `member: class` for every class in order, or `member` for values.
pub fn given_columns(task: &Task, member: &str) -> Vec<String> {
    match task {
        Task::Classify(classes) => classes.names().iter().map(|class| format!("{member}: {class}")).collect(),
        Task::Regress => vec![member.to_owned()],
    }
}

impl Model for Given {
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
        let names = self.schema.names();
        let mut matrix = Matrix::zeros((rows, names.len()));
        let mut empty = vec![0usize; rows];
        for (k, name) in names.iter().enumerate() {
            if !batch.names().contains(name) {
                empty.iter_mut().for_each(|e| *e += 1);
                continue;
            }
            let Column::Number { values, missing } = batch.column(name)? else {
                return Err(Error::data("a column of predictions holds no numbers").at(*name));
            };
            for (r, value) in values.iter().enumerate() {
                if missing.is_set(r) { empty[r] += 1 } else { matrix[[r, k]] = *value as f32 }
            }
        }
        if let Some(r) = empty.iter().position(|e| *e > 0 && *e < names.len()) {
            return Err(Error::data("a row has only some of its predictions")
                .at(format!("row id {}", batch.ids()[r]))
                .expected(format!("all of {}, or none", names.join(", "))));
        }
        let absent: Mask = empty.iter().map(|e| *e > 0).collect();
        Predictions::for_task(batch.ids().to_vec(), &self.task, matrix, absent)
    }

    fn graph(&self, graph: &mut Graph) -> Result<Answer> {
        let mut columns = Vec::new();
        for field in &self.schema.fields {
            let column = graph.column(field)?;
            columns.push(graph.single(&column));
        }
        let missing = columns.first().map(|first| graph.is_nan(first));
        let present = missing.map(|m| graph.not(&m));
        Ok(Answer { value: graph.beside(&columns, 1), present })
    }

    fn save(&self) -> Result<Parts> {
        Ok(Parts::new(KIND, json!({"task": self.task, "schema": self.schema})))
    }

    fn parameters(&self) -> Option<u64> {
        Some(0)
    }
}

pub(super) fn load(parts: &Parts, _: &Loaders) -> Result<Box<dyn Model>> {
    let loaded = Given { task: parts.field("task")?, schema: parts.field("schema")? };
    if loaded.schema.fields.len() != loaded.task.width()
        || loaded.schema.fields.iter().any(|f| f.kind != Kind::Number)
    {
        return Err(Error::model(
            "a table of predictions does not have one column of numbers for each class",
        )
        .expected(format!("{} columns", loaded.task.width()))
        .got(loaded.schema.names().join(", ")));
    }
    Ok(Box::new(loaded))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Classes;

    fn batch(columns: &[(&str, &[f64])]) -> Batch {
        let rows = columns.first().map_or(0, |(_, v)| v.len());
        columns.iter().fold(Batch::new((10..10 + rows as u64).collect()), |batch, (name, values)| {
            let missing = values.iter().map(|v| v.is_nan()).collect();
            batch.with(*name, Column::Number { values: values.to_vec(), missing }).unwrap()
        })
    }

    #[test]
    fn it_says_what_stands_in_its_columns() {
        let classes = Classes::new(vec!["no".into(), "yes".into()]).unwrap();
        let model = Given::new(Task::Classify(classes), "bank");
        assert_eq!(model.schema().names(), ["bank: no", "bank: yes"]);
        let said = model
            .predict(&batch(&[("bank: yes", &[0.25, f64::NAN]), ("bank: no", &[0.75, f64::NAN])]))
            .unwrap();
        assert_eq!(said.p().unwrap().row(0).to_vec(), [0.75, 0.25]);
        assert!(said.absent().is_set(1) && !said.absent().is_set(0));
        // A table without the columns says nothing; one with half of them is a mistake.
        assert_eq!(model.predict(&batch(&[("other", &[1.0])])).unwrap().absent().count(), 1);
        for columns in [&[("bank: no", &[0.75][..])][..], &[("bank: no", &[0.5]), ("bank: yes", &[f64::NAN])]]
        {
            let error = model.predict(&batch(columns)).unwrap_err().to_string();
            assert!(error.contains("row id 10") && error.contains("bank: yes"), "{error}");
        }
        let error = model.predict(&batch(&[("bank: no", &[0.75]), ("bank: yes", &[0.75])])).unwrap_err();
        assert!(error.to_string().contains("sum to 1"), "{error}");
    }

    #[test]
    fn it_is_loaded_as_it_was_saved() {
        let model = Given::new(Task::Regress, "price");
        let mut parts = model.save().unwrap();
        let loaded = load(&parts, &Loaders::default()).unwrap();
        assert_eq!(loaded.schema(), model.schema());
        assert_eq!(loaded.predict(&batch(&[("price", &[2.5])])).unwrap().matrix()[[0, 0]], 2.5);
        parts.config["schema"] = json!({"fields": []});
        assert_eq!(load(&parts, &Loaders::default()).err().unwrap().exit_code(), 3);
    }
}
