//! How much worse a composition is without each of its members.

use serde::{Deserialize, Serialize};

use super::members::{Members, checked};
use crate::error::{Error, Result};
use crate::metrics::{BootstrapSettings, Metric, ModelScores, Score, judge};
use crate::model::{Honest, Predictions};

/// Fits a composition anew to the members given and predicts every row, each without having seen it: cross-fitting, as in
/// [`cross_fitted`](crate::fuse::cross_fitted).
pub type Refit<'a> = dyn Fn(&Honest) -> Result<Predictions> + 'a;

/// A change of a score, turned so that above zero is worse, with its paired bootstrap interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// How much worse, in the unit of the metric.
    pub value: f64,
    /// The lower end of the interval; `None` without resamples.
    pub low: Option<f64>,
    /// The upper end.
    pub high: Option<f64>,
}

impl Cost {
    /// Whether it is worse, beyond the interval.
    pub fn is_certain(&self) -> bool {
        self.low.is_some_and(|low| low > 0.0)
    }

    /// Whether it is better, beyond the interval.
    pub fn is_gain(&self) -> bool {
        self.high.is_some_and(|high| high < 0.0)
    }

    /// From the score of the changed composition, compared with the one that was.
    fn of(score: &Score) -> Option<Self> {
        let d = score.against_reference.as_ref()?;
        Some(if score.greater_is_better {
            // Not minus zero, which would be shown with its sign.
            Self { value: 0.0 - d.value, low: d.high.map(|v| 0.0 - v), high: d.low.map(|v| 0.0 - v) }
        } else {
            Self { value: d.value, low: d.low, high: d.high }
        })
    }
}

/// What a composition loses with one member.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ablation {
    /// How much worse it is without the member, on the rows that it predicts both ways.
    pub cost: Cost,
    /// How many rows these are.
    pub rows: usize,
    /// Rows that only this member says something about, so that nobody predicts them without it.
    pub rows_lost: usize,
    /// Whether the others were fitted anew; otherwise their weights were divided by their sum.
    pub refitted: bool,
}

/// The ablation of every member of a linear pool: the weights of the others are divided by their sum (where all are
/// zero, the others count the same). Intervals are paired and hold for one member at a time; groups are drawn whole. Weights
/// that were fitted to these rows flatter the composition with all members a little: [`refitted_ablations`] does not.
///
/// One member alone has no ablation: `None`.
///
/// # Errors
/// [`Error::Argument`] for weights that are none or a metric that does not suit; what [`judge`] says.
pub fn pool_ablations(
    honest: &Honest,
    weights: &[f64],
    metric: &dyn Metric,
    settings: &BootstrapSettings,
) -> Result<Vec<Option<Ablation>>> {
    let members = Members::new(honest)?;
    let weights = checked(weights, members.count())?;
    let whole = members.pooled(&weights, None)?;
    ablations(honest, &whole, &|m| members.pooled(&weights, Some(m)), false, metric, settings)
}

/// The ablation of every member of any composition, fitted anew to the others by `refit`, which is called once with all
/// members too. Conditions and errors as in [`pool_ablations`].
///
/// # Errors
/// As [`pool_ablations`]; what the fits say.
pub fn refitted_ablations(
    honest: &Honest,
    refit: &Refit<'_>,
    metric: &dyn Metric,
    settings: &BootstrapSettings,
) -> Result<Vec<Option<Ablation>>> {
    let whole = refit(honest)?;
    let without = |m: usize| {
        let voices: Vec<bool> = (0..honest.count()).map(|i| i != m).collect();
        refit(&honest.clone().only(&voices)).map_err(|e| e.at(format!("without \"{}\"", honest.names()[m])))
    };
    ablations(honest, &whole, &without, true, metric, settings)
}

fn ablations(
    honest: &Honest,
    whole: &Predictions,
    without: &dyn Fn(usize) -> Result<Predictions>,
    refitted: bool,
    metric: &dyn Metric,
    settings: &BootstrapSettings,
) -> Result<Vec<Option<Ablation>>> {
    if honest.count() < 2 {
        return Ok(vec![None; honest.count()]);
    }
    let others: Vec<Predictions> = (0..honest.count()).map(without).collect::<Result<_>>()?;
    let costs = costs(honest, whole, &others, metric, settings)?;
    let ablation = |(cost, other): (Option<(Cost, usize)>, &Predictions)| {
        let rows_lost = other.absent().count().saturating_sub(whole.absent().count());
        cost.map(|(cost, rows)| Ablation { cost, rows, rows_lost, refitted })
    };
    Ok(costs.into_iter().zip(&others).map(ablation).collect())
}

