//! Members and fusion networks that are fitted here: out-of-fold or on all rows, then predicted.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use consilience_core::fuse;
use consilience_core::members::Composition;
use consilience_core::model::{
    Context, Estimator, Honest, Keep, Lesson, LogRow, ModelDir, Origin, Predictions, Record, Teacher,
    save_parts,
};
use consilience_core::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::candidate::{Draft, Made, fits_of, notes_of};
use super::given::digest;
use super::provenance::Learned;
use super::session::{Session, in_order};
use crate::codec::{read_json, write_json};
use crate::outcome::{Cost, Role};
use crate::store::{Step, canonical, size_of_tree};

/// An estimator with everything that its results depend on.
pub(crate) struct Build {
    pub estimator: Box<dyn Estimator>,
    pub key: Value,
}

/// What stands in the recipe about a fit.
pub(crate) struct Plan<'a> {
    pub name: &'a str,
    pub role: Role,
    pub method: &'a str,
    pub on: &'a [String],
    pub rows: Option<&'a str>,
    pub bag: bool,
    /// Whom it learns from beside the truth.
    pub taught: Option<Taught<'a>>,
}

/// What a student learns from.
#[derive(Clone, Copy)]
pub(crate) struct Taught<'a> {
    pub draft: &'a Draft,
    /// Its honest predictions.
    pub said: &'a Predictions,
    pub lesson: Lesson,
}

#[derive(Serialize, Deserialize)]
struct FitLog {
    log: Vec<LogRow>,
    best_epoch: Option<u32>,
    #[serde(default)]
    notes: Vec<String>,
}

/// Writes a model into a step's folder.
pub(crate) fn keep_model(dir: &Path, parts: &consilience_core::model::Parts) -> Result<()> {
    let record = Record { card: String::new(), metrics: json!({}), provenance: json!({}) };
    save_parts(&dir.join("model"), parts, &record)
}

