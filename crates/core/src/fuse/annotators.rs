//! Annotators with their confusion matrices, and the votes that they are known by.

use serde_json::json;

use super::aligned::{Aligned, view};
use super::evidence::{row_weights, voiced_rows};
use crate::array::{ArrayView1, log_sum_exp};
use crate::error::{Error, Result};
use crate::model::graph::{Answer, Attribute, Element, Graph, Value};
use crate::model::{Batch, Fused, Honest, Loaders, Parts, Predictions, Task};

/// The key under which annotators are loaded.
pub(super) const KIND: &str = "dawid_skene";
/// Counts and shares are at least this, so that nothing is taken for impossible.
const LEAST: f64 = 1e-10;

/// The most probable class, the first of those that tie.
fn vote(p: ArrayView1<'_, f32>) -> usize {
    p.iter().enumerate().fold(0, |best, (class, v)| if *v > p[best] { class } else { best })
}

/// What the annotators of each row say.
pub(super) struct Votes {
    /// The rows' positions in the honest predictions.
    pub rows: Vec<usize>,
    /// How many classes there are.
    pub classes: usize,
    /// Member and class of each vote, row by row.
    votes: Vec<(u32, u32)>,
    /// Where the votes of each row begin, and where the last ones end.
    starts: Vec<usize>,
    /// One a row, as given.
    weight: Vec<f64>,
}

impl Votes {
    /// The votes on all rows about which someone says something.
    ///
    /// # Errors
    /// [`Error::Data`] if there are none, or for weights that cannot be.
    pub(super) fn new(honest: &Honest) -> Result<Self> {
        let rows = voiced_rows(honest)?;
        row_weights(honest, &rows)?;
        let weight = rows.iter().map(|&r| honest.weight().map_or(1.0, |w| f64::from(w[r]))).collect();
        let members: Vec<&Predictions> = honest.predictions().collect();
        let mut views = Vec::with_capacity(members.len());
        for member in &members {
            views.push(view(member)?);
        }
        let mut votes = Vec::new();
        let mut starts = vec![0];
        for &row in &rows {
            for ((m, member), view) in (0u32..).zip(&members).zip(&views) {
                if !member.absent().is_set(row) {
                    votes.push((m, vote(view.row(row)) as u32));
                }
            }
            starts.push(votes.len());
        }
        Ok(Self { classes: honest.target().task().width(), rows, votes, starts, weight })
    }

    fn of(&self, row: usize) -> &[(u32, u32)] {
        &self.votes[self.starts[row]..self.starts[row + 1]]
    }

    /// Each row's share of the votes for each class, `[row, class]`.
    pub(super) fn shares(&self) -> Vec<f64> {
        let mut out = vec![0.0; self.rows.len() * self.classes];
        for (row, shares) in out.chunks_mut(self.classes).enumerate() {
            let votes = self.of(row);
            votes.iter().for_each(|(_, class)| shares[*class as usize] += 1.0 / votes.len() as f64);
        }
        out
    }

    /// What annotators make of each row, `[row, class]`.
    pub(super) fn weigh(&self, annotators: &Annotators, truth: &mut [f64]) {
        for (row, p) in truth.chunks_mut(self.classes).enumerate() {
            annotators.weigh(self.of(row).iter().map(|(m, c)| (*m as usize, *c as usize)), p);
        }
    }

    /// The lower bound of the log-likelihood of the votes, with `truth` for what the rows are, a vote.
    pub(super) fn bound(&self, annotators: &Annotators, truth: &[f64]) -> f64 {
        let (mut sum, mut count) = (0.0, 0.0);
        let prior: Vec<f64> = annotators.prior.iter().map(|p| p.ln()).collect();
        for (row, p) in truth.chunks(self.classes).enumerate() {
            let mut here = 0.0;
            // The peer counts the prior once a vote, and so must whoever is to stop where it does.
            for (m, l) in self.of(row) {
                let errors = annotators.errors(*m as usize, *l as usize);
                here += (0..self.classes).map(|k| p[k] * (errors[k] + prior[k])).sum::<f64>();
            }
            here -= p.iter().map(|p| p.max(LEAST)).map(|p| p * p.ln()).sum::<f64>();
            sum += self.weight[row] * here;
            count += self.weight[row] * self.of(row).len() as f64;
        }
        sum / count
    }
}

/// Class shares and a confusion matrix for each member.
pub(super) struct Annotators {
    task: Task,
    members: usize,
    prior: Vec<f64>,
    /// `ln e`: `[member, vote, class]`.
    log: Vec<f64>,
    /// `[member, vote, class]`: how probable the vote of a member is on a row of a class.
    confusion: Vec<f64>,
}

