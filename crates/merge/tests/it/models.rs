//! Models in the forms in which they are found, and members that do not fit each other.

use std::fs;
use std::path::{Path, PathBuf};

use consilience_core::weights::{Checkpoint, Dtype};
use consilience_merge::model::{Model, Places};
use consilience_merge::plan::{OnMismatch, Options};
use serde_json::json;

use crate::files::golden;
use crate::tiny::{
    How, LLAMA, Llama, drawn, error, f32s, json_of, llamas, merge, names, numbers, raw, refused, write,
    write_json,
};

const LINEAR: &str = "merge_method: linear\nparameters: {weight: 1}\n";

fn mismatch(on_mismatch: OnMismatch) -> How {
    How { options: Options { on_mismatch, ..Options::default() }, ..How::default() }
}

fn of(models: &str) -> String {
    format!("{LINEAR}models: [{models}]\n")
}

fn made(how: &How, text: &str, root: &Path) -> PathBuf {
    let out = root.join("out");
    how.merge(text, root, &out).unwrap_or_else(|e| panic!("{}", refused::<()>(Err(e))));
    out
}

fn read(out: &Path, name: &str) -> Vec<f32> {
    Checkpoint::open(&out.join("model.safetensors")).unwrap().read_f32(name).unwrap()
}

fn mean(name: &str, count: usize, seeds: &[u32]) -> Vec<f32> {
    let all: Vec<Vec<f32>> = seeds.iter().map(|s| numbers(name, count, *s)).collect();
    (0..count).map(|i| all.iter().map(|a| a[i]).sum::<f32>() / seeds.len() as f32).collect()
}

fn near(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-6 * b.abs().max(1.0))
}

#[test]
fn files_of_torch_and_single_files_are_models() {
    let dir = tempfile::tempdir().unwrap();
    let models = golden().join("models");
    let expected = Checkpoint::open(&models.join("base/model.safetensors")).unwrap();
    for (i, model) in ["base", "torch", "base.bin", "base/model.safetensors"].iter().enumerate() {
        let out = dir.path().join(i.to_string());
        let text = format!("merge_method: passthrough\nmodels: [{model}]\n");
        merge(&text, &models, &out).unwrap_or_else(|e| panic!("{model}: {}", refused::<()>(Err(e))));
        let own = Checkpoint::open(&out.join("model.safetensors")).unwrap();
        assert_eq!(own.tensors().len(), expected.tensors().len());
        for tensor in expected.tensors() {
            assert_eq!(
                own.read_f32(tensor.name()).unwrap(),
                expected.read_f32(tensor.name()).unwrap(),
                "{model}"
            );
        }
        // A configuration where there is one.
        assert_eq!(out.join("config.json").exists(), model.starts_with("base/") || *model == "base");
    }
    let mixed = dir.path().join("mixed");
    merge(&of("torch, base, base.bin"), &models, &mixed)
        .unwrap_or_else(|e| panic!("{}", refused::<()>(Err(e))));
}

