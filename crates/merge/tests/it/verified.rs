//! Where a merge comes from, and whether it is still what it was.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use consilience_merge::model::Places;
use consilience_merge::plan::Options;
use consilience_merge::run::{Verdict, verify};
use serde_json::json;

use crate::tiny::{How, LLAMA, Llama, drawn, json_of, llamas, names, refused, write};

const TEXT: &str = "merge_method: linear\nparameters: {weight: 1}\nmodels: [a, b]\n";

fn made(root: &Path) -> std::path::PathBuf {
    let how = How { options: Options { shard_bytes: Some(400), ..Options::default() }, ..How::default() };
    how.merge(TEXT, root, &root.join("out")).unwrap_or_else(|e| panic!("{}", refused::<()>(Err(e))));
    root.join("out")
}

fn verdict(root: &Path) -> Verdict {
    verify(&root.join("out"), &Places::of(&root.join("merge.yaml"))).unwrap()
}

/// Files named by the ways to them.
fn paths(files: &serde_json::Value) -> serde_json::Value {
    let mut files = files.clone();
    files.as_array_mut().unwrap().iter_mut().for_each(|f| f["file"] = f["path"].clone());
    files
}

/// What the system's own program says.
fn sha256sum(path: &Path) -> Option<String> {
    let done = Command::new("sha256sum").arg(path).output().ok()?;
    Some(String::from_utf8(done.stdout).unwrap().split_whitespace().next()?.to_owned())
}

#[test]
fn every_input_and_output_has_its_hash() {
    let dir = llamas();
    let root = dir.path();
    fs::write(root.join("a/tokenizer.json"), "{}").unwrap();
    let out = made(root);
    if sha256sum(&out.join("config.json")).is_none() {
        println!("skipped: there is no sha256sum");
        return;
    }
    let provenance = json_of(&out.join("provenance.json"));
    let check = |dir: &Path, files: &serde_json::Value| {
        let files = files.as_array().unwrap();
        for file in files {
            let path = dir.join(file["file"].as_str().unwrap());
            assert_eq!(file["sha256"].as_str().unwrap(), sha256sum(&path).unwrap(), "{}", path.display());
            assert_eq!(file["bytes"], fs::metadata(&path).unwrap().len());
        }
        files.len()
    };
    let listed = check(&out, &provenance["outputs"]);
    assert_eq!(listed, names(&out).len() - 1, "all but the provenance itself");
    let models = provenance["models"].as_array().unwrap();
    assert_eq!(models.len(), 2);
    for (model, files) in models.iter().zip([3, 2]) {
        assert_eq!(check(&root.join(model["model"].as_str().unwrap()), &model["files"]), files);
        assert_eq!(check(&out, &paths(&model["files"])), files, "as seen from the result");
    }
    assert_eq!(
        provenance["merge_file_sha256"].as_str().unwrap(),
        sha256sum(&out.join("merge.yaml")).unwrap()
    );
    let verdict = verdict(root);
    assert_eq!(
        (verdict.sound, verdict.inputs),
        (listed, 5),
        "the tokenizer that was copied is one of the inputs"
    );
    assert!(verdict.wrong.is_empty() && verdict.changed.is_empty(), "{verdict:?}");
}

