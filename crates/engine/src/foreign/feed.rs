//! What feeds an input of an ONNX model: columns side by side, each after steps that learn nothing.

use consilience_core::model::{Batch, Column, Field, FittedFeature, Kind, Loaders, Parts};
use consilience_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::session::{Data, Rows};
use super::tensors::{DOUBLE, FLOAT, INT32, INT64, STRING, element_name};

/// One column on its way into a model.
pub(super) struct Fed {
    /// The raw column.
    pub field: Field,
    /// Its steps.
    pub steps: Vec<Box<dyn FittedFeature>>,
}

/// One input of a model.
pub(super) struct Feed {
    /// The input's name.
    pub input: String,
    /// Its element type.
    pub element: i64,
    /// The shape of a row.
    pub shape: Vec<usize>,
    /// The columns that feed it, in order.
    pub columns: Vec<Fed>,
}

/// A feed as it is saved.
#[derive(Serialize, Deserialize)]
struct Saved {
    input: String,
    element: i64,
    shape: Vec<usize>,
    columns: Vec<SavedColumn>,
}

#[derive(Serialize, Deserialize)]
struct SavedColumn {
    field: Field,
    steps: usize,
}

/// The values of one column for some rows.
enum Piece {
    Numbers(Vec<f64>),
    Vectors(usize, Vec<f32>),
    Texts(Vec<String>),
}

impl Feed {
    /// The rows of a batch, none of which lacks anything but numbers, as the model wants them. `nan` stands for missing numbers
    /// where the model knows what to do with it.
    pub fn rows(&self, batch: &Batch, nan: bool) -> Result<Rows> {
        let mut pieces = Vec::new();
        for fed in &self.columns {
            pieces.push(fed.piece(batch, nan).map_err(|e| e.at(format!("column \"{}\"", fed.field.name)))?);
        }
        let data =
            self.joined(batch.rows(), pieces).map_err(|e| e.at(format!("the input \"{}\"", self.input)))?;
        Ok(Rows { name: self.input.clone(), shape: self.shape.clone(), data })
    }

    fn joined(&self, rows: usize, mut pieces: Vec<Piece>) -> Result<Data> {
        if self.element == STRING {
            return match pieces.pop() {
                Some(Piece::Texts(texts)) if pieces.is_empty() => Ok(Data::Text(texts)),
                _ => Err(Error::model("an input of texts is fed by one column of texts or categories")),
            };
        }
        let width: usize = self.shape.iter().product();
        if let (FLOAT, [Piece::Vectors(w, data)]) = (self.element, pieces.as_mut_slice()) {
            return if *w == width { Ok(Data::F32(std::mem::take(data))) } else { Err(self.wide(*w)) };
        }
        let mut all = Vec::with_capacity(rows * width);
        for row in 0..rows {
            for piece in &pieces {
                match piece {
                    Piece::Numbers(v) => all.extend(v.get(row)),
                    Piece::Vectors(w, v) => {
                        all.extend(
                            v.get(row * w..(row + 1) * w).unwrap_or_default().iter().map(|x| f64::from(*x)),
                        );
                    }
                    Piece::Texts(_) => return Err(Error::model("texts cannot feed an input of numbers")),
                }
            }
        }
        if all.len() != rows * width {
            return Err(self.wide(all.len() / rows.max(1)));
        }
        let whole = |x: &f64, most: f64| {
            if x.fract() == 0.0 && x.abs() < most {
                return Ok(*x);
            }
            Err(Error::data("the input takes whole numbers").expected(element_name(self.element)).got(x))
        };
        Ok(match self.element {
            FLOAT => Data::F32(all.iter().map(|x| *x as f32).collect()),
            DOUBLE => Data::F64(all),
            INT32 => {
                Data::I32(all.iter().map(|x| Ok(whole(x, 2f64.powi(31))? as i32)).collect::<Result<_>>()?)
            }
            INT64 => {
                Data::I64(all.iter().map(|x| Ok(whole(x, 2f64.powi(53))? as i64)).collect::<Result<_>>()?)
            }
            other => {
                return Err(Error::model(format!(
                    "inputs of the type {} are not supported",
                    element_name(other)
                )));
            }
        })
    }

    fn wide(&self, got: usize) -> Error {
        Error::data("the columns do not fill the input")
            .expected(format!("rows of shape {:?}", self.shape))
            .got(format!("{got} numbers"))
    }

