//! What holds for all methods that keep a part of the deltas.

use std::sync::Mutex;

use consilience_core::seed::Seed;
use serde_json::{Value, json};

use crate::memory::{Held, merge_held, merged};
use crate::work::BLOCK;
use crate::{METHODS, MergeMethod};

/// Methods with parameters that make them drop something.
fn methods() -> Vec<(&'static str, Box<dyn MergeMethod>)> {
    let part = || json!({"weight": [1.0, 0.5], "density": 0.5});
    let with = |more: Value| {
        let mut all = part();
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all
    };
    [
        ("ties", part()),
        ("ties", with(json!({"rescale": true, "lambda": 0.5, "density": [0.3, 0.9]}))),
        ("dare_linear", part()),
        ("dare_linear", with(json!({"normalize": true}))),
        ("dare_ties", part()),
        ("breadcrumbs", with(json!({"gamma": 0.1}))),
        ("breadcrumbs_ties", with(json!({"gamma": [0.3, 0.0], "rescale": true}))),
        ("della", part()),
        ("della_linear", with(json!({"epsilon": [0.4, 0.0]}))),
        ("sce", json!({"select_topk": 0.5})),
        ("sce", json!({})),
        ("ram", json!({})),
        ("ramplus_tl", json!({})),
    ]
    .into_iter()
    .map(|(name, parameters)| (name, METHODS.build(name, &parameters).unwrap()))
    .collect()
}

/// Merges onto a base of zeros; gives the notes too.
pub(super) fn run(
    name: &str,
    parameters: &Value,
    shape: &[usize],
    members: &[&[f32]],
    compat: bool,
) -> (Vec<f32>, Vec<String>) {
    let zeros = vec![0.0f32; shape.iter().product()];
    let labels: Vec<String> = (0..members.len()).map(|i| format!("m{i}")).collect();
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    let seed = Seed::new(5);
    let held = Held { name: "w", shape, labels: &labels, members, base: Some(&zeros), seed, compat };
    let notes = Mutex::new(Vec::new());
    let method = METHODS.build(name, parameters).unwrap();
    let merged = merge_held(method.as_ref(), &held, &notes).unwrap();
    (merged, notes.into_inner().unwrap())
}

/// Numbers without a pattern, some of them equal and some zero.
pub(super) fn noise(len: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_769).wrapping_add(12_345);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state
    };
    (0..len)
        .map(|_| {
            let (kind, v) = (next(), next() as f32 / u32::MAX as f32 - 0.5);
            match kind % 8 {
                0 => 0.0,
                1 => (v * 16.0).round() / 16.0,
                2 => v * v * v,
                _ => v,
            }
        })
        .collect()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

#[test]
fn every_shape_is_merged() {
    for (name, method) in methods() {
        for shape in [&[][..], &[1], &[5], &[5, 1], &[1, 5], &[0, 3], &[2, 3, 4], &[3, 0]] {
            let len = shape.iter().product();
            let (base, a, b) = (noise(len, 1), noise(len, 2), noise(len, 3));
            let out = merged(method.as_ref(), shape, &[&a, &b], Some(&base)).unwrap();
            assert_eq!(out.len(), len, "{name} {shape:?}");
        }
    }
}

#[test]
fn threads_change_no_bit() {
    let pools = [1, 2].map(|n| rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap());
    for shape in [&[3 * BLOCK + 77][..], &[1001, 131], &[2, BLOCK + 3], &[2 * BLOCK + 5, 1]] {
        let len = shape.iter().product();
        let (base, a, b) = (noise(len, 1), noise(len, 2), noise(len, 3));
        for (name, method) in methods() {
            let [one, two] = pools
                .each_ref()
                .map(|pool| pool.install(|| merged(method.as_ref(), shape, &[&a, &b], Some(&base)).unwrap()));
            assert_eq!(bits(&one), bits(&two), "{name} {shape:?}");
        }
    }
}

#[test]
fn the_order_of_members_changes_no_draw() {
    let n = 1000;
    let (base, a, b) = (vec![0.0; n], noise(n, 2), noise(n, 3));
    let of = |name: &str, labels: &[&str], members: &[&[f32]]| {
        let method = METHODS.build(name, &json!({"density": 0.5})).unwrap();
        let seed = Seed::new(1);
        let held = Held { name: "w", shape: &[n], labels, members, base: Some(&base), seed, compat: false };
        merge_held(method.as_ref(), &held, &Mutex::new(Vec::new())).unwrap()
    };
    for name in ["dare_linear", "dare_ties", "della", "della_linear"] {
        assert_eq!(of(name, &["a", "b"], &[&a, &b]), of(name, &["b", "a"], &[&b, &a]), "{name}");
        assert_ne!(of(name, &["a", "b"], &[&a, &b]), of(name, &["b", "a"], &[&a, &b]), "{name}");
    }
}

