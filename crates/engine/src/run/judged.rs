//! Judged once, on rows that nothing has seen: every candidate, and what was chosen against the best single member.

use std::collections::{BTreeMap, BTreeSet};

use consilience_core::metrics::{self, Confusion, Metric, ModelScores, Reliability};
use consilience_core::model::{Predictions, Target};
use consilience_core::{Error, Result};

use super::Round;
use super::choice::{Choice, difference, settings};
use super::session::{Session, in_order};
use super::verdict::{Pair, verdict};
use crate::outcome::{Bin, Candidate, Cost, Interval, Score, Verdict};

/// What judging gives, before the report's other parts.
pub(crate) struct Judged {
    pub verdict: Verdict,
    pub candidates: Vec<Candidate>,
    pub confusion: Vec<Vec<u64>>,
    pub reliability: BTreeMap<String, Vec<Bin>>,
    /// The position of the exported draft.
    pub exported: usize,
    /// That of the best composition.
    pub composition: Option<usize>,
    /// The judged rows, ascending.
    pub rows: Vec<usize>,
    /// What every candidate said of them.
    pub said: Vec<Predictions>,
}

/// Checks before any work that the metrics can be computed: on the rows for choosing the one that chooses, on the rows
/// for judging all. Predictions that say the same of every row stand for the real ones.
///
/// # Errors
/// [`Error::Argument`] for a metric that does not suit the task, or no single member to compare with; [`Error::Data`]
/// where a metric is not defined on the rows.
pub(crate) fn check(session: &Session<'_>) -> Result<()> {
    if session.recipe.members.is_empty() {
        return Err(Error::argument("there is no single member to compare compositions with")
            .at("members")
            .remedy("add a member, as in members: {a: {fit: logistic}}"));
    }
    let choose = metrics::get(&session.recipe.judge.choose)?;
    let reported = reported(session, choose)?;
    settings(session, "check").validate().map_err(|e| e.at("judge"))?;
    let defined = |metric: &dyn Metric, rows: &[usize], what: &str| -> Result<()> {
        let said = session.constant(rows)?.matrix();
        let truth = session.truth(rows);
        let weight = session.weights(rows);
        let sample = metrics::Sample::new(&truth, said.view(), weight.as_deref());
        metric.score(&sample).map(drop).map_err(|e| e.at(format!("{}the {what} rows", session.prefix)))
    };
    defined(choose, &session.honest.rows, "honest")?;
    reported.iter().try_for_each(|metric| defined(*metric, &session.split.judge, "judged"))
}

/// Chooses on honest predictions, then judges. `last` is the round that is exported; its candidates are judged by the
/// predictions of `rounds`, each on its own judge rows: `last` itself, or the rounds of the outer folds.
pub(crate) fn judge(last: &Round<'_>, rounds: &[&Round<'_>]) -> Result<Judged> {
    let Round { session, drafts } = last;
    let choose = metrics::get(&session.recipe.judge.choose)?;
    let reported = reported(session, choose)?;
    let choice = Choice::of(last)?;
    let choices: Vec<Choice> = if rounds.len() == 1 {
        vec![choice.clone()]
    } else {
        rounds.iter().map(|r| Choice::of(r)).collect::<Result<_>>()?
    };

    let mut rows: Vec<usize> = rounds.iter().flat_map(|r| r.session.split.judge.iter().copied()).collect();
    rows.sort_unstable();
    let mut said = Vec::new();
    let mut filled: Vec<Vec<Predictions>> = Vec::new();
    let mut silent = Vec::new();
    for i in 0..drafts.len() {
        let of_rounds = || rounds.iter().filter_map(|r| Some((r, &r.drafts.get(i)?.judged)));
        said.push(joined(rounds, of_rounds().map(|(_, p)| p.clone()), &rows)?);
        let parts: Result<Vec<_>> = of_rounds().map(|(r, p)| r.session.filled(p)).collect();
        let (parts, counts): (Vec<Predictions>, Vec<usize>) = parts?.into_iter().unzip();
        silent.push(counts.iter().sum::<usize>());
        filled.push(parts);
    }

    // What is compared: the candidates, and where the rounds chose differently what each of them chose.
    let mut models: Vec<(String, Predictions)> = Vec::new();
    for (draft, parts) in drafts.iter().zip(&filled) {
        models.push((draft.name.clone(), joined(rounds, parts.iter().cloned(), &rows)?));
    }
    let mut picked = |what: &str, picks: Vec<usize>| -> Result<Picked> {
        let different: BTreeSet<usize> = picks.iter().copied().collect();
        let at = match (different.len(), picks.first()) {
            (1, Some(first)) => *first,
            _ => {
                let parts = picks.iter().enumerate().filter_map(|(r, i)| filled.get(*i)?.get(r).cloned());
                models.push((what.to_owned(), joined(rounds, parts, &rows)?));
                models.len() - 1
            }
        };
        Ok(Picked { at, picks })
    };
    let single = picked("the best single member of each fold", choices.iter().map(|c| c.single).collect())?;
    let compositions: Option<Vec<usize>> = choices.iter().map(|c| c.composition).collect();
    let composition = compositions.map(|c| picked("the best composition of each fold", c)).transpose()?;

    let truth = session.truth(&rows);
    let scores = scored(session, &reported, &truth, &models, &rows, single.at)?;
    let candidates: Vec<Candidate> = drafts
        .iter()
        .enumerate()
        .map(|(i, draft)| Candidate {
            name: draft.name.clone(),
            role: draft.role,
            method: draft.method.clone(),
            of: draft.of.clone(),
            honest: choice.scores.get(i).copied().flatten(),
            scores: scores.get(i).cloned().unwrap_or_default(),
            cost: Cost { predict_micros: micros(rounds, i), ..draft.cost.clone() },
            weights: draft.weights.clone(),
            pull: draft.pull.clone(),
            spending: draft.spending.clone(),
            subsets: Vec::new(),
            curve: draft.curve.clone(),
            silent: silent.get(i).copied().unwrap_or(0),
        })
        .collect();
    let judged = |at: usize| scores.get(at).and_then(|s| s.first());
    let pair = Pair {
        single: (judged(single.at).map_or(f64::NAN, |s| s.value), &single.picks),
        composition: composition
            .as_ref()
            .map(|c| (judged(c.at).map_or(f64::NAN, |s| s.value), c.picks.as_slice())),
        difference: composition.as_ref().and_then(|c| judged(c.at)?.against_best_single),
        rows: rows.len(),
    };
    let verdict = verdict(last, rounds, choose, &candidates, &choice, &pair);
    let (confusion, reliability) = pictures(&truth, &models, choice.exported, choice.single)?;
    Ok(Judged {
        verdict,
        candidates,
        confusion,
        reliability,
        exported: choice.exported,
        composition: choice.composition,
        rows,
        said,
    })
}

