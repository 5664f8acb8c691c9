//! Layers as `config.json` counts them.

use serde_json::{Value, json};

use crate::tiny::{How, LLAMA, Llama, drawn, json_of, llamas, refused, write, write_json};

/// A model with layers of text and of images, with a configuration.
fn both(dir: &std::path::Path, seed: u32, config: &Value) {
    let mut all = vec![drawn("model.language_model.embed_tokens.weight", &[6, 4], seed)];
    all.extend((0..4).map(|i| drawn(&format!("model.language_model.layers.{i}.q.weight"), &[4, 4], seed)));
    all.extend((0..2).map(|i| drawn(&format!("model.visual.blocks.{i}.q.weight"), &[4, 4], seed)));
    write(&dir.join("model.safetensors"), &all);
    write_json(&dir.join("config.json"), config);
}

#[test]
fn each_stack_has_its_count() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let text = "merge_method: passthrough\nmodules:\n  visual:\n    slices:\n    - sources: [{model: a, layer_range: [0, 2]}]\n\
                \x20   - sources: [{model: a, layer_range: [0, 2]}]\n  language_model: {models: [a]}\n";
    let merged = |config: Value| {
        both(&root.join("a"), 1, &config);
        let (merged, _) = How::default()
            .merge(text, root, &root.join("out"))
            .unwrap_or_else(|e| panic!("{}", refused::<()>(Err(e))));
        (json_of(&root.join("out/config.json")), merged.notes)
    };
    let (config, notes) =
        merged(json!({"text_config": {"num_hidden_layers": 4}, "vision_config": {"depth": 2}}));
    assert_eq!(config, json!({"text_config": {"num_hidden_layers": 4}, "vision_config": {"depth": 4}}));
    assert!(notes.iter().all(|n| !n.contains("config.json")), "{notes:?}");
    // A count of the same number that means the text stays, and what could not be found is told.
    let (config, notes) = merged(json!({"num_hidden_layers": 2}));
    assert_eq!(config, json!({"num_hidden_layers": 2}));
    assert!(
        notes.iter().any(|n| n.contains("model.visual.blocks has 2 layers") && n.contains("has 4")),
        "{notes:?}"
    );
}

#[test]
fn counts_that_are_missing_or_wrong_are_told() {
    let dir = llamas();
    let root = dir.path();
    let text = "merge_method: passthrough\nslices:\n- sources: [{model: a, layer_range: [0, 2]}]\n\
                - sources: [{model: a, layer_range: [1, 2]}]\n";
    let merged = |config: Value| {
        write_json(&root.join("a/config.json"), &config);
        let (merged, _) = How::default()
            .merge(text, root, &root.join("out"))
            .unwrap_or_else(|e| panic!("{}", refused::<()>(Err(e))));
        (json_of(&root.join("out/config.json")), merged.notes)
    };
    assert_eq!(merged(json!({"num_blocks": 2})).0, json!({"num_blocks": 3}));
    for wrong in [json!({"num_hidden_layers": 5}), json!({"hidden_size": 4})] {
        let (config, notes) = merged(wrong.clone());
        assert_eq!(config, wrong);
        assert!(notes.iter().any(|n| n.contains("model.layers has 2 layers; the result has 3")), "{notes:?}");
    }
    std::fs::remove_file(root.join("a/config.json")).unwrap();
    let (ready, _) = How::default().check(text, root).unwrap_or_else(|_| panic!());
    assert!(ready[0].plan.notes.iter().any(|n| n.contains("no config.json")), "{:?}", ready[0].plan.notes);
    // As many layers as before: nothing to be told.
    Llama { seed: 5, ..LLAMA }.write(&root.join("a"));
    let same = "merge_method: passthrough\nmodels: [a]\n";
    let (ready, _) = How::default().check(same, root).unwrap_or_else(|_| panic!());
    assert!(ready[0].plan.notes.is_empty());
}

#[test]
fn the_type_of_numbers_follows_the_result() {
    let dir = llamas();
    let root = dir.path();
    let text = "merge_method: linear\nparameters: {weight: 1}\nmodels: [a, b]\nout_dtype: bfloat16\n";
    How::default()
        .merge(text, root, &root.join("out"))
        .unwrap_or_else(|e| panic!("{}", refused::<()>(Err(e))));
    assert_eq!(json_of(&root.join("out/config.json"))["torch_dtype"], "bfloat16");
    let text = "merge_method: linear\nparameters: {weight: 1}\nmodels: [a, out]\n";
    for models in ["a, out", "out, a"] {
        let text = text.replace("a, out", models);
        How::default()
            .merge(&text, root, &root.join("mixed"))
            .unwrap_or_else(|e| panic!("{}", refused::<()>(Err(e))));
        assert_eq!(json_of(&root.join("mixed/config.json"))["torch_dtype"], "float32", "{models}");
    }
}

#[test]
fn a_stack_that_no_module_names_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    both(&root.join("a"), 1, &json!({}));
    let text = "merge_method: passthrough\nmodules:\n  visual: {models: [a]}\n";
    let shown = refused(How::default().check(text, root));
    assert!(
        shown.contains("model.language_model.layers") && shown.contains("a module for each stack"),
        "{shown}"
    );
}
