//! Stochastic gradient descent with momentum.

use std::collections::BTreeMap;

use consilience_core::Result;
use consilience_core::model::Parts;
use rayon::prelude::*;
use serde_json::Value;

use super::checkpoint::remembered;
use super::{Factors, Step};
use crate::backend::Host;
use crate::kernels::{PIECE, wide};
use crate::params::Params;

/// `g <- g + decay w`, `v <- momentum v + g`, `w <- w - rate v`. Only weights decay, not biases (parameters of one
/// dimension). A part with a factor of its own has `factor * rate` for `rate`.
///
/// # Reference
/// Sutskever, Martens, Dahl and Hinton (2013), "On the importance of initialization and momentum in deep learning".
#[derive(Debug, Default)]
pub struct Sgd {
    momentum: f64,
    decay: f64,
    velocity: BTreeMap<String, Vec<f32>>,
}

impl Sgd {
    /// With a momentum in [0, 1) and a weight decay.
    pub fn new(momentum: f64, decay: f64) -> Self {
        Self { momentum, decay, velocity: BTreeMap::new() }
    }
}

impl Step for Sgd {
    fn step_by(
        &mut self,
        params: &mut Params,
        gradients: &BTreeMap<String, Host>,
        rate: f64,
        factors: &Factors,
    ) {
        let momentum = self.momentum as f32;
        for (name, param) in params.iter_mut().filter(|(name, _)| !factors.frozen(name)) {
            let Some(gradient) = gradients.get(name) else { continue };
            let rate = (rate * factors.of(name)) as f32;
            let gradient = gradient.numbers();
            let decay = if param.shape().len() > 1 { self.decay as f32 } else { 0.0 };
            let pieces = param.numbers_mut().par_chunks_mut(PIECE).zip(gradient.par_chunks(PIECE));
            if self.momentum == 0.0 {
                // Nothing is remembered, and memory is saved.
                pieces.for_each(|(w, g)| {
                    wide(
                        #[inline(always)]
                        || w.iter_mut().zip(g).for_each(|(w, g)| *w -= rate * (g + decay * *w)),
                    );
                });
                continue;
            }
            let velocity = self.velocity.entry(name.to_owned()).or_insert_with(|| vec![0.0; gradient.len()]);
            pieces.zip(velocity.par_chunks_mut(PIECE)).for_each(|((w, g), v)| {
                wide(
                    #[inline(always)]
                    || {
                        for ((w, g), v) in w.iter_mut().zip(g).zip(v) {
                            *v = momentum * *v + (g + decay * *w);
                            *w -= rate * *v;
                        }
                    },
                );
            });
        }
    }

    fn save(&self) -> Parts {
        let parts = Parts::new("sgd", Value::Null);
        self.velocity.iter().fold(parts, |parts, (name, velocity)| parts.with_f32(name, velocity))
    }

    fn load(&mut self, parts: &Parts, params: &Params) -> Result<()> {
        self.velocity.clear();
        for (name, param) in params.iter().filter(|(name, _)| parts.arrays.contains_key(*name)) {
            self.velocity.insert(name.to_owned(), remembered(parts, name, param)?);
        }
        Ok(())
    }
}
