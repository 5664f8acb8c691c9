//! Merge files with mistakes: all of them at once, each with its line, what was expected and the nearest name.

use std::fs;

use consilience_merge::plan::Options;
use consilience_merge::{MergeFile, Refused};

use crate::tiny::{How, LLAMA, Llama, llamas, merge, names, refused};

/// What is told about a text whose models are `a`, `b`, `c` of two layers each.
fn told(text: &str) -> String {
    let dir = llamas();
    Llama { tokens: 9, seed: 4, ..LLAMA }.write(&dir.path().join("wide"));
    let shown = match How::default().check(text, dir.path()) {
        Ok((_, findings)) => findings.render(false),
        Err(Refused::Findings(findings)) => findings.render(false),
        Err(Refused::Error(error)) => format!("error {}: {error}\n", error.exit_code()),
    };
    let shown = shown.replace(&dir.path().display().to_string(), "ROOT");
    // Where the hub keeps models differs from machine to machine.
    let line = |line: &str| match line.split_once("the hub's cache ") {
        Some((before, _)) => format!("{before}the hub's cache HUB\n"),
        None => format!("{line}\n"),
    };
    shown.lines().map(line).collect()
}

macro_rules! told {
    ($name:literal, $text:expr) => {
        insta::assert_snapshot!($name, told($text));
    };
}

#[test]
fn unknown_keys_at_every_level() {
    told!(
        "unknown_keys",
        "\
merge_metod: linear
merge_method: lineer
base_modle: a
dtype: float23
out_dtype: [1]
parameters: {weigth: 1, density: 1}
slices:
- sourcs: []
- sources:
  - {model: a, layer_rang: [0, 1]}
  - {modle: a}
  - {model: {model: a, lroa: b}, layer_range: [1, 0]}
  - {model: {model: {path: a, revison: b}}, layer_range: [0, x]}
  base: a
- 3
tokenizer: {source: union}
tokenizer_source: union
chat_template: [x]
"
    );
    told!(
        "modules",
        "\
merge_method: linear
modules:
  default: {modles: [a]}
  other: {models: [a], slices: []}
  third: 3
"
    );
    told!("nothing", "{}");
    told!("no_map", "- merge_method: linear\n");
    told!("two_bodies", "merge_method: linear\nmodels: [a]\nslices: []\nmodules: {}\n");
    told!("empty", "");
}

#[test]
fn parameters() {
    told!(
        "parameters",
        "\
merge_method: ties
base_model: a
parameters:
  lamda: 2
  t: 0.5
  int8_mask: true
  density: [{filter: mpl, value: 0.5}, {value: 0.5}, {filter: mlp, value: 1}]
models:
- {model: b, parameters: {weight: 1, gamma: 0.1, density: {}}}
- {model: c, parameters: {weight: [1, x], normalise: true}}
"
    );
    told!(
        "unknown_parameters",
        "\
merge_method: ties
base_model: nowhere
parameters:
  lamda: 2
  t: 0.5
models:
- {model: b, parameters: {weight: 1, gamma: 0.1}}
- {model: c, parameters: {weight: 1, normalise: true}}
"
    );
    told!(
        "weights_of_some",
        "\
merge_method: linear
models:
- {model: a, parameters: {weight: 1}}
- {model: b}
- {model: c, parameters: {weight: [{filter: mlp, value: 1}]}}
"
    );
    told!(
        "not_finite",
        "\
merge_method: linear
models:
- {model: a, parameters: {weight: .nan}}
- {model: b, parameters: {weight: [1, .inf]}}
- {model: c, parameters: {weight: [{value: -.inf, filter: mlp}, {value: 1e400}]}}
"
    );
    told!(
        "wrong_kinds",
        "\
merge_method: ties
base_model: a
models:
- {model: b, parameters: {weight: heavy, density: 0.5}}
- {model: c, parameters: {weight: 1, density: 2}}
parameters: {normalize: 3}
"
    );
    told!(
        "filters",
        "\
merge_method: linear
parameters: {weight: [{filter: mpl, value: 2}, {value: 1}]}
models: [a, b]
"
    );
    told!("density_of_one", "merge_method: ties\nbase_model: a\nmodels: [b, c]\nparameters: {weight: 1}\n");
}

