//! What a run would do, before any work: checked against the data, with shapes, sizes and rough times.

use std::path::{Path, PathBuf};

use consilience_core::Error;
use consilience_core::data::{HonestSpec, table_columns};
use consilience_core::files::confine;
use consilience_core::model::{Kind, Model as _, ModelDir, Outline, Schema, Source};
use serde::Serialize;

use crate::catalog::{self, Reads};
use crate::foreign;
use crate::recipe::{Checked, Findings, Member, Synthesis, check_against, check_names};
use crate::refusals::refusals;
use crate::run::{Ground, Opened, open_data, unavailable};

/// Numbers that a core handles in a second of training, roughly; only for the estimate of time.
const NUMBERS_A_SECOND: f64 = 2e10;

/// Why there is no plan.
#[derive(Debug)]
pub enum Refused {
    /// The data or the methods say no.
    Error(Error),
    /// The recipe does not fit the data: all findings.
    Findings(Box<Findings>),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// One column of the data.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlanColumn {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub kind: String,
    /// The shape of a row, of sequences the longest, or the number of levels.
    pub shape: String,
    /// The share of rows without it.
    pub unavailable: f64,
}

/// One member or composition.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlanMember {
    /// Its name.
    pub name: String,
    /// member, fuse, fusion, merge or adapt.
    pub role: &'static str,
    /// The method.
    pub method: String,
    /// Its columns or members.
    pub of: Vec<String>,
    /// What it reads after its features: name and shape.
    pub inputs: Vec<String>,
    /// A line a layer, where it has layers.
    pub layers: Vec<String>,
    /// Trainable numbers, where known.
    pub parameters: Option<u64>,
    /// How many times it is fitted.
    pub fits: u32,
}

/// The whole plan.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    /// All rows.
    pub rows: usize,
    /// Rows for fitting, choosing, judging; of a nested run those of its first outer fold.
    pub parts: [usize; 3],
    /// How many outer folds are judged in their turn; 0 where the rows are parted once.
    pub outer_folds: usize,
    /// Where honest predictions come from.
    pub honest: String,
    /// The columns.
    pub columns: Vec<PlanColumn>,
    /// Members, then compositions.
    pub members: Vec<PlanMember>,
    /// Peak memory, roughly.
    pub memory_mb: u64,
    /// Disk that the store will take, roughly.
    pub disk_mb: u64,
    /// Time on this machine, roughly.
    pub time: String,
    /// Duplicates, leaks, rare classes and what else should be known.
    pub notes: Vec<String>,
}

