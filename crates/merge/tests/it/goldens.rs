//! Every method gives what mergekit gives (`testdata/gen/merge.py`), tensor by tensor, to rounding in 32 bits.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Mutex;

use consilience_core::seed::Seed;
use consilience_core::weights::Checkpoint;
use consilience_merge::{Held, METHODS, merge_held};
use serde_json::Value;

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testdata/golden/merge").join(name)
}

fn cases() -> Vec<Value> {
    serde_json::from_slice(&std::fs::read(golden("cases.json")).unwrap()).unwrap()
}

/// The length of the difference by the length of what was expected.
fn relative(got: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(got.len(), expected.len());
    let square = |v: f64| v * v;
    let apart: f64 = got.iter().zip(expected).map(|(g, e)| square(f64::from(*g) - f64::from(*e))).sum();
    let length: f64 = expected.iter().map(|e| square(f64::from(*e))).sum();
    (apart / length).sqrt()
}

#[test]
fn methods_give_what_mergekit_gives() {
    let models: BTreeMap<&str, Checkpoint> = ["base", "ft1", "ft2", "ft3"]
        .map(|m| (m, Checkpoint::open(&golden(&format!("members/{m}/model.safetensors"))).unwrap()))
        .into();
    let mut tested = BTreeSet::new();
    for case in cases().iter().filter(|c| c["plain"] == true) {
        let name = case["name"].as_str().unwrap();
        // The cases of methods that are not registered are left out.
        let Ok(entry) = METHODS.get(case["method"].as_str().unwrap()) else { continue };
        let method = (entry.build)(&case["parameters"]).unwrap_or_else(|e| panic!("{name}: {e}"));
        let labels: Vec<&str> =
            case["members"].as_array().unwrap().iter().map(|m| m.as_str().unwrap()).collect();
        let expected = Checkpoint::open(&golden(&format!("{name}.safetensors"))).unwrap();
        let worst = |compat| {
            let mut worst = (0.0, String::new());
            for tensor in expected.tensors() {
                let read = |model: &str| models[model].read_f32(tensor.name()).unwrap();
                let members: Vec<Vec<f32>> = labels.iter().map(|m| read(m)).collect();
                let members: Vec<&[f32]> = members.iter().map(Vec::as_slice).collect();
                let base = case["base"].as_str().map(read);
                let held = Held {
                    name: tensor.name(),
                    shape: tensor.shape(),
                    labels: &labels,
                    members: &members,
                    base: base.as_deref(),
                    seed: Seed::new(1),
                    compat,
                };
                let merged = merge_held(method.as_ref(), &held, &Mutex::new(Vec::new()))
                    .unwrap_or_else(|e| panic!("{name}: {e}"));
                let apart = relative(&merged, &expected.read_f32(tensor.name()).unwrap());
                if apart >= worst.0 {
                    worst = (apart, tensor.name().to_owned());
                }
            }
            worst
        };
        let most = case["relative"].as_f64().unwrap();
        let found = worst(!case["peer"].is_null());
        println!("{name}: {:.1e} in {}", found.0, found.1);
        assert!(found.0 <= most, "{name}: {found:?}");
        // Where mergekit goes another way, this one is really another.
        assert!(case["peer"].is_null() || worst(false).0 > most, "{name}");
        tested.insert(entry.name);
    }
    assert!(tested.len() >= 10, "{tested:?}");
}
