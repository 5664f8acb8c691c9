//! A recipe for people who only have tables of predictions and the truth.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use consilience_core::data::{DataSpec, TaskKind, npy_shape, open, read_npy, table_columns};
use consilience_core::document::{write_key, write_text};
use consilience_core::registry::nearest;
use consilience_core::{Error, Result};

use super::kind_of;

/// What the column of the truth is called where nobody says it.
const LABELS: [&str; 6] = ["target", "label", "y", "class", "truth", "y_true"];
/// Ways to compose that are tried where nobody says which.
const CLASSIFY: [&str; 4] = ["soft_vote", "weighted", "greedy", "stacking"];
/// Those for people who name classes.
const CROWD: [&str; 2] = ["hard_vote", "dawid_skene"];
const REGRESS: [&str; 4] = ["soft_vote", "weighted", "greedy", "stacking"];

/// Tables of predictions and the truth: what a recipe is to be written for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tables<'a> {
    /// The tables: csv, parquet, or npy of `[rows, classes]`, `[rows]`, `[members, rows, classes]`.
    pub predictions: &'a [PathBuf],
    /// The truth: a csv or parquet table, or an npy array.
    pub target: Option<&'a Path>,
    /// The column of the truth.
    pub label: Option<&'a str>,
    /// The column of row ids, in every table.
    pub id: Option<&'a str>,
    /// The column of folds, in the table of the truth or in those of predictions; or an npy array.
    pub fold: Option<&'a str>,
    /// The column of groups in the table of the truth; or an npy array.
    pub group: Option<&'a str>,
    /// The column of row weights, likewise.
    pub weight: Option<&'a str>,
    /// The column of the table of the truth whose values name the rows for fitting and for judging.
    pub split: Option<&'a str>,
    /// Whether the makers of the predictions have seen none of the rows.
    pub unseen: bool,
    /// Whether every column of a table beside ids and folds is a member of its own, and holds the names of classes: the answers of a
    /// crowd.
    pub labels: bool,
    /// The members' names; those of the files by default.
    pub names: &'a [String],
    /// Ways to compose.
    pub by: &'a [String],
    /// A way to calibrate what is composed.
    pub calibrate: Option<&'a str>,
    /// The metric that chooses.
    pub choose: Option<&'a str>,
}

/// A recipe for tables, and the folder that its paths start from.
#[derive(Debug, Clone)]
pub struct TablesRecipe {
    /// The recipe.
    pub text: String,
    /// The deepest folder that holds every file.
    pub root: PathBuf,
}

/// Writes a recipe that composes tables of predictions.
///
/// # Errors
/// [`Error::Argument`] if something is not said that cannot be guessed: the truth's column, or why the predictions are honest;
/// [`Error::Data`] for tables that cannot be read.
pub fn recipe_of_tables(tables: &Tables<'_>) -> Result<TablesRecipe> {
    let Some(target) = tables.target else {
        return Err(
            Error::argument("there is no truth to weigh the predictions by").expected("--target FILE")
        );
    };
    let root = common_folder(tables, target)?;
    let inside = |path: &Path| -> Result<String> {
        let real = real(path)?;
        let inner = real.strip_prefix(&root).unwrap_or(&real);
        Ok(inner.to_string_lossy().replace('\\', "/"))
    };
    let truth = Truth::read(tables, target)?;
    let mut data = String::new();
    let mut columns = String::new();
    match &truth {
        Truth::Array { .. } => {
            let _ = writeln!(columns, "    truth: {{npy: {}, role: target}}", write_text(&inside(target)?));
        }
        Truth::Table { label, id, .. } => {
            let _ = writeln!(data, "  table: {}", write_text(&inside(target)?));
            let _ = writeln!(data, "  only: true");
            if let Some(id) = id {
                let _ = writeln!(columns, "    {}: {{role: id}}", write_key(id));
            }
            let _ = writeln!(columns, "    {}: {{role: target}}", write_key(label));
        }
    }
    let mut side = |what: &str, given: Option<&str>, role: &str| -> Result<Option<String>> {
        match given {
            None => Ok(None),
            Some(file) if is_npy(Path::new(file)) => {
                let _ = writeln!(
                    columns,
                    "    {what}: {{npy: {}, role: {role}}}",
                    write_text(&inside(Path::new(file))?)
                );
                Ok(Some(what.to_owned()))
            }
            Some(column) if truth.has(column) => {
                let _ = writeln!(columns, "    {}: {{role: {role}}}", write_key(column));
                Ok(Some(column.to_owned()))
            }
            Some(_) if what == "fold" => Ok(None),
            Some(column) => Err(truth.lacks(column, what)),
        }
    };
    side("group", tables.group, "group")?;
    side("weight", tables.weight, "weight")?;
    let fold = side("fold", tables.fold, "ignore")?;
    side("split", tables.split, "ignore")?;
    let folds = match (&fold, tables.fold) {
        (Some(_), Some(given)) if is_npy(Path::new(given)) => {
            Some(values(&read_npy(Path::new(given))?.to_f64()))
        }
        (Some(name), _) => truth.distinct(name),
        _ => None,
    };
    let members = members(tables, &inside, fold.is_some())?;
    let of: Vec<String> = members.iter().map(|(name, _)| write_key(name)).collect();
    let mut text =
        String::from("# Written by `csl fuse`; `csl run` does the same.\nversion: 1\nname: fuse\n");
    let task = truth.task();
    let _ = writeln!(text, "task: {}", if task == TaskKind::Classify { "classify" } else { "regress" });
    let _ = write!(text, "data:\n{data}  columns:\n{columns}");
    match (tables.split, &fold, folds) {
        (Some(split), ..) => {
            let _ = writeln!(text, "split: {{column: {}}}", write_text(split));
        }
        (None, Some(fold), Some(count)) => {
            let _ = writeln!(text, "split: {{column: {}, folds: {count}}}", write_text(fold));
        }
        _ => text.push_str("split: {folds: 5}\n"),
    }
    text.push_str("honest: {folds: 5}\nmembers:\n");
    for (name, line) in &members {
        let _ = writeln!(text, "  {}: {line}", write_key(name));
    }
    text.push_str("synthesis:\n");
    let usual: &[&str] = match task {
        TaskKind::Classify if tables.labels => &CROWD,
        TaskKind::Classify => &CLASSIFY,
        TaskKind::Regress => &REGRESS,
    };
    let by: Vec<&str> =
        if tables.by.is_empty() { usual.to_vec() } else { tables.by.iter().map(String::as_str).collect() };
    let calibrate = tables.calibrate.map(|c| format!(", calibrate: {}", write_text(c))).unwrap_or_default();
    for way in by {
        let name = if members.iter().any(|(n, _)| n == way) { format!("by_{way}") } else { way.to_owned() };
        let _ = writeln!(
            text,
            "  {}: {{fuse: {}, of: [{}]{calibrate}}}",
            write_key(&name),
            write_text(way),
            of.join(", ")
        );
    }
    let usual = if task == TaskKind::Classify { "log_loss" } else { "rmse" };
    let _ = writeln!(text, "judge: {{choose: {}}}", write_text(tables.choose.unwrap_or(usual)));
    Ok(TablesRecipe { text, root })
}

