//! Fusion: the features of the modalities to outputs.

mod concat;
mod late;
mod single;

pub use concat::ConcatHead;
pub use late::LateHead;
pub use single::{HEAD, SingleHead};

use consilience_core::Result;
use consilience_core::members::Modality;
use consilience_core::model::graph::{Value, refused};
use serde::{Deserialize, Serialize};

use crate::backend::Tensor;
use crate::graph::Sketch;
use crate::layers::Pass;
use crate::params::Declared;

/// A modality as a fusion sees it.
pub struct Branch {
    /// The name of the modality.
    pub name: String,
    /// How many features it gives.
    pub width: usize,
}

/// The features of some rows, one entry a modality.
pub struct Features {
    /// How many rows.
    pub rows: usize,
    /// `[rows, width]`, zero on rows without the modality; `None` if no row has it.
    pub values: Vec<Option<Tensor<2>>>,
    /// One where the modality is present, zero where it is absent.
    pub present: Vec<Vec<f32>>,
}

/// What a fusion gives.
pub struct Joint {
    /// The features before the head, `[rows, width]`.
    pub hidden: Tensor<2>,
    /// Logits or values.
    pub heads: Heads,
}

/// Logits or values `[rows, outputs]`.
#[derive(Clone)]
#[allow(clippy::large_enum_variant)]
pub enum Heads {
    /// Of one head for all modalities together.
    One(Tensor<2>),
    /// Of a head for each modality; `None` if no row has it. A head counts only on rows that have its modality.
    Each(Vec<Option<Tensor<2>>>),
}

/// [`Heads`] on a graph.
pub enum Drawn {
    /// Of one head.
    One(Value),
    /// Of a head for each modality.
    Each(Vec<Value>),
}

/// What every fusion can do.
pub trait Fuse {
    /// The parameters it asks for.
    fn declare(&self, branches: &[Branch], outputs: usize) -> Vec<Declared>;

    /// How wide the features before the head are.
    fn width(&self, branches: &[Branch]) -> usize;

    /// Features to outputs.
    ///
    /// # Errors
    /// As [`Pass::param`] and [`Pass::see`].
    fn forward(&self, pass: &Pass<'_>, branches: &[Branch], features: Features) -> Result<Joint>;

    /// Writes what [`Fuse::forward`] does when predicting: the logits or values of one head, or of a head a modality. The
    /// features `[rows, width]` are zero on rows without the modality.
    ///
    /// # Errors
    /// [`Error::Model`](consilience_core::Error::Model) if no graph can say it.
    fn graph(&self, _: &mut Sketch<'_>, _branches: &[Branch], _features: &[Modality]) -> Result<Drawn> {
        Err(refused("a fusion of this kind", ""))
    }

    /// A line a layer.
    fn outline(&self, branches: &[Branch], outputs: usize) -> Vec<String>;
}

/// A fusion, by name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fusion {
    /// A linear head on one modality.
    Single(SingleHead),
    /// The features beside each other.
    Concat(ConcatHead),
    /// A head for each modality.
    Late(LateHead),
}

impl Fusion {
    /// The fusion behind the name.
    pub fn get(&self) -> &dyn Fuse {
        match self {
            Self::Single(f) => f,
            Self::Concat(f) => f,
            Self::Late(f) => f,
        }
    }
}
