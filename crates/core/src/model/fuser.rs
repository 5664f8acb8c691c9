//! What composes predictions. A fuser sees honest predictions only: of rows that their makers have not seen.

use std::collections::{BTreeMap, BTreeSet};

use super::batch::Batch;
use super::estimator::Context;
use super::graph::{Answer, Graph, Value, refused};
use super::mask::Mask;
use super::parts::Parts;
use super::predictions::Predictions;
use super::source::Source;
use super::target::{Target, Task};
use crate::error::{Error, Result};

/// Why predictions count as honest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Each row was predicted by a model fitted without its fold.
    OutOfFold,
    /// The rows are a validation part that no member was fitted on.
    Validation,
    /// The recipe says that the member has not seen the rows (`seen: none`).
    Declared,
}

/// The voices of a row: for each member, in order, whether it says something about it.
pub type Voices = Vec<bool>;

/// Predictions of members for the same rows, none of which their makers have seen, with the truth.
#[derive(Debug, Clone)]
pub struct Honest {
    members: Vec<(String, Predictions, Origin)>,
    target: Target,
    fold: Vec<u32>,
    group: Option<Vec<u64>>,
    weight: Option<Vec<f32>>,
    expected: Option<BTreeSet<Voices>>,
    costs: Option<Vec<f64>>,
}

impl Honest {
    /// Puts members' predictions together. `fold` holds the fold of each row (all zero for a validation part); the
    /// folds are used again to score fusers by cross-fitting.
    ///
    /// # Errors
    /// [`Error::Model`] if there are no members, row ids or classes differ, a row is absent from every member, a fold
    /// number between 0 and the largest has no rows, or a group lies in two folds.
    pub fn new(
        members: Vec<(String, Predictions, Origin)>,
        target: Target,
        fold: Vec<u32>,
        group: Option<Vec<u64>>,
        weight: Option<Vec<f32>>,
    ) -> Result<Self> {
        let Some((first_name, first, _)) = members.first() else {
            return Err(Error::model("a composition needs at least one member"));
        };
        let task = target.task();
        for (name, p, _) in &members {
            if !p.same_rows(first) {
                return Err(Error::model("members predict different rows")
                    .at(format!("member \"{name}\""))
                    .expected(format!("the {} rows of \"{first_name}\", in the same order", first.rows()))
                    .got(format!("{} rows", p.rows())));
            }
            if p.task() != task {
                return Err(Error::model("a member predicts something else than the target")
                    .at(format!("member \"{name}\""))
                    .expected(describe(&task))
                    .got(describe(&p.task()))
                    .remedy("every member must give the same classes, by name and in the same order"));
            }
        }
        let rows = first.rows();
        let lengths = [
            target.len(),
            fold.len(),
            group.as_ref().map_or(rows, Vec::len),
            weight.as_ref().map_or(rows, Vec::len),
        ];
        if lengths.iter().any(|l| *l != rows) {
            return Err(Error::internal(format!(
                "honest predictions of {rows} rows with parts of {lengths:?}"
            )));
        }
        let folds = fold.iter().copied().max().map_or(0, |f| f + 1);
        if let Some(gap) = (0..folds).find(|f| !fold.contains(f)) {
            return Err(Error::model(format!("fold {gap} has no rows"))
                .expected(format!("rows in each of {folds} folds")));
        }
        if let Some(groups) = &group {
            let mut seen = BTreeMap::new();
            for (g, f) in groups.iter().zip(&fold) {
                if *seen.entry(*g).or_insert(*f) != *f {
                    return Err(Error::model("a group lies in two folds")
                        .expected("all rows of a group in one fold")
                        .remedy("split with group: the group column"));
                }
            }
        }
        // The ids once, and not once a member.
        let mut shared: Vec<(String, Predictions, Origin)> = Vec::with_capacity(members.len());
        for (name, p, origin) in members {
            let p = match shared.first() {
                Some((_, first, _)) => p.sharing_ids(first),
                None => p,
            };
            shared.push((name, p, origin));
        }
        Ok(Self { members: shared, target, fold, group, weight, expected: None, costs: None })
    }

