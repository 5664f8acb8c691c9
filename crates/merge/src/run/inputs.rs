//! Every file that a merge is made of.

use std::path::{Component, Path, PathBuf};

use serde_json::{Value, json};

use super::record::beside_weights;
use crate::config::Config;
use crate::model::Model;
use crate::plan::Plan;

/// The files of each model: those with its weights, its configuration, its adapter; and its tokenizer where that goes into the result.
pub fn of(config: &Config, models: &[Model], plan: &Plan) -> Vec<Vec<PathBuf>> {
    let files = |(i, model): (usize, &Model)| {
        let mut files = model.files().to_vec();
        if i == plan.donor || config.reads_all_tokenizers() {
            files.extend(beside_weights(&model.dir));
        }
        files
    };
    models.iter().enumerate().map(files).collect()
}

/// The way from a folder to a file; both paths are absolute.
pub fn relative(from: &Path, to: &Path) -> PathBuf {
    let same = from.components().zip(to.components()).take_while(|(a, b)| a == b).count();
    let up = from.components().skip(same).map(|_| Component::ParentDir);
    up.chain(to.components().skip(same)).collect()
}

/// A path without `..`, as far as names tell.
fn plain(path: &Path) -> PathBuf {
    let mut all = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                all.pop();
            }
            part => all.push(part),
        }
    }
    all
}

/// What a provenance in the folder `from` says of models, with paths that start from the folder `to`.
pub fn moved(models: &Value, from: &Path, to: &Path) -> Value {
    let mut models = models.clone();
    for model in models.as_array_mut().into_iter().flatten() {
        for file in model.get_mut("files").and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(path) = file.get("path").and_then(Value::as_str) {
                let path = relative(to, &plain(&from.join(path)));
                file["path"] = json!(path);
            }
        }
        if let Some(inner) = model.get_mut("merged").and_then(|m| m.get_mut("models")) {
            *inner = moved(inner, from, to);
        }
    }
    models
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_lead_from_folders_to_files() {
        let way = |from: &str, to: &str| relative(Path::new(from), Path::new(to)).display().to_string();
        assert_eq!(way("/a/out", "/a/m/x"), "../m/x");
        assert_eq!(way("/a/b/out", "/c/x"), "../../../c/x");
        let models = json!([{"files": [{"file": "x", "path": "../../m/x"}],
            "merged": {"models": [{"files": [{"path": "../../n/y"}]}]}}]);
        let moved = moved(&models, Path::new("/a/parts/0"), Path::new("/a/out"));
        assert_eq!(moved[0]["files"][0]["path"], "../m/x");
        assert_eq!(moved[0]["merged"]["models"][0]["files"][0]["path"], "../n/y");
    }
}
