//! A recipe after it was checked: typed, every name known, order kept.

use std::collections::BTreeMap;

use consilience_core::data::{DataSpec, HonestSpec, SplitSpec, TaskKind};
use consilience_core::model::Distill;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::foreign::Declared;

/// A method by name with its parameters, as in `{rotate: {degrees: 10}}` or `{fit: cnn, epochs: 4}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// The method's name.
    pub name: String,
    /// Its parameters with every default written out (a JSON object).
    pub parameters: Value,
    /// How often a step of `augment` is done, from 0 to 1; always without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p: Option<f64>,
}

impl Call {
    /// As it stands in a list of steps: `{rotate: {degrees: 10}, p: 0.5}`.
    pub fn to_step(&self) -> Value {
        let mut map = Map::from_iter([(self.name.clone(), self.parameters.clone())]);
        map.extend(self.p.map(|p| ("p".to_owned(), Value::from(p))));
        Value::Object(map)
    }
}

/// Whether the rows of this recipe were among those a loaded member was fitted on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Seen {
    /// It has seen none of the rows for choosing and judging.
    None,
    /// It has seen some.
    Part,
    /// Nobody knows; the verdict says so.
    Unknown,
}

/// A member of the composition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Member {
    /// Fitted here.
    Fit {
        /// The estimator.
        method: Call,
        /// The columns it reads; the word `table` stands for all numbers and categories.
        on: Vec<String>,
        /// Feature steps for some columns instead of the recipe's or the default ones.
        features: BTreeMap<String, Vec<Call>>,
        /// Transforms of its training rows for some columns instead of the recipe's.
        augment: BTreeMap<String, Vec<Call>>,
        /// The member whose fitted model it starts from.
        from: Option<String>,
        /// A filter on the rows it is fitted on.
        rows: Option<String>,
        /// Keep the fold models and predict by their mean, instead of a refit on all rows.
        bag: bool,
    },
    /// A model directory, or an ONNX file.
    Load {
        /// Where it is, below the data folder or beside the recipe.
        path: String,
        /// Whether it has seen the rows.
        seen: Seen,
        /// What an ONNX file does not say itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        onnx: Option<Declared>,
    },
    /// A table of predictions made elsewhere.
    Predictions {
        /// A csv, parquet or npy file: ids, folds, one column a class (or one value).
        path: String,
        /// The column of row ids (`id` by default).
        id: Option<String>,
        /// The column of folds, if the predictions are out-of-fold.
        fold: Option<String>,
        /// The column of the class that it names, for members that name one without saying how sure they are.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        label: Option<String>,
        /// Class name to column name; the class names themselves by default.
        columns: BTreeMap<String, String>,
        /// Of an npy array `[members, rows, classes]`: which of them, from 0.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        member: Option<usize>,
        /// Whether its maker has seen the rows.
        seen: Seen,
    },
}

/// A way of composing that is tried.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Synthesis {
    /// Predictions.
    Fuse {
        /// The fuser.
        method: Call,
        /// The members, or names of other syntheses.
        of: Vec<String>,
        /// Take members out while the loss rises by no more than this.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        prune: Option<f64>,
    },
    /// Features, by one network fitted on several modalities.
    Fusion {
        /// The network.
        method: Call,
        /// The modalities: columns, or the word `table`.
        on: Vec<String>,
        /// As for members.
        features: BTreeMap<String, Vec<Call>>,
        /// As for members.
        augment: BTreeMap<String, Vec<Call>>,
    },
    /// Weights.
    Merge {
        /// The way to merge; parameters that are searched have the first of their values.
        method: Call,
        /// The members.
        of: Vec<String>,
        /// The member that they started from, where the method works with one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        base: Option<String>,
        /// Values to try, by parameter.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        search: BTreeMap<String, Vec<Value>>,
    },
    /// What a composition says, into one student.
    Distill {
        /// The student: a learner or network.
        method: Call,
        /// The member or composition that it learns from.
        teacher: String,
        /// As for members.
        on: Vec<String>,
        /// As for members.
        features: BTreeMap<String, Vec<Call>>,
        /// As for members.
        augment: BTreeMap<String, Vec<Call>>,
        /// How it listens to the teacher; what is not said is as is usual for the method.
        lesson: Distill,
    },
    /// Domains.
    Adapt {
        /// The adapter.
        method: Call,
        /// The member whose settings are fitted again on the matched features.
        member: String,
        /// Which rows are source: column name to value.
        source: BTreeMap<String, String>,
        /// Which rows are target.
        target: BTreeMap<String, String>,
    },
}

/// How the result is judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judge {
    /// The metric by which members and compositions are chosen, on honest predictions.
    pub choose: String,
    /// Metrics that are reported beside it.
    pub report: Vec<String>,
    /// How many bootstrap resamples.
    pub resamples: u32,
    /// The level of the intervals, e.g. .95.
    pub level: f64,
    /// What the chosen model may cost.
    #[serde(default, skip_serializing_if = "Budget::is_open")]
    pub budget: Budget,
}

/// What a model may cost at most, members included. Only what models declare counts, never a measured time: the choice is the same on every
/// machine.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Budget {
    /// Fitted numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameters: Option<u64>,
    /// Bytes on disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

impl Budget {
    /// Whether anything goes.
    pub fn is_open(&self) -> bool {
        *self == Self::default()
    }
}

/// A checked recipe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// The grammar's version: 1.
    pub version: u32,
    /// The name of the runs.
    pub name: String,
    /// What is predicted.
    pub task: TaskKind,
    /// The root of all seeds.
    pub seed: u64,
    /// What the data are.
    pub data: DataSpec,
    /// How rows are parted.
    pub split: SplitSpec,
    /// Where fusers get their predictions.
    pub honest: HonestSpec,
    /// Feature steps by column, for all members that do not say otherwise.
    pub features: BTreeMap<String, Vec<Call>>,
    /// Augmentation by column (and the entry `mixup`), on rows for fitting only.
    pub augment: BTreeMap<String, Vec<Call>>,
    /// The members, in the recipe's order.
    pub members: Vec<(String, Member)>,
    /// The ways of composing, in the recipe's order.
    pub synthesis: Vec<(String, Synthesis)>,
    /// How what a member or composition says is calibrated, by its name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub calibrate: BTreeMap<String, Call>,
    /// Regions that the exported model gives beside its predictions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regions: Option<Call>,
    /// The column whose values have thresholds of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stratum: Option<String>,
    /// How the result is judged.
    pub judge: Judge,
}

/// The word under `augment` that is no column: rows are mixed with partners.
pub(super) const MIXUP: &str = "mixup";

/// A map `augment:` with every default written out: lists of steps by column, and the parameters of `mixup`.
pub fn augment_value<'a>(augment: impl IntoIterator<Item = (&'a String, &'a Vec<Call>)>) -> Value {
    let one = |(column, calls): (&String, &Vec<Call>)| {
        let value = match calls.first() {
            Some(call) if column == MIXUP => call.parameters.clone(),
            _ => calls.iter().map(Call::to_step).collect(),
        };
        (column.clone(), value)
    };
    Value::Object(augment.into_iter().map(one).collect())
}
