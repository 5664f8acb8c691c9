//! Dense layers, each followed by a rectifier and dropout.

use consilience_core::model::Field;
use consilience_core::model::graph::Value;
use consilience_core::{Error, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Encode, wrong_shape};
use crate::backend::Tensor;
use crate::graph::{self, Sketch};
use crate::layers::{Pass, dense};
use crate::params::Declared;

/// Dense layers with rectifiers: `h_i = max(W_i h_(i-1) + b_i, 0)`. Rows of any shape are read as flat vectors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct MlpEncoder {
    /// The width of each dense layer, from the input on; the last one is the number of features.
    #[schemars(length(min = 1))]
    pub hidden: Vec<usize>,
}

impl Default for MlpEncoder {
    fn default() -> Self {
        Self { hidden: vec![128, 64] }
    }
}

impl MlpEncoder {
    fn layer(layer: &str, index: usize) -> String {
        format!("{layer}.dense{}", index + 1)
    }
}

impl Encode for MlpEncoder {
    fn check(&self, field: &Field) -> Result<()> {
        if self.hidden.is_empty() || self.hidden.contains(&0) {
            return Err(Error::argument("hidden must name at least one width, none of them 0")
                .expected("widths such as [128, 64]")
                .got(format!("{:?}", self.hidden)));
        }
        match field.shape.iter().product::<usize>() {
            0 => Err(wrong_shape(field, "mlp encoder", "at least one number a row")),
            _ => Ok(()),
        }
    }

    fn declare(&self, layer: &str, field: &Field) -> Vec<Declared> {
        let mut inputs = field.shape.iter().product();
        let mut all = Vec::new();
        for (i, &outputs) in self.hidden.iter().enumerate() {
            all.extend(dense::declare(&Self::layer(layer, i), inputs, outputs));
            inputs = outputs;
        }
        all
    }

    fn width(&self, field: &Field) -> usize {
        self.hidden.last().copied().unwrap_or_else(|| field.shape.iter().product())
    }

    fn forward(&self, pass: &Pass<'_>, layer: &str, _field: &Field, mut x: Tensor<2>) -> Result<Tensor<2>> {
        for i in 0..self.hidden.len() {
            let name = Self::layer(layer, i);
            x = pass.drop(&name, dense::rectified(pass, &name, x)?);
        }
        Ok(x)
    }

    fn graph(&self, sketch: &mut Sketch<'_>, layer: &str, _field: &Field, x: &Value) -> Result<Value> {
        let mut x = sketch.graph.flat(x);
        for i in 0..self.hidden.len() {
            x = graph::rectified(sketch, &Self::layer(layer, i), &x)?;
        }
        Ok(x)
    }

    fn outline(&self, _field: &Field) -> Vec<(String, u64)> {
        self.hidden.iter().enumerate().map(|(i, w)| (format!("dense{} {w}", i + 1), *w as u64)).collect()
    }
}
