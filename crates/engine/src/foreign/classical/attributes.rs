//! The attributes of a node, decoded when asked for.

use consilience_core::{Error, Result};

use super::super::inspect::Node;
use super::super::tensors::Tensor;
use super::super::wire::{Field, damaged, fields};

/// The attributes of one node.
pub(super) struct Attributes<'a> {
    node: &'a Node<'a>,
}

impl<'a> Attributes<'a> {
    pub fn of(node: &'a Node<'a>) -> Self {
        Self { node }
    }

    /// An error about this node.
    pub fn refuse(&self, what: impl Into<String>) -> Error {
        Error::model(what).at(format!("the node {} of the ONNX model", self.node.full_name()))
    }

    fn fields_of(&self, name: &str) -> Result<Vec<Field<'a>>> {
        for message in &self.node.attributes {
            let all: Vec<Field<'a>> = fields(message).collect::<Result<_>>()?;
            let named = all.iter().find(|f| f.number == 1).map(Field::text).transpose()?;
            if named == Some(name) {
                return Ok(all);
            }
        }
        Ok(Vec::new())
    }

    pub fn ints(&self, name: &str) -> Result<Vec<i64>> {
        let mut out = Vec::new();
        for field in self.fields_of(name)?.iter().filter(|f| f.number == 8) {
            out.extend(field.ints()?);
        }
        Ok(out)
    }

    /// Places and numbers of things, which cannot be negative.
    pub fn indices(&self, name: &str) -> Result<Vec<usize>> {
        let place =
            |v: i64| usize::try_from(v).map_err(|_| self.refuse(format!("{name} holds a negative number")));
        self.ints(name)?.into_iter().map(place).collect()
    }

    /// Floats, from the attribute or from the array `<name>_as_tensor`.
    pub fn floats(&self, name: &str) -> Result<Vec<f64>> {
        let mut out = Vec::new();
        for field in self.fields_of(name)?.iter().filter(|f| f.number == 7) {
            out.extend(field.floats()?.into_iter().map(f64::from));
        }
        for field in self.fields_of(&format!("{name}_as_tensor"))?.iter().filter(|f| f.number == 5) {
            let tensor = Tensor::read(field.bytes()?)?;
            let numbers = tensor.floats()?;
            out.extend(numbers.ok_or_else(|| self.refuse(format!("{name} holds no floats")))?);
        }
        Ok(out)
    }

    pub fn texts(&self, name: &str) -> Result<Vec<&'a str>> {
        self.fields_of(name)?.iter().filter(|f| f.number == 9).map(Field::text).collect()
    }

    pub fn int(&self, name: &str) -> Result<Option<i64>> {
        self.fields_of(name)?.iter().find(|f| f.number == 3).map(Field::int).transpose()
    }

    pub fn float(&self, name: &str) -> Result<Option<f64>> {
        let found = self.fields_of(name)?;
        Ok(found.iter().find(|f| f.number == 2).map(Field::float).transpose()?.map(f64::from))
    }

    pub fn text(&self, name: &str) -> Result<Option<&'a str>> {
        self.fields_of(name)?.iter().find(|f| f.number == 4).map(Field::text).transpose()
    }

    /// How many classes the node knows.
    pub fn classes(&self) -> Result<usize> {
        let texts = self.texts("classlabels_strings")?.len().max(self.texts("classlabels_string")?.len());
        let count =
            texts.max(self.ints("classlabels_ints")?.len()).max(self.ints("classlabels_int64s")?.len());
        if count < 2 { Err(damaged("a classifier in the ONNX file has no classes")) } else { Ok(count) }
    }

    /// What is done with scores at the end.
    pub fn finish(&self) -> Result<Finish> {
        match self.text("post_transform")?.unwrap_or("NONE") {
            "NONE" => Ok(Finish::None),
            "LOGISTIC" => Ok(Finish::Logistic),
            "SOFTMAX" => Ok(Finish::Softmax),
            other => Err(self.refuse(format!("the transform {other} is not supported"))),
        }
    }
}

/// What is done with scores at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finish {
    None,
    /// Each score on its own.
    Logistic,
    /// All scores of a row together.
    Softmax,
}

pub(super) fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

impl Finish {
    pub fn apply(self, row: &mut [f64]) {
        match self {
            Self::None => {}
            Self::Logistic => row.iter_mut().for_each(|v| *v = logistic(*v)),
            Self::Softmax => {
                let top = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                row.iter_mut().for_each(|v| *v = (*v - top).exp());
                let sum: f64 = row.iter().sum();
                row.iter_mut().for_each(|v| *v /= sum);
            }
        }
    }
}