    /// Adds this feed, the `place`-th of its model, to parts: its steps under a prefix, what it is as a value.
    pub fn save(&self, place: usize, mut parts: Parts) -> Result<(Parts, serde_json::Value)> {
        let mut columns = Vec::new();
        for (c, fed) in self.columns.iter().enumerate() {
            for (i, step) in fed.steps.iter().enumerate() {
                parts = parts.nest(&prefix(place, c, i), step.save()?);
            }
            columns.push(SavedColumn { field: fed.field.clone(), steps: fed.steps.len() });
        }
        let saved =
            Saved { input: self.input.clone(), element: self.element, shape: self.shape.clone(), columns };
        let value = serde_json::to_value(saved).map_err(|e| Error::internal(e.to_string()))?;
        Ok((parts, value))
    }

    /// Loads what [`Feed::save`] gave.
    pub fn load(place: usize, value: &serde_json::Value, parts: &Parts, loaders: &Loaders) -> Result<Self> {
        let saved: Saved = serde_json::from_value(value.clone())
            .map_err(|e| Error::model(format!("the saved inputs of the ONNX model cannot be read: {e}")))?;
        let mut columns = Vec::new();
        for (c, SavedColumn { field, steps: count }) in saved.columns.into_iter().enumerate() {
            let mut steps = Vec::new();
            for i in 0..count {
                steps.push(loaders.feature(&parts.nested(&prefix(place, c, i))?)?);
            }
            columns.push(Fed { field, steps });
        }
        Ok(Self { input: saved.input, element: saved.element, shape: saved.shape, columns })
    }
}

fn prefix(feed: usize, column: usize, step: usize) -> String {
    format!("steps.{feed}.{column}.{step}")
}

impl Fed {
    fn piece(&self, batch: &Batch, nan: bool) -> Result<Piece> {
        let mut column = batch.column(&self.field.name)?.clone();
        for step in &self.steps {
            column = step.apply(&column)?;
        }
        Ok(match column {
            Column::Vector(v) => Piece::Vectors(v.width(), v.data),
            Column::Number { mut values, missing } => {
                if missing.any() && !nan {
                    return Err(Error::data("a number that the ONNX model reads is missing")
                        .expected("a number on every row")
                        .got(format!("{} of {} rows without one", missing.count(), missing.len()))
                        .remedy("set missing: nan if the model knows what to do with missing numbers, else fill them"));
                }
                values
                    .iter_mut()
                    .enumerate()
                    .filter(|(r, _)| missing.is_set(*r))
                    .for_each(|(_, v)| *v = f64::NAN);
                Piece::Numbers(values)
            }
            Column::Text { values, .. } => Piece::Texts(values),
            Column::Category { levels, codes, missing } => {
                let level = |(r, code): (usize, &u32)| {
                    let level = levels.get(*code as usize).filter(|_| !missing.is_set(r)).cloned();
                    level.ok_or_else(|| {
                        Error::data("a category that the ONNX model reads is missing").remedy("fill the cell")
                    })
                };
                Piece::Texts(codes.iter().enumerate().map(level).collect::<Result<_>>()?)
            }
            other => {
                return Err(
                    Error::data("the steps of the column do not end in numbers").got(other.kind().name())
                );
            }
        })
    }
}

/// The rows of a batch about which a model that reads these columns can say something: those on which nothing is absent, and
/// some number or category is there, if it reads such.
pub(super) fn present(batch: &Batch, fields: &[Field]) -> Result<Vec<usize>> {
    let mut gone = vec![false; batch.rows()];
    let mut empty = vec![fields.iter().any(|f| f.kind.is_tabular()); batch.rows()];
    for field in fields {
        let Some(column) = batch.get(&field.name) else {
            if !field.kind.is_tabular() {
                return Ok(Vec::new());
            }
            continue;
        };
        if column.kind() != field.kind {
            return Err(Error::data("the column is of another kind than the model reads")
                .at(format!("column \"{}\"", field.name))
                .expected(field.kind.name())
                .got(column.kind().name()));
        }
        let missing = column.unavailable();
        let marks = if field.kind.is_tabular() { &mut empty } else { &mut gone };
        for (r, mark) in marks.iter_mut().enumerate() {
            *mark =
                if field.kind.is_tabular() { *mark && missing.is_set(r) } else { *mark || missing.is_set(r) };
        }
    }
    Ok((0..batch.rows())
        .filter(|r| !gone.get(*r).copied().unwrap_or(true) && !empty.get(*r).copied().unwrap_or(true))
        .collect())
}

/// The batch with a column of missing cells for each number or category that it lacks.
pub(super) fn filled(mut batch: Batch, fields: &[Field]) -> Result<Batch> {
    let rows = batch.rows();
    for field in fields.iter().filter(|f| f.kind == Kind::Number) {
        if batch.get(&field.name).is_none() {
            let missing = std::iter::repeat_n(true, rows).collect();
            batch.set(&field.name, Column::Number { values: vec![f64::NAN; rows], missing })?;
        }
    }
    Ok(batch)
}