/// How much worse each of some changed compositions is than the one that was, on the rows that both predict, and how
/// many these are; `None` where there are none.
pub(super) fn costs(
    honest: &Honest,
    whole: &Predictions,
    changed: &[Predictions],
    metric: &dyn Metric,
    settings: &BootstrapSettings,
) -> Result<Vec<Option<(Cost, usize)>>> {
    let mut out = vec![None; changed.len()];
    // Those that leave out the same rows share their resamples.
    let mut left: Vec<usize> = (0..changed.len()).collect();
    while let Some(&first) = left.first() {
        let mask = changed[first].absent();
        let (same, rest): (Vec<usize>, Vec<usize>) =
            left.into_iter().partition(|i| changed[*i].absent() == mask);
        left = rest;
        let none = (0..honest.rows()).all(|r| mask.is_set(r) || whole.absent().is_set(r));
        if none {
            continue;
        }
        let mut models = vec![("all members", whole)];
        models.extend(same.iter().map(|i| ("changed", &changed[*i])));
        let scores: Vec<ModelScores> =
            judge(&[metric], honest.target(), &models, Some(0), honest.group(), honest.weight(), settings)?;
        for (i, model) in same.iter().zip(scores.iter().skip(1)) {
            let cost = model.scores.first().and_then(Cost::of);
            let cost = cost.ok_or_else(|| Error::internal("the judge gave no difference"))?;
            out[*i] = Some((cost, model.rows));
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuse::cases::{honest, named, regrouped, values};
    use crate::metrics::{Accuracy, LogLoss, Rmse, difference};
    use crate::model::{Mask, Target};
    use crate::seed::Seed;

    fn settings() -> BootstrapSettings {
        BootstrapSettings { resamples: 200, level: 0.9, seed: Seed::new(2) }
    }

    #[test]
    fn a_cost_is_the_paired_difference_turned_to_worse() {
        let data = honest(80, 3, 3, false);
        let groups: Vec<u64> = (0..80).map(|r| r / 4).collect();
        let data = regrouped(&data, Some(groups), vec![0; 80]).unwrap();
        let weights = [0.2, 0.3, 0.5];
        let members = Members::new(&data).unwrap();
        let (whole, without) =
            (members.pooled(&weights, None).unwrap(), members.pooled(&weights, Some(2)).unwrap());
        for (metric, sign) in [(&LogLoss as &dyn Metric, 1.0), (&Accuracy, -1.0)] {
            let all = pool_ablations(&data, &weights, metric, &settings()).unwrap();
            let got = all[2].as_ref().unwrap();
            let want =
                difference(metric, data.target(), &without, &whole, data.group(), None, &settings()).unwrap();
            assert!((got.cost.value - sign * want.value).abs() < 1e-12);
            assert!(got.cost.low.unwrap() <= got.cost.value && got.cost.value <= got.cost.high.unwrap());
            let width = want.high.unwrap() - want.low.unwrap();
            assert!((got.cost.high.unwrap() - got.cost.low.unwrap() - width).abs() < 1e-12);
            assert_eq!((got.rows, got.rows_lost, got.refitted), (80, 0, false));
        }
    }

    #[test]
    fn rows_of_one_member_alone_are_lost_without_it() {
        let data = values(60, 2, false);
        let mut members = named(&data);
        let alone = |r: u64| r < 10;
        let Target::Values(truth) = data.target() else { panic!() };
        let mask: Mask = (0..60).map(alone).collect();
        members[1].1 = Predictions::values(members[1].1.ids().to_vec(), truth.clone(), mask).unwrap();
        let data = Honest::new(members, data.target().clone(), vec![0; 60], None, None).unwrap();
        let out = pool_ablations(&data, &[1.0, 1.0], &Rmse, &settings()).unwrap();
        let (first, second) = (out[0].as_ref().unwrap(), out[1].as_ref().unwrap());
        assert_eq!((first.rows, first.rows_lost), (50, 10));
        assert_eq!((second.rows, second.rows_lost), (60, 0));
        // The second is the truth itself.
        assert!(second.cost.is_certain() && first.cost.is_gain());
        let single = data.only(&[true, false]);
        assert_eq!(pool_ablations(&single, &[1.0], &Rmse, &settings()).unwrap(), [None]);
    }

    #[test]
    fn a_refit_sees_the_others_only() {
        let data = honest(60, 2, 3, true);
        let refit = |honest: &Honest| {
            assert!(honest.count() >= 2);
            Members::new(honest)?.pooled(&vec![1.0; honest.count()], None)
        };
        let fitted = refitted_ablations(&data, &refit, &LogLoss, &settings()).unwrap();
        let pooled = pool_ablations(&data, &[1.0; 3], &LogLoss, &settings()).unwrap();
        for (a, b) in fitted.iter().zip(&pooled) {
            let (a, b) = (a.as_ref().unwrap(), b.as_ref().unwrap());
            assert!(a.refitted && !b.refitted);
            assert!((a.cost.value - b.cost.value).abs() < 1e-9);
        }
        let fails = |honest: &Honest| {
            if honest.count() == 2 { Err(Error::data("too few")) } else { refit(honest) }
        };
        let error = refitted_ablations(&data, &fails, &LogLoss, &settings()).unwrap_err().to_string();
        assert!(error.contains("without \"m0\""), "{error}");
    }
}
