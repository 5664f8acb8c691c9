//! `csl list` and `csl schema`.

use std::process::ExitCode;

use consilience_core::Error;
use consilience_core::registry::nearest;
use consilience_engine::catalog;

use crate::fault::Fault;
use crate::show;

/// Lists methods.
pub fn list(kind: Option<&str>, json: bool) -> Result<ExitCode, Fault> {
    let all = catalog::list();
    if let Some(kind) = kind.filter(|k| !all.iter().any(|l| l.kind == *k)) {
        let kinds: Vec<&str> = all.iter().map(|l| l.kind).collect();
        let error = Error::argument(format!("there are no methods called \"{kind}\""))
            .expected(format!("one of {}", kinds.join(", ")));
        return Err(match nearest(kind, kinds) {
            Some(near) => error.remedy(format!("did you mean \"{near}\"?")),
            None => error,
        }
        .into());
    }
    let shown: Vec<_> = all.into_iter().filter(|l| kind.is_none_or(|k| k == l.kind)).collect();
    if json {
        let value = serde_json::to_string_pretty(&shown).map_err(|e| Error::internal(e.to_string()))?;
        show::out(&format!("{value}\n"));
        return Ok(ExitCode::SUCCESS);
    }
    for listed in shown {
        show::out(&format!("{} ({})\n", listed.kind, listed.place));
        for method in listed.methods {
            show::out(&format!("  {:<20} {}\n", method.name, method.about));
        }
        show::out("\n");
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints the JSON schema of recipes.
pub fn schema() -> Result<ExitCode, Fault> {
    show::out(&catalog::schema_text()?);
    Ok(ExitCode::SUCCESS)
}
