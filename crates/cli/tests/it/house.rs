//! The rules of the house: who may know whom, how long a file is, which names are not used.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The longest file, tests not counted.
const LONGEST: usize = 500;

/// Names that hide what a thing is.
const BANNED: [&str; 7] = ["manager", "handler", "utils", "util", "helper", "helpers", "base"];

/// The floors of core, from the ground up; a folder may know the floors below its own and its own folder.
const FLOORS: [&[&str]; 8] = [
    &["error", "seed", "array", "registry", "files", "document"],
    &["model", "weights", "solve"],
    &["data"],
    &["metrics"],
    &["features", "learners", "augment"],
    &["members", "calibrate"],
    &["fuse", "adapt"],
    &["explain"],
];

/// Rooms of the second floor that need each other: a model directory holds arrays, arrays are the contracts' own.
const NEIGHBORS: [(&str, &str); 3] = [("model", "weights"), ("weights", "model"), ("solve", "model")];

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn sources(dir: &Path, ending: &str, out: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if !["target", "runs", ".git", "snapshots"].contains(&name.as_str()) {
                sources(&path, ending, out);
            }
        } else if name.ends_with(ending) {
            out.push(path);
        }
    }
}

fn rust_files() -> Vec<(PathBuf, String)> {
    let root = workspace();
    let mut files = Vec::new();
    sources(&root.join("crates"), ".rs", &mut files);
    assert!(files.len() > 60, "the house was not found: {} files", files.len());
    files
        .into_iter()
        .map(|p| {
            let text = fs::read_to_string(&p).unwrap();
            (p.strip_prefix(&root).unwrap().to_path_buf(), text)
        })
        .collect()
}

fn without_tests(text: &str) -> &str {
    text.split("\n#[cfg(test)]\nmod ").next().unwrap_or(text)
}

#[test]
fn files_are_short_and_named_after_an_idea() {
    let mut wrong = Vec::new();
    for (path, text) in rust_files().into_iter().filter(|(p, _)| !p.iter().any(|part| part == "tests")) {
        let lines = without_tests(&text).lines().count();
        if lines > LONGEST {
            wrong.push(format!("{}: {lines} lines without tests, at most {LONGEST}", path.display()));
        }
        let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
        if BANNED.contains(&stem.as_str()) || stem.split('_').any(|w| BANNED.contains(&w)) {
            wrong.push(format!("{}: the name says nothing", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn types_are_not_named_after_nothing() {
    let mut wrong = Vec::new();
    for (path, text) in rust_files() {
        for line in without_tests(&text).lines() {
            let line = line.trim_start();
            let declared = ["pub struct ", "pub enum ", "pub trait ", "struct ", "enum ", "trait "]
                .iter()
                .find_map(|start| line.strip_prefix(start));
            let Some(rest) = declared else { continue };
            let name: String = rest.chars().take_while(|c| c.is_alphanumeric()).collect();
            if ["Manager", "Handler", "Utils", "Util", "Helper", "Base"].iter().any(|b| name.ends_with(b)) {
                wrong.push(format!("{}: {name}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn crates_know_only_those_below() {
    let may: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("core", &[][..]),
        ("merge", &["core"][..]),
        ("nn", &["core"][..]),
        ("engine", &["core", "merge", "nn"][..]),
        ("cli", &["core", "engine"][..]),
    ]);
    for (name, allowed) in may {
        let text = fs::read_to_string(workspace().join("crates").join(name).join("Cargo.toml")).unwrap();
        for other in ["core", "merge", "nn", "engine"] {
            let known = text.lines().any(|l| l.starts_with(&format!("consilience-{other}")));
            assert!(!known || allowed.contains(&other), "{name} must not know {other}");
        }
    }
}

#[test]
fn the_floors_of_core_look_down_only() {
    let floor_of = |room: &str| FLOORS.iter().position(|rooms| rooms.contains(&room));
    let mut wrong = Vec::new();
    for (path, text) in rust_files() {
        let Ok(inner) = path.strip_prefix("crates/core/src") else { continue };
        let first = inner.iter().next().unwrap().to_string_lossy().into_owned();
        let room = first.trim_end_matches(".rs").to_owned();
        if room == "lib" {
            continue;
        }
        let Some(own) = floor_of(&room) else {
            wrong.push(format!("{}: the room \"{room}\" is on no floor", path.display()));
            continue;
        };
        for line in without_tests(&text).lines().filter(|l| !l.trim_start().starts_with("//")) {
            for part in line.split("crate::").skip(1) {
                let other: String = part.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                let Some(floor) = floor_of(&other) else { continue };
                let neighbor = NEIGHBORS.contains(&(room.as_str(), other.as_str()));
                if other != room && !neighbor && (floor > own || (floor == own && own > 0)) {
                    wrong.push(format!("{}: {room} must not know {other}", path.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn only_one_file_names_the_tensor_backend() {
    for (path, text) in rust_files() {
        let names = without_tests(&text).lines().any(|l| {
            let l = l.trim_start();
            !l.starts_with("//") && (l.contains("burn::") || l.contains("burn_"))
        });
        if names && !path.iter().any(|part| part == "tests") {
            assert!(path.starts_with("crates/nn/src"), "{} names the tensor backend", path.display());
            assert!(path.ends_with("backend.rs"), "{} names the tensor backend", path.display());
        }
    }
}

#[test]
fn no_path_of_a_machine_is_written_down() {
    let root = workspace();
    let mut files = Vec::new();
    for ending in [".rs", ".toml", ".md", ".yaml", ".py", ".json"] {
        sources(&root, ending, &mut files);
    }
    let marks: Vec<String> = ["work", "root", "home/"].iter().map(|d| format!("/{d}/")).collect();
    for path in files {
        let text = fs::read_to_string(&path).unwrap_or_default();
        for mark in &marks {
            assert!(!text.contains(mark.as_str()), "{} holds {mark}", path.display());
        }
    }
}
