//! A checkpoint fits the tensors that are wanted whole, or not at all.

use std::collections::BTreeMap;
use std::path::Path;

use consilience_core::model::Array;
use consilience_core::weights::{Checkpoint, check_finite, matching, write_arrays};

use crate::checkpoints::golden;

const COUNTS: &[&str] = &["*.num_batches_tracked"];

fn wanted() -> BTreeMap<String, Vec<usize>> {
    [
        ("conv1.weight", &[2, 1, 3, 3][..]),
        ("bn1.weight", &[2]),
        ("bn1.bias", &[2]),
        ("bn1.running_mean", &[2]),
        ("bn1.running_var", &[2]),
        ("layer1.0.downsample.0.weight", &[3, 2, 1, 1]),
        ("fc.weight", &[2, 3]),
        ("fc.bias", &[2]),
    ]
    .map(|(name, shape)| (name.to_owned(), shape.to_vec()))
    .into()
}

fn write(path: &Path, names: &[&str]) -> Checkpoint {
    let arrays = names.iter().map(|n| ((*n).to_owned(), Array::F32(vec![1], vec![1.0]))).collect();
    write_arrays(path, &arrays).unwrap();
    Checkpoint::open(path).unwrap()
}

#[test]
fn every_way_to_store_a_network_gives_the_same_arrays() {
    let whole = matching(&Checkpoint::open(&golden("state.pth")).unwrap(), &wanted(), COUNTS).unwrap();
    assert_eq!(whole.len(), 8);
    check_finite(&whole).unwrap();
    for file in ["old.pth", "training.pth", "model.safetensors.index.json"] {
        let checkpoint = Checkpoint::open(&golden(file)).unwrap();
        assert_eq!(matching(&checkpoint, &wanted(), COUNTS).unwrap(), whole, "{file}");
    }
}

#[test]
fn one_error_tells_everything_that_does_not_fit() {
    let checkpoint = Checkpoint::open(&golden("state.pth")).unwrap();
    let error = |wanted: &BTreeMap<String, Vec<usize>>, ignore: &[&str]| {
        matching(&checkpoint, wanted, ignore).unwrap_err().to_string()
    };
    let unknown = error(&wanted(), &[]);
    assert!(unknown.contains("1 tensor is unknown: bn1.num_batches_tracked"), "{unknown}");

    let mut other = wanted();
    other.insert("fc.weight".to_owned(), vec![10, 3]);
    let shape = error(&other, COUNTS);
    assert!(shape.contains("\"fc.weight\" has another shape (expected [10, 3], got [2, 3])"), "{shape}");
    other.remove("bn1.bias");
    other.insert("fc2.bias".to_owned(), vec![1]);
    let all = error(&other, COUNTS);
    for told in ["\"fc.weight\"", "1 tensor is missing: fc2.bias", "1 tensor is unknown: bn1.bias"] {
        assert!(all.contains(told), "{told}: {all}");
    }

    let mut headless = wanted();
    headless.retain(|name, _| !name.starts_with("fc."));
    assert_eq!(matching(&checkpoint, &headless, &["*.num_batches_tracked", "fc.*"]).unwrap().len(), 6);
    for i in 0..100 {
        headless.insert(format!("block{i}.weight"), vec![1]);
    }
    let many = error(&headless, &["*"]);
    assert!(
        many.contains("100 tensors are missing: block0.weight") && many.contains("and 95 more"),
        "{many}"
    );
}

#[test]
fn wrappers_are_taken_off_where_all_names_have_them() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.safetensors");
    let wanted = |name: &str| BTreeMap::from([(name.to_owned(), vec![1])]);
    let fits = |names: &[&str], want: &str, ignore: &[&str]| {
        matching(&write(&path, names), &wanted(want), ignore)
            .map(|found| found.into_keys().collect::<Vec<_>>())
    };
    assert_eq!(fits(&["module.model.a"], "a", &[]).unwrap(), ["a"]);
    assert_eq!(fits(&["model.a"], "model.a", &[]).unwrap(), ["model.a"]);
    assert_eq!(fits(&["module.model.a"], "model.a", &[]).unwrap(), ["model.a"]);
    assert_eq!(fits(&["backbone.a", "head.b"], "a", &["head.*"]).unwrap(), ["a"]);
    assert_eq!(fits(&["backbone.a", "backbone.head.b"], "a", &["head.*"]).unwrap(), ["a"]);
    let error = fits(&["backbone.a", "head.b"], "a", &[]).unwrap_err().to_string();
    assert!(error.contains("1 tensor is missing: a; 2 tensors are unknown: backbone.a, head.b"), "{error}");
    assert!(fits(&["a", "bc", "bxcx"], "a", &["b*c"]).unwrap_err().to_string().contains("unknown: bxcx"));
    assert!(fits(&["a", "b"], "a", &["bb", "*bb", "b*b"]).is_err());
}

#[test]
fn what_is_not_finite_is_named() {
    let arrays = |bad: f32| {
        BTreeMap::from([
            ("a".to_owned(), Array::F32(vec![2], vec![0.0, 1.0])),
            ("b".to_owned(), Array::F32(vec![2], vec![bad, 1.0])),
        ])
    };
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let error = check_finite(&arrays(bad)).unwrap_err();
        assert!(error.to_string().contains("\"b\" holds numbers that are not finite"), "{error}");
        assert_eq!(error.exit_code(), 3);
    }
    check_finite(&arrays(0.5)).unwrap();
}
