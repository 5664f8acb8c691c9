//! What methods, conditions and settings say against a recipe once its data are open: all of it, at the recipe's places,
//! before any work.

use std::collections::BTreeMap;

use consilience_core::data::{HonestSpec, RowFilter};
use consilience_core::metrics::BootstrapSettings;
use consilience_core::model::Task;
use consilience_core::seed::Seed;
use consilience_core::{Error, Result, calibrate, learners};
use consilience_nn::train::Training;
use serde_json::Value;

use crate::catalog::{self, Reads};
use crate::recipe::{Call, Checked, Finding, Member, Synthesis};
use crate::run::{Ground, Opened};

/// Everything that is refused.
///
/// # Errors
/// The first error that is not about the recipe but about data or files, with the member's name.
pub(crate) fn refusals(
    checked: &Checked,
    opened: &Opened,
    ground: &Ground<'_>,
    task: &Task,
) -> Result<Vec<Finding>> {
    let recipe = &checked.recipe;
    let mut said = Said { checked, findings: Vec::new() };
    let mut shapes: BTreeMap<&str, Shape> = BTreeMap::new();
    for (name, member) in &recipe.members {
        let Member::Fit { method, on, features, augment, rows, bag, .. } = member else { continue };
        let built = catalog::member(ground, method, Reads { on, features, augment });
        said.note(&["members", name], built.and_then(|b| b.estimator.check(ground.schema, task)))?;
        shapes.insert(name, Shape::of(method)?);
        if let Some(text) = rows {
            let kept = RowFilter::parse(text).and_then(|f| f.keep(&opened.data, &opened.split.fit));
            said.note(&["members", name, "rows"], kept.map(drop))?;
        }
        if *bag && matches!(recipe.honest, HonestSpec::Validation(_)) {
            let error = Error::argument("bag keeps the models of the folds, and there are no folds")
                .remedy("set honest: {folds: 5}, or remove bag");
            said.note(&["members", name, "bag"], Err(error))?;
        }
    }
    for (name, member) in &recipe.members {
        if let Member::Fit { from: Some(from), .. } = member
            && let (Some(own), Some(start)) = (shapes.get(name.as_str()), shapes.get(from.as_str()))
        {
            said.note(&["members", name, "from"], startable(from, start, own))?;
            said.note(&["members", name, WEIGHTS], one_start(member))?;
        }
    }
    if let Some(call) = &recipe.regions {
        let built = calibrate::conformal::REGISTRY.build(&call.name, &call.parameters);
        said.note(&["regions"], built.and_then(|c| c.check(task)))?;
        let by = call.parameters.get("by").and_then(Value::as_str) == Some("stratum");
        let error = match (&recipe.stratum, by) {
            (None, true) => Some(
                Error::argument("regions by stratum need the column of the strata")
                    .expected("stratum: a column of the data"),
            ),
            (Some(column), false) => Some(Error::argument(format!("stratum: {column} without by: stratum"))),
            (Some(column), true) if !opened.data.roles.cells.contains_key(column) => {
                Some(Error::argument(format!("the data have no column \"{column}\"")))
            }
            _ => None,
        };
        said.note(&["regions", "stratum"], error.map_or(Ok(()), Err))?;
    }
    for (name, call) in &recipe.calibrate {
        let group = if recipe.members.iter().any(|(n, _)| n == name) { "members" } else { "synthesis" };
        let built = calibrate::REGISTRY.build(&call.name, &call.parameters);
        said.note(&[group, name, "calibrate"], built.and_then(|c| c.check(task, 1)))?;
    }
    for (name, synthesis) in &recipe.synthesis {
        let path = ["synthesis", name.as_str()];
        match synthesis {
            Synthesis::Fuse { method, of, prune } => {
                let fuser = catalog::fuser(method, *prune, None);
                said.note(&path, fuser.and_then(|f| f.check(task, of.len())))?;
            }
            Synthesis::Fusion { method, on, features, augment } => {
                let built = catalog::fusion(ground, method, Reads { on, features, augment });
                said.note(&path, built.and_then(|b| b.estimator.check(ground.schema, task)))?;
            }
            Synthesis::Distill { method, on, features, augment, lesson, .. } => {
                let built = catalog::member(ground, method, Reads { on, features, augment });
                let fits = built.and_then(|b| {
                    b.estimator.check(ground.schema, task)?;
                    b.estimator.lesson(task, *lesson).map(drop)
                });
                said.note(&path, fits)?;
                if matches!(recipe.honest, HonestSpec::Validation(_)) {
                    let error = Error::argument(
                        "a student learns from what its teacher says of rows that it has not seen",
                    )
                    .expected(
                        "honest: {folds: 5}, so that there are such predictions of the rows for fitting",
                    );
                    said.note(&[path[0], path[1], "teacher"], Err(error))?;
                }
            }
            Synthesis::Adapt { source, target, .. } => {
                for (key, wanted) in [("source", source), ("target", target)] {
                    said.note(&[path[0], path[1], key], some_row(wanted, opened))?;
                }
            }
            Synthesis::Merge { of, base, .. } => {
                let shaped = |o| Some((o, shapes.get(String::as_str(o))?));
                let known: Vec<_> = of.iter().filter_map(shaped).collect();
                let alike = known.windows(2).try_for_each(|pair| match pair {
                    [(_, a), (_, b)] if a == b => Ok(()),
                    [(one, a), (other, b)] => {
                        Err(Error::argument("the members differ in shape and cannot be merged")
                            .expected(format!("networks of one architecture, as \"{one}\": {a}"))
                            .got(format!("\"{other}\": {b}")))
                    }
                    _ => Ok(()),
                });
                said.note(&[path[0], path[1], "of"], alike)?;
                if let (Some((one, a)), Some((origin, b))) = (known.first(), base.as_ref().and_then(shaped))
                    && *a != b
                {
                    let error = Error::argument("the base has another shape than the members")
                        .expected(format!("a network as \"{one}\": {a}"))
                        .got(format!("\"{origin}\": {b}"));
                    said.note(&[path[0], path[1], "base"], Err(error))?;
                }
            }
        }
    }
    let judge = &recipe.judge;
    let settings =
        BootstrapSettings { resamples: judge.resamples as usize, level: judge.level, seed: Seed::new(0) };
    said.note(&["judge", "resamples"], settings.validate())?;
    Ok(said.findings)
}