#[test]
fn sharded_models_and_the_cache_of_the_hub() {
    let dir = llamas();
    let root = dir.path();
    let tensors = LLAMA.tensors();
    let sharded = root.join("sharded");
    let (first, second) = tensors.split_at(4);
    let (one, two) = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors");
    write(&sharded.join(one), first);
    write(&sharded.join(two), second);
    let map: serde_json::Map<String, serde_json::Value> = tensors
        .iter()
        .enumerate()
        .map(|(i, t)| (t.name.clone(), json!(if i < 4 { one } else { two })))
        .collect();
    write_json(&sharded.join("model.safetensors.index.json"), &json!({"metadata": {}, "weight_map": map}));
    let how = How { options: Options { shard_bytes: Some(200), ..Options::default() }, ..How::default() };
    let out = root.join("out");
    let (merged, _) =
        how.merge(&of("sharded, b"), root, &out).unwrap_or_else(|e| panic!("{}", refused::<()>(Err(e))));
    assert!(merged.files.len() > 3);
    let again = Checkpoint::open(&out.join("model.safetensors.index.json")).unwrap();
    assert_eq!(again.tensors().len(), tensors.len());
    for t in &tensors {
        let count = t.shape.iter().product();
        assert!(near(&again.read_f32(&t.name).unwrap(), &mean(&t.name, count, &[1, 2])), "{}", t.name);
    }
    let index = json_of(&out.join("model.safetensors.index.json"));
    assert_eq!(index["metadata"]["total_size"], tensors.iter().map(|t| t.bytes.len()).sum::<usize>());

    // As the hub's programs lay it out: links into blobs, names of revisions in refs.
    #[cfg(unix)]
    {
        let cache = root.join("hub");
        let model = cache.join("models--org--tiny");
        for (revision, commit, seed) in [("main", "c0ffee", 4), ("v1", "decade", 5)] {
            let (blob, snapshot) = (model.join("blobs").join(commit), model.join("snapshots").join(commit));
            write(&blob, &Llama { seed, ..LLAMA }.tensors());
            fs::create_dir_all(&snapshot).unwrap();
            std::os::unix::fs::symlink(format!("../../blobs/{commit}"), snapshot.join("model.safetensors"))
                .unwrap();
            fs::create_dir_all(model.join("refs")).unwrap();
            fs::write(model.join("refs").join(revision), format!("{commit}\n")).unwrap();
        }
        let places = Places { cache: Some(cache), roots: vec![root.into()], ..Places::default() };
        let open = |text: &str| {
            let (configs, _) =
                consilience_merge::config::read(&format!("{LINEAR}models: ['{text}']"), "m").unwrap();
            Model::open(configs[0].models()[0].0, &places)
        };
        for (name, seed) in [("org/tiny", 4), ("org/tiny@v1", 5), ("org/tiny@decade", 5), ("a", 1)] {
            let model = open(name).unwrap();
            let own = model.checkpoint.read_f32("model.norm.weight").unwrap();
            assert_eq!(own, numbers("model.norm.weight", 4, seed), "{name}");
        }
        for (name, words) in [
            ("org/tiny@v2", "hf download org/tiny --revision v2"),
            ("org/other", "hf download org/other"),
            ("org/tiny@../../x", "not on this machine"),
            ("nowhere", "check the path"),
            ("./a/b/c", "check the path"),
        ] {
            let error = open(name).unwrap_err();
            assert!(error.exit_code() == 3 && error.to_string().contains(words), "{name}: {error}");
        }
    }
}

#[test]
fn adapters_give_what_their_formula_gives() {
    let dir = tempfile::tempdir().unwrap();
    let models = golden().join("models");
    for lora in ["lora", "rslora"] {
        let out = dir.path().join(lora);
        let text = format!("merge_method: passthrough\nmodels: [base+{lora}]\n");
        merge(&text, &models, &out).unwrap_or_else(|e| panic!("{lora}: {}", refused::<()>(Err(e))));
        let own = Checkpoint::open(&out.join("model.safetensors")).unwrap();
        let expected = Checkpoint::open(&models.join(lora).join("expected.safetensors")).unwrap();
        let base = Checkpoint::open(&models.join("base/model.safetensors")).unwrap();
        let mut changed = 0;
        for tensor in expected.tensors() {
            let (a, b) = (own.read_f32(tensor.name()).unwrap(), expected.read_f32(tensor.name()).unwrap());
            let worst = a.iter().zip(&b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst < 4e-6, "{lora} {}: {worst}", tensor.name());
            changed += usize::from(b != base.read_f32(tensor.name()).unwrap());
        }
        assert_eq!(changed, if lora == "lora" { 7 } else { 2 });
        let files = json_of(&out.join("provenance.json"))["models"][0]["files"].to_string();
        assert!(
            files.contains("adapter_config.json") && files.contains("adapter_model.safetensors"),
            "{files}"
        );
    }
    // As a map, and beside another member.
    let text = "merge_method: linear\nparameters: {weight: 1}\nmodels:\n\
                - model: {model: {path: base}, lora: {path: lora}}\n- model: base\n";
    merge(text, &models, &dir.path().join("map")).unwrap_or_else(|e| panic!("{}", refused::<()>(Err(e))));
}

