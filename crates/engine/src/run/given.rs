//! Members that were made elsewhere: model directories, ONNX files, and tables of predictions.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use consilience_core::files::{Hasher, sha256_bytes, sha256_file};
use consilience_core::members::{Given, given_columns};
use consilience_core::model::{Model, ModelDir, Origin, Parts, Predictions, Task};
use consilience_core::{Error, Result};
use serde_json::{Value, json};

use super::candidate::{Draft, Made};
use super::provenance::{Learned, digested};
use super::regions::TableColumns;
use super::session::Session;
use crate::catalog;
use crate::foreign::{self, Declared};
use crate::outcome::{Cost, Role};
use crate::recipe::Seen;
use crate::store::{canonical, size_of_tree};

/// A hash of predictions: rows and numbers.
pub(crate) fn digest(p: &Predictions) -> String {
    let ids: Vec<u8> = p.ids().iter().flat_map(|i| i.to_le_bytes()).collect();
    let numbers: Vec<u8> = p.matrix().iter().flat_map(|v| v.to_bits().to_le_bytes()).collect();
    Hasher::new().part(ids).part(numbers).finish()
}

impl Session<'_> {
    /// The model of a directory, where it comes from, and a hash of both.
    fn directory(&self, path: &Path) -> Result<(Box<dyn Model>, Value, String)> {
        let opened = ModelDir::open(path)?;
        let model = opened.model(self.loaders)?;
        let provenance = opened.record.provenance;
        let hash = Hasher::new().part("load").part(serde_json::to_vec(&provenance).unwrap_or_default());
        let hash = hash.part(sha256_file(&path.join("manifest.json"))?).part(computed_by(&opened.parts));
        Ok((model, provenance, hash.finish()))
    }

    /// The model of an ONNX file, which says nothing of where it comes from.
    fn onnx(&self, path: &Path, declared: &Declared) -> Result<(Box<dyn Model>, Value, String)> {
        let ground = foreign::Ground {
            features: &catalog::FEATURES,
            schema: self.source().schema(),
            source: self.source(),
            root: self.root,
            task: &self.task,
        };
        let model = foreign::declare(&ground, declared, path).map_err(|all| {
            let first = all.into_iter().next();
            first.map_or_else(|| Error::internal("refused without a reason"), |r| r.error.at(r.at.join(".")))
        })?;
        let parts = model.save()?;
        let mut hash = Hasher::new().part("onnx").part(canonical(&parts.config)).part(computed_by(&parts));
        for (file, bytes) in &parts.files {
            hash = hash.part(file).part(sha256_bytes(bytes));
        }
        for step in declared.features.values().flatten() {
            let built = catalog::FEATURES.build(&step.name, &step.parameters)?;
            let version = catalog::FEATURES.get(&step.name)?.version;
            let files = self.ground().files_key(&built.files())?;
            hash = hash.part(canonical(&json!([step, version, files])));
        }
        Ok((Box::new(model), Value::Null, hash.finish()))
    }

    /// A member that was fitted elsewhere: honest for rows that it has not seen.
    pub fn loaded_draft(
        &self,
        name: &str,
        path: &Path,
        seen: Seen,
        onnx: Option<&Declared>,
    ) -> Result<Draft> {
        let (model, provenance, hash) = match onnx {
            None => self.directory(path),
            Some(declared) => self.onnx(path, declared),
        }
        .map_err(|e| e.at(name))?;
        if *model.task() != self.task {
            return Err(Error::model("the loaded member predicts something else than the target")
                .at(name)
                .expected(described(&self.task))
                .got(described(model.task()))
                .remedy("its classes must be the same, by name and in the same order"));
        }
        let learned = Learned::read(&provenance, &digested(self.data, &self.task));
        let needed: Vec<usize> = self.honest.rows.iter().chain(&self.split.judge).copied().collect();
        let mut notes = Vec::new();
        let overlap = learned.overlap(self.data, &needed);
        if overlap > 0 {
            return Err(Error::model(format!(
                "the loaded member was fitted on {overlap} of the rows for choosing and judging"
            ))
            .at(format!("{name} ({})", path.display()))
            .expected("none")
            .remedy("split the data so that its fitting rows are for fitting, or fit it again"));
        }
        match seen {
            Seen::Part => notes.push(format!(
                "\"{name}\" has seen some of these rows, as the recipe says: its scores, and those of compositions with \
                 it, may be too good"
            )),
            Seen::Unknown if !learned.complete => notes.push(format!(
                "what \"{name}\" was fitted on is not known: its scores, and those of compositions with it, may be too good"
            )),
            Seen::None | Seen::Unknown => {}
        }
        if let (Some(note), true) = (&foreign::runtime().note, onnx.is_some()) {
            notes.push(format!("\"{name}\" is computed by {}: {note}", foreign::runtime().name));
        }
        let made = Made { model: Arc::from(model), hash };
        let label = format!("{name}, choosing");
        let honest =
            self.predict_step(&label, &made.hash, made.model.as_ref(), &self.honest.rows)?.predictions;
        let mut cost =
            Cost { bytes: Some(size_of_tree(path)), parameters: made.model.parameters(), ..Cost::default() };
        let judged = self.judge_with(name, &made, &mut cost)?;
        let folds = if self.honest.origin == Origin::OutOfFold {
            vec![made.clone(); self.honest.count as usize]
        } else {
            Vec::new()
        };
        Ok(Draft {
            name: name.to_owned(),
            role: Role::Member,
            method: "load".to_owned(),
            of: made.model.schema().names().iter().map(|n| (*n).to_owned()).collect(),
            honest: Some(honest),
            judged,
            weights: made.model.weights(),
            given: None,
            table: None,
            spending: Vec::new(),
            pull: None,
            fits: BTreeMap::new(),
            learned,
            made_by: made.hash.clone(),
            model: Some(made),
            folds,
            cost,
            curve: Vec::new(),
            notes,
        })
    }

    /// A member that is a table of predictions made elsewhere.
    pub fn table_draft(
        &self,
        name: &str,
        all: &Predictions,
        folds: Option<&[u32]>,
        seen: Seen,
    ) -> Result<Draft> {
        let unseen = seen == Seen::None;
        let note = (!unseen).then(|| {
            format!(
                "what \"{name}\" was fitted on is not known: its scores may be too good (seen: none says otherwise)"
            )
        });
        let position: BTreeMap<u64, usize> = all.ids().iter().enumerate().map(|(i, id)| (*id, i)).collect();
        let ids = self.source().ids();
        let pick = |rows: &[usize], what: &str| -> Result<Predictions> {
            let places: Option<Vec<usize>> = rows.iter().map(|r| position.get(&ids[*r]).copied()).collect();
            match places {
                Some(places) => Ok(all.take(&places)),
                None => {
                    let missing = rows.iter().filter(|r| !position.contains_key(&ids[**r]));
                    let first = missing.clone().next().map_or(0, |r| ids[*r]);
                    Err(Error::model(format!("the predictions lack {} of the {what} rows", missing.count()))
                        .at(name)
                        .expected(format!("a prediction for each of {} rows", rows.len()))
                        .got(format!("none for row id {first}"))
                        .remedy("add the rows that are missing, by id"))
                }
            }
        };
        let mut own_folds = None;
        if let (Some(folds), Origin::OutOfFold) = (folds, self.honest.origin) {
            // Of all rows: an outer fold of a nested run lacks some.
            check_gaps(folds).map_err(|e| e.at(name))?;
        }
        if self.honest.origin == Origin::OutOfFold {
            match folds {
                Some(folds) => {
                    let folds: Vec<u32> = self
                        .honest
                        .rows
                        .iter()
                        .filter_map(|r| position.get(&ids[*r]))
                        .filter_map(|i| folds.get(*i).copied())
                        .collect();
                    own_folds = Some(folds);
                }
                None if unseen => {}
                None => {
                    return Err(Error::model("out-of-fold predictions need a column of folds")
                        .at(name)
                        .remedy("set fold:, or seen: none if their maker has seen none of these rows"));
                }
            }
        }
        let honest = pick(&self.honest.rows, "honest")?;
        if let Some(folds) = own_folds {
            self.check_groups(&folds).map_err(|e| e.at(name))?;
        }
        Ok(Draft {
            name: name.to_owned(),
            role: Role::Member,
            method: "predictions".to_owned(),
            of: Vec::new(),
            honest: Some(honest),
            judged: pick(&self.split.judge, "judged")?,
            model: None,
            folds: Vec::new(),
            cost: Cost::default(),
            fits: BTreeMap::new(),
            learned: Learned::unknown(),
            made_by: digest(all),
            curve: Vec::new(),
            weights: None,
            table: Some(TableColumns {
                names: given_columns(&self.task, name),
                all: all.clone(),
                position: position.clone(),
            }),
            spending: Vec::new(),
            given: Some(Arc::new(Given::new(self.task.clone(), name))),
            pull: None,
            notes: note.into_iter().collect(),
        })
    }

    /// Whether folds made elsewhere, one for each honest row, keep groups whole.
    fn check_groups(&self, folds: &[u32]) -> Result<()> {
        let mut fold_of = BTreeMap::new();
        for (group, fold) in self.groups(&self.honest.rows).unwrap_or_default().iter().zip(folds) {
            if *fold_of.entry(*group).or_insert(*fold) != *fold {
                return Err(Error::model("a group lies in two folds of the predictions")
                    .expected("all rows of a group in one fold")
                    .remedy("make the predictions again with folds that keep groups whole"));
            }
        }
        Ok(())
    }
}

