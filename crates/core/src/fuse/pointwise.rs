//! The fitted form of every mean of numbers: each class, or the value, is averaged for itself.

use ndarray::ArrayView2;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::aligned::{Aligned, view};
use super::pointwise_graph::drawn;
use super::pool::check_given;
use crate::array::MIN_PROBABILITY;
use crate::error::{Error, Result};
use crate::model::graph::{Answer, Graph, Value};
use crate::model::{Batch, Fused, Loaders, Parts, Predictions, Task};

/// The key under which it is loaded.
pub(super) const KIND: &str = "pointwise";
/// Exponents nearer to zero than this, but for zero itself, are refused: they are the geometric mean.
const LEAST_EXPONENT: f64 = 1e-3;

/// An end of the scale of power means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// The largest, where exponents end.
    Max,
    /// The smallest, where negative exponents end.
    Min,
}

/// The exponent of a power mean.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "exponent is a number, max or min")]
pub enum Exponent {
    /// A number: 1 is the mean, 0 the geometric, -1 the harmonic mean.
    Number(f64),
    /// What the mean comes to with larger and larger, or smaller and smaller, exponents.
    Limit(Limit),
}

impl Exponent {
    /// Whether the mean is one of positive numbers only.
    pub(super) fn needs_positive(self) -> bool {
        matches!(self, Self::Number(e) if e != 1.0)
    }
}

/// How numbers become one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Rule {
    /// The middle one, or the mean of the two in the middle.
    Median,
    /// The mean without a share at each end.
    Trimmed(f64),
    /// A power mean with weights.
    Power(Exponent),
}

impl Rule {
    /// Checks what types cannot say.
    pub(super) fn check(self) -> Result<()> {
        match self {
            Self::Trimmed(share) if !(0.0..0.5).contains(&share) => {
                Err(Error::argument("the share trimmed at each end is out of range")
                    .at("share")
                    .expected("from 0 to less than 0.5")
                    .got(share))
            }
            Self::Power(Exponent::Number(e)) if !e.is_finite() => {
                Err(Error::argument("the exponent is not finite").at("exponent").remedy("use max or min"))
            }
            Self::Power(Exponent::Number(e)) if e != 0.0 && e.abs() < LEAST_EXPONENT => {
                Err(Error::argument("the exponent is too near to zero")
                    .at("exponent")
                    .expected(format!("0, or at least {LEAST_EXPONENT} from it"))
                    .got(e)
                    .remedy("use 0: the geometric mean"))
            }
            _ => Ok(()),
        }
    }

    /// Of so many numbers in order, how many are left out at each end.
    pub(super) fn cut(self, count: usize) -> usize {
        match self {
            Self::Median => count.saturating_sub(1) / 2,
            Self::Trimmed(share) => (share * count as f64) as usize,
            Self::Power(_) => 0,
        }
    }

    /// The mean of numbers with weights above zero; there is at least one.
    fn mean(self, said: &mut [(f64, f64)]) -> f64 {
        let Self::Power(exponent) = self else {
            said.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
            let cut = self.cut(said.len());
            let kept = &said[cut..said.len() - cut];
            return kept.iter().map(|(v, _)| v).sum::<f64>() / kept.len() as f64;
        };
        let total: f64 = said.iter().map(|(_, w)| w).sum();
        let mean_of = |f: &dyn Fn(f64) -> f64| said.iter().map(|(v, w)| w * f(*v)).sum::<f64>() / total;
        let largest = said.iter().map(|(v, _)| *v).fold(f64::NEG_INFINITY, f64::max);
        let smallest = said.iter().map(|(v, _)| *v).fold(f64::INFINITY, f64::min);
        match exponent {
            Exponent::Limit(Limit::Max) => largest,
            Exponent::Limit(Limit::Min) => smallest,
            Exponent::Number(1.0) => mean_of(&|v| v),
            Exponent::Number(0.0) => mean_of(&f64::ln).exp(),
            // In units of the number that counts most, so that no power is too large or all too small.
            Exponent::Number(e) => {
                let unit = if e > 0.0 { largest } else { smallest };
                unit * mean_of(&|v| (v / unit).powf(e)).powf(1.0 / e)
            }
        }
    }
}

/// For each class the mean of what the members present give to it, at least 1e-7 each, divided by the sum over the
/// classes; or the mean of their values.
#[derive(Debug, Clone)]
pub(super) struct Pointwise {
    task: Task,
    rule: Rule,
    weights: Vec<f64>,
}

impl Pointwise {
    /// A mean of members with weights; they are divided by their sum.
    ///
    /// # Errors
    /// What [`Rule::check`] says.
    pub(super) fn new(task: Task, rule: Rule, weights: &[f64]) -> Result<Self> {
        rule.check()?;
        check_given(weights, None)?;
        let sum: f64 = weights.iter().sum();
        Ok(Self { task, rule, weights: weights.iter().map(|w| w / sum).collect() })
    }