    /// The same, with what it costs to ask each member about a row, in any unit: what a cascade saves.
    ///
    /// # Errors
    /// [`Error::Argument`] for costs that are not numbers above zero, or of another number of members.
    pub fn with_costs(self, costs: Vec<f64>) -> Result<Self> {
        if costs.len() != self.count() || costs.iter().any(|c| !c.is_finite() || *c <= 0.0) {
            return Err(Error::argument("the costs of the members are no numbers above zero, one for each")
                .at("costs")
                .expected(format!("{} numbers", self.count()))
                .got(format!("{costs:?}")));
        }
        Ok(Self { costs: Some(costs), ..self })
    }

    /// What it costs to ask each member about a row, where that is known.
    pub fn costs(&self) -> Option<&[f64]> {
        self.costs.as_deref()
    }

    /// The same, with the voices that rows to come can have, so that a fuser need not be ready for others. Without it
    /// any member may be absent.
    ///
    /// # Errors
    /// [`Error::Internal`] for voices of another number of members.
    pub fn expecting(self, voices: BTreeSet<Voices>) -> Result<Self> {
        if voices.iter().any(|v| v.len() != self.count()) {
            return Err(Error::internal(format!("voices of other than {} members", self.count())));
        }
        Ok(Self { expected: Some(voices), ..self })
    }

    /// The voices that rows to come can have, where that is known.
    pub fn expected(&self) -> Option<&BTreeSet<Voices>> {
        self.expected.as_ref()
    }

    /// The voices that rows have, and how many rows have them; rows that every member left out are not among them.
    pub fn heard(&self) -> BTreeMap<Voices, usize> {
        let masks: Vec<&Mask> = self.predictions().map(Predictions::absent).collect();
        let mut voices = vec![true; masks.len()];
        let mut heard = BTreeMap::new();
        for row in 0..self.rows() {
            voices.iter_mut().zip(&masks).for_each(|(v, m)| *v = !m.is_set(row));
            match heard.get_mut(&voices) {
                Some(count) => *count += 1,
                None if voices.contains(&true) => drop(heard.insert(voices.clone(), 1)),
                None => {}
            }
        }
        heard
    }

    /// The members' names, in order.
    pub fn names(&self) -> Vec<&str> {
        self.members.iter().map(|(n, _, _)| n.as_str()).collect()
    }

    /// The members' predictions, in order.
    pub fn predictions(&self) -> impl Iterator<Item = &Predictions> {
        self.members.iter().map(|(_, p, _)| p)
    }

    /// How many members.
    pub fn count(&self) -> usize {
        self.members.len()
    }

    /// How many rows.
    pub fn rows(&self) -> usize {
        self.fold.len()
    }

    /// The truth.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The fold of each row.
    pub fn fold(&self) -> &[u32] {
        &self.fold
    }

    /// The group of each row, where there are groups.
    pub fn group(&self) -> Option<&[u64]> {
        self.group.as_deref()
    }

    /// The weight of each row, where there are weights.
    pub fn weight(&self) -> Option<&[f32]> {
        self.weight.as_deref()
    }

    /// Why each member's predictions are honest.
    pub fn origins(&self) -> Vec<Origin> {
        self.members.iter().map(|(_, _, o)| *o).collect()
    }

    /// The rows that every member left out.
    pub fn silent(&self) -> Mask {
        (0..self.rows()).map(|r| self.predictions().all(|p| p.absent().is_set(r))).collect()
    }

    /// The rows given, in that order, with folds as they are (gaps allowed): for cross-fitting.
    #[must_use]
    pub fn take(&self, rows: &[usize]) -> Self {
        Self {
            members: self.members.iter().map(|(n, p, o)| (n.clone(), p.take(rows), *o)).collect(),
            target: self.target.take(rows),
            fold: rows.iter().map(|&r| self.fold[r]).collect(),
            group: self.group.as_ref().map(|g| rows.iter().map(|&r| g[r]).collect()),
            weight: self.weight.as_ref().map(|w| rows.iter().map(|&r| w[r]).collect()),
            expected: self.expected.clone(),
            costs: self.costs.clone(),
        }
    }

