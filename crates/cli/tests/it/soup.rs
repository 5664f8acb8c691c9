//! The recipe of soups on the digits of the demo: networks from one start become one network, which is none the worse for it.

use std::io::Read;
use std::path::Path;

use serde_json::Value;

use super::sandbox::Sandbox;

/// The 1,797 digits of the demo under the names of the recipe's files, 1,200 for fitting, 200 for choosing, the rest for judging.
fn digits(sandbox: &Sandbox) {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let file = std::fs::File::open(repository.join("testdata/demo/digits.zip")).unwrap();
    let mut archive = zip::ZipArchive::new(file).unwrap();
    let (mut pairs, mut images) = (String::new(), Vec::new());
    archive.by_name("pairs.csv").unwrap().read_to_string(&mut pairs).unwrap();
    archive.by_name("images_clean.idx3.gz").unwrap().read_to_end(&mut images).unwrap();
    for name in ["train", "t10k"] {
        sandbox.write(&format!("digits/mnist/{name}-images-idx3-ubyte.gz"), &images);
    }
    let mut lines = vec!["split,mnist_index,label".to_owned()];
    for (i, line) in pairs.lines().skip(1).enumerate() {
        let cells: Vec<&str> = line.split(',').collect();
        let part = match i {
            0..1200 => "train",
            1200..1400 => "val",
            _ => "test",
        };
        lines.push(format!("{part},{},{}", cells[2], cells[5]));
    }
    sandbox.table("digits/manifest.csv", &lines);
}

fn candidate<'a>(outcome: &'a Value, name: &str) -> &'a Value {
    let all = outcome["candidates"].as_array().unwrap();
    all.iter().find(|c| c["name"] == name).unwrap_or_else(|| panic!("no {name} in {outcome}"))
}

#[test]
fn networks_from_one_start_are_better_as_one() {
    let sandbox = Sandbox::new();
    digits(&sandbox);
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut text = std::fs::read_to_string(repository.join("recipes/soup.yaml")).unwrap();
    for (whole, here) in [("1000", "120"), ("4000", "480"), ("7000", "840")] {
        text = text.replace(&format!(" {whole}"), &format!(" {here}"));
    }
    // So few rows make few steps.
    let text = text.replace("inner: 0", "inner: 0, rate: 0.01");
    sandbox.write("r.yaml", text);
    sandbox.csl(&["check", "r.yaml", "--data", "digits"]).fine();
    let outcome = sandbox.csl(&["run", "r.yaml", "--data", "digits", "--json"]).fine().json();
    for name in ["vote", "average", "greedy", "sphere", "ties"] {
        let score = &candidate(&outcome, name)["scores"][0];
        let against = &score["against_best_single"];
        // 397 judged rows: better than the best of the three beyond the interval of the difference.
        assert!(against["high"].as_f64().unwrap() < 0.0, "{name}: {score}");
    }
    let best = outcome["verdict"]["best_single"].as_str().unwrap();
    assert!(["one", "two", "three"].contains(&best), "{best}");
    let notes = outcome["verdict"]["notes"].to_string();
    for (name, tried) in [("greedy", "the average of"), ("ties", "of 9 that were tried")] {
        assert!(notes.contains(&format!("\\\"{name}\\\": ")) && notes.contains(tried), "{notes}");
    }
    // Nothing is tried again, and the report tells what was chosen.
    let again = sandbox.csl(&["run", "r.yaml", "--data", "digits", "--json"]).fine().json();
    assert_eq!(candidate(&again, "ties")["scores"], candidate(&outcome, "ties")["scores"]);
    let report = std::fs::read_to_string(sandbox.run("runs").join("report.html")).unwrap();
    assert!(report.contains("of 9 that were tried"));
}
