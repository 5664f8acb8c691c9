//! A curve that can bend at both ends.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::logit_fit::{Fit, LogitFit, sigmoid};
use super::one_against_rest::{Binary, Curve, OneAgainstRest};
use super::rows::check;
use crate::error::Result;
use crate::model::graph::{Element, Graph, Value};
use crate::model::{Context, Fused, Fuser, Honest, Inputs, Task};
use crate::registry::Method;

/// The key under which it is loaded.
pub(super) const KIND: &str = "beta";
/// A penalty on the exponents, far below what rows can say, which keeps them finite where a cut tells all rows apart.
const RIDGE: f64 = 1e-8;

/// `q = 1 / (1 + exp(-(a ln p - b ln(1 - p) + c)))` with `a, b >= 0`, of the lowest log-loss: the likelihood ratio of
/// two beta distributions. `a = b = 1, c = 0` changes nothing, `a = b` is a temperature with a shift. Probabilities
/// are held within [1e-7, 1 - 1e-7]. More than two classes: each against the rest, and every row divided by its sum.
///
/// # Reference
/// Kull, Silva Filho and Flach, "Beta calibration: a well-founded and easily implemented improvement on logistic
/// calibration for binary classifiers", AISTATS 2017.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Beta {}

impl Method for Beta {
    const NAME: &'static str = "beta";
    const ABOUT: &'static str = "a ln p - b ln(1 - p) + c as logit: a curve that bends at both ends";
}

impl Fuser for Beta {
    fn check(&self, task: &Task, members: usize) -> Result<()> {
        check(task, members)
    }

    fn fit(&self, honest: &Honest, _: Option<Inputs<'_>>, _: &Context<'_>) -> Result<Box<dyn Fused>> {
        Ok(Box::new(OneAgainstRest::fit(honest, Bend::fit)?))
    }
}

/// `sigmoid(a ln p - b ln(1 - p) + c)`.
pub(super) struct Bend {
    a: f64,
    b: f64,
    c: f64,
}

impl Bend {
    /// The optimum with both exponents if they are not negative; otherwise the better one of those where one of them,
    /// or then both, are zero: the loss is convex, so that the optimum lies on that side.
    fn fit(rows: &Binary<'_>) -> Result<Self> {
        let up: Vec<f64> = rows.p.iter().map(|p| p.ln()).collect();
        let down: Vec<f64> = rows.p.iter().map(|p| -(1.0 - p).ln()).collect();
        let target: Vec<f64> = rows.hit.iter().map(|h| f64::from(u8::from(*h))).collect();
        let fit = |columns: &[&[f64]]| {
            LogitFit { columns, target: &target, weight: rows.weight, ridge: RIDGE }.minimize()
        };
        let negative = |f: &Fit| f.theta[..f.theta.len() - 1].iter().any(|t| *t < 0.0);
        let both = fit(&[&up, &down])?;
        if !negative(&both) {
            return Ok(Self { a: both.theta[0], b: both.theta[1], c: both.theta[2] });
        }
        let (only_up, only_down, none) = (fit(&[&up])?, fit(&[&down])?, fit(&[])?);
        let mut best = (none.loss, Self { a: 0.0, b: 0.0, c: none.theta[0] });
        if !negative(&only_up) && only_up.loss < best.0 {
            best = (only_up.loss, Self { a: only_up.theta[0], b: 0.0, c: only_up.theta[1] });
        }
        if !negative(&only_down) && only_down.loss < best.0 {
            best = (only_down.loss, Self { a: 0.0, b: only_down.theta[0], c: only_down.theta[1] });
        }
        Ok(best.1)
    }
}

impl Curve for Bend {
    const KIND: &'static str = KIND;

    fn at(&self, p: f64) -> f64 {
        sigmoid(self.a * p.ln() - self.b * (1.0 - p).ln() + self.c)
    }

    fn graph(&self, graph: &mut Graph, p: &Value) -> Value {
        let [one, a, b, c] = [1.0, self.a, self.b, self.c].map(|v| graph.scalar(Element::F64, v));
        let rest = graph.sub(&one, p);
        let (up, down) = (graph.one("Log", p), graph.one("Log", &rest));
        let (up, down) = (graph.mul(&up, &a), graph.mul(&down, &b));
        let z = graph.sub(&up, &down);
        let z = graph.add(&z, &c);
        graph.one("Sigmoid", &z)
    }

    fn numbers(&self) -> Vec<f64> {
        vec![self.a, self.b, self.c]
    }

    fn of(numbers: &[f64]) -> Option<Self> {
        let [a, b, c] = *numbers else { return None };
        (a >= 0.0 && b >= 0.0).then_some(Self { a, b, c })
    }
}
