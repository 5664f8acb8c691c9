//! Merge files of mergekit, unchanged, against what it made of them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use consilience_core::model::{Quiet, Stop};
use consilience_core::weights::{Checkpoint, Dtype};
use consilience_merge::plan::Options;
use consilience_merge::run::{Merged, OnNonfinite, Running};
use consilience_merge::{Limits, METHODS, MergeFile, Refused};

pub fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/golden/merge")
}

pub const LIMITS: Limits = Limits { threads: 2, memory: None };

/// Merges a text whose paths start from the folder of the goldens.
pub fn merge(text: &str, out: &Path, options: &Options) -> Result<Merged, Refused> {
    let file = MergeFile::parse(text.to_owned(), &golden().join("merge.yaml"))?;
    let stop = Stop::default();
    let running = Running {
        resume: false,
        replace: false,
        on_nonfinite: OnNonfinite::Stop,
        cache: None,
        stop: &stop,
        progress: &Quiet,
    };
    Ok(file.merge(out, &LIMITS, options, &running)?.0)
}

pub fn words(refused: Refused) -> String {
    match refused {
        Refused::Findings(f) => f.render(false),
        Refused::Error(e) => e.to_string(),
    }
}

/// How far two tensors are apart, relative to the length of the second.
fn apart(a: &[f32], b: &[f32]) -> f64 {
    let square = |v: f64| v * v;
    let difference: f64 = a.iter().zip(b).map(|(a, b)| square(f64::from(*a) - f64::from(*b))).sum();
    let length: f64 = b.iter().map(|b| square(f64::from(*b))).sum();
    if length > 0.0 { (difference / length).sqrt() } else { difference.sqrt() }
}

#[test]
fn files_of_mergekit_give_what_it_gives() {
    let cases: serde_json::Value =
        serde_json::from_slice(&std::fs::read(golden().join("cases.json")).unwrap()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut wrong = Vec::new();
    let mut ran = 0;
    for case in cases.as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        if METHODS.get(case["method"].as_str().unwrap()).is_err() {
            wrong.push(format!("{name}: no method"));
            continue;
        }
        ran += 1;
        let text = std::fs::read_to_string(golden().join(format!("{name}.yaml"))).unwrap();
        let out = dir.path().join(name);
        let options = Options { compat: true, ..Options::default() };
        if let Err(refused) = merge(&text, &out, &options) {
            wrong.push(format!("{name}: {}", words(refused)));
            continue;
        }
        let made = Checkpoint::open(&out.join("model.safetensors")).unwrap();
        let expected = Checkpoint::open(&golden().join(format!("{name}.safetensors"))).unwrap();
        let names = |c: &Checkpoint| c.tensors().iter().map(|t| t.name().to_owned()).collect::<BTreeSet<_>>();
        // Of the plain cases only some tensors are kept.
        let (own, theirs) = (names(&made), names(&expected));
        if !theirs.is_subset(&own) || (case["plain"] == false && own != theirs) {
            wrong.push(format!("{name}: {own:?} instead of {theirs:?}"));
            continue;
        }
        for tensor in expected.tensors() {
            let own = made.tensor(tensor.name()).unwrap();
            assert_eq!(
                (own.dtype(), own.shape()),
                (tensor.dtype(), tensor.shape()),
                "{name} {}",
                tensor.name()
            );
            let (a, b) = (made.read_f32(tensor.name()).unwrap(), expected.read_f32(tensor.name()).unwrap());
            let limit =
                if tensor.dtype() == Dtype::Bf16 { 2e-3 } else { case["relative"].as_f64().unwrap_or(1e-6) };
            let apart = apart(&a, &b);
            if apart.is_nan() || apart > limit {
                wrong.push(format!("{name}: {} is {apart:.2e} apart", tensor.name()));
            }
        }
    }
    assert!(ran >= 10, "{ran} cases");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
