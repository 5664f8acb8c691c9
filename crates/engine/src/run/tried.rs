//! Merges that are chosen on honest rows, and what they say of these rows without having chosen by them.

use std::collections::{BTreeMap, BTreeSet};

use consilience_core::Result;
use consilience_core::fuse;
use consilience_core::metrics::{self, Metric};
use consilience_core::model::Predictions;
use consilience_core::registry::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::merged::{Merging, Opened, Setting, World};
use super::session::{Session, in_order};
use crate::catalog;
use crate::codec::{read_json, read_predictions, write_json, write_predictions};
use crate::soup::{GreedySoup, combinations, greedy};

/// Raised whenever the same tries give another choice; part of every hash.
const VERSION: u32 = 1;

/// A choice among settings.
pub(super) struct Searched {
    pub chosen: Setting,
    /// What each row is said by the choice that was made without the row's part.
    pub honest: Predictions,
    pub seconds: f64,
    /// The shares of members, where members are chosen.
    pub weights: Option<Vec<(String, f64)>>,
    pub note: String,
}

/// What is kept of a search.
#[derive(Serialize, Deserialize)]
struct Log {
    chosen: Setting,
    /// What was chosen without each part of the honest rows.
    parts: Vec<Setting>,
    /// Every setting that was tried, with its score on all honest rows.
    tried: Vec<(Setting, f64)>,
}

/// Settings that were tried, by their text, with what they say of the honest rows.
struct Tries<'a> {
    session: &'a Session<'a>,
    merging: &'a Merging<'a>,
    worlds: Vec<(&'a World<'a>, Opened)>,
    choose: &'static dyn Metric,
    settings: Vec<Setting>,
    done: BTreeMap<String, (Setting, Predictions)>,
}

impl Merging<'_> {
    /// Whether something of it is chosen on honest rows.
    pub fn is_searched(&self) -> bool {
        !self.search.is_empty() || self.call.name == GreedySoup::NAME
    }

    /// Every setting of a search, the recipe's first values first.
    fn settings(&self) -> Result<Vec<Setting>> {
        let resolve = catalog::MERGERS.get(&self.call.name)?.resolve;
        let counts: Vec<usize> = self.search.values().map(Vec::len).collect();
        let setting = |places: Vec<usize>| {
            let mut parameters = self.call.parameters.clone();
            if let Some(map) = parameters.as_object_mut() {
                let values = self.search.iter().zip(places);
                map.extend(values.filter_map(|((name, all), i)| Some((name.clone(), all.get(i)?.clone()))));
            }
            Ok(Setting { of: (0..self.of.len()).collect(), parameters: resolve(&parameters)? })
        };
        combinations(&counts).into_iter().map(setting).collect()
    }

    /// A setting in words.
    fn words(&self, setting: &Setting) -> String {
        if self.search.is_empty() {
            let names = setting.of.iter().filter_map(|i| self.of.get(*i)).map(|d| format!("\"{}\"", d.name));
            return format!("the average of {}", names.collect::<Vec<_>>().join(", "));
        }
        let value =
            |name: &String| format!("{name} {}", setting.parameters.get(name).unwrap_or(&Value::Null));
        self.search.keys().map(value).collect::<Vec<_>>().join(", ")
    }
}

