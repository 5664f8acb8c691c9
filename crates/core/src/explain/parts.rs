//! Parts of the input: single columns, or the columns that make up a modality.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::model::{Model, Schema};

/// A name for some columns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// What it is called in a report.
    pub name: String,
    /// The columns.
    pub columns: Vec<String>,
}

impl Part {
    /// A part of some columns.
    pub fn new(name: impl Into<String>, columns: &[&str]) -> Self {
        Self { name: name.into(), columns: columns.iter().map(|c| (*c).to_owned()).collect() }
    }

    /// Every column on its own, in the order of the schema.
    pub fn columns_of(schema: &Schema) -> Vec<Self> {
        schema.fields.iter().map(|f| Self::new(f.name.clone(), &[&f.name])).collect()
    }

    /// The modalities, in the order of the schema: numbers and categories together are one, "table"; every other column
    /// is one of its own.
    pub fn modalities_of(schema: &Schema) -> Vec<Self> {
        let mut parts: Vec<Self> = Vec::new();
        let mut table: Option<usize> = None;
        for field in &schema.fields {
            match table.and_then(|t| parts.get_mut(t)) {
                Some(part) if field.kind.is_tabular() => part.columns.push(field.name.clone()),
                _ if field.kind.is_tabular() => {
                    table = Some(parts.len());
                    parts.push(Self::new("table", &[&field.name]));
                }
                _ => parts.push(Self::new(field.name.clone(), &[&field.name])),
            }
        }
        parts
    }
}

/// Checks that there are parts, each with columns that the model reads.
///
/// # Errors
/// [`Error::Argument`] if not; [`Error::Data`] with the nearest name for a column that the model does not read.
pub(super) fn check(parts: &[Part], model: &dyn Model) -> Result<()> {
    if parts.is_empty() {
        return Err(Error::argument("there is no part of the input to look at"));
    }
    for part in parts {
        if part.columns.is_empty() {
            return Err(Error::argument("a part of the input has no columns").at(&part.name));
        }
        model.schema().select(&part.columns).map_err(|e| e.at(&part.name))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Field, Kind};

    #[test]
    fn numbers_and_categories_are_one_modality() {
        let fields = [("a", Kind::Number), ("i", Kind::Image), ("b", Kind::Category), ("t", Kind::Text)];
        let schema = Schema { fields: fields.iter().map(|(n, k)| Field::new(*n, *k)).collect() };
        let want = [Part::new("table", &["a", "b"]), Part::new("i", &["i"]), Part::new("t", &["t"])];
        assert_eq!(Part::modalities_of(&schema), want);
        assert_eq!(Part::columns_of(&schema).len(), 4);
    }
}
