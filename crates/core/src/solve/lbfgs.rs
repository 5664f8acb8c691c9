//! A small limited-memory quasi-Newton minimiser for smooth functions.

use crate::error::{Error, Result};

/// How much a step must lower the function, as a share of what the slope promises.
const ARMIJO: f64 = 1e-4;
/// How much of the slope may be left after a step.
const CURVATURE: f64 = 0.9;
/// Trials of a step length before the search gives up.
const TRIALS: usize = 40;

/// Settings of the limited-memory BFGS method: the inverse Hessian is built from the last few steps, and step lengths
/// meet the weak Wolfe conditions (sufficient decrease with factor 1e-4, slope raised to .9 of its start), found by
/// doubling and bisection.
///
/// # Reference
/// Nocedal and Wright, *Numerical Optimization*, 2nd edition, 2006, algorithms 7.4 and 7.5.
#[derive(Debug, Clone, PartialEq)]
pub struct Lbfgs {
    /// How many steps are remembered.
    pub memory: usize,
    /// Ends after this many steps.
    pub max_steps: usize,
    /// Ends when no entry of the gradient is larger than this.
    pub tolerance: f64,
}

impl Default for Lbfgs {
    fn default() -> Self {
        Self { memory: 10, max_steps: 1000, tolerance: 1e-6 }
    }
}

/// Where a minimisation ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Minimum {
    /// The point.
    pub x: Vec<f64>,
    /// The function there.
    pub value: f64,
    /// The largest absolute entry of the gradient there.
    pub slope: f64,
    /// Steps taken.
    pub steps: usize,
    /// Whether the gradient is within the tolerance, or the function cannot be lowered any more in 64-bit floats.
    pub converged: bool,
}

impl Lbfgs {
    /// Minimises `f` from `start`. `f(x, gradient)` gives the value and writes the gradient.
    ///
    /// # Errors
    /// What `f` says, and [`Error::Data`] if the function is not finite at the start.
    pub fn minimize(
        &self,
        start: Vec<f64>,
        mut f: impl FnMut(&[f64], &mut [f64]) -> Result<f64>,
    ) -> Result<Minimum> {
        let mut x = start;
        let mut gradient = vec![0.0; x.len()];
        let mut value = f(&x, &mut gradient)?;
        if !value.is_finite() || gradient.iter().any(|g| !g.is_finite()) {
            return Err(Error::data("the function to be minimised is not finite at the start").got(value));
        }
        let mut past: Vec<Step> = Vec::new();
        for steps in 0..self.max_steps {
            let slope = largest(&gradient);
            if slope <= self.tolerance {
                return Ok(Minimum { x, value, slope, steps, converged: true });
            }
            let mut direction = two_loops(&past, &gradient);
            let mut descent = dot(&direction, &gradient);
            if descent >= 0.0 || !descent.is_finite() {
                past.clear();
                direction = gradient.iter().map(|g| -g).collect();
                descent = -dot(&gradient, &gradient);
            }
            let first = if past.is_empty() { (1.0 / slope).min(1.0) } else { 1.0 };
            let Some(next) = search(&x, value, &direction, descent, first, &mut f)? else {
                if past.is_empty() {
                    // Not even the steepest descent lowers it: the limit of the arithmetic.
                    return Ok(Minimum { x, value, slope, steps, converged: true });
                }
                past.clear();
                continue;
            };
            let s: Vec<f64> = next.x.iter().zip(&x).map(|(a, b)| a - b).collect();
            let y: Vec<f64> = next.gradient.iter().zip(&gradient).map(|(a, b)| a - b).collect();
            let curvature = dot(&s, &y);
            if curvature > 1e-16 * dot(&y, &y).max(f64::MIN_POSITIVE) {
                if past.len() == self.memory.max(1) {
                    past.remove(0);
                }
                past.push(Step { s, y, rho: 1.0 / curvature });
            }
            (x, value, gradient) = (next.x, next.value, next.gradient);
        }
        let slope = largest(&gradient);
        Ok(Minimum { x, value, slope, steps: self.max_steps, converged: slope <= self.tolerance })
    }
}

struct Step {
    s: Vec<f64>,
    y: Vec<f64>,
    rho: f64,
}

struct Point {
    x: Vec<f64>,
    value: f64,
    gradient: Vec<f64>,
}