#[test]
fn members() {
    told!("slerp_of_three", "merge_method: slerp\nbase_model: a\nmodels: [a, b, c]\nparameters: {t: 0.5}\n");
    told!("slerp_without_t", "merge_method: slerp\nbase_model: a\nmodels: [a, b]\n");
    told!("base_is_missing", "merge_method: ties\nmodels: [a, b]\nparameters: {weight: 1, density: 0.5}\n");
    told!("passthrough_of_two", "merge_method: passthrough\nmodels: [a, b]\n");
    told!(
        "no_names",
        "merge_method: linear\nmodels: ['x@', '+a', 3, {model: a, lora: b}, {model: {lora: b}}]\n"
    );
    told!(
        "not_there",
        "\
merge_method: linear
parameters: {weight: 1}
models: [nowhere, org/name, org/name@v2, a+nothing, ./../no, model: {model: b, lora: org/lora}]
base_model: org/base
"
    );
    told!("wide", "merge_method: linear\nparameters: {weight: 1}\nmodels:\n- model: a\n- model: wide\n");
}

#[test]
fn layers() {
    told!(
        "layers",
        "\
merge_method: linear
parameters: {weight: 1, nonsense: 2}
slices:
- sources: [{model: a, layer_range: [0, 1]}, {model: b, layer_range: [0, 2]}]
- sources: [{model: a, layer_range: [1, 3]}, {model: b, layer_range: [1, 3]}]
- sources: [{model: a, layer_range: [1]}]
- sources: [{model: a, layer_range: [-1, 1]}]
- sources: [{model: a, layer_range: [0, 99999999999]}]
"
    );
    told!(
        "beyond_the_model",
        "\
merge_method: passthrough
slices:
- sources: [{model: a, layer_range: [0, 3]}]
- sources: [{model: b, layer_range: [2, 4]}]
"
    );
}

#[test]
fn everything_comes_at_once() {
    told!(
        "at_once",
        "\
merge_methd: tis
merge_method: ties
base_model: base
models:
- {model: a, parameters: {weight: .nan, density: 2, gamma: 1}}
- {model: nowhere/b, parameters: {weight: [1, abc], density: -1}}
- {model: a+lora, parameters: {wieght: 1}}
tokenizer: {source: onion, tokens: {a: 3}, pad_to_multiple_of: 0}
chat_template: chatlm
dtype: bf16
parameters: {normalize: maybe, lambda: .inf, foo: 1}
"
    );
    // With all models there, also what only tensors show.
    told!(
        "at_once_with_models",
        "\
merge_method: ties
base_model: a
models:
- {model: b, parameters: {weight: 1, density: 2}}
- {model: wide, parameters: {weight: 1, density: 0.5}}
chat_template: chatlm
parameters: {lamda: 1}
"
    );
    told!(
        "at_once_in_documents",
        "\
name: x
merge_method: linear
models: [nowhere]
---
merge_method: ties
base_model: x
models: [a, b, elsewhere]
parameters: {density: 3}
"
    );
}

#[test]
fn the_one_that_is_wrong_is_underlined() {
    told!(
        "third_member",
        "\
merge_method: ties
base_model: a
models:
- {model: b, parameters: {weight: 0.5, density: 0.5}}
- {model: c, parameters: {weight: 0.5, density: 2}}
- {model: a+x, parameters: {weight: 0.5, density: 0.5}}
"
    );
    told!(
        "no_t_for_some",
        "merge_method: slerp\nbase_model: a\nmodels: [b]\nparameters:\n  t: [{filter: mlp, value: 1}]\n"
    );
    told!("twice", "merge_method: linear\nparameters: {weight: 1}\nmodels: [a, b, a]\n");
}

