//! How often regions hold the truth, and how large they are.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::promise::Promise;
use super::sets::{Held, Sets};
use super::threshold::{By, rank};
use crate::array::log_sum_exp;
use crate::error::{Error, Result};
use crate::metrics::Interval;
use crate::model::{Target, Task};

/// The chance that a coverage lies in the interval expected of it.
const LEVEL: f64 = 0.95;

/// Some rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Share {
    /// How many.
    pub rows: usize,
    /// The share whose region holds the truth.
    pub coverage: f64,
    /// Where that share lies in 95 of 100 cases where the promise holds exactly; see [`coverage_interval`]. `None`
    /// where the promise is not one about these rows, or their regions are everything.
    pub expected: Option<Interval>,
    /// The mean number of classes, or the mean length of intervals; `None` where one is infinite.
    pub size: Option<f64>,
}

/// What regions do on rows with a known truth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Coverage {
    /// The chance of a miss that was asked for.
    pub alpha: f64,
    /// All rows about which the model said something.
    pub all: Share,
    /// The rows of each class that has any, in the order of the classes; none for values.
    pub by_class: Vec<(String, Share)>,
    /// The rows of each stratum, where strata are given.
    pub by_stratum: BTreeMap<u32, Share>,
    /// The share of rows whose region is empty.
    pub empty: f64,
    /// The share of rows whose region is everything.
    pub full: f64,
}

/// Measures regions. Rows about which the model said nothing are left out.
///
/// # Errors
/// [`Error::Model`] if the truth is of another task or other rows; [`Error::Data`] if no row is left.
pub fn measure(sets: &Sets, target: &Target, stratum: Option<&[u32]>, promise: &Promise) -> Result<Coverage> {
    let task = match sets.held() {
        Held::Classes { classes, .. } => Task::Classify(classes.clone()),
        Held::Intervals { .. } => Task::Regress,
    };
    if target.len() != sets.rows() || target.task() != task || stratum.is_some_and(|s| s.len() != sets.rows())
    {
        return Err(Error::model("the regions are for other rows or another task than the truth")
            .expected(format!("{} rows", sets.rows()))
            .got(format!("{} rows", target.len())));
    }
    let rows: Vec<usize> = (0..sets.rows()).filter(|r| !sets.absent().is_set(*r)).collect();
    if rows.is_empty() {
        return Err(Error::data("there is no row with a region to measure"));
    }
    let share = |rows: &[usize], calibrated: Option<&usize>| {
        let hits = rows.iter().filter(|r| hit(sets, target, **r)).count();
        let size = rows.iter().map(|r| sets.size(*r)).sum::<f64>() / rows.len() as f64;
        Share {
            rows: rows.len(),
            coverage: hits as f64 / rows.len() as f64,
            expected: calibrated.and_then(|n| coverage_interval(*n, rows.len(), promise.alpha, LEVEL)),
            size: size.is_finite().then_some(size),
        }
    };
    let rested = |by: By, key: u32| promise.rows.get(&key).filter(|_| promise.by == by);
    let parted = |key: &dyn Fn(usize) -> u32| {
        let mut parted: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        rows.iter().for_each(|r| parted.entry(key(*r)).or_default().push(*r));
        parted
    };
    let by_class = match target {
        Target::Classes { classes, codes } => parted(&|r| codes[r])
            .iter()
            .map(|(k, rows)| (classes.names()[*k as usize].clone(), share(rows, rested(By::Class, *k))))
            .collect(),
        Target::Values(_) => Vec::new(),
    };
    let by_stratum = match stratum {
        Some(s) => {
            parted(&|r| s[r]).iter().map(|(k, rows)| (*k, share(rows, rested(By::Stratum, *k)))).collect()
        }
        None => BTreeMap::new(),
    };
    let part =
        |of: &dyn Fn(usize) -> bool| rows.iter().filter(|r| of(**r)).count() as f64 / rows.len() as f64;
    Ok(Coverage {
        alpha: promise.alpha,
        all: share(&rows, rested(By::All, 0)),
        by_class,
        by_stratum,
        empty: part(&|r| sets.is_empty(r)),
        full: part(&|r| sets.is_full(r)),
    })
}

fn hit(sets: &Sets, target: &Target, row: usize) -> bool {
    match (sets.held(), target) {
        (Held::Classes { holds, .. }, Target::Classes { codes, .. }) => {
            holds.get((row, codes[row] as usize)).copied().unwrap_or(false)
        }
        (Held::Intervals { lower, upper }, Target::Values(values)) => {
            let y = f64::from(values[row]);
            lower[row] <= y && y <= upper[row]
        }
        _ => false,
    }
}

/// Where the coverage of `new` rows lies with a chance of `level` at least, by thresholds set by `calibrated` rows:
/// the number of hits has a beta-binomial distribution with parameters `k` and `calibrated + 1 - k`,
/// `k = ceil((calibrated + 1)(1 - alpha))`. Where scores tie, or empty sets are filled, the coverage can be higher.
/// `None` where `k` is more than `calibrated`, so that everything is held, or there are no rows.
///
/// # Reference
/// Vovk, "Conditional validity of inductive conformal predictors", Machine Learning 92, 2013; Angelopoulos and Bates,
/// 2023, appendix C.
pub fn coverage_interval(calibrated: usize, new: usize, alpha: f64, level: f64) -> Option<Interval> {
    let k = rank(calibrated, alpha);
    if k > calibrated || new == 0 {
        return None;
    }
    let (a, b, m) = (k as f64, (calibrated + 1 - k) as f64, new as f64);
    // ln P(j + 1) - ln P(j), from an unknown start.
    let mut logs = Vec::with_capacity(new + 1);
    let mut log = 0.0f64;
    logs.push(log);
    for j in 0..new {
        let j = j as f64;
        log += ((m - j) / (j + 1.0)).ln() + ((a + j) / (b + m - j - 1.0)).ln();
        logs.push(log);
    }
    let all = log_sum_exp(&logs);
    let tail = (1.0 - level) / 2.0;
    let end = |order: &mut dyn Iterator<Item = usize>| {
        let mut sum = 0.0;
        let mut last = 0;
        for j in order {
            sum += (logs[j] - all).exp();
            last = j;
            if sum > tail {
                break;
            }
        }
        last as f64 / m
    };
    Some(Interval { low: end(&mut (0..=new)), high: end(&mut (0..=new).rev()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_calibration_row_says_little() {
        // k = 1 of n = 1: every number of hits is as likely as any other.
        let i = coverage_interval(1, 99, 0.5, 0.91).unwrap();
        assert!((i.low - 4.0 / 99.0).abs() < 1e-9 && (i.high - 95.0 / 99.0).abs() < 1e-9, "{i:?}");
        assert_eq!(coverage_interval(8, 100, 0.1, 0.9), None);
        assert_eq!(coverage_interval(9, 0, 0.1, 0.9), None);
        let wide = coverage_interval(99, 1000, 0.1, 0.95).unwrap();
        let narrow = coverage_interval(9999, 1000, 0.1, 0.95).unwrap();
        assert!(wide.low < narrow.low && narrow.low < 0.9 && 0.9 < narrow.high && narrow.high < wide.high);
    }
}
