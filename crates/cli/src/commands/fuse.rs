//! `csl fuse`.

use std::path::Path;
use std::process::ExitCode;

use consilience_core::Error;
use consilience_core::files::write_atomic;
use consilience_core::model::Stop;
use consilience_engine::guess::{Tables, recipe_of_tables};

use consilience_engine::tables::{Composing, compose};

use super::recipes::from_text;
use super::run::go;
use crate::arguments::{Fuse, Places};
use crate::fault::Fault;
use crate::show;

/// Composes tables of predictions.
pub fn fuse(how: &Fuse, json: bool, stop: &Stop) -> Result<ExitCode, Fault> {
    if let (Some(model), Some(out)) = (&how.with, &how.out) {
        return with(model, out, how, json, stop);
    }
    let made = recipe_of_tables(&Tables {
        predictions: &how.predictions,
        target: how.target.as_deref(),
        label: how.label.as_deref(),
        id: how.id.as_deref(),
        fold: how.fold.as_deref(),
        group: how.group.as_deref(),
        weight: how.weight.as_deref(),
        split: how.split.as_deref(),
        unseen: how.unseen,
        labels: how.labels,
        names: &how.names,
        by: &how.by,
        calibrate: how.calibrate.as_deref(),
        choose: how.choose.as_deref(),
    })?;
    if let Some(path) = &how.recipe {
        if path.exists() {
            return Err(Error::argument("the file is there already")
                .at(path.display())
                .remedy("name another")
                .into());
        }
        write_atomic(path, made.text.as_bytes())?;
        show::out(&format!("{}\nnext: csl run {0} --data {}\n", path.display(), made.root.display()));
        return Ok(ExitCode::SUCCESS);
    }
    let places = Places { data: Some(made.root.clone()), runs: how.runs.clone(), seed: how.seed };
    let ready = from_text(made.text, "fuse.yaml".to_owned(), made.root, &places, json)?;
    let command =
        std::iter::once("csl".to_owned()).chain(std::env::args().skip(1)).collect::<Vec<_>>().join(" ");
    go(&ready, &places, how.fresh, false, json, stop, command)
}

/// Composes new tables by a model.
fn with(model: &Path, out: &Path, how: &Fuse, json: bool, stop: &Stop) -> Result<ExitCode, Fault> {
    let composing =
        Composing { model, predictions: &how.predictions, names: &how.names, id: how.id.as_deref(), out };
    let done = compose(&composing, stop)?;
    if json {
        let value = serde_json::json!({"rows": done.rows, "silent": done.silent, "out": out});
        show::out(&format!("{value:#}\n"));
    } else {
        show::out(&format!("{} rows -> {}\n", done.rows, out.display()));
        if done.silent > 0 {
            show::warn(&format!("{} rows are in no table; their cells are empty", done.silent));
        }
    }
    Ok(ExitCode::SUCCESS)
}
