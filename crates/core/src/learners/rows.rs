//! What every learner asks of its rows, and work on rows by fixed blocks.

use std::ops::Range;

use ndarray::s;
use rayon::prelude::*;

use crate::array::{ArrayView2, Matrix};
use crate::error::{Error, Result};
use crate::model::{Shares, Target};

/// Rows in a block of parallel work. Blocks do not depend on the number of threads, so sums over them do not either.
pub(super) const BLOCK: usize = 1024;

/// Checks what a fit is given: rows, features, finite numbers, lengths, positive weights, classes that exist.
pub(super) fn check_fit(x: ArrayView2<'_, f32>, target: &Target, weight: Option<&[f32]>) -> Result<()> {
    let (rows, width) = x.dim();
    if rows == 0 {
        return Err(Error::data("there are no rows to fit to"));
    }
    if width == 0 {
        return Err(Error::data("there are no features to fit to").remedy("use the learner \"constant\""));
    }
    check_lengths(rows, target, weight)?;
    check_finite(x)
}

/// The part of [`check_fit`] that does not look at the features.
pub(super) fn check_lengths(rows: usize, target: &Target, weight: Option<&[f32]>) -> Result<()> {
    if target.len() != rows {
        return Err(Error::data("the target and the features have different lengths")
            .expected(format!("{rows} entries, one a row"))
            .got(target.len()));
    }
    match target {
        Target::Classes { classes, codes } => {
            if let Some((row, code)) = codes.iter().enumerate().find(|(_, c)| **c as usize >= classes.count())
            {
                return Err(Error::data("a class code is out of range")
                    .at(format!("row {row}"))
                    .expected(format!("below {}", classes.count()))
                    .got(code));
            }
        }
        Target::Values(values) => {
            if let Some((row, value)) = values.iter().enumerate().find(|(_, v)| !v.is_finite()) {
                return Err(Error::data("the target is not finite").at(format!("row {row}")).got(value));
            }
        }
    }
    let Some(weight) = weight else { return Ok(()) };
    if weight.len() != rows {
        return Err(Error::data("the weights and the features have different lengths")
            .expected(format!("{rows} weights, one a row"))
            .got(weight.len()));
    }
    match weight.iter().enumerate().find(|(_, w)| !(w.is_finite() && **w > 0.0)) {
        Some((row, w)) => Err(Error::data("a weight is not positive")
            .at(format!("row {row}"))
            .expected("a finite number above 0")
            .got(w)),
        None => Ok(()),
    }
}

/// Checks that rows to predict have the width of those that were fitted, and finite numbers.
pub(super) fn check_predict(x: ArrayView2<'_, f32>, width: usize) -> Result<()> {
    if x.ncols() != width {
        return Err(Error::data("the rows have another number of features than those fitted to")
            .expected(width)
            .got(x.ncols()));
    }
    check_finite(x)
}

/// Checks what a fit to shares is given: rows, features, finite numbers, lengths, positive weights, and shares that sum to
/// one.
pub(super) fn check_shares(x: ArrayView2<'_, f32>, shares: Shares<'_>, weight: Option<&[f32]>) -> Result<()> {
    if shares.p.ncols() != shares.classes.count() {
        return Err(Error::data("there is not one share for each class")
            .expected(format!("{} shares a row", shares.classes.count()))
            .got(shares.p.ncols()));
    }
    let none = Target::Classes { classes: shares.classes.clone(), codes: vec![0; shares.p.nrows()] };
    check_fit(x, &none, weight)?;
    let bad = |p: ndarray::ArrayView1<'_, f32>| {
        p.iter().any(|s| !(*s >= 0.0 && s.is_finite())) || (p.sum() - 1.0).abs() > 1e-3
    };
    match shares.p.rows().into_iter().enumerate().find(|(_, p)| bad(*p)) {
        Some((row, p)) => Err(Error::data("the shares of a row are not a distribution over the classes")
            .at(format!("row {row}"))
            .expected("numbers from 0 on that sum to 1")
            .got(format!("{:?}", p.to_vec()))),
        None => Ok(()),
    }
}

fn check_finite(x: ArrayView2<'_, f32>) -> Result<()> {
    let bad = |row: usize| x.row(row).iter().position(|v| !v.is_finite());
    let found = (0..x.nrows()).into_par_iter().with_min_len(BLOCK).find_map_first(|r| bad(r).map(|c| (r, c)));
    match found {
        Some((row, column)) => Err(Error::data("a feature is not finite")
            .at(format!("row {row}, column {column}"))
            .got(x[[row, column]])
            .remedy("impute missing values before this learner")),
        None => Ok(()),
    }
}

/// One weight a row in 64-bit floats, scaled to a mean of one; ones without weights.
pub(super) fn mean_one(weight: Option<&[f32]>, rows: usize) -> Vec<f64> {
    match weight {
        None => vec![1.0; rows],
        Some(w) => {
            let mean = w.iter().map(|v| f64::from(*v)).sum::<f64>() / rows.max(1) as f64;
            w.iter().map(|v| f64::from(*v) / mean).collect()
        }
    }
}

/// One weight a row in 64-bit floats as given; ones without weights.
pub(super) fn as_given(weight: Option<&[f32]>, rows: usize) -> Vec<f64> {
    weight.map_or_else(|| vec![1.0; rows], |w| w.iter().map(|v| f64::from(*v)).collect())
}

/// `0..rows` cut into ranges of `size`.
pub(super) fn blocks(rows: usize, size: usize) -> Vec<Range<usize>> {
    (0..rows).step_by(size.max(1)).map(|start| start..rows.min(start + size)).collect()
}

/// Predicts by blocks of `size` rows, in parallel: `f` maps a block to its outputs `[rows of the block, outputs]`.
pub(super) fn predict_blocks(
    x: ArrayView2<'_, f32>,
    outputs: usize,
    size: usize,
    f: impl Fn(ArrayView2<'_, f32>) -> Result<Matrix> + Sync,
) -> Result<Matrix> {
    let parts: Vec<Matrix> = blocks(x.nrows(), size)
        .into_par_iter()
        .map(|range| f(x.slice(s![range, ..])))
        .collect::<Result<_>>()?;
    let mut all = Vec::with_capacity(x.nrows() * outputs);
    for part in parts {
        all.extend(part.iter().copied());
    }
    Matrix::from_shape_vec((x.nrows(), outputs), all).map_err(|e| Error::internal(e.to_string()))
}
