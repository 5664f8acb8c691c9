//! Compositions of predictions and of domains.

use std::path::Path;
use std::sync::Arc;

use consilience_core::files::Hasher;
use consilience_core::fuse;
use consilience_core::members::{Composition, Preprocess, transfer};
use consilience_core::model::{
    Batch, Fused, Inputs, Labelled, Parts, Predictions, Record, Schema, Source, Unlabelled, load_parts,
    save_parts,
};
use consilience_core::{Error, Result};
use serde_json::{Value, json};

use super::candidate::{Draft, Made, fits_of, notes_of};
use super::fitted::keep_model;
use super::given::digest;
use super::provenance::Learned;
use super::session::Session;
use super::voices::voices;
use crate::codec::{read_predictions, write_predictions};
use crate::outcome::{Cost, Role};
use crate::recipe::Call;
use crate::store::size_of_tree;

/// A source that shows only some columns: those that the members of a composition read.
struct Narrow<'a> {
    inner: &'a dyn Source,
    schema: Schema,
}

impl Source for Narrow<'_> {
    fn schema(&self) -> &Schema {
        &self.schema
    }

    fn ids(&self) -> &[u64] {
        self.inner.ids()
    }

    fn read(&self, rows: &[usize], columns: &[&str]) -> Result<Batch> {
        self.inner.read(rows, columns)
    }
}

