//! `csl export`: what it writes, what it says, what it refuses.

use std::path::PathBuf;

use super::sandbox::{SMALL, Sandbox, two_classes};

/// A run of one member or of the recipe as it is, and where its model lies.
fn fitted(recipe: &str) -> (Sandbox, String) {
    let sandbox = Sandbox::with(&two_classes(), recipe);
    sandbox.csl(&["run", "r.yaml"]).fine();
    let model: PathBuf = sandbox.run("runs").join("model");
    (sandbox, model.to_string_lossy().into_owned())
}

/// [`SMALL`] with one member of a kind.
fn alone(member: &str) -> String {
    let (head, rest) = SMALL.split_once("members:").unwrap();
    let (_, judge) = rest.split_once("judge:").unwrap();
    format!("{head}members:\n  one: {member}\njudge:{judge}")
}

#[test]
fn a_model_is_written_as_onnx_the_same_bytes_each_time() {
    let (sandbox, model) = fitted(SMALL);
    let said = sandbox.csl(&["export", &model, "--onnx", "out/a.onnx"]).fine();
    for part in [
        "input",
        "a ",
        "float64",
        "[rows, 1]",
        "output",
        "probabilities",
        "[rows, 2]",
        "operators",
        "out/a.onnx",
    ] {
        assert!(said.out.contains(part), "\"{part}\" is not in:\n{}", said.out);
    }
    let json = sandbox.csl(&["export", &model, "--onnx", "b.onnx", "--json"]).fine().json();
    let read = |name: &str| std::fs::read(sandbox.path(name)).unwrap();
    let bytes = read("b.onnx");
    assert_eq!(bytes, read("out/a.onnx"));
    assert_eq!(json["onnx"]["graph"]["bytes"], bytes.len());
    assert_eq!(json["onnx"]["graph"]["outputs"][0]["element"], "float32");
    // Classes in order, in the metadata.
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.contains("[\"p\",\"q\"]") && text.contains("consilience") && text.contains("small"));
    sandbox.nothing_half_written();
}

#[test]
fn a_network_gives_its_arrays_under_our_names_and_under_those_of_torch() {
    let (sandbox, model) = fitted(&alone("{fit: mlp, on: [table], hidden: [4, 3], epochs: 1, inner: 0}"));
    let names = |more: &[&str]| {
        let file = ["export", &model, "--safetensors", "w.safetensors", "--json"];
        let json = sandbox.csl(&[&file[..], more].concat()).fine().json();
        json["safetensors"]["tensors"]["arrays"].as_object().unwrap().keys().cloned().collect::<Vec<_>>()
    };
    let ends = ["dense1.bias", "dense1.weight", "dense2.bias", "dense2.weight"];
    let head = ["head.bias", "head.weight"].map(str::to_owned);
    assert_eq!(names(&[]), [&ends.map(|e| format!("encoders.table.{e}"))[..], &head].concat());
    assert_eq!(names(&["--torch-names"]), [&ends.map(str::to_owned)[..], &head].concat());
    let written = consilience_core::weights::read_arrays(&sandbox.path("w.safetensors")).unwrap();
    assert_eq!(written["dense2.weight"].shape(), [3, 4]);
    sandbox.csl(&["export", &model, "--onnx", "m.onnx", "--safetensors", "w.safetensors"]).fine();
    sandbox.nothing_half_written();
}

#[test]
fn what_cannot_be_written_is_refused_and_nothing_is_left() {
    let (sandbox, model) = fitted(&alone("{fit: knn, on: [table], k: 3}"));
    let export = |more: &[&str]| sandbox.csl(&[&["export", &model], more].concat());
    export(&["--onnx", "m.onnx"]).fails(3, &["the learner \"knn\" cannot be written as ONNX", "help"]);
    export(&["--safetensors", "m.safetensors"]).fails(3, &["kind \"tabular\"", "a network", "--onnx"]);
    export(&[]).fails(2, &["--onnx <FILE>", "--safetensors <FILE>"]);
    export(&["--onnx", "m.onnx", "--torch-names"]).fails(2, &["--safetensors <FILE>"]);
    sandbox.csl(&["export", "nowhere", "--onnx", "m.onnx"]).fails(3, &["nowhere"]);
    assert!(!sandbox.path("m.onnx").exists() && !sandbox.path("m.safetensors").exists());
    sandbox.nothing_half_written();
}