/// The quasi-Newton direction `-H g`.
fn two_loops(past: &[Step], gradient: &[f64]) -> Vec<f64> {
    let mut q: Vec<f64> = gradient.to_vec();
    let mut alphas = Vec::with_capacity(past.len());
    for step in past.iter().rev() {
        let alpha = step.rho * dot(&step.s, &q);
        add(&mut q, -alpha, &step.y);
        alphas.push(alpha);
    }
    if let Some(last) = past.last() {
        let scale = 1.0 / (last.rho * dot(&last.y, &last.y));
        q.iter_mut().for_each(|v| *v *= scale);
    }
    for (step, alpha) in past.iter().zip(alphas.into_iter().rev()) {
        let beta = step.rho * dot(&step.y, &q);
        add(&mut q, alpha - beta, &step.s);
    }
    q.iter_mut().for_each(|v| *v = -*v);
    q
}

/// A step length that meets the weak Wolfe conditions; the best one that lowers the function if trials run out;
/// `None` if none lowers it.
fn search(
    x: &[f64],
    value: f64,
    direction: &[f64],
    descent: f64,
    first: f64,
    f: &mut impl FnMut(&[f64], &mut [f64]) -> Result<f64>,
) -> Result<Option<Point>> {
    let (mut low, mut high, mut length) = (0.0, f64::INFINITY, first);
    let mut best: Option<Point> = None;
    for _ in 0..TRIALS {
        let trial: Vec<f64> = x.iter().zip(direction).map(|(a, d)| a + length * d).collect();
        let mut gradient = vec![0.0; x.len()];
        let here = f(&trial, &mut gradient)?;
        let finite = here.is_finite() && gradient.iter().all(|g| g.is_finite());
        if !finite || here > value + ARMIJO * length * descent {
            high = length;
        } else {
            let slope = dot(direction, &gradient);
            if here < value && best.as_ref().is_none_or(|b| here < b.value) {
                best = Some(Point { x: trial, value: here, gradient });
            }
            if slope >= CURVATURE * descent {
                return Ok(best);
            }
            low = length;
        }
        length = if high.is_finite() { 0.5 * (low + high) } else { 2.0 * length };
        if high - low <= f64::EPSILON * high {
            break;
        }
    }
    Ok(best)
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

fn add(to: &mut [f64], factor: f64, what: &[f64]) {
    for (t, w) in to.iter_mut().zip(what) {
        *t += factor * w;
    }
}

fn largest(a: &[f64]) -> f64 {
    a.iter().fold(0.0, |m, v| m.max(v.abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_minimum_of_rosenbrock() {
        let rosenbrock = |x: &[f64], g: &mut [f64]| {
            let (a, b) = (1.0 - x[0], x[1] - x[0] * x[0]);
            g[0] = -2.0 * a - 400.0 * x[0] * b;
            g[1] = 200.0 * b;
            Ok(a * a + 100.0 * b * b)
        };
        let m = Lbfgs { tolerance: 1e-9, ..Lbfgs::default() }.minimize(vec![-1.2, 1.0], rosenbrock).unwrap();
        assert!(m.converged && m.steps < 100, "{m:?}");
        assert!((m.x[0] - 1.0).abs() < 1e-8 && (m.x[1] - 1.0).abs() < 1e-8, "{m:?}");
    }

    #[test]
    fn finds_the_minimum_of_a_badly_scaled_bowl() {
        let bowl = |x: &[f64], g: &mut [f64]| {
            let mut value = 0.0;
            for (i, v) in x.iter().enumerate() {
                let scale = 10f64.powi(i as i32 - 3);
                value += 0.5 * scale * (v - 1.0).powi(2);
                g[i] = scale * (v - 1.0);
            }
            Ok(value)
        };
        let m = Lbfgs { tolerance: 1e-9, ..Lbfgs::default() }.minimize(vec![0.0; 7], bowl).unwrap();
        assert!(m.converged, "{m:?}");
        assert!(m.x.iter().all(|v| (v - 1.0).abs() < 1e-5), "{m:?}");
    }

    #[test]
    fn errors_pass_through_and_a_bad_start_is_refused() {
        let stopped = Lbfgs::default().minimize(vec![0.0], |_, _| Err(Error::Interrupted));
        assert!(matches!(stopped, Err(Error::Interrupted)));
        assert!(Lbfgs::default().minimize(vec![0.0], |_, _| Ok(f64::NAN)).is_err());
    }

    #[test]
    fn the_limit_of_steps_is_told() {
        let m = Lbfgs { max_steps: 1, ..Lbfgs::default() };
        let m = m.minimize(vec![5.0, -3.0], |x, g| {
            g[0] = 4.0 * x[0].powi(3);
            g[1] = 2.0 * x[1];
            Ok(x[0].powi(4) + x[1] * x[1])
        });
        let m = m.unwrap();
        assert!(!m.converged && m.steps == 1);
    }
}
