//! A linear head on the features of one modality.

use consilience_core::members::Modality;
use consilience_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::{Branch, Drawn, Features, Fuse, Heads, Joint};
use crate::backend;
use crate::graph::{self, Sketch};
use crate::layers::{Pass, dense};
use crate::params::Declared;

/// The layer of the classifier.
pub const HEAD: &str = "head";

/// A linear head: `logits = W h + b`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SingleHead {}

impl Fuse for SingleHead {
    fn declare(&self, branches: &[Branch], outputs: usize) -> Vec<Declared> {
        dense::declare(HEAD, self.width(branches), outputs).to_vec()
    }

    fn width(&self, branches: &[Branch]) -> usize {
        branches.iter().map(|b| b.width).sum()
    }

    fn forward(&self, pass: &Pass<'_>, branches: &[Branch], mut features: Features) -> Result<Joint> {
        if features.values.len() != 1 {
            return Err(Error::internal(format!("a single head on {} modalities", features.values.len())));
        }
        let zeros = || backend::zeros([features.rows, self.width(branches)]);
        let hidden = features.values.pop().flatten().unwrap_or_else(zeros);
        let heads = Heads::One(dense::forward(pass, HEAD, hidden.clone())?);
        Ok(Joint { hidden, heads })
    }

    fn graph(&self, sketch: &mut Sketch<'_>, _: &[Branch], features: &[Modality]) -> Result<Drawn> {
        match features {
            [one] => Ok(Drawn::One(graph::dense(sketch, HEAD, &one.value)?)),
            _ => Err(Error::internal(format!("a single head on {} modalities", features.len()))),
        }
    }

    fn outline(&self, _branches: &[Branch], outputs: usize) -> Vec<String> {
        vec![format!("head {outputs}")]
    }
}
