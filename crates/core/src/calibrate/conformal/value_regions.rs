//! Fitted intervals of values.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::sets::{Held, Sets, checked, checked_strata};
use super::threshold::{By, Thresholds};
use super::{Calibration, Promise, Regions};
use crate::error::Result;
use crate::model::{Origin, Output, Parts, Predictions, Task};

/// The key under which they are loaded.
pub(super) const KIND: &str = "value_intervals";

/// How far a value lies from what a model says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ValueScore {
    /// `|y - f|`.
    Absolute,
    /// `max(l - y, y - u)`: negative between a lower and an upper quantile.
    Beyond,
}

impl ValueScore {
    /// How many predictions a row has.
    pub(super) fn predictions(self) -> usize {
        match self {
            Self::Absolute => 1,
            Self::Beyond => 2,
        }
    }

    /// The predictions of a row as an interval.
    fn ends(self, said: &[&[f32]], row: usize) -> (f64, f64) {
        let low = f64::from(said[0][row]);
        match self {
            Self::Absolute => (low, low),
            Self::Beyond => (low, f64::from(said[1][row])),
        }
    }
}

/// The values of predictions of a regression.
pub(super) fn values(said: &[Predictions]) -> Vec<&[f32]> {
    said.iter()
        .filter_map(|p| match p.output() {
            Output::Values(v) => Some(v.as_slice()),
            Output::Probabilities { .. } => None,
        })
        .collect()
}

/// For each row an interval around what the model says, widened by a threshold.
pub(super) struct ValueRegions {
    score: ValueScore,
    thresholds: Thresholds,
    origin: Origin,
}

impl ValueRegions {
    /// Calibrates.
    pub(super) fn fit(alpha: f64, by: By, score: ValueScore, data: &Calibration<'_>) -> Result<Self> {
        let rows = data.rows(score.predictions(), by)?;
        let (truth, said) = (data.target.values()?, values(data.said));
        let scores = rows.iter().map(|&r| {
            let (y, (low, high)) = (f64::from(truth[r]), score.ends(&said, r));
            (by.key(0, data.stratum, r), (low - y).max(y - high))
        });
        Ok(Self { score, thresholds: Thresholds::fit(alpha, by, scores), origin: data.origin })
    }
}

/// Loads them.
pub(super) fn load(parts: &Parts) -> Result<Box<dyn Regions>> {
    Ok(Box::new(ValueRegions {
        score: parts.field("score")?,
        thresholds: Thresholds::load(parts)?,
        origin: parts.field("origin")?,
    }))
}

impl Regions for ValueRegions {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn apply(&self, said: &[Predictions], stratum: Option<&[u32]>) -> Result<Sets> {
        let absent = checked(said, self.score.predictions(), &Task::Regress)?;
        checked_strata(self.thresholds.by, stratum, absent.len())?;
        let all = values(said);
        let (mut lower, mut upper) = (vec![f64::NAN; absent.len()], vec![f64::NAN; absent.len()]);
        for r in (0..absent.len()).filter(|r| !absent.is_set(*r)) {
            let (low, high) = self.score.ends(&all, r);
            let wide = self.thresholds.at(self.thresholds.by.key(0, stratum, r));
            (lower[r], upper[r]) = (low - wide, high + wide);
        }
        Ok(Sets::new(said[0].ids().to_vec(), Held::Intervals { lower, upper }, absent))
    }

    fn promise(&self) -> Promise {
        Promise::split(&self.thresholds, self.origin)
    }

    fn notes(&self) -> Vec<String> {
        self.promise().notes(None)
    }

    fn save(&self) -> Result<Parts> {
        let config = json!({
            "score": self.score,
            "alpha": self.thresholds.alpha,
            "by": self.thresholds.by,
            "origin": self.origin,
        });
        Ok(self.thresholds.save(Parts::new(KIND, config)))
    }
}
