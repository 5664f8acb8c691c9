//! Fitted CV+ regions.

use std::collections::BTreeMap;

use ndarray::Array2;
use serde_json::json;

use super::class_regions::keep_top;
use super::class_score::ClassScore;
use super::sets::{Held, Sets, checked};
use super::threshold::{By, needed, rank};
use super::value_regions::values;
use super::{Promise, Regions, damaged};
use crate::error::{Error, Result};
use crate::model::{Classes, Mask, Parts, Predictions, Task};

/// The key under which they are loaded.
pub(super) const KIND: &str = "cv_plus";

/// The scores of the rows of each fold, sorted.
pub(super) struct Scores(Vec<Vec<f64>>);

impl Scores {
    pub(super) fn new(mut by_fold: Vec<Vec<f64>>) -> Self {
        by_fold.iter_mut().for_each(|scores| scores.sort_by(f64::total_cmp));
        Self(by_fold)
    }

    fn count(&self) -> usize {
        self.0.iter().map(Vec::len).sum()
    }
}

/// Regions of all folds' models together.
pub(super) struct CvPlusRegions {
    pub(super) task: Task,
    pub(super) alpha: f64,
    /// For classes.
    pub(super) score: Option<ClassScore>,
    pub(super) scores: Scores,
    pub(super) allow_empty: bool,
}

/// Loads them.
pub(super) fn load(parts: &Parts) -> Result<Box<dyn Regions>> {
    let task: Task = parts.field("task")?;
    let score: Option<ClassScore> = parts.field("score")?;
    let (all, sizes) = (parts.f64("scores")?, parts.u32("sizes")?);
    let total: usize = sizes.iter().map(|s| *s as usize).sum();
    if task.classes().is_some() != score.is_some()
        || total != all.len()
        || sizes.len() < 2
        || all.iter().any(|s| s.is_nan())
    {
        return Err(damaged(KIND));
    }
    let mut rest = all;
    let by_fold = sizes.iter().map(|size| {
        let (own, others) = rest.split_at(*size as usize);
        rest = others;
        own.to_vec()
    });
    Ok(Box::new(CvPlusRegions {
        task,
        alpha: parts.field("alpha")?,
        score,
        scores: Scores::new(by_fold.collect()),
        allow_empty: parts.field("allow_empty")?,
    }))
}

impl CvPlusRegions {
    fn classes(
        &self,
        classes: &Classes,
        score: &ClassScore,
        said: &[Predictions],
        absent: &Mask,
    ) -> Result<Held> {
        let ids = said[0].ids();
        let p = said.iter().map(Predictions::p).collect::<Result<Vec<_>>>()?;
        let limit = rank(self.scores.count(), self.alpha);
        let mut holds = Array2::from_elem((ids.len(), classes.count()), false);
        let (mut order, mut scores) = (Vec::new(), vec![0.0; classes.count()]);
        for (r, mut holds) in holds.rows_mut().into_iter().enumerate().filter(|(r, _)| !absent.is_set(*r)) {
            let mut smaller = vec![0; classes.count()];
            let mut mean = vec![0.0f32; classes.count()];
            for (p, known) in p.iter().zip(&self.scores.0) {
                score.of_row(p.row(r), score.draw(ids[r]), &mut order, &mut scores);
                for (count, own) in smaller.iter_mut().zip(&scores) {
                    *count += known.partition_point(|s| s < own);
                }
                mean.iter_mut().zip(p.row(r)).for_each(|(m, p)| *m += p);
            }
            // Fewer than (1 - alpha)(n + 1), which is at most the rank.
            holds.iter_mut().zip(&smaller).for_each(|(h, count)| *h = *count < limit);
            if !self.allow_empty && !holds.iter().any(|h| *h) {
                keep_top(mean, |top| holds[top] = true);
            }
        }
        Ok(Held::Classes { classes: classes.clone(), holds })
    }

    fn intervals(&self, said: &[Predictions], absent: &Mask) -> Held {
        let all = values(said);
        let n = self.scores.count();
        let rank = rank(n, self.alpha);
        let (mut lower, mut upper) = (vec![f64::NAN; absent.len()], vec![f64::NAN; absent.len()]);
        for r in (0..absent.len()).filter(|r| !absent.is_set(*r)) {
            if rank > n {
                (lower[r], upper[r]) = (f64::NEG_INFINITY, f64::INFINITY);
                continue;
            }
            let ends = |sign: f64| -> Vec<f64> {
                let folds = self.scores.0.iter().zip(&all);
                folds.flat_map(|(s, f)| s.iter().map(move |s| f64::from(f[r]) + sign * s)).collect()
            };
            let nth = |mut ends: Vec<f64>, n: usize| *ends.select_nth_unstable_by(n, f64::total_cmp).1;
            lower[r] = nth(ends(-1.0), n - rank);
            upper[r] = nth(ends(1.0), rank - 1);
        }
        Held::Intervals { lower, upper }
    }
}

impl Regions for CvPlusRegions {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn apply(&self, said: &[Predictions], _: Option<&[u32]>) -> Result<Sets> {
        let folds = self.scores.0.len();
        if said.len() != folds {
            return Err(Error::model("CV+ needs what the model of each fold says of the new rows")
                .expected(format!("{folds} predictions, in the order of the folds"))
                .got(said.len())
                .remedy("keep the models of the folds (bag: true), or use another region"));
        }
        let absent = checked(said, folds, &self.task)?;
        let held = match (&self.task, &self.score) {
            (Task::Classify(classes), Some(score)) => self.classes(classes, score, said, &absent)?,
            _ => self.intervals(said, &absent),
        };
        Ok(Sets::new(said[0].ids().to_vec(), held, absent))
    }

    fn promise(&self) -> Promise {
        let guaranteed = Some((1.0 - 2.0 * self.alpha).max(0.0));
        Promise { alpha: self.alpha, guaranteed, by: By::All, rows: BTreeMap::new() }
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = vec![format!(
            "CV+ guarantees a chance of a hit of about {:.3} (1 - 2 alpha), and mostly reaches {:.3}",
            (1.0 - 2.0 * self.alpha).max(0.0),
            1.0 - self.alpha
        )];
        let (rows, needed) = (self.scores.count(), needed(self.alpha));
        if rows < needed {
            notes.push(format!(
                "there are {rows} calibration rows, fewer than the {needed} that alpha {} needs: regions are \
                 everything",
                self.alpha
            ));
        }
        notes
    }

    fn save(&self) -> Result<Parts> {
        let config = json!({
            "task": self.task,
            "alpha": self.alpha,
            "score": self.score,
            "allow_empty": self.allow_empty,
        });
        let all: Vec<f64> = self.scores.0.iter().flatten().copied().collect();
        let sizes: Vec<u32> = self.scores.0.iter().map(|s| s.len() as u32).collect();
        Ok(Parts::new(KIND, config).with_f64("scores", &all).with_u32("sizes", &sizes))
    }
}
