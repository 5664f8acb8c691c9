//! Merged tokenizers: whose row each token has, in models whose vocabularies differ.

use std::fs;
use std::path::Path;

use consilience_core::weights::Checkpoint;
use serde_json::{Value, json};

use crate::tiny::{How, LLAMA, Llama, json_of, merge, names, numbers, refused};

fn tokenizer(tokens: &[&str]) -> Value {
    let vocab: serde_json::Map<String, Value> =
        tokens.iter().enumerate().map(|(i, t)| ((*t).to_owned(), json!(i))).collect();
    json!({"version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": {"type": "Whitespace"}, "post_processor": null, "decoder": null,
        "model": {"type": "BPE", "dropout": null, "unk_token": "<unk>", "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": vocab, "merges": []}})
}

const A: [&str; 6] = ["<unk>", "a", "b", "c", "d", "e"];
const B: [&str; 5] = ["<unk>", "b", "a", "x", "c"];

fn models(head: bool) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, tokens, seed) in [("a", &A[..], 1), ("b", &B[..], 2)] {
        let model = Llama { tokens: tokens.len(), seed, head, ..LLAMA };
        model.write(&dir.path().join(name));
        fs::write(dir.path().join(name).join("tokenizer.json"), tokenizer(tokens).to_string()).unwrap();
        fs::write(
            dir.path().join(name).join("tokenizer_config.json"),
            json!({"unk_token": "<unk>"}).to_string(),
        )
        .unwrap();
        fs::write(dir.path().join(name).join("vocab.json"), "{}").unwrap();
        fs::write(dir.path().join(name).join("generation_config.json"), "{}").unwrap();
    }
    dir
}

fn linear(more: &str) -> String {
    format!(
        "merge_method: linear\nmodels:\n- {{model: a, parameters: {{weight: 1}}}}\n- {{model: b, parameters: {{weight: 3}}}}\n{more}\n"
    )
}

fn row(name: &str, tokens: usize, seed: u32, row: usize) -> Vec<f32> {
    numbers(name, tokens * 4, seed)[row * 4..][..4].to_vec()
}

fn mixed(a: &[f32], b: &[f32]) -> Vec<f32> {
    a.iter().zip(b).map(|(a, b)| (a + 3.0 * b) / 4.0).collect()
}

fn vocabulary(out: &Path) -> Vec<String> {
    let json = json_of(&out.join("tokenizer.json"));
    let mut all: Vec<(u64, String)> = json["model"]["vocab"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(t, i)| (i.as_u64().unwrap(), t.clone()))
        .collect();
    all.sort();
    all.into_iter().map(|(_, t)| t).collect()
}

#[test]
fn rows_go_with_their_tokens() {
    for head in [true, false] {
        let dir = models(head);
        let root = dir.path();
        for (policy, expected) in [
            ("tokenizer_source: union", vec!["<unk>", "a", "b", "c", "d", "e", "x"]),
            (
                "tokenizer: {source: union, pad_to_multiple_of: 8}",
                vec!["<unk>", "a", "b", "c", "d", "e", "x"],
            ),
            ("tokenizer_source: base\nbase_model: b", B.to_vec()),
            ("tokenizer: {source: a}", A.to_vec()),
            ("tokenizer_source: b", B.to_vec()),
        ] {
            let out = root.join("out");
            merge(&linear(policy), root, &out)
                .unwrap_or_else(|e| panic!("{policy}: {}", refused::<()>(Err(e))));
            let made = Checkpoint::open(&out.join("model.safetensors")).unwrap();
            let own = vocabulary(&out);
            assert_eq!(own, expected, "{policy}");
            let padded = if policy.contains("pad_to") { 8 } else { own.len() };
            assert_eq!(json_of(&out.join("config.json"))["vocab_size"], padded, "{policy}");
            let both = ["model.embed_tokens.weight", "lm_head.weight"];
            for name in &both[..if head { 2 } else { 1 }] {
                let values = made.read_f32(name).unwrap();
                assert_eq!(values.len(), padded * 4, "{policy} {name}");
                for (i, token) in own.iter().enumerate() {
                    let a = A.iter().position(|t| t == token).map(|r| row(name, 6, 1, r));
                    let b = B.iter().position(|t| t == token).map(|r| row(name, 5, 2, r));
                    // A member that lacks a token takes the row of the one that has it.
                    let row = match (a, b) {
                        (Some(a), Some(b)) => mixed(&a, &b),
                        (Some(one), None) | (None, Some(one)) => one,
                        (None, None) => panic!("{token}"),
                    };
                    let near = values[i * 4..][..4].iter().zip(&row).all(|(x, y)| (x - y).abs() < 1e-6);
                    assert!(near, "{policy} {name} {token}: {:?} {row:?}", &values[i * 4..][..4]);
                }
            }
            // What holds one model's tokens does not go along with a vocabulary of others.
            let extended = own.len() == 7;
            assert_eq!(out.join("vocab.json").exists(), !extended, "{policy}: {:?}", names(&out));
            assert!(
                out.join("tokenizer_config.json").exists() && out.join("generation_config.json").exists()
            );
            let listed = json_of(&out.join("provenance.json"))["outputs"].as_array().unwrap().len();
            assert_eq!(listed, names(&out).len() - 1, "{policy}");
            fs::remove_dir_all(&out).unwrap();
        }
        // Without a policy nobody knows which row is which.
        let told = refused(How::default().check(&linear(""), root));
        assert!(told.contains("different shapes") && told.contains("tokenizer policy"), "{told}");
    }
}

