//! A head for each modality, trained together.

use consilience_core::Result;
use consilience_core::members::Modality;
use serde::{Deserialize, Serialize};

use super::{Branch, Drawn, Features, Fuse, Heads, Joint};
use crate::backend::{self, Tensor};
use crate::graph::{self, Sketch};
use crate::layers::{Pass, dense};
use crate::params::Declared;

/// A linear head on each modality. Training minimizes the sum of their losses; the prediction is the mean of the
/// probabilities (or values) over the modalities that are present: `p = sum_m r_m p_m / sum_m r_m`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LateHead {}

fn head(branch: &Branch) -> String {
    format!("heads.{}", branch.name)
}

impl Fuse for LateHead {
    fn declare(&self, branches: &[Branch], outputs: usize) -> Vec<Declared> {
        branches.iter().flat_map(|b| dense::declare(&head(b), b.width, outputs)).collect()
    }

    fn width(&self, branches: &[Branch]) -> usize {
        branches.iter().map(|b| b.width).sum()
    }

    fn forward(&self, pass: &Pass<'_>, branches: &[Branch], features: Features) -> Result<Joint> {
        let mut heads = Vec::with_capacity(branches.len());
        let mut parts: Vec<Tensor<2>> = Vec::with_capacity(branches.len());
        for (h, branch) in features.values.into_iter().zip(branches) {
            heads.push(h.clone().map(|h| dense::forward(pass, &head(branch), h)).transpose()?);
            parts.push(h.unwrap_or_else(|| backend::zeros([features.rows, branch.width])));
        }
        Ok(Joint { hidden: Tensor::cat(parts, 1), heads: Heads::Each(heads) })
    }

    fn graph(&self, sketch: &mut Sketch<'_>, branches: &[Branch], features: &[Modality]) -> Result<Drawn> {
        let heads = features.iter().zip(branches).map(|(f, b)| graph::dense(sketch, &head(b), &f.value));
        heads.collect::<Result<_>>().map(Drawn::Each)
    }

    fn outline(&self, branches: &[Branch], outputs: usize) -> Vec<String> {
        branches.iter().map(|b| format!("{} {outputs}", head(b))).collect()
    }
}
