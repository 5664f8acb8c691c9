//! Members' predictions side by side, with the truth, as explanations read them.

use ndarray::ArrayView2;
use rayon::prelude::*;

use crate::array::Matrix;
use crate::error::{Error, Result};
use crate::fuse::{row_weights, view, voiced_rows};
use crate::model::{Honest, Mask, Predictions, Target};

/// Rows in a block of parallel work.
const BLOCK: usize = 1024;

/// Up to this weight a member counts as having none: where members are absent on some rows, fitted pools leave everyone
/// 1e-6.
pub(super) const NO_WEIGHT: f64 = 1e-5;

/// Honest predictions, read without a copy.
pub(super) struct Members<'a> {
    pub honest: &'a Honest,
    /// The rows about which at least one member says something.
    pub rows: Vec<usize>,
    /// A weight for each of `rows`; they sum to one.
    pub weight: Vec<f64>,
    views: Vec<ArrayView2<'a, f32>>,
    absent: Vec<&'a Mask>,
}

impl<'a> Members<'a> {
    /// Reads and checks them.
    ///
    /// # Errors
    /// [`Error::Data`] if no row has a voice, row weights are no weights, or a truth is out of range or not finite.
    pub(super) fn new(honest: &'a Honest) -> Result<Self> {
        let rows = voiced_rows(honest)?;
        let weight = row_weights(honest, &rows)?;
        let wrong = match honest.target() {
            Target::Classes { classes, codes } => codes.iter().position(|c| *c as usize >= classes.count()),
            Target::Values(values) => values.iter().position(|v| !v.is_finite()),
        };
        if let Some(row) = wrong {
            return Err(Error::data("a true class is out of range, or a true value not finite")
                .at(format!("row {row}")));
        }
        let views: Result<Vec<_>> = honest.predictions().map(view).collect();
        Ok(Self {
            honest,
            rows,
            weight,
            views: views?,
            absent: honest.predictions().map(Predictions::absent).collect(),
        })
    }

    pub(super) fn count(&self) -> usize {
        self.views.len()
    }

    pub(super) fn present(&self, member: usize, row: usize) -> bool {
        !self.absent[member].is_set(row)
    }

    /// Whether a member is absent on a row where another is not.
    pub(super) fn masked(&self) -> bool {
        (0..self.count()).any(|m| self.rows.iter().any(|r| !self.present(m, *r)))
    }

    /// What a member gave to a class, or its value.
    pub(super) fn said(&self, member: usize, row: usize, class: usize) -> f32 {
        self.views[member][[row, class]]
    }

    /// What a member gave to the true class, or its value.
    pub(super) fn to_truth(&self, member: usize, row: usize) -> f32 {
        match self.honest.target() {
            Target::Classes { codes, .. } => self.said(member, row, codes[row] as usize),
            Target::Values(_) => self.said(member, row, 0),
        }
    }

    /// How far a member was from the truth: `1 - p(true)`, or `y - value`.
    pub(super) fn residual(&self, member: usize, row: usize) -> f64 {
        let said = f64::from(self.to_truth(member, row));
        match self.honest.target() {
            Target::Classes { .. } => 1.0 - said,
            Target::Values(values) => f64::from(values[row]) - said,
        }
    }

    /// Whether a member's most probable class (the first on a tie) is the true one; `None` for values.
    pub(super) fn right(&self, member: usize, row: usize) -> Option<bool> {
        let Target::Classes { classes, codes } = self.honest.target() else { return None };
        let best = (0..classes.count()).fold(0, |best, k| {
            if self.said(member, row, k) > self.said(member, row, best) { k } else { best }
        });
        Some(best == codes[row] as usize)
    }

    /// The weight that each member has on a row: those given, divided by their sum over the members present; all zero if
    /// none is. Where all present have none, they count the same, as a fitted pool has it.
    pub(super) fn shares(&self, weights: &[f64], without: Option<usize>, row: usize, out: &mut [f64]) {
        let here = |m: usize| self.present(m, row) && Some(m) != without;
        let total: f64 = (0..out.len()).filter(|m| here(*m)).map(|m| weights[m]).sum();
        let voices = (0..out.len()).filter(|m| here(*m)).count();
        for (m, share) in out.iter_mut().enumerate() {
            *share = match here(m) {
                false => 0.0,
                true if total > 0.0 => weights[m] / total,
                true => 1.0 / voices as f64,
            };
        }
    }

