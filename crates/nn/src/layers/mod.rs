//! Layers: what they ask for as parameters, and what they compute from them.

pub mod convolution;
pub mod dense;
pub mod embedding;
pub mod norm;
pub mod recurrence;
pub mod window;

use consilience_core::seed::Seed;
use consilience_core::{Error, Result};
use rand::RngExt;

use crate::backend::{self, Tensor};
use crate::params::Bound;

/// One forward pass: the parameters, and whether it trains.
pub struct Pass<'a> {
    bound: &'a Bound,
    dropout: Option<(f64, Seed)>,
    watch: bool,
}

impl<'a> Pass<'a> {
    /// A pass that predicts.
    pub fn predicting(bound: &'a Bound) -> Self {
        Self { bound, dropout: None, watch: false }
    }

    /// A pass that trains: `share` of the features that [`Pass::drop`] is given are dropped.
    pub fn training(bound: &'a Bound, share: f64, seed: Seed) -> Self {
        Self { bound, dropout: (share > 0.0).then_some((share, seed)), watch: false }
    }

    /// The same pass, which fails at the first layer whose output is not finite. Slow: for finding out where.
    #[must_use]
    pub fn watching(self) -> Self {
        Self { watch: true, ..self }
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
        let Some((share, seed)) = self.dropout else { return x };
        let mut rng = seed.child(layer).rng();
        let [rows, width] = x.dims();
        let (share, kept) = (share as f32, (1.0 / (1.0 - share)) as f32);
        let mask = (0..rows * width).map(|_| if rng.random::<f32>() < share { 0.0 } else { kept }).collect();
        x * backend::constant(mask, [rows, width])
    }
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
