//! Regions from cross-fitted predictions, without rows set aside.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::class_regions::true_scores;
use super::class_score::ClassScore;
use super::cv_plus_regions::{CvPlusRegions, Scores};
use super::value_regions::values;
use super::{By, Calibration, Conformal, CumulatedOr, Regions, check_alpha};
use crate::error::{Error, Result};
use crate::model::{Target, Task};
use crate::registry::Method;
use crate::seed::Seed;

/// CV+: every row is a calibration row of the model fitted without its fold, and a new row is held against all of
/// them, each with what its fold's model says of the new row. No row is set aside, but the models of all folds are
/// needed to predict, and the guarantee is a weaker one: a chance of a hit of at least about `1 - 2 alpha`, mostly
/// near `1 - alpha`.
///
/// Classes: those for which fewer than `(1 - alpha)(n + 1)` rows have a smaller score. Values: from the
/// `floor(alpha (n + 1))`-th smallest `f_k(x) - |y_i - f_k(x_i)|` to the `ceil((1 - alpha)(n + 1))`-th smallest
/// `f_k(x) + |y_i - f_k(x_i)|`, `k` the fold of row `i`.
///
/// # Reference
/// Barber, Candes, Ramdas and Tibshirani, "Predictive inference with the jackknife+", Annals of Statistics 49, 2021
/// (values); Romano, Sesia and Candes, "Classification with valid and adaptive coverage", NeurIPS 2020 (classes).
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CvPlus {
    /// The chance of a miss, between 0 and 1; twice as much is what is guaranteed.
    pub alpha: f64,
    /// The score of classes; not used for values.
    pub score: CumulatedOr,
    /// Whether a number drawn by row id decides about the last class, for the score `aps`.
    pub randomized: bool,
    /// Whether sets may be empty.
    pub allow_empty: bool,
}

impl Default for CvPlus {
    fn default() -> Self {
        Self { alpha: 0.1, score: CumulatedOr::Lac, randomized: false, allow_empty: true }
    }
}

impl Method for CvPlus {
    const NAME: &'static str = "cv_plus";
    const ABOUT: &'static str = "Regions from out-of-fold predictions and the model of each fold";

    fn validate(&self) -> Result<()> {
        check_alpha(self.alpha)
    }
}

impl Conformal for CvPlus {
    fn check(&self, _: &Task) -> Result<()> {
        self.validate()
    }

    fn fit(&self, data: &Calibration<'_>, seed: Seed) -> Result<Box<dyn Regions>> {
        let task = data.target.task();
        self.check(&task)?;
        let rows = data.rows(1, By::All)?;
        let Some(fold) = data.fold else {
            return Err(Error::argument("CV+ needs out-of-fold predictions with the fold of each row")
                .remedy("use honest: {folds: 5}, or split, lac, aps or raps"));
        };
        let folds = fold.iter().copied().max().map_or(0, |f| f as usize + 1);
        let counted = |f: usize| rows.iter().filter(|r| fold[**r] as usize == f).count();
        if folds < 2 || folds > rows.len() || (0..folds).any(|f| counted(f) == 0) {
            return Err(Error::argument("CV+ needs two folds at least, and rows in each")
                .got(format!("{folds} folds, {} rows", rows.len()))
                .remedy("use honest: {folds: 5}"));
        }
        let (score, scores) = match data.target {
            Target::Classes { .. } => {
                let draws = self.randomized.then(|| seed.child("draws").number());
                let score = match self.score {
                    CumulatedOr::Lac => ClassScore::Lac {},
                    CumulatedOr::Aps => ClassScore::Aps { seed: draws },
                };
                (Some(score), true_scores(&score, data, &rows)?)
            }
            Target::Values(truth) => {
                let said = values(data.said);
                let far = rows.iter().map(|&r| (f64::from(truth[r]) - f64::from(said[0][r])).abs());
                (None, far.collect())
            }
        };
        let mut by_fold = vec![Vec::new(); folds];
        rows.iter().zip(scores).for_each(|(r, s)| by_fold[fold[*r] as usize].push(s));
        Ok(Box::new(CvPlusRegions {
            task,
            alpha: self.alpha,
            score,
            scores: Scores::new(by_fold),
            allow_empty: self.allow_empty,
        }))
    }
}