/// Opens the data and checks everything that can be checked without fitting. What was opened comes with the plan, so that
/// a run need not open it again.
///
/// # Errors
/// [`Refused`] with every finding, or the first error of the data.
pub fn plan(checked: &Checked, root: &Path, base: &Path) -> Result<(Plan, Opened), Refused> {
    let recipe = &checked.recipe;
    let opened = open_data(recipe, root).map_err(|error| unknown_columns(checked, root, error))?;
    let target = opened.data.target.as_ref().ok_or_else(|| {
        Error::data("the data have no target").at("data").remedy("give one column role: target")
    })?;
    let task = target.task();
    let schema = opened.data.source.schema();
    let findings = checked.findings(check_against(checked, schema, &task));
    if findings.errors() > 0 {
        return Err(Refused::Findings(Box::new(findings)));
    }
    let split = &opened.split;
    let first = opened.outer.first().unwrap_or(split);
    let fits = match recipe.honest {
        HonestSpec::Validation(_) => 1,
        HonestSpec::Folds { folds } => folds + 1,
    } * u32::try_from(opened.outer.len() + 1).unwrap_or(u32::MAX);
    let ground = Ground { recipe, root, schema };
    let refused = refusals(checked, &opened, &ground, &task)?;
    if !refused.is_empty() {
        return Err(Refused::Findings(Box::new(checked.findings(refused))));
    }
    let shares = unavailable(opened.data.source.as_ref())?;
    if let Some((name, _)) = shares.iter().find(|(_, share)| **share >= 1.0) {
        return Err(Error::data("no row has a value in the column")
            .at(format!("column \"{name}\""))
            .expected("a value in some rows")
            .remedy("give the column role: ignore, or say what else stands for a value")
            .into());
    }
    let mut members = Vec::new();
    let mut work = 0.0;
    let mut disk = 0u64;
    let mut memory = data_bytes(opened.data.source.as_ref());
    for (name, member) in &recipe.members {
        members.push(match member {
            Member::Fit { method, on, features, augment, .. } => {
                let reads = Reads { on, features, augment };
                let build = catalog::member(&ground, method, reads).map_err(|e| e.at(name))?;
                let outline = build.estimator.outline(schema, &task);
                let epochs =
                    method.parameters.get("epochs").and_then(serde_json::Value::as_f64).unwrap_or(20.0);
                let size = load(&outline);
                work += f64::from(fits) * split.fit.len() as f64 * epochs * size;
                disk += u64::from(fits) * outline.parameters.unwrap_or(250_000) * 4;
                memory = memory.max(
                    data_bytes(opened.data.source.as_ref())
                        .saturating_add(outline.memory.unwrap_or(64 << 20)),
                );
                describe(name, "member", &method.name, on, &outline, fits)
            }
            Member::Load { path, onnx: Some(declared), .. } => {
                let ground = foreign::Ground {
                    features: &catalog::FEATURES,
                    schema,
                    source: opened.data.source.as_ref(),
                    root,
                    task: &task,
                };
                let of: Vec<String> = declared.inputs.values().flatten().cloned().collect();
                let model = foreign::declare(&ground, declared, &find(name, path, root, base)?)
                    .map_err(|refused| misfits(checked, name, refused))?;
                let outline = Outline { parameters: model.parameters(), ..Outline::default() };
                describe(name, "member", "onnx", &of, &outline, 0)
            }
            Member::Load { path, onnx: None, .. } => {
                let opened = ModelDir::open(&find(name, path, root, base)?).map_err(|e| e.at(name))?;
                opened.model(&catalog::loaders())?;
                describe(name, "member", "load", std::slice::from_ref(path), &Outline::default(), 0)
            }
            Member::Predictions { path, .. } => {
                find(name, path, root, base)?;
                describe(name, "member", "predictions", std::slice::from_ref(path), &Outline::default(), 0)
            }
        });
    }
    for (name, synthesis) in &recipe.synthesis {
        members.push(match synthesis {
            Synthesis::Fuse { method, of, .. } => {
                describe(name, "fuse", &method.name, of, &Outline::default(), 1)
            }
            Synthesis::Merge { method, of, .. } => {
                describe(name, "merge", &method.name, of, &Outline::default(), fits)
            }
            Synthesis::Adapt { method, member, .. } => {
                describe(name, "adapt", &method.name, std::slice::from_ref(member), &Outline::default(), 1)
            }
            Synthesis::Fusion { method, on, features, augment }
            | Synthesis::Distill { method, on, features, augment, .. } => {
                let reads = Reads { on, features, augment };
                let (role, build) = match synthesis {
                    Synthesis::Distill { .. } => ("distill", catalog::member(&ground, method, reads)),
                    _ => ("fusion", catalog::fusion(&ground, method, reads)),
                };
                let build = build.map_err(|e| e.at(name))?;
                let outline = build.estimator.outline(schema, &task);
                let epochs =
                    method.parameters.get("epochs").and_then(serde_json::Value::as_f64).unwrap_or(20.0);
                work += f64::from(fits) * split.fit.len() as f64 * epochs * load(&outline);
                disk += u64::from(fits) * outline.parameters.unwrap_or(250_000) * 4;
                memory = memory.max(
                    data_bytes(opened.data.source.as_ref())
                        .saturating_add(outline.memory.unwrap_or(64 << 20)),
                );
                describe(name, role, &method.name, on, &outline, fits)
            }
        });
    }
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get) as f64;
    let columns = schema.fields.iter().map(|f| PlanColumn {
        name: f.name.clone(),
        kind: f.kind.name().to_owned(),
        shape: match f.kind {
            Kind::Sequence if f.longest > 0 => format!("up to {}x{}", f.longest, shape(&f.shape)),
            _ if f.levels.is_empty() => shape(&f.shape),
            _ => format!("{} levels", f.levels.len()),
        },
        unavailable: shares.get(&f.name).copied().unwrap_or(0.0),
    });
    let plan = Plan {
        rows: opened.data.source.rows(),
        parts: [first.fit.len(), first.choose.len(), first.judge.len()],
        outer_folds: opened.outer.len(),
        honest: match recipe.honest {
            HonestSpec::Validation(_) => "the rows for choosing".to_owned(),
            HonestSpec::Folds { folds } => format!("{folds} folds of the rows for fitting"),
        },
        columns: columns.collect(),
        members,
        memory_mb: memory.div_ceil(1 << 20),
        disk_mb: disk.div_ceil(1 << 20),
        time: duration(work / NUMBERS_A_SECOND / threads),
        notes: opened.data.notes.iter().chain(&first.notes).cloned().collect(),
    };
    Ok((plan, opened))
}

