//! Settings of columns that cannot go together: nothing that a recipe says is silently without effect.

use super::spec::{ColumnSpec, DataSpec, PerValue};
use crate::error::{Error, Result};
use crate::model::Kind;

/// Checks what types cannot say about the map `data:`.
///
/// # Errors
/// [`Error::Argument`] naming the column and the setting.
pub(crate) fn check_spec(spec: &DataSpec) -> Result<()> {
    for (name, column) in &spec.columns {
        check_column(column).map_err(|e| e.at(format!("column \"{name}\"")))?;
    }
    Ok(())
}

fn check_column(c: &ColumnSpec) -> Result<()> {
    let arrays = c.idx.is_some() || c.npy.is_some();
    let no_effect = |setting: &str, needs: &str| {
        Err(Error::argument(format!("\"{setting}\" has no effect here"))
            .expected(needs)
            .remedy(format!("remove {setting}, or add what it needs")))
    };
    let places = [arrays, c.path.is_some(), !c.columns.is_empty(), c.from.is_some()];
    if places.iter().filter(|p| **p).count() > 1 {
        return Err(Error::argument("the column stands in more than one place")
            .expected("one of idx or npy, path, columns, from"));
    }
    let several = [&c.idx, &c.npy].into_iter().flatten().any(|f| matches!(f, PerValue::Map(_)));
    if c.by.is_some() && !several {
        return no_effect("by", "idx or npy with a file for each value");
    }
    if c.index.is_some() && !arrays {
        return no_effect("index", "idx or npy");
    }
    let is = |kinds: &[Kind]| c.kind.is_none_or(|k| kinds.contains(&k));
    if !c.columns.is_empty() && !is(&[Kind::Vector]) {
        return no_effect("columns", "type: vector");
    }
    if c.path.is_some() && !is(&[Kind::Image, Kind::Audio, Kind::Text, Kind::Sequence]) {
        return no_effect("path", "type: image, audio, text or sequence");
    }
    if c.path.is_some() && !c.shape.is_empty() {
        return no_effect("shape", "idx, npy or columns");
    }
    if c.path.is_some() && c.scale.is_some() {
        return no_effect("scale", "npy, or the array of an npz file");
    }
    if c.rate.is_some() && c.kind != Some(Kind::Audio) {
        return no_effect("rate", "type: audio");
    }
    if !c.shape.is_empty() && !is(&[Kind::Vector, Kind::Image, Kind::Sequence]) {
        return no_effect("shape", "type: vector, image or sequence");
    }
    if c.shape.contains(&0) {
        return Err(Error::argument("shape has an empty axis").got(format!("{:?}", c.shape)));
    }
    if c.scale.is_some() && !is(&[Kind::Vector, Kind::Sequence, Kind::Audio]) {
        return no_effect("scale", "type: vector, sequence or audio");
    }
    if !c.levels.is_empty() && !is(&[Kind::Category]) {
        return no_effect("levels", "type: category, or role: target");
    }
    if let Some(twice) =
        c.levels.iter().enumerate().find(|(i, l)| c.levels.iter().skip(i + 1).any(|m| m == *l))
    {
        return Err(Error::argument(format!("the level \"{}\" is named twice", twice.1)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_without_effect_are_refused() {
        let fine: ColumnSpec = serde_json::from_value(serde_json::json!({
            "type": "image", "idx": {"train": "a", "test": "b"}, "by": "split", "index": "row"
        }))
        .unwrap();
        assert!(check_column(&fine).is_ok());
        for bad in [
            serde_json::json!({"type": "number", "rate": 8000}),
            serde_json::json!({"type": "number", "scale": 2.0}),
            serde_json::json!({"type": "image", "path": "a", "idx": "b"}),
            serde_json::json!({"type": "image", "path": "a", "index": "b"}),
            serde_json::json!({"type": "sequence", "path": "a", "shape": [2]}),
            serde_json::json!({"type": "audio", "path": "a", "scale": 0.5}),
            serde_json::json!({"type": "number", "path": "a"}),
            serde_json::json!({"type": "vector", "npy": "a", "by": "b"}),
            serde_json::json!({"type": "image", "columns": ["a"]}),
            serde_json::json!({"type": "vector", "npy": "a", "shape": [0]}),
            serde_json::json!({"type": "text", "levels": ["a"]}),
            serde_json::json!({"levels": ["a", "a"]}),
        ] {
            let column: ColumnSpec = serde_json::from_value(bad.clone()).unwrap();
            assert_eq!(check_column(&column).unwrap_err().exit_code(), 2, "{bad}");
        }
    }
}