struct Said<'a> {
    checked: &'a Checked,
    findings: Vec<Finding>,
}

impl Said<'_> {
    /// Keeps what is said against a setting; any other error ends the check.
    fn note(&mut self, path: &[&str], result: Result<()>) -> Result<()> {
        match result {
            Err(e @ Error::Argument(_)) => self.findings.push(self.checked.finding(path, &e)),
            Err(e) => return Err(e.at(path.get(1).copied().unwrap_or_default())),
            Ok(()) => {}
        }
        Ok(())
    }
}

/// The setting that says where the numbers come from; it is no part of the shape.
const WEIGHTS: &str = "weights";

/// What decides the shape of a member, its columns apart: the method and those of its settings that are not about training.
#[derive(PartialEq)]
struct Shape<'a> {
    method: &'a str,
    settings: BTreeMap<&'a str, &'a Value>,
}

impl<'a> Shape<'a> {
    fn of(call: &'a Call) -> Result<Self> {
        let training =
            serde_json::to_value(Training::default()).map_err(|e| Error::internal(e.to_string()))?;
        let settings = call.parameters.as_object().into_iter().flatten();
        let settings = settings
            .map(|(k, v)| (k.as_str(), v))
            .filter(|(k, _)| training.get(k).is_none() && *k != WEIGHTS)
            .collect();
        Ok(Self { method: &call.name, settings })
    }
}

impl std::fmt::Display for Shape<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.method)?;
        self.settings.iter().try_for_each(|(name, value)| write!(f, ", {name}: {value}"))
    }
}

/// Whether a network can start from a member.
fn startable(from: &str, start: &Shape<'_>, own: &Shape<'_>) -> Result<()> {
    if learners::REGISTRY.get(start.method).is_ok() {
        return Err(Error::argument("a network can only start from a network")
            .got(format!("\"{from}\", a {}", start.method))
            .remedy("name another member in from:"));
    }
    if start == own {
        return Ok(());
    }
    Err(Error::argument(format!("the network has another shape than \"{from}\", from which it is to start"))
        .expected(start)
        .got(own)
        .remedy("give both the same method, layers and columns"))
}

/// Whether a member that starts from another one does not start from a checkpoint too.
fn one_start(member: &Member) -> Result<()> {
    let Member::Fit { method, .. } = member else { return Ok(()) };
    match method.parameters.get(WEIGHTS) {
        Some(Value::String(_)) => {
            Err(Error::argument("a network starts from a member or from a checkpoint, not from both")
                .remedy("leave out weights, or from"))
        }
        _ => Ok(()),
    }
}

/// Whether some row has the values given.
fn some_row(wanted: &BTreeMap<String, String>, opened: &Opened) -> Result<()> {
    let cells = &opened.data.roles.cells;
    let columns: Vec<_> = wanted.iter().filter_map(|(c, value)| Some((cells.get(c)?, value))).collect();
    let rows = opened.data.source.rows();
    let found = (0..rows).any(|r| columns.iter().all(|(cells, value)| cells.get(r) == Some(value)));
    if found {
        return Ok(());
    }
    let said: Vec<String> = wanted.iter().map(|(c, value)| format!("{c} is {value}")).collect();
    Err(Error::argument("there is no such row")
        .expected(format!("rows where {}", said.join(" and ")))
        .remedy("check the values; they are compared letter by letter"))
}
