//! ONNX models as members and as feature steps, from outside.

use std::path::PathBuf;

use consilience_engine::predict::open_unlabelled;
use consilience_engine::recipe::load;

use crate::place::{HALVES, Place, Seen, candidate, files, has_note, json, recipe};
use consilience_core::model::Stop;
use consilience_engine::catalog;
use consilience_engine::plan::{Refused, plan};

fn golden(name: &str) -> Vec<u8> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/golden/onnx"));
    std::fs::read(folder.join(name)).unwrap()
}

/// A folder with rows and models.
fn place(models: &[&str]) -> Place {
    let place = Place::new();
    models.iter().for_each(|m| place.write(m, golden(m)));
    place
}

/// What `csl check` says of a recipe.
fn checked(place: &Place, text: &str) -> String {
    let checked = match load(text, "t.yaml", &catalog::methods()) {
        Ok(checked) => checked,
        Err(findings) => return findings.to_string(),
    };
    match plan(&checked, place.path(), place.path()) {
        Ok(_) => String::new(),
        Err(Refused::Findings(findings)) => findings.to_string(),
        Err(Refused::Error(error)) => error.to_string(),
    }
}

const THEIRS: &str =
    "theirs: {load: logistic.onnx, seen: none, inputs: {X: [a, b, c]}, classes: [\"no\", \"yes\"]}";

#[test]
fn a_scikit_learn_model_is_a_member_and_stays_a_file_in_what_is_exported() {
    let place = place(&["logistic.onnx", "forest.onnx"]);
    let forest = THEIRS.replace("theirs", "forest").replace("logistic", "forest");
    let text = recipe(
        "validation",
        &format!("{THEIRS}, {forest}, {HALVES}"),
        "both: {fuse: soft_vote, of: [theirs, forest]}",
    );
    let done = place.run(&text);
    // Its maker knew what the columns mean: it beats members that know one of them each.
    let of = |name: &str| candidate(&done, name).scores[0].value;
    assert!(of("theirs") < of("knows_a") && of("theirs") < of("knows_b") && of("forest") < of("knows_a"));
    assert!(!has_note(&done, "is not known"));
    assert_eq!(candidate(&done, "theirs").cost.parameters, None);
    // What the composition of both exports holds both files, and predicts without the ones that it came from.
    let both = place.run(&text.replace(&format!(", {HALVES}"), ""));
    let model = both.dir.join("model");
    std::fs::remove_file(place.path().join("logistic.onnx")).unwrap();
    let written = files(&model);
    let onnx: Vec<&String> = written.keys().filter(|f| f.ends_with(".onnx")).collect();
    assert!(!onnx.is_empty() && onnx.iter().all(|f| f.ends_with("files/model.onnx")), "{onnx:?}");
    let opened = open_unlabelled(&model, &place.path().join("rows.csv"), None).unwrap();
    assert_eq!(opened.predict(&Stop::default()).unwrap().rows(), 400);
    // A changed byte of it is noticed.
    let file = model.join(onnx[0]);
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[40] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let error = open_unlabelled(&model, &place.path().join("rows.csv"), None).err().unwrap();
    assert!(error.to_string().contains("model.onnx"), "{error}");
}

#[test]
fn the_same_bytes_come_out_of_any_number_of_threads() {
    let place = place(&["network.onnx"]);
    let text = recipe("validation", &THEIRS.replace("logistic", "network"), "");
    let run = |threads: usize, runs: &str| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let done = pool.install(|| place.request(&text, runs, false, &Seen::default()).unwrap());
        (files(&done.dir.join("model")), std::fs::read(done.dir.join("predictions.parquet")).unwrap())
    };
    assert!(run(1, "one") == run(2, "two"));
}

#[test]
fn steps_are_found_again_until_the_model_changes() {
    let place = place(&["logistic.onnx", "network.onnx"]);
    let text = recipe("validation", THEIRS, "");
    let steps = || {
        let seen = Seen::default();
        place.request(&text, "runs", false, &seen).unwrap();
        seen.done().len()
    };
    assert!(steps() > 0);
    assert_eq!(steps(), 0);
    place.write("logistic.onnx", golden("network.onnx"));
    assert!(steps() > 0);
}

