//! Fitted sets of classes.

use ndarray::Array2;
use serde_json::json;

use super::class_score::ClassScore;
use super::sets::{Held, Sets, checked, checked_strata};
use super::threshold::{By, Thresholds};
use super::{Calibration, Promise, Regions};
use crate::array::argmax;
use crate::error::Result;
use crate::model::{Classes, Origin, Parts, Predictions, Task};

/// The key under which they are loaded.
pub(super) const KIND: &str = "class_sets";

/// For each row the classes whose score is at most a threshold.
pub(super) struct ClassRegions {
    classes: Classes,
    score: ClassScore,
    thresholds: Thresholds,
    allow_empty: bool,
    origin: Origin,
}

impl ClassRegions {
    /// Calibrates on some rows.
    pub(super) fn fit(
        (alpha, by): (f64, By),
        allow_empty: bool,
        score: ClassScore,
        data: &Calibration<'_>,
        rows: &[usize],
    ) -> Result<Self> {
        let (classes, codes) = data.target.codes()?;
        let scores = true_scores(&score, data, rows)?;
        let keys = rows.iter().map(|&r| by.key(codes[r], data.stratum, r));
        let thresholds = Thresholds::fit(alpha, by, keys.zip(scores));
        Ok(Self { classes: classes.clone(), score, thresholds, allow_empty, origin: data.origin })
    }
}

/// The score of the true class of each row.
pub(super) fn true_scores(score: &ClassScore, data: &Calibration<'_>, rows: &[usize]) -> Result<Vec<f64>> {
    let (classes, codes) = data.target.codes()?;
    let (p, ids) = (data.said[0].p()?, data.said[0].ids());
    let (mut order, mut scores) = (Vec::new(), vec![0.0; classes.count()]);
    let one = |&r: &usize| {
        score.of_row(p.row(r), score.draw(ids[r]), &mut order, &mut scores);
        scores[codes[r] as usize]
    };
    Ok(rows.iter().map(one).collect())
}

/// Loads them.
pub(super) fn load(parts: &Parts) -> Result<Box<dyn Regions>> {
    Ok(Box::new(ClassRegions {
        classes: parts.field("classes")?,
        score: parts.field("score")?,
        thresholds: Thresholds::load(parts)?,
        allow_empty: parts.field("allow_empty")?,
        origin: parts.field("origin")?,
    }))
}

impl Regions for ClassRegions {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn apply(&self, said: &[Predictions], stratum: Option<&[u32]>) -> Result<Sets> {
        let absent = checked(said, 1, &Task::Classify(self.classes.clone()))?;
        checked_strata(self.thresholds.by, stratum, absent.len())?;
        let (p, ids) = (said[0].p()?, said[0].ids());
        let mut holds = Array2::from_elem(p.raw_dim(), false);
        let (mut order, mut scores) = (Vec::new(), vec![0.0; p.ncols()]);
        for (r, mut holds) in holds.rows_mut().into_iter().enumerate().filter(|(r, _)| !absent.is_set(*r)) {
            self.score.of_row(p.row(r), self.score.draw(ids[r]), &mut order, &mut scores);
            for (class, (held, score)) in holds.iter_mut().zip(&scores).enumerate() {
                *held = *score <= self.thresholds.at(self.thresholds.by.key(class as u32, stratum, r));
            }
            if !self.allow_empty && !holds.iter().any(|h| *h) {
                keep_top(p.row(r).to_vec(), |top| holds[top] = true);
            }
        }
        Ok(Sets::new(ids.to_vec(), Held::Classes { classes: self.classes.clone(), holds }, absent))
    }

    fn promise(&self) -> Promise {
        Promise::split(&self.thresholds, self.origin)
    }

    fn notes(&self) -> Vec<String> {
        self.promise().notes(Some(&self.classes))
    }

    fn save(&self) -> Result<Parts> {
        let config = json!({
            "classes": self.classes,
            "score": self.score,
            "alpha": self.thresholds.alpha,
            "by": self.thresholds.by,
            "allow_empty": self.allow_empty,
            "origin": self.origin,
        });
        Ok(self.thresholds.save(Parts::new(KIND, config)))
    }
}

/// Does something with the most probable class.
pub(super) fn keep_top(p: Vec<f32>, mut keep: impl FnMut(usize)) {
    if let Some(top) = argmax(&p) {
        keep(top);
    }
}
