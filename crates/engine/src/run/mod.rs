//! A run: members are fitted, composed, judged, and the best is kept as a model directory.

mod candidate;
mod choice;
mod composed;
mod explained;
mod export;
mod fitted;
mod given;
mod judged;
mod looked;
mod merged;
mod provenance;
mod regions;
mod session;
mod table;
mod tried;
mod verdict;
mod voices;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use consilience_core::data::{Dataset, HonestSpec, Nested, RowFilter, Split, nested, open, split};
use consilience_core::features::Reader;
use consilience_core::files::confine;
use consilience_core::members::Preprocess;
use consilience_core::model::Stop;
use consilience_core::seed::Seed;
use consilience_core::{Error, Result};

use crate::catalog::{self, Reads};
use crate::outcome::{Outcome, Role};
use crate::recipe::{Member, Recipe, Synthesis};
use crate::store::Store;
use candidate::Draft;
use fitted::{Plan, Taught};
use merged::Merging;
use session::{Session, honest_rows};
use table::Form;

pub(crate) use fitted::Build;
pub(crate) use provenance::{Learned, digested};
pub(crate) use session::Ground;
pub use session::{Silent, Watch, unavailable};

/// What to run, where, and how.
pub struct Request<'a> {
    /// The checked recipe.
    pub recipe: &'a Recipe,
    /// The data folder.
    pub root: PathBuf,
    /// The data, if they were opened already; otherwise they are opened here.
    pub opened: Option<&'a Opened>,
    /// The folder of the recipe: where paths of loaded members and tables of predictions start, if not in the data.
    pub base: PathBuf,
    /// The folder of the runs and their store.
    pub runs: PathBuf,
    /// Do every step again.
    pub fresh: bool,
    /// A long fit keeps what it has reached this often, for when it is killed: at most so much is lost, and an epoch.
    pub keep_every: Duration,
    /// The command that the report shows.
    pub command: String,
    /// Set from outside to stop.
    pub stop: &'a Stop,
    /// Where progress is told.
    pub watch: &'a dyn Watch,
}

/// A finished run.
#[derive(Debug, Clone)]
pub struct Finished {
    /// What was found.
    pub outcome: Outcome,
    /// The run's folder.
    pub dir: PathBuf,
}

/// Opened data with their parts: what `check`, `plan` and `run` begin with.
#[derive(Debug)]
pub struct Opened {
    /// The data.
    pub data: Dataset,
    /// Their parts; of a nested design all rows, none for judging.
    pub split: Split,
    /// The parts of each outer fold of a nested design; else empty.
    pub outer: Vec<Split>,
}

/// Opens the data of a recipe and parts the rows.
///
/// # Errors
/// [`Error::Data`] for data that cannot be read or parted; [`Error::Argument`] for a split that cannot be.
pub fn open_data(recipe: &Recipe, root: &Path) -> Result<Opened> {
    let data = open(&recipe.data, root, Some(recipe.task), recipe.split.column.as_deref())?;
    let reads = recipe.members.iter().any(|(_, m)| !matches!(m, Member::Predictions { .. }));
    if data.source.schema().fields.is_empty() && (reads || recipe.members.is_empty()) {
        return Err(Error::data("the data have no input columns").at("data").remedy(
            "name some under data: {columns: ...}, or unset only; tables of predictions alone need none",
        ));
    }
    let seed = Seed::new(recipe.seed);
    let seed = seed.child("split");
    let Nested { whole: mut split, outer } = if recipe.split.folds.is_some() {
        nested(&recipe.split, &recipe.honest, &data, seed)?
    } else {
        Nested { whole: split(&recipe.split, &recipe.honest, &data, seed)?, outer: Vec::new() }
    };
    if matches!(recipe.honest, HonestSpec::Folds { .. }) && !split.choose.is_empty() {
        split.notes.push(format!(
            "the {} rows for choosing are not used: honest predictions come from folds of the rows for fitting",
            split.choose.len()
        ));
    }
    Ok(Opened { data, split, outer })
}

