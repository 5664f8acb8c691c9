//! `csl doctor`.

use std::path::Path;
use std::process::ExitCode;

use consilience_core::files::{sweep_strays, write_atomic};
use consilience_engine::store::instruction_set;
use consilience_engine::{device, foreign};

use crate::fault::Fault;
use crate::show;

/// Says what this machine and this build can do.
pub fn doctor(runs: &Path, json: bool) -> Result<ExitCode, Fault> {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    let probe = runs.join(".doctor");
    let made = !runs.exists();
    let writable = write_atomic(&probe, b"").and_then(|()| sweep_strays(runs));
    let _ = std::fs::remove_file(&probe);
    if made {
        let _ = std::fs::remove_dir(runs);
    }
    let facts = [
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ("system", format!("{} {}", std::env::consts::OS, std::env::consts::ARCH)),
        ("instruction set", instruction_set().to_owned()),
        ("threads", threads.to_string()),
        ("devices", device::known()),
        ("onnx models", foreign::describe()),
        (
            "runs",
            match &writable {
                Ok(()) => format!("{} can be written", runs.display()),
                Err(e) => e.to_string(),
            },
        ),
    ];
    if json {
        let map: serde_json::Map<String, serde_json::Value> =
            facts.iter().map(|(k, v)| ((*k).to_owned(), v.as_str().into())).collect();
        show::out(&format!("{:#}\n", serde_json::Value::Object(map)));
    } else {
        for (name, value) in facts {
            show::out(&format!("{name:<16} {value}\n"));
        }
    }
    writable?;
    Ok(ExitCode::SUCCESS)
}
