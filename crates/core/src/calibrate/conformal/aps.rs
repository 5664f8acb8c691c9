//! Sets that grow with the difficulty of the row.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::class_regions::ClassRegions;
use super::class_score::ClassScore;
use super::{By, Calibration, Conformal, Regions, check_alpha, check_classes};
use crate::error::Result;
use crate::model::Task;
use crate::registry::Method;
use crate::seed::Seed;

/// Adaptive prediction sets: the most probable classes until their probabilities sum to a threshold, by the score
/// `p_(1) + ... + p_(r) - u p_(r)` of the class of rank `r`. `u` is drawn from [0, 1) by row id where `randomized`,
/// which makes the coverage exact and sets smaller; it is 0 otherwise, where the last class of every row has the
/// score 1, so that coverage is higher than promised if it is often the true one (as with two classes). A set can be
/// empty; with `allow_empty: false` the most probable class is then kept.
///
/// # Reference
/// Romano, Sesia and Candes, "Classification with valid and adaptive coverage", NeurIPS 2020.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Aps {
    /// The chance of a miss, between 0 and 1.
    pub alpha: f64,
    /// Which rows share a threshold.
    pub by: By,
    /// Whether sets may be empty.
    pub allow_empty: bool,
    /// Whether a number drawn by row id decides about the last class.
    pub randomized: bool,
}

impl Default for Aps {
    fn default() -> Self {
        Self { alpha: 0.1, by: By::All, allow_empty: true, randomized: false }
    }
}

impl Method for Aps {
    const NAME: &'static str = "aps";
    const ABOUT: &'static str = "The most probable classes up to a sum: sets that grow with difficulty";

    fn validate(&self) -> Result<()> {
        check_alpha(self.alpha)
    }
}

impl Conformal for Aps {
    fn check(&self, task: &Task) -> Result<()> {
        self.validate()?;
        check_classes(task)
    }

    fn fit(&self, rows: &Calibration<'_>, seed: Seed) -> Result<Box<dyn Regions>> {
        self.check(&rows.target.task())?;
        let used = rows.rows(1, self.by)?;
        let score = ClassScore::Aps { seed: self.randomized.then(|| seed.child("draws").number()) };
        Ok(Box::new(ClassRegions::fit((self.alpha, self.by), self.allow_empty, score, rows, &used)?))
    }
}