#[test]
fn adapters_that_are_not_understood_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let q = "base_model.model.model.layers.0.self_attn.q_proj";
    LLAMA.write(&root.join("a"));
    let pair = |rank: usize, a: usize, b: usize| {
        vec![
            drawn(&format!("{q}.lora_A.weight"), &[rank, a], 1),
            drawn(&format!("{q}.lora_B.weight"), &[b, rank], 1),
        ]
    };
    let with = |more: crate::tiny::Tensor| {
        let mut all = pair(2, 4, 4);
        all.push(more);
        all
    };
    let plain = json!({"peft_type": "LORA", "r": 2, "lora_alpha": 2});
    let try_one = |settings: &serde_json::Value, tensors: &[crate::tiny::Tensor]| {
        write(&root.join("l/adapter_model.safetensors"), tensors);
        write_json(&root.join("l/adapter_config.json"), settings);
        How::default().check("merge_method: passthrough\nmodels: [a+l]\n", root)
    };
    assert!(try_one(&plain, &pair(2, 4, 4)).is_ok());
    let others = |key: &str, value: serde_json::Value| {
        let mut all = plain.clone();
        all[key] = value;
        all
    };
    for (settings, tensors, words) in [
        (plain.clone(), pair(2, 3, 4), "does not fit"),
        (plain.clone(), pair(2, 4, 5), "does not fit"),
        (plain.clone(), pair(3, 4, 4), "another rank"),
        (others("use_dora", json!(true)), pair(2, 4, 4), "DORA"),
        (plain.clone(), with(drawn(&format!("{q}.lora_magnitude_vector"), &[4], 1)), "DORA"),
        (others("peft_type", json!("IA3")), pair(2, 4, 4), "IA3"),
        (others("r", json!(0)), pair(2, 4, 4), "rank"),
        (others("rank_pattern", json!({"q_proj": -2})), pair(2, 4, 4), "rank_pattern.q_proj"),
        (others("rank_pattern", json!({"q_.*": 2})), pair(2, 4, 4), "no plain name"),
        (others("rank_pattern", json!({"q_proj": 2, "self_attn.q_proj": 2})), pair(2, 4, 4), "two patterns"),
        (plain.clone(), with(drawn(&format!("{q}.lora_B.bias"), &[4], 1)), "lora_B.bias"),
        (plain.clone(), with(drawn("base_model.model.x.lora_B.weight", &[4, 2], 1)), "without the factor A"),
        (plain.clone(), with(drawn("base_model.model.x.lora_A.weight", &[2, 4], 1)), "and no"),
        (plain.clone(), with(drawn("base_model.model.score.weight", &[2, 4], 1)), "score.weight"),
        (plain.clone(), with(drawn(&format!("{q}.weight"), &[4, 4], 1)), "already"),
        (json!([1]), pair(2, 4, 4), "no configuration"),
    ] {
        let told = refused(try_one(&settings, &tensors));
        assert!(told.contains(words), "{words}: {told}");
    }
}

#[test]
fn tied_embeddings_are_written_once_and_untied_ones_twice() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    for (name, head, seed) in [("t1", false, 1), ("t2", false, 2), ("u", true, 3)] {
        Llama { head, seed, ..LLAMA }.write(&root.join(name));
    }
    let (embed, head) = ("model.embed_tokens.weight", "lm_head.weight");
    let has = |out: &Path, name: &str| {
        Checkpoint::open(&out.join("model.safetensors")).unwrap().tensor(name).is_some()
    };
    let out = made(&How::default(), &of("t1, t2"), root);
    assert!(!has(&out, head) && json_of(&out.join("config.json"))["tie_word_embeddings"] == true);
    assert!(near(&read(&out, embed), &mean(embed, 24, &[1, 2])));
    // One of them has a head of its own: whichever is first, the result has two.
    for text in ["t1, u", "u, t1", "t1, t2, u"] {
        let out = made(&How::default(), &of(text), root);
        assert!(json_of(&out.join("config.json"))["tie_word_embeddings"] == false, "{text}");
        let tied: Vec<u32> = if text.contains("t2") { vec![1, 2] } else { vec![1] };
        let count = tied.len() as f32 + 1.0;
        let own = numbers(head, 24, 3);
        let expected: Vec<f32> = (0..24)
            .map(|i| (tied.iter().map(|s| numbers(embed, 24, *s)[i]).sum::<f32>() + own[i]) / count)
            .collect();
        assert!(near(&read(&out, head), &expected), "{text}");
        assert!(has(&out, embed));
    }
    // Nothing is said in the configuration, where some architectures are tied.
    write_json(&root.join("t1/config.json"), &json!({"num_hidden_layers": 2, "vocab_size": 6}));
    let out = made(&How::default(), &of("t1, u"), root);
    assert!(json_of(&out.join("config.json"))["tie_word_embeddings"] == false);
    // A head that is in the file and is the embedding all the same.
    write_json(&root.join("u/config.json"), &json!({"tie_word_embeddings": true}));
    let out = made(&How::default(), &of("u, t1"), root);
    assert!(!has(&out, head) && near(&read(&out, embed), &mean(embed, 24, &[3, 1])));
    // The layers of a tied donor from one model, the head from another.
    Llama { head: true, seed: 3, ..LLAMA }.write(&root.join("u"));
    let text = "merge_method: passthrough\nbase_model: t2\nslices:\n- sources: [{model: t2, layer_range: [0, 1]}]\n\
                - sources: [{model: u, layer_range: [1, 2]}]\n";
    let out = made(&How::default(), text, root);
    assert_eq!(read(&out, head), numbers(head, 24, 3));
    assert_eq!(read(&out, embed), numbers(embed, 24, 2));
}

