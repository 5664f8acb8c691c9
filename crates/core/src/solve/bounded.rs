//! Minimising a smooth function of numbers some of which may not be negative: projected Newton steps.

use ndarray::Array2;

use super::lbfgs::Minimum;
use super::linear::cholesky_solve;
use crate::error::{Error, Result};

/// How much a step must lower the function, as a share of what the slope promises.
const ARMIJO: f64 = 1e-4;
/// Trials of a step length before the search gives up.
const TRIALS: usize = 60;
/// A number this near to its bound that would cross it is taken for one on the bound.
const NEAR: f64 = 1e-6;

/// Where a number may lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// Anywhere.
    Free,
    /// From zero on.
    NotNegative,
    /// At zero.
    Zero,
}

/// Settings of the projected Newton method: numbers on their bound that would cross it are held there, the others take
/// a Newton step among themselves, and what crosses a bound is put back on it; steps are halved until the function falls
/// by 1e-4 of what the slope promises.
///
/// # Reference
/// Bertsekas, *Projected Newton Methods for Optimization Problems with Simple Constraints*, SIAM Journal on Control and
/// Optimization 20(2), 1982.
#[derive(Debug, Clone, PartialEq)]
pub struct ProjectedNewton {
    /// Ends after this many steps.
    pub max_steps: usize,
    /// Ends when no entry of the gradient along which the function could fall is larger than this.
    pub tolerance: f64,
}

impl ProjectedNewton {
    /// Minimises from `start`, which lies within the bounds. `value(x, gradient)` gives the value and writes the
    /// gradient; `curvature(x, some)` gives the second derivatives between the numbers at some positions, rising.
    ///
    /// # Errors
    /// What the functions say; [`Error::Data`] if the function is not finite at the start; [`Error::Internal`] if there
    /// is not one bound a number.
    pub fn minimize(
        &self,
        start: Vec<f64>,
        bounds: &[Bound],
        mut value: impl FnMut(&[f64], &mut [f64]) -> Result<f64>,
        mut curvature: impl FnMut(&[f64], &[usize]) -> Result<Array2<f64>>,
    ) -> Result<Minimum> {
        if bounds.len() != start.len() {
            return Err(Error::internal(format!("{} bounds for {} numbers", bounds.len(), start.len())));
        }
        let mut x = start;
        let mut gradient = vec![0.0; x.len()];
        let mut here = value(&x, &mut gradient)?;
        if !here.is_finite() || gradient.iter().any(|g| !g.is_finite()) {
            return Err(Error::data("the function to be minimised is not finite at the start").got(here));
        }
        for steps in 0..self.max_steps {
            let slope = fall(&x, &gradient, bounds);
            if slope <= self.tolerance {
                return Ok(Minimum { x, value: here, slope, steps, converged: true });
            }
            let near = NEAR.min(slope);
            let moving: Vec<usize> = (0..x.len())
                .filter(|&i| match bounds[i] {
                    Bound::Free => true,
                    Bound::NotNegative => x[i] > near || gradient[i] <= 0.0,
                    Bound::Zero => false,
                })
                .collect();
            // What is held goes to its bound.
            let mut direction: Vec<f64> = x.iter().map(|v| -v).collect();
            let right = Array2::from_shape_fn((moving.len(), 1), |(i, _)| gradient[moving[i]]);
            let solved = cholesky_solve(&curvature(&x, &moving)?, &right)?;
            for (i, &j) in moving.iter().enumerate() {
                direction[j] = solved.as_ref().map_or(-gradient[j], |s| -s[[i, 0]]);
            }
            let mut moved = false;
            let mut length = 1.0;
            let mut next_gradient = vec![0.0; x.len()];
            for _ in 0..TRIALS {
                let next: Vec<f64> =
                    (0..x.len()).map(|i| within(bounds[i], x[i] + length * direction[i])).collect();
                let promised: f64 = (0..x.len()).map(|i| gradient[i] * (next[i] - x[i])).sum();
                let lower = value(&next, &mut next_gradient)?;
                if lower.is_finite() && promised <= 0.0 && lower <= here + ARMIJO * promised {
                    moved = lower < here || fall(&next, &next_gradient, bounds) < slope;
                    if moved {
                        (x, here) = (next, lower);
                        std::mem::swap(&mut gradient, &mut next_gradient);
                    }
                    break;
                }
                length *= 0.5;
            }
            if !moved {
                // The arithmetic allows no lower value along the step.
                return Ok(Minimum { x, value: here, slope, steps, converged: true });
            }
        }
        let slope = fall(&x, &gradient, bounds);
        Ok(Minimum { x, value: here, slope, steps: self.max_steps, converged: slope <= self.tolerance })
    }
}