    /// Refuses values that have no such mean.
    ///
    /// # Errors
    /// [`Error::Data`] with the first that is not positive where it must be.
    pub(super) fn check_values<'a>(&self, members: impl Iterator<Item = &'a Predictions>) -> Result<()> {
        let positive = matches!(self.rule, Rule::Power(e) if e.needs_positive());
        if !positive || self.task.classes().is_some() {
            return Ok(());
        }
        for (i, member) in members.enumerate() {
            let values = view(member)?;
            if let Some(row) = values.iter().position(|v| *v <= 0.0) {
                return Err(Error::data("this mean is one of positive values")
                    .at(format!("member {}, row id {}", i + 1, member.ids()[row]))
                    .expected("above 0")
                    .got(values[[row, 0]])
                    .remedy("use soft_vote, median or trimmed_mean"));
            }
        }
        Ok(())
    }

    fn fill(&self, aligned: &Aligned<'_>, row: usize, out: &mut [f64]) {
        let classes = self.task.classes().is_some();
        let mut weights = self.weights.clone();
        aligned.leave_out_absent(row, &mut weights);
        let mut said = Vec::with_capacity(weights.len());
        for (column, out) in out.iter_mut().enumerate() {
            said.clear();
            let number = |view: &ArrayView2<'_, f32>| {
                let v = view[[row, column]];
                f64::from(if classes { v.max(MIN_PROBABILITY) } else { v })
            };
            let present = aligned.views().iter().zip(&weights).filter(|(_, w)| **w > 0.0);
            said.extend(present.map(|(view, w)| (number(view), *w)));
            *out = self.rule.mean(&mut said);
        }
        if classes {
            let sum: f64 = out.iter().sum();
            out.iter_mut().for_each(|o| *o /= sum);
        }
    }
}

/// Loads it.
pub(super) fn load(parts: &Parts, _: &Loaders) -> Result<Box<dyn Fused>> {
    let rule: Rule = parts.field("rule")?;
    let weights = parts.f64("weights")?.to_vec();
    let fit = check_given(&weights, None).and_then(|()| rule.check());
    if let (Err(_), _) | (_, true) = (fit, weights.is_empty()) {
        return Err(Error::model("the parts of a saved mean do not fit together")
            .remedy("the model directory is damaged; fit the model again"));
    }
    Ok(Box::new(Pointwise { task: parts.field("task")?, rule, weights }))
}

impl Fused for Pointwise {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn fuse(&self, members: &[Predictions], _: Option<&Batch>) -> Result<Predictions> {
        let aligned = Aligned::new(members, &self.task, self.weights.len())?;
        self.check_values(members.iter())?;
        aligned.each_row(|row, out| self.fill(&aligned, row, out))
    }

    fn graph(&self, graph: &mut Graph, members: &[Answer]) -> Result<Value> {
        Ok(drawn(graph, members, &self.task, self.rule, &self.weights))
    }

    fn save(&self) -> Result<Parts> {
        let config = json!({"task": self.task, "rule": self.rule});
        Ok(Parts::new(KIND, config).with_f64("weights", &self.weights))
    }

    fn weights(&self) -> Option<Vec<f64>> {
        let weighed = matches!(self.rule, Rule::Power(Exponent::Number(_)));
        weighed.then(|| self.weights.clone())
    }

    fn parameters(&self) -> u64 {
        self.weights().map_or(0, |w| w.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean(rule: Rule, values: &[f64]) -> f64 {
        rule.mean(&mut values.iter().map(|v| (*v, 0.5)).collect::<Vec<_>>())
    }

    #[test]
    fn power_means_rise_from_the_smallest_to_the_largest() {
        let power = |e| mean(Rule::Power(Exponent::Number(e)), &[0.1, 0.2, 0.4]);
        assert!((power(1.0) - 0.7 / 3.0).abs() < 1e-15);
        assert!((power(0.0) - 0.2).abs() < 1e-15);
        assert!((power(-1.0) - 3.0 / 17.5).abs() < 1e-15);
        assert!((power(2.0) - 0.07f64.sqrt()).abs() < 1e-15);
        let exponents = [-1e4, -30.0, -1.0, -1e-3, 0.0, 1e-3, 0.5, 1.0, 3.0, 1e4];
        assert!(exponents.windows(2).all(|e| power(e[0]) < power(e[1])));
        assert!((power(-1e4) - 0.1).abs() < 1e-4 && (power(1e4) - 0.4).abs() < 1e-4);
        assert_eq!(mean(Rule::Power(Exponent::Limit(Limit::Min)), &[0.3, 0.1]), 0.1);
        assert_eq!(mean(Rule::Power(Exponent::Limit(Limit::Max)), &[0.3, 0.1]), 0.3);
        // Two to one.
        let mut two = [(0.1, 2.0), (0.8, 1.0)];
        assert!((Rule::Power(Exponent::Number(0.0)).mean(&mut two) - 0.2).abs() < 1e-15);
    }

    #[test]
    fn ends_are_left_out_in_whole_numbers() {
        let values = [9.0, 1.0, 2.0, 3.0, -50.0];
        assert_eq!(mean(Rule::Median, &values), 2.0);
        assert_eq!(mean(Rule::Median, &values[..4]), 2.5);
        assert_eq!(mean(Rule::Median, &values[..1]), 9.0);
        assert_eq!(mean(Rule::Trimmed(0.2), &values), 2.0);
        assert_eq!(mean(Rule::Trimmed(0.25), &values[..4]), 2.5);
        assert_eq!(mean(Rule::Trimmed(0.1), &values), -7.0);
        assert_eq!(mean(Rule::Trimmed(0.49), &values[..2]), 5.0);
    }

    #[test]
    fn rules_that_cannot_be_are_refused() {
        for rule in [
            Rule::Trimmed(0.5),
            Rule::Trimmed(-0.1),
            Rule::Trimmed(f64::NAN),
            Rule::Power(Exponent::Number(f64::INFINITY)),
            Rule::Power(Exponent::Number(1e-9)),
        ] {
            assert!(matches!(rule.check(), Err(Error::Argument(_))), "{rule:?}");
        }
        let number: Exponent = serde_json::from_value(json!(2)).unwrap();
        assert_eq!(number, Exponent::Number(2.0));
        assert_eq!(serde_json::from_value::<Exponent>(json!("max")).unwrap(), Exponent::Limit(Limit::Max));
        let error = serde_json::from_value::<Exponent>(json!("most")).unwrap_err();
        assert!(error.to_string().contains("max or min"), "{error}");
    }
}