#[test]
fn shapes_that_differ_are_told_left_out_or_cut() {
    let dir = llamas();
    let root = dir.path();
    Llama { tokens: 8, seed: 4, ..LLAMA }.write(&root.join("long"));
    let text = of("long, b");
    let told = refused(How::default().check(&text, root));
    assert!(
        told.contains("different shapes") && told.contains("[8, 4]") && told.contains("--on-mismatch"),
        "{told}"
    );
    let embed = "model.embed_tokens.weight";
    let out = made(&mismatch(OnMismatch::Crop), &text, root);
    assert_eq!(json_of(&out.join("config.json"))["vocab_size"], 6);
    let (long, b) = (numbers(embed, 32, 4), numbers(embed, 24, 2));
    let expected: Vec<f32> = (0..24).map(|i| (long[i] + b[i]) / 2.0).collect();
    assert!(near(&read(&out, embed), &expected));
    let out = made(&mismatch(OnMismatch::Skip), &text, root);
    assert_eq!(
        (json_of(&out.join("config.json"))["vocab_size"].clone(), read(&out, embed)),
        (json!(8), long)
    );
    // Another matrix that is cut would not fit the rest.
    let mut tensors = LLAMA.tensors();
    tensors[2] = drawn(&tensors[2].name, &[9, 4], 5);
    write(&root.join("a/model.safetensors"), &tensors);
    let told = refused(mismatch(OnMismatch::Crop).check(&of("a, b"), root));
    assert!(told.contains("different shapes") && told.contains("[9, 4]"), "{told}");
    // A tensor that one lacks, and one that only one has.
    LLAMA.write(&root.join("a"));
    let mut fewer = Llama { seed: 2, ..LLAMA }.tensors();
    fewer.retain(|t| t.name != "model.layers.1.mlp.up_proj.weight");
    write(&root.join("b/model.safetensors"), &fewer);
    let told = refused(How::default().check(&of("a, b, c"), root));
    assert!(told.contains("lacks a tensor") && told.contains("none in b"), "{told}");
    let told = refused(How::default().check(&of("b, a, c"), root));
    assert!(told.contains("the result would lack") && told.contains("1 more"), "{told}");
    let out = made(&mismatch(OnMismatch::Skip), &of("a, b, c"), root);
    let up = "model.layers.1.mlp.up_proj.weight";
    assert!(near(&read(&out, up), &mean(up, 32, &[1, 3])));
    let notes = json_of(&out.join("provenance.json"))["notes"].to_string();
    assert!(notes.contains("without 1 of 3 members"), "{notes}");
    let out = made(&mismatch(OnMismatch::Skip), &of("b, a, c"), root);
    assert!(Checkpoint::open(&out.join("model.safetensors")).unwrap().tensor(up).is_none());
    let told = refused(mismatch(OnMismatch::Crop).check(&of("a, b"), root));
    assert!(told.contains("lacks a tensor"), "{told}");
}

