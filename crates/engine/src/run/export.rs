//! What a run leaves: the model directory, predictions, metrics, costs, steps, the report.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Instant;

use consilience_core::data::{Written, write_table};
use consilience_core::files::{AtomicDir, Hasher, sweep_strays, write_atomic};
use consilience_core::model::{Predictions, Record, Target, save_parts};
use consilience_core::{Error, Result};
use serde_json::{Value, json};

use super::candidate::Draft;
use super::explained::explained;
use super::judged::Judged;
use super::looked::{importances, subsets};
use super::provenance::provenance;
use super::regions::regions;
use super::session::{Session, unavailable};
use super::{Finished, Request, Round};
use crate::codec::write_json;
use crate::ids::id_texts;
use crate::outcome::{ColumnSummary, DataSummary, Outcome, Reproduce};
use crate::recipe::resolved_yaml;
use crate::store::{canonical, instruction_set};

/// Writes everything into `<runs>/<name>-<hash>/`.
pub(crate) fn finish(
    request: &Request<'_>,
    last: &Round<'_>,
    rounds: &[&Round<'_>],
    judged: Judged,
    start: Instant,
) -> Result<Finished> {
    let Round { session, drafts } = last;
    let recipe = session.recipe;
    let yaml = resolved_yaml(recipe)?;
    let as_json = serde_json::to_value(recipe).map_err(|e| Error::internal(e.to_string()))?;
    // The name says what was run: the recipe, the data, the versions of methods, and what members are read from.
    let hash = Hasher::new().part(canonical(&as_json)).part(&session.data.content);
    let hash = drafts.iter().fold(hash, |h, d| h.part(&d.made_by)).finish();
    let run = format!("{}-{}", recipe.name, hash.get(..8).unwrap_or(&hash));
    let goal = request.runs.join(&run);
    sweep_strays(&request.runs)?;
    // The whole run is there, or nothing of it.
    let making = AtomicDir::begin(&goal)?;
    let dir = making.path();

    let Judged { mut verdict, mut candidates, confusion, reliability, exported, composition, rows, said } =
        judged;
    for (i, candidate) in candidates.iter_mut().enumerate() {
        candidate.subsets = subsets(rounds, i)?;
    }
    let (importances, why_not) = importances(rounds, exported)?;
    verdict.notes.extend(why_not);
    let explained = explained(last, composition)?;
    let environment = environment(session);
    write_atomic(&dir.join("recipe.resolved.yaml"), yaml.as_bytes())?;
    write_json(&dir.join("env.json"), &environment)?;
    write_predictions(rounds, drafts, &rows, &said, dir)?;
    write_metrics(&candidates, dir)?;

    let chosen = &drafts[exported];
    let mut kept = chosen.kept().cloned();
    let mut found = None;
    if let Some((model, regions)) = regions(last, exported)? {
        verdict.notes.extend(regions.notes.iter().map(|n| format!("regions: {n}")));
        (kept, found) = (Some(model), Some(regions));
    }
    if let Some(kept) = kept {
        session.stop.check()?;
        let scores: BTreeMap<&str, f64> =
            candidates[exported].scores.iter().map(|s| (s.metric.as_str(), s.value)).collect();
        let record = Record {
            card: card(session, &run, &chosen.name, &verdict.sentence, &scores),
            metrics: json!({"judged_rows": rows.len(), "scores": scores}),
            provenance: provenance(session, &chosen.name, &chosen.learned),
        };
        save_parts(&dir.join("model"), &kept.save()?, &record)?;
    }

    let greater = consilience_core::metrics::get(&recipe.judge.choose)?.greater_is_better();
    candidates.sort_by(|a, b| {
        let (x, y) = (a.scores[0].value, b.scores[0].value);
        if greater { y.total_cmp(&x) } else { x.total_cmp(&y) }
    });
    let costs: BTreeMap<&str, &crate::outcome::Cost> =
        candidates.iter().map(|c| (c.name.as_str(), &c.cost)).collect();
    write_json(
        &dir.join("cost.json"),
        &json!({"candidates": costs, "seconds": start.elapsed().as_secs_f64()}),
    )?;
    write_json(&dir.join("steps.json"), &session.store.used())?;
    let outcome = Outcome {
        run,
        classes: session.task.classes().map(|c| c.names().to_vec()).unwrap_or_default(),
        level: recipe.judge.level,
        verdict,
        data: summary(session, rounds)?,
        candidates,
        confusion,
        reliability,
        importances,
        explained,
        regions: found,
        reproduce: Reproduce {
            command: request.command.clone(),
            recipe: yaml,
            environment,
            data: session.data.content.clone(),
        },
        seconds: start.elapsed().as_secs_f64(),
    };
    write_json(&dir.join("outcome.json"), &outcome)?;
    write_atomic(&dir.join("report.html"), crate::report::html(&outcome)?.as_bytes())?;
    making.commit()?;
    Ok(Finished { outcome, dir: goal })
}

fn environment(session: &Session<'_>) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        ("system".to_owned(), format!("{} {}", std::env::consts::OS, std::env::consts::ARCH)),
        ("instruction set".to_owned(), instruction_set().to_owned()),
        ("threads".to_owned(), rayon::current_num_threads().to_string()),
        ("device".to_owned(), crate::device::name().to_owned()),
        ("seed".to_owned(), session.recipe.seed.to_string()),
    ])
}

