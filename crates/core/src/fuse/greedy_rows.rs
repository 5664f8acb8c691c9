//! Losses of a selection that need more of a row than what was given to the truth.

use std::ops::Range;

use ndarray::{CowArray, Ix2};

use super::aligned::view;
use super::evidence::{row_weights, voiced_rows};
use super::greedy_scores::{Scores, by_blocks};
use crate::array::MIN_PROBABILITY;
use crate::error::Result;
use crate::model::{Honest, Mask};

/// The sum of the members taken, row by row, of some of the classes.
pub(super) struct Running<'a> {
    /// `[row, class]` for each member, row after row.
    said: Vec<CowArray<'a, f32, Ix2>>,
    absent: Vec<&'a Mask>,
    /// Whether anybody is absent.
    pub masked: bool,
    /// The rows' positions in the honest predictions.
    pub rows: Vec<usize>,
    /// How many classes there are, and which are summed.
    width: usize,
    classes: Range<usize>,
    /// `[row, class]`.
    pub sum: Vec<f64>,
    /// How many members taken say something about the row; empty where nobody is absent.
    taken: Vec<f64>,
    pub steps: f64,
}

impl<'a> Running<'a> {
    /// Nothing taken yet.
    pub(super) fn new(honest: &'a Honest, classes: Range<usize>) -> Result<Self> {
        let rows = voiced_rows(honest)?;
        let mut said = Vec::with_capacity(honest.count());
        for member in honest.predictions() {
            let matrix = view(member)?;
            let straight = matrix.is_standard_layout();
            said.push(if straight { CowArray::from(matrix) } else { CowArray::from(matrix.to_owned()) });
        }
        let masked = honest.predictions().any(|p| p.absent().any());
        Ok(Self {
            said,
            absent: honest.predictions().map(|p| p.absent()).collect(),
            masked,
            width: honest.target().task().width(),
            sum: vec![0.0; rows.len() * classes.len()],
            taken: vec![0.0; if masked { rows.len() } else { 0 }],
            steps: 0.0,
            classes,
            rows,
        })
    }

    /// How many members.
    pub(super) fn count(&self) -> usize {
        self.said.len()
    }

    /// All that a member says, row after row.
    pub(super) fn all(&self, member: usize) -> &[f32] {
        self.said[member].as_slice().unwrap_or_default()
    }

    fn present(&self, member: usize, row: usize) -> bool {
        !self.masked || !self.absent[member].is_set(self.rows[row])
    }

    /// What a member says about a row.
    fn said(&self, member: usize, row: usize) -> &[f32] {
        let at = self.rows[row] * self.width;
        &self.all(member)[at + self.classes.start..at + self.classes.end]
    }

    /// The row of the pool with a member more, not divided yet, and what to divide it by. Where none that was taken is
    /// present, all that are count the same.
    pub(super) fn pooled(&self, row: usize, member: usize, out: &mut [f64]) -> f64 {
        let at = row * self.classes.len();
        let sum = &self.sum[at..at + self.classes.len()];
        let mut n = if self.masked { self.taken[row] } else { self.steps };
        out.copy_from_slice(sum);
        let mut add = |m: usize, n: &mut f64| {
            out.iter_mut().zip(self.said(m, row)).for_each(|(o, p)| *o += f64::from(*p));
            *n += 1.0;
        };
        if self.present(member, row) {
            add(member, &mut n);
        } else if n == 0.0 {
            (0..self.count()).filter(|m| self.present(*m, row)).for_each(|m| add(m, &mut n));
        }
        n
    }

    /// Takes a member.
    pub(super) fn add(&mut self, member: usize) {
        let mut sum = std::mem::take(&mut self.sum);
        for (row, sum) in sum.chunks_mut(self.classes.len()).enumerate() {
            if self.present(member, row) {
                sum.iter_mut().zip(self.said(member, row)).for_each(|(s, p)| *s += f64::from(*p));
                self.taken.get_mut(row).into_iter().for_each(|t| *t += 1.0);
            }
        }
        self.sum = sum;
        self.steps += 1.0;
    }
}

/// What is measured on whole rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RowMeasure {
    /// 1 if the most probable class is not the true one.
    Error,
    /// `sum_c (p_c - y_c)^2`.
    Brier,
}

/// Losses that need the probabilities of all classes; the log-loss decides between equals.
pub(super) struct RowScores<'a> {
    measure: RowMeasure,
    running: Running<'a>,
    codes: &'a [u32],
    weight: Vec<f64>,
    /// The log-losses of this step.
    logs: Vec<f64>,
}

impl<'a> RowScores<'a> {
    pub(super) fn new(honest: &'a Honest, measure: RowMeasure) -> Result<Self> {
        let (classes, codes) = honest.target().codes()?;
        let running = Running::new(honest, 0..classes.count())?;
        let weight = row_weights(honest, &running.rows)?;
        Ok(Self { measure, running, codes, weight, logs: Vec::new() })
    }

    /// The loss and the log-loss of some rows.
    fn block(&self, rows: Range<usize>, member: usize) -> [f64; 2] {
        let width = self.running.width;
        let mut pooled = vec![0.0f64; width];
        let mut loss = [0.0; 2];
        for row in rows {
            let n = self.running.pooled(row, member, &mut pooled);
            let truth = self.codes[self.running.rows[row]] as usize;
            let here = match self.measure {
                RowMeasure::Error => {
                    // The first of the largest wins, as everywhere.
                    let best = (1..width).fold(0, |b, c| if pooled[c] > pooled[b] { c } else { b });
                    f64::from(u8::from(best != truth))
                }
                RowMeasure::Brier => {
                    let terms = pooled.iter().enumerate();
                    terms.map(|(c, p)| (p / n - f64::from(u8::from(c == truth))).powi(2)).sum()
                }
            };
            loss[0] += self.weight[row] * here;
            loss[1] -= self.weight[row] * (pooled[truth] / n).max(f64::from(MIN_PROBABILITY)).ln();
        }
        loss
    }
}

impl Scores for RowScores<'_> {
    fn losses(&mut self, among: &[bool]) -> Vec<f64> {
        let members: Vec<usize> = (0..among.len()).filter(|m| among[*m]).collect();
        let both = by_blocks(self.running.rows.len(), 2 * members.len(), |rows| {
            members.iter().flat_map(|m| self.block(rows.clone(), *m)).collect()
        });
        let mut losses = vec![f64::INFINITY; among.len()];
        self.logs = losses.clone();
        for (m, [loss, log]) in members.iter().zip(both.as_chunks::<2>().0) {
            (losses[*m], self.logs[*m]) = (*loss, *log);
        }
        losses
    }

    fn second(&self, member: usize) -> f64 {
        self.logs[member]
    }

    fn add(&mut self, member: usize) {
        self.running.add(member);
    }
}
