//! Logistic regression with an L2 penalty: binary and multinomial.

mod objective;

use ndarray::{Array1, Array2, Axis};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use self::objective::{Objective, probabilities};
use super::constant::Same;
use super::labels::Labels;
use super::present::Present;
use super::rows::{BLOCK, check_fit, check_predict, check_shares, mean_one, predict_blocks};
use crate::array::{ArrayView2, Matrix};
use crate::error::{Error, Result};
use crate::model::graph::{Graph, Value as GraphValue};
use crate::model::{Array, ByShares, Context, FittedLearner, Learner, Loaders, Parts, Shares, Target, Task};
use crate::registry::Method;
use crate::solve::{Bound, Lbfgs, ProjectedNewton, cholesky_solve};

/// Newton's method is used up to this many coefficients ...
const NEWTON_WIDTH: usize = 600;
/// ... and this many multiplications a step; beyond, the limited-memory quasi-Newton method.
const NEWTON_WORK: usize = 4_000_000_000;

/// Logistic regression: minimises `c * sum_i weight_i loss_i + |w|^2 / 2`, where `loss_i = -ln p(class of row i)` and
/// `p = 1 / (1 + exp(-(b + w.x)))` for two classes, `p_k = exp(b_k + w_k.x) / sum_j exp(b_j + w_j.x)` for more. Weights
/// are scaled to a mean of one; intercepts are not penalised. The penalty compares features as they are: standardize
/// them first. Newton's method up to 600 coefficients, limited-memory BFGS beyond. Classes that do not occur get
/// probability zero; if only one occurs the answer is that class.
///
/// # Reference
/// Hastie, Tibshirani and Friedman, *The Elements of Statistical Learning*, 2nd edition, 2009, section 4.4.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Logistic {
    /// Inverse strength of the penalty, above 0: smaller is stronger (scikit-learn's `C`).
    #[schemars(range(min = 0.0))]
    pub c: f64,
    /// Ends when no entry of the gradient of the mean loss, on features scaled to a variance of about one, is larger
    /// than this.
    #[schemars(range(min = 0.0))]
    pub tolerance: f64,
    /// Ends after this many steps at the latest; the saved model says whether it converged.
    #[schemars(range(min = 1))]
    pub max_steps: u32,
}

impl Default for Logistic {
    fn default() -> Self {
        Self { c: 1.0, tolerance: 1e-7, max_steps: 1000 }
    }
}

impl Method for Logistic {
    const NAME: &'static str = "logistic";
    const ABOUT: &'static str = "logistic regression with an L2 penalty, binary and multinomial";

    fn validate(&self) -> Result<()> {
        if !(self.c.is_finite() && self.c > 0.0) {
            return Err(Error::argument("must be finite and above 0").at("c").got(self.c));
        }
        if !(self.tolerance.is_finite() && self.tolerance >= 0.0) {
            return Err(Error::argument("must be finite and not negative")
                .at("tolerance")
                .got(self.tolerance));
        }
        if self.max_steps == 0 {
            return Err(Error::argument("must be at least 1").at("max_steps").got(0));
        }
        Ok(())
    }
}

impl Learner for Logistic {
    fn check(&self, task: &Task) -> Result<()> {
        match task {
            Task::Classify(_) => Ok(()),
            Task::Regress => Err(Error::argument("logistic regression predicts classes, not values")
                .remedy("use the learner \"linear\"")),
        }
    }

    fn fit(
        &self,
        x: ArrayView2<'_, f32>,
        target: &Target,
        weight: Option<&[f32]>,
        context: &Context<'_>,
    ) -> Result<Box<dyn FittedLearner>> {
        let (classes, codes) = target.codes()?;
        check_fit(x, target, weight)?;
        let (present, labels) = Labels::codes(classes, codes);
        self.fit_labels(x, present, labels, weight, context)
    }

    fn by_shares(&self) -> Option<&dyn ByShares> {
        Some(self)
    }
}