#[test]
fn weights_that_sum_to_zero_are_told_from_headers() {
    told!(
        "gradient_to_zero",
        "\
merge_method: linear
models:
- {model: a, parameters: {weight: [1, -1]}}
- {model: b, parameters: {weight: 1}}
"
    );
    let dir = llamas();
    for (method, base) in [
        ("linear", ""),
        ("nuslerp", ""),
        ("multislerp", ""),
        ("task_arithmetic", "base_model: c\nparameters: {normalize: true}\n"),
        ("dare_linear", "base_model: c\nparameters: {normalize: true, density: 0.5}\n"),
        ("della_linear", "base_model: c\nparameters: {normalize: true, density: 0.5}\n"),
        ("breadcrumbs", "base_model: c\nparameters: {normalize: true, density: 0.5}\n"),
    ] {
        let text = format!(
            "merge_method: {method}\n{base}models:\n- {{model: a, parameters: {{weight: 0.3}}}}\n\
             - {{model: b, parameters: {{weight: -0.3}}}}\n"
        );
        let shown = refused(How::default().check(&text, dir.path()));
        assert!(shown.contains("sum to zero") && shown.contains("weight: 0.3"), "{method}: {shown}");
    }
    // As mergekit does where a number comes out.
    let text = "merge_method: nuslerp\nmodels:\n- {model: a, parameters: {weight: 0}}\n- {model: b, parameters: {weight: 0}}\n";
    let compat = How { options: Options { compat: true, ..Options::default() }, ..How::default() };
    assert!(compat.check(text, dir.path()).is_ok());
    // Methods that leave the base say so.
    let text = "merge_method: ties\nbase_model: c\nmodels: [a, b]\nparameters: {weight: 0, density: 0.5}\n";
    let (merged, _) = merge(text, dir.path(), &dir.path().join("out"))
        .unwrap_or_else(|e| panic!("{}", refused::<()>(Err(e))));
    assert!(merged.notes.iter().any(|n| n == "model.norm.weight: every weight is zero: it is the base's"));
    // A note names its tensor once, whatever the number of members.
    let text = "merge_method: ties\nbase_model: c\nmodels: [a, b]\nparameters: {weight: 1, density: 0.1}\n";
    let (merged, _) = merge(text, dir.path(), &dir.path().join("out"))
        .unwrap_or_else(|e| panic!("{}", refused::<()>(Err(e))));
    let of_norm: Vec<&String> = merged.notes.iter().filter(|n| n.contains("model.norm.weight")).collect();
    assert_eq!(of_norm, ["model.norm.weight: a density of 0.1 keeps none of 4 numbers"]);
}

#[test]
fn documents() {
    told!(
        "documents",
        "\
name: one
merge_method: linear
parameters: {weight: 1}
models: [two, a]
---
name: two
merge_method: linear
parameters: {weight: 1}
models: [one, two]
---
name: one
merge_method: linear
parameters: {weight: 1}
models: [one]
---
merge_method: passthrough
models: [three]
"
    );
    let dir = llamas();
    // Names, in their order; what is made on the way is gone at the end.
    let text = "\
name: first
merge_method: linear
parameters: {weight: 1}
models: [a, b]
---
name: second
merge_method: passthrough
models: [first]
---
name: third
merge_method: linear
parameters: {weight: 1}
models: [second, c, first]
";
    // The one without a name is the result wherever it stands, and uses what stands below it.
    let turned = "\
merge_method: linear
parameters: {weight: 1}
models: [second, c, first]
---
name: second
merge_method: passthrough
models: [first]
---
name: first
merge_method: linear
parameters: {weight: 1}
models: [a, b]
";
    let (other, _) = merge(turned, dir.path(), &dir.path().join("turned"))
        .unwrap_or_else(|e| panic!("{}", refused::<()>(Err(e))));
    assert_eq!(other.tensors, LLAMA.tensors().len());
    let (merged, _) = merge(text, dir.path(), &dir.path().join("out"))
        .unwrap_or_else(|e| panic!("{}", refused::<()>(Err(e))));
    assert_eq!(merged.tensors, LLAMA.tensors().len());
    let weights = |out: &str| std::fs::read(dir.path().join(out).join("model.safetensors")).unwrap();
    assert!(weights("out") == weights("turned"));
    // Where the numbers come from in the end.
    let models = &crate::tiny::json_of(&dir.path().join("out/provenance.json"))["models"];
    assert_eq!(models[0]["merged"]["models"][0]["merged"]["models"][1]["model"], "b", "{models}");
    assert!(models[1].get("merged").is_none());
    assert_eq!(names(dir.path()), ["a", "b", "c", "out", "turned"]);
}

