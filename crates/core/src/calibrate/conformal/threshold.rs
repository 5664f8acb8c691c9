//! Ranks of scores: for all rows together, for each class, for each stratum.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::model::Parts;

/// Which rows share a threshold. The promise holds within each of them (Mondrian regions), and each needs rows enough
/// of its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// All rows.
    #[default]
    All,
    /// The rows of a class.
    Class,
    /// The rows of a stratum, as given beside the predictions.
    Stratum,
}

impl By {
    /// Checks that strata are there where they are needed.
    pub(super) fn check(self, stratum: Option<&[u32]>) -> Result<()> {
        if self == Self::Stratum && stratum.is_none() {
            return Err(Error::argument("regions by stratum need the stratum of each row").at("by"));
        }
        Ok(())
    }

    /// Whose threshold a label of a row is held against.
    pub(super) fn key(self, class: u32, stratum: Option<&[u32]>, row: usize) -> u32 {
        match self {
            Self::All => 0,
            Self::Class => class,
            Self::Stratum => stratum.and_then(|s| s.get(row)).copied().unwrap_or(0),
        }
    }
}

/// `ceil((n + 1)(1 - alpha))`, from 1 to `n + 1`. An alpha of few digits loses no row to rounding.
pub(super) fn rank(n: usize, alpha: f64) -> usize {
    let missed = ((n + 1) as f64 * alpha + 1e-9).floor() as usize;
    n + 1 - missed.min(n)
}

/// The fewest rows with a rank that is one of theirs.
pub(super) fn needed(alpha: f64) -> usize {
    ((1.0 / alpha - 1e-9).ceil() as usize).saturating_sub(1)
}

/// The score of the rank; infinite where there are too few.
pub(super) fn quantile(mut scores: Vec<f64>, alpha: f64) -> f64 {
    let rank = rank(scores.len(), alpha);
    if rank > scores.len() {
        return f64::INFINITY;
    }
    *scores.select_nth_unstable_by(rank - 1, f64::total_cmp).1
}

/// The largest score that a label may have to be in a region.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Thresholds {
    pub(super) alpha: f64,
    pub(super) by: By,
    /// By class or stratum: the threshold, and how many rows set it.
    table: BTreeMap<u32, (f64, usize)>,
}

impl Thresholds {
    /// From the scores of rows and whose they are.
    pub(super) fn fit(alpha: f64, by: By, scores: impl Iterator<Item = (u32, f64)>) -> Self {
        let mut sorted: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
        scores.for_each(|(key, score)| sorted.entry(key).or_default().push(score));
        let table = sorted.into_iter().map(|(key, scores)| {
            let rows = scores.len();
            (key, (quantile(scores, alpha), rows))
        });
        Self { alpha, by, table: table.collect() }
    }

    /// The threshold of a class or stratum; infinite for one that no row had.
    pub(super) fn at(&self, key: u32) -> f64 {
        self.table.get(&key).map_or(f64::INFINITY, |(score, _)| *score)
    }

    /// How many rows set each threshold.
    pub(super) fn rows(&self) -> BTreeMap<u32, usize> {
        self.table.iter().map(|(key, (_, rows))| (*key, *rows)).collect()
    }

    pub(super) fn save(&self, parts: Parts) -> Parts {
        let keys: Vec<u32> = self.table.keys().copied().collect();
        let scores: Vec<f64> = self.table.values().map(|(score, _)| *score).collect();
        let rows: Vec<u32> = self.table.values().map(|(_, rows)| *rows as u32).collect();
        parts.with_u32("keys", &keys).with_f64("thresholds", &scores).with_u32("rows", &rows)
    }

    /// The thresholds saved with a configuration that has `alpha` and `by`.
    pub(super) fn load(parts: &Parts) -> Result<Self> {
        let (keys, scores, rows) = (parts.u32("keys")?, parts.f64("thresholds")?, parts.u32("rows")?);
        let fits = keys.len() == scores.len() && keys.len() == rows.len() && !keys.is_empty();
        if !fits || scores.iter().any(|s| s.is_nan()) {
            return Err(super::damaged(&parts.kind));
        }
        let table = keys.iter().zip(scores).zip(rows).map(|((k, s), r)| (*k, (*s, *r as usize)));
        Ok(Self { alpha: parts.field("alpha")?, by: parts.field("by")?, table: table.collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_lose_nothing_to_rounding() {
        for (n, alpha, want) in [
            (9, 0.1, 9),
            (8, 0.1, 9),
            (19, 0.05, 19),
            (99, 0.01, 99),
            (9, 0.3, 7),
            (9, 0.9, 1),
            (999, 0.001, 999),
            (0, 0.5, 1),
            (1, 0.5, 1),
            (3, 0.999, 1),
        ] {
            assert_eq!(rank(n, alpha), want, "{n} {alpha}");
        }
        for alpha in [0.5, 0.3, 0.1, 0.05, 0.01, 0.001, 0.7] {
            let n = needed(alpha);
            assert!(rank(n, alpha) <= n && (n == 0 || rank(n - 1, alpha) > n - 1), "{alpha} {n}");
        }
    }

    #[test]
    fn too_few_rows_have_no_threshold() {
        assert_eq!(quantile(vec![3.0, 1.0, 2.0], 0.5), 2.0);
        assert_eq!(quantile(vec![3.0, 1.0, 2.0], 0.25), 3.0);
        assert_eq!(quantile(vec![3.0, 1.0, 2.0], 0.2), f64::INFINITY);
        let t = Thresholds::fit(0.5, By::Class, [(0, 1.0), (2, 5.0), (0, 2.0)].into_iter());
        assert_eq!((t.at(0), t.at(1), t.at(2)), (2.0, f64::INFINITY, 5.0));
    }
}
