//! Conformal regions: sets of classes and intervals of values that hold the truth of a new row with a chance of at
//! least `1 - alpha`, whatever the model, if the rows they were calibrated on and the new row are exchangeable.
//!
//! Each method has a score that is large where a label does not fit what a model says. With `n` calibration rows that
//! no model was fitted to, nor tuned, calibrated or chosen on, the region of a new row is every label whose score is
//! at most the `ceil((n + 1)(1 - alpha))`-th smallest of theirs. Where there are fewer rows than that rank the region
//! is everything, and [`Regions::notes`] says so.
//!
//! # Reference
//! Vovk, Gammerman and Shafer, *Algorithmic learning in a random world*, 2005; Angelopoulos and Bates, "Conformal
//! prediction: a gentle introduction", Foundations and Trends in Machine Learning 16(4), 2023.

mod aps;
#[cfg(test)]
mod cases;
mod class_regions;
mod class_score;
#[cfg(test)]
mod conformance;
mod coverage;
mod cqr;
mod cv_plus;
mod cv_plus_regions;
#[cfg(test)]
mod golden;
mod lac;
mod promise;
mod raps;
mod sets;
mod split;
mod threshold;
mod value_regions;

pub use aps::Aps;
pub use class_score::CumulatedOr;
pub use coverage::{Coverage, Share, coverage_interval, measure};
pub use cqr::Cqr;
pub use cv_plus::CvPlus;
pub use lac::Lac;
pub use promise::Promise;
pub use raps::Raps;
pub use sets::{Held, Sets};
pub use split::Split;
pub use threshold::By;

use crate::entry;
use crate::error::{Error, Result};
use crate::model::{Origin, Parts, Predictions, Target, Task};
use crate::registry::Registry;
use crate::seed::Seed;

/// What regions are calibrated on: rows that set nothing else.
#[derive(Clone, Copy)]
pub struct Calibration<'a> {
    /// What the model says: one entry; for `cqr` two, the lower and the upper quantile.
    pub said: &'a [Predictions],
    /// Why the model has not seen the rows.
    pub origin: Origin,
    /// The truth.
    pub target: &'a Target,
    /// The fold of each row, for `cv_plus`.
    pub fold: Option<&'a [u32]>,
    /// The group of each row, where there are groups; what is tuned is tuned on whole groups.
    pub group: Option<&'a [u64]>,
    /// The stratum of each row, for `by: stratum`.
    pub stratum: Option<&'a [u32]>,
}

/// Unfitted settings of regions.
pub trait Conformal: Send + Sync {
    /// Whether it can do the task.
    ///
    /// # Errors
    /// [`Error::Argument`] if it cannot.
    fn check(&self, task: &Task) -> Result<()>;

    /// Calibrates. Rows about which the model says nothing are left out.
    ///
    /// # Errors
    /// [`Error::Argument`] for what the settings need and the rows lack (folds, strata); [`Error::Data`] for no rows or
    /// a truth that is not finite; [`Error::Model`] for another number of predictions, other rows or another task.
    fn fit(&self, rows: &Calibration<'_>, seed: Seed) -> Result<Box<dyn Regions>>;
}

/// Fitted regions.
pub trait Regions: Send + Sync {
    /// The key under which they are loaded.
    fn kind(&self) -> &'static str;

    /// The region of each row; a row about which the model says nothing is absent. A stratum that no calibration row
    /// had gets everything: nothing less can be promised of it.
    ///
    /// `said` holds what was given to [`Conformal::fit`], for the new rows; for `cv_plus` what the model of each fold
    /// says, in the order of the folds.
    ///
    /// # Errors
    /// [`Error::Model`] for another number of predictions, other rows or another task; [`Error::Argument`] if strata
    /// are needed and not given.
    fn apply(&self, said: &[Predictions], stratum: Option<&[u32]>) -> Result<Sets>;

    /// What they promise.
    fn promise(&self) -> Promise;

    /// What whoever reads the regions must know, in sentences without an end: that some are everything, that the
    /// promise is a weaker one.
    fn notes(&self) -> Vec<String>;

