//! Area under the receiver operating characteristic.

use super::metric::{Metric, Prepared, Sample};
use super::ranking::{Ranked, Ranking, count};
use crate::error::Result;
use crate::model::Task;

/// The chance that a row of a class gets a higher probability of it than a row of another class, ties counted as one
/// half: the area under the ROC curve.
///
/// Two classes: of the second one. More: the mean over the classes, each against the rest; classes without rows in the
/// sample are left out. A resample that lacks a class of the sample is not counted.
///
/// # Reference
/// J. A. Hanley, B. J. McNeil, The meaning and use of the area under a receiver operating characteristic (ROC) curve,
/// Radiology 143 (1982).
#[derive(Debug, Clone, Copy)]
pub struct Auc;

impl Metric for Auc {
    fn name(&self) -> &'static str {
        "auc"
    }

    fn about(&self) -> &'static str {
        "area under the ROC curve; more than two classes: mean of each against the rest"
    }

    fn greater_is_better(&self) -> bool {
        true
    }

    fn suits(&self, task: &Task) -> bool {
        matches!(task, Task::Classify(_))
    }

    fn stratified(&self) -> bool {
        true
    }

    fn bounds(&self) -> (f64, f64) {
        (0.0, 1.0)
    }

    fn start(&self, sample: &Sample<'_>) -> Result<Box<dyn Prepared>> {
        Ranked::start(sample, area)
    }
}

/// The area by one walk from the highest score down: a block of ties with `p` positives and `n` negatives adds
/// `n (positives above + p / 2)`.
fn area(ranking: &Ranking, counts: &[f64], weight: Option<&[f64]>) -> Option<f64> {
    let (mut above, mut negatives, mut area) = (0.0f64, 0.0f64, 0.0f64);
    let (mut p, mut n) = (0.0f64, 0.0f64);
    for place in &ranking.places {
        let c = count(place, counts, weight);
        let positive = if place.positive { c } else { 0.0 };
        p += positive;
        n += c - positive;
        if place.last {
            area += n * (above + p / 2.0);
            above += p;
            negatives += n;
            (p, n) = (0.0, 0.0);
        }
    }
    let pairs = above * negatives;
    (pairs > 0.0).then(|| area / pairs)
}
