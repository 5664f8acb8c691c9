//! Why a member has little or no weight: the others say the same, or it makes them worse.

use ndarray::Array2;
use serde::{Deserialize, Serialize};

use super::diversity::Errors;
use super::members::{Members, NO_WEIGHT, checked};
use crate::error::Result;
use crate::model::{Honest, Target};
use crate::solve::solve_semidefinite;

/// The member that errs most like another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Nearest {
    /// Its name.
    pub member: String,
    /// The correlation of their residuals.
    pub correlation: f64,
}

/// What the others say of a member's errors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Redundancy {
    /// The other member, among those with weight (where nothing has weights: among all), whose errors correlate most with
    /// its own; `None` if there is none, or its errors never vary.
    pub nearest: Option<Nearest>,
    /// The share of the variance of its residuals that a linear combination of those of the others with weight explains,
    /// on the rows that all of these predict; `None` as above.
    pub explained: Option<f64>,
    /// The slope of the loss of the pool as the member gets weight: the derivative at 0 of the loss of
    /// `(1 - t) q + t p_i`. Log-loss for classes, `1 - mean(a_i / q)` with `a_i` and `q` what the member and the pool give to
    /// the true class; squared error for values, `-2 mean((y - q)(p_i - q))`. At the optimal weights it is zero for members with
    /// weight and not below for those without: how far above says how harmful they would be. Over the rows that the member
    /// predicts. `None` without weights.
    pub slope: Option<f64>,
}

/// The redundancy of every member, given the weights of a pool where there are some.
///
/// # Errors
/// [`Error::Argument`](crate::Error::Argument) for weights that are none; [`Error::Data`](crate::Error::Data) for rows that
/// cannot be read.
pub fn redundancy(honest: &Honest, weights: Option<&[f64]>) -> Result<Vec<Redundancy>> {
    let members = Members::new(honest)?;
    let weights = weights.map(|w| checked(w, members.count())).transpose()?;
    let errors = Errors::new(&members);
    let names = honest.names();
    let slopes = weights.as_ref().map(|w| slopes(&members, w)).transpose()?;
    let one = |m: usize| {
        let counts = |i: &usize| *i != m && weights.as_ref().is_none_or(|w| w[*i] > NO_WEIGHT);
        let others: Vec<usize> = (0..members.count()).filter(counts).collect();
        let near = others.iter().filter_map(|i| Some((*i, errors.correlation(m, *i)?)));
        // The first of those that are equally near.
        let near = near.fold(None, |best: Option<(usize, f64)>, (i, c)| match best {
            Some((_, most)) if most >= c => best,
            _ => Some((i, c)),
        });
        Ok(Redundancy {
            nearest: near.map(|(i, correlation)| Nearest { member: names[i].to_owned(), correlation }),
            explained: explained(&errors, members.rows.len(), m, &others)?,
            slope: slopes.as_ref().and_then(|s| s[m]),
        })
    };
    (0..members.count()).map(one).collect()
}

/// `R^2` of the least squares of a member's residuals on those of others, with a constant.
fn explained(errors: &Errors, rows: usize, member: usize, others: &[usize]) -> Result<Option<f64>> {
    let mut all = others.to_vec();
    all.push(member);
    let here: Vec<bool> = (0..rows).map(|r| errors.all(&all, r)).collect();
    let covariance = |i: usize, j: usize| errors.covariance(i, j, |r| here[r]);
    let own = covariance(member, member);
    if others.is_empty() || own <= 1e-14 {
        return Ok(None);
    }
    let mut among = Array2::zeros((others.len(), others.len()));
    for (a, i) in others.iter().enumerate() {
        for (b, j) in others.iter().enumerate().take(a + 1) {
            let c = covariance(*i, *j);
            among[[a, b]] = c;
            among[[b, a]] = c;
        }
    }
    let with = Array2::from_shape_fn((others.len(), 1), |(a, _)| covariance(others[a], member));
    let solved = solve_semidefinite(&among, &with)?;
    let share = solved.iter().zip(&with).map(|(x, c)| x * c).sum::<f64>() / own;
    Ok(Some(share.clamp(0.0, 1.0)))
}

