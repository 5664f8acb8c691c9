//! Members and compositions while a run is under way.

use std::collections::BTreeMap;

use consilience_core::fuse::Point;
use consilience_core::model::{LogRow, Predictions};

use super::provenance::Learned;
use super::regions::TableColumns;
use super::session::Shared;
use crate::outcome::{Cost, Role};
use consilience_merge::analyze::Analysis;

/// A model with the hash of the step that made it.
#[derive(Clone)]
pub(crate) struct Made {
    pub model: Shared,
    pub hash: String,
}

/// One entry of the leaderboard before it is judged.
pub(crate) struct Draft {
    pub name: String,
    pub role: Role,
    pub method: String,
    pub of: Vec<String>,
    /// Predictions of the honest rows; `None` if it cannot be chosen (adapted to unlabelled rows).
    pub honest: Option<Predictions>,
    /// Predictions of the judged rows.
    pub judged: Predictions,
    /// The final model; `None` for tables of predictions, and for what is composed of them.
    pub model: Option<Made>,
    /// Where there is none: what says the same, and reads what tables say from columns of their names.
    pub given: Option<Shared>,
    /// The models of the folds, where they are kept.
    pub folds: Vec<Made>,
    pub cost: Cost,
    /// The seconds of every fit that it needs, by name, each once.
    pub fits: BTreeMap<String, f64>,
    /// The rows from which it has learned.
    pub learned: Learned,
    /// What it is made by or read from, for the name of the run; empty for compositions.
    pub made_by: String,
    pub curve: Vec<LogRow>,
    pub weights: Option<Vec<(String, f64)>>,
    /// What a table of predictions says, by the names of its columns.
    pub table: Option<TableColumns>,
    /// What a cascade spends and loses, by its threshold.
    pub spending: Vec<Point>,
    /// How the members of a merge pull.
    pub pull: Option<Analysis>,
    /// What a reader must know.
    pub notes: Vec<String>,
}

impl Draft {
    /// What is kept of it.
    pub fn kept(&self) -> Option<&Shared> {
        self.model.as_ref().map(|m| &m.model).or(self.given.as_ref())
    }
}

/// The notes of several drafts, each once.
pub(crate) fn notes_of(of: &[&Draft]) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for note in of.iter().flat_map(|d| &d.notes) {
        if !out.contains(note) {
            out.push(note.clone());
        }
    }
    out
}

/// The fits of several drafts and one more, each once.
pub(crate) fn fits_of(of: &[&Draft], own: (&str, f64)) -> BTreeMap<String, f64> {
    let mut fits: BTreeMap<String, f64> =
        of.iter().flat_map(|d| &d.fits).map(|(n, s)| (n.clone(), *s)).collect();
    fits.insert(own.0.to_owned(), own.1);
    fits
}
