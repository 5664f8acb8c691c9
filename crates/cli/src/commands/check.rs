//! `csl check` and `csl plan`.

use std::path::Path;
use std::process::ExitCode;

use consilience_engine::plan::{Plan, plan as make};
use consilience_engine::run::Opened;

use super::recipes::{Ready, read};
use crate::arguments::Places;
use crate::fault::Fault;
use crate::show;

/// Checks a recipe, with its data.
pub fn check(recipe: &Path, places: &Places, json: bool) -> Result<ExitCode, Fault> {
    let ready = read(recipe, places, json)?;
    let (plan, _) = planned(&ready)?;
    if json {
        show::out(&format!("{:#}\n", serde_json::json!({"ok": true, "notes": plan.notes})));
    } else {
        show::out(&format!(
            "{}: fine; {} rows, {} members, {} compositions\n",
            ready.name,
            plan.rows,
            plan.members.iter().filter(|m| m.role == "member").count(),
            plan.members.iter().filter(|m| m.role != "member").count()
        ));
        for note in &plan.notes {
            show::out(&format!("note: {note}\n"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Shows what a run would do.
pub fn plan(recipe: &Path, places: &Places, layers: bool, json: bool) -> Result<ExitCode, Fault> {
    let ready = read(recipe, places, json)?;
    let (plan, _) = planned(&ready)?;
    if json {
        let text = serde_json::to_string_pretty(&plan)
            .map_err(|e| consilience_core::Error::internal(e.to_string()))?;
        show::out(&format!("{text}\n"));
    } else {
        show::out(&text(&plan, layers));
    }
    Ok(ExitCode::SUCCESS)
}

/// Everything that can be said before any work, with the data that were opened for it.
pub(super) fn planned(ready: &Ready) -> Result<(Plan, Opened), Fault> {
    make(&ready.checked, &ready.root, &ready.base).map_err(|e| match e {
        consilience_engine::plan::Refused::Error(e) => Fault::from(e),
        consilience_engine::plan::Refused::Findings(f) => Fault::Findings(f),
    })
}

fn text(plan: &Plan, layers: bool) -> String {
    let outer = match plan.outer_folds {
        0 => String::new(),
        folds => format!(" in each of {folds} outer folds"),
    };
    let mut text = format!(
        "{} rows: {} for fitting, {} for choosing, {} for judging{outer}; honest predictions from {}\n\n",
        plan.rows, plan.parts[0], plan.parts[1], plan.parts[2], plan.honest
    );
    let columns = plan.columns.iter().map(|c| {
        vec![c.name.clone(), c.kind.clone(), c.shape.clone(), format!("{:.1}%", 100.0 * c.unavailable)]
    });
    text.push_str(&show::table(&["column", "type", "shape", "missing"], columns.collect(), &[3]));
    let rows = plan.members.iter().map(|m| {
        vec![
            m.name.clone(),
            format!("{}: {}", m.role, m.method),
            m.of.join(", "),
            m.inputs.join(" "),
            m.parameters.map_or_else(String::new, |p| p.to_string()),
            m.fits.to_string(),
        ]
    });
    text.push('\n');
    text.push_str(&show::table(
        &["name", "how", "of", "inputs", "parameters", "fits"],
        rows.collect(),
        &[4, 5],
    ));
    for m in plan.members.iter().filter(|m| layers && !m.layers.is_empty()) {
        text.push_str(&format!("\n{}\n", m.name));
        m.layers.iter().for_each(|layer| text.push_str(&format!("  {layer}\n")));
    }
    text.push_str(&format!(
        "\nmemory about {} MB, disk about {} MB, time about {}\n",
        plan.memory_mb, plan.disk_mb, plan.time
    ));
    for note in &plan.notes {
        text.push_str(&format!("note: {note}\n"));
    }
    text
}