    /// The linear pool of the members with these weights, one of them left out if so said; absent where nobody speaks.
    pub(super) fn pooled(&self, weights: &[f64], without: Option<usize>) -> Result<Predictions> {
        let task = self.honest.target().task();
        let width = task.width();
        let mut output = Matrix::zeros((self.honest.rows(), width));
        let Some(cells) = output.as_slice_mut() else {
            return Err(Error::internal("a fresh matrix is not contiguous"));
        };
        let silent: Vec<Vec<bool>> = cells
            .par_chunks_mut(BLOCK * width)
            .enumerate()
            .map(|(block, cells)| {
                let (mut shares, mut sum) = (vec![0.0; self.count()], vec![0.0f64; width]);
                let one = |(i, line): (usize, &mut [f32])| {
                    let row = block * BLOCK + i;
                    self.shares(weights, without, row, &mut shares);
                    sum.fill(0.0);
                    for (m, share) in shares.iter().enumerate().filter(|(_, s)| **s > 0.0) {
                        sum.iter_mut()
                            .zip(self.views[m].row(row))
                            .for_each(|(s, p)| *s += share * f64::from(*p));
                    }
                    line.iter_mut().zip(&sum).for_each(|(l, s)| *l = *s as f32);
                    shares.iter().all(|s| *s == 0.0)
                };
                cells.chunks_mut(width).enumerate().map(one).collect()
            })
            .collect();
        let absent: Mask = silent.into_iter().flatten().collect();
        let ids = self.honest.predictions().next().map(|p| p.ids().to_vec()).unwrap_or_default();
        Predictions::for_task(ids, &task, output, absent)
    }
}

/// Checks weights of a pool: one a member, not negative, not all zero; and divides them by their sum.
///
/// # Errors
/// [`Error::Argument`] if they are not.
pub(super) fn checked(weights: &[f64], members: usize) -> Result<Vec<f64>> {
    let sum: f64 = weights.iter().sum();
    let wrong = weights.iter().any(|w| !w.is_finite() || *w < 0.0) || !sum.is_finite() || sum <= 0.0;
    if weights.len() != members || wrong {
        return Err(Error::argument("these are no weights of the members")
            .at("weights")
            .expected(format!("{members} numbers from zero on, not all zero"))
            .got(format!("{weights:?}")));
    }
    Ok(weights.iter().map(|w| w / sum).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuse::SoftVote;
    use crate::fuse::cases::{honest, said, values};
    use crate::model::{Context, Fuser, Quiet, Stop};
    use crate::seed::Seed;

    #[test]
    fn a_pool_is_the_fitted_pool() {
        let stop = Stop::default();
        let context = Context::new(Seed::new(1), &Quiet, &stop);
        for data in [honest(60, 3, 3, true), values(60, 3, true), honest(30, 2, 3, false)] {
            for weights in [vec![2.0, 1.0, 0.0], vec![1.0, 0.0, 0.0]] {
                let fitted = SoftVote { weights: weights.clone() }.fit(&data, None, &context).unwrap();
                let ours = Members::new(&data).unwrap().pooled(&weights, None).unwrap();
                let theirs = fitted.fuse(&said(&data), None).unwrap();
                assert_eq!(ours.absent(), theirs.absent());
                for (a, b) in ours.matrix().iter().zip(theirs.matrix().iter()) {
                    assert!((a - b).abs() <= 1e-6 * b.abs() || (a.is_nan() && b.is_nan()), "{a} {b}");
                }
            }
            let others = data.clone().only(&[true, false, true]);
            let without = Members::new(&data).unwrap().pooled(&[2.0, 5.0, 1.0], Some(1)).unwrap();
            assert_eq!(
                format!("{without:?}"),
                format!("{:?}", Members::new(&others).unwrap().pooled(&[2.0, 1.0], None).unwrap())
            );
        }
        assert!(
            checked(&[0.0, 0.0], 2).is_err()
                && checked(&[1.0], 2).is_err()
                && checked(&[1.0, -1.0], 2).is_err()
        );
        assert_eq!(checked(&[3.0, 1.0], 2).unwrap(), [0.75, 0.25]);
    }
}
