//! Fitted preprocessing: raw rows to one vector column a modality, or to one matrix.

use std::sync::Arc;

use serde_json::json;

use super::preprocess::TABLE;
use crate::array::Matrix;
use crate::error::{Error, Result};
use crate::model::graph::{Graph, Value};
use crate::model::{
    Audios, Batch, Column, Field, FittedFeature, Images, Kind, Loaders, Mask, Parts, Schema, Sequences,
    Vectors,
};

/// One column with its fitted steps.
pub(super) struct PreparedColumn {
    pub(super) input: Field,
    pub(super) steps: Vec<Box<dyn FittedFeature>>,
    pub(super) output: Field,
}

/// A modality on a graph.
pub struct Modality {
    /// `float32 [rows, shape..]`.
    pub value: Value,
    /// `bool [rows, 1]`: whether rows have it; `None` if all do.
    pub present: Option<Value>,
}

impl Modality {
    /// Whether rows have it as `float32 [rows, 1]`: one or zero.
    pub fn flag(&self, graph: &mut Graph) -> Value {
        match &self.present {
            Some(present) => graph.single(present),
            None => {
                let one = graph.singles("present", &[1, 1], [1.0]);
                graph.repeated(&one, 1, &self.value)
            }
        }
    }
}

impl PreparedColumn {
    /// The column after its steps on a graph.
    fn graph(&self, graph: &mut Graph) -> Result<Modality> {
        let mut value = graph.column(&self.input)?;
        let present = graph.present(&self.input)?;
        for step in &self.steps {
            value = step.graph(graph, &value)?;
        }
        Ok(Modality { value, present })
    }

    /// A name for each of its `width` numbers: those of the last step that gives names, as long as the steps after it
    /// keep the width (a step without names keeps those of the step before); else the column's own.
    fn names(&self, width: usize) -> Vec<String> {
        for step in self.steps.iter().rev() {
            if step.output().shape.iter().product::<usize>() != width {
                break;
            }
            let given = step.names();
            if given.len() == width && width > 0 {
                return given;
            }
        }
        match width {
            1 => vec![self.input.name.clone()],
            _ => (0..width).map(|i| format!("{}[{i}]", self.input.name)).collect(),
        }
    }
}

/// The fitted preprocessing of a member. Numbers and categories form one modality, `table`; every other column is a
/// modality of its own.
pub struct Prepared {
    columns: Vec<PreparedColumn>,
    schema: Schema,
    fields: Vec<Field>,
}

impl Prepared {
    pub(super) fn new(columns: Vec<PreparedColumn>) -> Self {
        let schema = Schema { fields: columns.iter().map(|c| c.input.clone()).collect() };
        let mut fields: Vec<Field> = Vec::new();
        for column in &columns {
            let width: usize = column.output.shape.iter().product();
            if !column.input.kind.is_tabular() {
                fields.push(Field { name: column.input.name.clone(), ..column.output.clone() });
            } else if let Some(table) = fields.iter_mut().find(|f| f.name == TABLE) {
                table.shape[0] += width;
            } else {
                fields.push(Field::vector(TABLE, vec![width]));
            }
        }
        Self { columns, schema, fields }
    }

    /// The raw columns.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// The modalities: a vector field each.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The columns that a modality is made of.
    fn columns_of<'a>(&'a self, field: &'a Field) -> impl Iterator<Item = &'a PreparedColumn> {
        self.columns.iter().filter(|c| {
            if c.input.kind.is_tabular() { field.name == TABLE } else { field.name == c.input.name }
        })
    }