/// The slope of the loss toward every member; `None` for one without rows.
fn slopes(members: &Members<'_>, weights: &[f64]) -> Result<Vec<Option<f64>>> {
    let pool = members.pooled(weights, None)?.matrix();
    let one = |m: usize| {
        let (mut sum, mut total) = (0.0, 0.0);
        for (&row, omega) in members.rows.iter().zip(&members.weight).filter(|(r, _)| members.present(m, **r))
        {
            let said = f64::from(members.to_truth(m, row));
            sum += omega
                * match members.honest.target() {
                    Target::Classes { codes, .. } => {
                        let floor = f64::from(crate::array::MIN_PROBABILITY);
                        1.0 - said.max(floor) / f64::from(pool[[row, codes[row] as usize]]).max(floor)
                    }
                    Target::Values(y) => {
                        let q = f64::from(pool[[row, 0]]);
                        -2.0 * (f64::from(y[row]) - q) * (said - q)
                    }
                };
            total += omega;
        }
        (total > 0.0).then(|| sum / total)
    };
    Ok((0..members.count()).map(one).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuse::cases::{honest, named, values};
    use crate::fuse::{REGISTRY, SoftVote};
    use crate::model::{Context, Fuser, Predictions, Quiet, Stop};
    use crate::seed::Seed;

    #[test]
    fn slopes_are_those_of_the_loss_and_zero_at_the_optimum() {
        let stop = Stop::default();
        let context = Context::new(Seed::new(1), &Quiet, &stop);
        for data in [honest(80, 3, 3, false), values(80, 3, false)] {
            let fuser = REGISTRY.build("weighted", &serde_json::Value::Null).unwrap();
            let best = fuser.fit(&data, None, &context).unwrap().weights().unwrap();
            for (r, w) in redundancy(&data, Some(&best)).unwrap().iter().zip(&best) {
                let slope = r.slope.unwrap();
                assert!(if *w > 0.0 { slope.abs() < 1e-4 } else { slope > -1e-4 }, "{w} {slope}");
            }
            // By small differences of the loss at other weights.
            let members = Members::new(&data).unwrap();
            let weights = [0.5, 0.3, 0.2];
            let loss = |w: &[f64]| {
                let said: Vec<Predictions> = data.predictions().cloned().collect();
                let fused = SoftVote { weights: w.to_vec() }.fit(&data, None, &context).unwrap();
                let q = fused.fuse(&said, None).unwrap();
                crate::metrics::per_row_loss(data.target(), &q).unwrap().iter().sum::<f64>() / 80.0
            };
            for (m, slope) in slopes(&members, &weights).unwrap().iter().enumerate() {
                let toward = |t: f64| {
                    let w: Vec<f64> =
                        (0..3).map(|i| (1.0 - t) * weights[i] + if i == m { t } else { 0.0 }).collect();
                    loss(&w)
                };
                let numeric = (toward(0.02) - toward(-0.02)) / 0.04;
                assert!(
                    (slope.unwrap() - numeric).abs() < 3e-3 * (1.0 + numeric.abs()),
                    "{slope:?} {numeric}"
                );
            }
        }
    }

    #[test]
    fn a_mixture_is_explained_by_its_parts_and_a_stranger_is_not() {
        let data = honest(200, 2, 3, false);
        let mix = Members::new(&data).unwrap().pooled(&[0.4, 0.6, 0.0], None).unwrap();
        let mut members = named(&data);
        members.push(("mix".to_owned(), mix, members[0].2));
        let data = Honest::new(members, data.target().clone(), vec![0; 200], None, None).unwrap();
        let out = redundancy(&data, Some(&[0.5, 0.5, 0.0, 0.0])).unwrap();
        assert!(out[3].explained.unwrap() > 0.999 && out[2].explained.unwrap() < 0.9, "{out:?}");
        assert_eq!(out[3].nearest.as_ref().unwrap().member, "m1");
        // Without weights anybody can be the nearest, and nothing has a slope.
        let all = redundancy(&data, None).unwrap();
        assert_eq!(all[1].nearest.as_ref().unwrap().member, "mix");
        assert!(all.iter().all(|r| r.slope.is_none()) && out.iter().all(|r| r.slope.is_some()));
        let alone = redundancy(&data.only(&[true, false, false, false]), Some(&[1.0])).unwrap();
        assert_eq!((alone[0].nearest.clone(), alone[0].explained), (None, None));
    }
}
