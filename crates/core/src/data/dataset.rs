//! Data that were opened: the inputs as a source, and the roles beside it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::model::{Source, Target};

/// The columns that are no inputs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Roles {
    /// Groups as numbers in the order of their first rows, with the names.
    pub group: Option<(Vec<u64>, Vec<String>)>,
    /// The domain of each row.
    pub domain: Option<Vec<String>>,
    /// A positive weight for each row.
    pub weight: Option<Vec<f32>>,
    /// The order in time of each row: larger is later.
    pub time: Option<Vec<f64>>,
    /// The text of every table column by name, roles included, for splits by column and row filters.
    pub cells: BTreeMap<String, Arc<Vec<String>>>,
}

/// Opened data. The target is apart from the inputs; `None` where there is none (prediction).
#[derive(Clone)]
pub struct Dataset {
    /// The inputs.
    pub source: Arc<dyn Source>,
    /// The truth of each row.
    pub target: Option<Target>,
    /// The other roles.
    pub roles: Roles,
    /// The SHA-256 of everything that was read: files and settings, not paths.
    pub content: String,
    /// A digest of each row's inputs and truth, to find rows again in other data.
    pub digests: Vec<u64>,
    /// What should be known about the data: duplicates, constant columns, rare classes, missing shares.
    pub notes: Vec<String>,
}

impl fmt::Debug for Dataset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dataset")
            .field("rows", &self.source.rows())
            .field("content", &self.content)
            .finish_non_exhaustive()
    }
}
