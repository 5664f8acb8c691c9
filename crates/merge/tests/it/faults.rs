//! Files of models that are damaged, missing or no files: told as what they are, with what to do, and never waited for.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use consilience_core::document::Findings;
use consilience_merge::Refused;
use serde_json::json;

use crate::tiny::{How, LLAMA, drawn, json_of, llamas, refused, write, write_json};

const TEXT: &str = "merge_method: linear\nparameters: {weight: 1}\nmodels: [a, b]\n";

fn findings(root: &Path, text: &str) -> Findings {
    match How::default().check(text, root) {
        Err(Refused::Findings(findings)) => *findings,
        Err(Refused::Error(error)) => panic!("{error}"),
        Ok(_) => panic!("it went well"),
    }
}

#[test]
fn damaged_files_are_no_mistakes_of_the_merge_file() {
    let dir = llamas();
    let root = dir.path();
    let weights = root.join("a/model.safetensors");
    let good = fs::read(&weights).unwrap();
    fs::write(&weights, &good[..good.len() - 1]).unwrap();
    let told = findings(root, TEXT);
    assert_eq!(told.exit_code(), 3, "{}", told.render(false));
    // Beside a mistake they are told, and the mistake counts.
    let told = findings(root, &TEXT.replace("[a, b]", "[a, nowhere]"));
    assert_eq!((told.exit_code(), told.errors()), (2, 2), "{}", told.render(false));
    let told = findings(root, &TEXT.replace("linear", "lineal"));
    assert_eq!((told.exit_code(), told.errors()), (2, 2), "{}", told.render(false));
    fs::write(&weights, "").unwrap();
    let told = findings(root, TEXT).render(false);
    assert!(told.contains("the file is empty") && told.contains("get it again"), "{told}");
}

#[test]
fn indices_and_names_that_do_not_fit_say_what_helps() {
    let dir = llamas();
    let root = dir.path();
    fs::remove_file(root.join("a/model.safetensors")).unwrap();
    let index = root.join("a/model.safetensors.index.json");
    let map = |file: &str| json!({"weight_map": {"w": file}});
    write_json(&index, &map("model-00001-of-00001.safetensors"));
    let told = findings(root, TEXT).render(false);
    assert!(told.contains("that the index names is missing") && told.contains("get the index"), "{told}");
    write(&root.join("w.safetensors"), &[drawn("w", &[1], 1)]);
    write_json(&index, &map("../w.safetensors"));
    let told = findings(root, TEXT).render(false);
    assert!(told.contains("outside") && told.contains("get the index") && !told.contains("--data"), "{told}");
    let (one, two) = ("one.safetensors", "two.safetensors");
    for file in [one, two] {
        write(&root.join("a").join(file), &[drawn("w", &[1], 1), drawn(file, &[1], 1)]);
    }
    write_json(&index, &json!({"weight_map": {"w": one, one: one, two: two}}));
    let told = findings(root, TEXT).render(false);
    assert!(told.contains("= ") && told.contains("again"), "{told}");
}

#[cfg(unix)]
#[test]
fn a_pipe_is_not_waited_for() {
    let dir = llamas();
    let root = dir.path();
    let pipe = |path: &str| {
        let path = root.join(path);
        let _ = fs::remove_file(&path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let made = std::process::Command::new("mkfifo").arg(&path).status().is_ok_and(|s| s.success());
        if !made {
            println!("skipped: there is no mkfifo");
        }
        made
    };
    let within = |what: &str, work: &(dyn Fn() + Sync)| {
        let begun = Instant::now();
        work();
        assert!(begun.elapsed() < Duration::from_secs(20), "{what}");
    };
    let union = format!("{TEXT}tokenizer_source: union\n");
    let lora = "merge_method: passthrough\nmodels: [b+lora]\n";
    for (path, text) in [
        ("a/config.json", TEXT),
        ("a/model.safetensors.index.json", TEXT),
        ("lora/adapter_config.json", lora),
        ("a/tokenizer.json", union.as_str()),
        ("a/tokenizer_config.json", union.as_str()),
    ] {
        LLAMA.write(&root.join("a"));
        if path == "a/tokenizer_config.json" {
            let text = json!({"model": {"type": "WordLevel", "vocab": {"x": 0}}}).to_string();
            let _ = fs::remove_file(root.join("a/tokenizer.json"));
            for model in ["a", "b"] {
                fs::write(root.join(model).join("tokenizer.json"), &text).unwrap();
            }
        }
        if !pipe(path) {
            return;
        }
        within(path, &|| {
            let told = refused(How::default().check(text, root));
            assert!(told.contains("regular file") || told.contains("no file"), "{path}: {told}");
        });
        fs::remove_file(root.join(path)).unwrap();
    }
    // What is only copied is left where it is.
    pipe("a/tokenizer.json");
    within("copied", &|| {
        How::default()
            .merge(TEXT, root, &root.join("out"))
            .unwrap_or_else(|e| panic!("{}", refused::<()>(Err(e))));
    });
    assert!(!root.join("out/tokenizer.json").exists());
    pipe("out/merge.yaml");
    within("verify", &|| {
        let found = consilience_merge::run::verify(&root.join("out"), &Default::default()).unwrap();
        assert_eq!(found.wrong, ["merge.yaml is missing"]);
    });
    assert_eq!(json_of(&root.join("out/config.json"))["num_hidden_layers"], 2);
}