#[test]
fn integers_must_be_equal_and_types_may_differ_among_floats() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let ids = |values: [i64; 3]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    let one = |name: &str, tensors: Vec<crate::tiny::Tensor>| {
        write(&root.join(name).join("model.safetensors"), &tensors)
    };
    let halves = |values: &[u16]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    let doubles = |values: &[f64]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    // 1.5 and -2 in 16 bits of both kinds; a byte in front of them.
    let mask = || raw("mask", "BOOL", &[1], vec![1]);
    one(
        "f16",
        vec![
            mask(),
            raw("ids", "I64", &[3], ids([1, 2, 3])),
            raw("w", "F16", &[2], halves(&[0x3e00, 0xc000])),
        ],
    );
    one(
        "bf16",
        vec![
            mask(),
            raw("ids", "I64", &[3], ids([1, 2, 3])),
            raw("w", "BF16", &[2], halves(&[0x3fc0, 0xc000])),
        ],
    );
    one(
        "f64",
        vec![mask(), raw("ids", "I64", &[3], ids([1, 2, 3])), raw("w", "F64", &[2], doubles(&[0.75, 4.0]))],
    );
    one("f32", vec![mask(), raw("ids", "I64", &[3], ids([1, 2, 3])), f32s("w", &[2], &[1.5, -2.0])]);
    // As of sums of such numbers: in any order the widest, and of two kinds of 16 bits neither.
    for (models, dtype) in [("f16, bf16", Dtype::F32), ("bf16, f32", Dtype::F32), ("f32, bf16", Dtype::F32)] {
        let out = made(&How::default(), &of(models), root);
        let made = Checkpoint::open(&out.join("model.safetensors")).unwrap();
        assert_eq!(made.tensor("w").unwrap().dtype(), dtype, "{models}");
    }
    for (models, dtype) in [("f16, bf16, f64, f32", Dtype::F64), ("f64, f32, bf16, f16", Dtype::F64)] {
        let out = made(&How::default(), &of(models), root);
        let made = Checkpoint::open(&out.join("model.safetensors")).unwrap();
        assert_eq!(made.tensor("w").unwrap().dtype(), dtype);
        assert_eq!(made.read_f32("w").unwrap(), [1.3125, -0.5]);
        assert_eq!(made.read_f32("ids").unwrap(), [1.0, 2.0, 3.0]);
        // Every tensor begins where a number of its width may begin.
        let bytes = fs::read(out.join("model.safetensors")).unwrap();
        let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
        for (name, info) in header.as_object().unwrap().iter().filter(|(n, _)| *n != "__metadata__") {
            let width = made.tensor(name).unwrap().dtype().bytes() as u64;
            assert_eq!(info["data_offsets"][0].as_u64().unwrap() % width, 0, "{header}");
        }
        assert_eq!(length % 8, 0);
    }
    one("other", vec![mask(), raw("ids", "I64", &[3], ids([1, 2, 4])), f32s("w", &[2], &[1.0, 2.0])]);
    let told = error(merge(&of("f32, other"), root, &root.join("no")));
    assert!(
        told.exit_code() == 3
            && told.to_string().contains("ids")
            && told.to_string().contains("others in other"),
        "{told}"
    );
    assert!(names(root).iter().all(|n| n != "no" && !n.starts_with(".csl")));
    // Types that do not go together, and those that cannot be read.
    one("short", vec![mask(), raw("ids", "I32", &[3], vec![0; 12]), f32s("w", &[2], &[1.0, 2.0])]);
    one("whole", vec![mask(), raw("ids", "I64", &[3], ids([1, 2, 3])), raw("w", "I64", &[2], vec![0; 16])]);
    one("f8", vec![mask(), raw("ids", "I64", &[3], ids([1, 2, 3])), raw("w", "F8_E4M3", &[2], vec![0; 2])]);
    for (models, words) in [
        ("f32, short", "I32 in short"),
        ("f32, whole", "I64 in whole"),
        ("whole, f32", "F32 in f32"),
        ("f8", "F8_E4M3 of \"w\" in f8"),
        ("f8, f8", "before it was quantized"),
        ("f32, f8", "F8_E4M3 of \"w\" in f8"),
    ] {
        let told = refused(How::default().check(&of(models), root));
        assert!(told.contains(words), "{models}: {told}");
    }
}

