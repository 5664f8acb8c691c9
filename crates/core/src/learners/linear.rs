//! Ridge regression.

use ndarray::{Array1, Array2, ArrayView1, Axis, s};
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::rows::{BLOCK, as_given, blocks, check_fit, check_predict, predict_blocks};
use crate::array::{ArrayView2, Matrix};
use crate::error::{Error, Result};
use crate::model::graph::{Graph, Value};
use crate::model::{Context, FittedLearner, Learner, Loaders, Parts, Target, Task};
use crate::registry::Method;
use crate::solve::{Bound, ProjectedNewton, solve_semidefinite};

/// Ridge regression: the `w`, `b` that minimise `sum_i weight_i (y_i - b - w.x_i)^2 + l2 |w|^2`, the intercept `b` not
/// penalised. Solved exactly in 64-bit floats by the Cholesky factors of the smaller of the two normal equations
/// (features x features, or rows x rows); a singular system (`l2: 0` and dependent features) gets the solution of the
/// smallest norm. The penalty compares features as they are: standardize them first.
///
/// # Reference
/// Hoerl and Kennard, *Ridge Regression: Biased Estimation for Nonorthogonal Problems*, Technometrics 12, 1970.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Linear {
    /// Strength of the penalty on squared coefficients, in units of the summed squared error (scikit-learn's `alpha`).
    #[schemars(range(min = 0.0))]
    pub l2: f64,
}

impl Default for Linear {
    fn default() -> Self {
        Self { l2: 1.0 }
    }
}

impl Method for Linear {
    const NAME: &'static str = "linear";
    const ABOUT: &'static str = "ridge regression, solved exactly";

    fn validate(&self) -> Result<()> {
        if self.l2.is_finite() && self.l2 >= 0.0 {
            return Ok(());
        }
        Err(Error::argument("the penalty must be finite and not negative").at("l2").got(self.l2))
    }
}

impl Learner for Linear {
    fn check(&self, task: &Task) -> Result<()> {
        match task {
            Task::Regress => Ok(()),
            Task::Classify(_) => Err(Error::argument("linear regression predicts values, not classes")
                .remedy("use the learner \"logistic\"")),
        }
    }

    fn fit(
        &self,
        x: ArrayView2<'_, f32>,
        target: &Target,
        weight: Option<&[f32]>,
        context: &Context<'_>,
    ) -> Result<Box<dyn FittedLearner>> {
        self.solve(x, target, weight, context, None)
    }
}

impl Linear {
    /// Fits with bounds on the coefficients, one a feature; the intercept is free.
    ///
    /// # Errors
    /// As [`Learner::fit`].
    pub(crate) fn fit_bounded(
        &self,
        x: ArrayView2<'_, f32>,
        target: &Target,
        weight: Option<&[f32]>,
        context: &Context<'_>,
        bounds: &[Bound],
    ) -> Result<Box<dyn FittedLearner>> {
        self.solve(x, target, weight, context, Some(bounds))
    }

    fn solve(
        &self,
        x: ArrayView2<'_, f32>,
        target: &Target,
        weight: Option<&[f32]>,
        context: &Context<'_>,
        bounds: Option<&[Bound]>,
    ) -> Result<Box<dyn FittedLearner>> {
        let y = target.values()?;
        check_fit(x, target, weight)?;
        context.stop.check()?;
        let (rows, width) = x.dim();
        let weight = as_given(weight, rows);
        let total: f64 = weight.iter().sum();
        let mut center = Array1::<f64>::zeros(width);
        for (row, w) in x.rows().into_iter().zip(&weight) {
            center.zip_mut_with(&row, |c, v| *c += w * f64::from(*v));
        }
        center /= total;
        let mean = y.iter().zip(&weight).map(|(v, w)| f64::from(*v) * w).sum::<f64>() / total;
        // Rows centred and scaled by the root of their weight: [rows, features].
        let scaled = |range: std::ops::Range<usize>| {
            let mut a = x.slice(s![range.clone(), ..]).mapv(f64::from);
            for (mut row, i) in a.rows_mut().into_iter().zip(range) {
                row -= &center;
                row *= weight[i].sqrt();
            }
            a
        };
        let right = Array2::from_shape_fn((rows, 1), |(i, _)| (f64::from(y[i]) - mean) * weight[i].sqrt());
        let ranges = blocks(rows, BLOCK.max(rows / 32));
        let coefficients = if width <= rows || bounds.is_some() {
            let parts: Vec<(Array2<f64>, Array2<f64>)> = ranges
                .into_par_iter()
                .map(|range| {
                    let a = scaled(range.clone());
                    (a.t().dot(&a), a.t().dot(&right.slice(s![range, ..])))
                })
                .collect();
            let mut gram = Array2::<f64>::zeros((width, width));
            let mut moment = Array2::<f64>::zeros((width, 1));
            for (g, m) in parts {
                gram += &g;
                moment += &m;
            }
            gram.diag_mut().mapv_inplace(|v| v + self.l2);
            context.stop.check()?;
            match bounds {
                Some(bounds) => bounded(&gram, &moment, bounds)?,
                None => solve_semidefinite(&gram, &moment)?,
            }
        } else {
            let a = scaled(0..rows);
            let mut gram = Array2::<f64>::zeros((rows, rows));
            let parts: Vec<Array2<f64>> =
                ranges.par_iter().map(|range| a.slice(s![range.clone(), ..]).dot(&a.t())).collect();
            for (range, part) in ranges.into_iter().zip(parts) {
                gram.slice_mut(s![range, ..]).assign(&part);
            }
            gram.diag_mut().mapv_inplace(|v| v + self.l2);
            context.stop.check()?;
            a.t().dot(&solve_semidefinite(&gram, &right)?)
        };
        let coefficients = coefficients.column(0).to_vec();
        let intercept = mean - coefficients.iter().zip(&center).map(|(w, c)| w * c).sum::<f64>();
        context.progress.step(1, 1, "solved");
        Ok(Box::new(Plane { coefficients, intercept }))
    }
}

