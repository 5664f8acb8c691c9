//! The game that members play: what every set of them is worth.

use std::ops::Range;

use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::members::{Members, checked};
use super::squares::Squares;
use crate::array::MIN_PROBABILITY;
use crate::error::{Error, Result};
use crate::model::{Honest, Stop, Target, Task};

/// Up to so many members every set of them is scored.
pub const MOST_EXACT: usize = 20;
/// Rows that are summed at once; a multiple of [`LANES`].
const ROWS: usize = 256;
/// Products of probabilities that run side by side, so that a logarithm is taken once for 32 rows: the least product is
/// `1e-7^32 = 1e-224`, which a 64-bit number holds.
const LANES: usize = 8;
/// Sets that one piece of parallel work enumerates, as a power of two, where there are enough members.
const FREE: usize = 8;
/// Pieces of parallel work at most, as a power of two.
const FIXED: usize = 6;

/// What a set of members is worth: greater is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Payoff {
    /// The mean of `ln max(q, 1e-7)`, q the probability given to the true class.
    LogLoss,
    /// Minus the Brier score, by the convention of the metric `brier`.
    Brier,
    /// The share of rows whose most probable class (the first on a tie) is the true one.
    Accuracy,
    /// Minus the mean squared error of values.
    SquaredError,
}

impl Payoff {
    /// Whether it is defined for the task.
    pub fn suits(self, task: &Task) -> bool {
        (self == Self::SquaredError) == matches!(task, Task::Regress)
    }

    /// The payoff that goes with a metric: its own where there is one, otherwise log-loss or squared error.
    pub fn for_metric(metric: &str, task: &Task) -> Self {
        match (task, metric) {
            (Task::Regress, _) => Self::SquaredError,
            (_, "brier") => Self::Brier,
            (_, "accuracy") => Self::Accuracy,
            _ => Self::LogLoss,
        }
    }
}

/// A cooperative game of members: `v(S)` is the [`Payoff`] of the pool `q_S = sum_S w_i p_i / sum_S w_i` over the members
/// of `S` that are present on a row. Where none of them is (and none has weight), and for the empty set, `q` is the prior:
/// the shares of the classes, or the mean of the target. Rows about which no member says anything are left out.
pub struct Game {
    payoff: Payoff,
    names: Vec<String>,
    /// Numbers of a row that are summed: the true class alone, the second of two classes, or all.
    width: usize,
    /// `[member][row * width + k]`: what each says; 0 where absent.
    columns: Vec<Vec<f32>>,
    /// `[member][row]`; none if nobody is absent.
    present: Option<Vec<Vec<bool>>>,
    /// The weight of each member; one each for the mean.
    weights: Vec<f64>,
    row_weight: Vec<f64>,
    equal: bool,
    /// The column of the true class, or the true values; empty where `width` is one and classes are meant.
    codes: Vec<u32>,
    values: Vec<f32>,
    /// The prior over the columns that are summed; for the log-loss over all classes.
    prior: Vec<f64>,
    squares: Option<Squares>,
}

