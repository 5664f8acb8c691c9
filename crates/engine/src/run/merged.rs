//! Compositions of weights: members of one architecture become one model, for good and in every fold.

use std::collections::BTreeMap;

use consilience_core::model::{Model, Origin, Parts, Predictions};
use consilience_core::{Error, Result};
use consilience_merge::analyze::{Analysis, analyze_parts};
use consilience_nn::{MOMENTS_VERSION, refresh_moments};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::candidate::{Draft, Made, fits_of, notes_of};
use super::composed::learned_of;
use super::fitted::{keep_model, need_model};
use super::provenance::Learned;
use super::session::{Session, in_order};
use crate::catalog;
use crate::codec::{read_json, write_json};
use crate::outcome::{Cost, Role};
use crate::recipe::Call;
use crate::store::size_of_tree;

/// So many notes of a merge are told one by one.
const TOLD: usize = 4;

/// What stands in the recipe about a merge.
pub(crate) struct Merging<'a> {
    pub name: &'a str,
    pub call: &'a Call,
    pub search: &'a BTreeMap<String, Vec<Value>>,
    pub of: &'a [&'a Draft],
    pub origin: Option<&'a Draft>,
}

/// One way to do it: which of the members, by places, with which parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Setting {
    pub of: Vec<usize>,
    pub parameters: Value,
}

/// The models that are merged, the rows from which moments are taken, and the places among the honest rows that what comes out
/// predicts honestly.
pub(super) struct World<'a> {
    pub members: Vec<&'a Made>,
    pub origin: Option<&'a Made>,
    fit: Vec<usize>,
    places: Vec<usize>,
}

/// The models of a [`World`] as data.
pub(super) struct Opened {
    members: Vec<Parts>,
    origin: Option<Parts>,
}

/// What a merge gives beside the model.
#[derive(Serialize, Deserialize)]
pub(super) struct Told {
    notes: Vec<String>,
    /// Whether moments of batch norms were taken anew.
    moments: bool,
}

/// How the members pull, for the report; nothing where there are not two of them.
fn pull(merging: &Merging<'_>, world: &World<'_>) -> Option<Analysis> {
    let opened = world.open().ok()?;
    let names = merging.of.iter().map(|d| d.name.clone());
    let members: Vec<(String, Parts)> = names.zip(opened.members).collect();
    let origin = merging.origin.map(|d| d.name.as_str()).zip(opened.origin.as_ref());
    analyze_parts(&members, origin).ok()
}

impl World<'_> {
    pub fn open(&self) -> Result<Opened> {
        let members = self.members.iter().map(|m| m.model.save()).collect::<Result<_>>()?;
        Ok(Opened { members, origin: self.origin.map(|m| m.model.save()).transpose()? })
    }

    /// What its results depend on.
    pub fn key(&self, session: &Session<'_>) -> Value {
        let hashes: Vec<&str> = self.members.iter().map(|m| m.hash.as_str()).collect();
        let moments = json!([MOMENTS_VERSION, session.rows_key(&self.fit)]);
        json!({"of": hashes, "base": self.origin.map(|m| m.hash.as_str()), "moments": moments})
    }
}

impl Merging<'_> {
    /// All members, and for what is searched the first values.
    fn plain(&self) -> Setting {
        Setting { of: (0..self.of.len()).collect(), parameters: self.call.parameters.clone() }
    }

    fn all(&self) -> Vec<&Draft> {
        self.of.iter().copied().chain(self.origin).collect()
    }

    /// What the result of a setting depends on, the models apart.
    pub fn key(&self, session: &Session<'_>) -> Result<Value> {
        let entry = catalog::MERGERS.get(&self.call.name)?;
        let names: Vec<&str> = self.of.iter().map(|d| d.name.as_str()).collect();
        Ok(json!({
            "method": self.call.name, "version": entry.version, "names": names, "data": session.data_key(),
            "seed": session.recipe.seed, "label": self.name,
        }))
    }
}

