//! What 16 bits hold is the number of 32 bits, rounded once.

use std::fs;

use consilience_core::weights::{Checkpoint, Dtype};
use consilience_merge::METHODS;
use consilience_merge::plan::Options;
use consilience_merge::run::OnNonfinite;

use crate::files::golden;
use crate::tiny::{How, error, f32s, json_of, merge, names, raw, refused, write};

/// The nearest number of 16 bits with 8 of exponent, the even one of two. In 64 bits, unlike what is tested.
fn nearest(value: f32) -> u16 {
    let low = (value.to_bits() >> 16) as u16;
    let of = |bits: u16| f64::from(f32::from_bits(u32::from(bits) << 16));
    let (below, above) = (of(low), of(low + 1));
    let (down, up) = ((f64::from(value) - below).abs(), (above - f64::from(value)).abs());
    if down < up || (down == up && low & 1 == 0) { low } else { low + 1 }
}

fn bits(file: &Checkpoint, name: &str) -> Vec<u16> {
    file.read_f32(name).unwrap().iter().map(|v| (v.to_bits() >> 16) as u16).collect()
}

#[test]
fn sixteen_bits_are_thirty_two_rounded_once() {
    let dir = tempfile::tempdir().unwrap();
    let how = How { options: Options { compat: true, ..Options::default() }, ..How::default() };
    let cases: serde_json::Value =
        serde_json::from_slice(&fs::read(golden().join("cases.json")).unwrap()).unwrap();
    let mut methods = std::collections::BTreeSet::new();
    let mut texts: Vec<(String, String)> = cases
        .as_array()
        .unwrap()
        .iter()
        .map(|case| {
            let name = case["name"].as_str().unwrap().to_owned();
            let text = fs::read_to_string(golden().join(format!("{name}.yaml"))).unwrap();
            (name, text)
        })
        .collect();
    for method in ["dare_linear", "dare_ties", "della", "della_linear", "ram", "ramplus_tl"] {
        let density = if method.starts_with("ram") { "" } else { ", density: 0.5" };
        let text = format!(
            "merge_method: {method}\nbase_model: members/base\nmodels: [members/ft1, members/ft2]\n\
             parameters: {{weight: 1{density}}}\ndtype: float32\nout_dtype: float32\n"
        );
        texts.push((format!("drawn_{method}"), text));
    }
    for (name, text) in &texts {
        let as_16 = text.replace("out_dtype: float32", "out_dtype: bfloat16");
        let as_32 = text.replace("out_dtype: bfloat16", "out_dtype: float32");
        assert_ne!(as_16, as_32, "{name}");
        let run = |text: &str, kind: &str| {
            let out = dir.path().join(format!("{name}-{kind}"));
            how.merge(text, &golden(), &out).unwrap_or_else(|e| panic!("{name}: {}", refused::<()>(Err(e))));
            Checkpoint::open(&out.join("model.safetensors")).unwrap()
        };
        let (narrow, wide) = (run(&as_16, "16"), run(&as_32, "32"));
        for tensor in wide.tensors() {
            assert_eq!(narrow.tensor(tensor.name()).unwrap().dtype(), Dtype::Bf16);
            let expected: Vec<u16> = wide.read_f32(tensor.name()).unwrap().into_iter().map(nearest).collect();
            assert!(bits(&narrow, tensor.name()) == expected, "{name}: {}", tensor.name());
        }
        let method = text.lines().find_map(|l| l.strip_prefix("merge_method: ")).unwrap();
        methods.insert(method.to_owned());
        if name != "bfloat16" {
            continue;
        }
        // Against mergekit: one step apart, and only where the number of 32 bits lies on the middle between two.
        let theirs = Checkpoint::open(&golden().join("bfloat16.safetensors")).unwrap();
        let (mut all, mut apart) = (0, 0);
        for tensor in theirs.tensors() {
            let (own, other) = (bits(&narrow, tensor.name()), bits(&theirs, tensor.name()));
            let exact = wide.read_f32(tensor.name()).unwrap();
            for ((own, other), exact) in own.iter().zip(&other).zip(exact) {
                all += 1;
                if own == other {
                    continue;
                }
                apart += 1;
                assert_eq!(own.abs_diff(*other), 1, "{}", tensor.name());
                let middle = f32::from_bits((u32::from(*own.min(other)) << 16) | 0x8000);
                assert!(
                    ((exact - middle) / middle).abs() <= 1e-6,
                    "{}: {exact:e} by {middle:e}",
                    tensor.name()
                );
            }
        }
        println!("{apart} of {all} numbers are one step apart");
    }
    let known: Vec<&str> = METHODS.entries.iter().map(|e| e.name).filter(|n| !methods.contains(*n)).collect();
    assert!(known.is_empty(), "not tested: {known:?}");
}

