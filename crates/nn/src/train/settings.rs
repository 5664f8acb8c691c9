//! The settings that all networks share.

use consilience_core::{Error, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Adam, Schedule, Sgd, Step};

/// What moves the parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Optimizer {
    /// Adam with decoupled weight decay.
    Adam,
    /// Stochastic gradient descent with momentum.
    Sgd,
}

/// How a network is trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Training {
    /// At most this many passes over the training rows.
    #[schemars(range(min = 1))]
    pub epochs: u32,
    /// Rows in a step. The last batch of an epoch may be smaller; it is never dropped.
    #[schemars(range(min = 1))]
    pub batch: usize,
    /// The size of a step, before the schedule.
    #[schemars(range(min = 0.0))]
    pub rate: f64,
    /// What moves the parameters.
    pub optimizer: Optimizer,
    /// The share of the last step that is kept by `sgd`, in [0, 1).
    #[schemars(range(min = 0.0, max = 1.0))]
    pub momentum: f64,
    /// How the rate changes over the steps of all epochs.
    pub schedule: Schedule,
    /// Pull of the weights (not the biases) towards zero: decoupled for `adam`, added to the gradient for `sgd`.
    #[schemars(range(min = 0.0))]
    pub weight_decay: f64,
    /// The largest Euclidean norm of all gradients together; longer ones are shortened to it.
    #[schemars(range(min = 0.0))]
    pub clip: Option<f64>,
    /// The share of the training rows that is held out for early stopping: stratified by class, groups kept whole. With
    /// 0 all rows are trained on for exactly `epochs` epochs.
    #[schemars(range(min = 0.0, max = 0.5))]
    pub inner: f64,
    /// Early stopping ends the training after this many epochs without a better loss on the held-out rows.
    #[schemars(range(min = 1))]
    pub patience: u32,
    /// The share of features that is dropped in training after each dense layer with a rectifier and each recurrent
    /// layer, in [0, 1).
    #[schemars(range(min = 0.0, max = 1.0))]
    pub dropout: f64,
}

impl Default for Training {
    fn default() -> Self {
        Self {
            epochs: 20,
            batch: 64,
            rate: 1e-3,
            optimizer: Optimizer::Adam,
            momentum: 0.9,
            schedule: Schedule::Constant,
            weight_decay: 0.0,
            clip: None,
            inner: 0.1,
            patience: 5,
            dropout: 0.0,
        }
    }
}

impl Training {
    /// Checks what types cannot say.
    ///
    /// # Errors
    /// [`Error::Argument`] naming the setting.
    pub fn validate(&self) -> Result<()> {
        let finite_positive = |v: f64| v.is_finite() && v > 0.0;
        let rules: [(&str, bool, &str, String); 9] = [
            ("epochs", self.epochs >= 1, "at least 1", self.epochs.to_string()),
            ("batch", self.batch >= 1, "at least 1", self.batch.to_string()),
            ("rate", finite_positive(self.rate), "a number above 0", self.rate.to_string()),
            (
                "momentum",
                (0.0..1.0).contains(&self.momentum),
                "a number in [0, 1)",
                self.momentum.to_string(),
            ),
            (
                "weight_decay",
                self.weight_decay.is_finite() && self.weight_decay >= 0.0,
                "a number of at least 0",
                self.weight_decay.to_string(),
            ),
            (
                "clip",
                self.clip.is_none_or(finite_positive),
                "a number above 0, or null",
                format!("{:?}", self.clip),
            ),
            ("inner", (0.0..=0.5).contains(&self.inner), "a share in [0, 0.5]", self.inner.to_string()),
            ("patience", self.patience >= 1, "at least 1", self.patience.to_string()),
            ("dropout", (0.0..1.0).contains(&self.dropout), "a share in [0, 1)", self.dropout.to_string()),
        ];
        match rules.into_iter().find(|(_, fine, _, _)| !fine) {
            Some((name, _, expected, got)) => {
                Err(Error::argument("the setting is out of range").at(name).expected(expected).got(got))
            }
            None => Ok(()),
        }
    }

    /// The optimizer, at its start.
    pub fn optimizer(&self) -> Box<dyn Step> {
        match self.optimizer {
            Optimizer::Adam => Box::new(Adam::new(self.weight_decay)),
            Optimizer::Sgd => Box::new(Sgd::new(self.momentum, self.weight_decay)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_out_of_range_are_named() {
        let good = Training::default();
        good.validate().unwrap();
        let bad = [
            ("epochs", Training { epochs: 0, ..good.clone() }),
            ("batch", Training { batch: 0, ..good.clone() }),
            ("rate", Training { rate: f64::NAN, ..good.clone() }),
            ("momentum", Training { momentum: 1.0, ..good.clone() }),
            ("weight_decay", Training { weight_decay: -1.0, ..good.clone() }),
            ("clip", Training { clip: Some(0.0), ..good.clone() }),
            ("inner", Training { inner: 0.6, ..good.clone() }),
            ("patience", Training { patience: 0, ..good.clone() }),
            ("dropout", Training { dropout: 1.0, ..good }),
        ];
        for (name, settings) in bad {
            let error = settings.validate().unwrap_err();
            assert!(error.to_string().starts_with(name), "{error}");
        }
    }
}