/// Runs a recipe.
///
/// # Errors
/// [`Error::Data`] and [`Error::Argument`] for what the recipe or the data do not allow, [`Error::Write`] if the run's
/// folder cannot be written, [`Error::Interrupted`] when stopped: the steps that are done stay in the store.
pub fn run(request: &Request<'_>) -> Result<Finished> {
    let start = Instant::now();
    let recipe = request.recipe;
    let store = Store::open(&request.runs, request.fresh)?;
    let own;
    let Opened { data, split, outer } = match request.opened {
        Some(opened) => opened,
        None => {
            request.watch.begin("data");
            own = open_data(recipe, &request.root)?;
            request.watch.end("data", start.elapsed().as_secs_f64(), true);
            &own
        }
    };
    let target = data.target.as_ref().ok_or_else(|| {
        Error::data("the data have no target").at("data").remedy("give one column role: target")
    })?;
    if split.judge.is_empty() && outer.is_empty() {
        return Err(Error::data("there are no rows to judge on").at("split").remedy("set holdout: .2"));
    }
    let whole = Session {
        recipe,
        root: &request.root,
        base: &request.base,
        store: &store,
        task: target.task(),
        honest: honest_rows(&recipe.honest, split)?,
        target,
        data,
        split,
        seed: Seed::new(recipe.seed),
        loaders: &catalog::loaders(),
        stop: request.stop,
        watch: request.watch,
        prefix: String::new(),
        keep_every: request.keep_every,
    };
    let mut sessions = Vec::new();
    for (fold, split) in outer.iter().enumerate() {
        sessions.push(whole.with_split(split, format!("outer fold {}/{}: ", fold + 1, outer.len()))?);
    }
    (if sessions.is_empty() { std::slice::from_ref(&whole) } else { &sessions })
        .iter()
        .try_for_each(judged::check)?;
    let mut rounds = Vec::new();
    for session in &sessions {
        rounds.push(Round::new(session)?);
    }
    let last = Round::new(&whole)?;
    let rounds: Vec<&Round<'_>> = if rounds.is_empty() { vec![&last] } else { rounds.iter().collect() };
    let judged = judged::judge(&last, &rounds)?;
    export::finish(request, &last, &rounds, judged, start)
}

/// Everything fitted and composed on one split of the rows. A run is one round that is judged and exported; a nested run is
/// a round for each outer fold, which is judged, and one on all rows, which is exported.
pub(crate) struct Round<'a> {
    pub session: &'a Session<'a>,
    pub drafts: Vec<Draft>,
}

impl<'a> Round<'a> {
    fn new(session: &'a Session<'a>) -> Result<Self> {
        Ok(Self { session, drafts: drafts(session)? })
    }
}

/// Every member and composition, in the recipe's order.
fn drafts(session: &Session<'_>) -> Result<Vec<Draft>> {
    let mut done: BTreeMap<String, Draft> = BTreeMap::new();
    let recipe = session.recipe;
    let names: Vec<&str> = recipe
        .members
        .iter()
        .map(|(n, _)| n.as_str())
        .chain(recipe.synthesis.iter().map(|(n, _)| n.as_str()))
        .collect();
    // What was made elsewhere is looked at before anything long is begun.
    for (name, _) in recipe.members.iter().filter(|(_, m)| !matches!(m, Member::Fit { .. })) {
        make(session, name, &mut done, 0)?;
    }
    for name in &names {
        make(session, name, &mut done, 0)?;
    }
    let mut out = Vec::new();
    for name in names {
        out.extend(done.remove(name));
    }
    Ok(out)
}

/// Makes a member or composition after everything that it needs.
fn make(session: &Session<'_>, name: &str, done: &mut BTreeMap<String, Draft>, depth: usize) -> Result<()> {
    if done.contains_key(name) {
        return Ok(());
    }
    if depth > 32 {
        return Err(Error::argument("members and compositions need each other in a circle").at(name));
    }
    let recipe = session.recipe;
    if let Some((_, member)) = recipe.members.iter().find(|(n, _)| n == name) {
        let raw = make_member(session, name, member, done, depth)?;
        let draft = match recipe.calibrate.get(name) {
            Some(call) => session.calibrated_draft(raw, call)?,
            None => raw,
        };
        done.insert(name.to_owned(), draft);
        return Ok(());
    }
    let Some((_, synthesis)) = recipe.synthesis.iter().find(|(n, _)| n == name) else {
        return Err(Error::argument(format!("there is no member or composition \"{name}\"")));
    };
    let needed: &[String] = match synthesis {
        Synthesis::Fuse { of, .. } | Synthesis::Merge { of, .. } => of,
        Synthesis::Distill { teacher, .. } => std::slice::from_ref(teacher),
        Synthesis::Fusion { .. } | Synthesis::Adapt { .. } => &[],
    };
    let origin = match synthesis {
        Synthesis::Merge { base, .. } => base.as_ref(),
        _ => None,
    };
    for inner in needed.iter().chain(origin) {
        make(session, inner, done, depth + 1)?;
    }
    let of: Vec<&Draft> = needed.iter().filter_map(|n| done.get(n)).collect();
    let draft = match synthesis {
        Synthesis::Fuse { method, prune, .. } => session.fuse_draft(name, method, *prune, &of)?,
        Synthesis::Merge { method, search, .. } => {
            let origin = origin.and_then(|o| done.get(o));
            session.merge_draft(&Merging { name, call: method, search, of: &of, origin })?
        }
        Synthesis::Fusion { method, on, features, augment } => {
            let build = catalog::fusion(&session.ground(), method, Reads { on, features, augment })?;
            let plan = Plan {
                name,
                role: Role::Fusion,
                method: &method.name,
                on,
                rows: None,
                bag: false,
                taught: None,
            };
            session.fit_draft(&plan, &build, None)?
        }
        Synthesis::Distill { method, on, features, augment, lesson, .. } => {
            let build = catalog::member(&session.ground(), method, Reads { on, features, augment })?;
            let teacher = of.first().copied();
            let said = teacher.and_then(|d| d.honest.as_ref());
            let (Some(teacher), Some(said)) = (teacher, said) else {
                return Err(Error::model("the teacher has no honest predictions to learn from").at(name));
            };
            let lesson = build.estimator.lesson(&session.task, *lesson).map_err(|e| e.at(name))?;
            let taught = Taught { draft: teacher, said, lesson };
            let plan = Plan {
                name,
                role: Role::Distill,
                method: &method.name,
                on,
                rows: None,
                bag: false,
                taught: Some(taught),
            };
            session.fit_draft(&plan, &build, None)?
        }
        Synthesis::Adapt { method, member, source, target } => {
            let Some((_, Member::Fit { method: learner, on, features, rows, .. })) =
                recipe.members.iter().find(|(n, _)| n == member)
            else {
                return Err(Error::argument(format!("\"{member}\" is not a member that is fitted here"))
                    .at(name)
                    .remedy("name a member with fit:"));
            };
            let (preprocess, key) = catalog::preprocess(&session.ground(), on, features, |_| Reader::Matrix)?;
            let fit: BTreeSet<usize> = session.fitting_rows(name, rows.as_deref())?.into_iter().collect();
            let source: Vec<usize> =
                session.rows_where(source)?.into_iter().filter(|r| fit.contains(r)).collect();
            let target = session.rows_where(target)?;
            session.adapt_draft(name, method, (member, learner), (&preprocess, &key), &source, &target)?
        }
    };
    let draft = match (recipe.calibrate.get(name), synthesis) {
        // What composes predictions is calibrated as one with its cross-fitting.
        (Some(call), Synthesis::Fusion { .. } | Synthesis::Merge { .. } | Synthesis::Distill { .. }) => {
            session.calibrated_draft(draft, call)?
        }
        _ => draft,
    };
    done.insert(name.to_owned(), draft);
    Ok(())
}

