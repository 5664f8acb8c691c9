//! A logistic curve over the logit.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::logit_fit::{LogitFit, sigmoid};
use super::one_against_rest::{Binary, Curve, OneAgainstRest};
use super::rows::check;
use crate::error::Result;
use crate::model::graph::{Element, Graph, Value};
use crate::model::{Context, Fused, Fuser, Honest, Inputs, Task};
use crate::registry::Method;

/// The key under which it is loaded.
pub(super) const KIND: &str = "platt";

/// `q = 1 / (1 + exp(-(a s + b)))` with the logit `s = ln p / (1 - p)`, of the lowest log-loss against the targets
/// `(N+ + 1) / (N+ + 2)` for rows of the class and `1 / (N- + 2)` for the others, which keep the numbers finite where
/// a cut tells all rows apart. `N+` and `N-` are sums of row weights. Probabilities are held within [1e-7, 1 - 1e-7].
/// More than two classes: each against the rest, and every row divided by its sum.
///
/// # Reference
/// Platt, "Probabilistic outputs for support vector machines", Advances in Large Margin Classifiers, 1999; Lin, Lin and
/// Weng, "A note on Platt's probabilistic outputs for support vector machines", Machine Learning 68, 2007; Zadrozny and
/// Elkan, "Transforming classifier scores into accurate multiclass probability estimates", KDD 2002 (several classes).
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Platt {}

impl Method for Platt {
    const NAME: &'static str = "platt";
    const ABOUT: &'static str = "A logistic curve over the logit, with smoothed targets";
}

impl Fuser for Platt {
    fn check(&self, task: &Task, members: usize) -> Result<()> {
        check(task, members)
    }

    fn fit(&self, honest: &Honest, _: Option<Inputs<'_>>, _: &Context<'_>) -> Result<Box<dyn Fused>> {
        Ok(Box::new(OneAgainstRest::fit(honest, Line::fit)?))
    }
}

/// `sigmoid(slope s + shift)`.
pub(super) struct Line {
    slope: f64,
    shift: f64,
}

impl Line {
    fn fit(rows: &Binary<'_>) -> Result<Self> {
        let logits: Vec<f64> = rows.p.iter().map(|p| (p / (1.0 - p)).ln()).collect();
        let count = |of: bool| -> f64 {
            rows.hit.iter().zip(rows.weight).filter(|(h, _)| **h == of).map(|(_, w)| w).sum()
        };
        let (high, low) = ((count(true) + 1.0) / (count(true) + 2.0), 1.0 / (count(false) + 2.0));
        let target: Vec<f64> = rows.hit.iter().map(|h| if *h { high } else { low }).collect();
        let fit =
            LogitFit { columns: &[&logits], target: &target, weight: rows.weight, ridge: 0.0 }.minimize()?;
        Ok(Self { slope: fit.theta[0], shift: fit.theta[1] })
    }
}

impl Curve for Line {
    const KIND: &'static str = KIND;

    fn at(&self, p: f64) -> f64 {
        sigmoid(self.slope * (p / (1.0 - p)).ln() + self.shift)
    }

    fn graph(&self, graph: &mut Graph, p: &Value) -> Value {
        let one = graph.scalar(Element::F64, 1.0);
        let rest = graph.sub(&one, p);
        let odds = graph.div(p, &rest);
        let logit = graph.one("Log", &odds);
        let (slope, shift) = (graph.scalar(Element::F64, self.slope), graph.scalar(Element::F64, self.shift));
        let sloped = graph.mul(&logit, &slope);
        let z = graph.add(&sloped, &shift);
        graph.one("Sigmoid", &z)
    }

    fn numbers(&self) -> Vec<f64> {
        vec![self.slope, self.shift]
    }

    fn of(numbers: &[f64]) -> Option<Self> {
        let [slope, shift] = *numbers else { return None };
        Some(Self { slope, shift })
    }
}
