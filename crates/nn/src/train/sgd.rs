//! Stochastic gradient descent with momentum.

use std::collections::BTreeMap;

use consilience_core::Result;
use consilience_core::model::Parts;
use serde_json::Value;

use super::Step;
use super::checkpoint::remembered;
use crate::kernels::wide;
use crate::params::Params;

/// `g <- g + decay w`, `v <- momentum v + g`, `w <- w - rate v`. Only weights decay, not biases (parameters of one
/// dimension).
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
    fn step(&mut self, params: &mut Params, gradients: &BTreeMap<String, Vec<f32>>, rate: f64) {
        let (momentum, rate) = (self.momentum as f32, rate as f32);
        for (name, param) in params.iter_mut() {
            let Some(gradient) = gradients.get(name) else { continue };
            let decay = if param.shape.len() > 1 { self.decay as f32 } else { 0.0 };
            let velocity = self.velocity.entry(name.to_owned()).or_insert_with(|| vec![0.0; gradient.len()]);
            wide(
                #[inline(always)]
                || {
                    for ((w, g), v) in param.values.iter_mut().zip(gradient).zip(velocity) {
                        *v = momentum * *v + (g + decay * *w);
                        *w -= rate * *v;
                    }
                },
            );
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
