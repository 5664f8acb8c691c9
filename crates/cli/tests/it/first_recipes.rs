//! The recipes that `csl init` writes for tables and folders of every kind are checked and run as they stand.

use std::fmt::Write as _;

use super::sandbox::{Chance, Sandbox, png};

/// Rows of each class.
const EACH: usize = 15;

/// A sound of 16 bits.
fn wav(rate: u32, samples: &[i16]) -> Vec<u8> {
    let size = 2 * samples.len() as u32;
    let mut out = b"RIFF".to_vec();
    out.extend((36 + size).to_le_bytes());
    out.extend(b"WAVEfmt ");
    out.extend(16u32.to_le_bytes());
    out.extend([1, 0, 1, 0]);
    out.extend(rate.to_le_bytes());
    out.extend((2 * rate).to_le_bytes());
    out.extend([2, 0, 16, 0]);
    out.extend(b"data");
    out.extend(size.to_le_bytes());
    out.extend(samples.iter().flat_map(|s| s.to_le_bytes()));
    out
}

fn picture(chance: &mut Chance, side: u32, bright: bool) -> Vec<u8> {
    let pixels: Vec<u8> = (0..side * side)
        .map(|i| {
            let stripe = if bright { i % side } else { i / side } % 4 < 2;
            (f64::from(u8::from(stripe)) * 150.0 + 50.0 * chance.unit()) as u8
        })
        .collect();
    png(side, side, &pixels)
}

fn sound(chance: &mut Chance, high: bool) -> Vec<u8> {
    let pitch = if high { 0.9 } else { 0.2 };
    let length = 700 + chance.bits() % 600;
    let samples: Vec<i16> =
        (0..length).map(|i| ((i as f64 * pitch).sin() * 8000.0 + 2000.0 * chance.noise()) as i16).collect();
    wav(8000, &samples)
}

fn text(chance: &mut Chance, good: bool) -> String {
    let words = if good { ["good", "fine", "warm"] } else { ["bad", "cold", "wet"] };
    let mut out = "the day was".to_owned();
    for _ in 0..4 {
        let word = if chance.unit() < 0.8 { words[(chance.bits() % 3) as usize] } else { "long" };
        let _ = write!(out, " {word}");
    }
    out
}

fn signal(chance: &mut Chance, rises: bool) -> String {
    let steps = 6 + chance.bits() % 8;
    let slope = if rises { 0.2 } else { -0.2 };
    let mut out = "x,y\n".to_owned();
    for t in 0..steps {
        let _ = writeln!(out, "{:.4},{:.4}", slope * t as f64 + 0.2 * chance.noise(), chance.noise());
    }
    out
}

/// Writes a first recipe, and checks and runs it as it stands: its text.
fn runs(sandbox: &Sandbox, init: &[&str], members: &[&str]) -> String {
    let arguments: Vec<&str> = ["init"].iter().chain(init).chain(&["--out", "first.yaml"]).copied().collect();
    sandbox.csl(&arguments).fine();
    let text = std::fs::read_to_string(sandbox.path("first.yaml")).unwrap();
    for member in members {
        assert!(text.contains(&format!("  {member}: {{fit: ")), "no member {member} in\n{text}");
    }
    for fuser in ["soft_vote", "stacking"] {
        assert!(text.contains(&format!("{{fuse: {fuser}, of: [")), "no {fuser} in\n{text}");
    }
    // Every guess about a column, and every member, says why.
    let guessed =
        text.lines().skip_while(|l| *l != "  columns:").skip(1).take_while(|l| l.starts_with("    "));
    for line in guessed.chain(text.lines().filter(|l| l.contains("{fit: "))) {
        assert!(line.contains("  # "), "unexplained: {line}");
    }
    let checked = sandbox.csl(&["check", "first.yaml"]);
    assert_eq!(checked.code, Some(0), "{}\n{}\n{text}", checked.out, checked.err);
    let ran = sandbox.csl(&["run", "first.yaml", "--json"]);
    assert_eq!(ran.code, Some(0), "{}\n{}\n{text}", ran.out, ran.err);
    let candidates = ran.json()["candidates"].as_array().unwrap().len();
    assert!(candidates >= members.len() + 2, "{candidates} candidates\n{text}");
    text
}

/// A folder with a folder of `EACH` files for each of two classes.
fn folder(sandbox: &Sandbox, ending: &str, mut make: impl FnMut(&mut Chance, usize, bool) -> Vec<u8>) {
    let mut chance = Chance(11);
    for i in 0..2 * EACH {
        let one = i % 2 == 0;
        let class = if one { "one" } else { "two" };
        sandbox.write(&format!("data/{class}/{i}.{ending}"), make(&mut chance, i, one));
    }
}

#[test]
fn a_folder_of_pictures() {
    let sandbox = Sandbox::new();
    folder(&sandbox, "png", |chance, _, one| picture(chance, 8, one));
    let text = runs(&sandbox, &["data"], &["cnn", "logistic", "random_forest"]);
    assert!(!text.contains("features: "), "{text}");
}

#[test]
fn a_folder_of_pictures_of_several_sizes() {
    let sandbox = Sandbox::new();
    folder(&sandbox, "png", |chance, i, one| picture(chance, 8 + i as u32 % 3, one));
    let text = runs(&sandbox, &["data"], &["cnn", "logistic", "random_forest"]);
    assert!(text.contains("# image: its images have several sizes"), "{text}");
}

