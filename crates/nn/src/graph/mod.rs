//! Networks on a graph that other programs run: the layers of [`crate::layers`] in the operators of ONNX.
//!
//! An encoder's `graph` reads as its `forward` does, with a [`Sketch`] in place of the pass and these functions in place of
//! the layers'. Values are laid out as there: `[rows, channels, h, w]`, `[rows, steps, width]`, `[rows, features]`.

mod layers;
mod recurrent;

use consilience_core::model::graph::{Graph, Numbers, Value};
use consilience_core::{Error, Result};

pub use layers::{
    batch_norm, by_group, by_row, conv2d, dense, gelu, looked_up, max_pool, mean_of_places, mean_pool,
    rectified, rectified_conv2d,
};
pub use recurrent::recurrent;

use crate::backend::Host;
use crate::params::Params;

/// A graph that is drawn, and the parameters that become its constants.
pub struct Sketch<'a> {
    /// The graph.
    pub graph: &'a mut Graph,
    params: &'a Params,
}

impl<'a> Sketch<'a> {
    /// A network's part of a graph.
    pub fn new(graph: &'a mut Graph, params: &'a Params) -> Self {
        Self { graph, params }
    }

    /// The parameter `layer.name` as a constant in its shape.
    ///
    /// # Errors
    /// [`Error::Internal`] if there is none.
    pub fn param(&mut self, layer: &str, name: &str) -> Result<Value> {
        let full = format!("{layer}.{name}");
        let host = self.host(&full)?;
        let (shape, numbers) = (host.shape(), Numbers::F32(host.numbers().to_vec()));
        Ok(self.graph.constant(&full, &shape, numbers))
    }

    /// A parameter's numbers.
    fn host(&self, full: &str) -> Result<&'a Host> {
        self.params.get(full).ok_or_else(|| Error::internal(format!("no parameter \"{full}\"")))
    }

    /// Whether there is a parameter `layer.name`.
    fn has(&self, layer: &str, name: &str) -> bool {
        self.params.get(&format!("{layer}.{name}")).is_some()
    }
}
