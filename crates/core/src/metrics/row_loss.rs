//! The loss of every row, for the report's worst rows and for tests of our own.

use crate::array::MIN_PROBABILITY;
use crate::error::{Error, Result};
use crate::model::{Predictions, Target};

/// `-ln max(p, 1e-7)` of the probability given to the true class.
pub(super) fn surprise(p: f32) -> f64 {
    -f64::from(p.max(MIN_PROBABILITY)).ln()
}

/// The loss of each row: `-ln p` of the true class (probabilities raised to 1e-7), or the squared error. Rows about
/// which nothing was predicted hold NaN.
///
/// # Errors
/// [`Error::Model`] if the rows or the classes differ; [`Error::Data`] for a class code out of range.
pub fn per_row_loss(target: &Target, predictions: &Predictions) -> Result<Vec<f64>> {
    matches(target, predictions)?;
    let matrix = predictions.matrix();
    let absent = predictions.absent();
    let loss = |r: usize| match target {
        Target::Classes { codes, .. } => matrix.get((r, codes[r] as usize)).map(|p| surprise(*p)),
        Target::Values(values) => matrix.get((r, 0)).map(|v| (f64::from(*v) - f64::from(values[r])).powi(2)),
    };
    (0..target.len())
        .map(|r| {
            if absent.is_set(r) {
                return Ok(f64::NAN);
            }
            loss(r).ok_or_else(|| Error::data("a class code is out of range").at(format!("row {r}")))
        })
        .collect()
}

/// Checks that predictions are about as many rows and the same task as the target.
///
/// # Errors
/// [`Error::Model`] if not.
pub(super) fn matches(target: &Target, predictions: &Predictions) -> Result<()> {
    if predictions.rows() != target.len() {
        return Err(Error::model("the predictions are for another number of rows than the target")
            .expected(target.len())
            .got(predictions.rows()));
    }
    if predictions.task() != target.task() {
        return Err(Error::model("the predictions are for another task or other classes than the target")
            .expected(format!("{:?}", target.task()))
            .got(format!("{:?}", predictions.task())));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::array::Matrix;
    use crate::model::{Classes, Mask};

    #[test]
    fn losses_are_clipped_and_absent_rows_are_not_invented() {
        let classes = Classes::new(vec!["a".into(), "b".into()]).unwrap();
        let p = Matrix::from_shape_vec((3, 2), vec![0.25, 0.75, 1.0, 0.0, 0.5, 0.5]).unwrap();
        let mask = Mask::from_marks(vec![false, false, true]);
        let p = Predictions::probabilities(vec![1, 2, 3], classes.clone(), p, mask).unwrap();
        let target = Target::Classes { classes, codes: vec![1, 1, 0] };
        let loss = per_row_loss(&target, &p).unwrap();
        assert!((loss[0] - 0.287_682_072_451_780_9).abs() < 1e-12);
        assert!((loss[1] - 16.118_095_650_958_32).abs() < 1e-6);
        assert!(loss[2].is_nan());
        let values = Predictions::values(vec![1], vec![3.0], Mask::none(1)).unwrap();
        assert_eq!(per_row_loss(&Target::Values(vec![1.0]), &values).unwrap(), [4.0]);
        assert!(per_row_loss(&target, &values).is_err());
    }
}
