//! The mean of the ranks that the members give.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::aligned::{Aligned, view};
use super::evidence::{row_weights, voiced_rows};
use crate::array::MIN_PROBABILITY;
use crate::error::{Error, Result};
use crate::model::graph::{Answer, Element, Graph, Numbers, Value, refused};
use crate::model::{Batch, Context, Fused, Fuser, Honest, Inputs, Loaders, Parts, Predictions, Task};
use crate::registry::Method;

/// The key under which it is loaded.
pub(super) const KIND: &str = "rank_mean";
/// At most this many different scores of a member are kept for each class.
const MOST_KEPT: usize = 1 << 16;
/// A graph compares each row with every score that is kept; of more than this the export is refused.
const MOST_DRAWN: usize = 1 << 12;

/// The mean over the members present of the rank of their score among their scores on the fitting rows: the share of
/// these rows (by weight) with a lower score, and half of those with the same. Two classes: the score is the probability
/// of the second one, and the mean is what is given to it. More: a mean rank for each class, at least 1e-7, divided by
/// the sum over the classes.
///
/// Only the order of a member's scores counts, so members of any scale can be put together, and a row is scored without
/// a look at other new rows. What comes out are scores that order rows (for the area under the ROC curve), and no
/// probabilities unless they are calibrated. Of more than 65536 different scores as many are kept, evenly by their order;
/// ranks are then exact to half a gap between two.
///
/// # Reference
/// Ho, Hull and Srihari, "Decision combination in multiple classifier systems", IEEE PAMI 16(1), 1994 (Borda counts).
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RankMean {}

impl Method for RankMean {
    const NAME: &'static str = "rank_mean";
    const ABOUT: &'static str =
        "Mean of the ranks of the members' scores; scores that order rows, no probabilities";
}

impl Fuser for RankMean {
    fn check(&self, task: &Task, _: usize) -> Result<()> {
        if task.classes().is_none() {
            return Err(Error::argument("a mean of ranks is no value")
                .expected("task: classify")
                .remedy("use median or trimmed_mean for a regression"));
        }
        Ok(())
    }

    fn fit(&self, honest: &Honest, _: Option<Inputs<'_>>, context: &Context<'_>) -> Result<Box<dyn Fused>> {
        let task = honest.target().task();
        self.check(&task, honest.count())?;
        let rows = voiced_rows(honest)?;
        let weights = row_weights(honest, &rows)?;
        let mut curves = Vec::with_capacity(honest.count());
        for member in honest.predictions() {
            context.stop.check()?;
            let said = view(member)?;
            let here: Vec<(usize, f64)> = rows
                .iter()
                .copied()
                .zip(weights.iter().copied())
                .filter(|(r, _)| !member.absent().is_set(*r))
                .collect();
            let curve =
                |class| Curve::of(here.iter().map(|(r, w)| (said[[*r, class]], *w)).collect(), MOST_KEPT);
            curves.push(ranked(&task).map(curve).collect());
        }
        Ok(Box::new(Ranks { task, curves }))
    }
}

/// The classes whose scores are ranked: the second of two, or all.
fn ranked(task: &Task) -> std::ops::Range<usize> {
    let width = task.width();
    usize::from(width == 2)..width
}

/// An empirical distribution function.
#[derive(Debug, Clone, PartialEq)]
struct Curve {
    /// Different scores, rising.
    scores: Vec<f32>,
    /// The rank below the first score, at it, between it and the next, and so on: one more than twice the scores.
    ranks: Vec<f32>,
}

impl Curve {
    /// The curve of scores with weights, `most` different ones of which are kept.
    fn of(mut said: Vec<(f32, f64)>, most: usize) -> Self {
        said.retain(|(_, w)| *w > 0.0);
        said.sort_by(|a, b| a.0.total_cmp(&b.0));
        let total: f64 = said.iter().map(|(_, w)| w).sum();
        // Score, weight below, weight up to it.
        let mut steps: Vec<(f32, f64, f64)> = Vec::new();
        let mut sum = 0.0;
        for same in said.chunk_by(|a, b| a.0 == b.0) {
            let below = sum;
            sum += same.iter().map(|(_, w)| w).sum::<f64>();
            steps.push((same[0].0, below, sum));
        }
        let many = steps.len();
        if many > most {
            steps = (0..most).map(|i| steps[i * (many - 1) / (most - 1)]).collect();
        }
        let mut ranks = Vec::with_capacity(2 * steps.len() + 1);
        let mut before = 0.0;
        for (_, below, through) in &steps {
            ranks.push(0.5 * (before + below) / total);
            ranks.push(0.5 * (below + through) / total);
            before = *through;
        }
        // A member that is never there on a fitting row has no order: all of its scores are in the middle.
        ranks.push(if steps.is_empty() { 0.5 } else { 0.5 * (before + total) / total });
        Self {
            scores: steps.iter().map(|s| s.0).collect(),
            ranks: ranks.into_iter().map(|r| r as f32).collect(),
        }
    }