impl Session<'_> {
    /// Chooses by the metric that chooses, on all honest rows; and again without each part of them, to predict that part.
    pub(super) fn searched(&self, merging: &Merging<'_>, worlds: &[World<'_>]) -> Result<Searched> {
        let name = merging.name;
        let models: Vec<Value> = worlds.iter().map(|w| w.key(self)).collect();
        let key = json!({
            "merge": merging.key(self)?, "parameters": merging.call.parameters, "search": merging.search, "models": models,
            "honest": self.rows_key(&self.honest.rows), "folds": self.honest.folds, "choose": self.recipe.judge.choose,
            "fit": self.rows_key(&self.split.fit), "version": VERSION,
        });
        let label = format!("{name}, search");
        let step = self.step(&label, "search", &key, |dir| {
            let opened = worlds.iter().map(|w| Ok((w, w.open()?))).collect::<Result<_>>()?;
            let mut tries = Tries {
                session: self,
                merging,
                worlds: opened,
                choose: metrics::get(&self.recipe.judge.choose)?,
                settings: merging.settings()?,
                done: BTreeMap::new(),
            };
            let members =
                merging.of.iter().filter_map(|d| Some((d.name.clone(), d.honest.clone()?))).collect();
            let parts =
                fuse::parts(&self.honest_of(members)?, self.seed.child("merge").child(name).child("parts"))?;
            let all: Vec<usize> = (0..parts.len()).collect();
            let chosen = tries.choose(&all)?;
            let (mut choices, mut pieces) = (Vec::new(), Vec::new());
            for part in parts.iter().collect::<BTreeSet<_>>() {
                let (out, used): (Vec<usize>, Vec<usize>) =
                    all.iter().partition(|r| parts.get(**r) == Some(part));
                let choice = tries.choose(&used).map_err(|e| e.at(format!("without part {part}")))?;
                pieces.push((out.clone(), tries.said(&choice)?.take(&out)));
                choices.push(choice);
            }
            write_predictions(dir, &in_order(&pieces, all.len())?)?;
            let tried = tries.done.values().map(|(s, p)| Ok((s.clone(), tries.score(p, &all)?)));
            let tried = tried.collect::<Result<_>>()?;
            write_json(&dir.join("search.json"), &Log { chosen, parts: choices, tried })
        })?;
        let log: Log = read_json(&step.path.join("search.json"))?;
        let same = log.parts.iter().filter(|s| **s == log.chosen).count();
        let share = 1.0 / log.chosen.of.len().max(1) as f64;
        let weight = |i: usize| if log.chosen.of.contains(&i) { share } else { 0.0 };
        let weights = || merging.of.iter().enumerate().map(|(i, d)| (d.name.clone(), weight(i))).collect();
        Ok(Searched {
            honest: read_predictions(&step.path, &self.task)?,
            seconds: step.seconds,
            weights: merging.search.is_empty().then(weights),
            note: format!(
                "\"{name}\": {} was chosen of {} that were tried, by {} on the honest rows; without a part of them it was \
                 chosen in {same} of {}",
                merging.words(&log.chosen),
                log.tried.len(),
                self.recipe.judge.choose,
                log.parts.len()
            ),
            chosen: log.chosen,
        })
    }
}

impl Tries<'_> {
    /// The best by some honest rows: of all settings, or the greedy soup.
    fn choose(&mut self, rows: &[usize]) -> Result<Setting> {
        let greater = self.choose.greater_is_better();
        let better = |a: f64, b: f64| if greater { a > b } else { a < b };
        if self.merging.search.is_empty() {
            let parameters = self.merging.call.parameters.clone();
            let soup = |of: &[usize]| Setting { of: of.to_vec(), parameters: parameters.clone() };
            let of = greedy(self.merging.of.len(), better, |of| self.scored(&soup(of), rows))?;
            return Ok(soup(&of));
        }
        let mut best: Option<(Setting, f64)> = None;
        for setting in self.settings.clone() {
            let score = self.scored(&setting, rows)?;
            if best.as_ref().is_none_or(|(_, b)| better(score, *b)) {
                best = Some((setting, score));
            }
        }
        Ok(best.map_or_else(|| Setting { of: Vec::new(), parameters: Value::Null }, |(setting, _)| setting))
    }

    fn scored(&mut self, setting: &Setting, rows: &[usize]) -> Result<f64> {
        let said = self.said(setting)?;
        self.score(&said, rows)
    }

    /// What a setting says of all honest rows; done once.
    fn said(&mut self, setting: &Setting) -> Result<Predictions> {
        let text = json!(setting).to_string();
        if let Some((_, said)) = self.done.get(&text) {
            return Ok(said.clone());
        }
        self.session.stop.check()?;
        let said = self.session.tried(self.merging, &self.worlds, setting)?;
        self.done.insert(text, (setting.clone(), said.clone()));
        Ok(said)
    }

    fn score(&self, said: &Predictions, places: &[usize]) -> Result<f64> {
        let rows: Vec<usize> =
            places.iter().filter_map(|p| self.session.honest.rows.get(*p)).copied().collect();
        let (truth, weight) = (self.session.truth(&rows), self.session.weights(&rows));
        let output = self.session.filled(&said.take(places))?.0.matrix();
        self.choose.score(&metrics::Sample::new(&truth, output.view(), weight.as_deref()))
    }
}
