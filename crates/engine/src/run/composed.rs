//! Compositions of predictions and of domains.

use std::path::Path;
use std::sync::Arc;

use consilience_core::files::Hasher;
use consilience_core::members::{Composition, Preprocess, transfer};
use consilience_core::model::{
    Batch, Fused, Fuser, Honest, Inputs, Labelled, Parts, Predictions, Record, Schema, Source, Unlabelled,
    cross_fitted, load_parts, save_parts,
};
use consilience_core::{Error, Result, calibrate, fuse};
use serde_json::{Value, json};

use super::candidate::{Draft, Made, fits_of, notes_of};
use super::fitted::keep_model;
use super::given::digest;
use super::provenance::Learned;
use super::session::{Session, Shared};
use super::voices::voices;
use crate::catalog;
use crate::codec::{read_predictions, write_predictions};
use crate::outcome::{Cost, Role};
use crate::recipe::Call;
use crate::store::size_of_tree;

/// A source that shows only some columns: those that the members of a composition read.
pub(super) struct Narrow<'a> {
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

/// One composition of predictions.
struct Composing<'a> {
    name: &'a str,
    fuser: &'a dyn Fuser,
    /// What the result depends on beside the members.
    key: Value,
    of: &'a [&'a Draft],
}

/// What members declare to cost, where all of them do; one without parameters costs as much as one with a single one.
fn costs(of: &[&Draft]) -> Option<Vec<f64>> {
    of.iter().map(|d| d.cost.parameters.map(|p| p.max(1) as f64)).collect()
}

fn calibration_key(call: &Call) -> Result<Value> {
    let version = calibrate::REGISTRY.get(&call.name)?.version;
    Ok(json!({"method": call.name, "version": version, "parameters": call.parameters}))
}

/// The share of the judged rows about which each member is asked; of a composition that asks in turn less than one.
fn asked(fused: &dyn Fused, of: &[&Draft]) -> Result<Vec<f64>> {
    let mut shares = vec![1.0; of.len()];
    let (Some(staged), Some(rows)) = (fused.staged(), of.first().map(|d| d.judged.rows()).filter(|r| *r > 0))
    else {
        return Ok(shares);
    };
    let said: Vec<Predictions> = of.iter().map(|d| d.judged.clone()).collect();
    let mut open = rows;
    for (asked, member) in staged.order().iter().enumerate() {
        if let Some(share) = shares.get_mut(*member) {
            *share = open as f64 / rows as f64;
        }
        open = rows - staged.settled(&said, asked + 1)?.count();
    }
    Ok(shares)
}

