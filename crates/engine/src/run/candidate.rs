//! Members and compositions while a run is under way.

use consilience_core::model::{LogRow, Predictions};

use super::session::Shared;
use crate::outcome::{Cost, Role};

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
    /// The final model; `None` for tables of predictions.
    pub model: Option<Made>,
    /// The models of the folds, where they are kept.
    pub folds: Vec<Made>,
    pub cost: Cost,
    pub curve: Vec<LogRow>,
    pub weights: Option<Vec<(String, f64)>>,
    /// What a reader must know.
    pub notes: Vec<String>,
}