#[test]
fn numbers_without_dimensions_and_tensors_without_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    for (name, value) in [("a", 1.0), ("b", 4.0), ("c", 2.0)] {
        let tensors = [f32s("scale", &[], &[value]), f32s("none", &[0], &[]), f32s("flat", &[3, 0], &[])];
        write(&root.join(name).join("model.safetensors"), &tensors);
    }
    for method in consilience_merge::METHODS.entries {
        let needs =
            (method.build)(&json!({"t": 0.5})).or_else(|_| (method.build)(&json!({}))).map(|m| m.needs());
        let Ok(needs) = needs else { panic!("{}", method.name) };
        let many = needs.most.unwrap_or(2).clamp(needs.least, 3);
        let base = needs.base != consilience_merge::BaseNeed::Unknown;
        let schema = (method.schema)();
        let t = if schema["properties"].get("t").is_some() { ", t: 0.5" } else { "" };
        let weight = if schema["properties"].get("weight").is_some() { "weight: 1" } else { "" };
        let members =
            if base { ["b", "c"][..many.min(2)].join(", ") } else { ["a", "b", "c"][..many].join(", ") };
        let base = if base { "base_model: a\n" } else { "" };
        let parameters = format!("{weight}{t}");
        let parameters = parameters.trim_start_matches(", ");
        let text = format!(
            "merge_method: {}\n{base}models: [{members}]\nparameters: {{{parameters}}}\n",
            method.name
        );
        let out = root.join("out");
        merge(&text, root, &out).unwrap_or_else(|e| panic!("{}: {}", method.name, refused::<()>(Err(e))));
        let made = Checkpoint::open(&out.join("model.safetensors")).unwrap();
        assert_eq!(made.tensors().len(), 3, "{}", method.name);
        assert!(made.read_f32("scale").unwrap()[0].is_finite());
        assert!(made.tensor("flat").unwrap().shape() == [3, 0]);
    }
}

#[test]
fn layers_that_are_stacked_take_their_part_of_the_configuration_along() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    for (name, seed) in [("a", 1), ("b", 2)] {
        let llama = Llama { layers: 3, seed, ..LLAMA };
        llama.write(&root.join(name));
        let mut config = llama.config();
        config["layer_types"] = json!(["x", "y", "z"]);
        config["eos_token_id"] = json!([1, 2, 3]);
        write_json(&root.join(name).join("config.json"), &config);
    }
    let text = "merge_method: passthrough\nslices:\n- sources: [{model: a, layer_range: [0, 2]}]\n\
                - sources: [{model: b, layer_range: [1, 3]}]\n- sources: [{model: a, layer_range: [2, 3]}]\n";
    let out = made(&How::default(), text, root);
    let config = json_of(&out.join("config.json"));
    assert_eq!(config["num_hidden_layers"], 5);
    assert_eq!(config["layer_types"], json!(["x", "y", "y", "z", "z"]));
    assert_eq!(config["eos_token_id"], json!([1, 2, 3]));
    let up = |i: usize| format!("model.layers.{i}.mlp.up_proj.weight");
    for (new, old, seed) in [(0, 0, 1), (1, 1, 1), (2, 1, 2), (3, 2, 2), (4, 2, 1)] {
        assert_eq!(read(&out, &up(new)), numbers(&up(old), 32, seed), "{new}");
    }
    assert!(Checkpoint::open(&out.join("model.safetensors")).unwrap().tensor(&up(5)).is_none());
    // As many layers as before, in another order.
    for key in ["num_hidden_layers", "n_layer"] {
        write_json(&root.join("a/config.json"), &json!({key: 3, "layer_types": ["x", "y", "z"]}));
        let text = "merge_method: passthrough\nslices:\n- sources: [{model: a, layer_range: [2, 3]}]\n\
                    - sources: [{model: a, layer_range: [0, 2]}]\n";
        let config = json_of(&made(&How::default(), text, root).join("config.json"));
        assert_eq!(config, json!({key: 3, "layer_types": ["z", "x", "y"]}));
    }
}

