//! Losses of a selection that need one number a row and member: the log-loss, or the squared error of values.

use std::ops::Range;

use super::evidence::Evidence;
use super::greedy::PRECISION;
use super::greedy_logs::sums_of_logs;
use super::greedy_scores::{Scores, by_blocks};

/// Candidates that are tried before the bounds of the others are looked at again.
const BATCH: usize = 8;

/// The log-loss or the squared error of the running mean.
///
/// By the log-loss not every member need be tried at every step. What a member adds, `mean ln((s + a) / s)` over the sum
/// `s` of the members taken, can only fall while `s` grows; so what it added when it was last tried bounds what it adds
/// now, and whoever cannot reach the best of this step even so is passed over. The picks are those of trying all.
///
/// # Reference
/// Minoux, "Accelerated greedy algorithms for maximizing submodular set functions", Optimization Techniques, 1978.
pub(super) struct ColumnScores<'a> {
    evidence: Evidence<'a>,
    /// The sum over the members taken.
    sum: Vec<f64>,
    /// How many members taken say something about the row; empty where nobody is absent.
    taken: Vec<f64>,
    /// The mean over all members present: what a pool falls back to where none that was taken is present.
    fallback: Vec<f64>,
    steps: f64,
    /// Whether `bounds` hold.
    bounded: bool,
    /// The most that a member can still add.
    bounds: Vec<f64>,
    /// `mean ln s`.
    base: f64,
    /// The losses of this step.
    losses: Vec<f64>,
}

impl<'a> ColumnScores<'a> {
    pub(super) fn new(evidence: Evidence<'a>) -> Self {
        let (rows, count) = (evidence.rows.len(), evidence.count());
        let masked = evidence.present.is_some();
        let mut fallback = Vec::new();
        for row in 0..if masked { rows } else { 0 } {
            let here = (0..count).filter(|m| evidence.has(*m, row));
            let (n, sum) = here.fold((0.0, 0.0), |(n, s), m| (n + 1.0, s + f64::from(evidence.at(m, row))));
            fallback.push(sum / n);
        }
        Self {
            sum: vec![0.0; rows],
            taken: vec![0.0; if masked { rows } else { 0 }],
            fallback,
            steps: 0.0,
            bounded: !masked && evidence.truth.is_empty(),
            bounds: vec![f64::INFINITY; count],
            base: f64::NEG_INFINITY,
            losses: vec![f64::INFINITY; count],
            evidence,
        }
    }

    /// The losses with some members added.
    fn tried(&self, members: &[usize]) -> Vec<f64> {
        let rows = self.evidence.rows.len();
        if !(self.bounded && self.evidence.equal) {
            return by_blocks(rows, members.len(), |rows| {
                members.iter().map(|m| self.block(rows.clone(), *m)).collect()
            });
        }
        let logs = by_blocks(rows, members.len(), |rows| {
            sums_of_logs(&self.sum[rows.clone()], &self.evidence, members, rows)
        });
        logs.iter().map(|sum| (self.steps + 1.0).ln() - sum / rows as f64).collect()
    }

    fn block(&self, rows: Range<usize>, member: usize) -> f64 {
        let mut spare = Vec::new();
        let column = self.evidence.column(member, rows.clone(), &mut spare);
        let log = self.evidence.truth.is_empty();
        let mut loss = 0.0;
        for (a, row) in column.iter().zip(rows) {
            let q = if self.evidence.present.is_none() {
                (self.sum[row] + f64::from(*a)) / (self.steps + 1.0)
            } else {
                let here = f64::from(u8::from(self.evidence.has(member, row)));
                let n = self.taken[row] + here;
                if n > 0.0 { (self.sum[row] + here * f64::from(*a)) / n } else { self.fallback[row] }
            };
            let term = if log { -q.ln() } else { (f64::from(self.evidence.truth[row]) - q).powi(2) };
            loss += self.evidence.weight[row] * term;
        }
        loss
    }
}

impl Scores for ColumnScores<'_> {
    fn losses(&mut self, among: &[bool]) -> Vec<f64> {
        let mut open: Vec<usize> = (0..among.len()).filter(|m| among[*m]).collect();
        self.losses.fill(f64::INFINITY);
        if !self.bounded || self.steps == 0.0 {
            open.iter().zip(self.tried(&open)).for_each(|(m, loss)| self.losses[*m] = loss);
            return self.losses.clone();
        }
        open.sort_by(|a, b| self.bounds[*b].total_cmp(&self.bounds[*a]));
        let mut best = f64::NEG_INFINITY;
        for batch in open.chunks(BATCH) {
            // Twice the precision, since rounding could bring two losses together and sums are not exact.
            let worth = |m: &&usize| self.bounds[**m] >= best - 2.0 * PRECISION;
            let batch: Vec<usize> = batch.iter().filter(worth).copied().collect();
            for (m, loss) in batch.iter().zip(self.tried(&batch)) {
                self.losses[*m] = loss;
                self.bounds[*m] = (self.steps + 1.0).ln() - self.base - loss;
                best = best.max(self.bounds[*m]);
            }
        }
        self.losses.clone()
    }

    fn second(&self, member: usize) -> f64 {
        self.losses[member]
    }

    fn add(&mut self, member: usize) {
        // An absent cell holds zero.
        let mut spare = Vec::new();
        for (start, sums) in self.sum.chunks_mut(1 << 12).enumerate() {
            let rows = start << 12..(start << 12) + sums.len();
            let column = self.evidence.column(member, rows, &mut spare);
            sums.iter_mut().zip(column).for_each(|(s, a)| *s += f64::from(*a));
        }
        if let Some(present) = &self.evidence.present {
            self.taken.iter_mut().zip(&present[member]).for_each(|(t, p)| *t += f64::from(u8::from(*p)));
        }
        self.steps += 1.0;
        self.base = self.steps.ln() - self.losses[member];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuse::cases::{honest, values};

    /// The same without bounds.
    fn picks(data: &crate::model::Honest, bounded: bool) -> (Vec<usize>, Vec<f64>, usize) {
        let mut scores = ColumnScores::new(Evidence::new(data).unwrap());
        scores.bounded &= bounded;
        let (mut order, mut best, mut tried) = (Vec::new(), Vec::new(), 0);
        for _ in 0..60 {
            let losses = scores.losses(&vec![true; data.count()]);
            tried += losses.iter().filter(|l| l.is_finite()).count();
            let pick = (0..losses.len()).min_by(|a, b| losses[*a].total_cmp(&losses[*b])).unwrap();
            order.push(pick);
            best.push(losses[pick]);
            scores.add(pick);
        }
        (order, best, tried)
    }

    #[test]
    fn bounds_save_work_and_change_no_pick() {
        for data in [
            honest(3000, 2, 12, false),
            honest(3000, 3, 12, false),
            honest(3000, 2, 12, true),
            values(500, 6, false),
        ] {
            let (lazy, all) = (picks(&data, true), picks(&data, false));
            assert_eq!(lazy.0, all.0);
            assert!(lazy.1.iter().zip(&all.1).all(|(a, b)| (a - b).abs() < 1e-12));
            let masked = data.predictions().any(|p| p.absent().any());
            if data.target().codes().is_ok() && !masked {
                assert!(lazy.2 < all.2, "{} of {}", lazy.2, all.2);
            }
        }
    }
}
