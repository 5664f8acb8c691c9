//! `csl explain`.

use std::path::Path;
use std::process::ExitCode;

use consilience_core::Error;
use consilience_core::explain::MemberReading;
use consilience_engine::codec::read_json;
use consilience_engine::outcome::Outcome;

use crate::fault::Fault;
use crate::show;

/// Says what each member is worth to the best composition of a run, the most valuable first.
pub fn explain(run: &Path, json: bool) -> Result<ExitCode, Fault> {
    let file = run.join("outcome.json");
    if !file.is_file() {
        return Err(Error::argument("this is no folder of a run")
            .at(run.display())
            .expected("a folder that holds outcome.json")
            .remedy("`csl runs` lists the runs")
            .into());
    }
    let outcome: Outcome = read_json(&file)?;
    let Some(explained) = outcome.explained else {
        return Err(Error::argument(
            "the run has no composition of predictions whose members could be explained",
        )
        .at(run.display())
        .remedy("add one, as in synthesis: {blend: {fuse: weighted, of: [a, b]}}")
        .into());
    };
    if json {
        let text = serde_json::to_string_pretty(&explained).map_err(|e| Error::internal(e.to_string()))?;
        show::out(&format!("{text}\n"));
        return Ok(ExitCode::SUCCESS);
    }
    let readings = &explained.readings;
    let mut members: Vec<&MemberReading> = readings.members.iter().collect();
    members.sort_by(|a, b| b.shapley.total_cmp(&a.shapley));
    let number = |v: Option<f64>, places: usize| v.map_or_else(String::new, |v| format!("{v:.places$}"));
    let cells = members.iter().map(|m| {
        let error = m.shapley_error.map_or_else(String::new, |e| format!(" +- {e:.4}"));
        vec![
            m.member.clone(),
            number(m.weight, 3),
            number(m.score, 4),
            format!("{:.4}{error}", m.shapley),
            m.sentence.clone(),
        ]
    });
    show::out(&format!("the members of \"{}\", on honest predictions\n", explained.composition));
    let head = ["member", "weight", &format!("{} alone", readings.metric), "Shapley value", "in words"];
    show::out(&show::table(&head, cells.collect(), &[1, 2, 3]));
    Ok(ExitCode::SUCCESS)
}