#[test]
fn two_stacks_are_two_modules() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let t5 = |seed: u32| {
        let mut all = vec![drawn("shared.weight", &[6, 4], seed)];
        for stack in ["encoder", "decoder"] {
            for i in 0..3 {
                all.push(drawn(&format!("{stack}.block.{i}.layer.0.SelfAttention.q.weight"), &[4, 4], seed));
            }
            all.push(drawn(&format!("{stack}.final_layer_norm.weight"), &[4], seed));
        }
        all.push(drawn("lm_head.weight", &[6, 4], seed));
        all
    };
    for (name, seed) in [("a", 1), ("b", 2)] {
        write(&root.join(name).join("model.safetensors"), &t5(seed));
        let config =
            json!({"num_layers": 3, "num_decoder_layers": 3, "vocab_size": 6, "tie_word_embeddings": false});
        write_json(&root.join(name).join("config.json"), &config);
    }
    let text = "merge_method: linear\nparameters: {weight: 1}\nmodules:\n  encoder:\n    slices:\n\
                \x20   - sources: [{model: a, layer_range: [0, 2]}, {model: b, layer_range: [0, 2]}]\n\
                \x20   - sources: [{model: a, layer_range: [0, 3]}, {model: b, layer_range: [0, 3]}]\n\
                \x20 decoder:\n    models: [{model: a}, {model: b, parameters: {weight: 3}}]\n";
    let out = made(&How::default(), text, root);
    let config = json_of(&out.join("config.json"));
    assert_eq!((&config["num_layers"], &config["num_decoder_layers"]), (&json!(5), &json!(3)));
    let q = |stack: &str, i: usize| format!("{stack}.block.{i}.layer.0.SelfAttention.q.weight");
    assert!(near(&read(&out, &q("encoder", 4)), &mean(&q("encoder", 2), 16, &[1, 2])));
    assert!(near(&read(&out, &q("decoder", 2)), &mean(&q("decoder", 2), 16, &[1, 2, 2, 2])));
    let told =
        refused(How::default().check(
            "merge_method: passthrough\nslices: [{sources: [{model: a, layer_range: [0, 2]}]}]\n",
            root,
        ));
    assert!(told.contains("several stacks") && told.contains("encoder.block (3 layers)"), "{told}");
    // Sources without a range and of different lengths.
    let fewer: Vec<_> = t5(2).into_iter().filter(|t| !t.name.contains("block.2")).collect();
    write(&root.join("b/model.safetensors"), &fewer);
    let text = "merge_method: linear\nparameters: {weight: 1}\nmodules:\n  encoder:\n    slices: [{sources: [{model: b}, {model: a}]}, {sources: [{model: b}, {model: b}]}]\n\
                \x20 decoder: {models: [b]}\n";
    let told = refused(How::default().check(text, root));
    assert!(told.contains("different numbers of layers") && told.contains("3 in a"), "{told}");
}

#[test]
fn headers_that_lie_are_refused_without_harm() {
    let dir = llamas();
    let root = dir.path();
    let good = fs::read(root.join("a/model.safetensors")).unwrap();
    let length = u64::from_le_bytes(good[..8].try_into().unwrap()) as usize;
    let with_header = |text: &str| [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat();
    let mut cases = vec![
        Vec::new(),
        good[..7].to_vec(),
        good[..length].to_vec(),
        good[..good.len() - 1].to_vec(),
        [good.clone(), vec![0]].concat(),
        [&u64::MAX.to_le_bytes()[..], &good[8..]].concat(),
        with_header("{}"),
        with_header("[]"),
        with_header(
            "{\"w\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296,4294967296],\"data_offsets\":[0,0]}}",
        ),
        with_header("{\"w\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}"),
        with_header("{\"w\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}"),
        with_header("{\"w\":{\"dtype\":\"F99\",\"shape\":[0],\"data_offsets\":[0,0]}}"),
    ];
    for i in 0..200usize {
        let mut bad = good.clone();
        bad[8 + (i * 7919) % length] ^= 1 << (i % 8);
        cases.push(bad);
    }
    for bad in cases {
        fs::write(root.join("a/model.safetensors"), &bad).unwrap();
        // Some changes of a letter give another model that can be merged; none gives a panic or a broken promise.
        if let Err(consilience_merge::Refused::Error(e)) = How::default().check(&of("a, b"), root) {
            assert_ne!(e.exit_code(), 70, "{e}");
        }
    }
    // A layer's number that is far away costs nothing.
    let far = [drawn("model.layers.999999.w", &[4], 1), drawn("model.layers.0.w", &[4], 1)];
    write(&root.join("a/model.safetensors"), &far);
    let text = "merge_method: passthrough\nslices: [{sources: [{model: a, layer_range: [0, 1000000]}]}]\n";
    let told = refused(How::default().check(text, root));
    assert!(told.contains("too many layers"), "{told}");
    assert!(How::default().check("merge_method: passthrough\nmodels: [a]\n", root).is_ok());
}