impl Session<'_> {
    /// Merges the weights of members of one architecture.
    pub fn merge_draft(&self, merging: &Merging<'_>) -> Result<Draft> {
        let name = merging.name;
        let all = merging.all();
        let of = |d| need_model(d, name);
        let last = World {
            members: merging.of.iter().map(|d| of(d)).collect::<Result<_>>()?,
            origin: merging.origin.map(of).transpose()?,
            fit: self.split.fit.clone(),
            places: (0..self.honest.rows.len()).collect(),
        };
        let worlds = match self.honest.origin {
            Origin::OutOfFold => {
                (0..self.honest.count).map(|f| self.fold(merging, f)).collect::<Result<_>>()?
            }
            _ => Vec::new(),
        };
        let searched =
            if merging.is_searched() {
                Some(self.searched(
                    merging,
                    if worlds.is_empty() { std::slice::from_ref(&last) } else { &worlds },
                )?)
            } else {
                None
            };
        let setting = searched.as_ref().map_or_else(|| merging.plain(), |s| s.chosen.clone());
        let (made, told, seconds, bytes) = self.merged(name, merging, &last, &setting)?;
        let mut notes = notes_of(&all);
        notes.extend(self.notes(name, told.notes));
        let mut learned = learned_of(&all);
        if told.moments {
            learned = learned.and(&Learned::rows(self.data, &last.fit));
        }
        let (mut own, mut weights) = (seconds, None);
        let honest = match searched {
            Some(searched) => {
                own += searched.seconds;
                notes.push(format!("{}{}", self.prefix, searched.note));
                learned = learned.and(&Learned::rows(self.data, &self.honest.rows));
                weights = searched.weights;
                searched.honest
            }
            None if worlds.is_empty() => {
                let label = format!("{name}, choosing");
                self.predict_step(&label, &made.hash, made.model.as_ref(), &self.honest.rows)?.predictions
            }
            None => {
                let mut parts = Vec::new();
                for (fold, world) in worlds.iter().enumerate() {
                    let label = format!("{name}, fold {}/{}", fold + 1, worlds.len());
                    let (one, ..) = self.merged(&label, merging, world, &setting)?;
                    let rows = self.honest_rows(&world.places);
                    let p = self.predict_step(&label, &one.hash, one.model.as_ref(), &rows)?;
                    parts.push((world.places.clone(), p.predictions));
                }
                in_order(&parts, self.honest.rows.len())?
            }
        };
        let fits = fits_of(&all, (name, own));
        let mut cost = Cost {
            fit_seconds: fits.values().sum(),
            bytes: Some(bytes),
            parameters: made.model.parameters(),
            ..Cost::default()
        };
        let judged = self.judge_with(name, &made, &mut cost)?;
        Ok(Draft {
            name: name.to_owned(),
            role: Role::Merge,
            method: merging.call.name.clone(),
            of: merging.of.iter().map(|d| d.name.clone()).collect(),
            honest: Some(honest),
            judged,
            model: Some(made),
            folds: Vec::new(),
            cost,
            fits,
            learned,
            made_by: String::new(),
            curve: Vec::new(),
            weights,
            given: None,
            table: None,
            spending: Vec::new(),
            pull: pull(merging, &last),
            notes,
        })
    }

    /// The models of a fold.
    fn fold<'a>(&self, merging: &Merging<'a>, fold: u32) -> Result<World<'a>> {
        let of = |draft: &'a Draft| {
            draft.folds.get(fold as usize).ok_or_else(|| {
                Error::model("a merge needs the fold models of its members and its base")
                    .at(merging.name)
                    .got(format!("\"{}\" has none", draft.name))
                    .remedy("use honest: validation")
            })
        };
        let of_fold = |i: &usize| self.honest.folds.get(*i) == Some(&fold);
        let (places, others): (Vec<usize>, Vec<usize>) = (0..self.honest.rows.len()).partition(of_fold);
        Ok(World {
            members: merging.of.iter().map(|d| of(d)).collect::<Result<_>>()?,
            origin: merging.origin.map(of).transpose()?,
            fit: self.honest_rows(&others),
            places,
        })
    }

    fn honest_rows(&self, places: &[usize]) -> Vec<usize> {
        places.iter().filter_map(|p| self.honest.rows.get(*p)).copied().collect()
    }

    /// The model of a setting, as a step; with the seconds it took and its size.
    fn merged(
        &self,
        label: &str,
        merging: &Merging<'_>,
        world: &World<'_>,
        setting: &Setting,
    ) -> Result<(Made, Told, f64, u64)> {
        let mut key = merging.key(self)?;
        if let Some(map) = key.as_object_mut() {
            map.insert("setting".to_owned(), json!(setting));
            map.insert("models".to_owned(), world.key(self));
        }
        let step = self.step(label, "merge", &key, |dir| {
            let (parts, told) = self.blend(label, merging, (world, &world.open()?), setting)?;
            keep_model(dir, &parts)?;
            write_json(&dir.join("merge.json"), &told)
        })?;
        let told = read_json(&step.path.join("merge.json"))?;
        Ok((self.made(&step)?, told, step.seconds, size_of_tree(&step.path.join("model"))))
    }

    /// Merges, and takes the moments of batch norms anew: merged weights give other activations.
    fn blend(
        &self,
        label: &str,
        merging: &Merging<'_>,
        (world, opened): (&World<'_>, &Opened),
        setting: &Setting,
    ) -> Result<(Parts, Told)> {
        let method = catalog::MERGERS.build(&merging.call.name, &setting.parameters)?;
        let one = |i: &usize| Some((merging.of.get(*i)?.name.as_str(), opened.members.get(*i)?));
        let members: Vec<(&str, &Parts)> = setting.of.iter().filter_map(one).collect();
        let seed = self.seed.child("merge").child(merging.name);
        let how = consilience_merge::PartsMerge {
            method: method.as_ref(),
            base: merging.origin.map(|d| d.name.as_str()).zip(opened.origin.as_ref()),
            seed,
        };
        let (parts, notes) = consilience_merge::merge_parts(&how, &members)?;
        // A model that was there before has the moments of its own.
        if opened.members.iter().chain(&opened.origin).any(|known| *known == parts) {
            return Ok((parts, Told { notes, moments: false }));
        }
        let mut moments = false;
        let parts = match members.first() {
            Some((_, like)) => self.refreshed(label, parts, like, &world.fit, &mut moments)?,
            None => parts,
        };
        Ok((parts, Told { notes, moments }))
    }

    /// The same model; in every network of it the moments of batch norms are those of `rows`. What the merge made of the members' moments
    /// may be none at all (a variance below zero), so that networks are opened like the first member's.
    fn refreshed(
        &self,
        label: &str,
        mut parts: Parts,
        like: &Parts,
        rows: &[usize],
        any: &mut bool,
    ) -> Result<Parts> {
        for (name, inner) in &mut parts.members {
            if let Some(like) = like.members.get(name) {
                *inner = self.refreshed(label, std::mem::take(inner), like, rows, any)?;
            }
        }
        if parts.kind != consilience_nn::network::KIND {
            return Ok(parts);
        }
        let network = catalog::open_network(like, self.loaders)?;
        if !network.has_moments() {
            return Ok(parts);
        }
        *any = true;
        let network = network.with_weights(&parts)?;
        self.with_rows(label, self.seed.child("moments"), rows, |data, context| {
            refresh_moments(network, data, context)?.save()
        })
    }

    /// What a setting says of the honest rows, nothing of it kept.
    pub(super) fn tried(
        &self,
        merging: &Merging<'_>,
        worlds: &[(&World<'_>, Opened)],
        setting: &Setting,
    ) -> Result<Predictions> {
        let mut parts = Vec::new();
        for (world, opened) in worlds {
            let (merged, _) = self.blend(merging.name, merging, (world, opened), setting)?;
            let model = self.loaders.model(&merged)?;
            let rows = self.honest_rows(&world.places);
            parts.push((world.places.clone(), self.predict(merging.name, model.as_ref(), &rows)?.0));
        }
        in_order(&parts, self.honest.rows.len())
    }

    /// The notes of a merge, few of them one by one.
    fn notes(&self, name: &str, mut notes: Vec<String>) -> Vec<String> {
        // Blocks of a tensor are merged in any order, and members may say the same.
        notes.sort_unstable();
        notes.dedup();
        let more = notes.len().saturating_sub(TOLD);
        notes.truncate(TOLD);
        if more > 0 {
            notes.push(format!("and {more} notes more of this kind"));
        }
        notes.into_iter().map(|note| format!("{}{name}: {note}", self.prefix)).collect()
    }
}
