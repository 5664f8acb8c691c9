//! Any curve that does not fall.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::one_against_rest::{Binary, Curve, OneAgainstRest};
use super::rows::{Rows, check};
use crate::error::{Error, Result};
use crate::model::graph::{Element, Graph, Value};
use crate::model::{Context, Fused, Fuser, Honest, Inputs, Task};
use crate::registry::Method;

/// The key under which it is loaded.
pub(super) const KIND: &str = "isotonic";
/// Fewer rows than this are not enough for a curve this free.
pub(super) const LEAST: usize = 1000;

/// The curve of the lowest log-loss (and squared error) among all that do not fall, found by pooling neighbors that are
/// out of order: the share of hits in each block of probabilities, straight lines between blocks, flat outside. It can
/// give exactly 0 or 1. Probabilities are held within [1e-7, 1 - 1e-7] before. More than two classes: each against the
/// rest, and every row divided by its sum (evenly shared where that is zero).
///
/// # Reference
/// Zadrozny and Elkan, "Transforming classifier scores into accurate multiclass probability estimates", KDD 2002;
/// Ayer and others, "An empirical distribution function for sampling with incomplete information", Ann. Math. Stat.
/// 26, 1955.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Isotonic {
    /// The fewest rows that it is fitted to. With fewer than some hundreds the curve follows the noise.
    pub least: usize,
}

impl Default for Isotonic {
    fn default() -> Self {
        Self { least: LEAST }
    }
}

impl Method for Isotonic {
    const NAME: &'static str = "isotonic";
    const ABOUT: &'static str = "Any curve that does not fall, from 1000 rows on";
}

impl Fuser for Isotonic {
    fn check(&self, task: &Task, members: usize) -> Result<()> {
        check(task, members)
    }

    fn fit(&self, honest: &Honest, _: Option<Inputs<'_>>, _: &Context<'_>) -> Result<Box<dyn Fused>> {
        let rows = Rows::new(honest)?.count();
        if rows < self.least {
            return Err(Error::data("there are too few rows for isotonic calibration")
                .expected(format!("at least {}", self.least))
                .got(rows)
                .remedy("use temperature, platt or beta, or set least"));
        }
        Ok(Box::new(OneAgainstRest::fit(honest, |rows| Ok(Steps::fit(rows)))?))
    }
}

/// Corners of a line that does not fall: `x` rises strictly.
pub(super) struct Steps {
    x: Vec<f64>,
    y: Vec<f64>,
}

/// Rows with neighboring probabilities and one share of hits.
struct Block {
    first: f64,
    last: f64,
    weight: f64,
    hits: f64,
}

impl Block {
    fn share(&self) -> f64 {
        self.hits / self.weight
    }
}

impl Steps {
    /// Pools adjacent violators.
    fn fit(rows: &Binary<'_>) -> Self {
        let mut order: Vec<usize> = (0..rows.p.len()).filter(|r| rows.weight[*r] > 0.0).collect();
        order.sort_by(|a, b| rows.p[*a].total_cmp(&rows.p[*b]));
        let mut blocks: Vec<Block> = Vec::new();
        for chunk in order.chunk_by(|a, b| rows.p[*a] == rows.p[*b]) {
            let p = rows.p[chunk[0]];
            let weight = chunk.iter().map(|&r| rows.weight[r]).sum();
            let hits = chunk.iter().filter(|r| rows.hit[**r]).map(|&r| rows.weight[r]).sum();
            blocks.push(Block { first: p, last: p, weight, hits });
            while let [.., before, top] = &mut blocks[..] {
                if before.share() < top.share() {
                    break;
                }
                before.last = top.last;
                before.weight += top.weight;
                before.hits += top.hits;
                blocks.pop();
            }
        }
        let (mut x, mut y) = (Vec::new(), Vec::new());
        for block in &blocks {
            x.push(block.first);
            y.push(block.share());
            if block.last > block.first {
                x.push(block.last);
                y.push(block.share());
            }
        }
        Self { x, y }
    }
}

impl Curve for Steps {
    const KIND: &'static str = KIND;

    fn at(&self, p: f64) -> f64 {
        let after = self.x.partition_point(|x| *x <= p);
        match (after.checked_sub(1), self.x.get(after)) {
            (None, _) => self.y[0],
            (Some(before), None) => self.y[before],
            (Some(before), Some(next)) => {
                let (x, y) = (self.x[before], self.y[before]);
                y + (self.y[after] - y) * (p - x) / (next - x)
            }
        }
    }

    /// `y_0 + sum_j slope_j min(max(p - x_j, 0), x_(j+1) - x_j)` over the pieces that rise.
    fn graph(&self, graph: &mut Graph, p: &Value) -> Value {
        let pieces = || {
            let corners = self.x.windows(2).zip(self.y.windows(2));
            corners.filter(|(_, y)| y[1] > y[0]).map(|(x, y)| (x[0], x[1] - x[0], y[1] - y[0]))
        };
        let count = pieces().count();
        let start = graph.doubles("start", &[1, 1], [self.y[0]]);
        if count == 0 {
            return graph.repeated(&start, 1, p);
        }
        let from = graph.doubles("from", &[1, count], pieces().map(|(x, _, _)| x));
        let width = graph.doubles("width", &[1, count], pieces().map(|(_, w, _)| w));
        let rise = graph.doubles("rise", &[1, count], pieces().map(|(_, _, r)| r));
        let one = graph.scalar(Element::F64, 1.0);
        let zero = graph.scalar(Element::F64, 0.0);
        let beyond = graph.sub(p, &from);
        let share = graph.div(&beyond, &width);
        let share = graph.node("Max", &[&share, &zero], vec![], Element::F64);
        let share = graph.node("Min", &[&share, &one], vec![], Element::F64);
        let risen = graph.mul(&share, &rise);
        let sum = graph.reduce("ReduceSum", &risen, &[1]);
        graph.add(&start, &sum)
    }

    fn numbers(&self) -> Vec<f64> {
        self.x.iter().chain(&self.y).copied().collect()
    }

    fn of(numbers: &[f64]) -> Option<Self> {
        let (x, y) = numbers.split_at(numbers.len() / 2);
        let fits = !x.is_empty()
            && x.len() == y.len()
            && x.windows(2).all(|x| x[0] < x[1])
            && y.windows(2).all(|y| y[0] <= y[1])
            && y.iter().all(|y| (0.0..=1.0).contains(y));
        fits.then(|| Self { x: x.to_vec(), y: y.to_vec() })
    }
}
