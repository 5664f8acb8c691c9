//! Images in a folder per class, the whole way: residual networks from one start, composed and merged.

use std::io::Read;
use std::path::Path;

use serde_json::Value;

use super::sandbox::{Sandbox, png};

/// The handwritten digits of the demo as files: so many of each class, in a folder of its own.
fn digits(sandbox: &Sandbox, each: usize) {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let file = std::fs::File::open(repository.join("testdata/demo/digits.zip")).unwrap();
    let mut archive = zip::ZipArchive::new(file).unwrap();
    let mut table = String::new();
    archive.by_name("pairs.csv").unwrap().read_to_string(&mut table).unwrap();
    let mut images = Vec::new();
    let packed = archive.by_name("images_clean.idx3.gz").unwrap();
    flate2::read::GzDecoder::new(packed).read_to_end(&mut images).unwrap();
    let mut seen = [0; 10];
    for line in table.lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        let (row, class): (usize, usize) = (cells[2].parse().unwrap(), cells[5].parse().unwrap());
        if seen[class] < each {
            seen[class] += 1;
            let pixels = &images[16 + row * 64..][..64];
            sandbox.write(&format!("photos/{class}/{row}.png"), png(8, 8, pixels));
        }
    }
    assert_eq!(seen, [each; 10]);
}

fn recipe() -> String {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    std::fs::read_to_string(repository.join("recipes/resnets.yaml")).unwrap()
}

fn score(outcome: &Value, name: &str, metric: &str) -> f64 {
    let all = outcome["candidates"].as_array().unwrap();
    let one = all.iter().find(|c| c["name"] == name).unwrap_or_else(|| panic!("no {name} in {outcome}"));
    let score = one["scores"].as_array().unwrap().iter().find(|s| s["metric"] == metric);
    score.and_then(|s| s["value"].as_f64()).unwrap_or_else(|| panic!("no {metric} in {one}"))
}

#[test]
fn residual_networks_from_one_start_become_one_model_again() {
    let sandbox = Sandbox::new();
    digits(&sandbox, 60);
    sandbox.write("r.yaml", recipe());
    let plan = sandbox.csl(&["plan", "r.yaml", "--layers", "--data", "photos"]).fine().out;
    for line in ["encoders.image.conv1 8x32x32", "encoders.image.layer4.1 64x4x4", "avgpool 64", "head 10"] {
        assert!(plan.contains(line), "no \"{line}\" in\n{plan}");
    }
    let outcome = sandbox.csl(&["run", "r.yaml", "--data", "photos", "--json"]).fine().json();
    for name in ["base", "head", "tuned", "moved", "average", "weighted", "merged"] {
        let accuracy = score(&outcome, name, "accuracy");
        // 150 judged rows; one in ten is right by chance.
        assert!(accuracy > 0.8, "{name}: {accuracy}");
    }
}

#[test]
fn members_start_from_a_checkpoint_and_others_from_them() {
    let sandbox = Sandbox::new();
    digits(&sandbox, 8);
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let checkpoint = repository.join("testdata/golden/checkpoints/resnet18.pth");
    std::fs::copy(checkpoint, sandbox.path("start.pth")).unwrap();
    let text = "\
version: 1
name: outside
task: classify
data: {table: t.csv, columns: {y: {role: target}, image: {type: image, path: file}}}
split: {holdout: 0.3, validation: 0.2}
honest: validation
features: {image: [{tensor: {channels: 3}}]}
members:
  one: {fit: resnet, on: [image], width: 2, weights: start.pth, epochs: 1, inner: 0}
  two: {fit: resnet, on: [image], width: 2, from: one, epochs: 1, inner: 0}
  three: {fit: resnet, on: [image], width: 2, epochs: 1, inner: 0}
synthesis:
  merged: {merge: linear, of: [one, two, three]}
";
    let mut lines = vec!["file,y".to_owned()];
    for class in 0..3 {
        for entry in std::fs::read_dir(sandbox.path(&format!("photos/{class}"))).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            lines.push(format!("photos/{class}/{name},c{class}"));
        }
    }
    lines[1..].sort();
    sandbox.table("t.csv", &lines);
    sandbox.write("r.yaml", text);
    let said = sandbox.csl(&["run", "r.yaml", "--json"]).fine();
    assert!(said.out.contains("started from start.pth; its classifier is kept"), "{}", said.out);
    let both = text.replace("from: one,", "from: one, weights: start.pth,");
    sandbox.write("both.yaml", both);
    sandbox.csl(&["check", "both.yaml"]).fails(2, &["not from both", "both.yaml:10"]);
    sandbox.write("gray.yaml", text.replace("{channels: 3}", "{channels: 1}"));
    sandbox.csl(&["check", "gray.yaml"]).fails(3, &["one", "start.pth", "tensor: {channels: 3}"]);
}
