//! Features beside each other with presence flags, a dense layer, a head.

use consilience_core::Result;
use consilience_core::members::Modality;
use serde::{Deserialize, Serialize};

use super::{Branch, Drawn, Features, Fuse, HEAD, Heads, Joint};
use crate::backend::{self, Tensor};
use crate::graph::{self, Sketch};
use crate::layers::{Pass, dense};
use crate::params::Declared;

const DENSE: &str = "fusion.dense";

/// `z = max(W [h_1 .. h_M, r_1 .. r_M] + b, 0)`, dropout, `logits = V z + c`. A modality that is absent on a row gives
/// zeros for its features and `r_m = 0`, so that the head can tell it from a modality whose features are zero.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConcatHead {
    /// The width of the dense layer.
    pub hidden: usize,
}

impl Fuse for ConcatHead {
    fn declare(&self, branches: &[Branch], outputs: usize) -> Vec<Declared> {
        let inputs: usize = branches.iter().map(|b| b.width + 1).sum();
        let mut all = dense::declare(DENSE, inputs, self.hidden).to_vec();
        all.extend(dense::declare(HEAD, self.hidden, outputs));
        all
    }

    fn width(&self, _branches: &[Branch]) -> usize {
        self.hidden
    }

    fn forward(&self, pass: &Pass<'_>, branches: &[Branch], features: Features) -> Result<Joint> {
        let rows = features.rows;
        let mut parts: Vec<Tensor<2>> = features
            .values
            .into_iter()
            .zip(branches)
            .map(|(h, branch)| h.unwrap_or_else(|| backend::zeros([rows, branch.width])))
            .collect();
        parts.extend(features.present.into_iter().map(|flags| backend::constant(flags, [rows, 1])));
        let z = dense::rectified(pass, DENSE, Tensor::cat(parts, 1))?;
        let hidden = pass.drop(DENSE, z);
        let heads = Heads::One(dense::forward(pass, HEAD, hidden.clone())?);
        Ok(Joint { hidden, heads })
    }

    fn graph(&self, sketch: &mut Sketch<'_>, _: &[Branch], features: &[Modality]) -> Result<Drawn> {
        let mut parts: Vec<_> = features.iter().map(|f| f.value.clone()).collect();
        parts.extend(features.iter().map(|f| f.flag(sketch.graph)));
        let joined = sketch.graph.beside(&parts, 1);
        let z = graph::rectified(sketch, DENSE, &joined)?;
        Ok(Drawn::One(graph::dense(sketch, HEAD, &z)?))
    }

    fn outline(&self, branches: &[Branch], outputs: usize) -> Vec<String> {
        let inputs: usize = branches.iter().map(|b| b.width + 1).sum();
        vec![format!("concat {inputs}"), format!("{DENSE} {}", self.hidden), format!("{HEAD} {outputs}")]
    }
}
