//! Which feature steps each column goes through, before anything is fitted.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::prepared::{Prepared, PreparedColumn};
use crate::error::{Error, Result};
use crate::features::{self, Reader};
use crate::model::{Context, Feature, Field, Kind, Labelled, Schema};
use crate::registry::Registry;

/// The word that stands for all numbers and categories, and the name of the modality they form.
pub const TABLE: &str = "table";

/// Feature steps of one column: names with parameters.
pub type Steps = Vec<(String, Value)>;

/// The unfitted preprocessing of a member.
pub struct Preprocess {
    columns: Vec<(Field, Vec<Box<dyn Feature>>)>,
    described: Vec<Value>,
}

impl Preprocess {
    /// The steps, out of a registry, for the columns that a member reads: those given, else the defaults of the column's
    /// kind, which differ between what reads a column after them.
    ///
    /// # Errors
    /// [`Error::Data`] for unknown columns, [`Error::Argument`] for steps that cannot follow each other.
    pub fn new(
        registry: &Registry<dyn Feature>,
        schema: &Schema,
        on: &[String],
        given: &BTreeMap<String, Steps>,
        reader: impl Fn(&str) -> Reader,
    ) -> Result<Self> {
        let mut columns: Vec<(Field, Vec<Box<dyn Feature>>)> = Vec::new();
        let mut described = Vec::new();
        for field in expand(schema, on)? {
            if columns.iter().any(|(f, _)| f.name == field.name) {
                return Err(Error::argument(format!("the column \"{}\" is named twice", field.name)));
            }
            let steps = match given.get(&field.name) {
                Some(steps) => steps.clone(),
                None => features::defaults(&field, reader(&field.name))
                    .into_iter()
                    .map(|(name, parameters)| (name.to_owned(), parameters))
                    .collect(),
            };
            let mut built = Vec::new();
            let mut said = Vec::new();
            for (name, parameters) in &steps {
                let entry = registry.get(name)?;
                let resolved = (entry.resolve)(parameters)?;
                built.push((entry.build)(&resolved)?);
                said.push(json!([name, entry.version, resolved]));
            }
            described.push(json!({"column": field, "steps": said}));
            columns.push((field, built));
        }
        if columns.is_empty() {
            return Err(
                Error::argument("a member needs at least one column").remedy("name columns in on: [...]")
            );
        }
        let other = columns.iter().find(|(f, _)| f.name == TABLE && !f.kind.is_tabular());
        if let (Some((field, _)), true) = (other, columns.iter().any(|(f, _)| f.kind.is_tabular())) {
            return Err(Error::argument(format!(
                "a column named \"{TABLE}\" that holds no numbers or categories stands beside columns that do"
            ))
            .got(field.kind.name())
            .remedy("give the column another name: {other: {from: table, ...}}"));
        }
        let preprocess = Self { columns, described };
        for ((field, _), output) in preprocess.columns.iter().zip(preprocess.outputs()?) {
            if output.kind != Kind::Vector {
                return Err(no_vector(&field.name, output.kind));
            }
            if output.words > 0 && reader(&field.name) == Reader::Matrix {
                return Err(Error::argument("the numbers of tokens are names and no amounts")
                    .at(format!("features of \"{}\"", field.name))
                    .remedy("take a network that reads tokens, such as text_cnn, or the step tfidf"));
            }
        }
        Ok(preprocess)
    }

    /// The raw columns.
    pub fn schema(&self) -> Schema {
        Schema { fields: self.columns.iter().map(|(f, _)| f.clone()).collect() }
    }

    /// The columns after their steps, as far as they are known before fitting.
    ///
    /// # Errors
    /// [`Error::Argument`] for a step that cannot read what the one before it gives.
    pub fn outputs(&self) -> Result<Vec<Field>> {
        self.columns
            .iter()
            .map(|(field, steps)| {
                steps
                    .iter()
                    .try_fold(field.clone(), |f, s| s.output(&f))
                    .map_err(|e| e.at(format!("features of \"{}\"", field.name)))
            })
            .collect()
    }

    /// The modalities, as far as they are known before fitting: numbers and categories form one, `table`. A width that
    /// only fitting tells is 0.
    ///
    /// # Errors
    /// As [`Preprocess::outputs`].
    pub fn fields(&self) -> Result<Vec<Field>> {
        let mut fields: Vec<Field> = Vec::new();
        for ((raw, _), output) in self.columns.iter().zip(self.outputs()?) {
            if !raw.kind.is_tabular() {
                fields.push(Field { name: raw.name.clone(), ..output });
                continue;
            }
            let width: usize = output.shape.iter().product::<usize>() * usize::from(!output.shape.is_empty());
            match fields.iter_mut().find(|f| f.name == TABLE) {
                Some(table) if width == 0 || table.shape[0] == 0 => table.shape[0] = 0,
                Some(table) => table.shape[0] += width,
                None => fields.push(Field::vector(TABLE, vec![width])),
            }
        }
        Ok(fields)
    }

    /// Every column with its steps, their versions and parameters: what results depend on.
    pub fn describe(&self) -> &[Value] {
        &self.described
    }

    /// The files in the data folder that the steps read.
    pub fn files(&self) -> Vec<String> {
        self.columns.iter().flat_map(|(_, steps)| steps.iter().flat_map(|s| s.files())).collect()
    }

    /// Fits every step on the rows given, each on what the one before it gives.
    ///
    /// # Errors
    /// [`Error::Data`] naming the column.
    pub fn fit(&self, data: &Labelled<'_>, context: &Context<'_>) -> Result<Prepared> {
        let mut prepared = Vec::new();
        for (field, steps) in &self.columns {
            context.stop.check()?;
            let place = || format!("column \"{}\"", field.name);
            let batch = data.read(&[field.name.as_str()]).map_err(|e| e.at(place()))?;
            let mut column = batch.column(&field.name)?.clone();
            let mut current = field.clone();
            let mut fitted = Vec::new();
            for (position, step) in steps.iter().enumerate() {
                let inner =
                    Context { seed: context.seed.child(&field.name).item(position as u64), ..*context };
                let one = step.fit(&current, &column, &inner).map_err(|e| e.at(place()))?;
                column = one.apply(&column).map_err(|e| e.at(place()))?;
                current = one.output().clone();
                fitted.push(one);
            }
            if current.kind != Kind::Vector {
                return Err(no_vector(&field.name, current.kind));
            }
            prepared.push(PreparedColumn { input: field.clone(), steps: fitted, output: current });
        }
        Ok(Prepared::new(prepared))
    }
}

fn no_vector(column: &str, kind: Kind) -> Error {
    Error::argument(format!("the features of \"{column}\" do not end in a vector")).got(kind.name()).remedy(
        "add a step that gives numbers (tensor, log_mel, one_hot, standardize, tfidf, steps, summary)",
    )
}

/// The fields that `on` names; `table` stands for all numbers and categories.
fn expand(schema: &Schema, on: &[String]) -> Result<Vec<Field>> {
    let mut fields = Vec::new();
    for name in on {
        if name == TABLE && !schema.fields.iter().any(|f| f.name == TABLE) {
            let table: Vec<Field> = schema.fields.iter().filter(|f| f.kind.is_tabular()).cloned().collect();
            if table.is_empty() {
                return Err(Error::data(
                    "the word \"table\" stands for numbers and categories, and there are none",
                ));
            }
            fields.extend(table);
        } else {
            fields.push(schema.field(name)?.clone());
        }
    }
    Ok(fields)
}

impl std::fmt::Debug for Preprocess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Preprocess").field("schema", &self.schema()).finish_non_exhaustive()
    }
}
