//! What the candidates look at: scores for every subset of modalities, importances of the exported model.

use std::collections::BTreeMap;

use consilience_core::explain::{Part, PermutationSettings, Rows, permutation_importance, subset_scores};
use consilience_core::metrics::{self, Metric};
use consilience_core::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Round;
use super::candidate::{Draft, Made};
use super::session::Session;
use crate::codec::{read_json, write_json};
use crate::outcome::{Importance, Subset};

/// Rows are read and predicted in blocks of this many.
const BLOCK: usize = 2048;

/// Importances are measured on at most this many judged rows.
const IMPORTANCE_ROWS: usize = 2000;

#[derive(Serialize, Deserialize)]
struct Kept<T> {
    kept: T,
}

/// Scores of a candidate that reads several modalities, for every subset of them: the mean over the rounds, by rows.
pub(crate) fn subsets(rounds: &[&Round<'_>], draft: usize) -> Result<Vec<Subset>> {
    let mut all: Vec<Subset> = Vec::new();
    for round in rounds {
        let Some(draft) = round.drafts.get(draft) else { continue };
        for mut subset in round.session.subsets(draft)? {
            subset.scores.values_mut().for_each(|s| *s *= subset.rows as f64);
            match all.iter_mut().find(|k| k.on == subset.on) {
                None => all.push(subset),
                Some(known) => {
                    known.rows += subset.rows;
                    // A score that a round cannot give has no mean.
                    known.scores.retain(|metric, _| subset.scores.contains_key(metric));
                    known
                        .scores
                        .iter_mut()
                        .for_each(|(metric, s)| *s += subset.scores.get(metric).copied().unwrap_or(0.0));
                }
            }
        }
    }
    for subset in &mut all {
        subset.scores.values_mut().for_each(|s| *s /= subset.rows.max(1) as f64);
    }
    Ok(all)
}

/// How much the modalities and columns of a candidate matter: the mean over the rounds. Nothing, with the reason, where
/// that cannot be measured on the judged rows.
pub(crate) fn importances(rounds: &[&Round<'_>], draft: usize) -> Result<(Vec<Importance>, Option<String>)> {
    let mut all: Vec<Importance> = Vec::new();
    for round in rounds {
        let Some(draft) = round.drafts.get(draft) else { continue };
        let found = match round.session.measured(draft) {
            Ok(found) => found,
            Err(e @ Error::Data(_)) => {
                return Ok((Vec::new(), Some(format!("importances cannot be measured: {e}"))));
            }
            Err(e) => return Err(e),
        };
        for one in found {
            match all.iter_mut().find(|k| k.name == one.name && k.modality == one.modality) {
                None => all.push(Importance { error: one.error.powi(2), ..one }),
                Some(known) => {
                    known.mean += one.mean;
                    known.error += one.error.powi(2);
                }
            }
        }
    }
    let count = rounds.len().max(1) as f64;
    for one in &mut all {
        one.mean /= count;
        one.error = one.error.sqrt() / count;
    }
    all.sort_by(|a, b| b.mean.total_cmp(&a.mean));
    Ok((all, None))
}

impl Session<'_> {
    fn metrics(&self) -> Result<Vec<&'static dyn Metric>> {
        let choose = metrics::get(&self.recipe.judge.choose)?;
        let accuracy = if self.task.classes().is_some() { Some(metrics::get("accuracy")?) } else { None };
        Ok(std::iter::once(choose).chain(accuracy.filter(|a| a.name() != choose.name())).collect())
    }

    fn subsets(&self, draft: &Draft) -> Result<Vec<Subset>> {
        let Some(Made { model, hash }) = &draft.model else { return Ok(Vec::new()) };
        let modalities = Part::modalities_of(model.schema());
        if modalities.len() < 2 {
            return Ok(Vec::new());
        }
        let rows = &self.split.judge;
        let metrics = self.metrics()?;
        let names: Vec<&str> = metrics.iter().map(|m| m.name()).collect();
        let key = json!({
            "model": hash, "rows": self.rows_key(rows), "data": self.data_key(), "metrics": names,
            "modalities": modalities,
        });
        let label = format!("{}, subsets of modalities", draft.name);
        let step = self.step(&label, "subsets", &key, |dir| {
            let truth = self.truth(rows);
            let weight = self.weights(rows);
            let mut kept: Vec<Subset> = Vec::new();
            for metric in &metrics {
                let judged = Rows { source: self.source(), rows, target: &truth, weight: weight.as_deref() };
                let found = subset_scores(model.as_ref(), &judged, *metric, &modalities, BLOCK)?;
                for subset in found.subsets {
                    let place = kept.iter().position(|k| k.on == subset.parts).unwrap_or_else(|| {
                        let (on, rows) = (subset.parts.clone(), subset.predictable);
                        kept.push(Subset { on, rows, scores: BTreeMap::new() });
                        kept.len() - 1
                    });
                    if let (Some(kept), Some(score)) = (kept.get_mut(place), subset.score) {
                        kept.scores.insert(metric.name().to_owned(), score);
                    }
                }
            }
            write_json(&dir.join("subsets.json"), &Kept { kept })
        })?;
        Ok(read_json::<Kept<Vec<Subset>>>(&step.path.join("subsets.json"))?.kept)
    }

    fn measured(&self, draft: &Draft) -> Result<Vec<Importance>> {
        let Some(Made { model, hash }) = &draft.model else { return Ok(Vec::new()) };
        let stride = self.split.judge.len().div_ceil(IMPORTANCE_ROWS).max(1);
        let rows: Vec<usize> = self.split.judge.iter().copied().step_by(stride).collect();
        let choose = metrics::get(&self.recipe.judge.choose)?;
        let modalities = Part::modalities_of(model.schema());
        let mut parts: Vec<(Part, bool)> = Vec::new();
        for modality in modalities {
            if modality.columns.len() > 1 {
                parts.extend(modality.columns.iter().map(|c| (Part::new(c.clone(), &[c]), false)));
            }
            parts.push((modality, true));
        }
        let key = json!({
            "model": hash, "rows": self.rows_key(&rows), "data": self.data_key(), "metric": choose.name(),
            "seed": self.recipe.seed, "parts": parts,
        });
        let label = format!("{}, importances", draft.name);
        let step = self.step(&label, "importance", &key, |dir| {
            let truth = self.truth(&rows);
            let groups: Vec<Part> = parts.iter().map(|(p, _)| p.clone()).collect();
            let weight = self.weights(&rows);
            let judged =
                Rows { source: self.source(), rows: &rows, target: &truth, weight: weight.as_deref() };
            let found = permutation_importance(
                model.as_ref(),
                &judged,
                choose,
                &groups,
                &PermutationSettings::default(),
                self.seed.child("importance"),
            )?;
            let mut kept: Vec<Importance> = found
                .parts
                .into_iter()
                .zip(&parts)
                .map(|(f, (_, modality))| Importance {
                    name: f.part.name,
                    modality: *modality,
                    mean: f.mean,
                    error: f.standard_error.unwrap_or(0.0),
                })
                .collect();
            kept.sort_by(|a, b| b.mean.total_cmp(&a.mean));
            write_json(&dir.join("importances.json"), &Kept { kept })
        })?;
        Ok(read_json::<Kept<Vec<Importance>>>(&step.path.join("importances.json"))?.kept)
    }
}