impl Game {
    /// The game of the members of honest predictions: with `weights`, of the pool of those weights, and otherwise of the
    /// plain mean.
    ///
    /// # Errors
    /// [`Error::Argument`] for a payoff that does not suit the task, or weights that are none; [`Error::Data`] for rows
    /// that cannot be scored.
    pub fn new(honest: &Honest, payoff: Payoff, weights: Option<&[f64]>) -> Result<Self> {
        let members = Members::new(honest)?;
        let task = honest.target().task();
        if !payoff.suits(&task) {
            return Err(Error::argument(format!("the payoff {payoff:?} does not suit the task"))
                .got(format!("{task:?}")));
        }
        let given = weights.map(|w| checked(w, members.count())).transpose()?;
        let masked = members.masked();
        let classes = task.width();
        let skip = usize::from(payoff == Payoff::Brier && classes == 2);
        let width = if payoff == Payoff::LogLoss { 1 } else { classes - skip };
        let column = |m: usize| -> Vec<f32> {
            let rows = members.rows.iter().flat_map(|&row| (0..width).map(move |k| (row, k)));
            rows.map(|(row, k)| match (members.present(m, row), payoff) {
                (false, _) => 0.0,
                (true, Payoff::LogLoss) => members.to_truth(m, row),
                (true, _) => members.said(m, row, k + skip),
            })
            .collect()
        };
        let here = |m: usize| members.rows.iter().map(|r| members.present(m, *r)).collect();
        let (mut codes, mut values, mut prior) = (Vec::new(), Vec::new(), vec![0.0; classes]);
        match honest.target() {
            Target::Classes { codes: all, .. } => {
                codes = members.rows.iter().map(|&r| all[r]).collect();
                codes.iter().zip(&members.weight).for_each(|(c, w)| prior[*c as usize] += w);
            }
            Target::Values(all) => {
                values = members.rows.iter().map(|&r| all[r]).collect();
                prior[0] = values.iter().zip(&members.weight).map(|(v, w)| w * f64::from(*v)).sum();
            }
        }
        prior.drain(..skip);
        let mut game = Self {
            payoff,
            names: honest.names().into_iter().map(str::to_owned).collect(),
            width,
            columns: (0..members.count()).into_par_iter().map(column).collect(),
            present: masked.then(|| (0..members.count()).map(here).collect()),
            weights: given.clone().unwrap_or_else(|| vec![1.0; members.count()]),
            equal: honest.weight().is_none(),
            row_weight: members.weight,
            codes,
            values,
            prior,
            squares: None,
        };
        if !masked && matches!(payoff, Payoff::Brier | Payoff::SquaredError) {
            let error = |m: usize, row: usize, k: usize| {
                f64::from(game.columns[m][row * width + k]) - game.truth(row, k)
            };
            let products = Squares::products(game.count(), width, &game.row_weight, error);
            game.squares = Some(Squares::new(products, game.weights.clone(), game.nobody()));
        }
        Ok(game)
    }

    /// How many members play.
    pub fn count(&self) -> usize {
        self.columns.len()
    }

    /// Their names, in order.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// How many rows are scored.
    pub fn rows(&self) -> usize {
        self.row_weight.len()
    }

    /// What is scored.
    pub fn payoff(&self) -> Payoff {
        self.payoff
    }

    /// The products of errors, where the payoff is a square and nobody is absent.
    pub(super) fn squares(&self) -> Option<&Squares> {
        self.squares.as_ref()
    }

    /// The number of sums that scoring every set takes: rows, times numbers of a row, times sets.
    pub fn cost(&self) -> f64 {
        let sums = (self.rows() * self.width) as f64;
        if self.squares.is_some() {
            2f64.powi(self.count() as i32)
        } else {
            sums * 2f64.powi(self.count() as i32)
        }
    }

    /// What the empty set is worth.
    pub fn nobody(&self) -> f64 {
        let mut work = Work::new(self, 1);
        self.chunks().map(|rows| work.score(self, rows, 0, Some(0.0))).sum()
    }

