//! Model averaging by the log score on honest predictions.

use rand_distr::{Distribution, Gamma};
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::by_voices::{EVERY_SET, by_voices};
use super::evidence::Evidence;
use super::pool::{Content, Pool};
use crate::array::log_sum_exp;
use crate::error::{Error, Result};
use crate::model::{Context, Fused, Fuser, Honest, Inputs, Task};
use crate::registry::Method;
use crate::seed::Seed;

/// A member with at least this weight is in practice the whole of the pool.
const ALONE: f64 = 0.99;

/// Weights by the expected log score on new rows, which honest predictions estimate: pseudo-BMA+. With `l_ij` the log of
/// the density that member j gave to the truth of row i of n, `w_j` is the mean over draws `a` from a flat Dirichlet
/// distribution (the Bayesian bootstrap) of `exp(z_j) / sum_k exp(z_k)`, `z_j = n sum_i a_i l_ij`. Classes: the density is
/// the probability of the true class, at least 1e-7. Values: normal, with the mean squared error of the member on the
/// honest rows as its variance.
///
/// With `plain` there is one `z_j = sum_i l_ij`: pseudo-BMA, the softmax of the summed log scores. A member that is
/// better by a few hundredths a row then has all the weight on some hundred rows: it chooses more than it averages, and
/// says so. With row weights, of a mean of one where there are any, `a` is drawn from a Dirichlet distribution with these for its
/// parameters, and sums are weighted.
///
/// Where members are absent a row says how those present differ, and is no evidence on the others: they are taken to be
/// as good there as the mean of those present. Rows about which only some of the members speak are given weights of
/// these by the same draws.
///
/// # Reference
/// Yao, Vehtari, Simpson and Gelman, "Using stacking to average Bayesian predictive distributions", Bayesian Analysis
/// 13(3), 2018, section 3.4.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PseudoBma {
    /// How many draws of the Bayesian bootstrap, from 1 to 100000.
    #[schemars(range(min = 1, max = 100_000))]
    pub draws: u32,
    /// Whether to leave the bootstrap out: weights collapse onto one member.
    pub plain: bool,
}

impl Default for PseudoBma {
    fn default() -> Self {
        Self { draws: 1000, plain: false }
    }
}

impl Method for PseudoBma {
    const NAME: &'static str = "pseudo_bma";
    const ABOUT: &'static str = "Bayesian model averaging by bootstrapped log scores (pseudo-BMA+)";

    fn validate(&self) -> Result<()> {
        if (1..=100_000).contains(&self.draws) {
            return Ok(());
        }
        Err(Error::argument("the number of draws is out of range")
            .at("draws")
            .expected("1 to 100000")
            .got(self.draws))
    }
}

impl Fuser for PseudoBma {
    fn check(&self, _: &Task, _: usize) -> Result<()> {
        self.validate()
    }

    fn fit(&self, honest: &Honest, _: Option<Inputs<'_>>, context: &Context<'_>) -> Result<Box<dyn Fused>> {
        let task = honest.target().task();
        self.check(&task, honest.count())?;
        let evidence = Evidence::new(honest)?;
        let scores = centered(&evidence);
        let sums = if self.plain {
            vec![summed(&scores, &evidence.weight, rows(&evidence))]
        } else {
            drawn(&scores, &evidence, self.draws, context)?
        };
        let whole = weights(&sums, &vec![true; honest.count()]);
        let whole = Pool::new(task.clone(), &whole, Content::Prediction)?;
        by_voices(Box::new(whole), honest, None, context, EVERY_SET, &|_, _, voices, _| {
            Ok(Box::new(Pool::new(task.clone(), &weights(&sums, voices), Content::Prediction)?))
        })
    }

    fn notes(&self, fused: &dyn Fused) -> Vec<String> {
        let largest = fused.weights().into_iter().flatten().fold(0.0, f64::max);
        if !self.plain || largest < ALONE {
            return Vec::new();
        }
        vec![format!(
            "one member has {:.1} % of the weight: plain weights by summed log scores collapse onto one member, and \
             hide how near the others are",
            100.0 * largest
        )]
    }
}

