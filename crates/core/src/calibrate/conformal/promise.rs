//! What regions promise.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::threshold::{By, Thresholds, needed};
use crate::model::{Classes, Origin};

/// What regions promise, and how many rows it rests on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Promise {
    /// The chance of a miss that the settings name.
    pub alpha: f64,
    /// The chance of a hit that is guaranteed: `1 - alpha`, `1 - 2 alpha` for CV+; `None` where out-of-fold
    /// predictions of several models set the thresholds of another one.
    pub guaranteed: Option<f64>,
    /// Within which rows it holds.
    pub by: By,
    /// The calibration rows of each class or stratum, or of all (0). Empty for CV+, whose coverage has no known
    /// distribution.
    pub rows: BTreeMap<u32, usize>,
}

impl Promise {
    /// The promise of split-conformal thresholds.
    pub(super) fn split(thresholds: &Thresholds, origin: Origin) -> Self {
        Self {
            alpha: thresholds.alpha,
            guaranteed: (origin != Origin::OutOfFold).then_some(1.0 - thresholds.alpha),
            by: thresholds.by,
            rows: thresholds.rows(),
        }
    }

    /// Notes on classes or strata with too few rows, and on a promise that does not hold.
    pub(super) fn notes(&self, classes: Option<&Classes>) -> Vec<String> {
        let needed = needed(self.alpha);
        let mut notes = Vec::new();
        let named = |key: u32| match (self.by, classes) {
            (By::All, _) => "there".to_owned(),
            (By::Class, Some(classes)) => format!("of the class \"{}\" there", classes.names()[key as usize]),
            _ => format!("of stratum {key} there"),
        };
        let all: Vec<(u32, usize)> = match (self.by, classes) {
            (By::Class, Some(classes)) => {
                (0..classes.count() as u32).map(|k| (k, self.rows.get(&k).copied().unwrap_or(0))).collect()
            }
            _ => self.rows.iter().map(|(k, n)| (*k, *n)).collect(),
        };
        for (key, rows) in all.into_iter().filter(|(_, rows)| *rows < needed) {
            let what = if self.by == By::Class { "every region holds it" } else { "regions are everything" };
            notes.push(format!(
                "{} are {rows} calibration rows, fewer than the {needed} that alpha {} needs: {what}",
                named(key),
                self.alpha
            ));
        }
        if self.guaranteed.is_none() {
            notes.push(
                "the thresholds come from out-of-fold predictions: of a model fitted to all rows nothing is \
                 guaranteed; use cv_plus, or rows that no model was fitted to"
                    .to_owned(),
            );
        }
        notes
    }
}