    fn rank(&self, score: f32) -> f64 {
        let place =
            self.scores.partition_point(|s| *s < score) + self.scores.partition_point(|s| *s <= score);
        f64::from(self.ranks[place])
    }

    /// The rank of each score of a column `[rows, 1]`.
    fn drawn(&self, graph: &mut Graph, score: &Value) -> Value {
        let places = graph.constant("ranks", &[self.ranks.len()], Numbers::F32(self.ranks.clone()));
        if self.scores.is_empty() {
            return places;
        }
        let scores = graph.singles("scores", &[1, self.scores.len()], self.scores.iter().copied());
        let above = graph.node("Greater", &[score, &scores], vec![], Element::Bool);
        let below = graph.node("Greater", &[&scores, score], vec![], Element::Bool);
        let not_below = graph.not(&below);
        let (above, not_below) = (graph.single(&above), graph.single(&not_below));
        let both = graph.add(&above, &not_below);
        let place = graph.reduce("ReduceSum", &both, &[1]);
        let place = graph.cast(&place, Element::I64);
        graph.gather(&places, &place, 0)
    }
}

/// Curves of all members.
struct Ranks {
    task: Task,
    /// `[member][ranked class]`.
    curves: Vec<Vec<Curve>>,
}

/// Loads it.
pub(super) fn load(parts: &Parts, _: &Loaders) -> Result<Box<dyn Fused>> {
    let task: Task = parts.field("task")?;
    let members: usize = parts.field("members")?;
    let curve = |m: usize, class: usize| -> Result<Curve> {
        let (_, scores) = parts.f32(&format!("scores_{m}_{class}"))?;
        let (_, ranks) = parts.f32(&format!("ranks_{m}_{class}"))?;
        let rising = scores.windows(2).all(|s| s[0] < s[1]);
        if !rising || ranks.len() != 2 * scores.len() + 1 || ranks.iter().any(|r| !(0.0..=1.0).contains(r)) {
            return Err(Error::model("the ranks of a saved composition are damaged")
                .at(format!("member {}", m + 1))
                .remedy("fit the model again"));
        }
        Ok(Curve { scores: scores.to_vec(), ranks: ranks.to_vec() })
    };
    let curves: Result<Vec<Vec<Curve>>> =
        (0..members).map(|m| ranked(&task).map(|class| curve(m, class)).collect()).collect();
    Ok(Box::new(Ranks { curves: curves?, task }))
}

impl Fused for Ranks {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn fuse(&self, members: &[Predictions], _: Option<&Batch>) -> Result<Predictions> {
        let aligned = Aligned::new(members, &self.task, self.curves.len())?;
        let least = f64::from(MIN_PROBABILITY);
        aligned.each_row(|row, out| {
            let present: Vec<usize> = (0..self.curves.len()).filter(|m| aligned.present(*m, row)).collect();
            for (i, class) in ranked(&self.task).enumerate() {
                let ranks =
                    present.iter().map(|m| self.curves[*m][i].rank(aligned.views()[*m][[row, class]]));
                out[class] = ranks.sum::<f64>() / present.len() as f64;
            }
            match out {
                [first, second] => *first = 1.0 - *second,
                _ => {
                    out.iter_mut().for_each(|o| *o = o.max(least));
                    let sum: f64 = out.iter().sum();
                    out.iter_mut().for_each(|o| *o /= sum);
                }
            }
        })
    }

