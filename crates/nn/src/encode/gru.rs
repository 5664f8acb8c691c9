//! A recurrent layer over steps or frames.

use consilience_core::model::Field;
use consilience_core::model::graph::Value;
use consilience_core::{Error, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Encode, wrong_shape};
use crate::backend::Tensor;
use crate::graph::{self, Sketch};
use crate::layers::{Pass, recurrence};
use crate::params::Declared;

/// A gated recurrent layer whose last state is the features, with dropout. It reads `[steps, width]` step by step, or
/// `[1, mels, frames]` frame by frame.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct GruEncoder {
    /// The width of the state: the number of features.
    #[schemars(range(min = 1))]
    pub hidden: usize,
}

impl Default for GruEncoder {
    fn default() -> Self {
        Self { hidden: 64 }
    }
}

/// How a row is read: how many steps of how many values, and whether the steps run along the last dimension.
fn steps(field: &Field) -> Option<(usize, usize, bool)> {
    match field.shape.as_slice() {
        [1, mels, frames] => Some((*frames, *mels, true)),
        [steps, width] => Some((*steps, *width, false)),
        _ => None,
    }
}

impl GruEncoder {
    fn layer(layer: &str) -> String {
        format!("{layer}.gru")
    }
}

impl Encode for GruEncoder {
    fn check(&self, field: &Field) -> Result<()> {
        if self.hidden == 0 {
            return Err(Error::argument("hidden must be at least 1").got(0));
        }
        match steps(field) {
            Some((steps, width, _)) if steps > 0 && width > 0 => Ok(()),
            _ => Err(wrong_shape(field, "gru encoder", "[steps, width] or [1, mels, frames]")),
        }
    }

    fn declare(&self, layer: &str, field: &Field) -> Vec<Declared> {
        let width = steps(field).map_or(0, |(_, width, _)| width);
        recurrence::declare(&Self::layer(layer), width, self.hidden).to_vec()
    }

    fn width(&self, _field: &Field) -> usize {
        self.hidden
    }

    fn forward(&self, pass: &Pass<'_>, layer: &str, field: &Field, x: Tensor<2>) -> Result<Tensor<2>> {
        let Some((count, width, last)) = steps(field) else {
            return Err(wrong_shape(field, "gru encoder", "[steps, width] or [1, mels, frames]"));
        };
        let rows = x.dims()[0];
        let x: Tensor<3> = if last {
            x.reshape([rows, width, count]).swap_dims(1, 2)
        } else {
            x.reshape([rows, count, width])
        };
        let name = Self::layer(layer);
        Ok(pass.drop(&name, recurrence::forward(pass, &name, x)?))
    }

    fn graph(&self, sketch: &mut Sketch<'_>, layer: &str, field: &Field, x: &Value) -> Result<Value> {
        let x = match field.shape.as_slice() {
            [_, mels, frames] => {
                let x = sketch.graph.reshape(x, &[0, *mels as i64, *frames as i64]);
                sketch.graph.transpose(&x, &[0, 2, 1])
            }
            _ => x.clone(),
        };
        graph::recurrent(sketch, graph::Cell::Gru, &Self::layer(layer), 1, false, &x)
    }

    fn outline(&self, field: &Field) -> Vec<(String, u64)> {
        let count = steps(field).map_or(0, |(count, _, _)| count);
        vec![(format!("gru {} over {count} steps", self.hidden), (count * self.hidden * 12) as u64)]
    }
}
