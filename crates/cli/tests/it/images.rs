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
