//! Each member of a composition, read: what it weighs, what it is worth, and why.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ablation::{Ablation, Cost, Refit, costs, pool_ablations, refitted_ablations};
use super::diversity::{PairDiversity, diversity};
use super::game::Payoff;
use super::members::{Members, NO_WEIGHT, checked};
use super::redundancy::{Redundancy, redundancy};
use super::sentence::sentence;
use super::shapley::{Shapley, ShapleySettings, shapley_values};
use crate::error::{Error, Result};
use crate::metrics::{BootstrapSettings, Metric, Sample};
use crate::model::{Honest, Predictions, Stop};
use crate::seed::Seed;

/// How members are read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ReadingSettings {
    /// The settings of the Shapley values.
    pub shapley: ShapleySettings,
    /// The weight that a member without any is given to see what it would do.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub trial_weight: f64,
    /// A member without weight is called redundant from this correlation of errors with one that has weight, or from this
    /// share of its errors explained by those that have.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub redundant_from: f64,
}

impl Default for ReadingSettings {
    fn default() -> Self {
        Self { shapley: ShapleySettings::default(), trial_weight: 0.05, redundant_from: 0.9 }
    }
}

impl ReadingSettings {
    /// Checks the ranges.
    ///
    /// # Errors
    /// [`Error::Argument`] naming the setting.
    pub fn validate(&self) -> Result<()> {
        for (name, value) in [("trial_weight", self.trial_weight), ("redundant_from", self.redundant_from)] {
            if !(value > 0.0 && value < 1.0) {
                return Err(Error::argument("a setting is out of range")
                    .at(name)
                    .expected("a number between 0 and 1, exclusive")
                    .got(value));
            }
        }
        Ok(())
    }
}

/// What a member is to its composition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// It is the only one.
    Alone,
    /// It says the same of every row.
    Constant,
    /// Without it the composition is worse, beyond the interval, or silent on some rows.
    Needed,
    /// It counts, but without it nothing changes beyond the interval.
    Replaceable,
    /// It counts, and without it the composition is better, beyond the interval.
    Hindering,
    /// It has no weight, and others err as it does.
    Redundant,
    /// It has no weight, and would make the composition worse, beyond the interval.
    Harmful,
    /// It has no weight, and with some nothing changes beyond the interval.
    Idle,
}

/// One member, read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MemberReading {
    /// Its name.
    pub member: String,
    /// Its weight; `None` where the composition has none.
    pub weight: Option<f64>,
    /// Its own score on the rows that it predicts; `None` where the metric is not defined there.
    pub score: Option<f64>,
    /// How many rows it predicts.
    pub rows: usize,
    /// Its Shapley value in the plain mean of the members, in the unit of the payoff; greater is better.
    pub shapley: f64,
    /// The standard error of that, where it was drawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shapley_error: Option<f64>,
    /// The composition without it; `None` for a member alone.
    pub ablation: Option<Ablation>,
    /// What would become worse if it had the trial weight, for a member without weight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial: Option<Cost>,
    /// What the others say of its errors.
    pub redundancy: Redundancy,
    /// What it is to the composition.
    pub role: Role,
    /// That in a plain sentence.
    pub sentence: String,
}

/// The members of a composition, read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MemberReadings {
    /// The metric of scores, ablations and trials.
    pub metric: String,
    /// Whether a greater score is a better one; costs are above zero for worse, whichever it is.
    pub greater_is_better: bool,
    /// The coverage of the intervals, one at a time.
    pub level: f64,
    /// The weight of a trial.
    pub trial_weight: f64,
    /// Shapley values: payoff, ends of the game, method.
    pub shapley: Shapley,
    /// One a member, in order.
    pub members: Vec<MemberReading>,
    /// How members err together, pair by pair.
    pub pairs: Vec<PairDiversity>,
}

/// How a composition comes to its predictions.
pub enum Composition<'a> {
    /// By one weight a member, as [`Fused::weights`](crate::model::Fused::weights) gives them.
    Pool(&'a [f64]),
    /// By weights that are fitted anew for an ablation.
    Refitted(&'a [f64], &'a Refit<'a>),
    /// In another way (stacking): it is fitted anew for an ablation, and nothing is said about weights.
    Other(&'a Refit<'a>),
}

impl<'a> Composition<'a> {
    fn weights(&self) -> Option<&'a [f64]> {
        match self {
            Self::Pool(weights) | Self::Refitted(weights, _) => Some(weights),
            Self::Other(_) => None,
        }
    }
}

