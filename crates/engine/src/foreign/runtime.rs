//! Which runtime computes ONNX models: ONNX Runtime where a library of it is found, else the one that is built in.

use std::path::PathBuf;
use std::sync::OnceLock;

use ort::environment::Environment;
use ort::logging::LogLevel;

/// Names the library of ONNX Runtime; set but empty, none is looked for.
pub const VARIABLE: &str = "ORT_DYLIB_PATH";

/// What computes ONNX models: the same for the whole process.
pub struct Runtime {
    /// ONNX Runtime, if it was found.
    pub(super) library: Option<Environment>,
    /// The runtime with its version: part of the hash of every step that uses it.
    pub name: String,
    /// Why a library that the environment names is not used.
    pub note: Option<String>,
}

impl Runtime {
    /// Whether it is the one that is built in.
    pub fn is_built_in(&self) -> bool {
        self.library.is_none()
    }
}

/// The runtime. The first call looks for a library.
pub fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(find)
}

fn built_in(note: Option<String>) -> Runtime {
    Runtime { library: None, name: "rten 0.27.0".to_owned(), note }
}

fn find() -> Runtime {
    let (named, candidates): (bool, Vec<PathBuf>) = match std::env::var_os(VARIABLE) {
        Some(path) if path.is_empty() => (true, Vec::new()),
        Some(path) => (true, vec![path.into()]),
        None => (false, usual_names()),
    };
    let mut note = None;
    for path in candidates {
        // It loads the library, asks for its version and refuses one that is too old, before anything of it is used.
        match ort::init_from(&path) {
            Ok(builder) => match builder.with_name("csl").with_telemetry(false).build() {
                Ok(library) => {
                    library.set_log_level(LogLevel::Fatal);
                    return Runtime { library: Some(library), name: version(&path), note: None };
                }
                Err(error) => note = Some(error.to_string()),
            },
            Err(error) => note = Some(error.to_string()),
        }
    }
    built_in(
        note.filter(|_| named).map(|why| format!("{VARIABLE} names no ONNX Runtime that can be used: {why}")),
    )
}

/// As the system's loader knows them.
fn usual_names() -> Vec<PathBuf> {
    let (prefix, suffix) = (std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    [format!("{prefix}onnxruntime{suffix}"), format!("{prefix}onnxruntime{suffix}.1")]
        .map(PathBuf::from)
        .to_vec()
}

/// `ONNX Runtime 1.32.0 fab30a4`: the version stands in the library's own name, the commit in its build information.
fn version(path: &std::path::Path) -> String {
    let real = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    let name = real.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let said = |key: &str| {
        let rest = ort::info().split(key).nth(1).unwrap_or_default();
        rest.split([',', ' ']).next().unwrap_or_default().to_owned()
    };
    let number = name.split_once(".so.").map_or("", |(_, number)| number);
    let words = ["ONNX Runtime".to_owned(), number.to_owned(), said("git-commit-id=")];
    words.into_iter().filter(|w| !w.is_empty()).collect::<Vec<_>>().join(" ")
}

/// What `csl doctor` says.
pub fn describe() -> String {
    let runtime = runtime();
    match (&runtime.library, &runtime.note) {
        (Some(_), _) => runtime.name.clone(),
        (None, None) => format!("{} (built in; {VARIABLE} can name an ONNX Runtime)", runtime.name),
        (None, Some(note)) => format!("{} (built in; {note})", runtime.name),
    }
}
