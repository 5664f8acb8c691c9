//! Predictions and small values as files of a step.

use std::collections::BTreeMap;
use std::path::Path;

use consilience_core::array::Matrix;
use consilience_core::files::write_atomic;
use consilience_core::model::{Array, Mask, Predictions, Task};
use consilience_core::weights::{read_arrays, write_arrays};
use consilience_core::{Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

const FILE: &str = "predictions.safetensors";

/// Writes predictions into a step's folder.
///
/// # Errors
/// [`Error::Write`] naming the file.
pub fn write_predictions(dir: &Path, predictions: &Predictions) -> Result<()> {
    let m = predictions.matrix();
    // Halves of the ids, since the file format here has no 64-bit integers.
    let ids: Vec<u32> = predictions.ids().iter().flat_map(|id| [*id as u32, (*id >> 32) as u32]).collect();
    let absent: Vec<u8> = predictions.absent().marks().iter().map(|b| u8::from(*b)).collect();
    let arrays = BTreeMap::from([
        ("output".to_owned(), Array::F32(m.shape().to_vec(), m.iter().copied().collect())),
        ("ids".to_owned(), Array::U32(vec![predictions.rows(), 2], ids)),
        ("absent".to_owned(), Array::U8(vec![predictions.rows()], absent)),
    ]);
    write_arrays(&dir.join(FILE), &arrays)
}

/// Reads what [`write_predictions`] wrote.
///
/// # Errors
/// [`Error::Model`] if it is damaged.
pub fn read_predictions(dir: &Path, task: &Task) -> Result<Predictions> {
    let path = dir.join(FILE);
    let arrays = read_arrays(&path)?;
    let (Some(Array::F32(shape, output)), Some(Array::U32(_, ids)), Some(Array::U8(_, absent))) =
        (arrays.get("output"), arrays.get("ids"), arrays.get("absent"))
    else {
        return Err(Error::model("the stored predictions lack a part").at(path.display()));
    };
    let (rows, columns) = match shape.as_slice() {
        [r, c] => (*r, *c),
        _ => return Err(Error::model("the stored predictions are no table").at(path.display())),
    };
    let ids = ids.chunks_exact(2).map(|h| u64::from(h[0]) | (u64::from(h[1]) << 32)).collect();
    let mask = Mask::from_marks(absent.iter().map(|b| *b != 0).collect());
    let m = Matrix::from_shape_vec((rows, columns), output.clone())
        .map_err(|e| Error::internal(e.to_string()))?;
    Predictions::for_task(ids, task, m, mask).map_err(|e| e.at(path.display()))
}

/// Writes a value as JSON, atomically, with a line end.
///
/// # Errors
/// [`Error::Write`] naming the file.
pub fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<()> {
    let mut text = serde_json::to_string_pretty(value).map_err(|e| Error::internal(e.to_string()))?;
    text.push('\n');
    write_atomic(path, text.as_bytes())
}

/// Reads a value that [`write_json`] wrote.
///
/// # Errors
/// [`Error::Model`] if it cannot be understood.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::read(path, e))?;
    serde_json::from_str(&text)
        .map_err(|e| Error::model(format!("the file cannot be understood: {e}")).at(path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use consilience_core::model::Classes;

    #[test]
    fn predictions_come_back() {
        let dir = tempfile::tempdir().unwrap();
        let classes = Classes::new(vec!["a".into(), "b".into()]).unwrap();
        let p = Matrix::from_shape_vec((2, 2), vec![0.25, 0.75, 0.0, 0.0]).unwrap();
        let mask = Mask::from_marks(vec![false, true]);
        let before = Predictions::probabilities(vec![u64::MAX, 3], classes.clone(), p, mask).unwrap();
        write_predictions(dir.path(), &before).unwrap();
        let after = read_predictions(dir.path(), &Task::Classify(classes)).unwrap();
        assert_eq!(after.ids(), before.ids());
        assert_eq!(after.absent(), before.absent());
        assert_eq!(after.take(&[0]), before.take(&[0]));
    }
}