/// The minimum of `w'Gw / 2 - m'w` within bounds.
fn bounded(gram: &Array2<f64>, moment: &Array2<f64>, bounds: &[Bound]) -> Result<Array2<f64>> {
    let right = moment.column(0);
    let scale = right.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    let method = ProjectedNewton { max_steps: 1000, tolerance: 1e-13 * scale };
    let found = method.minimize(
        vec![0.0; gram.nrows()],
        bounds,
        |w, gradient| {
            let product = gram.dot(&ArrayView1::from(w));
            gradient.iter_mut().zip(&product).zip(&right).for_each(|((g, p), m)| *g = p - m);
            Ok(w.iter().zip(&product).zip(&right).map(|((w, p), m)| w * (0.5 * p - m)).sum())
        },
        |_, some| Ok(gram.select(Axis(0), some).select(Axis(1), some)),
    )?;
    Ok(Array1::from(found.x).insert_axis(Axis(1)))
}

/// `b + w.x`.
struct Plane {
    coefficients: Vec<f64>,
    intercept: f64,
}

impl FittedLearner for Plane {
    fn kind(&self) -> &'static str {
        Linear::NAME
    }

    fn predict(&self, x: ArrayView2<'_, f32>) -> Result<Matrix> {
        check_predict(x, self.coefficients.len())?;
        predict_blocks(x, 1, BLOCK, |block| {
            let value = |row: ArrayView1<'_, f32>| {
                let dot: f64 = row.iter().zip(&self.coefficients).map(|(v, w)| f64::from(*v) * w).sum();
                (self.intercept + dot) as f32
            };
            Ok(Matrix::from_shape_fn((block.nrows(), 1), |(r, _)| value(block.row(r))))
        })
    }

    fn save(&self) -> Result<Parts> {
        Ok(Parts::new(self.kind(), json!({"width": self.coefficients.len()}))
            .with_f64("coefficients", &self.coefficients)
            .with_f64("intercept", &[self.intercept]))
    }

    fn graph(&self, graph: &mut Graph, x: &Value) -> Result<Value> {
        let x = graph.double(x);
        let width = self.coefficients.len();
        let slope = graph.doubles("coefficients", &[width, 1], self.coefficients.iter().copied());
        let intercept = graph.doubles("intercept", &[1], [self.intercept]);
        let dot = graph.product(&x, &slope);
        let value = graph.add(&dot, &intercept);
        Ok(graph.single(&value))
    }

    fn parameters(&self) -> u64 {
        self.coefficients.len() as u64 + 1
    }
}

pub(super) fn load(parts: &Parts, _: &Loaders) -> Result<Box<dyn FittedLearner>> {
    let coefficients = parts.f64("coefficients")?.to_vec();
    match parts.f64("intercept")? {
        [intercept] if coefficients.len() == parts.field::<usize>("width")? => {
            Ok(Box::new(Plane { coefficients, intercept: *intercept }))
        }
        _ => Err(Error::model("the saved \"linear\" is damaged")
            .expected("a coefficient for each feature and one intercept")),
    }
}
