//! What each member adds to a linear pool on every single row.

use ndarray::Array2;

use super::members::{Members, checked};
use crate::error::{Error, Result};
use crate::model::{Honest, Target};

/// The parts of a pool's prediction that go back to each member.
#[derive(Debug, Clone, PartialEq)]
pub struct PoolShares {
    /// The mean of the pool over the rows, from which shares are measured.
    pub mean: f64,
    /// `[rows, members]`; not a number on rows about which no member says anything.
    pub shares: Array2<f64>,
}

/// The share of every member in what a linear pool gives to `class` (for values: 0) on each row: `w_i (p_i - E p_i)`, where
/// E is the mean over the rows by their weight. The shares of a row sum to `q - E q`. They are the Shapley values of
/// the game that replaces what absent members say by its mean. On rows where members are absent `w_i` is the weight among
/// those present, and the mean is that of `w_i p_i`.
///
/// # Errors
/// [`Error::Argument`] for weights that are none, or a class that is not there; [`Error::Data`] for rows that cannot be
/// read.
///
/// # Reference
/// E. Strumbelj, I. Kononenko, Explaining prediction models and individual predictions with feature contributions,
/// Knowledge and Information Systems 41 (2014) (additive models).
pub fn pool_shares(honest: &Honest, weights: &[f64], class: usize) -> Result<PoolShares> {
    let members = Members::new(honest)?;
    let weights = checked(weights, members.count())?;
    let width = match honest.target() {
        Target::Classes { classes, .. } => classes.count(),
        Target::Values(_) => 1,
    };
    if class >= width {
        return Err(Error::argument("there is no such class").expected(format!("below {width}")).got(class));
    }
    let mut shares = Array2::from_elem((honest.rows(), members.count()), f64::NAN);
    let mut means = vec![0.0; members.count()];
    let mut own = vec![0.0; members.count()];
    for (&row, omega) in members.rows.iter().zip(&members.weight) {
        members.shares(&weights, None, row, &mut own);
        for (m, share) in own.iter().enumerate() {
            let part = if *share > 0.0 { share * f64::from(members.said(m, row, class)) } else { 0.0 };
            shares[[row, m]] = part;
            means[m] += omega * part;
        }
    }
    for mut row in shares.rows_mut() {
        row.iter_mut().zip(&means).for_each(|(s, mean)| *s -= mean);
    }
    Ok(PoolShares { mean: means.iter().sum(), shares })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuse::cases::{honest, values};

    #[test]
    fn shares_sum_to_what_the_pool_says_beyond_its_mean() {
        for (data, class) in
            [(honest(50, 3, 3, true), 2), (values(50, 3, true), 0), (honest(50, 2, 3, false), 1)]
        {
            let weights = [0.5, 0.0, 0.3];
            let out = pool_shares(&data, &weights, class).unwrap();
            let pool = Members::new(&data).unwrap().pooled(&weights, None).unwrap();
            let mut seen = 0;
            for row in (0..50).filter(|r| !pool.absent().is_set(*r)) {
                let q = f64::from(pool.matrix()[[row, class]]);
                assert!((out.shares.row(row).sum() - (q - out.mean)).abs() < 1e-5, "row {row}");
                seen += 1;
            }
            assert!(seen > 40);
            if pool.absent().any() {
                assert!(out.shares[[3, 0]].is_nan());
            } else {
                assert!(out.shares.column(1).iter().all(|s| *s == 0.0));
            }
            assert!(pool_shares(&data, &weights, 3).is_err());
        }
    }
}
