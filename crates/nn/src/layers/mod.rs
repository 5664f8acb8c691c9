//! Layers: what they ask for as parameters, and what they compute from them.

pub mod batch_norm;
pub mod convolution;
pub mod dense;
pub mod embedding;
pub mod norm;
pub mod recurrence;
pub mod window;

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use consilience_core::seed::Seed;
use consilience_core::{Error, Result};
use rand::RngExt;

use crate::backend::{self, Tensor};
use crate::params::Bound;

/// One forward pass: the parameters, and whether it trains.
pub struct Pass<'a> {
    bound: &'a Bound,
    training: Option<Training>,
    watch: bool,
}

/// What a pass that trains has beside the parameters.
struct Training {
    share: f64,
    seed: Seed,
    /// Norms see the batch although nothing learns.
    measures: bool,
    moments: Mutex<BTreeMap<String, Noted>>,
}

/// A moment of a batch, and of how many numbers a channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Noted {
    /// One number a channel.
    pub moment: Vec<f32>,
    /// How many numbers a channel had.
    pub count: usize,
}

impl<'a> Pass<'a> {
    /// A pass that predicts.
    pub fn predicting(bound: &'a Bound) -> Self {
        Self { bound, training: None, watch: false }
    }

    /// A pass that trains: `share` of the features that [`Pass::drop`] is given are dropped, and layers that normalize by
    /// batch note what they saw.
    pub fn training(bound: &'a Bound, share: f64, seed: Seed) -> Self {
        let training = Training { share, seed, measures: false, moments: Mutex::default() };
        Self { bound, training: Some(training), watch: false }
    }

    /// A pass that measures: layers that normalize by batch do so and note what they saw, as in training, and nothing else is as in
    /// training.
    pub fn measuring(bound: &'a Bound) -> Self {
        let training = Training { share: 0.0, seed: Seed::new(0), measures: true, moments: Mutex::default() };
        Self { bound, training: Some(training), watch: false }
    }

    /// The same pass, which fails at the first layer whose output is not finite. Slow: for finding out where.
    #[must_use]
    pub fn watching(self) -> Self {
        Self { watch: true, ..self }
    }

    /// The moments of the batch that layers noted, by the names of the running ones.
    pub fn moments(self) -> BTreeMap<String, Vec<f32>> {
        self.noted().into_iter().map(|(name, noted)| (name, noted.moment)).collect()
    }

    /// The same, each with the count of numbers that it is of.
    pub fn noted(self) -> BTreeMap<String, Noted> {
        let all = self.training.map(|t| t.moments.into_inner().unwrap_or_else(PoisonError::into_inner));
        all.unwrap_or_default()
    }

    fn note(&self, layer: &str, name: &str, moment: Vec<f32>, count: usize) {
        if let Some(training) = &self.training {
            let mut all = training.moments.lock().unwrap_or_else(PoisonError::into_inner);
            all.insert(format!("{layer}.{name}"), Noted { moment, count });
        }
    }

    /// Whether a parameter of a layer is being trained.
    fn learns(&self, layer: &str, name: &str) -> bool {
        self.training.is_some() && self.bound.learns(&format!("{layer}.{name}"))
    }

    /// Whether a norm by batch takes the moments of the batch.
    fn by_batch(&self, norm: &str) -> bool {
        self.training.as_ref().is_some_and(|t| t.measures) || self.learns(norm, "weight")
    }

    /// The parameter `layer.name`.
    ///
    /// # Errors
    /// [`Error::Internal`] if there is none.
    pub fn param<const D: usize>(&self, layer: &str, name: &str) -> Result<Tensor<D>> {
        self.bound.get(&format!("{layer}.{name}"))
    }

    /// Passes a layer's output on; when watching, only if it is finite.
    ///
    /// # Errors
    /// [`Error::Model`] naming the layer.
    pub fn see<const D: usize>(&self, layer: &str, output: Tensor<D>) -> Result<Tensor<D>> {
        if self.watch && backend::read(output.clone())?.iter().any(|v| !v.is_finite()) {
            return Err(Error::model("a layer gives numbers that are not finite")
                .at(format!("layer {layer}"))
                .remedy("lower the rate, or set clip"));
        }
        Ok(output)
    }

    /// In training, sets a share `p` of the features to zero and divides the rest by `1 - p`; otherwise the identity.
    ///
    /// # Reference
    /// Srivastava et al. (2014), "Dropout: a simple way to prevent neural networks from overfitting".
    pub fn drop(&self, layer: &str, x: Tensor<2>) -> Tensor<2> {
        let Some(Training { share, seed, .. }) = self.training.as_ref().filter(|t| t.share > 0.0) else {
            return x;
        };
        let mut rng = seed.child(layer).rng();
        let [rows, width] = x.dims();
        let (share, kept) = (*share as f32, (1.0 / (1.0 - share)) as f32);
        let mask = (0..rows * width).map(|_| if rng.random::<f32>() < share { 0.0 } else { kept }).collect();
        x * backend::constant(mask, [rows, width])
    }
}

/// The mean of each channel over all places: `[rows, channels, h, w]` to `[rows, channels]`.
pub fn mean_of_places(x: Tensor<4>) -> Tensor<2> {
    let [rows, channels, h, w] = x.dims();
    x.reshape([rows, channels, h * w]).mean_dim(2).reshape([rows, channels])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::Params;

    #[test]
    fn dropout_keeps_the_mean_and_predicting_keeps_everything() {
        let bound = Params::default().bind(false);
        let x = || backend::constant(vec![1.0; 10_000], [100, 100]);
        let dropped = Pass::training(&bound, 0.25, Seed::new(3)).drop("a", x());
        let values = backend::read(dropped).unwrap();
        let mean = values.iter().sum::<f32>() / 10_000.0;
        // The standard error of the mean is sqrt(1/3) / 100.
        assert!((mean - 1.0).abs() < 0.03, "{mean}");
        assert!(values.iter().all(|v| *v == 0.0 || (*v - 4.0 / 3.0).abs() < 1e-6));
        assert_eq!(backend::read(Pass::predicting(&bound).drop("a", x())).unwrap(), vec![1.0; 10_000]);
    }

    #[test]
    fn a_watching_pass_names_the_layer() {
        let bound = Params::default().bind(false);
        let bad = || backend::constant(vec![f32::INFINITY], [1, 1]);
        assert!(Pass::predicting(&bound).see("head", bad()).is_ok());
        let error = Pass::predicting(&bound).watching().see("head", bad()).unwrap_err();
        assert!(error.to_string().contains("layer head"), "{error}");
    }
}
