//! What a recipe says about its data: the maps `data:`, `split:` and `honest:`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::Kind;

/// What is predicted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TaskKind {
    /// One of several classes.
    Classify,
    /// A number.
    Regress,
}

/// What a column is for, when it is not an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// What is predicted.
    Target,
    /// Rows of one group (a patient, a speaker) are never split between parts, and intervals resample groups.
    Group,
    /// The domain a row comes from.
    Domain,
    /// A positive weight.
    Weight,
    /// When it was: a number or text that sorts by time.
    Time,
    /// A unique name of the row.
    Id,
    /// Kept for splits and row filters, never an input.
    Ignore,
}

/// One value for all rows, or one for each value of a column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum PerValue {
    /// The same for all rows.
    One(String),
    /// By the value of the column that `by` names.
    Map(BTreeMap<String, String>),
}

/// One column of the data.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ColumnSpec {
    /// What it holds. Guessed for columns of a table that are not named: numbers if every value is one, else categories.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// What it is for, if it is not an input.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// The table's name for it, if that differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The table column with file names (image, audio, text, sequence), relative to the root. An empty name is an absent modality.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// An idx file (.gz or plain) of all rows, or one for each value of the column `by`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idx: Option<PerValue>,
    /// An npy file of all rows (first axis), or one for each value of the column `by`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub npy: Option<PerValue>,
    /// The column that chooses among several idx or npy files; the column of `split` by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// The table column with the position of the row in the idx or npy file; the table's own order by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<String>,
    /// Vector columns made of table columns: their names, or one prefix ending in `*`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<String>,
    /// The shape of a row of a vector or image, where the file does not say: `[16, 16]`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shape: Vec<usize>,
    /// Hz, for sounds that are stored as bare samples.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<u32>,
    /// Category: the levels, where their order or completeness matters. Target: the classes in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub levels: Vec<String>,
    /// What else stands for a missing value. The empty cell, `NA`, `NaN`, `nan`, `null` and `None` always do, unless
    /// `levels` names them; `?` does not. Of a text only the empty one is absent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// Multiplies numbers of an npy or npz array when read (1/255 for bytes).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale: Option<f64>,
}

/// One of several sources whose rows are put one after the other.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SourceSpec {
    /// A csv or parquet file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// An npz file; `x`, `y` and `arrays` name its arrays.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub npz: Option<String>,
    /// A folder with one folder of files a class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
    /// The array that becomes the column `x`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub x: Option<String>,
    /// The array that becomes the column `y`, the target unless another column is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub y: Option<String>,
    /// Further arrays: column name to array name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub arrays: BTreeMap<String, String>,
    /// Columns that are constant over this source; no inputs unless `columns` names them. `domain` is the domain.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub set: BTreeMap<String, String>,
}

/// The map `data:`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DataSpec {
    /// The data folder, relative to the recipe; `--data` replaces it. Nothing outside it is read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
    /// A csv or parquet file with one row a row.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// A folder with one folder of files a class. It gives the columns `file` (the path) and `class` (the folder), which
    /// is the target unless another column is; what the files hold is guessed from their endings unless `columns` says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
    /// Several sources, one after the other.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<SourceSpec>,
    /// The columns by name. Table columns that are not named are inputs of a guessed type, unless `only` is set.
    pub columns: BTreeMap<String, ColumnSpec>,
    /// Ignore the table's columns that are not named.
    pub only: bool,
    /// Further tables whose columns stand beside those of the table, row by row (the views of a multi-view set).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub beside: Vec<BesideSpec>,
    /// What a csv file (the table, or the file of a sequence) separates cells with; a comma by default, a tab for `.tsv`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delimiter: Option<char>,
    /// What the first line of a csv file is.
    #[serde(skip_serializing_if = "Header::is_names")]
    pub header: Header,
    /// Files that cannot be read: `error` (the default), or `absent` to treat the modality as absent, with a count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub corrupt: Option<Corrupt>,
}

/// What the first line of a csv file is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Header {
    /// The names of the columns.
    #[default]
    Names,
    /// A row like the others; the columns are named `c1`, `c2`, and so on.
    None,
    /// Names that are of no use; it is passed over, and the columns are named `c1`, `c2`, and so on.
    Skip,
}

impl Header {
    /// Whether the first line holds the names, as by default.
    pub fn is_names(&self) -> bool {
        *self == Self::Names
    }
}

/// A table with one row for each row of the data, in the same order.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BesideSpec {
    /// A csv or parquet file.
    pub table: String,
    /// Put before the name of each of its columns.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub prefix: String,
    /// What the first line of a csv file is.
    #[serde(skip_serializing_if = "Header::is_names")]
    pub header: Header,
}

/// What to do with a file that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Corrupt {
    /// Stop with an error that names the file.
    Error,
    /// Treat the modality as absent in that row, and count it.
    Absent,
}

/// The map `split:`. By a column of part names, by fractions, or by domain.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SplitSpec {
    /// The column whose values name the parts; with `folds`, the outer folds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// The values of `column` that are for fitting; `train` and `fit` by default.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fit: Vec<String>,
    /// The values of `column` that are for choosing; `val`, `valid`, `validation`, `dev` and `choose` by default.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub choose: Vec<String>,
    /// The values of `column` that are for judging; `test`, `judge` and `holdout` by default.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub judge: Vec<String>,
    /// The fraction (or, from 2 up, the number) of rows for judging.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holdout: Option<f64>,
    /// The fraction (or, from 2 up, the number) of rows for choosing; none by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation: Option<f64>,
    /// The fraction (or, from 2 up, the number) of the rows for fitting that set the thresholds of regions and nothing else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regions: Option<f64>,
    /// The column whose values are spread evenly over the parts; the target for classifications.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stratify: Option<String>,
    /// The column whose equal values stay together; the column of role group by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Order by this column, and judge on the latest rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// Judge on the rows of this value of the domain column, fit on the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// Nested: this many outer folds, each judged by what was fitted on the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folds: Option<u32>,
}

/// The value of `honest:`: where fusers get predictions that their makers have not seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum HonestSpec {
    /// `validation`: from the rows for choosing.
    Validation(Validation),
    /// Out-of-fold predictions of the rows for fitting.
    Folds {
        /// How many folds.
        folds: u32,
    },
}

/// The word `validation`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Validation {
    /// From the rows for choosing.
    Validation,
}
