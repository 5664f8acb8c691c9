//! How a command ends that did not do what was asked.

use std::process::ExitCode;

use consilience_core::Error;
use consilience_engine::merging::Refused;
use consilience_engine::recipe::Findings;

use crate::show;

/// Why a command failed.
pub enum Fault {
    /// An error of the libraries.
    Error(Error),
    /// Mistakes in a recipe, all of them.
    Findings(Box<Findings>),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<Findings> for Fault {
    fn from(findings: Findings) -> Self {
        Self::Findings(Box::new(findings))
    }
}

impl From<Refused> for Fault {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Findings(findings) => Self::Findings(findings),
            Refused::Error(error) => Self::Error(error),
        }
    }
}

impl Fault {
    /// Says it, and gives the exit code.
    pub fn report(&self, json: bool) -> ExitCode {
        let code = match self {
            Self::Error(e) => e.exit_code(),
            Self::Findings(f) => f.exit_code(),
        };
        if json {
            let value = match self {
                Self::Error(e) => {
                    serde_json::json!({
                        "error": e.to_string(), "exit_code": code, "parts": e.trouble(), "help": e.help(),
                    })
                }
                Self::Findings(f) => {
                    serde_json::json!({"file": f.file, "findings": f.findings, "exit_code": code})
                }
            };
            show::out(&format!("{value:#}\n"));
        } else {
            match self {
                Self::Error(Error::Interrupted) => {
                    show::err(
                        "interrupted; the steps that are done are kept, run the same command to go on\n",
                    );
                }
                Self::Error(e) => show::error(e),
                Self::Findings(f) => show::err(&f.render(show::color_on_stderr())),
            }
        }
        ExitCode::from(code)
    }
}
