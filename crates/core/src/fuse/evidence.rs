//! Honest predictions cut down to what a linear pool is judged by: what each member gave to the truth.

use super::aligned::view;
use crate::array::MIN_PROBABILITY;
use crate::error::{Error, Result};
use crate::model::{Honest, Target};

/// The positions of the rows about which at least one member says something.
///
/// # Errors
/// [`Error::Data`] if there is none.
pub(crate) fn voiced_rows(honest: &Honest) -> Result<Vec<usize>> {
    let silent = honest.silent();
    let rows: Vec<usize> = (0..honest.rows()).filter(|r| !silent.is_set(*r)).collect();
    if rows.is_empty() {
        return Err(Error::data("there is no row about which a member says something")
            .expected("honest predictions with the truth")
            .got(format!("{} rows", honest.rows())));
    }
    Ok(rows)
}

/// Row weights of `rows`, divided by their sum.
///
/// # Errors
/// [`Error::Data`] for weights that are negative, not finite or all zero.
pub(crate) fn row_weights(honest: &Honest, rows: &[usize]) -> Result<Vec<f64>> {
    let Some(all) = honest.weight() else {
        return Ok(vec![1.0 / rows.len() as f64; rows.len()]);
    };
    let weights: Vec<f64> = rows.iter().map(|&r| f64::from(all[r])).collect();
    let sum: f64 = weights.iter().sum();
    if weights.iter().any(|w| !w.is_finite() || *w < 0.0) || sum <= 0.0 {
        return Err(Error::data("the row weights are not numbers from zero on with a sum above zero"));
    }
    Ok(weights.iter().map(|w| w / sum).collect())
}

/// What a linear pool is fitted to: one column a member, all rows about which someone says something.
pub(super) struct Evidence {
    /// `[member][row]`: the probability that the member gave to the true class, at least
    /// [`MIN_PROBABILITY`](crate::array::MIN_PROBABILITY); or its value. 0 where it is absent.
    pub columns: Vec<Vec<f32>>,
    /// `[member][row]`; none if every member says something about every row.
    pub present: Option<Vec<Vec<bool>>>,
    /// One a row; they sum to one.
    pub weight: Vec<f64>,
    /// Whether all rows weigh the same.
    pub equal: bool,
    /// The true values of a regression; empty for classes.
    pub truth: Vec<f32>,
    /// The rows' positions in the honest predictions.
    pub rows: Vec<usize>,
}

impl Evidence {
    /// Reads honest predictions once.
    ///
    /// # Errors
    /// As [`voiced_rows`] and [`row_weights`].
    pub(super) fn new(honest: &Honest) -> Result<Self> {
        let rows = voiced_rows(honest)?;
        let weight = row_weights(honest, &rows)?;
        let mut columns = Vec::with_capacity(honest.count());
        let mut present = Vec::with_capacity(honest.count());
        for member in honest.predictions() {
            let matrix = view(member)?;
            let here: Vec<bool> = rows.iter().map(|&r| !member.absent().is_set(r)).collect();
            let column = rows.iter().zip(&here).map(|(&r, here)| match (here, honest.target()) {
                (false, _) => 0.0,
                (true, Target::Classes { codes, .. }) => matrix[[r, codes[r] as usize]].max(MIN_PROBABILITY),
                (true, Target::Values(_)) => matrix[[r, 0]],
            });
            columns.push(column.collect());
            present.push(here);
        }
        let all = present.iter().all(|p: &Vec<bool>| p.iter().all(|h| *h));
        let truth = match honest.target() {
            Target::Classes { .. } => Vec::new(),
            Target::Values(values) => rows.iter().map(|&r| values[r]).collect(),
        };
        if let Some(i) = truth.iter().position(|v| !v.is_finite()) {
            return Err(Error::data("a true value is not finite")
                .at(format!("row {}", rows[i]))
                .got(truth[i]));
        }
        Ok(Self {
            columns,
            present: (!all).then_some(present),
            weight,
            equal: honest.weight().is_none(),
            truth,
            rows,
        })
    }

    /// How many members.
    pub(super) fn count(&self) -> usize {
        self.columns.len()
    }

    /// Whether a member says something about a row.
    pub(super) fn has(&self, member: usize, row: usize) -> bool {
        self.present.as_ref().is_none_or(|p| p[member][row])
    }

    /// The variance of the true values, in whose unit squared errors are measured so that no scale changes a search;
    /// one for classes and for values that do not vary.
    pub(super) fn spread(&self) -> f64 {
        let truth = || self.truth.iter().zip(&self.weight).map(|(y, w)| (f64::from(*y), *w));
        let mean: f64 = truth().map(|(y, w)| w * y).sum();
        let variance: f64 = truth().map(|(y, w)| w * (y - mean).powi(2)).sum();
        if variance > 0.0 { variance } else { 1.0 }
    }
}
