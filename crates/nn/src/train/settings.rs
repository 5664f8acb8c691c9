//! The settings that all networks share.

use std::collections::BTreeMap;

use consilience_core::model::Task;
use consilience_core::{Error, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Adam, ClassWeights, Factors, Schedule, Sgd, Step};
use crate::architecture::Architecture;
use crate::params::Declared;

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
    /// Label smoothing: the share `e` of the truth that is spread over all classes, in [0, 1). What is trained towards is
    /// `(1 - e) y + e / K` with `K` classes. Held-out rows are scored by their plain truth. For classes only.
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1))]
    pub smoothing: f64,
    /// How much the rows of each class count in the loss, in training and on held-out rows: `none` (all alike),
    /// `balanced` (rare classes more: n / (K n_c)), or a map from class to a number above 0; a class that is not named
    /// has 1. It multiplies a column of role weight. For classes only.
    pub class_weights: ClassWeights,
    /// The share `d` of a moving average of the parameters that is kept at each step, in (0, 1), such as 0.999:
    /// `a <- d_t a + (1 - d_t) w` with `d_t = min(d, (1 + t) / (10 + t))` at step `t`. Held-out rows are scored by the
    /// averaged parameters, and the fitted network has them. Without it nothing is averaged.
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub average: Option<f64>,
    /// Factors of the rate by part, such as `{encoders.image: 0.1}`. A part is a parameter's name or its beginning up to
    /// a dot (`encoders`, `encoders.image`, `head`); the longest one counts. With 0 a part is frozen.
    pub rates: BTreeMap<String, f64>,
    /// How often training that diverges (numbers that are not finite, an exploding loss) goes on at half the rate, from
    /// the end of the last good epoch; from the start if that does not help. With 0 it ends with an error.
    #[schemars(range(min = 0, max = 10))]
    pub retries: u32,
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
            smoothing: 0.0,
            class_weights: ClassWeights::default(),
            average: None,
            rates: BTreeMap::new(),
            retries: 0,
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
        let rules: [(&str, bool, &str, String); 12] = [
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
            (
                "smoothing",
                (0.0..1.0).contains(&self.smoothing),
                "a share in [0, 1)",
                self.smoothing.to_string(),
            ),
            (
                "average",
                self.average.is_none_or(|d| d > 0.0 && d < 1.0),
                "a share in (0, 1), or null",
                format!("{:?}", self.average),
            ),
            ("retries", self.retries <= 10, "at most 10", self.retries.to_string()),
        ];
        match rules.into_iter().find(|(_, fine, _, _)| !fine) {
            Some((name, _, expected, got)) => {
                return Err(Error::argument("the setting is out of range")
                    .at(name)
                    .expected(expected)
                    .got(got));
            }
            None => self.class_weights.validate()?,
        }
        match self.rates.iter().find(|(_, factor)| !factor.is_finite() || **factor < 0.0) {
            Some((part, factor)) => Err(Error::argument("the factor of a part is out of range")
                .at(format!("rates: {part}"))
                .expected("a number of at least 0")
                .got(factor)),
            None => Ok(()),
        }
    }

    /// Checks what depends on the task: smoothing and weights are for classes only, and the classes that are named must
    /// be there.
    ///
    /// # Errors
    /// [`Error::Argument`] naming the setting.
    pub fn check(&self, task: &Task) -> Result<()> {
        if self.smoothing > 0.0 && task.classes().is_none() {
            return Err(Error::argument("values have no classes to spread the truth over")
                .at("smoothing")
                .expected("0 with task: regress")
                .got(self.smoothing)
                .remedy("leave smoothing out"));
        }
        self.class_weights.check(task)
    }

    /// Checks what an architecture asks of batches.
    ///
    /// # Errors
    /// [`Error::Argument`] for batches of one row where the moments of a batch are needed.
    pub fn suits(&self, architecture: &Architecture) -> Result<()> {
        if architecture.by_batch() && self.batch == 1 {
            return Err(Error::argument("batch norm needs more than one row in a batch")
                .at("batch")
                .expected("at least 2")
                .got(1));
        }
        Ok(())
    }

    /// The factors of the rate, parameter by parameter.
    ///
    /// # Errors
    /// As [`Factors::new`].
    pub fn factors(&self, declared: &[Declared]) -> Result<Factors> {
        Factors::new(&self.rates, declared)
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
            ("dropout", Training { dropout: 1.0, ..good.clone() }),
            ("smoothing", Training { smoothing: 1.0, ..good.clone() }),
            ("smoothing", Training { smoothing: f64::NAN, ..good.clone() }),
            ("average", Training { average: Some(1.0), ..good.clone() }),
            ("average", Training { average: Some(0.0), ..good.clone() }),
            ("average", Training { average: Some(f64::NAN), ..good.clone() }),
            ("retries", Training { retries: 11, ..good.clone() }),
            ("rates: head", Training { rates: BTreeMap::from([("head".into(), -0.1)]), ..good.clone() }),
            (
                "rates: head",
                Training { rates: BTreeMap::from([("head".into(), f64::INFINITY)]), ..good.clone() },
            ),
            (
                "class_weights",
                Training { class_weights: ClassWeights::Named(BTreeMap::from([("a".into(), 0.0)])), ..good },
            ),
        ];
        for (name, settings) in bad {
            let error = settings.validate().unwrap_err();
            assert!(error.to_string().starts_with(name), "{error}");
        }
    }

    #[test]
    fn what_needs_classes_is_refused_for_values() {
        let good = Training::default();
        good.check(&Task::Regress).unwrap();
        let error = Training { smoothing: 0.1, ..good.clone() }.check(&Task::Regress).unwrap_err();
        assert!(error.to_string().starts_with("smoothing: "), "{error}");
        let balanced = ClassWeights::Rule(super::super::Rule::Balanced);
        let error = Training { class_weights: balanced, ..good }.check(&Task::Regress).unwrap_err();
        assert!(error.to_string().starts_with("class_weights: "), "{error}");
    }
}
