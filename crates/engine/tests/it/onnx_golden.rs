//! Models of scikit-learn and PyTorch against what ONNX Runtime says of the same rows.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;

use consilience_core::model::Parts;
use consilience_engine::foreign::{Data, Given, Package, Port, Rows, Session, VARIABLE, runtime};

fn golden() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/golden/onnx"))
}

fn json(name: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(golden().join(name)).unwrap()).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(items) => items.iter().flat_map(numbers).collect(),
        Value::Null => vec![f64::NAN],
        other => vec![other.as_f64().unwrap()],
    }
}

fn near(got: &Given, expected: &Value, tolerance: f64) {
    let expected = numbers(expected);
    assert_eq!(got.data.len(), expected.len());
    for (a, b) in got.data.iter().zip(&expected) {
        assert!((f64::from(*a) - b).abs() < tolerance, "{a} {b}");
    }
}

#[test]
fn scikit_learn_models_say_what_they_say_elsewhere() {
    let golden_values = json("sklearn.json");
    for (name, model) in golden_values["models"].as_object().unwrap() {
        let package = Package::read(&golden().join(format!("{name}.onnx"))).unwrap();
        if name == "columns" {
            // One input a column, one of them of texts, which only ONNX Runtime knows.
            if !runtime().is_built_in() {
                let rows = numbers(&golden_values["rows"]).iter().step_by(3).map(|v| *v as f32).collect();
                let parts = (560..580).map(|r| ["x", "y", "z"][r % 3].to_owned()).collect();
                let input = |name: &str, data| Rows { name: name.into(), shape: vec![1], data };
                let inputs = [input("a", Data::F32(rows)), input("part", Data::Text(parts))];
                let session = Session::open(&package, "probabilities").unwrap();
                near(&session.run(20, &inputs).unwrap(), &model["given"], 2e-6);
            }
            continue;
        }
        if name == "logistic_zipmap" {
            continue;
        }
        let rows = numbers(&golden_values[if name == "imputed" { "gaps" } else { "rows" }]);
        let data = match name.as_str() {
            "logistic_double" => Data::F64(rows),
            _ => Data::F32(rows.iter().map(|v| *v as f32).collect()),
        };
        let input = Rows { name: "X".into(), shape: vec![3], data };
        let session = Session::open(&package, model["output"].as_str().unwrap()).unwrap();
        let given = session.run(20, &[input]).unwrap_or_else(|e| panic!("{name}: {e}"));
        // Sums of 32-bit floats in another order.
        near(&given, &model["given"], 2e-6);
    }
}

#[test]
fn an_operator_that_is_not_known_is_named() {
    if !runtime().is_built_in() {
        return;
    }
    let package = Package::read(&golden().join("columns.onnx")).unwrap();
    let error = Session::open(&package, "probabilities").unwrap_err();
    assert!(error.to_string().contains("OneHotEncoder") && error.to_string().contains(VARIABLE), "{error}");
    assert_eq!(error.exit_code(), 3);
}

#[test]
fn networks_say_what_they_say_elsewhere_with_numbers_beside_the_file_too() {
    let expected = json("torch.json");
    let pixels: Vec<f32> =
        numbers(&expected["bytes"]).iter().map(|v| ((v / 255.0 - 0.3) / 0.35) as f32).collect();
    let cnn = golden().join("../../../recipes/onnx/digits_cnn.onnx");
    for (path, output, key) in
        [(cnn, "logits", "logits"), (golden().join("encoder.onnx"), "features", "features")]
    {
        let package = Package::read(&path).unwrap();
        let session = Session::open(&package, output).unwrap();
        let input = Rows { name: "image".into(), shape: vec![1, 8, 8], data: Data::F32(pixels.clone()) };
        near(&session.run(3, std::slice::from_ref(&input)).unwrap(), &expected[key], 1e-4);
        let many =
            Rows { data: Data::F32(pixels.iter().cycle().take(64 * 3000).copied().collect()), ..input };
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| session.run(3000, std::slice::from_ref(&many)).unwrap())
        };
        assert_eq!(run(1), run(2), "{key}");
    }
}

#[test]
fn a_model_is_the_same_after_it_was_saved() {
    let package = Package::read(&golden().join("encoder.onnx")).unwrap();
    assert_eq!(package.external.keys().collect::<Vec<_>>(), ["encoder.onnx.data"]);
    let parts = package.save(Parts::new("onnx", Value::Null));
    let loaded = Package::load(&parts).unwrap();
    assert_eq!(loaded.hashes(), package.hashes());
    let mut less = parts.clone();
    less.files.remove("encoder.onnx.data");
    assert_eq!(Package::load(&less).unwrap_err().exit_code(), 3);
    let mut short = parts;
    short.files.insert("encoder.onnx.data".into(), Arc::from(&b"short"[..]));
    assert!(Package::load(&short).unwrap_err().to_string().contains("cut off"));
}

#[test]
fn numbers_outside_the_folder_are_never_read() {
    let dir = tempfile::tempdir().unwrap();
    let inner = dir.path().join("inner");
    std::fs::create_dir(&inner).unwrap();
    let good = std::fs::read(golden().join("encoder.onnx")).unwrap();
    // Names of the same length, so that the message stays whole.
    for (name, means) in
        [("../encoder.data42", "outside"), ("/far/encoder.data", "outside"), ("encoder.onnx.dat4", "missing")]
    {
        let bad = replaced(&good, b"encoder.onnx.data", name.as_bytes());
        std::fs::write(inner.join("m.onnx"), bad).unwrap();
        let error = Package::read(&inner.join("m.onnx")).unwrap_err();
        assert!(error.to_string().contains(means) && error.exit_code() == 3, "{error}");
    }
    #[cfg(unix)]
    {
        std::fs::write(dir.path().join("secret"), [0; 8192]).unwrap();
        std::os::unix::fs::symlink(dir.path().join("secret"), inner.join("encoder.onnx.data")).unwrap();
        std::fs::write(inner.join("m.onnx"), &good).unwrap();
        let error = Package::read(&inner.join("m.onnx")).unwrap_err();
        assert!(error.to_string().contains("outside"), "{error}");
    }
}

fn replaced(bytes: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    assert_eq!(old.len(), new.len());
    let mut out = bytes.to_vec();
    let mut found = 0;
    while let Some(at) = out.windows(old.len()).position(|w| w == old) {
        out[at..at + old.len()].copy_from_slice(new);
        found += 1;
    }
    assert!(found > 0);
    out
}

#[test]
fn a_file_says_what_it_takes_and_gives() {
    let package = Package::read(&golden().join("logistic_zipmap.onnx")).unwrap();
    let said = |ports: &[Port]| ports.iter().map(Port::describe).collect::<Vec<_>>();
    assert_eq!(said(&package.signature.inputs), ["X: float [?, 3]"]);
    assert_eq!(
        said(&package.signature.outputs),
        ["output_label: string [?]", "output_probability: a sequence"]
    );
    assert!(package.signature.operators.contains("ai.onnx.ml/ZipMap"));
}
