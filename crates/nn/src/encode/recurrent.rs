//! What encoders that read steps or frames have in common.

use consilience_core::model::Field;
use consilience_core::model::graph::Value;
use consilience_core::{Error, Result};

use super::{Encode, wrong_shape};
use crate::backend::Tensor;
use crate::graph::{self, Sketch};
use crate::layers::Pass;
use crate::layers::recurrence::Recurrence;
use crate::params::Declared;

/// The most recurrent layers.
const DEEPEST: usize = 16;

/// Settings of recurrent layers, which makes them an encoder.
pub trait Recurrent {
    /// Its name in recipes, and that of its layer.
    const NAME: &'static str;

    /// The layers.
    fn recurrence(&self) -> Recurrence;
}

/// How a row is read: how many steps of how many values, and whether the steps run along the last dimension.
fn steps(field: &Field) -> Option<(usize, usize, bool)> {
    match field.shape.as_slice() {
        [1, mels, frames] => Some((*frames, *mels, true)),
        [steps, width] => Some((*steps, *width, false)),
        _ => None,
    }
}

fn name<R: Recurrent>(layer: &str) -> String {
    format!("{layer}.{}", R::NAME)
}

impl<R: Recurrent> Encode for R {
    fn check(&self, field: &Field) -> Result<()> {
        let Recurrence { hidden, layers, .. } = self.recurrence();
        if hidden == 0 {
            return Err(Error::argument("hidden must be at least 1").got(0));
        }
        if !(1..=DEEPEST).contains(&layers) {
            let error = Error::argument("the number of layers is out of range").at("layers");
            return Err(error.expected(format!("1 to {DEEPEST}")).got(layers));
        }
        match steps(field) {
            Some((steps, width, _)) if steps > 0 && width > 0 => Ok(()),
            _ => {
                let encoder = format!("{} encoder", R::NAME);
                Err(wrong_shape(field, &encoder, "[steps, width] or [1, mels, frames]"))
            }
        }
    }

    fn declare(&self, layer: &str, field: &Field) -> Vec<Declared> {
        let width = steps(field).map_or(0, |(_, width, _)| width);
        self.recurrence().declare(&name::<R>(layer), width)
    }

    fn width(&self, _field: &Field) -> usize {
        self.recurrence().width()
    }

    fn forward(&self, pass: &Pass<'_>, layer: &str, field: &Field, x: Tensor<2>) -> Result<Tensor<2>> {
        let (count, width, last) = steps(field).unwrap_or_default();
        let rows = x.dims()[0];
        let x: Tensor<3> = match last {
            true => x.reshape([rows, width, count]).swap_dims(1, 2),
            false => x.reshape([rows, count, width]),
        };
        let name = name::<R>(layer);
        Ok(pass.drop(&name, self.recurrence().forward(pass, &name, x)?))
    }

    fn graph(&self, sketch: &mut Sketch<'_>, layer: &str, field: &Field, x: &Value) -> Result<Value> {
        let x = match field.shape.as_slice() {
            [_, mels, frames] => {
                let x = sketch.graph.reshape(x, &[0, *mels as i64, *frames as i64]);
                sketch.graph.transpose(&x, &[0, 2, 1])
            }
            _ => x.clone(),
        };
        let Recurrence { cell, layers, bidirectional, .. } = self.recurrence();
        graph::recurrent(sketch, cell, &name::<R>(layer), layers, bidirectional, &x)
    }

    fn outline(&self, field: &Field) -> Vec<(String, u64)> {
        let count = steps(field).map_or(0, |(count, _, _)| count);
        let Recurrence { hidden, layers, bidirectional, .. } = self.recurrence();
        let how = if bidirectional { " in both directions" } else { "" };
        let size = count.saturating_mul(self.recurrence().width()).saturating_mul(12) as u64;
        let line = |level: usize| {
            let number = if layers == 1 { String::new() } else { (level + 1).to_string() };
            (format!("{}{number} {hidden} over {count} steps{how}", R::NAME), size)
        };
        (0..layers).map(line).collect()
    }
}
