//! `csl runs` and `csl report`.

use std::path::Path;
use std::process::ExitCode;

use consilience_core::Error;
use consilience_core::files::write_atomic;
use consilience_engine::codec::read_json;
use consilience_engine::outcome::Outcome;
use consilience_engine::{report as html, store};

use crate::fault::Fault;
use crate::show;

/// Lists runs, or removes stored steps that none uses.
pub fn runs(dir: &Path, prune: bool, json: bool) -> Result<ExitCode, Fault> {
    if !dir.is_dir() {
        return Err(Error::argument("there is no folder of runs")
            .at(dir.display())
            .remedy("--runs DIR")
            .into());
    }
    if prune {
        let (steps, bytes) = store::prune(dir)?;
        let text = if json {
            format!("{:#}\n", serde_json::json!({"removed_steps": steps, "freed_bytes": bytes}))
        } else {
            format!("{steps} steps removed, {:.1} MB freed\n", bytes as f64 / 1e6)
        };
        show::out(&text);
        return Ok(ExitCode::SUCCESS);
    }
    let mut found: Vec<(String, Outcome)> = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(|e| Error::read(dir, e))?.flatten() {
        let path = entry.path().join("outcome.json");
        if path.is_file() {
            let name = entry.file_name().to_string_lossy().into_owned();
            match read_json(&path) {
                Ok(outcome) => found.push((name, outcome)),
                Err(e) => show::warn(&format!("{name} is passed over: {e}")),
            }
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    if json {
        let value: Vec<_> =
            found.iter().map(|(n, o)| serde_json::json!({"run": n, "verdict": o.verdict})).collect();
        let text = serde_json::to_string_pretty(&value).map_err(|e| Error::internal(e.to_string()))?;
        show::out(&format!("{text}\n"));
    } else if found.is_empty() {
        show::out(&format!("no finished runs in {}\n", dir.display()));
    } else {
        for (name, outcome) in found {
            show::out(&format!("{name}\n  {}\n", outcome.verdict.sentence));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes a report again.
pub fn report(run: &Path, out: Option<&Path>, json: bool) -> Result<ExitCode, Fault> {
    let path = run.join("outcome.json");
    if !path.is_file() {
        return Err(Error::argument("this is no finished run")
            .at(run.display())
            .expected("a folder with outcome.json")
            .remedy("csl runs lists them")
            .into());
    }
    let outcome: Outcome = read_json(&path)?;
    let to = out.map_or_else(|| run.join("report.html"), Path::to_path_buf);
    write_atomic(&to, html::html(&outcome)?.as_bytes())?;
    let text = if json {
        format!("{:#}\n", serde_json::json!({"report": to}))
    } else {
        format!("{}\n", to.display())
    };
    show::out(&text);
    Ok(ExitCode::SUCCESS)
}