    fn graph(&self, graph: &mut Graph, members: &[Answer]) -> Result<Value> {
        let largest = self.curves.iter().flatten().map(|c| c.scores.len()).max().unwrap_or(0);
        if largest > MOST_DRAWN {
            let why = format!("{largest} different scores of a member, more than {MOST_DRAWN}");
            return Err(refused("a mean of ranks", &why));
        }
        let one = graph.scalar(Element::F64, 1.0);
        let mut terms = Vec::with_capacity(members.len());
        let mut counts = Vec::with_capacity(members.len());
        for (member, curves) in members.iter().zip(&self.curves) {
            let mut ranks = Vec::with_capacity(curves.len());
            for (class, curve) in ranked(&self.task).zip(curves) {
                let score = graph.columns(&member.value, [class as i64]);
                ranks.push(curve.drawn(graph, &score));
            }
            let ranks = graph.beside(&ranks, 1);
            let ranks = graph.double(&ranks);
            terms.push(graph.or_zero(member.present.as_ref(), &ranks));
            counts.push(graph.or_zero(member.present.as_ref(), &one));
        }
        let (sum, count) = (graph.sum(&terms), graph.sum(&counts));
        let mean = graph.div(&sum, &count);
        let out = if self.task.width() == 2 {
            let rest = graph.sub(&one, &mean);
            graph.beside(&[rest, mean], 1)
        } else {
            let least = graph.scalar(Element::F64, f64::from(MIN_PROBABILITY));
            let mean = graph.node("Max", &[&mean, &least], vec![], Element::F64);
            let sum = graph.reduce("ReduceSum", &mean, &[1]);
            graph.div(&mean, &sum)
        };
        Ok(graph.single(&out))
    }

    fn save(&self) -> Result<Parts> {
        let mut parts = Parts::new(KIND, json!({"task": self.task, "members": self.curves.len()}));
        for (m, curves) in self.curves.iter().enumerate() {
            for (class, curve) in ranked(&self.task).zip(curves) {
                parts = parts
                    .with_f32(&format!("scores_{m}_{class}"), &curve.scores)
                    .with_f32(&format!("ranks_{m}_{class}"), &curve.ranks);
            }
        }
        Ok(parts)
    }

    fn parameters(&self) -> u64 {
        self.curves.iter().flatten().map(|c| (c.scores.len() + c.ranks.len()) as u64).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuse::cases::{honest, said};
    use crate::model::{Quiet, Stop};
    use crate::seed::Seed;

    #[test]
    fn ranks_are_shares_below_and_half_of_ties() {
        let curve = Curve::of(vec![(0.5, 1.0), (0.2, 1.0), (0.5, 1.0), (0.9, 1.0), (0.7, 0.0)], 10);
        let cases =
            [(0.1, 0.0), (0.2, 0.125), (0.3, 0.25), (0.5, 0.5), (0.7, 0.75), (0.9, 0.875), (1.0, 1.0)];
        for (score, rank) in cases {
            assert_eq!(curve.rank(score), rank, "{score}");
        }
        assert_eq!(Curve::of(Vec::new(), 10).rank(0.3), 0.5);
        // Of a thousand scores the fifty kept give ranks to half a gap.
        let all: Vec<(f32, f64)> = (0..1000).map(|i| (i as f32, 1.0)).collect();
        let (full, thin) = (Curve::of(all.clone(), 1000), Curve::of(all, 50));
        assert_eq!(thin.scores.len(), 50);
        for i in 0..1000 {
            let score = i as f32 + 0.25;
            assert!((full.rank(score) - thin.rank(score)).abs() <= 0.5 / 49.0, "{i}");
        }
        assert_eq!((thin.rank(0.0), thin.rank(999.0)), (full.rank(0.0), full.rank(999.0)));
    }

    #[test]
    fn only_the_order_of_scores_counts() {
        let data = honest(200, 2, 3, true);
        let stop = Stop::default();
        let fit =
            |data: &Honest| RankMean {}.fit(data, None, &Context::new(Seed::new(1), &Quiet, &stop)).unwrap();
        let bent = |p: &Predictions| {
            let mut m = p.matrix();
            for mut row in m.rows_mut() {
                row[1] = row[1].powi(3);
                row[0] = 1.0 - row[1];
            }
            Predictions::for_task(p.ids().to_vec(), &p.task(), m, p.absent().clone()).unwrap()
        };
        let other = crate::fuse::cases::named(&data).into_iter().map(|(n, p, o)| (n, bent(&p), o)).collect();
        let other = Honest::new(other, data.target().clone(), vec![0; 200], None, None).unwrap();
        let p = fit(&data).fuse(&said(&data), None).unwrap();
        let q = fit(&other).fuse(&said(&other), None).unwrap();
        // Row 3 is silent: not a number, and equal to none.
        let rows: Vec<usize> = (0..200).filter(|r| *r != 3).collect();
        assert_eq!(p.take(&rows), q.take(&rows));
        // A row alone is scored as among others.
        let one: Vec<Predictions> = said(&data).iter().map(|m| m.take(&[17])).collect();
        assert_eq!(fit(&data).fuse(&one, None).unwrap(), p.take(&[17]));
    }
}
