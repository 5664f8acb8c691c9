//! Honest predictions cut down to what a linear pool is judged by: what each member gave to the truth.

use std::borrow::Cow;
use std::ops::Range;

use super::aligned::view;
use crate::array::MIN_PROBABILITY;
use crate::error::{Error, Result};
use crate::model::{Honest, Predictions, Target};

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

/// What the members gave to the truth.
pub(super) enum Columns<'a> {
    /// `[member][row]`: the probability of the true class, at least [`MIN_PROBABILITY`](crate::array::MIN_PROBABILITY),
    /// or the value; 0 where the member is absent.
    Flat(Vec<Cow<'a, [f32]>>),
    /// Two classes, both probabilities where the members hold them, and the true class of each row, which [`of_two`]
    /// takes when it is read: half of what is read is not needed, and nothing is copied.
    Pairs(Vec<&'a [[f32; 2]]>, &'a [u32]),
}

/// What was given to the true one of two classes, at least [`MIN_PROBABILITY`](crate::array::MIN_PROBABILITY), without a
/// branch.
#[inline(always)]
pub(super) fn of_two(pair: [f32; 2], code: u32) -> f32 {
    let [first, second] = pair.map(f32::to_bits);
    let p = f32::from_bits(first ^ ((first ^ second) & 0u32.wrapping_sub(code)));
    if p > MIN_PROBABILITY { p } else { MIN_PROBABILITY }
}

/// What a linear pool is fitted to: one number a member and row, all rows about which someone says something.
pub(super) struct Evidence<'a> {
    pub columns: Columns<'a>,
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

impl<'a> Evidence<'a> {
    /// Reduces honest predictions.
    ///
    /// # Errors
    /// [`Error::Data`] if no row is left, weights are no weights, or a true value is not finite.
    pub(super) fn new(honest: &'a Honest) -> Result<Self> {
        let rows = voiced_rows(honest)?;
        let weight = row_weights(honest, &rows)?;
        let all = !honest.predictions().any(|p| p.absent().any());
        let columns = match honest.target() {
            Target::Classes { classes, codes } if all && classes.count() == 2 => pairs(honest, codes)?,
            _ => None,
        };
        let columns = match columns {
            Some(columns) => columns,
            None => Columns::Flat(
                honest.predictions().map(|p| column(p, honest.target(), &rows)).collect::<Result<_>>()?,
            ),
        };
        let here = |p: &Predictions| rows.iter().map(|&r| !p.absent().is_set(r)).collect();
        let present = (!all).then(|| honest.predictions().map(here).collect());
        let truth = match honest.target() {
            Target::Classes { .. } => Vec::new(),
            Target::Values(values) => rows.iter().map(|&r| values[r]).collect(),
        };
        if let Some(i) = truth.iter().position(|v: &f32| !v.is_finite()) {
            return Err(Error::data("a true value is not finite")
                .at(format!("row {}", rows[i]))
                .got(truth[i]));
        }
        Ok(Self { columns, present, weight, equal: honest.weight().is_none(), truth, rows })
    }

    /// How many members.
    pub(super) fn count(&self) -> usize {
        match &self.columns {
            Columns::Flat(columns) => columns.len(),
            Columns::Pairs(pairs, _) => pairs.len(),
        }
    }

    /// What a member gave to the truth of a row.
    pub(super) fn at(&self, member: usize, row: usize) -> f32 {
        match &self.columns {
            Columns::Flat(columns) => columns[member][row],
            Columns::Pairs(pairs, codes) => of_two(pairs[member][row], codes[row]),
        }
    }

    /// The same for rows one after the other, in `spare` where they do not lie so already.
    pub(super) fn column<'s>(
        &'s self,
        member: usize,
        rows: Range<usize>,
        spare: &'s mut Vec<f32>,
    ) -> &'s [f32] {
        match &self.columns {
            Columns::Flat(columns) => &columns[member][rows],
            Columns::Pairs(pairs, codes) => {
                let read = pairs[member][rows.clone()].iter().zip(&codes[rows]);
                spare.clear();
                spare.extend(read.map(|(pair, code)| of_two(*pair, *code)));
                spare
            }
        }
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

/// Both probabilities of two classes, if the members hold them row after row.
fn pairs<'a>(honest: &'a Honest, codes: &'a [u32]) -> Result<Option<Columns<'a>>> {
    let views = honest.predictions().map(view).collect::<Result<Vec<_>>>()?;
    let slices: Option<Vec<&[f32]>> = views.iter().map(ndarray::ArrayView::to_slice).collect();
    Ok(slices.map(|all| Columns::Pairs(all.into_iter().map(|p| p.as_chunks().0).collect(), codes)))
}

/// What one member gave to the truth of `rows`; values are not copied where all rows are wanted.
fn column<'a>(member: &'a Predictions, target: &Target, rows: &[usize]) -> Result<Cow<'a, [f32]>> {
    let matrix = view(member)?;
    if let (Target::Values(_), false, Some(values)) = (target, member.absent().any(), matrix.to_slice())
        && values.len() == rows.len()
    {
        return Ok(Cow::Borrowed(values));
    }
    let said = |r: usize| match target {
        _ if member.absent().is_set(r) => 0.0,
        Target::Classes { codes, .. } => matrix[[r, codes[r] as usize]].max(MIN_PROBABILITY),
        Target::Values(_) => matrix[[r, 0]],
    };
    Ok(rows.iter().map(|&r| said(r)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuse::cases::{honest, values};

    #[test]
    fn what_is_read_in_place_is_what_would_be_copied() {
        for (data, in_place) in [
            (honest(300, 2, 3, false), true),
            (honest(300, 2, 3, true), false),
            (honest(300, 3, 3, false), false),
            (values(300, 3, false), true),
            (values(300, 3, true), false),
        ] {
            let evidence = Evidence::new(&data).unwrap();
            let copied = match &evidence.columns {
                Columns::Flat(columns) => columns.iter().any(|c| matches!(c, Cow::Owned(_))),
                Columns::Pairs(..) => false,
            };
            assert_eq!(copied, !in_place);
            let mut spare = Vec::new();
            for (m, member) in data.predictions().enumerate() {
                let matrix = member.matrix();
                let plain: Vec<f32> = evidence
                    .rows
                    .iter()
                    .map(|&r| match data.target() {
                        _ if member.absent().is_set(r) => 0.0,
                        Target::Classes { codes, .. } => matrix[[r, codes[r] as usize]].max(MIN_PROBABILITY),
                        Target::Values(_) => matrix[[r, 0]],
                    })
                    .collect();
                assert_eq!(evidence.column(m, 7..evidence.rows.len(), &mut spare), &plain[7..]);
                assert!((0..plain.len()).all(|r| evidence.at(m, r) == plain[r]));
            }
        }
        assert_eq!(
            [of_two([0.25, 0.75], 0), of_two([0.25, 0.75], 1), of_two([0.0, 1.0], 0)],
            [0.25, 0.75, MIN_PROBABILITY]
        );
    }
}
