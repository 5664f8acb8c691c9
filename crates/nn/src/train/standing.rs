//! Where a fit stands, between two batches.

use consilience_core::model::{LogRow, Parts};

use super::divergence::Losses;
use crate::params::Params;

/// The best epoch so far.
#[derive(Debug, Clone, PartialEq)]
pub struct Best {
    /// Its loss on the held-out rows.
    pub loss: f64,
    /// The epoch, from 1.
    pub epoch: u32,
    /// The parameters after it, averaged where they are.
    pub params: Params,
}

/// Sums over the batches that are done of the epoch under way.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Sums {
    /// How many batches.
    pub batches: u64,
    /// How many rows with any modality.
    pub rows: u64,
    /// The loss of each batch times the weight of its rows.
    pub loss: f64,
    /// The weights of the rows.
    pub weight: f64,
    /// The rows that are told right, or the squared errors in standard units. Only progress is told of it.
    pub score: f64,
}

/// Where a fit stands between two batches.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// The parameters.
    pub params: Params,
    /// Their moving average, if one is kept.
    pub average: Option<Params>,
    /// How many epochs are done.
    pub epoch: u32,
    /// How many steps are done.
    pub steps: u64,
    /// What is done of the next epoch.
    pub sums: Sums,
    /// A line for each epoch.
    pub log: Vec<LogRow>,
    /// The best epoch, if rows are held out.
    pub best: Option<Best>,
    /// The losses by which an explosion is known.
    pub losses: Losses,
    /// What is to be told of each time that training diverged and went on at half the rate.
    pub retries: Vec<String>,
}

impl Standing {
    /// Before the first epoch.
    pub fn start(params: Params, average: bool) -> Self {
        let average = average.then(|| params.clone());
        Self {
            params,
            average,
            epoch: 0,
            steps: 0,
            sums: Sums::default(),
            log: Vec::new(),
            best: None,
            losses: Losses::default(),
            retries: Vec::new(),
        }
    }

    /// Whether the best epoch is `patience` epochs ago.
    pub fn tired(&self, patience: u32) -> bool {
        self.best.as_ref().is_some_and(|best| self.epoch - best.epoch >= patience)
    }

    /// The parameters to predict with: the averaged ones where they are.
    pub fn predicting(&self) -> &Params {
        self.average.as_ref().unwrap_or(&self.params)
    }

    /// By what the rate is multiplied after so many retries.
    pub fn slowed(&self) -> f64 {
        0.5f64.powi(self.retries.len() as i32)
    }
}

/// The end of the last epoch whose loss had not exploded: where a fit that diverges goes on.
#[derive(Debug, Clone, PartialEq)]
pub struct Good {
    /// Where it stood.
    pub at: Standing,
    /// What the optimizer remembered.
    pub optimizer: Parts,
    /// Whether it went on from here already, in vain so far: the trouble may lie in it.
    pub used: bool,
}
