//! How good the mean of the members taken so far would be with each further one.

use ndarray::{CowArray, Ix2};
use rayon::prelude::*;

use super::aligned::view;
use super::evidence::{Evidence, row_weights};
use crate::array::MIN_PROBABILITY;
use crate::error::Result;
use crate::model::Honest;

/// Rows in a block of parallel work: its running sums fit a core's cache while all members pass over them.
const BLOCK: usize = 8192;
/// Lanes of the product below.
const LANES: usize = 8;
/// Rows whose probabilities are multiplied before a logarithm is taken: at most 39 factors a lane, each within
/// [1e-7, 1001], so the product stays within the range of 64-bit floats.
const PRODUCT: usize = 32 * LANES;

/// A candidate's loss, and the loss that breaks ties.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Score {
    pub loss: f64,
    pub second: f64,
}

/// The state of a selection.
pub(super) trait Scores {
    /// The loss with each member added.
    fn candidates(&self) -> Vec<Score>;
    /// Adds a member.
    fn add(&mut self, member: usize);
}

/// Losses that need one number a row and member: the log-loss, or the squared error of values.
pub(super) struct ColumnScores {
    evidence: Evidence,
    /// The sum over the members taken.
    sum: Vec<f64>,
    /// How many members taken say something about the row.
    taken: Vec<f64>,
    /// The mean over all members present: what a pool falls back to where none that was taken is present.
    fallback: Vec<f64>,
    steps: f64,
}

impl ColumnScores {
    pub(super) fn new(evidence: Evidence) -> Self {
        let rows = evidence.rows.len();
        let masked = evidence.present.is_some();
        let mut fallback = Vec::new();
        for row in 0..if masked { rows } else { 0 } {
            let here = (0..evidence.count()).filter(|m| evidence.has(*m, row));
            let (n, sum) =
                here.fold((0.0, 0.0), |(n, s), m| (n + 1.0, s + f64::from(evidence.columns[m][row])));
            fallback.push(sum / n);
        }
        let taken = vec![0.0; if masked { rows } else { 0 }];
        Self { evidence, sum: vec![0.0; rows], taken, fallback, steps: 0.0 }
    }

    fn block(&self, rows: std::ops::Range<usize>, member: usize) -> f64 {
        let column = &self.evidence.columns[member][rows.clone()];
        let sum = &self.sum[rows.clone()];
        let log = self.evidence.truth.is_empty();
        if self.evidence.present.is_none() && self.evidence.equal && log {
            let all = self.evidence.rows.len() as f64;
            return (rows.len() as f64 * (self.steps + 1.0).ln() - sum_of_logs(sum, column)) / all;
        }
        let mut loss = 0.0;
        for (i, row) in rows.enumerate() {
            let q = if self.evidence.present.is_none() {
                (sum[i] + f64::from(column[i])) / (self.steps + 1.0)
            } else {
                let here = f64::from(u8::from(self.evidence.has(member, row)));
                let n = self.taken[row] + here;
                if n > 0.0 { (sum[i] + here * f64::from(column[i])) / n } else { self.fallback[row] }
            };
            let term = if log { -q.ln() } else { (f64::from(self.evidence.truth[row]) - q).powi(2) };
            loss += self.evidence.weight[row] * term;
        }
        loss
    }
}

impl Scores for ColumnScores {
    fn candidates(&self) -> Vec<Score> {
        by_blocks(self.evidence.rows.len(), self.evidence.count(), |rows, member| {
            let loss = self.block(rows, member);
            Score { loss, second: loss }
        })
    }

    fn add(&mut self, member: usize) {
        // An absent cell holds zero.
        self.sum.iter_mut().zip(&self.evidence.columns[member]).for_each(|(s, a)| *s += f64::from(*a));
        if let Some(present) = &self.evidence.present {
            self.taken.iter_mut().zip(&present[member]).for_each(|(t, p)| *t += f64::from(u8::from(*p)));
        }
        self.steps += 1.0;
    }
}

/// `sum_i ln(sum_i + a_i)` with one logarithm for many rows.
fn sum_of_logs(sum: &[f64], a: &[f32]) -> f64 {
    let mut total = 0.0;
    for (sum, a) in sum.chunks(PRODUCT).zip(a.chunks(PRODUCT)) {
        let mut product = [1.0f64; LANES];
        let ((sums, sum_rest), (columns, column_rest)) = (sum.as_chunks::<LANES>(), a.as_chunks::<LANES>());
        for (s, a) in sums.iter().zip(columns) {
            for ((p, s), a) in product.iter_mut().zip(s).zip(a) {
                *p *= s + f64::from(*a);
            }
        }
        product[0] *= sum_rest.iter().zip(column_rest).map(|(s, a)| s + f64::from(*a)).product::<f64>();
        total += product.iter().map(|p| p.ln()).sum::<f64>();
    }
    total
}

/// What is measured on whole rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RowMeasure {
    /// 1 if the most probable class is not the true one.
    Error,
    /// `sum_c (p_c - y_c)^2`.
    Brier,
}

/// Losses that need the probabilities of all classes.
pub(super) struct RowScores<'a> {
    measure: RowMeasure,
    /// `[row, class]` for each member, row after row.
    said: Vec<CowArray<'a, f32, Ix2>>,
    present: Vec<Vec<bool>>,
    codes: Vec<usize>,
    weight: Vec<f64>,
    rows: Vec<usize>,
    width: usize,
    /// `[row, class]`: the sum over the members taken.
    sum: Vec<f64>,
    taken: Vec<f64>,
}

