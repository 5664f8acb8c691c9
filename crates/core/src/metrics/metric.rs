//! The contract of a metric, and the sample it looks at.

use crate::array::ArrayView2;
use crate::error::{Error, Result};
use crate::model::{Target, Task};

/// Predictions for some rows beside the truth. Every row must be present: rows about which a model said nothing are
/// left out by the caller, who says how many they were.
#[derive(Debug, Clone, Copy)]
pub struct Sample<'a> {
    /// The truth.
    pub target: &'a Target,
    /// Probabilities `[rows, classes]`, or values `[rows, 1]`.
    pub output: ArrayView2<'a, f32>,
    /// A weight a row, finite and not negative; `None` for one each.
    pub weight: Option<&'a [f32]>,
}

impl<'a> Sample<'a> {
    /// A sample.
    pub fn new(target: &'a Target, output: ArrayView2<'a, f32>, weight: Option<&'a [f32]>) -> Self {
        Self { target, output, weight }
    }

    /// How many rows.
    pub fn rows(&self) -> usize {
        self.target.len()
    }

    /// The weights as 64-bit floats, if there are any.
    pub(super) fn weights(&self) -> Option<Vec<f64>> {
        self.weight.map(|w| w.iter().map(|v| f64::from(*v)).collect())
    }

    /// Checks shapes and numbers.
    ///
    /// # Errors
    /// [`Error::Data`] for no rows, a class code out of range, a target or weight that is no number, weights that are
    /// negative or all zero; [`Error::Model`] for outputs of another shape, not finite, or probabilities outside
    /// [0, 1]. Row numbers count from 0 within the sample.
    pub fn check(&self) -> Result<()> {
        let rows = self.rows();
        if rows == 0 {
            return Err(Error::data("there are no rows to score"));
        }
        if u32::try_from(rows).is_err() {
            return Err(Error::data("too many rows to score").expected("at most 4294967295").got(rows));
        }
        let width = self.target.task().width();
        if self.output.dim() != (rows, width) {
            return Err(Error::model("the predictions have another shape than the target")
                .expected(format!("{rows} rows of {width}"))
                .got(format!("{:?}", self.output.shape())));
        }
        let probabilities = match self.target {
            Target::Classes { classes, codes } => {
                let count = classes.count();
                if let Some(r) = codes.iter().position(|c| *c as usize >= count) {
                    return Err(Error::data("a class code is out of range")
                        .at(format!("row {r}"))
                        .expected(format!("below {count}"))
                        .got(codes[r]));
                }
                true
            }
            Target::Values(values) => {
                if let Some(r) = values.iter().position(|v| !v.is_finite()) {
                    return Err(Error::data("a target is not finite").at(format!("row {r}")).got(values[r]));
                }
                false
            }
        };
        for ((r, c), v) in self.output.indexed_iter() {
            if !v.is_finite() {
                return Err(Error::model("a prediction is not finite")
                    .at(format!("row {r}, column {c}"))
                    .got(v)
                    .remedy("leave out the rows about which a model says nothing"));
            }
            if probabilities && !(-1e-6..=1.0 + 1e-3).contains(v) {
                return Err(Error::model("a prediction is no probability")
                    .at(format!("row {r}, column {c}"))
                    .expected("a number in [0, 1]")
                    .got(v));
            }
        }
        self.check_weight()
    }

    fn check_weight(&self) -> Result<()> {
        let Some(weight) = self.weight else { return Ok(()) };
        if weight.len() != self.rows() {
            return Err(Error::data("there is not one weight a row").expected(self.rows()).got(weight.len()));
        }
        if let Some(r) = weight.iter().position(|w| !w.is_finite() || *w < 0.0) {
            return Err(Error::data("a weight is not a finite number of at least zero")
                .at(format!("row {r}"))
                .got(weight[r]));
        }
        if weight.iter().all(|w| *w == 0.0) {
            return Err(Error::data("every weight is zero"));
        }
        Ok(())
    }
}

/// How many times each row counts: once each in the sample, other numbers in a resample.
#[derive(Debug, Clone, Default)]
pub struct Draw {
    /// One a row.
    pub counts: Vec<f64>,
    /// Their sum.
    pub total: f64,
}

impl Draw {
    /// Every row once.
    pub fn whole(rows: usize) -> Self {
        Self { counts: vec![1.0; rows], total: rows as f64 }
    }
}

/// A metric with everything about a sample that does not depend on how often a row counts (losses, sorted order)
/// done once.
pub trait Prepared: Send + Sync {
    /// The metric where row `r` counts `draw.counts[r]` times (times its weight); `draw` has as many rows as the
    /// sample. `None` where it is not defined, e.g. for a resample without one of the classes.
    fn value(&self, draw: &Draw) -> Option<f64>;
}

/// A number that says how good predictions are.
pub trait Metric: Send + Sync {
    /// The name in recipes and reports.
    fn name(&self) -> &'static str;

    /// One line for lists.
    fn about(&self) -> &'static str;

    /// Whether a greater value is a better one.
    fn greater_is_better(&self) -> bool;

    /// Whether it can be computed for the task.
    fn suits(&self, task: &Task) -> bool;

    /// Whether resamples keep the number of rows of each class.
    fn stratified(&self) -> bool {
        false
    }

    /// The least and the greatest possible value; intervals end there.
    fn bounds(&self) -> (f64, f64) {
        (f64::NEG_INFINITY, f64::INFINITY)
    }

    /// The work of [`Metric::prepare`] on a sample that has been checked; call that one instead.
    ///
    /// # Errors
    /// [`Error::Data`] where the metric is not defined on the sample.
    fn start(&self, sample: &Sample<'_>) -> Result<Box<dyn Prepared>>;

    /// The uncorrected statistic as other programs give it, for a metric whose score corrects a bias.
    ///
    /// # Errors
    /// As [`Metric::score`].
    fn plain(&self, sample: &Sample<'_>) -> Result<Option<f64>> {
        let _ = sample;
        Ok(None)
    }

    /// Checks the sample and does once what every resample shares.
    ///
    /// # Errors
    /// As [`Sample::check`]; [`Error::Argument`] for a task that the metric does not suit; [`Error::Data`] where it is
    /// not defined on the sample.
    fn prepare(&self, sample: &Sample<'_>) -> Result<Box<dyn Prepared>> {
        let task = sample.target.task();
        if !self.suits(&task) {
            let what = match task {
                Task::Classify(ref c) => format!("a classification of {} classes", c.count()),
                Task::Regress => "a regression".to_owned(),
            };
            let known: Vec<&str> = super::default_reports(&task).iter().map(|m| m.name()).collect();
            return Err(Error::argument(format!("the metric {} does not suit {what}", self.name()))
                .expected(format!("one of {}", known.join(", "))));
        }
        sample.check().map_err(|e| e.at(self.name()))?;
        self.start(sample).map_err(|e| e.at(self.name()))
    }

    /// The score of a sample.
    ///
    /// # Errors
    /// As [`Metric::prepare`].
    fn score(&self, sample: &Sample<'_>) -> Result<f64> {
        let prepared = self.prepare(sample)?;
        whole_value(self.name(), prepared.as_ref(), sample.rows())
    }
}

/// The value with every row counted once.
///
/// # Errors
/// [`Error::Data`] where it is not defined.
pub(super) fn whole_value(name: &str, prepared: &dyn Prepared, rows: usize) -> Result<f64> {
    prepared
        .value(&Draw::whole(rows))
        .filter(|v| v.is_finite())
        .ok_or_else(|| Error::data(format!("{name} is not defined on these {rows} rows")))
}