    /// The members whose voice is set alone, on all rows; what rows to come can have is then not known.
    #[must_use]
    pub fn only(self, voices: &[bool]) -> Self {
        fn kept<T>(all: Vec<T>, voices: &[bool]) -> Vec<T> {
            all.into_iter().zip(voices).filter(|(_, v)| **v).map(|(m, _)| m).collect()
        }
        let costs = self.costs.map(|c| kept(c, voices));
        Self { members: kept(self.members, voices), expected: None, costs, ..self }
    }
}

fn describe(task: &Task) -> String {
    match task {
        Task::Classify(c) => format!("classes {}", c.names().join(", ")),
        Task::Regress => "values".to_owned(),
    }
}

/// The raw inputs of the rows that honest predictions are for: what a gate looks at.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    /// Where the rows come from.
    pub source: &'a dyn Source,
    /// Which rows, aligned with the predictions.
    pub rows: &'a [usize],
}

/// Unfitted settings of a way to compose predictions.
pub trait Fuser: Send + Sync {
    /// Whether it can do the task.
    ///
    /// # Errors
    /// [`Error::Argument`] if it cannot.
    fn check(&self, task: &Task, members: usize) -> Result<()>;

    /// Whether it looks at the raw inputs beside the predictions.
    fn wants_inputs(&self) -> bool {
        false
    }

    /// Fits. `inputs` is given when [`Fuser::wants_inputs`] says so.
    ///
    /// # Errors
    /// [`Error::Data`] or [`Error::Model`] for predictions it cannot be fitted to.
    fn fit(
        &self,
        honest: &Honest,
        inputs: Option<Inputs<'_>>,
        context: &Context<'_>,
    ) -> Result<Box<dyn Fused>>;

    /// What whoever reads the results must know of what it has fitted, in sentences without an end.
    fn notes(&self, _fused: &dyn Fused) -> Vec<String> {
        Vec::new()
    }
}

/// A fitted composition of predictions.
pub trait Fused: Send + Sync {
    /// The key under which it is loaded.
    fn kind(&self) -> &'static str;

    /// The raw columns that it reads beside the predictions.
    fn columns(&self) -> Vec<String> {
        Vec::new()
    }

    /// Composes the members' predictions for the same rows, in the order of fitting. A member that is absent on a row
    /// is left out of it; a row that every member left out is absent.
    ///
    /// # Errors
    /// [`Error::Model`] for predictions of other members, rows or classes.
    fn fuse(&self, members: &[Predictions], inputs: Option<&Batch>) -> Result<Predictions>;

    /// Everything needed to load it again.
    ///
    /// # Errors
    /// [`Error::Internal`] if it cannot be said.
    fn save(&self) -> Result<Parts>;

    /// Writes what [`Fused::fuse`] does onto a graph: from what each member says to what is said together. On rows that
    /// every member leaves out it is not defined.
    ///
    /// # Errors
    /// [`Error::Model`] if no graph can say it.
    fn graph(&self, _graph: &mut Graph, _members: &[Answer]) -> Result<Value> {
        Err(refused(&format!("the composition \"{}\"", self.kind()), ""))
    }

    /// The weight of each member, in order, where there is one.
    fn weights(&self) -> Option<Vec<f64>> {
        None
    }

    /// How many fitted numbers it has.
    fn parameters(&self) -> u64 {
        0
    }

    /// Where it need not ask every member about every row: whom it asks in turn.
    fn staged(&self) -> Option<&dyn Staged> {
        None
    }
}

/// A composition that asks its members one after the other and stops when it is sure.
pub trait Staged {
    /// The members in the order in which they are asked.
    fn order(&self) -> &[usize];

    /// The rows about which nobody else need be asked, after the first `asked` members of the order have spoken. What the others are given
    /// as does not matter then.
    ///
    /// # Errors
    /// As [`Fused::fuse`].
    fn settled(&self, members: &[Predictions], asked: usize) -> Result<Mask>;
}