fn within(bound: Bound, v: f64) -> f64 {
    match bound {
        Bound::Free => v,
        Bound::NotNegative => v.max(0.0),
        Bound::Zero => 0.0,
    }
}

/// The largest slope along which the function falls within the bounds.
fn fall(x: &[f64], gradient: &[f64], bounds: &[Bound]) -> f64 {
    let one = |i: usize| match bounds[i] {
        Bound::Free => gradient[i].abs(),
        Bound::NotNegative if x[i] > 0.0 => gradient[i].abs(),
        Bound::NotNegative => -gradient[i].min(0.0),
        Bound::Zero => 0.0,
    };
    (0..x.len()).map(one).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;
    use rand::RngExt;

    const METHOD: ProjectedNewton = ProjectedNewton { max_steps: 200, tolerance: 1e-12 };

    /// `x'Hx / 2 - m'x`.
    fn quadratic(h: &Array2<f64>, m: &[f64], bounds: &[Bound]) -> Minimum {
        METHOD
            .minimize(
                vec![0.0; m.len()],
                bounds,
                |x, g| {
                    let hx = h.dot(&ndarray::ArrayView1::from(x));
                    g.iter_mut().zip(&hx).zip(m).for_each(|((g, h), m)| *g = h - m);
                    Ok(x.iter().zip(&hx).zip(m).map(|((x, h), m)| x * (0.5 * h - m)).sum())
                },
                |_, some| Ok(Array2::from_shape_fn((some.len(), some.len()), |(i, j)| h[[some[i], some[j]]])),
            )
            .unwrap()
    }

    #[test]
    fn a_quadratic_ends_where_no_slope_leads_down() {
        let mut rng = Seed::new(4).rng();
        for n in [1, 3, 8, 30] {
            let a = Array2::from_shape_fn((2 * n, n), |_| rng.random_range(-1.0..1.0));
            let h = a.t().dot(&a);
            let m: Vec<f64> = (0..n).map(|_| rng.random_range(-1.0..1.0)).collect();
            let bounds: Vec<Bound> = (0..n)
                .map(|i| [Bound::NotNegative, Bound::Free, Bound::NotNegative, Bound::Zero][i % 4])
                .collect();
            let found = quadratic(&h, &m, &bounds);
            let slope = h.dot(&ndarray::Array1::from(found.x.clone())) - ndarray::Array1::from(m);
            for ((x, g), bound) in found.x.iter().zip(&slope).zip(&bounds) {
                match bound {
                    Bound::Free => assert!(g.abs() < 1e-9),
                    Bound::NotNegative => assert!(*x >= 0.0 && *g > -1e-9 && (*x == 0.0 || g.abs() < 1e-9)),
                    Bound::Zero => assert_eq!(*x, 0.0),
                }
            }
            assert!(found.converged && found.steps < 60, "{n}: {found:?}");
        }
    }

    #[test]
    fn a_bent_function_is_followed_along_its_bound() {
        // (x - 1)^4 + (y + 2)^2 + x y: with y held at zero x goes to one.
        let bounds = [Bound::Free, Bound::NotNegative];
        let found = METHOD
            .minimize(
                vec![4.0, 3.0],
                &bounds,
                |x, g| {
                    let (a, b) = (x[0] - 1.0, x[1] + 2.0);
                    g[0] = 4.0 * a.powi(3) + x[1];
                    g[1] = 2.0 * b + x[0];
                    Ok(a.powi(4) + b * b + x[0] * x[1])
                },
                |x, some| {
                    let h = [[12.0 * (x[0] - 1.0).powi(2), 1.0], [1.0, 2.0]];
                    Ok(Array2::from_shape_fn((some.len(), some.len()), |(i, j)| h[some[i]][some[j]]))
                },
            )
            .unwrap();
        assert!((found.x[0] - 1.0).abs() < 1e-3 && found.x[1] == 0.0, "{found:?}");
        let stopped = METHOD.minimize(
            vec![0.0],
            &[Bound::Free],
            |_, _| Err(Error::Interrupted),
            |_, _| Ok(Array2::zeros((1, 1))),
        );
        assert!(matches!(stopped, Err(Error::Interrupted)));
        let wrong = METHOD.minimize(vec![0.0], &[], |_, _| Ok(0.0), |_, _| Ok(Array2::zeros((0, 0))));
        assert!(matches!(wrong, Err(Error::Internal(_))));
    }
}
