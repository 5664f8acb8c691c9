//! Where a model comes from, as `provenance.json` says it.

use serde_json::{Value, json};

use super::session::Session;

/// The provenance of what this run exports.
pub(crate) fn provenance(session: &Session<'_>, name: &str, rows: &[usize]) -> Value {
    let mut digests: Vec<u64> = rows.iter().map(|r| session.data.digests[*r]).collect();
    digests.sort_unstable();
    digests.dedup();
    let hex: String = digests.iter().map(|d| format!("{d:016x}")).collect();
    json!({
        "recipe": session.recipe.name,
        "candidate": name,
        "seed": session.recipe.seed,
        "data": session.recipe.data,
        "data_sha256": session.data.content,
        "instruction_set": crate::store::instruction_set(),
        "fitting_rows": digests.len(),
        "fitting_row_digests": hex,
    })
}

/// The digests of the rows that a model was fitted on, sorted; `None` where its provenance does not say.
pub(crate) fn digests(provenance: &Value) -> Option<Vec<u64>> {
    let hex = provenance.get("fitting_row_digests")?.as_str()?;
    if !hex.is_ascii() || hex.len() % 16 != 0 {
        return None;
    }
    let parsed: Option<Vec<u64>> =
        (0..hex.len() / 16).map(|i| u64::from_str_radix(hex.get(i * 16..i * 16 + 16)?, 16).ok()).collect();
    parsed.map(|mut d| {
        d.sort_unstable();
        d
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_come_back_sorted_and_damage_is_unknown() {
        let p = json!({"fitting_row_digests": format!("{:016x}{:016x}", 9, 3)});
        assert_eq!(digests(&p), Some(vec![3, 9]));
        assert_eq!(digests(&json!({"fitting_row_digests": "zz"})), None);
        assert_eq!(digests(&json!({})), None);
    }
}
