//! Layers of long short-term memory over steps or frames.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::recurrent::Recurrent;
use crate::layers::recurrence::{Cell, Recurrence};

/// Layers of long short-term memory whose last states are the features, with dropout. They read `[steps, width]` step by
/// step, or `[1, mels, frames]` frame by frame.
///
/// # Reference
/// Hochreiter and Schmidhuber (1997), "Long short-term memory".
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct LstmEncoder {
    /// The width of a state: the number of features, or half of it in both directions.
    #[schemars(range(min = 1))]
    pub hidden: usize,
    /// How many layers, each reading the states of the one below.
    #[schemars(range(min = 1, max = 16))]
    pub layers: usize,
    /// Whether steps are read in both directions.
    pub bidirectional: bool,
}

impl Default for LstmEncoder {
    fn default() -> Self {
        Self { hidden: 64, layers: 1, bidirectional: false }
    }
}

impl Recurrent for LstmEncoder {
    const NAME: &'static str = "lstm";

    fn recurrence(&self) -> Recurrence {
        let Self { hidden, layers, bidirectional } = *self;
        Recurrence { cell: Cell::Lstm, hidden, layers, bidirectional }
    }
}
