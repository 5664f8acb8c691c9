//! What fits: unfitted settings that turn labelled rows into a model.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::batch::Batch;
use super::predictor::Model;
use super::schema::{Field, Schema};
use super::source::Source;
use super::target::{Target, Task};
use super::teacher::{Distill, Lesson, Teacher};
use crate::error::{Error, Result};
use crate::seed::Seed;

/// Set from outside (Ctrl-C) to make long work end with [`Error::Interrupted`].
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Asks whoever holds a clone to stop.
    pub fn request(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether it was asked.
    pub fn requested(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// To be called between pieces of work.
    ///
    /// # Errors
    /// [`Error::Interrupted`] once [`Stop::request`] was called.
    pub fn check(&self) -> Result<()> {
        if self.requested() { Err(Error::Interrupted) } else { Ok(()) }
    }
}

/// Where progress is told; never part of any result.
pub trait Progress: Send + Sync {
    /// `done` of `total` units are done; `note` is short ("epoch 3/8, loss .41").
    fn step(&self, done: u64, total: u64, note: &str);
}

/// Tells nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quiet;

impl Progress for Quiet {
    fn step(&self, _: u64, _: u64, _: &str) {}
}

/// What every fit is given beside its rows.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The fit's own seed.
    pub seed: Seed,
    /// Where progress is told.
    pub progress: &'a dyn Progress,
    /// Whether to stop.
    pub stop: &'a Stop,
    /// A model to start from (`from:` in a recipe), for estimators that can.
    pub start: Option<&'a dyn Model>,
    /// Exactly this many epochs, without early stopping: the refit on all rows after out-of-fold training.
    pub epochs: Option<u32>,
    /// The data folder, for settings that name files in it.
    pub root: Option<&'a Path>,
    /// Where a long fit keeps what it has reached.
    pub checkpoint: Option<Keep<'a>>,
    /// What to learn from beside the truth, for estimators that can (see [`Estimator::lesson`]).
    pub teacher: Option<Teacher<'a>>,
}

/// A folder where a long fit keeps what it has reached, and finds it again when it is run once more. It belongs to one
/// step, whose name says everything that the result depends on; the fits of that step (folds, bags) share it and tell
/// their files apart by seed, rows and settings. What is there never changes a result.
#[derive(Debug, Clone, Copy)]
pub struct Keep<'a> {
    /// The folder; made by the first fit that writes into it.
    pub folder: &'a Path,
    /// At most once in this time, and when the fit is stopped; zero for as often as the fit can.
    pub every: Duration,
}

impl<'a> Context<'a> {
    /// A context with a seed, progress and a stop, and nothing else.
    pub fn new(seed: Seed, progress: &'a dyn Progress, stop: &'a Stop) -> Self {
        Self { seed, progress, stop, start: None, epochs: None, root: None, checkpoint: None, teacher: None }
    }

    /// The same with another seed, derived by label.
    #[must_use]
    pub fn child(&self, label: &str) -> Self {
        Self { seed: self.seed.child(label), ..*self }
    }
}

impl fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("seed", &self.seed)
            .field("epochs", &self.epochs)
            .finish_non_exhaustive()
    }
}

/// Rows with their truth: what members are fitted on.
#[derive(Clone, Copy)]
pub struct Labelled<'a> {
    /// Where the rows come from.
    pub source: &'a dyn Source,
    /// Which rows, by position in the source.
    pub rows: &'a [usize],
    /// The truth, one entry for each of `rows`.
    pub target: &'a Target,
    /// Positive weights, one for each of `rows`.
    pub weight: Option<&'a [f32]>,
    /// Groups that must not be split, one number for each of `rows`.
    pub group: Option<&'a [u64]>,
}

impl Labelled<'_> {
    /// Reads all rows, the columns named.
    ///
    /// # Errors
    /// As [`Source::read`].
    pub fn read(&self, columns: &[&str]) -> Result<Batch> {
        self.source.read(self.rows, columns)
    }

    /// The stable ids of the rows.
    ///
    /// # Errors
    /// [`Error::Internal`] for a row that the source does not have.
    pub fn ids(&self) -> Result<Vec<u64>> {
        let all = self.source.ids();
        let id = |r: &usize| {
            all.get(*r).copied().ok_or_else(|| Error::internal(format!("no row at position {r}")))
        };
        self.rows.iter().map(id).collect()
    }
}

/// Rows without truth: what a target domain gives. There is no way from here to its labels.
#[derive(Clone, Copy)]
pub struct Unlabelled<'a> {
    /// Where the rows come from.
    pub source: &'a dyn Source,
    /// Which rows, by position in the source.
    pub rows: &'a [usize],
}

/// One line of a learning curve.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogRow {
    /// The epoch or round, from 1.
    pub epoch: u32,
    /// The mean loss on the fitting rows.
    pub fit_loss: f32,
    /// The mean loss on the inner rows held out for early stopping.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_loss: Option<f32>,
}

/// What a fit gives.
pub struct Fitted {
    /// The model.
    pub model: Box<dyn Model>,
    /// Its learning curve; empty for estimators that do not iterate.
    pub log: Vec<LogRow>,
    /// The epoch that early stopping chose.
    pub best_epoch: Option<u32>,
    /// What whoever reads the results must know of the fit, in sentences without an end: that it diverged and went on at a
    /// lower rate.
    pub notes: Vec<String>,
}

impl fmt::Debug for Fitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fitted")
            .field("log", &self.log)
            .field("best_epoch", &self.best_epoch)
            .field("notes", &self.notes)
            .finish_non_exhaustive()
    }
}

/// Unfitted settings of a member.
pub trait Estimator: Send + Sync {
    /// Says before any work whether it can be fitted to such columns and such a task.
    ///
    /// # Errors
    /// [`Error::Argument`] or [`Error::Data`] naming the column.
    fn check(&self, schema: &Schema, task: &Task) -> Result<()>;

    /// Fits.
    ///
    /// # Errors
    /// [`Error::Data`] for rows it cannot be fitted to, [`Error::Interrupted`] when stopped.
    fn fit(&self, data: &Labelled<'_>, context: &Context<'_>) -> Result<Fitted>;

    /// Says before any work how it would learn from a teacher ([`Context::teacher`]): as asked, and as is usual for it where
    /// nothing was asked.
    ///
    /// # Errors
    /// [`Error::Argument`] if it cannot learn from one at all, not for such a task, or not as asked. Its fit refuses a
    /// teacher then too.
    fn lesson(&self, _task: &Task, _asked: Distill) -> Result<Lesson> {
        Err(Error::argument("this member cannot learn from a teacher")
            .remedy("distill into a network, or into a learner on tables"))
    }

    /// What it would become: lines for `csl plan` such as "conv1 16x28x28", with a parameter count where it is known.
    fn outline(&self, _schema: &Schema, _task: &Task) -> Outline {
        Outline::default()
    }
}

/// What is known of a model before it is fitted.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outline {
    /// Trainable numbers.
    pub parameters: Option<u64>,
    /// A line a layer or stage.
    pub lines: Vec<String>,
    /// Peak bytes of one training batch or fit, roughly.
    pub memory: Option<u64>,
    /// The input columns after their features.
    pub inputs: Vec<Field>,
}