#[test]
fn what_is_not_finite_is_named_and_nothing_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let mut values: Vec<f32> = (0..100_000).map(|i| i as f32).collect();
    let fine = values.clone();
    values[70_003] = f32::NAN;
    let member = |name: &str, values: &[f32]| {
        write(
            &root.join(name).join("model.safetensors"),
            &[f32s("first", &[1], &[1.0]), f32s("w", &[1000, 100], values)],
        );
    };
    member("fine", &fine);
    member("nan", &values);
    values[70_003] = f32::NEG_INFINITY;
    member("inf", &values);
    member("large", &fine.iter().map(|v| v * 1e30).collect::<Vec<_>>());
    let text =
        |models: &str| format!("merge_method: linear\nparameters: {{weight: 1}}\nmodels: [{models}]\n");
    // In files of their own: what was finished before is of no use.
    let split = How { options: Options { shard_bytes: Some(100), ..Options::default() }, ..How::default() };
    for how in [How::default(), split] {
        for (models, words) in [
            ("fine, nan", "NaN at position 70003"),
            ("inf, fine", "at position 70003"),
            ("fine, large, large", ""),
        ] {
            let done = how.merge(&text(models), root, &root.join("out"));
            if words.is_empty() {
                done.unwrap_or_else(|e| panic!("{}", refused::<()>(Err(e))));
                fs::remove_dir_all(root.join("out")).unwrap();
                continue;
            }
            let error = error(done);
            assert!(error.exit_code() == 3, "{error}");
            assert!(
                error.to_string().contains(words) && error.to_string().contains("tensor \"w\""),
                "{error}"
            );
            assert_eq!(names(root), ["fine", "inf", "large", "nan"]);
        }
    }
    let keep = How { on_nonfinite: OnNonfinite::Keep, ..How::default() };
    let (merged, _) = keep.merge(&text("fine, nan"), root, &root.join("out")).unwrap_or_else(|_| panic!());
    assert!(
        merged.notes.iter().any(|n| n.contains("w: holds numbers that are not finite")),
        "{:?}",
        merged.notes
    );
    assert!(json_of(&root.join("out/provenance.json"))["notes"].to_string().contains("not finite"));
    let own = Checkpoint::open(&root.join("out/model.safetensors")).unwrap().read_f32("w").unwrap();
    assert!(own[70_003].is_nan() && own.iter().filter(|v| v.is_nan()).count() == 1);
    // Too large for 16 bits with 5 of exponent: no infinity is made of it.
    let half = format!("{}out_dtype: float16\n", text("fine"));
    let error = error(merge(&half, root, &root.join("half")));
    assert!(
        error.to_string().contains("too large for its type") && error.to_string().contains("65520"),
        "{error}"
    );
    // A weight of zero is absence, whatever the member holds.
    for method in ["linear", "task_arithmetic", "ties", "dare_linear", "della", "multislerp", "nuslerp"] {
        let needs_base = !matches!(method, "linear" | "multislerp" | "nuslerp");
        let base = if needs_base { "base_model: fine\n" } else { "" };
        let density = if matches!(method, "ties" | "dare_linear" | "della") {
            "parameters: {density: 0.5}\n"
        } else {
            ""
        };
        let text = format!(
            "merge_method: {method}\n{base}{density}models:\n- {{model: large, parameters: {{weight: 1}}}}\n\
             - {{model: nan, parameters: {{weight: 0}}}}\n"
        );
        merge(&text, root, &root.join("zero"))
            .unwrap_or_else(|e| panic!("{method}: {}", refused::<()>(Err(e))));
    }
    // Numbers that are kept although nobody can merge them.
    write(&root.join("odd/model.safetensors"), &[raw("w", "F16", &[2], vec![0, 0x7e, 0, 0x3c])]);
    let text = "merge_method: passthrough\nmodels: [odd]\n";
    assert!(crate::tiny::error(merge(text, root, &root.join("odd-out"))).to_string().contains("position 0"));
}