/// Reads every member of a composition on honest predictions: weight, own score, Shapley value, ablation, trial,
/// redundancy, and one sentence. The intervals are conditional on the fitted members and hold for one member at a time;
/// with [`Composition::Pool`] the weights were fitted to the rows that they are judged on here, which flatters the whole a
/// little.
///
/// # Errors
/// [`Error::Argument`] for settings out of range, weights that are none, or a metric that does not suit; what the judge and
/// the fits say; [`Error::Interrupted`] when stopped.
pub fn read_members(
    honest: &Honest,
    composition: &Composition<'_>,
    metric: &dyn Metric,
    settings: &ReadingSettings,
    bootstrap: &BootstrapSettings,
    stop: &Stop,
) -> Result<MemberReadings> {
    settings.validate()?;
    let members = Members::new(honest)?;
    let weights = composition.weights().map(|w| checked(w, members.count())).transpose()?;
    let payoff = Payoff::for_metric(metric.name(), &honest.target().task());
    let seed: Seed = bootstrap.seed.child("explain");
    let shapley = shapley_values(honest, payoff, None, &settings.shapley, seed, stop)?;
    stop.check()?;
    let ablations = match composition {
        Composition::Pool(weights) => pool_ablations(honest, weights, metric, bootstrap)?,
        Composition::Refitted(_, refit) | Composition::Other(refit) => {
            refitted_ablations(honest, *refit, metric, bootstrap)?
        }
    };
    stop.check()?;
    let trials = match &weights {
        Some(weights) => trials(&members, weights, metric, settings, bootstrap)?,
        None => vec![None; members.count()],
    };
    let redundancies = redundancy(honest, weights.as_deref())?;
    let mut read = Vec::with_capacity(members.count());
    let parts = honest.predictions().zip(ablations).zip(trials).zip(redundancies);
    for (m, (((predictions, ablation), trial), redundancy)) in parts.enumerate() {
        let (score, rows) = own_score(honest, predictions, metric)?;
        let mut reading = MemberReading {
            member: honest.names()[m].to_owned(),
            weight: weights.as_ref().map(|w| w[m]),
            score,
            rows,
            shapley: shapley.values[m],
            shapley_error: shapley.standard_errors.as_ref().map(|e| e[m]),
            role: Role::Alone,
            ablation,
            trial,
            redundancy,
            sentence: String::new(),
        };
        reading.role = role(&reading, members.count(), constant(&members, m), settings.redundant_from);
        reading.sentence = sentence(&reading, metric, settings.trial_weight);
        read.push(reading);
    }
    Ok(MemberReadings {
        metric: metric.name().to_owned(),
        greater_is_better: metric.greater_is_better(),
        level: bootstrap.level,
        trial_weight: settings.trial_weight,
        shapley,
        members: read,
        pairs: diversity(honest)?,
    })
}

/// What would become worse if members without weight had some; `None` for the others.
fn trials(
    members: &Members<'_>,
    weights: &[f64],
    metric: &dyn Metric,
    settings: &ReadingSettings,
    bootstrap: &BootstrapSettings,
) -> Result<Vec<Option<Cost>>> {
    let idle: Vec<usize> = (0..weights.len()).filter(|m| weights[*m] <= NO_WEIGHT).collect();
    let t = settings.trial_weight;
    let tried = |m: &usize| {
        let with: Vec<f64> =
            (0..weights.len()).map(|i| if i == *m { t } else { (1.0 - t) * weights[i] }).collect();
        members.pooled(&with, None)
    };
    let changed: Vec<Predictions> = idle.iter().map(tried).collect::<Result<_>>()?;
    let mut out = vec![None; weights.len()];
    if !idle.is_empty() {
        let whole = members.pooled(weights, None)?;
        let found = costs(members.honest, &whole, &changed, metric, bootstrap)?;
        for (m, cost) in idle.iter().zip(found) {
            out[*m] = cost.map(|c| c.0);
        }
    }
    Ok(out)
}

/// A member's score on the rows that it predicts, and how many these are.
fn own_score(
    honest: &Honest,
    predictions: &Predictions,
    metric: &dyn Metric,
) -> Result<(Option<f64>, usize)> {
    let rows: Vec<usize> = (0..honest.rows()).filter(|r| !predictions.absent().is_set(*r)).collect();
    let target = honest.target().take(&rows);
    let weight: Option<Vec<f32>> = honest.weight().map(|w| rows.iter().map(|r| w[*r]).collect());
    let output = predictions.take(&rows).matrix();
    let sample = Sample::new(&target, output.view(), weight.as_deref());
    match metric.score(&sample) {
        Ok(score) => Ok((Some(score), rows.len())),
        // One class only, or no rows: there is nothing to score.
        Err(Error::Data(_)) => Ok((None, rows.len())),
        Err(e) => Err(e),
    }
}

/// Whether a member says the same of every row, to the precision of its predictions.
fn constant(members: &Members<'_>, member: usize) -> bool {
    let width = members.honest.target().task().width();
    (0..width).all(|k| {
        let said = members.rows.iter().filter(|r| members.present(member, **r));
        let said = said.map(|r| members.said(member, *r, k));
        let (low, high) = said.fold((f32::INFINITY, f32::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
        high - low <= 4.0 * f32::EPSILON * high.abs().max(low.abs())
    })
}

fn role(reading: &MemberReading, members: usize, constant: bool, redundant_from: f64) -> Role {
    let certain = |cost: Option<Cost>| cost.is_some_and(|c| c.is_certain());
    let cost = reading.ablation.as_ref().map(|a| a.cost);
    let idle = reading.weight.is_some_and(|w| w <= NO_WEIGHT);
    let Redundancy { nearest, explained, .. } = &reading.redundancy;
    let near = nearest.as_ref().is_some_and(|n| n.correlation >= redundant_from);
    if members == 1 {
        Role::Alone
    } else if reading.ablation.as_ref().is_some_and(|a| a.rows_lost > 0) {
        Role::Needed
    } else if constant {
        Role::Constant
    } else if idle && (near || explained.is_some_and(|e| e >= redundant_from)) {
        Role::Redundant
    } else if idle {
        if certain(reading.trial) { Role::Harmful } else { Role::Idle }
    } else if certain(cost) {
        Role::Needed
    } else if cost.is_some_and(|c| c.is_gain()) {
        Role::Hindering
    } else {
        Role::Replaceable
    }
}

#[cfg(test)]
#[path = "reading_tests.rs"]
mod tests;