impl ByShares for Logistic {
    fn fit_shares(
        &self,
        x: ArrayView2<'_, f32>,
        shares: Shares<'_>,
        weight: Option<&[f32]>,
        context: &Context<'_>,
    ) -> Result<Box<dyn FittedLearner>> {
        check_shares(x, shares, weight)?;
        let (present, labels) = Labels::shares(shares);
        self.fit_labels(x, present, labels, weight, context)
    }
}

impl Logistic {
    fn fit_labels(
        &self,
        x: ArrayView2<'_, f32>,
        present: Present,
        labels: Labels,
        weight: Option<&[f32]>,
        context: &Context<'_>,
    ) -> Result<Box<dyn FittedLearner>> {
        if present.count() < 2 {
            return Ok(Box::new(Same::among(x, &present, &labels, weight)));
        }
        let weight = mean_one(weight, x.nrows());
        let objective = Objective::new(x, labels, present.count(), weight, self.c);
        let mut end =
            End { theta: vec![0.0; objective.size()], steps: 0, slope: f64::INFINITY, converged: false };
        let work = objective.size().saturating_mul(objective.size()).saturating_mul(x.nrows());
        if objective.size() <= NEWTON_WIDTH && work <= NEWTON_WORK {
            self.newton(&objective, &mut end, context)?;
        }
        if !end.converged && end.steps < self.max_steps {
            self.quasi_newton(&objective, &mut end, context)?;
        }
        Ok(Box::new(end.model(present, &objective)))
    }
}

/// Where the minimisation stands.
struct End {
    theta: Vec<f64>,
    steps: u32,
    slope: f64,
    converged: bool,
}

impl End {
    fn model(&self, present: Present, objective: &Objective<'_>) -> Softmax {
        let (weights, intercepts) = objective.unscaled(&self.theta);
        let told = json!({"steps": self.steps, "slope": self.slope, "converged": self.converged});
        Softmax { present, weights, intercepts, told }
    }
}

impl Logistic {
    /// Fits with bounds on the coefficients: `bound(class, feature)`. Of two classes the coefficients are those of the
    /// second one. Intercepts are free.
    ///
    /// # Errors
    /// As [`Learner::fit`].
    pub(crate) fn fit_bounded(
        &self,
        x: ArrayView2<'_, f32>,
        target: &Target,
        weight: Option<&[f32]>,
        context: &Context<'_>,
        bound: &dyn Fn(usize, usize) -> Bound,
    ) -> Result<Box<dyn FittedLearner>> {
        let (classes, codes) = target.codes()?;
        check_fit(x, target, weight)?;
        let (present, labels) = Labels::codes(classes, codes);
        if present.count() < 2 {
            return Ok(Box::new(Same::among(x, &present, &labels, weight)));
        }
        let objective = Objective::new(x, labels, present.count(), mean_one(weight, x.nrows()), self.c);
        let mut bounds = Vec::with_capacity(objective.size());
        for &class in &present.seen()[usize::from(present.count() == 2)..] {
            bounds.extend((0..x.ncols()).map(|feature| bound(class as usize, feature)));
            bounds.push(Bound::Free);
        }
        let method = ProjectedNewton { max_steps: self.max_steps as usize, tolerance: self.tolerance };
        let found = method.minimize(
            vec![0.0; objective.size()],
            &bounds,
            |theta, gradient| {
                context.stop.check()?;
                Ok(objective.value(theta, gradient))
            },
            |theta, some| Ok(objective.hessian_among(theta, some)),
        )?;
        let steps = u32::try_from(found.steps).unwrap_or(u32::MAX);
        let end = End { theta: found.x, steps, slope: found.slope, converged: found.converged };
        Ok(Box::new(end.model(present, &objective)))
    }