impl Session<'_> {
    /// Composes predictions.
    pub fn fuse_draft(&self, name: &str, call: &Call, prune: Option<f64>, of: &[&Draft]) -> Result<Draft> {
        let version = fuse::REGISTRY.get(&call.name)?.version;
        let calibrate = self.recipe.calibrate.get(name);
        let mut key = json!({"method": call.name, "version": version, "parameters": call.parameters});
        if let Some(map) = key.as_object_mut() {
            map.extend(prune.map(|p| ("prune".to_owned(), json!(p))));
            if let Some(calibrate) = calibrate {
                map.insert("calibrate".to_owned(), calibration_key(calibrate)?);
            }
        }
        let fuser = catalog::fuser(call, prune, calibrate)?;
        let draft = self.compose(&Composing { name, fuser: fuser.as_ref(), key, of })?;
        let method = [Some(call.name.as_str()), prune.map(|_| "pruned"), calibrate.map(|c| c.name.as_str())];
        Ok(Draft { method: method.into_iter().flatten().collect::<Vec<_>>().join(", "), ..draft })
    }

    /// A draft whose probabilities are calibrated on its honest predictions.
    pub fn calibrated_draft(&self, raw: Draft, call: &Call) -> Result<Draft> {
        let fuser = calibrate::REGISTRY.build(&call.name, &call.parameters)?;
        let key = json!({"calibrate": calibration_key(call)?});
        let name = raw.name.clone();
        let made = self.compose(&Composing { name: &name, fuser: fuser.as_ref(), key, of: &[&raw] })?;
        Ok(Draft {
            name: raw.name,
            role: raw.role,
            method: format!("{}, {}", raw.method, call.name),
            of: raw.of,
            made_by: raw.made_by,
            curve: raw.curve,
            weights: raw.weights,
            pull: raw.pull,
            learned: raw.learned.and(&made.learned),
            ..made
        })
    }

    fn compose(&self, composing: &Composing<'_>) -> Result<Draft> {
        let Composing { name, fuser, of, .. } = *composing;
        fuser.check(&self.task, of.len()).map_err(|e| e.at(name))?;
        let honest = self.composed_honest(name, of)?;
        let (narrow, rows) = self.narrowed(of);
        let inputs = fuser.wants_inputs().then_some(Inputs { source: &narrow, rows });
        let mut own = composing.key.clone();
        if let (Some(map), Some(_)) = (own.as_object_mut(), inputs) {
            map.insert("columns".to_owned(), json!(narrow.schema));
        }
        let key = self.composing_key(name, of, own)?;
        let step = self.step(name, "fuse", &key, |dir| {
            self.with_rows(name, self.seed.child("fuse").child(name), &self.honest.rows, |_, context| {
                let fused = fuser.fit(&honest, inputs, context)?;
                let crossed = cross_fitted(fuser, &honest, inputs, context)?;
                keep(&dir.join("fused"), &fused.save()?)?;
                write_predictions(dir, &crossed)
            })
        })?;
        let (parts, _) = load_parts(&step.path.join("fused"))?;
        let fused = self.loaders.fused(&parts)?;
        let spending = fuse::spending(&parts)?;
        let start = std::time::Instant::now();
        let judged = self.fuse_judged(fused.as_ref(), of)?;
        let own_micros = start.elapsed().as_secs_f64() * 1e6 / self.split.judge.len().max(1) as f64;
        let weights = fused.weights().map(|w| of.iter().map(|d| d.name.clone()).zip(w).collect());
        let fits = fits_of(of, (&format!("{name}: fuse"), step.seconds));
        let mut notes = notes_of(of);
        notes.extend(fuser.notes(fused.as_ref()).iter().map(|note| format!("{name}: {note}")));
        // Members that it does not look at are neither kept nor computed; those of a cascade only about some rows.
        let shares = asked(fused.as_ref(), of)?;
        let (left, fused) = match fuse::reduced(&parts)? {
            Some((used, parts)) => {
                let left: Vec<&Draft> = of.iter().zip(used).filter(|(_, u)| *u).map(|(d, _)| *d).collect();
                (left, self.loaders.fused(&parts)?)
            }
            None => (of.to_vec(), fused),
        };
        let micros = |d: &&Draft| -> Option<f64> {
            let share = of.iter().position(|o| o.name == d.name).and_then(|i| shares.get(i)).unwrap_or(&1.0);
            d.cost.predict_micros.map(|m| m * share)
        };
        let mut cost = Cost {
            fit_seconds: fits.values().sum(),
            predict_micros: left.iter().map(micros).sum::<Option<f64>>().map(|m| m + own_micros),
            bytes: left
                .iter()
                .map(|d| d.cost.bytes)
                .sum::<Option<u64>>()
                .map(|b| b + size_of_tree(&step.path.join("fused"))),
            parameters: left
                .iter()
                .map(|d| d.cost.parameters)
                .sum::<Option<u64>>()
                .map(|p| p + fused.parameters()),
        };
        let kept: Option<Vec<_>> =
            left.iter().map(|d| d.kept().map(|m| (d.name.clone(), Arc::clone(m)))).collect();
        let mut model = None;
        let mut given: Option<Shared> = None;
        if let Some(kept) = kept {
            let made = Composition::new(kept, fused)?;
            if left.iter().all(|d| d.model.is_some()) {
                cost.parameters = consilience_core::model::Model::parameters(&made).or(cost.parameters);
                model = Some(Made { model: Arc::new(made), hash: self.composed_hash(&step.hash, &left) });
            } else {
                given = Some(Arc::new(made));
            }
        }
        Ok(Draft {
            name: name.to_owned(),
            role: Role::Fuse,
            method: String::new(),
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
            given,
            table: None,
            spending,
            pull: None,
            notes,
        })
    }

    /// The honest predictions of drafts, with who can be absent and what each costs.
    pub(super) fn composed_honest(&self, name: &str, of: &[&Draft]) -> Result<Honest> {
        let mut honest = Vec::new();
        for draft in of {
            let p = draft.honest.clone().ok_or_else(|| {
                Error::model(format!("\"{}\" has no honest predictions to compose", draft.name)).at(name)
            })?;
            honest.push((draft.name.clone(), p));
        }
        let mut honest = self.honest_of(honest)?;
        if let Some(expected) = voices(of) {
            honest = honest.expecting(expected)?;
        }
        match costs(of) {
            Some(costs) => honest.with_costs(costs),
            None => Ok(honest),
        }
    }

    /// The inputs of the honest rows, as far as the members of a composition read them.
    pub(super) fn narrowed(&self, of: &[&Draft]) -> (Narrow<'_>, &[usize]) {
        (Narrow { inner: self.source(), schema: self.columns_of(of) }, &self.honest.rows)
    }

    /// What the result of composing depends on, beside what is given.
    pub(super) fn composing_key(&self, name: &str, of: &[&Draft], own: Value) -> Result<Value> {
        let digests: Vec<_> = of.iter().map(|d| d.honest.as_ref().map(digest)).collect();
        let mut key = json!({
            "members": digests, "folds": self.honest.folds, "data": self.data_key(), "seed": self.recipe.seed,
            "label": name, "voices": voices(of), "costs": costs(of),
        });
        match (key.as_object_mut(), own) {
            (Some(all), Value::Object(own)) => all.extend(own),
            _ => return Err(Error::internal("the key of a step is no map")),
        }
        Ok(key)
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
            given: None,
            table: None,
            spending: Vec::new(),
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