#[test]
fn a_chat_template_goes_with_the_tokenizer() {
    let dir = models(true);
    let root = dir.path();
    Llama { seed: 2, ..LLAMA }.write(&root.join("b"));
    let out = root.join("out");
    for (template, words) in
        [("chatml", "<|im_start|>"), ("'{{ messages[0].content }}'", "messages[0].content")]
    {
        merge(&linear(&format!("chat_template: {template}")), root, &out)
            .unwrap_or_else(|e| panic!("{}", refused::<()>(Err(e))));
        let text = json_of(&out.join("tokenizer_config.json"))["chat_template"].to_string()
            + &fs::read_to_string(out.join("chat_template.jinja")).unwrap_or_default();
        assert!(text.contains(words), "{text}");
        assert_eq!(vocabulary(&out), A);
    }
    let told = refused(How::default().check(&linear("chat_template: chatlm"), root));
    assert!(told.contains("chat_template") || told.contains("chatml"), "{told}");
}

#[test]
fn a_chat_template_alone_asks_for_no_other_tokenizer() {
    let dir = models(true);
    let root = dir.path();
    Llama { seed: 2, ..LLAMA }.write(&root.join("b"));
    for name in ["tokenizer.json", "tokenizer_config.json"] {
        fs::remove_file(root.join("b").join(name)).unwrap();
    }
    // A tokenizer of another kind goes along as it is.
    fs::remove_file(root.join("a/tokenizer.json")).unwrap();
    fs::write(root.join("a/tokenizer.model"), "sentences").unwrap();
    fs::write(root.join("a/chat_template.jinja"), "{{ old }}").unwrap();
    let out = root.join("out");
    let text = linear("chat_template: chatml");
    merge(&text, root, &out).unwrap_or_else(|e| panic!("{}", refused::<()>(Err(e))));
    assert_eq!(fs::read_to_string(out.join("tokenizer.model")).unwrap(), "sentences");
    let config = json_of(&out.join("tokenizer_config.json"));
    assert!(
        config["chat_template"].as_str().unwrap().contains("<|im_start|>") && config["unk_token"] == "<unk>"
    );
    assert!(!out.join("chat_template.jinja").exists());
    let listed = json_of(&out.join("provenance.json"))["outputs"].as_array().unwrap().len();
    assert_eq!(listed, names(&out).len() - 1);
    // The one that most have.
    fs::write(root.join("b/chat_template.jinja"), "{{ mine }}").unwrap();
    merge(&linear("chat_template: auto\nbase_model: b"), root, &out)
        .unwrap_or_else(|e| panic!("{}", refused::<()>(Err(e))));
    let template = &json_of(&out.join("tokenizer_config.json"))["chat_template"];
    assert!(template == "{{ old }}" || template == "{{ mine }}", "{template}");
    // Without any there is nothing for it to go with.
    for name in ["tokenizer.model", "tokenizer_config.json", "vocab.json"] {
        fs::remove_file(root.join("a").join(name)).unwrap();
    }
    let told = refused(How::default().check(&text, root));
    assert!(told.contains("no tokenizer for the chat template"), "{told}");
}

#[test]
fn what_a_policy_needs_is_told_before_anything_is_read() {
    let dir = models(true);
    let root = dir.path();
    for (policy, words) in [
        ("tokenizer_source: c", "no model of the merge"),
        ("tokenizer: {source: union, tokes: {}}", "tokes"),
        ("tokenizer: {pad_to_multiple_of: 0}", "cannot be padded"),
        ("tokenizer_source: union\ntokenizer: {source: union}", "only one of them"),
    ] {
        let told = refused(How::default().check(&linear(policy), root));
        assert!(told.contains(words), "{policy}: {told}");
    }
    fs::remove_file(root.join("b/tokenizer.json")).unwrap();
    let told = refused(merge(&linear("tokenizer_source: union"), root, &root.join("out")));
    assert!(told.contains("no tokenizer.json") && told.contains("vocab.json"), "{told}");
    fs::write(root.join("b/tokenizer.json"), "{\"model\": 3}").unwrap();
    let told = refused(merge(&linear("tokenizer_source: union"), root, &root.join("out")));
    assert!(told.contains("tokenizer.json"), "{told}");
    assert_eq!(names(root), ["a", "b"]);
}

#[test]
fn a_later_document_has_the_tokenizer_of_an_earlier_one() {
    let dir = models(true);
    let root = dir.path();
    let text = format!(
        "name: x\n{}---\nname: y\nmerge_method: linear\nmodels: [x, a]\nparameters: {{weight: 1}}\ntokenizer_source: x\n",
        linear("tokenizer_source: union")
    );
    let out = root.join("out");
    merge(&text, root, &out).unwrap_or_else(|e| panic!("{}", refused::<()>(Err(e))));
    assert_eq!(vocabulary(&out).len(), 7);
    assert_eq!(json_of(&out.join("config.json"))["vocab_size"], 7);
    assert_eq!(names(root), ["a", "b", "out"]);
}
