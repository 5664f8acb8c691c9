//! `csl predict` and `csl evaluate`.

use std::path::Path;
use std::process::ExitCode;

use consilience_core::model::Stop;
use consilience_engine::evaluate::{Known, evaluate as score};
use consilience_engine::predict::{open, open_unlabelled};

use crate::fault::Fault;
use crate::show;

/// Predicts new rows.
pub fn predict(
    model: &Path,
    data: &Path,
    out: &Path,
    root: Option<&Path>,
    json: bool,
    stop: &Stop,
) -> Result<ExitCode, Fault> {
    let opened = open_unlabelled(model, data, root)?;
    let predictions = opened.predict(stop)?;
    opened.write(&predictions, out)?;
    let silent = predictions.absent().count();
    if json {
        let value = serde_json::json!({"rows": predictions.rows(), "silent": silent, "out": out});
        show::out(&format!("{value:#}\n"));
    } else {
        show::out(&format!("{} rows -> {}\n", predictions.rows(), out.display()));
        if silent > 0 {
            show::warn(&format!("{silent} rows have none of the model's modalities; their cells are empty"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Scores a model, and says whether it has learned from the rows.
pub fn evaluate(
    model: &Path,
    data: &Path,
    metrics: &[String],
    unseen: bool,
    root: Option<&Path>,
    json: bool,
    stop: &Stop,
) -> Result<ExitCode, Fault> {
    let opened = open(model, data, root)?;
    let done = score(&opened, metrics, unseen, stop)?;
    if json {
        let text = serde_json::to_string_pretty(&done)
            .map_err(|e| consilience_core::Error::internal(e.to_string()))?;
        show::out(&format!("{text}\n"));
        return Ok(ExitCode::SUCCESS);
    }
    let cells = done.scores.iter().map(|s| {
        let interval = s.interval.map_or_else(String::new, |i| format!("[{:.4}, {:.4}]", i.low, i.high));
        vec![s.metric.clone(), format!("{:.4}", s.value), interval]
    });
    show::out(&show::table(&["metric", "value", "95% interval"], cells.collect(), &[1, 2]));
    show::out(&format!("{} rows\n", done.rows));
    if done.left_out > 0 {
        show::out(&format!("{} rows from which the model has learned are left out\n", done.left_out));
    }
    if done.silent > 0 {
        show::warn(&format!("{} rows have none of the model's modalities and are left out", done.silent));
    }
    warn_of_known(&done.known, done.rows);
    Ok(ExitCode::SUCCESS)
}

/// Warns where the scores may be those of rows that the model has learned from.
fn warn_of_known(known: &Known, rows: usize) {
    let Known { learned, unknown } = known;
    match unknown {
        None if *learned == 0 => {}
        None => show::warn(&format!(
            "the model has learned from {learned} of these {rows} rows, so the scores are too good for new ones; \
             --unseen scores the others"
        )),
        Some(why) if *learned == 0 => show::warn(&format!(
            "whether the model has learned from these rows is not known, and the scores may be too good: {why}"
        )),
        Some(why) => show::warn(&format!(
            "the model has learned from {learned} of these {rows} rows at least, so the scores are too good for new \
             ones; whether from others too is not known: {why}"
        )),
    }
}
