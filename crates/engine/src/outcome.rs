//! What a run found: everything that the terminal, `report.html` and `--json` show.

use std::collections::BTreeMap;

use consilience_core::calibrate::conformal::Coverage;
use consilience_core::explain::MemberReadings;
use consilience_core::fuse::Point;
use consilience_core::model::LogRow;
use consilience_merge::analyze::Analysis;
use serde::{Deserialize, Serialize};

/// A value with its interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The estimate.
    pub value: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// One metric of one candidate on the judged rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// The metric's name.
    pub metric: String,
    /// Whether more is better.
    pub greater_is_better: bool,
    /// The score with its own bootstrap interval (absent where the metric has no sound one).
    pub value: f64,
    /// The interval of this score alone.
    pub interval: Option<Interval>,
    /// An interval that holds for all candidates of the leaderboard at once.
    pub simultaneous: Option<Interval>,
    /// The difference to the best single member, paired on the same rows; `None` for that member itself.
    pub against_best_single: Option<Interval>,
}

/// What a candidate is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A member that was fitted, loaded or given as predictions.
    Member,
    /// A composition of predictions.
    Fuse,
    /// A network over several modalities.
    Fusion,
    /// An average of weights.
    Merge,
    /// One student of a composition.
    Distill,
    /// A member carried to another domain.
    Adapt,
}

/// What a candidate costs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Fitted numbers, members included.
    pub parameters: Option<u64>,
    /// Seconds of fitting, members and folds included.
    pub fit_seconds: f64,
    /// Microseconds a row of prediction, members included.
    pub predict_micros: Option<f64>,
    /// Bytes on disk, members included.
    pub bytes: Option<u64>,
}

/// Scores with some modalities only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Subset {
    /// The modalities that were given.
    pub on: Vec<String>,
    /// How many judged rows could be predicted.
    pub rows: usize,
    /// Metric to score.
    pub scores: BTreeMap<String, f64>,
}

/// How much a modality or column matters: the loss of score when it is permuted among rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Importance {
    /// The column or modality.
    pub name: String,
    /// Whether it is a whole modality.
    pub modality: bool,
    /// The mean rise of the choosing metric's loss.
    pub mean: f64,
    /// The standard error over repeats.
    pub error: f64,
}

/// The regions of the exported model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RegionsFound {
    /// The kind.
    pub method: String,
    /// The chance of a hit that is promised; `None` if nothing is.
    pub guaranteed: Option<f64>,
    /// The rows that set the thresholds.
    pub rows: usize,
    /// What they do on the judged rows.
    pub coverage: Coverage,
    /// The values of the column of strata, by code.
    pub strata: Vec<String>,
    /// What a reader must know.
    pub notes: Vec<String>,
}

/// What each member is worth to the best composition of predictions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Explained {
    /// The composition.
    pub composition: String,
    /// Its members, read on honest predictions.
    pub readings: MemberReadings,
}

/// A member or composition with its scores.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// Its name in the recipe.
    pub name: String,
    /// What it is.
    pub role: Role,
    /// The method's name.
    pub method: String,
    /// What it is made of: columns for members and fusions, members for the rest.
    pub of: Vec<String>,
    /// The choosing metric on honest (cross-fitted) predictions; `None` if it cannot be chosen.
    pub honest: Option<f64>,
    /// Scores on the judged rows.
    pub scores: Vec<Score>,
    /// What it costs.
    pub cost: Cost,
    /// The weight of each member, where there is one.
    pub weights: Option<Vec<(String, f64)>>,
    /// How the members of a merge pull, layer by layer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull: Option<Analysis>,
    /// What a cascade spends and loses on honest rows, by its threshold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spending: Vec<Point>,
    /// Scores for every non-empty subset of modalities, where it has several.
    pub subsets: Vec<Subset>,
    /// Its learning curve.
    pub curve: Vec<LogRow>,
    /// Judged rows about which it said nothing (scored by the class shares of the fitting rows).
    pub silent: usize,
}

/// The conclusion.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// In a sentence.
    pub sentence: String,
    /// Whether the composition beats the best single member beyond the judged interval.
    pub gain: bool,
    /// The metric that chose.
    pub metric: String,
    /// The best composition, chosen on honest predictions; `None` if there is none.
    pub best_composition: Option<String>,
    /// The best single member, chosen on honest predictions.
    pub best_single: String,
    /// What was exported as `model/`: decided on honest predictions alone.
    pub exported: String,
    /// The judged difference of the best composition to the best single member.
    pub difference: Option<Interval>,
    /// The same difference on the honest predictions, by which the export was decided.
    pub honest_difference: Option<Interval>,
    /// What a reader must know: unknown provenance, transductive figures, silent rows.
    pub notes: Vec<String>,
}

/// One input column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ColumnSummary {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub kind: String,
    /// The shape of a row, where it has one.
    pub shape: Vec<usize>,
    /// The share of rows without it, from 0 to 1.
    pub unavailable: f64,
}

/// The data in numbers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DataSummary {
    /// All rows.
    pub rows: usize,
    /// Rows for fitting, choosing and judging; of a nested run those of its first outer fold.
    pub parts: [usize; 3],
    /// How many outer folds a nested run judged, each row once; 0 where the rows were parted once.
    #[serde(default)]
    pub outer_folds: usize,
    /// Groups among the judged rows, where there are groups.
    pub judged_groups: Option<usize>,
    /// The columns.
    pub columns: Vec<ColumnSummary>,
    /// Class name, rows for fitting, rows judged.
    pub classes: Vec<(String, usize, usize)>,
    /// Duplicates, leaks, constant columns, rare classes.
    pub notes: Vec<String>,
}

/// How confident and how right: one bin of a reliability diagram.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Bin {
    /// Rows in the bin.
    pub rows: usize,
    /// Their mean confidence.
    pub confidence: f64,
    /// The share that was right.
    pub accuracy: f64,
}

/// How to do it again.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Reproduce {
    /// The command.
    pub command: String,
    /// The resolved recipe, YAML.
    pub recipe: String,
    /// Version, instruction set, threads, system: name to value.
    pub environment: BTreeMap<String, String>,
    /// SHA-256 of the data.
    pub data: String,
}

/// Everything.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The run's name, `<name>-<hash>`.
    pub run: String,
    /// The classes in order; empty for a regression.
    pub classes: Vec<String>,
    /// The level of the intervals, e.g. .95.
    pub level: f64,
    /// The conclusion.
    pub verdict: Verdict,
    /// The data.
    pub data: DataSummary,
    /// The candidates, best first by the choosing metric on the judged rows.
    pub candidates: Vec<Candidate>,
    /// Of the exported model: `confusion[truth][predicted]` rows judged; empty for a regression.
    pub confusion: Vec<Vec<u64>>,
    /// Reliability of the exported model and of the best single member, by candidate name.
    pub reliability: BTreeMap<String, Vec<Bin>>,
    /// Of the exported model, most important first.
    pub importances: Vec<Importance>,
    /// What each member is worth to the best composition of predictions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explained: Option<Explained>,
    /// The regions of the exported model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regions: Option<RegionsFound>,
    /// How to do it again.
    pub reproduce: Reproduce,
    /// Seconds of the whole run, steps from the store not counted.
    pub seconds: f64,
}
