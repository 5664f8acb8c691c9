//! Average precision.

use super::metric::{Metric, Prepared, Sample};
use super::ranking::{Ranked, Ranking, count};
use crate::error::Result;
use crate::model::Task;

/// Average precision: `sum_t (recall_t - recall_{t-1}) precision_t` over the distinct thresholds from the highest down.
/// It is a step-wise area under the precision-recall curve, without interpolation.
///
/// Two classes: of the second one. More: the mean over the classes, each against the rest; classes without rows in the
/// sample are left out. A resample that lacks a class of the sample is not counted. A model that knows nothing gets the
/// share of the class.
///
/// # Reference
/// K. Boyd, K. H. Eng, C. D. Page, Area under the precision-recall curve: point estimates and confidence intervals,
/// ECML PKDD 2013.
#[derive(Debug, Clone, Copy)]
pub struct PrAuc;

impl Metric for PrAuc {
    fn name(&self) -> &'static str {
        "pr_auc"
    }

    fn about(&self) -> &'static str {
        "average precision; more than two classes: mean of each against the rest"
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
        Ranked::start(sample, average_precision)
    }
}

fn average_precision(ranking: &Ranking, counts: &[f64], weight: Option<&[f64]>) -> Option<f64> {
    let (mut positives, mut all, mut sum) = (0.0f64, 0.0f64, 0.0f64);
    let mut p = 0.0f64;
    for place in &ranking.places {
        let c = count(place, counts, weight);
        p += if place.positive { c } else { 0.0 };
        all += c;
        if place.last && p > 0.0 {
            positives += p;
            sum += p * (positives / all);
            p = 0.0;
        }
    }
    (positives > 0.0).then(|| sum / positives)
}
