//! `csl run`.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use consilience_core::model::Stop;
use consilience_engine::run::{Request, Silent, Watch, run as execute};

use super::check::planned;
use super::recipes::{Ready, read};
use crate::arguments::Places;
use crate::fault::Fault;
use crate::show;
use crate::watch::Bars;

/// What a kill costs a long fit at most, its epoch apart; writing takes milliseconds.
const KEEP_EVERY: Duration = Duration::from_secs(2);

/// Runs a recipe.
pub fn run(
    recipe: &Path,
    places: &Places,
    fresh: bool,
    require_gain: bool,
    json: bool,
    stop: &Stop,
) -> Result<ExitCode, Fault> {
    let ready = read(recipe, places, json)?;
    let mut command = format!("csl run {}", recipe.display());
    if let Some(data) = &places.data {
        command.push_str(&format!(" --data {}", data.display()));
    }
    go(&ready, places, fresh, require_gain, json, stop, command)
}

/// Runs what was read.
pub fn go(
    ready: &Ready,
    places: &Places,
    fresh: bool,
    require_gain: bool,
    json: bool,
    stop: &Stop,
    command: String,
) -> Result<ExitCode, Fault> {
    // Nothing is written before everything that can be checked is.
    let start = Instant::now();
    let (_, opened) = planned(ready)?;
    let bars = Bars::new(json);
    let silent = Silent;
    let watch: &dyn Watch = if json { &silent } else { &bars };
    watch.begin("data");
    watch.end("data", start.elapsed().as_secs_f64(), true);
    let request = Request {
        recipe: &ready.checked.recipe,
        root: ready.root.clone(),
        opened: Some(&opened),
        base: ready.base.clone(),
        runs: places.runs.clone(),
        fresh,
        keep_every: KEEP_EVERY,
        command,
        stop,
        watch,
    };
    let finished = execute(&request)?;
    if json {
        let value = serde_json::to_string_pretty(&finished.outcome)
            .map_err(|e| consilience_core::Error::internal(e.to_string()))?;
        show::out(&format!("{value}\n"));
    } else {
        show::out(&show::outcome(&finished.outcome, &finished.dir));
        show::out(&format!("{:.1} s\n", finished.outcome.seconds));
    }
    if require_gain && !finished.outcome.verdict.gain {
        show::err("the gate failed: no gain (--require gain)\n");
        return Ok(ExitCode::from(1));
    }
    Ok(ExitCode::SUCCESS)
}