    /// Everything needed to load them again.
    ///
    /// # Errors
    /// [`Error::Internal`] if it cannot be said.
    fn save(&self) -> Result<Parts>;
}

/// Every kind of region, in the order in which it is shown.
pub static REGISTRY: Registry<dyn Conformal> = Registry {
    what: "kind of conformal region",
    entries: &[
        entry!(dyn Conformal, Lac),
        entry!(dyn Conformal, Aps),
        entry!(dyn Conformal, Raps),
        entry!(dyn Conformal, Split),
        entry!(dyn Conformal, Cqr),
        entry!(dyn Conformal, CvPlus),
    ],
};

/// Loads fitted regions.
///
/// # Errors
/// [`Error::Model`] for an unknown kind or damaged parts.
pub fn load(parts: &Parts) -> Result<Box<dyn Regions>> {
    match parts.kind.as_str() {
        class_regions::KIND => class_regions::load(parts),
        value_regions::KIND => value_regions::load(parts),
        cv_plus_regions::KIND => cv_plus_regions::load(parts),
        other => Err(Error::model(format!("this program does not know the conformal region \"{other}\""))
            .remedy("use the version that made it, or a newer one")),
    }
}

/// The error of saved regions that cannot be.
fn damaged(kind: &str) -> Error {
    Error::model(format!("the parts of saved \"{kind}\" do not fit together"))
        .remedy("the model directory is damaged; calibrate again")
}

/// Checks the chance of a miss.
fn check_alpha(alpha: f64) -> Result<()> {
    if !(alpha > 0.0 && alpha < 1.0) {
        return Err(Error::argument("the chance of a miss does not lie between 0 and 1")
            .at("alpha")
            .expected("a number between 0 and 1, such as 0.1")
            .got(alpha));
    }
    Ok(())
}

/// Checks that there are classes.
fn check_classes(task: &Task) -> Result<()> {
    match task {
        Task::Classify(_) => Ok(()),
        Task::Regress => Err(Error::argument("this region needs classes")
            .got("values (task: regress)")
            .remedy("use split, cqr or cv_plus")),
    }
}

/// Checks that there are values, which have no classes to be told apart by.
fn check_values(task: &Task, by: By) -> Result<()> {
    match (task, by) {
        (Task::Classify(_), _) => Err(Error::argument("this region needs values")
            .got("classes (task: classify)")
            .remedy("use lac, aps, raps or cv_plus")),
        (Task::Regress, By::Class) => {
            Err(Error::argument("values have no classes").at("by").expected("all or stratum").got("class"))
        }
        (Task::Regress, _) => Ok(()),
    }
}

impl Calibration<'_> {
    /// Checks predictions and strata, and gives the rows about which all predictions say something.
    fn rows(&self, count: usize, by: By) -> Result<Vec<usize>> {
        let task = self.target.task();
        let absent = sets::checked(self.said, count, &task)?;
        let rows = absent.len();
        let lengths = [
            self.target.len(),
            self.fold.map_or(rows, <[u32]>::len),
            self.group.map_or(rows, <[u64]>::len),
            self.stratum.map_or(rows, <[u32]>::len),
        ];
        if lengths.iter().any(|l| *l != rows) {
            return Err(Error::model("there is not one truth, fold, group and stratum for each prediction")
                .expected(rows)
                .got(format!("{lengths:?}")));
        }
        by.check(self.stratum)?;
        match self.target {
            Target::Classes { classes, codes } => {
                if let Some(r) = codes.iter().position(|c| *c as usize >= classes.count()) {
                    return Err(Error::data("a class code is out of range")
                        .at(format!("row {r}"))
                        .got(codes[r]));
                }
            }
            Target::Values(values) => {
                if let Some(r) = values.iter().position(|v| !v.is_finite()) {
                    return Err(Error::data("a true value is not finite")
                        .at(format!("row {r}"))
                        .got(values[r]));
                }
            }
        }
        let present: Vec<usize> = (0..rows).filter(|r| !absent.is_set(*r)).collect();
        if present.is_empty() {
            return Err(Error::data("there is no row about which the model says something").got(rows));
        }
        Ok(present)
    }
}