    /// Transforms raw rows to one vector column a modality. A column that the batch lacks is missing or absent on
    /// every row; the table is absent on the rows where all of its columns are missing.
    ///
    /// # Errors
    /// [`Error::Data`] for a column of another kind, naming it.
    pub fn apply(&self, raw: &Batch) -> Result<Batch> {
        let rows = raw.rows();
        let mut out = Batch::new(raw.ids().to_vec());
        let mut table: Vec<Vectors> = Vec::new();
        let mut table_gone = vec![true; rows];
        for column in &self.columns {
            let place = || format!("column \"{}\"", column.input.name);
            let mut current = match raw.get(&column.input.name) {
                Some(c) if c.kind() == column.input.kind => c.clone(),
                Some(c) => {
                    return Err(Error::data("the column is of another kind than the model was fitted on")
                        .at(place())
                        .expected(column.input.kind.name())
                        .got(c.kind().name()));
                }
                None => absent_column(&column.input, rows),
            };
            if column.input.kind.is_tabular() {
                let missing = current.unavailable();
                table_gone.iter_mut().enumerate().for_each(|(r, gone)| *gone &= missing.is_set(r));
            }
            for step in &column.steps {
                current = step.apply(&current).map_err(|e| e.at(place()))?;
            }
            let Column::Vector(vectors) = current else {
                return Err(Error::internal(format!("{} does not end in a vector", place())));
            };
            if vectors.shape != column.output.shape {
                return Err(Error::data("the column has another shape than the model was fitted on")
                    .at(place())
                    .expected(format!("{:?}", column.output.shape))
                    .got(format!("{:?}", vectors.shape)));
            }
            if column.input.kind.is_tabular() {
                table.push(vectors);
            } else {
                out.set(&column.input.name, Column::Vector(vectors))?;
            }
        }
        if !table.is_empty() {
            out.set(TABLE, Column::Vector(beside(&table, table_gone)))?;
        }
        Ok(out)
    }

    /// All modalities side by side, `[rows, features]`, with the rows on which all of them are absent. An absent
    /// modality is zero; where there are several, a column of 0 and 1 a modality says which were present.
    ///
    /// # Errors
    /// As [`Prepared::apply`].
    pub fn matrix(&self, raw: &Batch) -> Result<(Matrix, Mask)> {
        let batch = self.apply(raw)?;
        let flags = self.fields.len() > 1;
        let width: usize =
            self.fields.iter().map(|f| f.shape.iter().product::<usize>() + usize::from(flags)).sum();
        let mut x = Matrix::zeros((raw.rows(), width));
        let mut silent = vec![true; raw.rows()];
        let mut start = 0;
        for field in &self.fields {
            let Column::Vector(vectors) = batch.column(&field.name)? else {
                return Err(Error::internal("a prepared column is no vector"));
            };
            let w = vectors.width();
            for (r, quiet) in silent.iter_mut().enumerate() {
                if let Some(row) = vectors.get(r) {
                    *quiet = false;
                    for (j, v) in row.iter().enumerate() {
                        x[[r, start + j]] = *v;
                    }
                    if flags {
                        x[[r, start + w]] = 1.0;
                    }
                }
            }
            start += w + usize::from(flags);
        }
        Ok((x, Mask::from_marks(silent)))
    }

    /// Writes what [`Prepared::apply`] does onto a graph: the value of each modality, in order. It is not defined on rows
    /// that lack the modality.
    ///
    /// # Errors
    /// [`Error::Model`] naming the column, for a step that no graph can say.
    pub fn graph(&self, graph: &mut Graph) -> Result<Vec<Modality>> {
        let mut modalities = Vec::with_capacity(self.fields.len());
        for field in &self.fields {
            // The columns of the table stand beside each other; any other modality is one column.
            let (mut values, mut present) = (Vec::new(), Vec::new());
            for column in self.columns_of(field) {
                let own =
                    column.graph(graph).map_err(|e| e.at(format!("column \"{}\"", column.input.name)))?;
                values.push(own.value);
                present.push(own.present);
            }
            let present: Option<Vec<Value>> = present.into_iter().collect();
            let present = present.and_then(|p| graph.any(&p));
            modalities.push(Modality { value: graph.beside(&values, 1), present });
        }
        Ok(modalities)
    }

    /// Writes what [`Prepared::matrix`] does onto a graph: `float32 [rows, features]`, and whether rows have any modality.
    ///
    /// # Errors
    /// As [`Prepared::graph`].
    pub fn matrix_graph(&self, graph: &mut Graph) -> Result<(Value, Option<Value>)> {
        let modalities = self.graph(graph)?;
        let several = modalities.len() > 1;
        let mut parts = Vec::new();
        for modality in &modalities {
            let value = graph.flat(&modality.value);
            if !several {
                parts.push(value);
                continue;
            }
            parts.push(graph.or_zero(modality.present.as_ref(), &value));
            parts.push(modality.flag(graph));
        }
        let present: Option<Vec<Value>> = modalities.into_iter().map(|m| m.present).collect();
        Ok((graph.beside(&parts, 1), present.and_then(|p| graph.any(&p))))
    }

