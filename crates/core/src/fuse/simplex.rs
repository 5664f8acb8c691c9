//! Minimizing a smooth function over weights `w >= 0, sum w = 1`: Newton steps with an active set.
//!
//! Each round minimizes the local quadratic `g'd + d'Hd / 2` exactly over the simplex, then goes back along the step
//! until the function falls. Only members with weight, or with a gradient that says they should have some, take part.
//! It stops at a gap `g'w - min_j g_j` (for the log-loss of a linear pool: `max_j mean(A_j / q) - 1`), which bounds how
//! far a convex function is from its minimum.
//!
//! Reference: Nocedal and Wright, "Numerical Optimization", 2nd edition, 2006, chapters 16 and 18.

use ndarray::Array2;

use crate::error::Result;
use crate::model::Stop;
use crate::solve::cholesky_solve;

/// The gap at which a search ends.
const GAP: f64 = 1e-10;
/// Rounds after which it ends anyway.
const ROUNDS: usize = 500;

/// A smooth function of weights on the simplex.
pub(super) trait Smooth {
    /// The value at `w`.
    fn value(&self, w: &[f64]) -> f64;
    /// The gradient at `w`, and the curvature between the members that `working` picks by the gradient.
    fn local(&self, w: &[f64], working: &dyn Fn(&[f64]) -> Vec<usize>) -> Local;
}

/// A function close to one point.
pub(super) struct Local {
    /// One slope a member.
    pub gradient: Vec<f64>,
    /// The members that take part in the step.
    pub working: Vec<usize>,
    /// The second derivatives `[working, working]`, row-major.
    pub curvature: Vec<f64>,
    /// Where these need not be positive semidefinite: a part of them that is.
    pub safe: Option<Vec<f64>>,
}

/// Where a search ended.
#[derive(Debug, Clone)]
pub(super) struct Minimum {
    /// The weights, summing to one; exact zeros for members left out.
    pub weights: Vec<f64>,
    /// The value there.
    pub value: f64,
    /// How far at most a convex function could still fall.
    #[cfg_attr(not(test), allow(dead_code))]
    pub gap: f64,
}

/// Minimizes from `start`, which must lie on the simplex.
///
/// # Errors
/// [`Error::Interrupted`](crate::Error::Interrupted) when stopped.
pub(super) fn minimize(f: &dyn Smooth, start: Vec<f64>, stop: &Stop) -> Result<Minimum> {
    let mut w = start;
    let mut value = f.value(&w);
    let mut gap = f64::INFINITY;
    for _ in 0..ROUNDS {
        stop.check()?;
        let local = f.local(&w, &|g| takes_part(g, &w));
        let along = dot(&local.gradient, &w);
        gap = along - local.gradient.iter().copied().fold(f64::INFINITY, f64::min);
        if gap <= GAP {
            break;
        }
        let mut moved = None;
        for curvature in std::iter::once(&local.curvature).chain(&local.safe) {
            let Some(goal) = quadratic_step(&local, curvature, &w)? else { continue };
            let step: Vec<f64> = goal.iter().zip(&w).map(|(g, w)| g - w).collect();
            moved = search(f, &w, &step, value, dot(&local.gradient, &step));
            if moved.is_some() {
                break;
            }
        }
        let Some((next, lower)) = moved else { break };
        w = next;
        value = lower;
    }
    Ok(Minimum { weights: w, value, gap })
}

fn takes_part(gradient: &[f64], w: &[f64]) -> Vec<usize> {
    let along = dot(gradient, w);
    (0..w.len()).filter(|&j| w[j] > 0.0 || gradient[j] < along).collect()
}

/// Halves the step until the value falls enough (Armijo), with room for rounding.
fn search(f: &dyn Smooth, w: &[f64], step: &[f64], value: f64, slope: f64) -> Option<(Vec<f64>, f64)> {
    if slope >= 0.0 {
        return None;
    }
    let mut t = 1.0;
    for _ in 0..50 {
        let mut next: Vec<f64> = w.iter().zip(step).map(|(w, s)| (w + t * s).max(0.0)).collect();
        let sum: f64 = next.iter().sum();
        next.iter_mut().for_each(|v| *v /= sum);
        let lower = f.value(&next);
        if lower <= value + 1e-4 * t * slope + 1e-15 * value.abs() {
            return Some((next, lower));
        }
        t *= 0.5;
    }
    None
}