/// Microseconds a row, over all judged rows.
fn micros(rounds: &[&Round<'_>], draft: usize) -> Option<f64> {
    let (mut sum, mut rows) = (0.0, 0.0);
    for round in rounds {
        let judged = round.session.split.judge.len() as f64;
        sum += judged * round.drafts.get(draft)?.cost.predict_micros?;
        rows += judged;
    }
    (rows > 0.0).then(|| sum / rows)
}

/// What the rounds chose: the place of its predictions among those scored, and the draft that each round chose.
struct Picked {
    at: usize,
    picks: Vec<usize>,
}

/// Predictions of the judge rows of each round, put into the order of `rows`.
fn joined(
    rounds: &[&Round<'_>],
    parts: impl Iterator<Item = Predictions>,
    rows: &[usize],
) -> Result<Predictions> {
    let places = |round: &Round<'_>| -> Vec<usize> {
        round.session.split.judge.iter().filter_map(|r| rows.binary_search(r).ok()).collect()
    };
    let parts: Vec<(Vec<usize>, Predictions)> = rounds.iter().map(|r| places(r)).zip(parts).collect();
    in_order(&parts, rows.len())
}

/// The choosing metric and those to report, each once.
fn reported(session: &Session<'_>, choose: &'static dyn Metric) -> Result<Vec<&'static dyn Metric>> {
    let mut reported = vec![choose];
    for name in &session.recipe.judge.report {
        let metric = metrics::get(name)?;
        if !reported.iter().any(|m| m.name() == metric.name()) {
            reported.push(metric);
        }
    }
    if let Some(metric) = reported.iter().find(|m| !m.suits(&session.task)) {
        return Err(Error::argument(format!("the metric \"{}\" does not suit the task", metric.name()))
            .at("judge")
            .remedy("csl list metrics shows what each is for"));
    }
    Ok(reported)
}

fn scored(
    session: &Session<'_>,
    reported: &[&dyn Metric],
    truth: &Target,
    models: &[(String, Predictions)],
    rows: &[usize],
    single: usize,
) -> Result<Vec<Vec<Score>>> {
    let models: Vec<(&str, &Predictions)> = models.iter().map(|(n, p)| (n.as_str(), p)).collect();
    let all: Vec<ModelScores> = metrics::judge(
        reported,
        truth,
        &models,
        Some(single),
        session.groups(rows).as_deref(),
        session.weights(rows).as_deref(),
        &settings(session, "judged"),
    )?;
    Ok(all
        .iter()
        .enumerate()
        .map(|(i, model)| {
            model
                .scores
                .iter()
                .zip(reported)
                .map(|(s, metric)| Score {
                    metric: s.metric.to_string(),
                    greater_is_better: metric.greater_is_better(),
                    value: s.value,
                    interval: s.low.zip(s.high).map(|(low, high)| Interval { value: s.value, low, high }),
                    simultaneous: s.simultaneous.map(|(low, high)| Interval { value: s.value, low, high }),
                    against_best_single: if i == single { None } else { difference(s) },
                })
                .collect()
        })
        .collect())
}

type Pictures = (Vec<Vec<u64>>, BTreeMap<String, Vec<Bin>>);

fn pictures(
    truth: &Target,
    models: &[(String, Predictions)],
    exported: usize,
    single: usize,
) -> Result<Pictures> {
    if matches!(truth, Target::Values(_)) {
        return Ok((Vec::new(), BTreeMap::new()));
    }
    let mut confusion = Vec::new();
    let mut reliability = BTreeMap::new();
    for i in [single, exported] {
        let (name, said) = models.get(i).ok_or_else(|| Error::internal("what was chosen is no candidate"))?;
        let output = said.matrix();
        let sample = metrics::Sample::new(truth, output.view(), None);
        let counts = Confusion::new(&sample)?.counts;
        confusion = counts.iter().map(|row| row.iter().map(|c| *c as u64).collect()).collect();
        let bins = Reliability::new(&sample)?.bins;
        let bins = bins
            .iter()
            .filter_map(|b| Some(Bin { rows: b.rows, confidence: b.confidence?, accuracy: b.accuracy? }))
            .collect();
        reliability.insert(name.clone(), bins);
    }
    Ok((confusion, reliability))
}