    /// Newton's method with step halving. Leaves `converged` unset if the Hessian cannot be factored.
    fn newton(&self, objective: &Objective<'_>, end: &mut End, context: &Context<'_>) -> Result<()> {
        let mut gradient = vec![0.0; end.theta.len()];
        let mut value = objective.value(&end.theta, &mut gradient);
        while end.steps < self.max_steps {
            context.stop.check()?;
            end.slope = largest(&gradient);
            context.progress.step(
                u64::from(end.steps),
                u64::from(self.max_steps),
                &format!("loss {value:.5}"),
            );
            if end.slope <= self.tolerance {
                end.converged = true;
                return Ok(());
            }
            let right = Array2::from_shape_fn((gradient.len(), 1), |(i, _)| gradient[i]);
            let Some(step) = cholesky_solve(&objective.hessian(&end.theta), &right)? else { return Ok(()) };
            let descent: f64 = -step.column(0).iter().zip(&gradient).map(|(s, g)| s * g).sum::<f64>();
            let mut length = 1.0;
            let mut moved = false;
            let mut next_gradient = vec![0.0; gradient.len()];
            for _ in 0..40 {
                let next: Vec<f64> =
                    end.theta.iter().zip(step.column(0)).map(|(t, s)| t - length * s).collect();
                let next_value = objective.value(&next, &mut next_gradient);
                if next_value.is_finite() && next_value <= value + 1e-4 * length * descent {
                    moved = next_value < value || largest(&next_gradient) < end.slope;
                    if moved {
                        (end.theta, value) = (next, next_value);
                        std::mem::swap(&mut gradient, &mut next_gradient);
                    }
                    break;
                }
                length *= 0.5;
            }
            end.steps += 1;
            if !moved {
                // The arithmetic allows no lower value along a direction of descent.
                end.converged = true;
                return Ok(());
            }
        }
        Ok(())
    }

    fn quasi_newton(&self, objective: &Objective<'_>, end: &mut End, context: &Context<'_>) -> Result<()> {
        let left = (self.max_steps - end.steps) as usize;
        let method = Lbfgs { memory: 10, max_steps: left, tolerance: self.tolerance };
        let mut calls = 0u64;
        let found = method.minimize(std::mem::take(&mut end.theta), |theta, gradient| {
            context.stop.check()?;
            let value = objective.value(theta, gradient);
            context.progress.step(calls.min(left as u64), left as u64, &format!("loss {value:.5}"));
            calls += 1;
            Ok(value)
        })?;
        end.steps += u32::try_from(found.steps).unwrap_or(u32::MAX);
        (end.theta, end.slope, end.converged) = (found.x, found.slope, found.converged);
        Ok(())
    }
}

fn largest(a: &[f64]) -> f64 {
    a.iter().fold(0.0, |m, v| m.max(v.abs()))
}

/// The fitted model: one row of weights for two classes, one a class for more.
struct Softmax {
    present: Present,
    weights: Array2<f64>,
    intercepts: Array1<f64>,
    told: Value,
}

impl FittedLearner for Softmax {
    fn kind(&self) -> &'static str {
        Logistic::NAME
    }

    fn predict(&self, x: ArrayView2<'_, f32>) -> Result<Matrix> {
        check_predict(x, self.weights.ncols())?;
        predict_blocks(x, self.present.classes(), BLOCK, |block| {
            let mut logits = block.mapv(f64::from).dot(&self.weights.t());
            logits += &self.intercepts;
            let mut p = Matrix::zeros((block.nrows(), self.present.count()));
            let mut row_p = vec![0.0; self.present.count()];
            for (logit, mut out) in logits.axis_iter(Axis(0)).zip(p.rows_mut()) {
                probabilities(logit, &mut row_p);
                out.iter_mut().zip(&row_p).for_each(|(o, v)| *o = *v as f32);
            }
            Ok(self.present.widen(p))
        })
    }

    fn save(&self) -> Result<Parts> {
        let config = json!({"present": self.present, "width": self.weights.ncols(), "fit": self.told});
        let shape = self.weights.shape().to_vec();
        Ok(Parts::new(self.kind(), config)
            .with("weights", Array::F64(shape, self.weights.iter().copied().collect()))
            .with_f64("intercepts", &self.intercepts.to_vec()))
    }

    fn graph(&self, graph: &mut Graph, x: &GraphValue) -> Result<GraphValue> {
        let x = graph.double(x);
        let (outputs, width) = self.weights.dim();
        let weights = graph.doubles("weights", &[width, outputs], self.weights.t().iter().copied());
        let intercepts = graph.doubles("intercepts", &[outputs], self.intercepts.iter().copied());
        let product = graph.product(&x, &weights);
        let logits = graph.add(&product, &intercepts);
        let p = if outputs == 1 { graph.two(&logits) } else { graph.softmax(&logits) };
        let p = graph.single(&p);
        Ok(self.present.widen_graph(graph, &p))
    }

    fn parameters(&self) -> u64 {
        (self.weights.len() + self.intercepts.len()) as u64
    }
}

