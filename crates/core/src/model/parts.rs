//! A model as data: a kind, a configuration, arrays, and the parts of its members. No code, no pickles, no paths.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::adapter::Adapted;
use super::feature::FittedFeature;
use super::fuser::Fused;
use super::learner::FittedLearner;
use super::predictor::Model;
use crate::array::Matrix;
use crate::error::{Error, Result};

/// A stored array.
#[derive(Debug, Clone, PartialEq)]
pub enum Array {
    /// 32-bit floats.
    F32(Vec<usize>, Vec<f32>),
    /// 64-bit floats.
    F64(Vec<usize>, Vec<f64>),
    /// 32-bit unsigned integers.
    U32(Vec<usize>, Vec<u32>),
    /// Bytes.
    U8(Vec<usize>, Vec<u8>),
}

impl Array {
    /// The shape.
    pub fn shape(&self) -> &[usize] {
        match self {
            Self::F32(s, _) | Self::F64(s, _) | Self::U32(s, _) | Self::U8(s, _) => s,
        }
    }

    /// The size in bytes.
    pub fn bytes(&self) -> usize {
        match self {
            Self::F32(_, d) => d.len() * 4,
            Self::F64(_, d) => d.len() * 8,
            Self::U32(_, d) => d.len() * 4,
            Self::U8(_, d) => d.len(),
        }
    }
}

/// What is saved of a model, a feature step, a learner or a composition. Names of arrays may hold dots and slashes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Parts {
    /// The key under which it is loaded.
    pub kind: String,
    /// Small settings, as a JSON object.
    pub config: Value,
    /// Arrays by name.
    pub arrays: BTreeMap<String, Array>,
    /// Complete models inside this one, by name.
    pub members: BTreeMap<String, Parts>,
    /// Files of other programs that stay what they are (ONNX models), by name.
    pub files: BTreeMap<String, Arc<[u8]>>,
}

impl Parts {
    /// Parts of a kind with a configuration.
    pub fn new(kind: &str, config: Value) -> Self {
        Self { kind: kind.to_owned(), config, ..Self::default() }
    }

    /// Adds an array.
    #[must_use]
    pub fn with(mut self, name: &str, array: Array) -> Self {
        self.arrays.insert(name.to_owned(), array);
        self
    }

    /// Adds a matrix of 32-bit floats.
    #[must_use]
    pub fn with_matrix(self, name: &str, matrix: &Matrix) -> Self {
        let data = matrix.iter().copied().collect();
        self.with(name, Array::F32(matrix.shape().to_vec(), data))
    }

    /// Adds a vector of 32-bit floats.
    #[must_use]
    pub fn with_f32(self, name: &str, values: &[f32]) -> Self {
        self.with(name, Array::F32(vec![values.len()], values.to_vec()))
    }

    /// Adds a vector of 64-bit floats.
    #[must_use]
    pub fn with_f64(self, name: &str, values: &[f64]) -> Self {
        self.with(name, Array::F64(vec![values.len()], values.to_vec()))
    }

    /// Adds a vector of 32-bit unsigned integers.
    #[must_use]
    pub fn with_u32(self, name: &str, values: &[u32]) -> Self {
        self.with(name, Array::U32(vec![values.len()], values.to_vec()))
    }

    /// Takes parts in under a prefix: arrays and files as `prefix/name`, the kind and configuration as `config[prefix]`. For
    /// pieces that are no models themselves (feature steps, a learner); [`Parts::nested`] takes them out again.
    #[must_use]
    pub fn nest(mut self, prefix: &str, inner: Parts) -> Self {
        if !self.config.is_object() {
            self.config = Value::Object(serde_json::Map::new());
        }
        if let Value::Object(map) = &mut self.config {
            map.insert(prefix.to_owned(), serde_json::json!({"kind": inner.kind, "config": inner.config}));
        }
        for (name, array) in inner.arrays {
            self.arrays.insert(format!("{prefix}/{name}"), array);
        }
        self.files.extend(inner.files.into_iter().map(|(name, bytes)| (format!("{prefix}/{name}"), bytes)));
        self
    }

    /// The parts that were nested under a prefix.
    ///
    /// # Errors
    /// [`Error::Model`] if there are none.
    pub fn nested(&self, prefix: &str) -> Result<Self> {
        let inner = self.config.get(prefix).ok_or_else(|| self.lacks(prefix))?;
        let kind = inner.get("kind").and_then(Value::as_str).ok_or_else(|| self.lacks(prefix))?;
        let config = inner.get("config").cloned().unwrap_or(Value::Null);
        let start = format!("{prefix}/");
        Ok(Self {
            kind: kind.to_owned(),
            config,
            arrays: below(&self.arrays, &start),
            members: BTreeMap::new(),
            files: below(&self.files, &start),
        })
    }

    fn lacks(&self, what: &str) -> Error {
        Error::model(format!("the saved \"{}\" lacks \"{what}\"", self.kind))
            .remedy("the model directory is damaged or was made by another version; fit it again")
    }

    /// A file.
    ///
    /// # Errors
    /// [`Error::Model`] if it is not there.
    pub fn file(&self, name: &str) -> Result<Arc<[u8]>> {
        self.files.get(name).cloned().ok_or_else(|| self.lacks(name))
    }

    /// An array of 32-bit floats with its shape.
    ///
    /// # Errors
    /// [`Error::Model`] if it is not there, of another type, or its shape does not fit its length.
    pub fn f32(&self, name: &str) -> Result<(&[usize], &[f32])> {
        match self.arrays.get(name) {
            Some(Array::F32(s, d)) if s.iter().product::<usize>() == d.len() => Ok((s, d)),
            Some(other) => Err(self.lacks(name).expected("f32").got(format!("{:?}", other.shape()))),
            None => Err(self.lacks(name)),
        }
    }

