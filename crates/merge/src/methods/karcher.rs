//! The mean of any number of models on the sphere.

use consilience_core::Result;
use consilience_core::registry::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kernels::{Gram, combine, gram};
use crate::method::{BaseNeed, MergeMethod, Needs, PerMember};
use crate::work::{Cut, Work};

/// Angles below this, and as near to half a turn, have no direction on the sphere.
const NO_ANGLE: f64 = 1e-8;

/// The Karcher mean of the directions `u_i = x_i / |x_i|`, the point of the sphere with the least sum of squared angles to them, in the mean
/// of the lengths. Each tensor is one vector.
///
/// From the chordal mean it goes along `v = mean_i a_i / sin(a_i) (u_i - cos(a_i) m)`, with the angle `a_i` between `m` and `u_i`, to
/// `cos(|v|) m + sin(|v|) v / |v|`, until `|v| < tol` or `max_iter` times. Every such point is a combination of the members, so that this
/// goes on among their inner products, and the tensors are looked at once.
///
/// Members that are all zero have no direction and count by their length. Where directions cancel it starts from the first of them, and a
/// direction opposite to where it stands does not pull; both are noted.
///
/// # Reference
/// Karcher, "Riemannian center of mass and mollifier smoothing", Communications on Pure and Applied Mathematics 30 (1977); on the sphere
/// Buss and Fillmore, "Spherical averages and applications to spherical splines and interpolation", ACM Transactions on Graphics 20 (2001).
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Karcher {
    /// So many steps at most.
    #[schemars(range(max = 100000))]
    pub max_iter: u32,
    /// It stands still where a step is shorter than this angle, in radians.
    #[schemars(range(min = 0.0))]
    pub tol: f64,
}

impl Default for Karcher {
    fn default() -> Self {
        Self { max_iter: 10, tol: 1e-5 }
    }
}

impl Method for Karcher {
    const NAME: &'static str = "karcher";
    const ABOUT: &'static str = "Mean on the sphere of networks of one shape";

    fn validate(&self) -> Result<()> {
        PerMember::All(f64::from(self.max_iter)).each("max_iter", "100000 at most", |n| n <= 1e5)?;
        PerMember::All(self.tol).each("tol", "a number of at least 0", |tol| tol >= 0.0)
    }
}

impl Karcher {
    /// What each member is multiplied with, and whether directions were opposite.
    fn shares(&self, gram: &Gram) -> (Vec<f64>, bool) {
        let norms: Vec<f64> = (0..gram.count()).map(|i| gram.norm(i)).collect();
        let length = norms.iter().sum::<f64>() / norms.len().max(1) as f64;
        let unit = |i: usize, norm: f64| {
            let mut unit = vec![0.0; norms.len()];
            unit.iter_mut().skip(i).take(1).for_each(|u| *u = 1.0 / norm);
            unit
        };
        let units: Vec<Vec<f64>> =
            norms.iter().enumerate().filter(|(_, n)| **n > 0.0).map(|(i, n)| unit(i, *n)).collect();
        let Some(first) = units.first() else { return (vec![0.0; norms.len()], false) };
        let part = 1.0 / units.len() as f64;
        let mut opposed = false;
        let mut mean = combination(norms.len(), units.iter().map(|u| (part, u)));
        if !to_length_one(gram, &mut mean) {
            opposed = true;
            mean.clone_from(first);
        }
        for _ in 0..self.max_iter {
            let mut terms: Vec<(f64, &Vec<f64>)> = Vec::with_capacity(units.len() + 1);
            let mut of_mean = 0.0;
            for unit in &units {
                let cosine = gram.between(&mean, unit).clamp(-1.0, 1.0);
                let angle = cosine.acos();
                if angle.sin() < NO_ANGLE {
                    opposed |= cosine < 0.0;
                    continue;
                }
                let pull = part * angle / angle.sin();
                terms.push((pull, unit));
                of_mean -= pull * cosine;
            }
            terms.push((of_mean, &mean));
            let step = combination(norms.len(), terms.into_iter());
            let size = gram.length(&step);
            if size < self.tol || size == 0.0 {
                break;
            }
            mean = combination(norms.len(), [(size.cos(), &mean), (size.sin() / size, &step)].into_iter());
            if !to_length_one(gram, &mut mean) {
                break;
            }
        }
        (mean.iter().map(|c| c * length).collect(), opposed)
    }
}

/// `sum_k factor_k list_k`.
fn combination<'a>(len: usize, terms: impl Iterator<Item = (f64, &'a Vec<f64>)>) -> Vec<f64> {
    let mut sum = vec![0.0; len];
    for (factor, list) in terms {
        for (sum, v) in sum.iter_mut().zip(list) {
            *sum += factor * v;
        }
    }
    sum
}

/// Divides a combination of members by its length, unless it has none.
fn to_length_one(gram: &Gram, combination: &mut [f64]) -> bool {
    let length = gram.length(combination);
    let some = length > NO_ANGLE;
    if some {
        combination.iter_mut().for_each(|c| *c /= length);
    }
    some
}

impl MergeMethod for Karcher {
    fn needs(&self) -> Needs {
        Needs { base: BaseNeed::Unknown, least: 1, most: None }
    }

    fn merge(&self, work: &Work<'_>) -> Result<()> {
        let gram = gram(work, Cut::NUMBERS)?;
        gram.finite(work, |_| true)?;
        let (shares, opposed) = self.shares(&gram);
        if opposed {
            work.note("members point in opposite directions: their mean on the sphere is not the only one");
        }
        let shares: Vec<f32> = shares.iter().map(|s| *s as f32).collect();
        work.write(Cut::NUMBERS, |block, out| {
            combine(block, 0.0, &shares, out);
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::merged;

    #[test]
    fn three_points_of_a_circle_have_the_mean_of_their_angles() {
        let at = |angle: f32, length: f32| [length * angle.cos(), length * angle.sin()];
        let (a, b, c) = (at(0.1, 1.0), at(0.4, 2.0), at(1.6, 6.0));
        let method = Karcher { max_iter: 100, tol: 0.0 };
        let out = merged(&method, &[2], &[&a, &b, &c], None).unwrap();
        let expected = at(0.7, 3.0);
        assert!(out.iter().zip(expected).all(|(v, e)| (v - e).abs() < 1e-6), "{out:?}");
    }

    #[test]
    fn members_without_direction_and_opposite_ones() {
        let method = Karcher::default();
        assert_eq!(merged(&method, &[2], &[&[0.0, 0.0], &[0.0, 3.0]], None).unwrap(), [0.0, 1.5]);
        assert_eq!(merged(&method, &[2], &[&[0.0, 0.0], &[0.0, 0.0]], None).unwrap(), [0.0, 0.0]);
        assert_eq!(merged(&method, &[2], &[&[0.0, 1.0], &[0.0, -3.0]], None).unwrap(), [0.0, 2.0]);
    }
}
