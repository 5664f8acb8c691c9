//! What a batch holds: fields with a name, a kind and, where it is known, a shape.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::registry::nearest;

/// What a column holds.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A number a row; may be missing.
    Number,
    /// One of a set of levels; may be missing.
    Category,
    /// Text; may be absent.
    Text,
    /// An image of bytes, height x width x channels; may be absent.
    Image,
    /// A sound: samples in [-1, 1] at a rate in Hz; may be absent.
    Audio,
    /// Numbers of one fixed shape a row; may be absent.
    Vector,
    /// Steps of one width, any number a row; may be absent.
    Sequence,
}

impl Kind {
    /// The name in recipes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Category => "category",
            Self::Text => "text",
            Self::Image => "image",
            Self::Audio => "audio",
            Self::Vector => "vector",
            Self::Sequence => "sequence",
        }
    }

    /// Whether it is part of a table (a number or category) and not a modality of its own.
    pub fn is_tabular(self) -> bool {
        matches!(self, Self::Number | Self::Category)
    }
}

/// One input column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// The column's name.
    pub name: String,
    /// What it holds.
    pub kind: Kind,
    /// Vector: the shape of a row (`[features]`, `[channels, height, width]`). Sequence: `[width of a step]`.
    /// Image: `[height, width, channels]` where every image has it. Otherwise empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shape: Vec<usize>,
    /// Category: the levels that were declared or seen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub levels: Vec<String>,
    /// Sequence: the most steps of any row of the data that were opened; 0 where that is not known.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub longest: usize,
    /// Sequence: the names of the values of a step, where the files name them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub channels: Vec<String>,
    /// Vector of token numbers: how many different ones there are, zero among them, which stands for none; 0 elsewhere.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub words: usize,
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl Field {
    /// A field without shape, levels or channels.
    pub fn new(name: impl Into<String>, kind: Kind) -> Self {
        Self {
            name: name.into(),
            kind,
            shape: Vec::new(),
            levels: Vec::new(),
            longest: 0,
            channels: Vec::new(),
            words: 0,
        }
    }

    /// A vector field of a shape.
    pub fn vector(name: impl Into<String>, shape: Vec<usize>) -> Self {
        Self { shape, ..Self::new(name, Kind::Vector) }
    }
}

/// The input columns of a source, a batch or a model, in order. Roles (target, group, ...) are not among them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Schema {
    /// The fields.
    pub fields: Vec<Field>,
}

impl Schema {
    /// The field `name`.
    ///
    /// # Errors
    /// [`Error::Data`] with the nearest known name.
    pub fn field(&self, name: &str) -> Result<&Field> {
        self.fields.iter().find(|f| f.name == name).ok_or_else(|| {
            let known: Vec<&str> = self.fields.iter().map(|f| f.name.as_str()).collect();
            let error = Error::data(format!("there is no column \"{name}\""))
                .expected(format!("one of {}", known.join(", ")));
            match nearest(name, known) {
                Some(near) => error.remedy(format!("did you mean \"{near}\"?")),
                None => error,
            }
        })
    }

    /// The fields named, in that order.
    ///
    /// # Errors
    /// As [`Schema::field`].
    pub fn select<S: AsRef<str>>(&self, names: &[S]) -> Result<Self> {
        let fields: Result<Vec<Field>> = names.iter().map(|n| self.field(n.as_ref()).cloned()).collect();
        Ok(Self { fields: fields? })
    }

    /// The names, in order.
    pub fn names(&self) -> Vec<&str> {
        self.fields.iter().map(|f| f.name.as_str()).collect()
    }
}
