//! `csl init`.

use std::path::Path;
use std::process::ExitCode;

use consilience_core::Error;
use consilience_core::files::write_atomic;
use consilience_engine::guess;

use crate::fault::Fault;
use crate::show;

/// Writes a recipe with its guesses explained.
pub fn init(data: &Path, target: Option<&str>, out: Option<&Path>, json: bool) -> Result<ExitCode, Fault> {
    let home =
        out.and_then(Path::parent).filter(|p| !p.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let text = guess::recipe_for(data, target, home)?;
    match out {
        None if json => show::out(&format!("{:#}\n", serde_json::json!({"recipe": text}))),
        None => show::out(&text),
        Some(path) if path.exists() => {
            return Err(Error::argument("the file is there already")
                .at(path.display())
                .remedy("name another")
                .into());
        }
        Some(path) => {
            write_atomic(path, text.as_bytes())?;
            let text = if json {
                format!("{:#}\n", serde_json::json!({"recipe": path}))
            } else {
                format!("{}\nnext: csl plan {0}\n", path.display())
            };
            show::out(&text);
        }
    }
    Ok(ExitCode::SUCCESS)
}
