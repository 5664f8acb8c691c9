//! The verdict: chosen on honest predictions, judged once on rows that nothing has seen.

use std::collections::BTreeMap;

use consilience_core::metrics::{self, BootstrapSettings, Confusion, Metric, ModelScores, Reliability};
use consilience_core::model::{Predictions, Target};
use consilience_core::{Error, Result};

use super::candidate::Draft;
use super::session::Session;
use crate::outcome::{Bin, Candidate, Interval, Role, Score, Verdict};

/// What judging gives, before the report's other parts.
pub(crate) struct Judged {
    pub verdict: Verdict,
    pub candidates: Vec<Candidate>,
    pub confusion: Vec<Vec<u64>>,
    pub reliability: BTreeMap<String, Vec<Bin>>,
    /// The position of the exported draft.
    pub exported: usize,
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
        metric.score(&sample).map(drop).map_err(|e| e.at(format!("the {what} rows")))
    };
    defined(choose, &session.honest.rows, "honest")?;
    reported.iter().try_for_each(|metric| defined(*metric, &session.split.judge, "judged"))
}

/// Chooses on honest predictions, then judges.
pub(crate) fn judge(session: &Session<'_>, drafts: &[Draft]) -> Result<Judged> {
    let choose = metrics::get(&session.recipe.judge.choose)?;
    let reported = reported(session, choose)?;
    let honest = honest_scores(session, drafts, choose)?;
    let better = |a: f64, b: f64| if choose.greater_is_better() { a > b } else { a < b };
    let best = |members: bool| -> Option<usize> {
        let mut best: Option<(usize, f64)> = None;
        for (i, draft) in drafts.iter().enumerate() {
            if let Some(score) = honest[i].filter(|_| (draft.role == Role::Member) == members)
                && best.is_none_or(|(_, b)| better(score, b))
            {
                best = Some((i, score));
            }
        }
        best.map(|(i, _)| i)
    };
    let single = best(true).ok_or_else(|| Error::argument("there is no single member to compare with"))?;
    let composition = best(false);
    let honest_difference =
        composition.map(|c| honest_pair(session, drafts, choose, c, single)).transpose()?.flatten();
    let wins = |d: &Interval| if choose.greater_is_better() { d.low > 0.0 } else { d.high < 0.0 };
    let exported = match (composition, &honest_difference) {
        (Some(c), Some(d)) if wins(d) && drafts[c].model.is_some() => c,
        _ => single,
    };

    let mut filled = Vec::new();
    for draft in drafts {
        filled.push(session.filled(&draft.judged)?);
    }
    let truth = session.truth(&session.split.judge);
    let scores = scored(session, &reported, &truth, drafts, &filled, single)?;
    let mut candidates: Vec<Candidate> = Vec::new();
    for (i, draft) in drafts.iter().enumerate() {
        candidates.push(Candidate {
            name: draft.name.clone(),
            role: draft.role,
            method: draft.method.clone(),
            of: draft.of.clone(),
            honest: honest[i],
            scores: scores[i].clone(),
            cost: draft.cost.clone(),
            weights: draft.weights.clone(),
            subsets: Vec::new(),
            curve: draft.curve.clone(),
            silent: filled[i].1,
        });
    }
    let verdict = verdict(
        session,
        choose,
        drafts,
        &candidates,
        (single, composition, exported),
        honest_difference,
        wins,
    );
    let (confusion, reliability) = pictures(&truth, drafts, &filled, exported, single)?;
    Ok(Judged { verdict, candidates, confusion, reliability, exported })
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

fn honest_scores(session: &Session<'_>, drafts: &[Draft], choose: &dyn Metric) -> Result<Vec<Option<f64>>> {
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

fn settings(session: &Session<'_>, label: &str) -> BootstrapSettings {
    BootstrapSettings {
        resamples: session.recipe.judge.resamples as usize,
        level: session.recipe.judge.level,
        seed: session.seed.child("judge").child(label),
    }
}

/// The paired difference on the honest rows, by which the export is decided.
fn honest_pair(
    session: &Session<'_>,
    drafts: &[Draft],
    choose: &'static dyn Metric,
    composition: usize,
    single: usize,
) -> Result<Option<Interval>> {
    let rows = &session.honest.rows;
    let mut pair = Vec::new();
    for i in [composition, single] {
        let honest =
            drafts[i].honest.as_ref().ok_or_else(|| Error::internal("a chosen candidate is not honest"))?;
        pair.push((drafts[i].name.as_str(), session.filled(honest)?.0));
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

fn difference(score: &metrics::Score) -> Option<Interval> {
    let d = score.against_reference.as_ref()?;
    Some(Interval { value: d.value, low: d.low?, high: d.high? })
}

fn scored(
    session: &Session<'_>,
    reported: &[&dyn Metric],
    truth: &Target,
    drafts: &[Draft],
    filled: &[(Predictions, usize)],
    single: usize,
) -> Result<Vec<Vec<Score>>> {
    let models: Vec<(&str, &Predictions)> =
        drafts.iter().zip(filled).map(|(d, (p, _))| (d.name.as_str(), p)).collect();
    let rows = &session.split.judge;
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

fn verdict(
    session: &Session<'_>,
    choose: &dyn Metric,
    drafts: &[Draft],
    candidates: &[Candidate],
    (single, composition, exported): (usize, Option<usize>, usize),
    honest_difference: Option<Interval>,
    wins: impl Fn(&Interval) -> bool,
) -> Verdict {
    let judged = candidates.iter().map(|c| c.scores[0].value).collect::<Vec<_>>();
    let difference = composition.and_then(|c| candidates[c].scores[0].against_best_single);
    let gain = difference.as_ref().is_some_and(&wins);
    let rows = session.split.judge.len();
    let name = |i: usize| drafts[i].name.as_str();
    let metric = choose.name();
    let sentence = match (composition, &difference) {
        (Some(c), Some(d)) => {
            let lead = if gain {
                format!("Gain: \"{}\" beats the best single member \"{}\"", name(c), name(single))
            } else if d.value == 0.0 || !worse(choose, d) {
                format!(
                    "No gain: \"{}\" does not beat the best single member \"{}\" beyond its interval",
                    name(c),
                    name(single)
                )
            } else {
                format!("No gain: \"{}\" is worse than the best single member \"{}\"", name(c), name(single))
            };
            format!(
                "{lead}: {metric} {} against {}, difference {:+.4} [{:+.4}, {:+.4}] on {rows} judged rows.",
                short(judged[c]),
                short(judged[single]),
                d.value,
                d.low,
                d.high
            )
        }
        (Some(c), None) => format!(
            "No verdict, since there are no intervals: {metric} of \"{}\" is {}, of the best single member \"{}\" {}, on \
             {rows} judged rows.",
            name(c),
            short(judged[c]),
            name(single),
            short(judged[single])
        ),
        (None, _) => format!(
            "Nothing was composed that could be chosen: the best single member is \"{}\" with {metric} {} on {rows} judged rows.",
            name(single),
            short(judged[single])
        ),
    };
    let mut notes: Vec<String> = Vec::new();
    for draft in drafts {
        for note in &draft.notes {
            if !notes.contains(note) {
                notes.push(note.clone());
            }
        }
    }
    for candidate in candidates.iter().filter(|c| c.silent > 0) {
        notes.push(format!(
            "\"{}\" said nothing about {} of the judged rows; there it is scored by the {} of the fitting rows",
            candidate.name,
            candidate.silent,
            if session.task.classes().is_some() { "class shares" } else { "mean" }
        ));
    }
    if let Some(c) = composition.filter(|c| exported != *c && gain && drafts[*c].model.is_some()) {
        notes.push(format!(
            "\"{}\" was exported and not \"{}\": the honest predictions, which alone decide, did not show the gain",
            name(exported),
            name(c)
        ));
    }
    if composition == Some(exported) && !gain {
        notes.push(format!(
            "\"{}\" was exported because it gained on the honest predictions, which alone decide; the judged rows do not \
             confirm it",
            name(exported)
        ));
    }
    if drafts[exported].model.is_none() {
        notes.push(format!("no model is exported: \"{}\" is a table of predictions", name(exported)));
    }
    if let Some(c) = composition.filter(|c| drafts[*c].model.is_none()) {
        notes.push(format!(
            "\"{}\" cannot be exported: it needs a member that is a table of predictions",
            name(c)
        ));
    }
    Verdict {
        sentence,
        gain,
        metric: metric.to_owned(),
        best_composition: composition.map(|c| name(c).to_owned()),
        best_single: name(single).to_owned(),
        exported: name(exported).to_owned(),
        difference,
        honest_difference,
        notes,
    }
}

fn worse(choose: &dyn Metric, d: &Interval) -> bool {
    if choose.greater_is_better() { d.high < 0.0 } else { d.low > 0.0 }
}

fn short(value: f64) -> String {
    format!("{value:.4}")
}

type Pictures = (Vec<Vec<u64>>, BTreeMap<String, Vec<Bin>>);

fn pictures(
    truth: &Target,
    drafts: &[Draft],
    filled: &[(Predictions, usize)],
    exported: usize,
    single: usize,
) -> Result<Pictures> {
    if matches!(truth, Target::Values(_)) {
        return Ok((Vec::new(), BTreeMap::new()));
    }
    let exported_output = filled[exported].0.matrix();
    let counts = Confusion::new(&metrics::Sample::new(truth, exported_output.view(), None))?.counts;
    let confusion = counts.iter().map(|row| row.iter().map(|c| *c as u64).collect()).collect();
    let mut reliability = BTreeMap::new();
    for i in [exported, single] {
        let output = filled[i].0.matrix();
        let bins = Reliability::new(&metrics::Sample::new(truth, output.view(), None))?.bins;
        let bins = bins
            .iter()
            .filter_map(|b| Some(Bin { rows: b.rows, confidence: b.confidence?, accuracy: b.accuracy? }))
            .collect();
        reliability.insert(drafts[i].name.clone(), bins);
    }
    Ok((confusion, reliability))
}
