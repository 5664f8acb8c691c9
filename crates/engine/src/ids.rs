//! The ids of rows as their data write them.

use std::sync::Arc;

use consilience_core::data::{DataSpec, Dataset, Role};

/// The text of every row's id, where the data have a column of role id whose cells are not all whole numbers. Whole
/// numbers are the ids of the rows themselves; other texts are hashed within, and nobody outside should see that.
pub(crate) fn id_texts(data: &Dataset, spec: &DataSpec) -> Option<Arc<Vec<String>>> {
    let (name, _) = spec.columns.iter().find(|(_, c)| c.role == Some(Role::Id))?;
    let cells = data.roles.cells.get(name)?;
    let plain = cells.iter().all(|c| c.parse::<u64>().is_ok_and(|n| n.to_string() == **c));
    (!plain).then(|| Arc::clone(cells))
}