#[test]
fn a_folder_of_sounds() {
    let sandbox = Sandbox::new();
    folder(&sandbox, "wav", |chance, _, one| sound(chance, one));
    let text = runs(&sandbox, &["data"], &["cnn", "gru", "logistic"]);
    assert!(text.contains("# audio: its sounds of 8000 Hz") && text.contains("frames: "), "{text}");
}

#[test]
fn a_folder_of_texts() {
    let sandbox = Sandbox::new();
    folder(&sandbox, "txt", |chance, _, one| text(chance, one).into_bytes());
    runs(&sandbox, &["data"], &["logistic", "naive_bayes", "random_forest", "mlp"]);
}

#[test]
fn a_folder_of_sequences() {
    let sandbox = Sandbox::new();
    folder(&sandbox, "csv", |chance, _, one| signal(chance, one).into_bytes());
    let members = ["gru", "cnn", "logistic", "random_forest", "gradient_boosting"];
    let text = runs(&sandbox, &["data"], &members);
    assert!(text.contains("steps of 2 numbers"), "{text}");
}

#[test]
fn a_table_with_an_id_a_group_and_files_of_every_kind() {
    let sandbox = Sandbox::new();
    let mut chance = Chance(3);
    let head = "case_id,patient,code,day,a,kind,note,scan_file,cough_file,pulse_path,far,outcome";
    let mut lines = vec![head.to_owned()];
    for i in 0..60 {
        let one = chance.unit() < 0.5;
        sandbox.write(&format!("files/{i}.png"), picture(&mut chance, 8, one));
        sandbox.write(&format!("files/{i}.wav"), sound(&mut chance, one));
        sandbox.write(&format!("files/{i}.csv"), signal(&mut chance, one));
        let scan = if i % 9 == 4 { String::new() } else { format!("files/{i}.png") };
        lines.push(format!(
            "{},p{},c{i}x,2024-01-{:02},{:.3},{},{},{scan},files/{i}.wav,files/{i}.csv,elsewhere/{i}.wav,{}",
            i + 100,
            i / 2,
            1 + i % 28,
            chance.noise() + f64::from(u8::from(one)),
            ["u", "v"][i % 2],
            text(&mut chance, one),
            if one { "ill" } else { "well" }
        ));
    }
    sandbox.table("t.csv", &lines);
    let members = [
        "table_logistic",
        "table_gradient_boosting",
        "note_logistic",
        "note_naive_bayes",
        "scan_cnn",
        "scan_logistic",
        "cough_cnn",
        "cough_gru",
        "pulse_gru",
        "pulse_cnn",
    ];
    let text = runs(&sandbox, &["t.csv", "--target", "outcome"], &members);
    for line in [
        "case_id: {role: id} ",
        "patient: {role: group} ",
        "code: {role: ignore} ",
        "day: {role: ignore} ",
        "far: {role: ignore} ",
        "note: {type: text} ",
        "scan: {path: scan_file, type: image} ",
        "cough: {path: cough_file, type: audio} ",
        "pulse: {path: pulse_path, type: sequence} ",
        "outcome: {role: target} ",
        "a: {type: number} ",
        "kind: {type: category} ",
        "group: patient}",
        "{fusion: concat, on: [table, ",
    ] {
        assert!(text.contains(line), "\"{line}\" is not in\n{text}");
    }
    // Ids are those of the table, and what names rows is no input.
    let model = sandbox.run("runs").join("model");
    sandbox.csl(&["predict", model.to_str().unwrap(), "t.csv", "--out", "p.csv"]).fine();
    let predicted = std::fs::read_to_string(sandbox.path("p.csv")).unwrap();
    assert!(predicted.lines().nth(1).unwrap().starts_with("100,"), "{predicted}");
}

#[test]
fn a_table_of_values_with_files_that_are_something_else() {
    let sandbox = Sandbox::new();
    let mut chance = Chance(9);
    let mut lines = vec!["n,a,b,letter,y".to_owned()];
    for i in 0..60 {
        sandbox.write(&format!("files/{i}.csv"), "dear,reader\nthis,is\n");
        let (a, b) = (chance.noise(), chance.noise());
        lines.push(format!("{i},{a:.4},{b:.4},files/{i}.csv,{:.4}", a - b + 0.1 * chance.noise()));
    }
    sandbox.table("t.csv", &lines);
    let text = runs(&sandbox, &["t.csv", "--target", "y"], &["linear", "knn", "random_forest", "mlp"]);
    assert!(text.contains("task: regress") && text.contains("n: {role: id} "), "{text}");
    assert!(text.contains("letter: {role: ignore}  # names of files that cannot be read: "), "{text}");
}

#[test]
fn few_rows_of_a_class_give_fewer_folds() {
    let sandbox = Sandbox::new();
    let mut chance = Chance(4);
    let mut lines = vec!["a,b,y".to_owned()];
    for i in 0..40 {
        let rare = i % 10 == 0;
        lines.push(format!(
            "{:.4},{:.4},{}",
            chance.noise() + 2.0 * f64::from(u8::from(rare)),
            chance.noise(),
            if rare { "rare" } else { "usual" }
        ));
    }
    sandbox.table("t.csv", &lines);
    let text = runs(&sandbox, &["t.csv", "--target", "y"], &["logistic", "knn"]);
    assert!(
        text.contains("One class has 4 rows, so there are 3 folds.") && text.contains("{folds: 3}"),
        "{text}"
    );
}