/// The members by name, each with its line in the recipe.
fn members(
    tables: &Tables<'_>,
    inside: &dyn Fn(&Path) -> Result<String>,
    folds_known: bool,
) -> Result<Vec<(String, String)>> {
    let mut lines = Vec::new();
    for path in tables.predictions {
        let mut line = format!("{{predictions: {}", write_text(&inside(path)?));
        if let Some(id) = tables.id.filter(|_| !is_npy(path)) {
            let _ = write!(line, ", id: {}", write_text(id));
        }
        match tables.fold {
            // Folds in the table of the truth say that the predictions are out-of-fold.
            _ if folds_known || tables.unseen => line.push_str(", seen: none"),
            Some(fold) => {
                let _ = write!(line, ", fold: {}", write_text(fold));
            }
            None => {
                return Err(Error::argument("nothing says that the predictions are honest")
                    .expected("--fold and the column with the fold of each row, for out-of-fold predictions")
                    .remedy("or --unseen, if the makers of the predictions have seen none of these rows"));
            }
        }
        if tables.labels && !is_npy(path) {
            let others = [tables.id.or(Some("id")), tables.fold];
            let columns = columns(path)?;
            let own = columns.iter().filter(|c| !others.contains(&Some(c.as_str())));
            lines.extend(own.map(|c| (c.clone(), format!("{line}, label: {}}}", write_text(c)))));
            continue;
        }
        let stem = path.file_stem().map_or_else(String::new, |s| s.to_string_lossy().into_owned());
        let shape = if is_npy(path) { npy_shape(path)? } else { Vec::new() };
        let several = shape.first().copied().filter(|_| shape.len() == 3);
        match several {
            Some(count) => {
                lines.extend((0..count).map(|i| (format!("{stem}_{i}"), format!("{line}, member: {i}}}"))))
            }
            None => lines.push((stem, format!("{line}}}"))),
        }
    }
    if !tables.names.is_empty() {
        if tables.names.len() != lines.len() {
            return Err(Error::argument("there is not one name for each member")
                .at("--names")
                .expected(format!("{} names", lines.len()))
                .got(tables.names.len()));
        }
        lines.iter_mut().zip(tables.names).for_each(|((own, _), name)| name.clone_into(own));
    }
    let mut seen = BTreeSet::new();
    match lines.iter().find(|(name, _)| !seen.insert(name)) {
        Some((twice, _)) => Err(Error::argument(format!("two members are called \"{twice}\""))
            .expected("a name of its own for each")
            .remedy("set --names a,b,c in the order of the tables")),
        None if lines.is_empty() => Err(Error::argument("there are no tables of predictions")),
        None => Ok(lines),
    }
}