impl Session<'_> {
    /// The model in a step's folder.
    pub fn made(&self, step: &Step) -> Result<Made> {
        let model = ModelDir::open(&step.path.join("model"))?.model(self.loaders)?;
        Ok(Made { model: Arc::from(model), hash: step.hash.clone() })
    }

    /// Fits an estimator on rows, as a step.
    fn fit_step(
        &self,
        name: &str,
        build: &Build,
        rows: &[usize],
        (start, taught): (Option<&Made>, Option<Taught<'_>>),
        epochs: Option<u32>,
    ) -> Result<(Step, FitLog)> {
        if rows.is_empty() {
            return Err(Error::data("there are no rows to fit on").at(name).remedy("check rows: and split:"));
        }
        let mut key = json!({
            "build": build.key,
            "data": self.data_key(),
            "rows": self.rows_key(rows),
            "seed": self.recipe.seed,
            "label": name,
            "start": start.map(|s| s.hash.clone()),
            "epochs": epochs,
        });
        if let (Some(map), Some(t)) = (key.as_object_mut(), taught) {
            let teacher = json!({"said": digest(t.said), "lesson": [t.lesson.share, t.lesson.temperature]});
            map.insert("teacher".to_owned(), teacher);
        }
        let kept = self.store.kept("fit", &key);
        let checkpoint = Some(Keep { folder: &kept, every: self.keep_every });
        let step = self.step(name, "fit", &key, |dir| {
            self.with_rows(name, self.seed.child("fit").child(name), rows, |data, context| {
                let start = start.map(|s| s.model.as_ref());
                let teacher = taught.map(|t| Teacher { said: t.said, lesson: t.lesson });
                let context = Context { start, epochs, checkpoint, teacher, ..*context };
                let fitted = build.estimator.fit(data, &context)?;
                keep_model(dir, &fitted.model.save()?)?;
                let (log, best_epoch, notes) = (fitted.log, fitted.best_epoch, fitted.notes);
                write_json(&dir.join("log.json"), &FitLog { log, best_epoch, notes })
            })
        })?;
        let log = read_json(&step.path.join("log.json"))?;
        Ok((step, log))
    }

    /// Fits a member or a fusion network: honest predictions, the final model, its predictions of the judged rows.
    pub fn fit_draft(&self, plan: &Plan<'_>, build: &Build, start: Option<&Draft>) -> Result<Draft> {
        let name = plan.name;
        build.estimator.check(self.source().schema(), &self.task).map_err(|e| e.at(name))?;
        if plan.bag && self.honest.origin != Origin::OutOfFold {
            return Err(Error::argument("bag keeps the models of the folds, and there are no folds")
                .at(name)
                .remedy("set honest: {folds: 5}, or remove bag"));
        }
        let fit = self.fitting_rows(name, plan.rows)?;
        let start_final = start.map(|s| need_model(s, name)).transpose()?;
        let mut cost = Cost::default();
        let (mut seconds, mut fold_bytes) = (0.0, 0);
        let mut folds = Vec::new();
        let mut best = Vec::new();
        let starts: Vec<&Draft> = start.into_iter().chain(plan.taught.map(|t| t.draft)).collect();
        let mut notes = notes_of(&starts);
        let mut honest = None;
        if self.honest.origin == Origin::OutOfFold {
            let fold_of: BTreeMap<usize, u32> =
                self.honest.rows.iter().copied().zip(self.honest.folds.iter().copied()).collect();
            let mut parts = Vec::new();
            for fold in 0..self.honest.count {
                let rest: Vec<usize> =
                    fit.iter().copied().filter(|r| fold_of.get(r) != Some(&fold)).collect();
                let label = format!("{name}, fold {}/{}", fold + 1, self.honest.count);
                let from = start.and_then(|s| s.folds.get(fold as usize));
                if start.is_some() && from.is_none() {
                    return Err(Error::model("the member to start from has no fold models").at(name).remedy(
                        "a start that saw all rows would leak into out-of-fold predictions; use honest: validation",
                    ));
                }
                let (step, log) = self.fit_step(&label, build, &rest, (from, plan.taught), None)?;
                seconds += step.seconds;
                fold_bytes += size_of_tree(&step.path.join("model"));
                best.extend(log.best_epoch);
                notes.extend(log.notes.iter().map(|note| format!("{label}: {note}")));
                let made = self.made(&step)?;
                let places: Vec<usize> =
                    (0..self.honest.rows.len()).filter(|i| self.honest.folds[*i] == fold).collect();
                let rows: Vec<usize> = places.iter().map(|i| self.honest.rows[*i]).collect();
                let predicted = self.predict_step(&label, &made.hash, made.model.as_ref(), &rows)?;
                parts.push((places, predicted.predictions));
                folds.push(made);
            }
            honest = Some(in_order(&parts, self.honest.rows.len())?);
        }
        best.sort_unstable();
        let epochs = best.get(best.len() / 2).copied();
        let (made, curve, bytes) = if plan.bag && !folds.is_empty() {
            let made = self.bagged(name, &folds)?;
            (made, Vec::new(), fold_bytes)
        } else {
            let (step, log) = self.fit_step(name, build, &fit, (start_final, plan.taught), epochs)?;
            seconds += step.seconds;
            notes.extend(log.notes.iter().map(|note| format!("{name}: {note}")));
            (self.made(&step)?, log.log, size_of_tree(&step.path.join("model")))
        };
        if honest.is_none() {
            let p = self.predict_step(
                &format!("{name}, choosing"),
                &made.hash,
                made.model.as_ref(),
                &self.honest.rows,
            )?;
            honest = Some(p.predictions);
        }
        let judged = self.judge_with(name, &made, &mut cost)?;
        let fits = fits_of(&starts, (name, seconds));
        cost.fit_seconds = fits.values().sum();
        cost.bytes = Some(bytes);
        cost.parameters = made.model.parameters();
        Ok(Draft {
            name: name.to_owned(),
            role: plan.role,
            method: plan.method.to_owned(),
            of: plan.on.to_vec(),
            honest,
            judged,
            weights: made.model.weights(),
            given: None,
            table: None,
            spending: Vec::new(),
            pull: None,
            model: Some(made),
            folds,
            cost,
            fits,
            learned: starts.iter().fold(Learned::rows(self.data, &fit), |l, s| l.and(&s.learned)),
            made_by: canonical(&build.key),
            curve,
            notes,
        })
    }

    /// Predictions of the judged rows, with their cost.
    pub fn judge_with(&self, name: &str, made: &Made, cost: &mut Cost) -> Result<Predictions> {
        let rows = &self.split.judge;
        if rows.is_empty() {
            return self.constant(rows);
        }
        let p = self.predict_step(&format!("{name}, judged"), &made.hash, made.model.as_ref(), rows)?;
        cost.predict_micros = Some(p.seconds * 1e6 / rows.len().max(1) as f64);
        Ok(p.predictions)
    }

    /// The mean of the fold models as one model.
    fn bagged(&self, name: &str, folds: &[Made]) -> Result<Made> {
        let parts = fuse::REGISTRY.build("soft_vote", &Value::Null)?;
        let members: Vec<_> =
            folds.iter().enumerate().map(|(i, m)| (format!("fold{}", i + 1), Arc::clone(&m.model))).collect();
        let rows = &self.honest.rows[..self.honest.rows.len().min(1)];
        // A vote has nothing to fit; it needs the number of members and the task only.
        let said = self.constant(rows)?;
        let seen = members.iter().map(|(n, _)| (n.clone(), said.clone(), self.honest.origin)).collect();
        let honest = Honest::new(seen, self.truth(rows), vec![0; rows.len()], None, None)?;
        let fused = self.with_rows(name, self.seed.child("bag"), rows, |_, c| parts.fit(&honest, None, c))?;
        let hash = consilience_core::files::Hasher::new();
        let hash = folds.iter().fold(hash.part("bag"), |h, m| h.part(&m.hash)).finish();
        Ok(Made { model: Arc::new(Composition::new(members, fused)?), hash })
    }
}

/// The final model of a draft that another one builds on.
pub(crate) fn need_model<'a>(draft: &'a Draft, by: &str) -> Result<&'a Made> {
    draft.model.as_ref().ok_or_else(|| {
        Error::model(format!("\"{}\" is a table of predictions, not a model", draft.name))
            .at(by.to_owned())
            .remedy("name a member with fit: or load:")
    })
}