impl Annotators {
    /// Counts votes by what the rows are, `truth [row, class]`, with `smoothing` votes in advance everywhere.
    pub(super) fn counted(honest: &Honest, votes: &Votes, truth: &[f64], smoothing: f64) -> Result<Self> {
        let (members, classes) = (honest.count(), votes.classes);
        let mut prior = vec![0.0; classes];
        let mut counts = vec![smoothing; members * classes * classes];
        for (row, p) in truth.chunks(classes).enumerate() {
            let weight = votes.weight[row];
            prior.iter_mut().zip(p).for_each(|(s, p)| *s += weight * p);
            for (m, l) in votes.of(row) {
                let at = (*m as usize * classes + *l as usize) * classes;
                counts[at..at + classes].iter_mut().zip(p).for_each(|(c, p)| *c += weight * p);
            }
        }
        let total: f64 = prior.iter().sum();
        prior.iter_mut().for_each(|p| *p = (*p / total).max(LEAST));
        counts.iter_mut().for_each(|c| *c = c.max(LEAST));
        for counts in counts.chunks_mut(classes * classes) {
            for class in 0..classes {
                let sum: f64 = (0..classes).map(|l| counts[l * classes + class]).sum();
                (0..classes).for_each(|l| counts[l * classes + class] /= sum);
            }
        }
        Self::new(honest.target().task(), members, prior, counts)
    }

    fn new(task: Task, members: usize, prior: Vec<f64>, confusion: Vec<f64>) -> Result<Self> {
        let classes = task.width();
        let shares = prior.iter().chain(&confusion).all(|p| *p > 0.0 && *p <= 1.0 + 1e-9);
        let fits = prior.len() == classes && members.checked_mul(classes * classes) == Some(confusion.len());
        if !fits || !shares || task.classes().is_none() {
            return Err(Error::model("the confusion matrices of a composition do not fit together")
                .remedy("the model directory is damaged; fit the model again"));
        }
        Ok(Self { log: confusion.iter().map(|p| p.ln()).collect(), task, members, prior, confusion })
    }

    /// `ln e(vote | class)` for each class.
    fn errors(&self, member: usize, vote: usize) -> &[f64] {
        let classes = self.prior.len();
        let at = (member * classes + vote) * classes;
        &self.log[at..at + classes]
    }

    /// The probability of each class given votes.
    fn weigh(&self, votes: impl Iterator<Item = (usize, usize)>, p: &mut [f64]) {
        p.iter_mut().zip(&self.prior).for_each(|(p, prior)| *p = prior.ln());
        for (member, vote) in votes {
            p.iter_mut().zip(self.errors(member, vote)).for_each(|(p, e)| *p += e);
        }
        let all = log_sum_exp(p);
        p.iter_mut().for_each(|p| *p = (*p - all).exp());
    }
}

/// Loads them.
pub(super) fn load(parts: &Parts, _: &Loaders) -> Result<Box<dyn Fused>> {
    let (prior, confusion) = (parts.f64("prior")?.to_vec(), parts.f64("confusion")?.to_vec());
    Ok(Box::new(Annotators::new(parts.field("task")?, parts.field("members")?, prior, confusion)?))
}

impl Fused for Annotators {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn fuse(&self, members: &[Predictions], _: Option<&Batch>) -> Result<Predictions> {
        let aligned = Aligned::new(members, &self.task, self.members)?;
        aligned.each_row(|row, out| {
            let present = (0..self.members).filter(|m| aligned.present(*m, row));
            self.weigh(present.map(|m| (m, vote(aligned.views()[m].row(row)))), out);
        })
    }

    fn graph(&self, graph: &mut Graph, members: &[Answer]) -> Result<Value> {
        let classes = self.prior.len();
        let mut terms = vec![graph.doubles("prior", &[1, classes], self.prior.iter().map(|p| p.ln()))];
        for (member, log) in members.iter().zip(self.log.chunks(classes * classes)) {
            let first = vec![("axis", Attribute::Int(1)), ("keepdims", Attribute::Int(1))];
            let vote = graph.node("ArgMax", &[&member.value], first, Element::I64);
            let hot = graph.hot(&vote, classes);
            let hot = graph.double(&hot);
            let log = graph.doubles("confusion", &[classes, classes], log.iter().copied());
            let said = graph.product(&hot, &log);
            terms.push(graph.or_zero(member.present.as_ref(), &said));
        }
        let sum = graph.sum(&terms);
        let p = graph.softmax(&sum);
        Ok(graph.single(&p))
    }

    fn save(&self) -> Result<Parts> {
        Ok(Parts::new(KIND, json!({"task": self.task, "members": self.members}))
            .with_f64("prior", &self.prior)
            .with_f64("confusion", &self.confusion))
    }

    fn parameters(&self) -> u64 {
        (self.prior.len() + self.confusion.len()) as u64
    }
}