/// The columns of a table, in its order.
fn columns(path: &Path) -> Result<Vec<String>> {
    let name = path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    table_columns(&DataSpec { table: Some(name), ..DataSpec::default() }, folder)
}

fn is_npy(path: &Path) -> bool {
    path.extension().is_some_and(|e| e.eq_ignore_ascii_case("npy"))
}

/// How many different numbers there are.
fn values(all: &[f64]) -> usize {
    all.iter().map(|v| v.to_bits()).collect::<BTreeSet<_>>().len()
}

/// The truth as it was found.
enum Truth {
    Array {
        values: Vec<f64>,
    },
    Table {
        cells: std::collections::BTreeMap<String, std::sync::Arc<Vec<String>>>,
        label: String,
        id: Option<String>,
        file: PathBuf,
    },
}

impl Truth {
    fn read(tables: &Tables<'_>, path: &Path) -> Result<Self> {
        if is_npy(path) {
            return Ok(Self::Array { values: read_npy(path)?.to_f64() });
        }
        let name = path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
        let spec = DataSpec { table: Some(name), ..DataSpec::default() };
        let cells = open(&spec, folder, None, None)?.roles.cells;
        let has = |name: &str| cells.contains_key(name);
        let id = match tables.id {
            Some(id) if !has(id) => return Err(lacks(&cells, path, id, "ids")),
            Some(id) => Some(id.to_owned()),
            None => has("id").then(|| "id".to_owned()),
        };
        let others = [tables.fold, tables.group, tables.weight, tables.split, id.as_deref()];
        let left: Vec<&String> = cells.keys().filter(|c| !others.contains(&Some(c.as_str()))).collect();
        let label = match (tables.label, left.as_slice()) {
            (Some(label), _) if !has(label) => return Err(lacks(&cells, path, label, "the truth")),
            (Some(label), _) => label.to_owned(),
            (None, [one]) => (*one).clone(),
            (None, _) => match LABELS.iter().find(|l| has(l)) {
                Some(label) => (*label).to_owned(),
                None => {
                    let known: Vec<&str> = left.iter().map(|c| c.as_str()).collect();
                    return Err(Error::argument("which column holds the truth?")
                        .at(path.display())
                        .expected(format!("--label and one of {}", known.join(", "))));
                }
            },
        };
        Ok(Self::Table { cells, label, id, file: path.to_path_buf() })
    }

    fn has(&self, column: &str) -> bool {
        matches!(self, Self::Table { cells, .. } if cells.contains_key(column))
    }

    fn lacks(&self, column: &str, what: &str) -> Error {
        match self {
            Self::Table { cells, file, .. } => lacks(cells, file, column, what),
            Self::Array { .. } => {
                Error::argument(format!("the truth is an array and has no column \"{column}\""))
                    .at(format!("--{what}"))
                    .expected("another npy array")
            }
        }
    }

    /// How many different values a column has.
    fn distinct(&self, column: &str) -> Option<usize> {
        match self {
            Self::Table { cells, .. } => cells.get(column).map(|c| c.iter().collect::<BTreeSet<_>>().len()),
            Self::Array { .. } => None,
        }
    }

    fn task(&self) -> TaskKind {
        match self {
            Self::Table { cells, label, .. } => {
                kind_of(cells.get(label).map(|c| c.as_slice()).unwrap_or_default())
            }
            Self::Array { values } => {
                let texts: Vec<String> = values.iter().take(100_000).map(f64::to_string).collect();
                kind_of(&texts)
            }
        }
    }
}

fn lacks(
    cells: &std::collections::BTreeMap<String, std::sync::Arc<Vec<String>>>,
    file: &Path,
    column: &str,
    what: &str,
) -> Error {
    let known: Vec<&str> = cells.keys().map(String::as_str).collect();
    let error = Error::argument(format!("there is no column \"{column}\" for {what}"))
        .at(file.display())
        .expected(format!("one of {}", known.join(", ")));
    match nearest(column, known) {
        Some(near) => error.remedy(format!("did you mean \"{near}\"?")),
        None => error,
    }
}

fn real(path: &Path) -> Result<PathBuf> {
    path.canonicalize().map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => Error::argument("there is no such file").at(path.display()),
        _ => Error::read(path, e),
    })
}

/// The deepest folder that holds all files.
fn common_folder(tables: &Tables<'_>, target: &Path) -> Result<PathBuf> {
    let sides =
        [tables.fold, tables.group, tables.weight].into_iter().flatten().map(Path::new).filter(|p| is_npy(p));
    let all = tables.predictions.iter().map(PathBuf::as_path).chain([target]).chain(sides);
    let mut common: Option<PathBuf> = None;
    for path in all {
        let folder = real(path)?.parent().map(Path::to_path_buf).unwrap_or_default();
        common = Some(match common {
            None => folder,
            Some(known) => known
                .components()
                .zip(folder.components())
                .take_while(|(a, b)| a == b)
                .map(|(a, _)| a)
                .collect(),
        });
    }
    common.ok_or_else(|| Error::argument("there are no tables of predictions"))
}