#[test]
fn without_weight_or_density_there_is_the_base_and_a_density_of_one_drops_nothing() {
    let (base, a, b) = (noise(500, 1), noise(500, 2), noise(500, 3));
    let members = [a.as_slice(), &b];
    let sparse =
        ["ties", "dare_linear", "dare_ties", "breadcrumbs", "breadcrumbs_ties", "della", "della_linear"];
    for name in sparse {
        let of = |parameters: Value, members: &[&[f32]]| {
            let method = METHODS.build(name, &parameters).unwrap();
            merged(method.as_ref(), &[10, 50], members, Some(&base)).unwrap()
        };
        for normalize in [false, true] {
            assert_eq!(of(json!({"weight": 0.0, "normalize": normalize}), &members), base, "{name}");
            assert_eq!(of(json!({"density": 0.0, "normalize": normalize}), &members), base, "{name}");
        }
        let whole: Vec<f32> = base.iter().zip(&a).map(|(b, x)| b + (x - b)).collect();
        assert_eq!(of(json!({}), &members[..1]), whole, "{name}");
        let hollow = vec![f32::NAN; 500];
        assert_eq!(of(json!({"weight": [1.0, 0.0]}), &[&a, &hollow]), whole, "{name}");
    }
    for (name, method) in methods() {
        let out = merged(method.as_ref(), &[500], &[&base, &base], Some(&base)).unwrap();
        assert_eq!(out, base, "{name}");
    }
}

#[test]
fn what_is_not_a_number_is_found_and_not_dropped() {
    let base = noise(300, 1);
    let good = noise(300, 2);
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut odd = noise(300, 3);
        odd[123] = bad;
        for (name, method) in methods() {
            let error = merged(method.as_ref(), &[3, 100], &[&good, &odd], Some(&base)).unwrap_err();
            assert!(error.to_string().contains("not finite"), "{name} {bad}: {error}");
        }
    }
}

#[test]
fn parameters_that_cannot_be_are_named() {
    let refused = |name: &str, parameters: Value, words: &str| {
        let error = METHODS.build(name, &parameters).err().unwrap();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains(words), "{name} {parameters}: {error}");
    };
    let sparse =
        ["ties", "dare_linear", "dare_ties", "breadcrumbs", "breadcrumbs_ties", "della", "della_linear"];
    for name in sparse {
        refused(name, json!({"density": 1.5}), "density");
        refused(name, json!({"density": [0.5, -0.1]}), "density");
        refused(name, json!({"densty": 0.5}), "densty");
        refused(name, json!({"weight": "x"}), "PerMember");
        let error = METHODS.build(name, &json!({})).unwrap().check(2, false).unwrap_err();
        assert!(error.to_string().contains("no base"), "{name}: {error}");
        let error = METHODS.build(name, &json!({"weight": [1.0]})).unwrap().check(2, true).unwrap_err();
        assert!(error.to_string().contains("weight"), "{name}: {error}");
    }
    for name in ["dare_linear", "breadcrumbs", "della_linear"] {
        let method = METHODS.build(name, &json!({"weight": [1.0, -1.0], "normalize": true})).unwrap();
        let error = merged(method.as_ref(), &[1], &[&[1.0], &[2.0]], Some(&[0.0])).unwrap_err();
        assert!(error.to_string().contains("sum to zero"), "{name}: {error}");
    }
    for name in ["breadcrumbs", "breadcrumbs_ties"] {
        refused(name, json!({"gamma": -0.1}), "gamma");
    }
    for name in ["della", "della_linear"] {
        refused(name, json!({"epsilon": -0.1}), "epsilon");
        refused(name, json!({"density": 0.1}), "epsilon of 0.15");
        refused(name, json!({"density": [0.5, 0.9], "epsilon": [0.2, 0.1]}), "epsilon of 0.1");
    }
    refused("sce", json!({"select_topk": 1.1}), "select_topk");
    refused("ram", json!({"epsilon": -1.0}), "epsilon");
    refused("ramplus_tl", json!({"alpha": -1.0}), "alpha");
}
