//! The way that calibrates best on rows that it was not fitted to.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::beta::Beta;
use super::isotonic::{Isotonic, LEAST};
use super::platt::Platt;
use super::rows::{Rows, check, clipped};
use super::temperature::Temperature;
use super::uncalibrated::Uncalibrated;
use crate::error::{Error, Result};
use crate::model::{Context, Fused, Fuser, Honest, Inputs, Predictions, Task, cross_fitted};
use crate::registry::Method;

/// How much log-loss a simpler way may cost and still be taken.
const TIE: f64 = 1e-6;

/// Takes the first of these whose log-loss is within 1e-6 of the lowest: none, temperature, platt, beta, and from
/// 1000 rows on isotonic. The loss is that of cross-fitted predictions: over the honest folds, or over five seeded
/// parts where there is one fold, with groups kept together. A way that cannot be fitted without some part is not
/// taken. What was taken is the kind of the result (`uncalibrated` for none), fitted to all rows.
///
/// # Reference
/// Silva Filho and others, "Classifier calibration: a survey", Machine Learning 112, 2023 (the ways compared).
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Auto {}

impl Method for Auto {
    const NAME: &'static str = "auto";
    const ABOUT: &'static str = "The way of the lowest cross-validated log-loss, or none where none helps";
}

impl Fuser for Auto {
    fn check(&self, task: &Task, members: usize) -> Result<()> {
        check(task, members)
    }

    fn fit(&self, honest: &Honest, _: Option<Inputs<'_>>, context: &Context<'_>) -> Result<Box<dyn Fused>> {
        let rows = Rows::new(honest)?.count();
        let task = honest.target().task();
        let mut ways: Vec<Box<dyn Fuser>> =
            vec![Box::new(Leave {}), Box::new(Temperature {}), Box::new(Platt {}), Box::new(Beta {})];
        if rows >= LEAST {
            // Its parts may have fewer.
            ways.push(Box::new(Isotonic { least: 1 }));
        }
        let mut losses = Vec::with_capacity(ways.len());
        for way in &ways {
            losses.push(match cross_fitted(way.as_ref(), honest, None, context) {
                Ok(said) => log_loss(honest, &said)?,
                Err(Error::Data(_)) => f64::INFINITY,
                Err(other) => return Err(other),
            });
        }
        let lowest = losses.iter().copied().fold(f64::INFINITY, f64::min);
        let taken = ways.iter().zip(&losses).find(|(_, loss)| **loss <= lowest + TIE);
        match taken {
            Some((way, loss)) if loss.is_finite() => way.fit(honest, None, &context.child("all")),
            _ => Ok(Box::new(Uncalibrated { task })),
        }
    }
}

/// The weighted mean of `-ln p` of the true class.
fn log_loss(honest: &Honest, said: &Predictions) -> Result<f64> {
    let (_, codes) = honest.target().codes()?;
    let p = said.p()?;
    let (mut sum, mut total) = (0.0, 0.0);
    for (r, code) in codes.iter().enumerate().filter(|(r, _)| !said.absent().is_set(*r)) {
        let weight = honest.weight().map_or(1.0, |w| f64::from(w[r]));
        sum -= weight * clipped(p[[r, *code as usize]]).ln();
        total += weight;
    }
    Ok(sum / total)
}

/// Leaves probabilities as they are.
struct Leave {}

impl Fuser for Leave {
    fn check(&self, task: &Task, members: usize) -> Result<()> {
        check(task, members)
    }

    fn fit(&self, honest: &Honest, _: Option<Inputs<'_>>, _: &Context<'_>) -> Result<Box<dyn Fused>> {
        Ok(Box::new(Uncalibrated { task: honest.target().task() }))
    }
}
