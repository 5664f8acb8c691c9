//! What is predicted: classes by name in a fixed order, or values.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The names of the classes, in the order of every probability row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Classes(Arc<Vec<String>>);

impl TryFrom<Vec<String>> for Classes {
    type Error = Error;

    fn try_from(names: Vec<String>) -> Result<Self> {
        Self::new(names)
    }
}

impl From<Classes> for Vec<String> {
    fn from(classes: Classes) -> Self {
        classes.0.as_ref().clone()
    }
}

impl Classes {
    /// Classes in the order given.
    ///
    /// # Errors
    /// [`Error::Data`] if there are fewer than two, or one twice.
    pub fn new(names: Vec<String>) -> Result<Self> {
        if names.len() < 2 {
            return Err(Error::data("a classification needs at least two classes")
                .got(if names.is_empty() { "none".to_owned() } else { format!("only \"{}\"", names.join("")) })
                .remedy("check the target column, or use task: regress"));
        }
        let mut sorted: Vec<&String> = names.iter().collect();
        sorted.sort();
        if let Some(pair) = sorted.windows(2).find(|p| p[0] == p[1]) {
            return Err(Error::data(format!("the class \"{}\" is named twice", pair[0])));
        }
        Ok(Self(Arc::new(names)))
    }

    /// The names.
    pub fn names(&self) -> &[String] {
        &self.0
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The position of a name.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|n| n == name)
    }
}

/// What a model does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// Gives a probability to each class.
    Classify(Classes),
    /// Gives a value.
    Regress,
}

impl Task {
    /// The classes, for a classification.
    pub fn classes(&self) -> Option<&Classes> {
        match self {
            Self::Classify(c) => Some(c),
            Self::Regress => None,
        }
    }

    /// The width of an output row: the number of classes, or one.
    pub fn width(&self) -> usize {
        self.classes().map_or(1, Classes::count)
    }
}

/// The truth, one entry a row.
#[derive(Debug, Clone, PartialEq)]
pub enum Target {
    /// A class a row, as its position in `classes`.
    Classes {
        /// The classes.
        classes: Classes,
        /// The positions; every one below `classes.count()`.
        codes: Vec<u32>,
    },
    /// A finite value a row.
    Values(Vec<f32>),
}

impl Target {
    /// How many rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Classes { codes, .. } => codes.len(),
            Self::Values(v) => v.len(),
        }
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The task that predicts it.
    pub fn task(&self) -> Task {
        match self {
            Self::Classes { classes, .. } => Task::Classify(classes.clone()),
            Self::Values(_) => Task::Regress,
        }
    }

    /// The entries of `rows`, in that order; `rows` must exist.
    #[must_use]
    pub fn take(&self, rows: &[usize]) -> Self {
        match self {
            Self::Classes { classes, codes } => {
                Self::Classes { classes: classes.clone(), codes: rows.iter().map(|&r| codes[r]).collect() }
            }
            Self::Values(v) => Self::Values(rows.iter().map(|&r| v[r]).collect()),
        }
    }

    /// The class positions.
    ///
    /// # Errors
    /// [`Error::Argument`] for values.
    pub fn codes(&self) -> Result<(&Classes, &[u32])> {
        match self {
            Self::Classes { classes, codes } => Ok((classes, codes)),
            Self::Values(_) => Err(Error::argument("this method needs classes")
                .got("values (task: regress)")
                .remedy("choose a method for regression")),
        }
    }

    /// The values.
    ///
    /// # Errors
    /// [`Error::Argument`] for classes.
    pub fn values(&self) -> Result<&[f32]> {
        match self {
            Self::Values(v) => Ok(v),
            Self::Classes { .. } => Err(Error::argument("this method needs values")
                .got("classes (task: classify)")
                .remedy("choose a method for classification")),
        }
    }
}