/// `[row, member]`: the log scores of the members less their mean over those present on the row; zero where absent.
fn centered(evidence: &Evidence<'_>) -> Vec<f64> {
    let (rows, count) = (evidence.rows.len(), evidence.count());
    let mut scores = vec![0.0; rows * count];
    for m in 0..count {
        let present = |r: usize| evidence.has(m, r);
        let score: Box<dyn Fn(usize) -> f64> = if evidence.truth.is_empty() {
            Box::new(|r| f64::from(evidence.at(m, r)).ln())
        } else {
            let square = |r: usize| (f64::from(evidence.truth[r]) - f64::from(evidence.at(m, r))).powi(2);
            let (mut sum, mut total) = (0.0, 0.0);
            for r in (0..rows).filter(|r| present(*r)) {
                sum += evidence.weight[r] * square(r);
                total += evidence.weight[r];
            }
            // A member without an error would have a density without an end.
            let variance = (sum / total).max(1e-12 * evidence.spread());
            Box::new(move |r| -0.5 * (square(r) / variance + variance.ln()))
        };
        for (r, row) in scores.chunks_mut(count).enumerate().filter(|(r, _)| present(*r)) {
            row[m] = score(r);
        }
    }
    for (r, row) in scores.chunks_mut(count).enumerate() {
        let here: Vec<usize> = (0..count).filter(|m| evidence.has(*m, r)).collect();
        let mean = here.iter().map(|m| row[*m]).sum::<f64>() / here.len() as f64;
        here.iter().for_each(|m| row[*m] -= mean);
    }
    scores
}

/// How many rows there are: those with a weight.
fn rows(evidence: &Evidence<'_>) -> f64 {
    evidence.weight.iter().filter(|w| **w > 0.0).count() as f64
}

/// `n sum_i a_i l_i` for weights `a` of the rows that sum to one.
fn summed(scores: &[f64], weight: &[f64], rows: f64) -> Vec<f64> {
    let count = scores.len() / weight.len();
    let mut sum = vec![0.0; count];
    for (row, a) in scores.chunks(count).zip(weight) {
        sum.iter_mut().zip(row).for_each(|(s, l)| *s += rows * a * l);
    }
    sum
}

/// The sums under draws of the Bayesian bootstrap.
fn drawn(
    scores: &[f64],
    evidence: &Evidence<'_>,
    draws: u32,
    context: &Context<'_>,
) -> Result<Vec<Vec<f64>>> {
    let seed = context.seed.child("bootstrap");
    let one = |draw: u64| -> Result<Vec<f64>> {
        context.stop.check()?;
        let mut a = shares(evidence, seed.item(draw));
        let total: f64 = a.iter().sum();
        a.iter_mut().for_each(|a| *a /= total);
        Ok(summed(scores, &a, rows(evidence)))
    };
    (0..u64::from(draws)).into_par_iter().map(one).collect()
}

/// A draw from a gamma distribution for each row, with its weight (of a mean of one) for the shape.
fn shares(evidence: &Evidence<'_>, seed: Seed) -> Vec<f64> {
    let mut rng = seed.rng();
    let rows = rows(evidence);
    let shape = |weight: f64| if evidence.equal { 1.0 } else { weight * rows };
    // A shape of zero is no distribution: a row of weight zero is not there.
    let mut draw = |weight| Gamma::new(shape(weight), 1.0).map_or(0.0, |gamma| gamma.sample(&mut rng));
    evidence.weight.iter().map(|w| draw(*w)).collect()
}

