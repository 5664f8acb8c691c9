//! Where a model comes from, as `provenance.json` says it, and from which rows it has learned.

use std::collections::BTreeSet;

use consilience_core::data::Dataset;
use consilience_core::model::Task;
use serde_json::{Value, json};

use super::session::Session;

/// The rows from which a model has learned, by their digests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Learned {
    pub digests: BTreeSet<u64>,
    /// Whether these are all of them.
    pub complete: bool,
}

impl Learned {
    /// Exactly these rows of the data.
    pub fn rows(data: &Dataset, rows: &[usize]) -> Self {
        let digests = rows.iter().filter_map(|r| data.digests.get(*r)).copied().collect();
        Self { digests, complete: true }
    }

    /// Nobody knows.
    pub fn unknown() -> Self {
        Self { digests: BTreeSet::new(), complete: false }
    }

    /// The rows of both.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        self.digests.extend(&other.digests);
        self.complete &= other.complete;
        self
    }

    /// What a provenance says, as far as its digests were made like those of the data at hand.
    pub fn read(provenance: &Value, digested: &Value) -> Self {
        if provenance.get("digested") != Some(digested) {
            return Self::unknown();
        }
        match digests(provenance) {
            Some(digests) => {
                let complete = provenance.get("fitting_rows_known").and_then(Value::as_bool).unwrap_or(false);
                Self { digests, complete }
            }
            None => Self::unknown(),
        }
    }

    /// How many of some rows are among them.
    pub fn overlap(&self, data: &Dataset, rows: &[usize]) -> usize {
        rows.iter().filter(|r| data.digests.get(**r).is_some_and(|d| self.digests.contains(d))).count()
    }
}

/// Of what digests of rows are made: columns with their kinds, and the task. Digests of other columns never agree, and
/// say nothing about whether rows are the same.
pub(crate) fn digested(data: &Dataset, task: &Task) -> Value {
    let mut columns: Vec<(&str, &str)> =
        data.source.schema().fields.iter().map(|f| (f.name.as_str(), f.kind.name())).collect();
    columns.sort_unstable();
    json!({"columns": columns, "target": if task.classes().is_some() { "classes" } else { "values" }})
}

/// The provenance of what this run exports.
pub(crate) fn provenance(session: &Session<'_>, name: &str, learned: &Learned) -> Value {
    let hex: String = learned.digests.iter().map(|d| format!("{d:016x}")).collect();
    json!({
        "recipe": session.recipe.name,
        "candidate": name,
        "seed": session.recipe.seed,
        "data": session.recipe.data,
        "data_sha256": session.data.content,
        "device": crate::device::name(),
        "instruction_set": crate::store::instruction_set(),
        "fitting_rows": learned.digests.len(),
        "fitting_rows_known": learned.complete,
        "fitting_row_digests": hex,
        "digested": digested(session.data, &session.task),
    })
}

fn digests(provenance: &Value) -> Option<BTreeSet<u64>> {
    let hex = provenance.get("fitting_row_digests")?.as_str()?;
    if !hex.is_ascii() || hex.len() % 16 != 0 {
        return None;
    }
    (0..hex.len() / 16).map(|i| u64::from_str_radix(hex.get(i * 16..i * 16 + 16)?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_come_back_and_damage_or_other_columns_are_unknown() {
        let how = json!({"columns": [["x", "number"]], "target": "classes"});
        let said = |hex: &str, known: bool| json!({"fitting_row_digests": hex, "fitting_rows_known": known, "digested": how});
        let hex = format!("{:016x}{:016x}", 9, 3);
        let read = Learned::read(&said(&hex, true), &how);
        assert_eq!((read.digests.iter().copied().collect::<Vec<_>>(), read.complete), (vec![3, 9], true));
        assert!(!Learned::read(&said(&hex, false), &how).complete);
        assert_eq!(Learned::read(&said("zz", true), &how), Learned::unknown());
        assert_eq!(Learned::read(&said(&hex, true), &json!({"columns": []})), Learned::unknown());
        assert_eq!(Learned::read(&json!({}), &how), Learned::unknown());
        let both = read.and(&Learned { digests: BTreeSet::from([1, 9]), complete: false });
        assert_eq!((both.digests.len(), both.complete), (3, false));
    }
}