impl<'a> RowScores<'a> {
    pub(super) fn new(honest: &'a Honest, rows: Vec<usize>, measure: RowMeasure) -> Result<Self> {
        let (classes, codes) = honest.target().codes()?;
        let mut said = Vec::with_capacity(honest.count());
        let mut present = Vec::with_capacity(honest.count());
        for member in honest.predictions() {
            let matrix = view(member)?;
            let straight = matrix.is_standard_layout();
            said.push(if straight { CowArray::from(matrix) } else { CowArray::from(matrix.to_owned()) });
            present.push(rows.iter().map(|&r| !member.absent().is_set(r)).collect());
        }
        Ok(Self {
            measure,
            said,
            present,
            codes: rows.iter().map(|&r| codes[r] as usize).collect(),
            weight: row_weights(honest, &rows)?,
            width: classes.count(),
            sum: vec![0.0; rows.len() * classes.count()],
            taken: vec![0.0; rows.len()],
            rows,
        })
    }

    /// What a member says about a row.
    fn said(&self, member: usize, row: usize) -> &[f32] {
        let at = self.rows[row] * self.width;
        self.said[member].as_slice().map_or(&[], |all| &all[at..at + self.width])
    }

    /// The pool's row, not divided yet, and what to divide it by.
    fn pooled(&self, row: usize, member: usize, out: &mut [f64]) -> f64 {
        let at = row * self.width;
        let mut n = self.taken[row];
        if self.present[member][row] {
            let sum = &self.sum[at..at + self.width];
            out.iter_mut()
                .zip(sum)
                .zip(self.said(member, row))
                .for_each(|((o, s), p)| *o = s + f64::from(*p));
            return n + 1.0;
        }
        out.copy_from_slice(&self.sum[at..at + self.width]);
        if n == 0.0 {
            for m in (0..self.said.len()).filter(|m| self.present[*m][row]) {
                out.iter_mut().zip(self.said(m, row)).for_each(|(o, p)| *o += f64::from(*p));
                n += 1.0;
            }
        }
        n
    }

    fn block(&self, rows: std::ops::Range<usize>, member: usize) -> Score {
        let mut pooled = vec![0.0f64; self.width];
        let mut score = Score::default();
        for row in rows {
            let n = self.pooled(row, member, &mut pooled);
            let truth = self.codes[row];
            let loss = match self.measure {
                RowMeasure::Error => {
                    // The first of the largest wins, as everywhere.
                    let best = (1..self.width).fold(0, |b, c| if pooled[c] > pooled[b] { c } else { b });
                    f64::from(u8::from(best != truth))
                }
                RowMeasure::Brier => {
                    let terms = pooled.iter().enumerate();
                    terms.map(|(c, p)| (p / n - f64::from(u8::from(c == truth))).powi(2)).sum()
                }
            };
            score.loss += self.weight[row] * loss;
            score.second -= self.weight[row] * (pooled[truth] / n).max(f64::from(MIN_PROBABILITY)).ln();
        }
        score
    }
}

impl Scores for RowScores<'_> {
    fn candidates(&self) -> Vec<Score> {
        by_blocks(self.rows.len(), self.said.len(), |rows, member| self.block(rows, member))
    }

    fn add(&mut self, member: usize) {
        let mut sum = std::mem::take(&mut self.sum);
        for (row, sum) in sum.chunks_mut(self.width).enumerate() {
            if self.present[member][row] {
                sum.iter_mut().zip(self.said(member, row)).for_each(|(s, p)| *s += f64::from(*p));
                self.taken[row] += 1.0;
            }
        }
        self.sum = sum;
    }
}

/// Sums of block scores for every member, the same for any number of threads.
fn by_blocks(
    rows: usize,
    members: usize,
    block: impl Fn(std::ops::Range<usize>, usize) -> Score + Sync,
) -> Vec<Score> {
    let parts: Vec<Vec<Score>> = (0..rows.div_ceil(BLOCK))
        .into_par_iter()
        .map(|b| (0..members).map(|m| block(b * BLOCK..((b + 1) * BLOCK).min(rows), m)).collect())
        .collect();
    let mut total = vec![Score::default(); members];
    for part in &parts {
        for (t, p) in total.iter_mut().zip(part) {
            t.loss += p.loss;
            t.second += p.second;
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_of_products_are_sums_of_logs_even_at_the_edges() {
        for n in [0usize, 1, 7, 8, 255, 256, 263, 1000] {
            let sum: Vec<f64> = (0..n).map(|i| if i % 3 == 0 { 0.0 } else { 1000.0 }).collect();
            let a: Vec<f32> = (0..n).map(|i| if i % 2 == 0 { MIN_PROBABILITY } else { 1.0 }).collect();
            let plain: f64 = sum.iter().zip(&a).map(|(s, a)| (s + f64::from(*a)).ln()).sum();
            assert!((sum_of_logs(&sum, &a) - plain).abs() <= 1e-12 * plain.abs().max(1.0), "{n}");
        }
        let least = vec![MIN_PROBABILITY; 263];
        assert!((sum_of_logs(&[0.0; 263], &least) - 263.0 * f64::from(MIN_PROBABILITY).ln()).abs() < 1e-9);
        let most = sum_of_logs(&[1000.0; 263], &[1.0; 263]);
        assert!((most - 263.0 * 1001f64.ln()).abs() < 1e-9);
    }
}
