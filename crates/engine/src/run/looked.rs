//! What the candidates look at: scores for every subset of modalities, importances of the exported model.

use std::collections::BTreeMap;

use consilience_core::Result;
use consilience_core::explain;
use consilience_core::metrics::{self, Metric};
use consilience_core::model::Model;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::candidate::{Draft, Made};
use super::session::Session;
use crate::codec::{read_json, write_json};
use crate::outcome::{Importance, Subset};

/// Importances are measured on at most this many judged rows.
const IMPORTANCE_ROWS: usize = 2000;

/// Modalities of a model: each column that is no number or category, and the table of those that are.
fn modalities(model: &dyn Model) -> Vec<(String, Vec<String>)> {
    let mut out: Vec<(String, Vec<String>)> = Vec::new();
    for field in &model.schema().fields {
        if !field.kind.is_tabular() {
            out.push((field.name.clone(), vec![field.name.clone()]));
        } else if let Some((_, columns)) = out.iter_mut().find(|(n, _)| n == consilience_core::members::TABLE) {
            columns.push(field.name.clone());
        } else {
            out.push((consilience_core::members::TABLE.to_owned(), vec![field.name.clone()]));
        }
    }
    out
}

#[derive(Serialize, Deserialize)]
struct Kept<T> {
    kept: T,
}

impl Session<'_> {
    fn metrics(&self) -> Result<Vec<&'static dyn Metric>> {
        let choose = metrics::get(&self.recipe.judge.choose)?;
        let accuracy = if self.task.classes().is_some() { Some(metrics::get("accuracy")?) } else { None };
        Ok(std::iter::once(choose).chain(accuracy.filter(|a| a.name() != choose.name())).collect())
    }

    /// Scores of a candidate that reads several modalities, for every subset of them.
    pub fn subsets(&self, draft: &Draft) -> Result<Vec<Subset>> {
        let Some(Made { model, hash }) = &draft.model else { return Ok(Vec::new()) };
        let modalities = modalities(model.as_ref());
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
            let found =
                explain::subsets(model.as_ref(), self.source(), rows, &truth, &modalities, &metrics, self.stop)?;
            let kept: Vec<Subset> = found
                .into_iter()
                .map(|s| Subset { on: s.on, rows: s.rows, scores: s.scores.into_iter().collect::<BTreeMap<_, _>>() })
                .collect();
            write_json(&dir.join("subsets.json"), &Kept { kept })
        })?;
        Ok(read_json::<Kept<Vec<Subset>>>(&step.path.join("subsets.json"))?.kept)
    }

    /// How much the exported model's modalities and columns matter.
    pub fn importances(&self, draft: &Draft) -> Result<Vec<Importance>> {
        let Some(Made { model, hash }) = &draft.model else { return Ok(Vec::new()) };
        let stride = self.split.judge.len().div_ceil(IMPORTANCE_ROWS).max(1);
        let rows: Vec<usize> = self.split.judge.iter().copied().step_by(stride).collect();
        let choose = metrics::get(&self.recipe.judge.choose)?;
        let modalities = modalities(model.as_ref());
        let mut parts: Vec<(String, Vec<String>, bool)> = Vec::new();
        for (name, columns) in modalities {
            if columns.len() > 1 {
                parts.extend(columns.iter().map(|c| (c.clone(), vec![c.clone()], false)));
            }
            parts.push((name, columns, true));
        }
        let key = json!({
            "model": hash, "rows": self.rows_key(&rows), "data": self.data_key(), "metric": choose.name(),
            "seed": self.recipe.seed, "parts": parts,
        });
        let label = format!("{}, importances", draft.name);
        let step = self.step(&label, "importance", &key, |dir| {
            let truth = self.truth(&rows);
            let groups: Vec<(String, Vec<String>)> = parts.iter().map(|(n, c, _)| (n.clone(), c.clone())).collect();
            let seed = self.seed.child("importance");
            let found = explain::permutation(
                model.as_ref(),
                self.source(),
                &rows,
                &truth,
                &groups,
                choose,
                &explain::PermutationSettings { repeats: 5, seed },
                self.stop,
            )?;
            let mut kept: Vec<Importance> = found
                .into_iter()
                .zip(&parts)
                .map(|(f, (_, _, modality))| Importance {
                    name: f.name,
                    modality: *modality,
                    mean: f.mean,
                    error: f.error,
                })
                .collect();
            kept.sort_by(|a, b| b.mean.total_cmp(&a.mean));
            write_json(&dir.join("importances.json"), &Kept { kept })
        })?;
        Ok(read_json::<Kept<Vec<Importance>>>(&step.path.join("importances.json"))?.kept)
    }
}