/// The minimum of the local quadratic over the simplex by a primal active-set method: all weights, zeros outside. None
/// if the curvature is not positive definite where it matters.
fn quadratic_step(local: &Local, curvature: &[f64], w: &[f64]) -> Result<Option<Vec<f64>>> {
    let k = local.working.len();
    let start: Vec<f64> = local.working.iter().map(|&j| w[j]).collect();
    let g: Vec<f64> = local.working.iter().map(|&j| local.gradient[j]).collect();
    let mut h = curvature.to_vec();
    // Equal members make the curvature singular; a ridge on the step shares weight between them and biases nothing.
    let mean = (0..k).map(|i| h[i * k + i]).sum::<f64>() / k as f64;
    let ridge = (1e-10 * mean).max(1e-30);
    for i in 0..k {
        h[i * k + i] += ridge;
    }
    let slope_at = |x: &[f64]| -> Vec<f64> {
        (0..k).map(|i| g[i] + (0..k).map(|j| h[i * k + j] * (x[j] - start[j])).sum::<f64>()).collect()
    };
    let mut x = start.clone();
    let mut free: Vec<usize> = (0..k).filter(|&i| x[i] > 0.0).collect();
    for _ in 0..20 * k + 100 {
        let slope = slope_at(&x);
        let Some((direction, multiplier)) = newton(&h, k, &free, &slope)? else { return Ok(None) };
        let mut length = 1.0;
        let mut block = None;
        for (&i, d) in free.iter().zip(&direction) {
            if *d < 0.0 && x[i] < -length * d {
                length = x[i] / -d;
                block = Some(i);
            }
        }
        for (&i, d) in free.iter().zip(&direction) {
            x[i] = (x[i] + length * d).max(0.0);
        }
        if let Some(i) = block {
            x[i] = 0.0;
            free.retain(|&j| j != i);
            continue;
        }
        // On the minimum of the free part, whose slopes all equal the multiplier: does a member outside fall faster?
        let slope = slope_at(&x);
        let tolerance = 1e-13 * (1.0 + g.iter().fold(0.0f64, |a, b| a.max(b.abs())));
        let steepest = (0..k)
            .filter(|i| !free.contains(i) && slope[*i] < multiplier - tolerance)
            .min_by(|a, b| slope[*a].total_cmp(&slope[*b]));
        let Some(entering) = steepest else { break };
        free.push(entering);
        free.sort_unstable();
    }
    let mut all = vec![0.0; w.len()];
    for (&j, v) in local.working.iter().zip(&x) {
        all[j] = *v;
    }
    Ok(Some(all))
}

/// The Newton step of the free members with sum zero, and the slope that all of them have at its end; none if the
/// curvature is too nearly singular for numbers.
fn newton(h: &[f64], k: usize, free: &[usize], slope: &[f64]) -> Result<Option<(Vec<f64>, f64)>> {
    let n = free.len();
    let part = Array2::from_shape_fn((n, n), |(i, j)| h[free[i] * k + free[j]]);
    let right = Array2::from_shape_fn((n, 2), |(i, j)| if j == 0 { slope[free[i]] } else { 1.0 });
    let Some(solved) = cholesky_solve(&part, &right)? else { return Ok(None) };
    let multiplier = solved.column(0).sum() / solved.column(1).sum();
    let direction: Vec<f64> = solved.rows().into_iter().map(|r| multiplier * r[1] - r[0]).collect();
    let finite = multiplier.is_finite() && direction.iter().all(|d| d.is_finite());
    Ok(finite.then_some((direction, multiplier)))
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `sum_j c_j (w_j - t_j)^2 / 2`.
    struct Bowl {
        c: Vec<f64>,
        t: Vec<f64>,
    }

    impl Smooth for Bowl {
        fn value(&self, w: &[f64]) -> f64 {
            w.iter().zip(&self.t).zip(&self.c).map(|((w, t), c)| 0.5 * c * (w - t).powi(2)).sum()
        }

        fn local(&self, w: &[f64], working: &dyn Fn(&[f64]) -> Vec<usize>) -> Local {
            let gradient: Vec<f64> =
                w.iter().zip(&self.t).zip(&self.c).map(|((w, t), c)| c * (w - t)).collect();
            let working = working(&gradient);
            let k = working.len();
            let mut curvature = vec![0.0; k * k];
            for (i, &j) in working.iter().enumerate() {
                curvature[i * k + i] = self.c[j];
            }
            Local { gradient, working, curvature, safe: None }
        }
    }

    #[test]
    fn a_projection_on_the_simplex_is_found() {
        // The projection of (.8, .6, -.5) is (.6, .4, 0): worked by hand, threshold .2.
        let bowl = Bowl { c: vec![1.0; 3], t: vec![0.8, 0.6, -0.5] };
        for start in [vec![1.0 / 3.0; 3], vec![0.0, 0.0, 1.0], vec![1.0, 0.0, 0.0]] {
            let found = minimize(&bowl, start, &Stop::default()).unwrap();
            assert!(found.gap <= GAP, "{found:?}");
            for (w, t) in found.weights.iter().zip([0.6, 0.4, 0.0]) {
                assert!((w - t).abs() < 1e-9, "{found:?}");
            }
        }
    }

    #[test]
    fn unequal_curvatures_meet_where_slopes_agree() {
        // c1 (w - t1) = c2 (w - t2) with w1 + w2 = 1: w1 - 1 = 3 (w2 - 1) gives w1 = .25, w2 = .75.
        let bowl = Bowl { c: vec![1.0, 3.0], t: vec![1.0, 1.0] };
        let found = minimize(&bowl, vec![0.5, 0.5], &Stop::default()).unwrap();
        assert!((found.weights[0] - 0.25).abs() < 1e-9, "{found:?}");
        let stop = Stop::default();
        stop.request();
        assert!(minimize(&bowl, vec![0.5, 0.5], &stop).is_err());
    }
}