pub(super) fn load(parts: &Parts, _: &Loaders) -> Result<Box<dyn FittedLearner>> {
    let present: Present = parts.field("present")?;
    present.check(2)?;
    let width: usize = parts.field("width")?;
    let intercepts = Array1::from(parts.f64("intercepts")?.to_vec());
    let outputs = if present.count() == 2 { 1 } else { present.count() };
    let weights = Array2::from_shape_vec((outputs, width), parts.f64("weights")?.to_vec());
    match weights {
        Ok(weights) if intercepts.len() == outputs => {
            let told = parts.config.get("fit").cloned().unwrap_or(Value::Null);
            Ok(Box::new(Softmax { present, weights, intercepts, told }))
        }
        _ => Err(Error::model("the saved \"logistic\" has weights of the wrong shape")
            .expected(format!("{outputs} x {width}, and {outputs} intercepts"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Quiet, Stop};
    use crate::seed::Seed;
    use rand::RngExt;

    /// Both methods end at the same minimum, also where features differ in scale by ten thousand.
    #[test]
    fn newton_and_quasi_newton_agree() {
        let mut rng = Seed::new(9).rng();
        for classes in [2u32, 4] {
            let x = Matrix::from_shape_fn((300, 5), |(_, c)| {
                rng.random_range(-1.0f32..1.0) * 100f32.powi(c as i32 - 2) + 3.0
            });
            let codes: Vec<u32> = x
                .rows()
                .into_iter()
                .map(|r| {
                    (((r[1] - 3.0) * 100.0 + (r[2] - 3.0)).abs() * 2.0 + rng.random_range(0.0f32..1.0)) as u32
                })
                .map(|c| c.min(classes - 1))
                .collect();
            let objective =
                Objective::new(x.view(), Labels::Codes(codes), classes as usize, vec![1.0; 300], 1.0);
            let stop = Stop::default();
            let context = Context::new(Seed::new(1), &Quiet, &stop);
            let start = || End {
                theta: vec![0.0; objective.size()],
                steps: 0,
                slope: f64::INFINITY,
                converged: false,
            };
            let method = Logistic { tolerance: 1e-9, ..Logistic::default() };
            let (mut newton, mut quasi) = (start(), start());
            method.newton(&objective, &mut newton, &context).unwrap();
            method.quasi_newton(&objective, &mut quasi, &context).unwrap();
            assert!(newton.converged && newton.steps < 20, "{}", newton.steps);
            assert!(quasi.converged && quasi.steps < 300, "{}", quasi.steps);
            let (a, b) = (objective.unscaled(&newton.theta), objective.unscaled(&quasi.theta));
            let p = |weights: &Array2<f64>, intercepts: &Array1<f64>| {
                let mut logits = x.mapv(f64::from).dot(&weights.t()) + intercepts;
                for mut row in logits.rows_mut() {
                    let first = row[0];
                    // A common shift of all logits changes no probability.
                    if row.len() > 1 {
                        row -= first;
                    }
                }
                logits
            };
            let apart = (p(&a.0, &a.1) - p(&b.0, &b.1)).iter().fold(0.0f64, |m, v| m.max(v.abs()));
            assert!(apart < 1e-5, "{classes} classes: logits {apart} apart");
        }
    }
}