    /// What every set is worth: `2^m` numbers, where bit `i` of the index says that member `i` is in.
    ///
    /// A set is its parent, the set without its lowest member, plus that member. In rising order of the index the parent's
    /// sums are still at hand, so that every set takes one addition a row and nothing is ever subtracted. The result is
    /// the same for any number of threads.
    ///
    /// # Errors
    /// [`Error::Argument`] for more than 20 members; [`Error::Interrupted`](crate::Error::Interrupted) when stopped.
    pub fn values(&self, stop: &Stop) -> Result<Vec<f64>> {
        let m = self.count();
        if m > MOST_EXACT {
            return Err(Error::argument("too many members to score every set of them")
                .expected(format!("{MOST_EXACT} at most"))
                .got(m));
        }
        if let Some(squares) = &self.squares {
            return Ok(squares.values());
        }
        // The highest members are fixed for each piece of work, the lowest free.
        let free = m - m.saturating_sub(FREE).min(FIXED);
        let mut values = vec![0.0; 1 << m];
        values.par_chunks_mut(1 << free).enumerate().try_for_each(|(fixed, values)| {
            let mut work = Work::new(self, free + 1);
            for rows in self.chunks() {
                stop.check()?;
                work.read(self, &rows);
                work.clear(free);
                let mut mass = vec![0.0; free + 1];
                for member in (0..m - free).filter(|i| (fixed >> i) & 1 == 1).map(|i| i + free) {
                    work.add(free, free, member);
                    mass[free] += self.weights[member];
                }
                values[0] += work.score(self, rows.clone(), free, self.scalar(mass[free]));
                for (set, value) in values.iter_mut().enumerate().skip(1) {
                    let lowest = set.trailing_zeros() as usize;
                    let parent = set & (set - 1);
                    let from = if parent == 0 { free } else { parent.trailing_zeros() as usize };
                    work.add(from, lowest, lowest);
                    mass[lowest] = mass[from] + self.weights[lowest];
                    *value += work.score(self, rows.clone(), lowest, self.scalar(mass[lowest]));
                }
            }
            Ok(())
        })?;
        Ok(values)
    }

    /// What the sets are worth that grow by one member at a time in this order: the empty one first.
    pub(super) fn along(&self, order: &[usize]) -> Vec<f64> {
        let mut values = vec![0.0; order.len() + 1];
        let mut work = Work::new(self, 1);
        for rows in self.chunks() {
            work.read(self, &rows);
            work.clear(0);
            let mut mass = 0.0;
            values[0] += work.score(self, rows.clone(), 0, self.scalar(0.0));
            for (value, &member) in values[1..].iter_mut().zip(order) {
                work.add(0, 0, member);
                mass += self.weights[member];
                *value += work.score(self, rows.clone(), 0, self.scalar(mass));
            }
        }
        values
    }

    fn chunks(&self) -> impl Iterator<Item = Range<usize>> {
        let rows = self.rows();
        (0..rows.div_ceil(ROWS)).map(move |c| c * ROWS..((c + 1) * ROWS).min(rows))
    }

    /// The sum of weights, where it is the same on all rows.
    fn scalar(&self, mass: f64) -> Option<f64> {
        self.present.is_none().then_some(mass)
    }

    /// What the prior says, in the columns that are summed.
    fn prior(&self, row: usize, k: usize) -> f64 {
        if self.payoff == Payoff::LogLoss { self.prior[self.codes[row] as usize] } else { self.prior[k] }
    }

    /// What would have been right, in the columns that are summed.
    fn truth(&self, row: usize, k: usize) -> f64 {
        if self.payoff == Payoff::SquaredError {
            return f64::from(self.values[row]);
        }
        // Of two classes the Brier score looks at the second alone.
        let first = usize::from(self.payoff == Payoff::Brier && self.width == 1);
        f64::from(u8::from(self.codes[row] as usize == k + first))
    }

    /// The part of the payoff that rows with these predictions make up.
    fn pay(&self, rows: Range<usize>, q: &[f64]) -> f64 {
        let weight = &self.row_weight[rows.clone()];
        let lines = || q.chunks_exact(self.width).zip(rows.clone()).zip(weight);
        match self.payoff {
            Payoff::LogLoss if self.equal => log_sum(q) * weight.first().copied().unwrap_or(0.0),
            Payoff::LogLoss => q.iter().zip(weight).map(|(q, w)| w * floored(*q).ln()).sum(),
            Payoff::Accuracy => lines()
                .map(|((q, row), w)| {
                    let best = (0..q.len()).fold(0, |best, k| if q[k] > q[best] { k } else { best });
                    if best == self.codes[row] as usize { *w } else { 0.0 }
                })
                .sum(),
            Payoff::Brier | Payoff::SquaredError => lines()
                .map(|((q, row), w)| {
                    let square: f64 =
                        q.iter().enumerate().map(|(k, q)| (q - self.truth(row, k)).powi(2)).sum();
                    -w * square
                })
                .sum(),
        }
    }
}

fn floored(q: f64) -> f64 {
    q.max(f64::from(MIN_PROBABILITY))
}