#[test]
fn classes_are_matched_by_name_and_values_are_predicted() {
    let place = place(&["logistic.onnx", "ridge.onnx", "boosting_values.onnx"]);
    let straight = place.run(&recipe("validation", THEIRS, ""));
    // The file names its classes, and contradicts another order of them.
    let turned = recipe("validation", &THEIRS.replace("[\"no\", \"yes\"]", "[\"yes\", \"no\"]"), "");
    let text = checked(&place, &turned);
    assert!(text.contains("in another order") && text.contains("classes: [no, yes]"), "{text}");
    // Where it calls them otherwise, the recipe alone says what they are.
    let file: Vec<u8> = golden("logistic.onnx");
    let file = file.iter().enumerate().map(|(i, b)| {
        let ends = i >= 2 && &file[i - 2..=i] == b"yes";
        if ends { b'p' } else { *b }
    });
    place.write("logistic.onnx", file.collect::<Vec<u8>>());
    let turned = place.run(&turned);
    let score = |done| candidate(done, "theirs").scores[0].value;
    assert!(score(&straight) < 0.4 && score(&turned) > 1.0, "{} {}", score(&straight), score(&turned));
    let values = "ridge: {load: ridge.onnx, seen: none, inputs: {X: [a, b, c]}}, \
                  trees: {load: boosting_values.onnx, inputs: {X: [a, b, c]}}, half: {fit: linear, on: [a]}";
    let text = recipe("validation", values, "both: {fuse: soft_vote, of: [ridge, trees]}")
        .replace("classify", "regress")
        .replace("label: {role", "value: {role")
        .replace("log_loss, report: [accuracy]", "rmse");
    let done = place.run(&text);
    let rmse = |name: &str| candidate(&done, name).scores[0].value;
    assert!(rmse("ridge") < 0.4 && rmse("trees") < rmse("half"), "{} {}", rmse("ridge"), rmse("trees"));
    assert!(has_note(&done, "what \"trees\" was fitted on is not known"));
}

#[test]
fn missing_numbers_are_refused_unless_the_model_knows_them() {
    let place = place(&["imputed.onnx"]);
    let gap = std::fs::read_to_string(place.path().join("rows.csv")).unwrap();
    // The number b of every seventh row.
    let gap: String = gap
        .lines()
        .enumerate()
        .map(|(i, line)| {
            let mut cells: Vec<&str> = line.split(',').collect();
            if i > 0 && i % 7 == 0 {
                cells[2] = "";
            }
            cells.join(",") + "\n"
        })
        .collect();
    place.write("rows.csv", gap);
    let theirs = THEIRS.replace("logistic", "imputed");
    let (code, error) = place.refused(&recipe("validation", &theirs, ""));
    assert!(code == 3 && error.contains("missing: nan") && error.contains("\"b\""), "{error}");
    let done = place.run(&recipe("validation", &theirs.replace("seen:", "missing: nan, seen:"), ""));
    assert!(candidate(&done, "theirs").scores[0].value < 0.5);
}

#[test]
fn what_does_not_fit_is_said_at_its_place() {
    let place = place(&["logistic.onnx", "logistic_zipmap.onnx", "columns.onnx"]);
    let said = |theirs: &str, parts: &[&str]| {
        let text = checked(&place, &recipe("validation", theirs, ""));
        assert!(parts.iter().all(|p| text.contains(p)), "{theirs}\n{text}");
    };
    let with = |old: &str, new: &str| THEIRS.replace(old, new);
    said(&with("X: [a, b, c]", "x: [a, b, c]"), &["no input \"x\"", "X: float [?, 3]", "t.yaml:8"]);
    said(&with("[a, b, c]", "[a, b]"), &["do not fill the input \"X\"", "X: float [?, 3]", "[2]"]);
    said(&with("[a, b, c]", "[a, b, d]"), &["\"d\" is not declared"]);
    said(&with("\"yes\"]", "\"maybe\"]"), &["classes", "maybe", "in the order of the model's outputs"]);
    said(&with(", classes: [\"no\", \"yes\"]", ""), &["classes", "not declared", "no, yes"]);
    said(
        &with("seen: none", "output: probabilites"),
        &["no output \"probabilites\"", "did you mean \"probabilities\"", "label: string"],
    );
    said(&with("seen: none", "output: label"), &["\"label\"", "tensor of floats"]);
    said(&with("logistic", "logistic_zipmap"), &["output_probability: a sequence", "zipmap", "False"]);
    said(&with("seen: none", "features: {a: [standardize]}"), &["\"standardize\" learns", "normalize"]);
    said(&with("seen: none", "features: {d: [scale]}"), &["\"d\""]);
    said(&with("inputs: {X: [a, b, c]}, ", ""), &["does not say which columns feed it"]);
    said(&with("logistic.onnx", "logistic"), &["\"inputs\" is for ONNX files"]);
    said(&with("seen: none", "gives: votes"), &["votes", "logits"]);
    said(&with("logistic.onnx", "absent.onnx"), &["is not there"]);
    said(
        &with("logistic.onnx", "columns.onnx").replace("X: [a, b, c]", "a: [a]"),
        &["not fed", "part: string [?, 1]"],
    );
    place.write("logistic.onnx", &golden("logistic.onnx")[..300]);
    said(THEIRS, &["theirs", "cut off or damaged"]);
}