    /// A name for each column of [`Prepared::matrix`].
    pub fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        for field in &self.fields {
            for column in self.columns_of(field) {
                let width: usize = column.output.shape.iter().product();
                names.extend(column.names(width));
            }
            if self.fields.len() > 1 {
                names.push(format!("{} present", field.name));
            }
        }
        names
    }

    /// Everything needed to load it again.
    ///
    /// # Errors
    /// [`Error::Internal`] if a step cannot be said.
    pub fn save(&self) -> Result<Parts> {
        let columns: Vec<_> =
            self.columns.iter().map(|c| json!({"field": c.input, "steps": c.steps.len()})).collect();
        let mut parts = Parts::new("prepared", json!({"columns": columns}));
        for column in &self.columns {
            for (i, step) in column.steps.iter().enumerate() {
                parts = parts.nest(&format!("{}.{i}", column.input.name), step.save()?);
            }
        }
        Ok(parts)
    }

    /// Loads what [`Prepared::save`] gave.
    ///
    /// # Errors
    /// [`Error::Model`] for damaged parts.
    pub fn load(parts: &Parts, loaders: &Loaders) -> Result<Self> {
        #[derive(serde::Deserialize)]
        struct Saved {
            field: Field,
            steps: usize,
        }
        let saved: Vec<Saved> = parts.field("columns")?;
        let mut columns = Vec::new();
        for Saved { field, steps: count } in saved {
            let mut steps = Vec::new();
            for i in 0..count {
                steps.push(loaders.feature(&parts.nested(&format!("{}.{i}", field.name))?)?);
            }
            let output = steps.last().map_or_else(|| field.clone(), |s| s.output().clone());
            if output.kind != Kind::Vector || output.shape.is_empty() {
                return Err(Error::model(format!(
                    "the saved features of \"{}\" do not end in a vector",
                    field.name
                )));
            }
            columns.push(PreparedColumn { input: field, steps, output });
        }
        Ok(Self::new(columns))
    }
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prepared")
            .field("schema", &self.schema)
            .field("fields", &self.fields)
            .finish_non_exhaustive()
    }
}

/// Vectors side by side; absent where `gone` says.
fn beside(parts: &[Vectors], gone: Vec<bool>) -> Vectors {
    let width: usize = parts.iter().map(Vectors::width).sum();
    let mut data = Vec::with_capacity(width * gone.len());
    for (r, quiet) in gone.iter().enumerate() {
        for part in parts {
            match part.get(r).filter(|_| !quiet) {
                Some(row) => data.extend_from_slice(row),
                None => data.extend(std::iter::repeat_n(0.0, part.width())),
            }
        }
    }
    Vectors { shape: vec![width], data, absent: Mask::from_marks(gone) }
}

/// A column in which every row is missing or absent.
pub(super) fn absent_column(field: &Field, rows: usize) -> Column {
    let all = Mask::from_marks(vec![true; rows]);
    match field.kind {
        Kind::Number => Column::Number { values: vec![f64::NAN; rows], missing: all },
        Kind::Category => {
            Column::Category { levels: Arc::new(field.levels.clone()), codes: vec![0; rows], missing: all }
        }
        Kind::Text => Column::Text { values: vec![String::new(); rows], absent: all },
        Kind::Image => {
            let mut images = Images::default();
            (0..rows).for_each(|_| images.push_absent());
            Column::Image(images)
        }
        Kind::Audio => {
            let mut audio = Audios::default();
            (0..rows).for_each(|_| audio.push_absent());
            Column::Audio(audio)
        }
        Kind::Vector => {
            let width: usize = field.shape.iter().product();
            Column::Vector(Vectors { shape: field.shape.clone(), data: vec![0.0; rows * width], absent: all })
        }
        Kind::Sequence => {
            let mut steps = Sequences::new(field.shape.first().copied().unwrap_or(1));
            (0..rows).for_each(|_| steps.push_absent());
            Column::Sequence(steps)
        }
    }
}