#[test]
fn what_was_tampered_with_is_found() {
    let dir = llamas();
    let root = dir.path();
    let out = made(root);
    let shard = names(&out).into_iter().find(|n| n.starts_with("model-00002")).unwrap();
    let flip = |path: &Path| {
        let mut bytes = fs::read(path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(path, bytes).unwrap();
    };
    for name in [shard.as_str(), "config.json", "README.md", "merge.yaml", "model.safetensors.index.json"] {
        let path = out.join(name);
        let before = fs::read(&path).unwrap();
        flip(&path);
        let wrong = verdict(root).wrong;
        assert!(wrong.len() == 1 && wrong[0].contains(name) && wrong[0].contains("changed"), "{wrong:?}");
        fs::remove_file(&path).unwrap();
        let wrong = verdict(root).wrong;
        assert!(wrong.len() == 1 && wrong[0].contains(name) && wrong[0].contains("missing"), "{wrong:?}");
        fs::write(&path, before).unwrap();
    }
    assert!(verdict(root).wrong.is_empty());
    // Weights that a loader may take instead.
    fs::copy(out.join(&shard), out.join("model.safetensors")).unwrap();
    assert!(verdict(root).wrong.iter().any(|w| w.starts_with("model.safetensors is no part")));
    fs::remove_file(out.join("model.safetensors")).unwrap();
    // Inputs that are gone or others are no fault of the result.
    flip(&root.join("b/model.safetensors"));
    fs::rename(root.join("a"), root.join("elsewhere")).unwrap();
    let moved = verdict(root);
    assert!(moved.wrong.is_empty() && moved.changed.len() == 2, "{moved:?}");
    assert!(moved.changed.iter().any(|c| c.contains("a is not on this machine")), "{moved:?}");
    // A provenance that speaks of other places, or of nothing.
    let path = out.join("provenance.json");
    let (sound, text) = (json_of(&path), fs::read_to_string(&path).unwrap());
    fs::write(root.join("secret"), "s").unwrap();
    let inside = fs::canonicalize(root.join("secret")).unwrap();
    for file in ["../secret", inside.to_str().unwrap(), "", ".", "..", "x/../../secret", "./config.json"] {
        let mut bad = sound.clone();
        bad["outputs"][0]["file"] = json!(file);
        fs::write(&path, bad.to_string()).unwrap();
        let error = verify(&out, &Places::default()).unwrap_err();
        assert!(error.exit_code() == 3 && error.to_string().contains("no provenance"), "{file}: {error}");
    }
    for bad in [
        "",
        "{",
        "[]",
        "{}",
        "{\"kind\":\"merge\"}",
        "{\"kind\":\"merge\",\"outputs\":[3]}",
        "{\"kind\":\"model\",\"outputs\":[]}",
    ] {
        fs::write(&path, bad).unwrap();
        assert_eq!(verify(&out, &Places::default()).unwrap_err().exit_code(), 3, "{bad}");
    }
    // With nothing listed nothing is sound.
    fs::write(&path, "{\"kind\":\"merge\",\"outputs\":[],\"models\":3}").unwrap();
    assert!(!verify(&out, &Places::default()).unwrap().wrong.is_empty());
    fs::remove_file(&path).unwrap();
    assert_eq!(verify(&out, &Places::default()).unwrap_err().exit_code(), 3);
    // A link is not the file that was written.
    #[cfg(unix)]
    {
        fs::write(&path, &text).unwrap();
        fs::rename(out.join("config.json"), root.join("config.json")).unwrap();
        std::os::unix::fs::symlink(root.join("config.json"), out.join("config.json")).unwrap();
        assert_eq!(verify(&out, &Places::default()).unwrap().wrong, ["config.json is missing"]);
    }
}

#[test]
fn hashes_that_are_kept_never_lie() {
    let dir = llamas();
    let root = dir.path();
    let path = root.join("a/model.safetensors");
    let cache = root.join("cache");
    let how = How { cache: Some(cache.clone()), ..How::default() };
    let hash = || {
        how.merge(TEXT, root, &root.join("out")).unwrap_or_else(|e| panic!("{}", refused::<()>(Err(e))));
        json_of(&root.join("out/provenance.json"))["models"][0]["files"][0]["sha256"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let of_file = || consilience_core::files::sha256_file(&path).unwrap();
    let old = std::time::SystemTime::now() - Duration::from_secs(1000);
    let age = || fs::File::options().write(true).open(&path).unwrap().set_modified(old).unwrap();
    age();
    assert_eq!(hash(), of_file());
    std::thread::sleep(Duration::from_millis(4100));
    assert_eq!(hash(), of_file());
    assert!(fs::read_to_string(cache.join("digests.json")).unwrap().contains(&of_file()), "it is kept");
    // Another file of the same size and age: written over, and put in its place.
    Llama { seed: 7, ..LLAMA }.write(&root.join("a"));
    age();
    assert_eq!(hash(), of_file());
    let first = of_file();
    Llama { seed: 8, ..LLAMA }.write(&root.join("x"));
    fs::rename(root.join("x/model.safetensors"), &path).unwrap();
    age();
    assert!(hash() == of_file() && of_file() != first);
    for garbage in ["", "[]", "{\"/a\": 3}"] {
        fs::write(cache.join("digests.json"), garbage).unwrap();
        assert_eq!(hash(), of_file());
    }
    write(&path, &[drawn("w", &[1], 1)]);
}

#[test]
fn a_thousand_tensors_are_checked_in_no_time() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let check = |layers: usize| {
        for (name, seed) in [("a", 1), ("b", 2), ("base", 3)] {
            Llama { layers, seed, ..LLAMA }.write(&root.join(name));
        }
        let text = "merge_method: ties\nbase_model: base\nparameters: {density: [{filter: mlp, value: 0.5}, {value: 0.25}], weight: 1}\nslices:\n- sources:\n  - {model: a, layer_range: [0, LAYERS]}\n  - {model: b, layer_range: [0, LAYERS]}\n";
        let begun = std::time::Instant::now();
        let text = text.replace("LAYERS", &layers.to_string());
        let (ready, _) =
            How::default().check(&text, root).unwrap_or_else(|e| panic!("{}", refused::<()>(Err(e))));
        let seconds = begun.elapsed().as_secs_f64();
        println!("{} tensors: {seconds:.3} s", ready[0].plan.jobs.len());
        assert_eq!(ready[0].plan.jobs.len(), 3 * layers + 3);
        seconds
    };
    let small = check(333);
    let large = check(6666);
    // Twenty times as many take about twenty times as long; were it by their square, four hundred times.
    assert!(large < small.max(0.02) * 120.0, "{small} {large}");
}

#[test]
fn every_byte_of_the_provenance_counts() {
    let dir = llamas();
    let root = dir.path();
    let path = made(root).join("provenance.json");
    let text = fs::read(&path).unwrap();
    for i in (0..text.len()).step_by(7) {
        let mut bad = text.clone();
        bad[i] = if bad[i] == b'7' { b'8' } else { b'7' };
        fs::write(&path, bad).unwrap();
        if let Ok(verdict) = verify(&root.join("out"), &Places::default()) {
            assert!(verdict.wrong.iter().any(|w| w == "provenance.json has changed"), "{i}: {verdict:?}");
        }
    }
    // An output that is not listed any more.
    let mut json: serde_json::Value = serde_json::from_slice(&text).unwrap();
    json["outputs"].as_array_mut().unwrap().retain(|o| o["file"] != "README.md");
    fs::write(&path, format!("{json:#}\n")).unwrap();
    let found = verdict(root);
    assert_eq!(found.wrong, ["provenance.json has changed"]);
    fs::write(&path, &text).unwrap();
    // What lies beside it is told, and is no fault of it.
    fs::write(root.join("out/letter.txt"), "dear").unwrap();
    let found = verdict(root);
    assert_eq!((found.wrong, found.others), (vec![], vec!["letter.txt".to_owned()]));
}

#[test]
fn inputs_are_found_from_the_merge_itself() {
    let dir = llamas();
    let root = dir.path();
    let text = "name: x\nmerge_method: linear\nparameters: {weight: 1}\nmodels: [a, b]\n---\n\
                merge_method: linear\nparameters: {weight: 1}\nmodels: [x, c]\n";
    fs::create_dir(root.join("deep")).unwrap();
    let out = root.join("deep/out");
    How::default().merge(text, root, &out).unwrap_or_else(|e| panic!("{}", refused::<()>(Err(e))));
    // From wherever it is asked: what x was made of, and c.
    let found = verify(&out, &Places::default()).unwrap();
    assert_eq!((found.inputs, found.changed.len(), found.wrong.len()), (6, 0, 0), "{found:?}");
    Llama { seed: 9, ..LLAMA }.write(&root.join("b"));
    let found = verify(&out, &Places::default()).unwrap();
    assert!(found.wrong.is_empty() && found.changed.len() == 1 && found.changed[0].contains("has changed"));
    // Elsewhere they are looked for by their names.
    fs::rename(&out, root.join("moved")).unwrap();
    let found = verify(&root.join("moved"), &Places::of(&root.join("merge.yaml"))).unwrap();
    assert_eq!((found.inputs, found.changed.len()), (5, 1), "{found:?}");
}

#[test]
fn the_merge_file_is_kept_as_it_was_resolved() {
    let dir = llamas();
    let root = dir.path();
    let text = "merge_method: ties\nbase_model: a\nmodels:\n- {model: b, parameters: &half {density: 0.5}}\n\
                - {model: c, parameters: {<<: *half, weight: 2}}\n";
    let text = text.replace("{density: 0.5}", "{density: 0.5, weight: 1}");
    let out = root.join("out");
    How::default().merge(&text, root, &out).unwrap_or_else(|e| panic!("{}", refused::<()>(Err(e))));
    assert_eq!(fs::read_to_string(out.join("merge.yaml")).unwrap(), text);
    let resolved = fs::read_to_string(out.join("merge.resolved.yaml")).unwrap();
    for words in
        ["merge_method: ties", "normalize: true", "lambda: 1.0", "rescale: false", "density: 0.5, weight: 2"]
    {
        assert!(resolved.contains(words), "{words}: {resolved}");
    }
    // It is the same merge.
    How::default()
        .merge(&resolved, root, &root.join("again"))
        .unwrap_or_else(|e| panic!("{}", refused::<()>(Err(e))));
    let weights = |out: &str| fs::read(root.join(out).join("model.safetensors")).unwrap();
    assert!(weights("out") == weights("again"));
}