/// The judged rows with their truth, the outer fold that judged them where there are several, and what every candidate
/// said.
fn write_predictions(
    rounds: &[&Round<'_>],
    drafts: &[Draft],
    rows: &[usize],
    said: &[Predictions],
    dir: &std::path::Path,
) -> Result<()> {
    let Some(Round { session, .. }) = rounds.first() else { return Ok(()) };
    let ids = match id_texts(session.data, &session.recipe.data) {
        Some(texts) => Written::Texts(rows.iter().map(|r| texts[*r].clone()).collect()),
        None => Written::Ids(rows.iter().map(|r| session.source().ids()[*r]).collect()),
    };
    let mut columns = vec![("id".to_owned(), ids)];
    columns.push(match session.truth(rows) {
        Target::Classes { classes, codes } => {
            let names = codes.iter().map(|c| classes.names()[*c as usize].clone()).collect();
            ("target".to_owned(), Written::Texts(names))
        }
        Target::Values(v) => ("target".to_owned(), Written::Numbers(v)),
    });
    if rounds.len() > 1 {
        let fold = |row: &usize| rounds.iter().position(|r| r.session.split.judge.binary_search(row).is_ok());
        let folds = rows.iter().map(|r| fold(r).map_or(0, |f| f as u64 + 1)).collect();
        columns.push(("outer fold".to_owned(), Written::Ids(folds)));
    }
    for (draft, said) in drafts.iter().zip(said) {
        let m = said.matrix();
        for (k, column) in m.columns().into_iter().enumerate() {
            let name = match session.task.classes() {
                Some(classes) => format!("{}: {}", draft.name, classes.names()[k]),
                None => draft.name.clone(),
            };
            columns.push((name, Written::Numbers(column.to_vec())));
        }
    }
    write_table(&dir.join("predictions.parquet"), &columns)
}

fn write_metrics(candidates: &[crate::outcome::Candidate], dir: &std::path::Path) -> Result<()> {
    let mut lines = String::new();
    let mut line = |value: Value| {
        lines.push_str(&value.to_string());
        lines.push('\n');
    };
    for c in candidates {
        for row in &c.curve {
            line(
                json!({"candidate": c.name, "epoch": row.epoch, "fit_loss": row.fit_loss, "held_loss": row.held_loss}),
            );
        }
        for s in &c.scores {
            line(json!({
                "candidate": c.name, "metric": s.metric, "judged": s.value, "interval": s.interval,
                "against_best_single": s.against_best_single,
            }));
        }
    }
    write_atomic(&dir.join("metrics.jsonl"), lines.as_bytes())
}

fn card(
    session: &Session<'_>,
    run: &str,
    name: &str,
    sentence: &str,
    scores: &BTreeMap<&str, f64>,
) -> String {
    let mut card = format!("# {run}: {name}\n\n{sentence}\n\n");
    let _ = writeln!(card, "| metric | judged |\n|---|---|");
    for (metric, value) in scores {
        let _ = writeln!(card, "| {metric} | {value:.4} |");
    }
    let columns: Vec<String> =
        session.source().schema().fields.iter().map(|f| format!("{} ({})", f.name, f.kind.name())).collect();
    let _ = writeln!(card, "\nInputs known to the data: {}.", columns.join(", "));
    if let Some(classes) = session.task.classes() {
        let _ = writeln!(card, "\nClasses in order: {}.", classes.names().join(", "));
    }
    let _ = writeln!(card, "\nPredict with `csl predict <this folder> DATA --out predictions.csv`.");
    card
}

/// The data in numbers; of several rounds those of the first, which are those of the others but for a row or two.
fn summary(session: &Session<'_>, rounds: &[&Round<'_>]) -> Result<DataSummary> {
    let split = rounds.first().map_or(session.split, |r| r.session.split);
    let schema = session.source().schema().clone();
    let rows = session.source().rows();
    let shares = unavailable(session.source())?;
    let mut columns = Vec::new();
    for field in &schema.fields {
        columns.push(ColumnSummary {
            name: field.name.clone(),
            kind: field.kind.name().to_owned(),
            shape: field.shape.clone(),
            unavailable: shares.get(&field.name).copied().unwrap_or(0.0),
        });
    }
    let count = |part: &[usize]| -> Vec<usize> {
        match session.truth(part) {
            Target::Classes { classes, codes } => {
                let mut counts = vec![0; classes.count()];
                codes.iter().for_each(|c| counts[*c as usize] += 1);
                counts
            }
            Target::Values(_) => Vec::new(),
        }
    };
    let classes = match session.task.classes() {
        Some(c) => c
            .names()
            .iter()
            .zip(count(&split.fit).into_iter().zip(count(&split.judge)))
            .map(|(n, (f, j))| (n.clone(), f, j))
            .collect(),
        None => Vec::new(),
    };
    let groups = session
        .groups(&rounds.iter().flat_map(|r| r.session.split.judge.iter().copied()).collect::<Vec<_>>())
        .map(|g| g.into_iter().collect::<std::collections::BTreeSet<_>>().len());
    let mut notes = session.data.notes.clone();
    for note in rounds.iter().flat_map(|r| &r.session.split.notes) {
        if !notes.contains(note) {
            notes.push(note.clone());
        }
    }
    Ok(DataSummary {
        rows,
        parts: [split.fit.len(), split.choose.len(), split.judge.len()],
        outer_folds: if rounds.len() > 1 { rounds.len() } else { 0 },
        judged_groups: groups,
        columns,
        classes,
        notes,
    })
}