#[test]
fn aliases_and_merge_keys() {
    let dir = llamas();
    let text = "\
merge_method: ties
base_model: &base a
x: &half {density: 0.5, weight: 1}
models:
- {model: b, parameters: *half}
- {model: c, parameters: {<<: *half, weight: 2}}
";
    // What is only there to be named stands under a key that is not known: that is told, and nothing else.
    let shown = told(text);
    assert_eq!(shown.matches("error:").count(), 1, "{shown}");
    let text = "\
merge_method: ties
base_model: a
models:
- {model: b, parameters: &half {density: 0.5, weight: 1}}
- {model: c, parameters: *half}
";
    let (ready, _) =
        How::default().check(text, dir.path()).unwrap_or_else(|e| panic!("{}", refused::<()>(Err(e))));
    assert_eq!(ready[0].models.len(), 3);
    // What grows without end does not.
    let mut bomb = "merge_method: linear\nparameters:\n  p0: &p0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n".to_owned();
    for i in 1..12 {
        let item = format!("*p{}", i - 1);
        bomb += &format!("  p{i}: &p{i} [{}]\n", vec![item; 10].join(", "));
    }
    let begun = std::time::Instant::now();
    assert!(told(&bomb).contains("error"));
    assert!(begun.elapsed().as_secs() < 5);
}

#[test]
fn what_is_no_merge_file() {
    let dir = tempfile::tempdir().unwrap();
    let read = |name: &str| match MergeFile::read(&dir.path().join(name)) {
        Ok(_) => panic!("{name} was read"),
        Err(Refused::Error(e)) => (e.exit_code(), e.to_string()),
        Err(Refused::Findings(f)) => (2, f.render(false)),
    };
    fs::create_dir(dir.path().join("folder")).unwrap();
    assert_eq!(read("folder").0, 2);
    assert_eq!(read("absent").0, 2);
    fs::write(dir.path().join("long"), vec![b' '; (4 << 20) + 1]).unwrap();
    assert!(read("long").1.contains("4194304"));
    fs::write(dir.path().join("latin"), b"merge_method: lin\xe9ar").unwrap();
    assert!(read("latin").1.contains("UTF-8"));
    // 200 KB of anything.
    for i in 0..20u32 {
        let mut state = i;
        let mut draw = || {
            state = state.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
            (state >> 16) as u8
        };
        let letters = b"{}[]:,-\n #&*|>'\"?!%@ab1.\t";
        let bytes: Vec<u8> = (0..200_000)
            .map(|_| if i % 2 == 0 { draw() & 0x7f } else { letters[usize::from(draw()) % letters.len()] })
            .collect();
        fs::write(dir.path().join("garbage"), bytes).unwrap();
        assert_eq!(read("garbage").0, 2);
    }
    let begun = std::time::Instant::now();
    fs::write(dir.path().join("keys"), (0..20_000).map(|i| format!("k{i}: 1\n")).collect::<String>())
        .unwrap();
    assert_eq!(read("keys").0, 2);
    assert!(begun.elapsed().as_secs() < 5);
}

#[test]
fn files_that_cannot_be_read_again_are_not_written() {
    let dir = llamas();
    let many = Llama { layers: 400, ..LLAMA };
    many.write(&dir.path().join("a"));
    let how = How { options: Options { shard_bytes: Some(1), ..Options::default() }, ..How::default() };
    let shown = refused(how.check("merge_method: passthrough\nmodels: [a]\n", dir.path()));
    assert!(shown.contains("too many files") && shown.contains("1203"), "{shown}");
}