/// `sum ln max(q, 1e-7)` over at most [`ROWS`] rows.
fn log_sum(q: &[f64]) -> f64 {
    let mut lanes = [1.0f64; LANES];
    let eights = q.chunks_exact(LANES);
    let rest: f64 = eights.remainder().iter().map(|q| floored(*q)).product();
    for eight in eights {
        lanes.iter_mut().zip(eight).for_each(|(lane, q)| *lane *= floored(*q));
    }
    lanes.iter().map(|l| l.ln()).sum::<f64>() + rest.ln()
}

/// Room for the running sums over a chunk of rows, one for each level of the enumeration.
struct Work {
    /// `[member][row * width + k]`: weight times what each says.
    terms: Vec<Vec<f64>>,
    /// `[member][row]`: the weight where present; empty if nobody is absent.
    voices: Vec<Vec<f64>>,
    sums: Vec<Vec<f64>>,
    masses: Vec<Vec<f64>>,
    q: Vec<f64>,
}

impl Work {
    fn new(game: &Game, levels: usize) -> Self {
        let masked = if game.present.is_some() { ROWS } else { 0 };
        let cells = ROWS * game.width;
        Self {
            terms: vec![vec![0.0; cells]; game.count()],
            voices: vec![vec![0.0; masked]; game.count()],
            sums: vec![vec![0.0; cells]; levels],
            masses: vec![vec![0.0; masked]; levels],
            q: vec![0.0; cells],
        }
    }

    /// Reads what the members say about a chunk of rows.
    fn read(&mut self, game: &Game, rows: &Range<usize>) {
        let cells = rows.start * game.width..rows.end * game.width;
        for (m, (terms, column)) in self.terms.iter_mut().zip(&game.columns).enumerate() {
            let weight = game.weights[m];
            terms.iter_mut().zip(&column[cells.clone()]).for_each(|(t, p)| *t = weight * f64::from(*p));
        }
        for (m, (voices, present)) in self.voices.iter_mut().zip(game.present.iter().flatten()).enumerate() {
            let weight = game.weights[m];
            voices
                .iter_mut()
                .zip(&present[rows.clone()])
                .for_each(|(v, p)| *v = if *p { weight } else { 0.0 });
        }
    }

    fn clear(&mut self, level: usize) {
        self.sums[level].fill(0.0);
        self.masses[level].fill(0.0);
    }

    /// Writes the sums of level `from` plus a member to level `to`.
    fn add(&mut self, from: usize, to: usize, member: usize) {
        for (levels, terms) in
            [(&mut self.sums, &self.terms[member]), (&mut self.masses, &self.voices[member])]
        {
            if from == to {
                levels[to].iter_mut().zip(terms).for_each(|(s, t)| *s += t);
                continue;
            }
            // A set's lowest member lies below its parent's, so that the parent is further up.
            let (below, above) = levels.split_at_mut(from);
            let (Some(source), Some(goal)) = (above.first(), below.get_mut(to)) else { continue };
            goal.iter_mut().zip(source).zip(terms).for_each(|((g, s), t)| *g = s + t);
        }
    }

    /// The payoff of the pool at a level; `mass` is the sum of weights where nobody is absent.
    fn score(&mut self, game: &Game, rows: Range<usize>, level: usize, mass: Option<f64>) -> f64 {
        let width = game.width;
        let q = &mut self.q[..rows.len() * width];
        match mass {
            Some(mass) if mass > 0.0 => {
                let part = 1.0 / mass;
                q.iter_mut().zip(&self.sums[level]).for_each(|(q, s)| *q = s * part);
            }
            mass => {
                for (i, q) in q.iter_mut().enumerate() {
                    let here = if mass.is_some() { 0.0 } else { self.masses[level][i / width] };
                    let row = rows.start + i / width;
                    *q = if here > 0.0 { self.sums[level][i] / here } else { game.prior(row, i % width) };
                }
            }
        }
        game.pay(rows, q)
    }
}

#[cfg(test)]
#[path = "game_tests.rs"]
mod tests;