impl Session<'_> {
    /// Composes predictions.
    pub fn fuse_draft(&self, name: &str, call: &Call, of: &[&Draft]) -> Result<Draft> {
        let entry = fuse::REGISTRY.get(&call.name)?;
        let fuser = (entry.build)(&call.parameters)?;
        fuser.check(&self.task, of.len()).map_err(|e| e.at(name))?;
        let mut honest = Vec::new();
        for draft in of {
            let p = draft.honest.clone().ok_or_else(|| {
                Error::model(format!("\"{}\" has no honest predictions to compose", draft.name)).at(name)
            })?;
            honest.push((draft.name.clone(), p));
        }
        let digests: Vec<_> = honest.iter().map(|(_, p)| digest(p)).collect();
        let mut honest = self.honest_of(honest)?;
        let expected = voices(of);
        if let Some(expected) = &expected {
            honest = honest.expecting(expected.clone())?;
        }
        let narrow = Narrow { inner: self.source(), schema: self.columns_of(of) };
        let inputs = fuser.wants_inputs().then_some(Inputs { source: &narrow, rows: &self.honest.rows });
        let key = json!({
            "method": call.name, "version": entry.version, "parameters": call.parameters, "members": digests,
            "folds": self.honest.folds, "data": self.data_key(), "seed": self.recipe.seed, "label": name,
            "columns": inputs.as_ref().map(|_| narrow.schema.clone()), "voices": expected,
        });
        let step = self.step(name, "fuse", &key, |dir| {
            self.with_rows(name, self.seed.child("fuse").child(name), &self.honest.rows, |_, context| {
                let fused = fuser.fit(&honest, inputs, context)?;
                let crossed = fuse::cross_fitted(fuser.as_ref(), &honest, inputs, context)?;
                keep(&dir.join("fused"), &fused.save()?)?;
                write_predictions(dir, &crossed)
            })
        })?;
        let (parts, _) = load_parts(&step.path.join("fused"))?;
        let fused = self.loaders.fused(&parts)?;
        let start = std::time::Instant::now();
        let judged = self.fuse_judged(fused.as_ref(), of)?;
        let own_micros = start.elapsed().as_secs_f64() * 1e6 / self.split.judge.len().max(1) as f64;
        let weights = fused.weights().map(|w| of.iter().map(|d| d.name.clone()).zip(w).collect());
        let mut notes = notes_of(of);
        notes.extend(fuser.notes(fused.as_ref()).iter().map(|note| format!("{name}: {note}")));
        let fits = fits_of(of, (name, step.seconds));
        let mut cost = Cost {
            fit_seconds: fits.values().sum(),
            predict_micros: of
                .iter()
                .map(|d| d.cost.predict_micros)
                .sum::<Option<f64>>()
                .map(|m| m + own_micros),
            bytes: of
                .iter()
                .map(|d| d.cost.bytes)
                .sum::<Option<u64>>()
                .map(|b| b + size_of_tree(&step.path.join("fused"))),
            parameters: of
                .iter()
                .map(|d| d.cost.parameters)
                .sum::<Option<u64>>()
                .map(|p| p + fused.parameters()),
        };
        let models: Option<Vec<_>> =
            of.iter().map(|d| d.model.as_ref().map(|m| (d.name.clone(), Arc::clone(&m.model)))).collect();
        let model = match models {
            Some(models) => {
                let made = Composition::new(models, fused)?;
                cost.parameters = consilience_core::model::Model::parameters(&made).or(cost.parameters);
                Some(Made { model: Arc::new(made), hash: self.composed_hash(&step.hash, of) })
            }
            None => None,
        };
        Ok(Draft {
            name: name.to_owned(),
            role: Role::Fuse,
            method: call.name.clone(),
            of: of.iter().map(|d| d.name.clone()).collect(),
            honest: Some(read_predictions(&step.path, &self.task)?),
            judged,
            model,
            folds: Vec::new(),
            cost,
            fits,
            learned: learned_of(of).and(&Learned::rows(self.data, &self.honest.rows)),
            made_by: String::new(),
            curve: Vec::new(),
            weights,
            pull: None,
            notes,
        })
    }

    fn fuse_judged(&self, fused: &dyn Fused, of: &[&Draft]) -> Result<Predictions> {
        if self.split.judge.is_empty() {
            return self.constant(&self.split.judge);
        }
        let predictions: Vec<Predictions> = of.iter().map(|d| d.judged.clone()).collect();
        let columns = fused.columns();
        let batch = if columns.is_empty() {
            None
        } else {
            let names: Vec<&str> = columns.iter().map(String::as_str).collect();
            Some(self.source().read(&self.split.judge, &names)?)
        };
        fused.fuse(&predictions, batch.as_ref())
    }

    fn composed_hash(&self, own: &str, of: &[&Draft]) -> String {
        let hashes = of.iter().filter_map(|d| d.model.as_ref()).map(|m| m.hash.clone());
        hashes.fold(Hasher::new().part(own), |h, m| h.part(m)).finish()
    }

    /// The columns that the models of some drafts read; all of them where a draft is a table of predictions.
    fn columns_of(&self, of: &[&Draft]) -> Schema {
        let all = self.source().schema();
        let read: Option<Vec<&str>> = of
            .iter()
            .map(|d| d.model.as_ref().map(|m| m.model.schema().names()))
            .collect::<Option<Vec<_>>>()
            .map(|n| n.concat());
        match read {
            Some(names) => Schema {
                fields: all.fields.iter().filter(|f| names.contains(&f.name.as_str())).cloned().collect(),
            },
            None => all.clone(),
        }
    }

    /// Carries a member's settings to another domain: the adapter sees the target rows without their labels.
    pub fn adapt_draft(
        &self,
        name: &str,
        call: &Call,
        member: (&str, &Call),
        preprocess: (&Preprocess, &Value),
        source: &[usize],
        target: &[usize],
    ) -> Result<Draft> {
        if source.is_empty() {
            return Err(Error::data("no row for fitting is of the source domain")
                .at(name)
                .remedy("check source: and split:"));
        }
        let entry = consilience_core::adapt::REGISTRY.get(&call.name)?;
        let adapter = (entry.build)(&call.parameters)?;
        let learner_entry =
            consilience_core::learners::REGISTRY.get(&member.1.name).map_err(|e| e.at(name))?;
        let learner = (learner_entry.build)(&member.1.parameters)?;
        let key = json!({
            "adapt": call, "version": entry.version, "learner": member.1, "learner_version": learner_entry.version,
            "features": preprocess.1, "data": self.data_key(), "seed": self.recipe.seed, "label": name,
            "source": self.rows_key(source), "target": self.rows_key(target),
        });
        let step = self.step(name, "adapt", &key, |dir| {
            self.with_rows(
                name,
                self.seed.child("adapt").child(name),
                source,
                |data: &Labelled<'_>, context| {
                    let unlabelled = Unlabelled { source: self.source(), rows: target };
                    let model = transfer(
                        preprocess.0,
                        adapter.as_ref(),
                        learner.as_ref(),
                        data,
                        &unlabelled,
                        context,
                    )?;
                    keep_model(dir, &consilience_core::model::Model::save(&model)?)
                },
            )
        })?;
        let made = self.made(&step)?;
        let mut cost = Cost {
            fit_seconds: step.seconds,
            bytes: Some(size_of_tree(&step.path.join("model"))),
            parameters: made.model.parameters(),
            ..Cost::default()
        };
        let judged = self.judge_with(name, &made, &mut cost)?;
        let rows: std::collections::BTreeSet<usize> = self.split.judge.iter().copied().collect();
        let seen = target.iter().filter(|r| rows.contains(r)).count();
        let mut notes = vec![format!(
            "\"{name}\" was adapted without target labels, so nothing honest says whether to choose it; it is judged, \
             not chosen"
        )];
        let inside: std::collections::BTreeSet<usize> = target.iter().copied().collect();
        let outside = rows.difference(&inside).count();
        if outside > 0 {
            notes.push(format!(
                "\"{name}\" takes all rows for the target domain's, and {outside} of the {} judged rows are not",
                rows.len()
            ));
        }
        if seen > 0 {
            notes.push(format!(
                "{}\"{name}\" is transductive: it saw the inputs (not the labels) of {seen} of the {} judged rows",
                self.prefix,
                self.split.judge.len()
            ));
        }
        Ok(Draft {
            name: name.to_owned(),
            role: Role::Adapt,
            method: call.name.clone(),
            of: vec![member.0.to_owned()],
            honest: None,
            judged,
            model: Some(made),
            folds: Vec::new(),
            fits: fits_of(&[], (name, cost.fit_seconds)),
            cost,
            learned: Learned::rows(self.data, source).and(&Learned::rows(self.data, target)),
            made_by: String::new(),
            curve: Vec::new(),
            weights: None,
            pull: None,
            notes,
        })
    }
}

/// What several drafts have learned from, together.
pub(super) fn learned_of(of: &[&Draft]) -> Learned {
    let nothing = Learned { digests: std::collections::BTreeSet::new(), complete: true };
    of.iter().fold(nothing, |all, d| all.and(&d.learned))
}

fn keep(dir: &Path, parts: &Parts) -> Result<()> {
    save_parts(dir, parts, &Record { card: String::new(), metrics: json!({}), provenance: json!({}) })
}
