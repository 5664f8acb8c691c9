//! The smallest sets on average.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::class_regions::ClassRegions;
use super::class_score::ClassScore;
use super::{By, Calibration, Conformal, Regions, check_alpha, check_classes};
use crate::error::Result;
use crate::model::Task;
use crate::registry::Method;
use crate::seed::Seed;

/// Sets of the classes whose probability is at least a threshold, by the score `1 - p`: the smallest sets on average
/// where the probabilities are right, but larger ones than needed for easy rows and smaller ones for hard rows. A set
/// can be empty; with `allow_empty: false` the most probable class is then kept.
///
/// # Reference
/// Sadinle, Lei and Wasserman, "Least ambiguous set-valued classifiers with bounded error levels", JASA 114, 2019.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Lac {
    /// The chance of a miss, between 0 and 1.
    pub alpha: f64,
    /// Which rows share a threshold.
    pub by: By,
    /// Whether sets may be empty.
    pub allow_empty: bool,
}

impl Default for Lac {
    fn default() -> Self {
        Self { alpha: 0.1, by: By::All, allow_empty: true }
    }
}

impl Method for Lac {
    const NAME: &'static str = "lac";
    const ABOUT: &'static str = "Classes of at least a probability: the smallest sets on average";

    fn validate(&self) -> Result<()> {
        check_alpha(self.alpha)
    }
}

impl Conformal for Lac {
    fn check(&self, task: &Task) -> Result<()> {
        self.validate()?;
        check_classes(task)
    }

    fn fit(&self, rows: &Calibration<'_>, _: Seed) -> Result<Box<dyn Regions>> {
        self.check(&rows.target.task())?;
        let used = rows.rows(1, self.by)?;
        let score = ClassScore::Lac {};
        Ok(Box::new(ClassRegions::fit((self.alpha, self.by), self.allow_empty, score, rows, &used)?))
    }
}
