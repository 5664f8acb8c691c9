//! `csl predict` and `csl evaluate`.

use std::path::Path;
use std::process::ExitCode;

use consilience_core::model::Stop;
use consilience_engine::predict as engine;

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
    let opened = engine::open_unlabelled(model, data, root)?;
    let predictions = opened.predict(stop)?;
    engine::write(&predictions, out)?;
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

/// Scores a model.
pub fn evaluate(
    model: &Path,
    data: &Path,
    metrics: &[String],
    root: Option<&Path>,
    json: bool,
    stop: &Stop,
) -> Result<ExitCode, Fault> {
    let opened = engine::open(model, data, root)?;
    let (scores, rows, silent) = engine::evaluate(&opened, metrics, stop)?;
    if json {
        let value = serde_json::json!({"rows": rows, "silent": silent, "scores": scores});
        show::out(&format!("{value:#}\n"));
        return Ok(ExitCode::SUCCESS);
    }
    let cells = scores.iter().map(|s| {
        let interval = s.interval.map_or_else(String::new, |i| format!("[{:.4}, {:.4}]", i.low, i.high));
        vec![s.metric.clone(), format!("{:.4}", s.value), interval]
    });
    show::out(&show::table(&["metric", "value", "95% interval"], cells.collect(), &[1, 2]));
    show::out(&format!("{rows} rows\n"));
    if silent > 0 {
        show::warn(&format!("{silent} rows have none of the model's modalities and are left out"));
    }
    Ok(ExitCode::SUCCESS)
}