/// What does not fit between an ONNX file and what the recipe says of it, at its places in the recipe. What is wrong with files or
/// data is no finding.
fn misfits(checked: &Checked, name: &str, refused: Vec<foreign::Refused>) -> Refused {
    let mut findings = Vec::new();
    for foreign::Refused { at, error } in refused {
        if !matches!(error, Error::Argument(_)) {
            return Refused::Error(error.at(name));
        }
        let keys: Vec<&str> = ["members", name].into_iter().chain(at.iter().map(String::as_str)).collect();
        findings.push(checked.finding(&keys, &error));
    }
    Refused::Findings(Box::new(checked.findings(findings)))
}

/// What a member is loaded from: in the data folder, else beside the recipe.
fn find(name: &str, path: &str, root: &Path, base: &Path) -> Result<PathBuf, Error> {
    confine(root, path).or_else(|first| confine(base, path).map_err(|_| first)).map_err(|e| match e {
        Error::Read { .. } => Error::model("what the member is loaded from is not there")
            .at(format!("{name}: {path}"))
            .expected(format!("a path below {} or {}", root.display(), base.display()))
            .remedy("check the path; --data DIR names another data folder"),
        other => other.at(name),
    })
}

/// Data that cannot be opened because the recipe names columns that the table has not: all of them, with their places
/// in the recipe. Any other error stays what it is.
fn unknown_columns(checked: &Checked, root: &Path, error: Error) -> Refused {
    let Ok(columns) = table_columns(&checked.recipe.data, root) else { return Refused::Error(error) };
    let findings = checked.findings(check_names(checked, &columns));
    if findings.errors() == 0 { Refused::Error(error) } else { Refused::Findings(Box::new(findings)) }
}

fn describe(
    name: &str,
    role: &'static str,
    method: &str,
    of: &[String],
    outline: &Outline,
    fits: u32,
) -> PlanMember {
    PlanMember {
        name: name.to_owned(),
        role,
        method: method.to_owned(),
        of: of.to_vec(),
        inputs: outline.inputs.iter().map(|f| format!("{}[{}]", f.name, shape(&f.shape))).collect(),
        layers: outline.lines.clone(),
        parameters: outline.parameters,
        fits,
    }
}

fn shape(shape: &[usize]) -> String {
    shape.iter().map(|d| if *d == 0 { "?".to_owned() } else { d.to_string() }).collect::<Vec<_>>().join("x")
}

/// Multiplications for one row of one epoch, forward and backward, roughly: six a parameter, and for maps (images,
/// spectrograms) and tokens a few thousand an input number, since a parameter is used at every place.
fn load(outline: &Outline) -> f64 {
    let places: f64 = outline
        .inputs
        .iter()
        .map(|f| {
            let map = f.shape.len() > 1 || f.words > 0;
            f.shape.iter().product::<usize>() as f64 * if map { 6000.0 } else { 20.0 }
        })
        .sum();
    6.0 * outline.parameters.unwrap_or(1000) as f64 + places
}

/// Bytes of the rows in memory, roughly.
fn data_bytes(source: &dyn Source) -> u64 {
    let Schema { fields } = source.schema();
    let row: usize =
        fields.iter().map(|f| f.shape.iter().product::<usize>().max(1) * f.longest.max(1) * 8).sum();
    (row * source.rows()) as u64
}

fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 10.0 => "a few seconds".to_owned(),
        s if s < 90.0 => format!("{} s", (s / 10.0).ceil() * 10.0),
        s if s < 5400.0 => format!("{} min", (s / 60.0).ceil()),
        s => format!("{:.1} h", s / 3600.0),
    }
}
