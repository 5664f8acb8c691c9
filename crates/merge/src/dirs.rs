//! Merging model directories into one.

use std::path::Path;

use consilience_core::Result;
use consilience_core::model::{Record, load_parts, save_parts};

use crate::method::MergeMethod;
use crate::parts::merge_parts;

/// Reads the model directories `members` (name, path), merges them and writes `out`, a model directory with `record`.
/// Nothing is written unless the merge succeeds.
///
/// # Errors
/// As [`merge_parts`]; [`Error::Model`](consilience_core::Error::Model) for a damaged directory;
/// [`Error::Write`](consilience_core::Error::Write).
pub fn merge_dirs(
    method: &dyn MergeMethod,
    members: &[(&str, &Path)],
    out: &Path,
    record: &Record,
) -> Result<()> {
    let mut read = Vec::with_capacity(members.len());
    for (name, path) in members {
        let (parts, _) = load_parts(path).map_err(|e| e.at(format!("member \"{name}\"")))?;
        read.push(((*name).to_owned(), parts));
    }
    save_parts(out, &merge_parts(method, &read)?, record)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Linear;
    use consilience_core::model::Parts;
    use serde_json::json;

    #[test]
    fn directories_become_one_directory_or_none() {
        let root = tempfile::tempdir().unwrap();
        let [a, b, c, out] = ["a", "b", "c", "out"].map(|n| root.path().join(n));
        let record = Record {
            card: "# merged\n".into(),
            metrics: json!({}),
            provenance: json!({"merged": ["a", "b"]}),
        };
        let network = |v: f32| Parts::new("network", json!({"hidden": 1})).with_f32("w", &[v, -v]);
        save_parts(&a, &network(1.0), &record).unwrap();
        save_parts(&b, &network(2.0), &record).unwrap();
        save_parts(&c, &network(2.0).with_f32("more", &[0.0]), &record).unwrap();
        let method = Linear::default();
        let error = merge_dirs(&method, &[("a", &a), ("c", &c)], &out, &record).unwrap_err();
        assert!(error.to_string().contains("\"more\""), "{error}");
        assert!(!out.exists());
        assert!(merge_dirs(&method, &[("a", &a), ("no", &root.path().join("no"))], &out, &record).is_err());
        merge_dirs(&method, &[("a", &a), ("b", &b)], &out, &record).unwrap();
        assert_eq!(load_parts(&out).unwrap(), (network(1.5), record));
    }
}
