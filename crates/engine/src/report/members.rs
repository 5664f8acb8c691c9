//! What each member is worth to the best composition of predictions.

use consilience_core::explain::{MemberReading, MemberReadings, Payoff, ShapleyMethod};

use super::bars::{from_zero, strip};
use super::number::{NONE, fixed};
use super::text;
use crate::outcome::Outcome;

/// The most members of the table, and of the pairs beside it.
const ROWS: usize = 50;
const PAIRS: usize = 12;

/// One member.
pub(super) struct Row {
    pub(super) name: String,
    pub(super) weight: String,
    pub(super) score: String,
    pub(super) shapley: String,
    pub(super) strip: String,
    pub(super) sentence: String,
}

/// Two members that err alike.
pub(super) struct Pair {
    pub(super) names: String,
    pub(super) correlation: String,
    pub(super) disagreement: String,
    pub(super) q: String,
}

/// The section.
pub(super) struct Members {
    pub(super) composition: String,
    pub(super) metric: String,
    pub(super) payoff: String,
    pub(super) method: String,
    pub(super) rows: Vec<Row>,
    pub(super) more: usize,
    pub(super) pairs: Vec<Pair>,
    pub(super) more_pairs: usize,
}

/// The members of the best composition, the most valuable first; pairs that err most alike first.
pub(super) fn members(outcome: &Outcome) -> Option<Members> {
    let explained = outcome.explained.as_ref()?;
    let readings = &explained.readings;
    let mut order: Vec<&MemberReading> = readings.members.iter().collect();
    order.sort_by(|a, b| b.shapley.total_cmp(&a.shapley));
    let range = from_zero(order.iter().map(|m| m.shapley));
    Some(Members {
        composition: text::name(&explained.composition),
        metric: text::words(&readings.metric),
        payoff: payoff(readings),
        method: method(readings),
        rows: order.iter().take(ROWS).map(|m| row(m, range)).collect(),
        more: order.len().saturating_sub(ROWS),
        pairs: pairs(readings),
        more_pairs: readings.pairs.len().saturating_sub(PAIRS),
    })
}

fn row(member: &MemberReading, range: (f64, f64)) -> Row {
    let shown = |v: Option<f64>, decimals: usize| v.map_or_else(|| NONE.to_owned(), |v| fixed(v, decimals));
    let error = member.shapley_error.map_or_else(String::new, |e| format!(" ± {}", fixed(e, 4)));
    Row {
        name: text::name(&member.member),
        weight: shown(member.weight, 3),
        score: shown(member.score, 4),
        shapley: format!("{}{error}", fixed(member.shapley, 4)),
        strip: strip("accent", range, member.shapley, member.shapley_error),
        sentence: text::whole(&member.sentence),
    }
}

fn pairs(readings: &MemberReadings) -> Vec<Pair> {
    let mut all: Vec<_> = readings.pairs.iter().collect();
    let of = |c: Option<f64>| c.unwrap_or(f64::NEG_INFINITY);
    all.sort_by(|a, b| of(b.correlation).total_cmp(&of(a.correlation)));
    let shown = |v: Option<f64>| v.map_or_else(|| NONE.to_owned(), |v| fixed(v, 3));
    all.into_iter()
        .take(PAIRS)
        .map(|p| Pair {
            names: format!("{} and {}", text::name(&p.first), text::name(&p.second)),
            correlation: shown(p.correlation),
            disagreement: shown(p.decisions.as_ref().map(|d| d.disagreement)),
            q: shown(p.decisions.as_ref().and_then(|d| d.q_statistic)),
        })
        .collect()
}

/// What a Shapley value is counted in.
fn payoff(readings: &MemberReadings) -> String {
    let from = fixed(readings.shapley.nobody, 4);
    let to = fixed(readings.shapley.everybody, 4);
    let what = match readings.shapley.payoff {
        Payoff::LogLoss => "log-likelihood of a row",
        Payoff::Brier => "negative Brier score",
        Payoff::Accuracy => "accuracy",
        Payoff::SquaredError => "negative squared error",
    };
    format!("{what}, from {from} of the prior alone to {to}")
}

fn method(readings: &MemberReadings) -> String {
    match readings.shapley.method {
        ShapleyMethod::Exact => "exact, over all sets of members".to_owned(),
        _ => "drawn, with its standard error".to_owned(),
    }
}
