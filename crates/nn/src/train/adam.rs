//! Adam with decoupled weight decay.

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

const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

/// `m <- b1 m + (1 - b1) g`, `v <- b2 v + (1 - b2) g^2`,
/// `w <- w - rate (decay w + (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + e))` with `b1 = .9`, `b2 = .999`, `e = 1e-8`.
/// Only weights decay, not biases (parameters of one dimension). A part with a factor of its own has `factor * rate` for
/// `rate`, in the decay too.
///
/// # Reference
/// Kingma and Ba (2015), "Adam"; Loshchilov and Hutter (2019), "Decoupled weight decay regularization".
#[derive(Debug, Default)]
pub struct Adam {
    decay: f64,
    moments: BTreeMap<String, Moments>,
}

#[derive(Debug, Default)]
struct Moments {
    steps: u32,
    first: Vec<f32>,
    second: Vec<f32>,
}

impl Adam {
    /// With a weight decay.
    pub fn new(decay: f64) -> Self {
        Self { decay, moments: BTreeMap::new() }
    }
}

impl Step for Adam {
    fn step_by(
        &mut self,
        params: &mut Params,
        gradients: &BTreeMap<String, Host>,
        rate: f64,
        factors: &Factors,
    ) {
        for (name, param) in params.iter_mut().filter(|(name, _)| !factors.frozen(name)) {
            let Some(gradient) = gradients.get(name) else { continue };
            let rate = rate * factors.of(name);
            let gradient = gradient.numbers();
            let m = self.moments.entry(name.to_owned()).or_insert_with(|| Moments {
                steps: 0,
                first: vec![0.0; gradient.len()],
                second: vec![0.0; gradient.len()],
            });
            m.steps += 1;
            let t = f64::from(m.steps);
            let size = (rate / (1.0 - BETA1.powf(t))) as f32;
            let root = (1.0 / (1.0 - BETA2.powf(t)).sqrt()) as f32;
            let keep = if param.shape().len() > 1 { (1.0 - rate * self.decay) as f32 } else { 1.0 };
            let (b1, b2, epsilon) = (BETA1 as f32, BETA2 as f32, EPSILON as f32);
            let (c1, c2) = ((1.0 - BETA1) as f32, (1.0 - BETA2) as f32);
            let moments = m.first.par_chunks_mut(PIECE).zip(m.second.par_chunks_mut(PIECE));
            let pieces =
                param.numbers_mut().par_chunks_mut(PIECE).zip(gradient.par_chunks(PIECE)).zip(moments);
            pieces.for_each(|((w, g), (first, second))| {
                wide(
                    #[inline(always)]
                    || {
                        for (((w, g), first), second) in w.iter_mut().zip(g).zip(first).zip(second) {
                            *first = b1 * *first + c1 * g;
                            *second = b2 * *second + c2 * g * g;
                            *w = *w * keep - size * *first / (second.sqrt() * root + epsilon);
                        }
                    },
                );
            });
        }
    }

    fn save(&self) -> Parts {
        self.moments.iter().fold(Parts::new("adam", Value::Null), |parts, (name, m)| {
            parts
                .with_u32(&format!("{name}/steps"), &[m.steps])
                .with_f32(&format!("{name}/first"), &m.first)
                .with_f32(&format!("{name}/second"), &m.second)
        })
    }

    fn load(&mut self, parts: &Parts, params: &Params) -> Result<()> {
        self.moments.clear();
        for (name, param) in params.iter() {
            let Ok(steps) = parts.u32(&format!("{name}/steps")) else { continue };
            let moments = Moments {
                steps: steps.first().copied().unwrap_or_default(),
                first: remembered(parts, &format!("{name}/first"), param)?,
                second: remembered(parts, &format!("{name}/second"), param)?,
            };
            self.moments.insert(name.to_owned(), moments);
        }
        Ok(())
    }
}
