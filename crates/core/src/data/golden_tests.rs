//! Files as the peers write them (numpy, wave, Pillow, pyarrow); see `testdata/gen/data.py`.

use std::path::PathBuf;

use serde_json::Value;

use super::read::{read_idx, read_npy, read_npz};

pub(crate) fn golden() -> Value {
    serde_json::from_str(include_str!("../../../../testdata/golden/data.json")).unwrap()
}

fn bytes(file: &Value) -> Vec<u8> {
    let hex = file["hex"].as_str().unwrap().as_bytes();
    hex.chunks(2).map(|p| u8::from_str_radix(std::str::from_utf8(p).unwrap(), 16).unwrap()).collect()
}

fn floats(values: &Value) -> Vec<f64> {
    values.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

fn saved(dir: &tempfile::TempDir, name: &str, file: &Value) -> PathBuf {
    let path = dir.path().join(name);
    std::fs::write(&path, bytes(file)).unwrap();
    path
}

#[test]
fn arrays_of_numpy_are_read() {
    let golden = golden();
    let dir = tempfile::tempdir().unwrap();
    let files = golden["npy"].as_array().unwrap();
    assert_eq!(files.len(), 18);
    for file in files {
        let array = read_npy(&saved(&dir, "a.npy", file)).unwrap();
        assert_eq!(
            (array.shape.as_slice(), array.to_f64()),
            (&[2, 3][..], floats(&file["values"])),
            "{file}"
        );
    }
    let npz = &golden["npz"];
    let arrays = read_npz(&saved(&dir, "a.npz", npz), &["a", "y"]).unwrap();
    assert_eq!((arrays["a"].to_f64(), arrays["y"].to_f64()), (floats(&npz["a"]), floats(&npz["y"])));
    let idx = &golden["idx"];
    assert_eq!(read_idx(&saved(&dir, "a.gz", idx)).unwrap().to_f64(), floats(&idx["values"]));
}

#[cfg(feature = "audio")]
#[test]
fn sounds_of_wave_are_read() {
    for file in golden()["wav"].as_array().unwrap() {
        let sound = super::read::decode_wav(&bytes(file), "a.wav").unwrap();
        assert_eq!(sound.rate, 8000);
        let expected = floats(&file["values"]);
        assert_eq!(sound.samples.len(), expected.len());
        for (a, b) in sound.samples.iter().zip(expected) {
            // Rounded to 32 bits, before and after the mean of two channels.
            assert!((f64::from(*a) - b).abs() <= 1.2e-7, "{file}: {a} is not {b}");
        }
    }
}

#[cfg(feature = "image")]
#[test]
fn images_of_pillow_are_read() {
    for file in golden()["image"].as_array().unwrap() {
        let (shape, pixels) = super::read::decode_image(&bytes(file), "a.png").unwrap();
        let expected: Vec<f64> = floats(&file["pixels"]);
        assert_eq!(shape.map(|d| d as f64).to_vec(), floats(&file["shape"]), "{}", file["name"]);
        assert_eq!(pixels.into_iter().map(f64::from).collect::<Vec<_>>(), expected, "{}", file["name"]);
    }
}

#[cfg(feature = "parquet")]
#[test]
fn tables_of_pyarrow_are_read() {
    let golden = golden();
    let dir = tempfile::tempdir().unwrap();
    let path = saved(&dir, "t.parquet", &golden["parquet"]);
    let (table, _) = super::read::read_parquet(&path, "t.parquet").unwrap();
    for (name, texts) in golden["parquet"]["texts"].as_object().unwrap() {
        let column = table.column(name).unwrap();
        let read: Vec<Value> = (0..3).map(|r| column.cells.text(r).into_owned().into()).collect();
        assert_eq!(Value::from(read), *texts, "{name}");
    }
}