    /// A matrix of 32-bit floats.
    ///
    /// # Errors
    /// As [`Parts::f32`], or if it has not two dimensions.
    pub fn matrix(&self, name: &str) -> Result<Matrix> {
        let (shape, data) = self.f32(name)?;
        match shape {
            [r, c] => {
                Matrix::from_shape_vec((*r, *c), data.to_vec()).map_err(|e| Error::internal(e.to_string()))
            }
            _ => Err(self.lacks(name).expected("a matrix").got(format!("{shape:?}"))),
        }
    }

    /// An array of 64-bit floats.
    ///
    /// # Errors
    /// [`Error::Model`] if it is not there or of another type.
    pub fn f64(&self, name: &str) -> Result<&[f64]> {
        match self.arrays.get(name) {
            Some(Array::F64(_, d)) => Ok(d),
            _ => Err(self.lacks(name)),
        }
    }

    /// An array of 32-bit unsigned integers.
    ///
    /// # Errors
    /// [`Error::Model`] if it is not there or of another type.
    pub fn u32(&self, name: &str) -> Result<&[u32]> {
        match self.arrays.get(name) {
            Some(Array::U32(_, d)) => Ok(d),
            _ => Err(self.lacks(name)),
        }
    }

    /// Decodes the configuration.
    ///
    /// # Errors
    /// [`Error::Model`] naming the field.
    pub fn decode<T: serde::de::DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_value(self.config.clone())
            .map_err(|e| Error::model(format!("the saved \"{}\" cannot be read: {e}", self.kind)))
    }

    /// Decodes one field of the configuration.
    ///
    /// # Errors
    /// [`Error::Model`] naming the field.
    pub fn field<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<T> {
        let value = self.config.get(name).cloned().ok_or_else(|| self.lacks(name))?;
        serde_json::from_value(value).map_err(|e| {
            Error::model(format!("the saved \"{}\" cannot be read at \"{name}\": {e}", self.kind))
        })
    }
}

/// What stands below a prefix, by the rest of its name.
fn below<T: Clone>(all: &BTreeMap<String, T>, prefix: &str) -> BTreeMap<String, T> {
    all.iter().filter_map(|(name, v)| Some((name.strip_prefix(prefix)?.to_owned(), v.clone()))).collect()
}

/// Loads one kind of thing from its parts.
pub type Load<T> = fn(&Parts, &Loaders) -> Result<Box<T>>;

/// The kinds that can be loaded, by what they are.
#[derive(Clone, Default)]
pub struct Loaders {
    /// Models.
    pub models: BTreeMap<&'static str, Load<dyn Model>>,
    /// Feature steps.
    pub features: BTreeMap<&'static str, Load<dyn FittedFeature>>,
    /// Learners.
    pub learners: BTreeMap<&'static str, Load<dyn FittedLearner>>,
    /// Compositions of predictions.
    pub fused: BTreeMap<&'static str, Load<dyn Fused>>,
    /// Matched domains.
    pub adapted: BTreeMap<&'static str, Load<dyn Adapted>>,
}

impl Loaders {
    /// Loads a model.
    ///
    /// # Errors
    /// [`Error::Model`] for an unknown kind or damaged parts.
    pub fn model(&self, parts: &Parts) -> Result<Box<dyn Model>> {
        load(&self.models, "model", parts, self)
    }

    /// Loads a feature step.
    ///
    /// # Errors
    /// As [`Loaders::model`].
    pub fn feature(&self, parts: &Parts) -> Result<Box<dyn FittedFeature>> {
        load(&self.features, "feature step", parts, self)
    }

    /// Loads a learner.
    ///
    /// # Errors
    /// As [`Loaders::model`].
    pub fn learner(&self, parts: &Parts) -> Result<Box<dyn FittedLearner>> {
        load(&self.learners, "learner", parts, self)
    }

    /// Loads a composition of predictions.
    ///
    /// # Errors
    /// As [`Loaders::model`].
    pub fn fused(&self, parts: &Parts) -> Result<Box<dyn Fused>> {
        load(&self.fused, "composition", parts, self)
    }

    /// Loads a match of domains.
    ///
    /// # Errors
    /// As [`Loaders::model`].
    pub fn adapted(&self, parts: &Parts) -> Result<Box<dyn Adapted>> {
        load(&self.adapted, "adaptation", parts, self)
    }
}

fn load<T: ?Sized>(
    table: &BTreeMap<&'static str, Load<T>>,
    what: &str,
    parts: &Parts,
    all: &Loaders,
) -> Result<Box<T>> {
    let loader = table.get(parts.kind.as_str()).ok_or_else(|| {
        let known: Vec<&str> = table.keys().copied().collect();
        Error::model(format!("this program does not know the {what} \"{}\"", parts.kind))
            .expected(format!("one of {}", known.join(", ")))
            .remedy("use the version that made it, or a newer one")
    })?;
    loader(parts, all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn nested_parts_come_out_as_they_went_in() {
        let mut inner = Parts::new("mean", json!({"a": 1})).with_f64("m", &[1.5]);
        inner.files.insert("f.onnx".into(), Arc::from(&b"f"[..]));
        let outer =
            Parts::new("outer", Value::Null).nest("x", inner.clone()).nest("y", Parts::new("e", Value::Null));
        assert_eq!(outer.nested("x").unwrap(), inner);
        assert_eq!(outer.nested("y").unwrap().kind, "e");
        assert!(outer.nested("z").unwrap_err().to_string().contains("\"z\""));
        assert!(outer.f32("x/m").is_err());
    }
}