#[test]
fn a_resolved_recipe_with_onnx_is_the_same_recipe() {
    let theirs = "theirs: {load: a/m.onnx, seen: part, inputs: {X: [a], image: [b]}, \
                  features: {b: [{normalize: {mean: [1], deviation: [2]}}]}, output: o, gives: logits, \
                  missing: nan, classes: [\"no\", \"yes\"]}";
    let place = Place::new();
    let first = place.recipe(&recipe("validation", theirs, ""));
    let again = consilience_engine::recipe::resolved_yaml(&first).unwrap();
    assert_eq!(place.recipe(&again), first, "{again}");
}

/// Images of the demo with a folder for them.
fn digits() -> Place {
    let place = place(&["encoder.onnx", "encoder.onnx.data"]);
    let archive = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/demo/digits.zip");
    let mut archive = zip::ZipArchive::new(std::fs::File::open(archive).unwrap()).unwrap();
    for name in ["pairs.csv", "images.idx3.gz"] {
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut archive.by_name(name).unwrap(), &mut bytes).unwrap();
        place.write(name, bytes);
    }
    let cnn = concat!(env!("CARGO_MANIFEST_DIR"), "/../../recipes/onnx/digits_cnn.onnx");
    std::fs::create_dir(place.path().join("onnx")).unwrap();
    std::fs::copy(cnn, place.path().join("onnx/digits_cnn.onnx")).unwrap();
    place
}

#[test]
fn a_torch_network_is_a_member_and_its_features_are_a_step() {
    let place = digits();
    let text =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../recipes/onnx.yaml")).unwrap();
    let done = place.run(&text);
    let of = |name: &str| candidate(&done, name).scores[0].value;
    assert!(of("theirs") < of("pixels"), "{} {}", of("theirs"), of("pixels"));
    // Its features under a linear head of ours: as good as its own within a little.
    let encoded = text.replace(
        "  pixels:",
        "  encoded: {fit: logistic, on: [image], c: 0.05, features: {image: [tensor, {normalize: {mean: [0.3], \
         deviation: [0.35]}}, {onnx: {file: encoder.onnx}}, flatten, standardize]}}\n  pixels:",
    );
    let done = place.run(&encoded);
    let of = |name: &str| candidate(&done, name).scores[0].value;
    assert!(of("encoded") < of("pixels"), "{} {}", of("encoded"), of("pixels"));
    // The step depends on the numbers beside the file.
    let steps = || {
        let seen = Seen::default();
        place.request(&encoded, "runs", false, &seen).map(|_| seen.done())
    };
    assert!(steps().unwrap().is_empty());
    let mut bytes = golden("encoder.onnx.data");
    bytes[100] ^= 0x08;
    place.write("encoder.onnx.data", bytes);
    assert!(steps().unwrap().iter().any(|s| s.contains("encoded")));
    // Without a step that says otherwise its logits are no probabilities.
    let wrong = text.replace("gives: logits", "gives: probabilities");
    let (code, error) = place.refused(&wrong);
    assert!(code == 3 && error.contains("gives: logits"), "{error}");
    let provenance = json(&done.dir.join("model/provenance.json"));
    assert!(provenance.is_object());
}
