//! What is chosen, on honest predictions alone: the best single member, the best composition, what is exported.

use consilience_core::metrics::{self, BootstrapSettings, Metric};
use consilience_core::model::Predictions;
use consilience_core::{Error, Result};

use super::Round;
use super::candidate::Draft;
use super::session::Session;
use crate::outcome::{Interval, Role};
use crate::recipe::Budget;

/// Positions among the drafts of a round.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Choice {
    /// The best single member.
    pub single: usize,
    /// The best composition that can be chosen.
    pub composition: Option<usize>,
    /// What is kept as the model: the composition if it gained, else the single member.
    pub exported: usize,
    /// The choosing metric of each draft; `None` if it cannot be chosen.
    pub scores: Vec<Option<f64>>,
    /// The paired difference of the two, by which the export is decided.
    pub difference: Option<Interval>,
}

impl Choice {
    /// Chooses.
    ///
    /// # Errors
    /// [`Error::Argument`] if there is no single member that can be chosen; else as the metric.
    pub fn of(round: &Round<'_>) -> Result<Self> {
        let Round { session, drafts } = round;
        let choose = metrics::get(&session.recipe.judge.choose)?;
        let scores = scores(session, drafts, choose)?;
        let better = |a: f64, b: f64| if choose.greater_is_better() { a > b } else { a < b };
        let budget = &session.recipe.judge.budget;
        let meets = |i: usize| drafts.get(i).is_some_and(|d| within(budget, d));
        let best = |members: bool, cheap: bool| -> Option<usize> {
            let mut best: Option<(usize, f64)> = None;
            for (i, (draft, score)) in drafts.iter().zip(&scores).enumerate() {
                if let Some(score) = score
                    .filter(|_| (draft.role == Role::Member) == members && (!cheap || within(budget, draft)))
                    && best.is_none_or(|(_, b)| better(score, b))
                {
                    best = Some((i, score));
                }
            }
            best.map(|(i, _)| i)
        };
        let single = best(true, true)
            .or_else(|| best(true, false))
            .ok_or_else(|| Error::argument("there is no single member to compare with"))?;
        let composition = best(false, true);
        if !meets(single) && composition.is_none() {
            return Err(Error::argument("no member and no composition meets the budget")
                .at("judge: budget")
                .expected(format!("{budget:?}"))
                .remedy("raise it, or add cheaper members"));
        }
        let difference = composition.map(|c| pair(session, drafts, choose, c, single)).transpose()?.flatten();
        let exported = match (composition, &difference) {
            (Some(c), Some(d)) if wins(choose, d) && drafts.get(c).is_some_and(|c| c.kept().is_some()) => c,
            (Some(c), _) if !meets(single) => c,
            _ => single,
        };
        Ok(Self { single, composition, exported, scores, difference })
    }
}

/// Whether a draft costs no more than the budget allows, as far as it says what it costs.
pub(crate) fn within(budget: &Budget, draft: &Draft) -> bool {
    let fits = |most: Option<u64>, own: Option<u64>| most.is_none_or(|m| own.is_some_and(|o| o <= m));
    fits(budget.parameters, draft.cost.parameters) && fits(budget.bytes, draft.cost.bytes)
}

/// Whether a difference is a gain beyond its interval.
pub(crate) fn wins(metric: &dyn Metric, d: &Interval) -> bool {
    if metric.greater_is_better() { d.low > 0.0 } else { d.high < 0.0 }
}

/// How intervals are drawn, by what is scored.
pub(crate) fn settings(session: &Session<'_>, label: &str) -> BootstrapSettings {
    BootstrapSettings {
        resamples: session.recipe.judge.resamples as usize,
        level: session.recipe.judge.level,
        seed: session.seed.child("judge").child(label),
    }
}

/// The difference to the reference with its interval, where it has one.
pub(crate) fn difference(score: &metrics::Score) -> Option<Interval> {
    let d = score.against_reference.as_ref()?;
    Some(Interval { value: d.value, low: d.low?, high: d.high? })
}

fn scores(session: &Session<'_>, drafts: &[Draft], choose: &dyn Metric) -> Result<Vec<Option<f64>>> {
    let truth = session.truth(&session.honest.rows);
    let weight = session.weights(&session.honest.rows);
    drafts
        .iter()
        .map(|draft| match &draft.honest {
            None => Ok(None),
            Some(p) => {
                let (p, _) = session.filled(p)?;
                let m = p.matrix();
                let sample = metrics::Sample::new(&truth, m.view(), weight.as_deref());
                choose.score(&sample).map(Some).map_err(|e| e.at(&draft.name))
            }
        })
        .collect()
}

/// The paired difference of a composition to a member on the honest rows.
fn pair(
    session: &Session<'_>,
    drafts: &[Draft],
    choose: &'static dyn Metric,
    composition: usize,
    single: usize,
) -> Result<Option<Interval>> {
    let rows = &session.honest.rows;
    let mut pair = Vec::new();
    for draft in [composition, single].iter().filter_map(|i| drafts.get(*i)) {
        let honest =
            draft.honest.as_ref().ok_or_else(|| Error::internal("a chosen candidate is not honest"))?;
        pair.push((draft.name.as_str(), session.filled(honest)?.0));
    }
    let models: Vec<(&str, &Predictions)> = pair.iter().map(|(n, p)| (*n, p)).collect();
    let scores = metrics::judge(
        &[choose],
        &session.truth(rows),
        &models,
        Some(1),
        session.groups(rows).as_deref(),
        session.weights(rows).as_deref(),
        &settings(session, "honest"),
    )?;
    Ok(scores.first().and_then(|m| m.scores.first()).and_then(difference))
}