fn make_member(
    session: &Session<'_>,
    name: &str,
    member: &Member,
    done: &mut BTreeMap<String, Draft>,
    depth: usize,
) -> Result<Draft> {
    match member {
        Member::Fit { method, on, features, augment, from, rows, bag } => {
            if let Some(from) = from {
                make(session, from, done, depth + 1)?;
            }
            let build = catalog::member(&session.ground(), method, Reads { on, features, augment })?;
            let plan = Plan {
                name,
                role: Role::Member,
                method: &method.name,
                on,
                rows: rows.as_deref(),
                bag: *bag,
                taught: None,
            };
            session.fit_draft(&plan, &build, from.as_ref().and_then(|f| done.get(f)))
        }
        Member::Load { path, seen, onnx } => {
            session.loaded_draft(name, &session.find(path)?, *seen, onnx.as_ref())
        }
        Member::Predictions { path, id, fold, label, columns, member, seen } => {
            let (id, fold, label) = (id.as_deref(), fold.as_deref(), label.as_deref());
            let form = Form { id, fold, label, columns, member: *member };
            let table = table::read(session, &session.find(path)?, &form).map_err(|e| e.at(name))?;
            session.table_draft(name, &table.predictions, table.folds.as_deref(), *seen)
        }
    }
}

impl Session<'_> {
    /// The rows for fitting that a member's filter keeps.
    pub(crate) fn fitting_rows(&self, name: &str, filter: Option<&str>) -> Result<Vec<usize>> {
        match filter {
            Some(text) => RowFilter::parse(text)
                .and_then(|f| f.keep(self.data, &self.split.fit))
                .map_err(|e| e.at(name)),
            None => Ok(self.split.fit.clone()),
        }
    }

    /// A path of the recipe: in the data folder, else beside the recipe.
    fn find(&self, path: &str) -> Result<PathBuf> {
        confine(self.root, path).or_else(|first| confine(self.base, path).map_err(|_| first))
    }

    /// The rows whose cells have the values given.
    fn rows_where(&self, wanted: &BTreeMap<String, String>) -> Result<Vec<usize>> {
        let mut rows: Vec<usize> = (0..self.source().rows()).collect();
        for (column, value) in wanted {
            let cells = self.data.roles.cells.get(column).ok_or_else(|| {
                Error::data(format!("there is no column \"{column}\" to choose rows by"))
                    .expected(self.data.roles.cells.keys().cloned().collect::<Vec<_>>().join(", "))
            })?;
            rows.retain(|r| cells.get(*r).is_some_and(|c| c == value));
        }
        if rows.is_empty() {
            return Err(Error::data(format!("no row has {wanted:?}")).at("source and target of adapt"));
        }
        Ok(rows)
    }
}

/// The unfitted preprocessing with what its results depend on.
pub(crate) type Keyed = (Preprocess, serde_json::Value);
