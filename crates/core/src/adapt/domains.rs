//! What every way to adapt asks of the features of two domains.

use crate::array::ArrayView2;
use crate::error::{Error, Result};
use crate::model::Target;

/// Both domains have rows of one width, all finite, and the source a label each.
pub(super) fn check_domains(
    source: ArrayView2<'_, f32>,
    labels: &Target,
    target: ArrayView2<'_, f32>,
) -> Result<()> {
    if labels.len() != source.nrows() {
        return Err(Error::data("there is not one label for each row of the source")
            .expected(source.nrows())
            .got(labels.len()));
    }
    if source.ncols() != target.ncols() {
        return Err(Error::data("the domains have features of different widths")
            .expected(format!("{} features as in the source", source.ncols()))
            .got(format!("{} in the target", target.ncols())));
    }
    for (name, x) in [("source", source), ("target", target)] {
        if x.is_empty() {
            return Err(Error::data("a domain has no rows or no features")
                .at(name)
                .got(format!("{:?}", x.shape())));
        }
        check_finite(x).map_err(|e| e.at(name))?;
    }
    Ok(())
}

/// The width is that of fitting, and all is finite.
pub(super) fn check_width(x: ArrayView2<'_, f32>, width: usize) -> Result<()> {
    if x.ncols() != width {
        return Err(Error::data("the features have another width than at fitting")
            .expected(width)
            .got(x.ncols()));
    }
    check_finite(x)
}

fn check_finite(x: ArrayView2<'_, f32>) -> Result<()> {
    match x.indexed_iter().find(|(_, v)| !v.is_finite()) {
        Some(((row, column), v)) => {
            Err(Error::data("a feature is not finite").at(format!("row {row}, feature {column}")).got(v))
        }
        None => Ok(()),
    }
}
