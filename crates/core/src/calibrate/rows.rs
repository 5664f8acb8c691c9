//! What a calibrator is fitted to, and what a fitted one is given.

use ndarray::Array2;

use crate::array::MIN_PROBABILITY;
use crate::error::{Error, Result};
use crate::model::{Classes, Honest, Predictions, Task};

/// A probability within [1e-7, 1 - 1e-7], so that its logarithm and that of its complement are finite.
pub(super) fn clipped(p: f32) -> f64 {
    let least = f64::from(MIN_PROBABILITY);
    f64::from(p).clamp(least, 1.0 - least)
}

/// Refuses values, and any number of members but one.
pub(super) fn check(task: &Task, members: usize) -> Result<()> {
    if task.classes().is_none() {
        return Err(Error::argument("a calibrator needs probabilities")
            .got("values (task: regress)")
            .remedy("conformal regions say how far a value can be trusted"));
    }
    if members != 1 {
        return Err(Error::argument("a calibrator is fitted to one member")
            .expected("1 member")
            .got(members));
    }
    Ok(())
}

/// The one member that a fitted calibrator of `task` is given.
pub(super) fn only<'a>(members: &'a [Predictions], task: &Task) -> Result<&'a Predictions> {
    match members {
        [one] if one.task() == *task => Ok(one),
        [_] => Err(Error::model("the calibrator was fitted to other classes")),
        _ => Err(Error::model("the calibrator was fitted to one member").got(members.len())),
    }
}

/// The rows about which the member says something.
pub(super) struct Rows {
    /// The classes.
    pub classes: Classes,
    /// `[rows, classes]`, clipped.
    pub p: Array2<f64>,
    /// The true class of each row.
    pub codes: Vec<usize>,
    /// The weight of each row, as given; one each where none are.
    pub weight: Vec<f64>,
}

impl Rows {
    /// Reads honest predictions of one member.
    ///
    /// # Errors
    /// [`Error::Argument`] for values or several members; [`Error::Data`] if the member says nothing, if row weights
    /// are not numbers from zero on with a sum above zero, or if all rows with weight are of one class.
    pub(super) fn new(honest: &Honest) -> Result<Self> {
        check(&honest.target().task(), honest.count())?;
        let (classes, codes) = honest.target().codes()?;
        let Some(said) = honest.predictions().next() else {
            return Err(Error::internal("honest predictions without a member"));
        };
        let rows: Vec<usize> = (0..said.rows()).filter(|r| !said.absent().is_set(*r)).collect();
        if rows.is_empty() {
            return Err(Error::data("there is no row about which the member says something")
                .expected("honest predictions with the truth")
                .got(format!("{} rows", said.rows())));
        }
        let weight: Vec<f64> = match honest.weight() {
            Some(all) => rows.iter().map(|&r| f64::from(all[r])).collect(),
            None => vec![1.0; rows.len()],
        };
        if weight.iter().any(|w| !w.is_finite() || *w < 0.0) || weight.iter().sum::<f64>() <= 0.0 {
            return Err(Error::data("the row weights are not numbers from zero on with a sum above zero"));
        }
        let codes: Vec<usize> = rows.iter().map(|&r| codes[r] as usize).collect();
        let mut seen = codes.iter().zip(&weight).filter(|(_, w)| **w > 0.0).map(|(c, _)| *c);
        let first = seen.next().unwrap_or(0);
        if seen.all(|c| c == first) {
            return Err(Error::data("all rows are of one class, which says nothing about probabilities")
                .expected("rows of two classes at least")
                .got(format!("{} rows of \"{}\"", rows.len(), classes.names()[first])));
        }
        let said = said.p()?;
        let p = Array2::from_shape_fn((rows.len(), classes.count()), |(i, c)| clipped(said[[rows[i], c]]));
        Ok(Self { classes: classes.clone(), p, codes, weight })
    }

    /// How many rows.
    pub(super) fn count(&self) -> usize {
        self.codes.len()
    }
}