/// What computes the ONNX models that parts hold; empty if they hold none.
fn computed_by(parts: &Parts) -> &'static str {
    fn any(parts: &Parts) -> bool {
        parts.files.keys().any(|f| foreign::is_onnx(f)) || parts.members.values().any(any)
    }
    if any(parts) { &foreign::runtime().name } else { "" }
}

fn described(task: &Task) -> String {
    match task.classes() {
        Some(classes) => format!("the classes {}", classes.names().join(", ")),
        None => "values".to_owned(),
    }
}

/// Whether folds made elsewhere can be those of out-of-fold predictions: several, without a gap.
fn check_gaps(folds: &[u32]) -> Result<()> {
    let known: BTreeSet<u32> = folds.iter().copied().collect();
    if known.len() < 2 {
        return Err(Error::model("the predictions are all of one fold, so that none is out-of-fold")
            .expected("at least 2 folds"));
    }
    // Counted from 0 or from 1.
    let first = known.first().copied().unwrap_or(0).min(1);
    let last = known.last().copied().unwrap_or(0);
    if let Some(gap) = (first..=last).find(|f| !known.contains(f)) {
        return Err(Error::model(format!("fold {gap} is missing from the predictions"))
            .expected(format!("folds {first} to {last}"))
            .remedy("give the out-of-fold predictions of every fold"));
    }
    Ok(())
}
