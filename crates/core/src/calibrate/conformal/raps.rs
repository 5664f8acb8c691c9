//! Adaptive sets without their long tails.

use std::collections::BTreeMap;

use rand::seq::SliceRandom;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::class_regions::{ClassRegions, true_scores};
use super::class_score::ClassScore;
use super::threshold::{quantile, rank};
use super::{By, Calibration, Conformal, Regions, check_alpha, check_classes};
use crate::error::{Error, Result};
use crate::model::Task;
use crate::registry::Method;
use crate::seed::Seed;

/// The share of the rows that what is not given is tuned on.
const TUNING: f64 = 0.2;
/// The prices that are tried, from the paper.
const PRICES: [f64; 5] = [0.001, 0.01, 0.1, 0.2, 0.5];

/// Regularized adaptive prediction sets: as `aps`, and every class beyond the `k_reg` most probable ones costs
/// `lambda`, so that the noise of many small probabilities does not make large sets.
///
/// What is not given is tuned on 20 % of the rows, seeded, whole groups where there are groups, which then set no
/// threshold: `k_reg` is the `ceil((n + 1)(1 - alpha))`-th smallest rank of the true class, at most the number of
/// classes; `lambda` the one of 0.001, 0.01, 0.1, 0.2 and 0.5 with the smallest sets on average (the least on a tie),
/// without draws.
///
/// # Reference
/// Angelopoulos, Bates, Malik and Jordan, "Uncertainty sets for image classifiers using conformal prediction", ICLR
/// 2021.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Raps {
    /// The chance of a miss, between 0 and 1.
    pub alpha: f64,
    /// Which rows share a threshold.
    pub by: By,
    /// Whether sets may be empty.
    pub allow_empty: bool,
    /// Whether a number drawn by row id decides about the last class.
    pub randomized: bool,
    /// How many classes cost nothing; tuned where it is not given.
    pub k_reg: Option<usize>,
    /// The price of each class beyond those, from 0 on; tuned where it is not given.
    pub lambda: Option<f64>,
}

impl Default for Raps {
    fn default() -> Self {
        Self { alpha: 0.1, by: By::All, allow_empty: true, randomized: false, k_reg: None, lambda: None }
    }
}

impl Method for Raps {
    const NAME: &'static str = "raps";
    const ABOUT: &'static str = "As aps, with a price on every class beyond the first few";

    fn validate(&self) -> Result<()> {
        check_alpha(self.alpha)?;
        match self.lambda {
            Some(l) if !l.is_finite() || l < 0.0 => {
                Err(Error::argument("the price of a class is not a number from zero on").at("lambda").got(l))
            }
            _ => Ok(()),
        }
    }
}

impl Conformal for Raps {
    fn check(&self, task: &Task) -> Result<()> {
        self.validate()?;
        check_classes(task)
    }

    fn fit(&self, rows: &Calibration<'_>, seed: Seed) -> Result<Box<dyn Regions>> {
        self.check(&rows.target.task())?;
        let used = rows.rows(1, self.by)?;
        let own = self.randomized.then(|| seed.child("draws").number());
        let (k_reg, lambda, used) = match (self.k_reg, self.lambda) {
            (Some(k_reg), Some(lambda)) => (k_reg, lambda, used),
            _ => {
                let (tuning, rest) = set_aside(&used, rows.group, seed.child("tuning"))?;
                let k_reg = match self.k_reg {
                    Some(k_reg) => k_reg,
                    None => usual_rank(rows, &tuning, self.alpha)?,
                };
                let lambda = match self.lambda {
                    Some(lambda) => lambda,
                    None => best_price(rows, &tuning, self.alpha, k_reg)?,
                };
                (k_reg, lambda, rest)
            }
        };
        let score = ClassScore::Raps { seed: own, lambda, k_reg };
        Ok(Box::new(ClassRegions::fit((self.alpha, self.by), self.allow_empty, score, rows, &used)?))
    }
}

/// A share of the rows for tuning, and the rest; whole groups.
fn set_aside(rows: &[usize], group: Option<&[u64]>, seed: Seed) -> Result<(Vec<usize>, Vec<usize>)> {
    let mut units: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for &r in rows {
        units.entry(group.map_or(r as u64, |g| g[r])).or_default().push(r);
    }
    let mut units: Vec<Vec<usize>> = units.into_values().collect();
    if units.len() < 2 {
        return Err(Error::data(
            "there are too few calibration rows to tune k_reg and lambda on some of them",
        )
        .expected("at least two rows (or groups)")
        .got(units.len())
        .remedy("give k_reg and lambda"));
    }
    units.shuffle(&mut seed.rng());
    let wanted = ((rows.len() as f64 * TUNING).round() as usize).max(1);
    let mut tuning = Vec::new();
    // The last unit stays for the thresholds.
    while tuning.len() < wanted && units.len() > 1 {
        tuning.extend(units.pop().unwrap_or_default());
    }
    tuning.sort_unstable();
    let mut rest: Vec<usize> = units.into_iter().flatten().collect();
    rest.sort_unstable();
    Ok((tuning, rest))
}

/// The rank within which the true class lies as often as is asked for.
pub(super) fn usual_rank(data: &Calibration<'_>, rows: &[usize], alpha: f64) -> Result<usize> {
    let (classes, codes) = data.target.codes()?;
    let p = data.said[0].p()?;
    let mut ranks: Vec<usize> = rows
        .iter()
        .map(|&r| {
            let own = codes[r] as usize;
            let before = |k: usize| p[[r, k]] > p[[r, own]] || (p[[r, k]] == p[[r, own]] && k < own);
            1 + (0..classes.count()).filter(|k| before(*k)).count()
        })
        .collect();
    ranks.sort_unstable();
    Ok(ranks.get(rank(ranks.len(), alpha) - 1).copied().unwrap_or(classes.count()))
}

/// The price of the smallest sets on average.
pub(super) fn best_price(data: &Calibration<'_>, rows: &[usize], alpha: f64, k_reg: usize) -> Result<f64> {
    let p = data.said[0].p()?;
    let (mut order, mut scores) = (Vec::new(), vec![0.0; p.ncols()]);
    let mut best = (usize::MAX, PRICES[0]);
    for lambda in PRICES {
        let score = ClassScore::Raps { seed: None, lambda, k_reg };
        let threshold = quantile(true_scores(&score, data, rows)?, alpha);
        let mut size = 0;
        for &r in rows {
            score.of_row(p.row(r), 0.0, &mut order, &mut scores);
            size += scores.iter().filter(|s| **s <= threshold).count().max(1);
        }
        if size < best.0 {
            best = (size, lambda);
        }
    }
    Ok(best.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_set_aside_whole() {
        let rows: Vec<usize> = (0..50).filter(|r| r % 7 != 3).collect();
        let group: Vec<u64> = (0..50).map(|r| r / 4).collect();
        let (tuning, rest) = set_aside(&rows, Some(&group), Seed::new(1)).unwrap();
        assert!(tuning.len() >= 9 && tuning.len() < 13, "{tuning:?}");
        assert_eq!(tuning.len() + rest.len(), rows.len());
        assert!(tuning.iter().all(|t| rest.iter().all(|r| group[*t] != group[*r])));
        assert_eq!(
            set_aside(&rows, None, Seed::new(1)).unwrap().0.len(),
            (rows.len() as f64 * 0.2).round() as usize
        );
        assert!(set_aside(&rows, Some(&[7; 50]), Seed::new(1)).is_err());
    }
}