/// The mean softmax of the sums of the members whose voice is set; zero for the others.
fn weights(sums: &[Vec<f64>], voices: &[bool]) -> Vec<f64> {
    let mut out = vec![0.0; voices.len()];
    for sum in sums {
        let among: Vec<f64> =
            sum.iter().zip(voices).map(|(z, v)| if *v { *z } else { f64::NEG_INFINITY }).collect();
        let all = log_sum_exp(&among);
        out.iter_mut().zip(&among).for_each(|(o, z)| *o += (z - all).exp());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuse::cases::{honest, named, values};
    use crate::model::{Quiet, Stop};
    use serde_json::json;

    fn fit(settings: serde_json::Value, data: &Honest, seed: u64) -> (Vec<f64>, Vec<String>) {
        let fuser = crate::fuse::REGISTRY.build("pseudo_bma", &settings).unwrap();
        let stop = Stop::default();
        let fused = fuser.fit(data, None, &Context::new(Seed::new(seed), &Quiet, &stop)).unwrap();
        (fused.weights().unwrap(), fuser.notes(fused.as_ref()))
    }

    fn row_weighted(data: &Honest, weight: Vec<f32>) -> Honest {
        Honest::new(named(data), data.target().clone(), data.fold().to_vec(), None, Some(weight)).unwrap()
    }

    #[test]
    fn plain_weights_are_the_softmax_of_summed_log_scores_and_tell_when_they_collapse() {
        let data = honest(40, 3, 3, false);
        let (_, codes) = data.target().codes().unwrap();
        let sums: Vec<f64> = data
            .predictions()
            .map(|p| {
                codes.iter().enumerate().map(|(r, c)| f64::from(p.p().unwrap()[[r, *c as usize]]).ln()).sum()
            })
            .collect();
        let all = log_sum_exp(&sums);
        let (plain, notes) = fit(json!({"plain": true}), &data, 1);
        for (w, z) in plain.iter().zip(&sums) {
            assert!((w - (z - all).exp()).abs() < 1e-9, "{plain:?} {sums:?}");
        }
        assert_eq!(notes.len(), usize::from(plain.iter().any(|w| *w >= ALONE)));
        let many = honest(4000, 3, 3, false);
        let (plain, notes) = fit(json!({"plain": true}), &many, 1);
        assert!(plain[2] > 0.9999 && notes[0].contains("collapse"), "{plain:?} {notes:?}");
        assert!(fit(json!({}), &many, 1).1.is_empty());
    }

    #[test]
    fn the_bootstrap_is_less_sure_and_settles_with_its_draws() {
        for data in [honest(40, 3, 3, false), values(40, 3, false)] {
            let (plain, _) = fit(json!({"plain": true}), &data, 1);
            let (a, _) = fit(json!({"draws": 20_000}), &data, 1);
            let (b, _) = fit(json!({"draws": 20_000}), &data, 2);
            let largest = |w: &[f64]| w.iter().copied().fold(0.0, f64::max);
            assert!(largest(&a) < largest(&plain), "{a:?} {plain:?}");
            assert!(a != b && a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 0.02), "{a:?} {b:?}");
            assert!((a.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        }
    }

    #[test]
    fn row_weights_are_shapes_and_absent_members_are_no_worse_for_it() {
        let data = honest(60, 3, 3, false);
        // Weights of one draw another way, from the same distribution.
        let (a, _) = fit(json!({"draws": 20_000}), &data, 1);
        let (b, _) = fit(json!({"draws": 20_000}), &row_weighted(&data, vec![2.0; 60]), 1);
        assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 0.02), "{a:?} {b:?}");
        // Rows without weight are not there.
        let half: Vec<f32> = (0..60).map(|r| f32::from(u8::from(r < 30))).collect();
        let (some, _) = fit(json!({"draws": 20_000}), &row_weighted(&data, half), 1);
        let (only, _) = fit(json!({"draws": 20_000}), &data.take(&(0..30).collect::<Vec<_>>()), 1);
        assert!(some.iter().zip(&only).all(|(a, b)| (a - b).abs() < 0.02), "{some:?} {only:?}");
        // The best member is absent on rows: it keeps the most weight.
        let (masked, _) = fit(json!({}), &honest(400, 3, 3, true), 1);
        assert!(masked[2] > masked[1] && masked[2] > masked[0], "{masked:?}");
    }
}
