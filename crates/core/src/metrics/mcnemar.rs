//! McNemar's test for two classifiers on the same rows.

use serde::{Deserialize, Serialize};

use super::decisions::top;
use super::metric::Sample;
use super::row_loss::matches;
use crate::error::{Error, Result};
use crate::model::{Predictions, Target};

/// Whether two classifiers differ in accuracy: only the rows on which one alone is right tell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct McNemar {
    /// Rows that only the candidate decides right.
    pub candidate_only: usize,
    /// Rows that only the reference decides right.
    pub reference_only: usize,
    /// The difference in accuracy, candidate minus reference.
    pub difference: f64,
    /// The exact two-sided chance of a split at least as uneven if both were equally good: from the binomial
    /// distribution with one half; 1 where they never differ.
    pub p_value: f64,
    /// The same less one half of the chance of the splits exactly as uneven. The exact value errs on the side of no
    /// difference, much so for few rows; this one keeps its level nearly always, and on average.
    pub mid_p_value: f64,
    /// Rows that both predict.
    pub rows: usize,
}

/// The exact test of McNemar, on the rows that both predict. It takes rows as independent: where rows have groups, use
/// the paired bootstrap.
///
/// # Errors
/// [`Error::Argument`] for values; [`Error::Model`] if rows or classes differ; [`Error::Data`] if no row is predicted
/// by both.
///
/// # Reference
/// Q. McNemar, Note on the sampling error of the difference between correlated proportions or percentages, Psychometrika
/// 12 (1947); M. W. Fagerland, S. Lydersen, P. Laake, The McNemar test for binary matched-pairs data: mid-p and
/// asymptotic are better than exact conditional, BMC Medical Research Methodology 13 (2013).
pub fn mcnemar(target: &Target, candidate: &Predictions, reference: &Predictions) -> Result<McNemar> {
    let (_, codes) = target.codes()?;
    matches(target, candidate)?;
    matches(target, reference)?;
    let decide = |p: &Predictions| Ok::<_, Error>(top(&Sample::new(target, p.p()?.view(), None)));
    let (a, b) = (decide(candidate)?, decide(reference)?);
    let (mut candidate_only, mut reference_only, mut rows) = (0, 0, 0);
    for (r, code) in codes.iter().enumerate() {
        if candidate.absent().is_set(r) || reference.absent().is_set(r) {
            continue;
        }
        rows += 1;
        match (a[r].0 == *code, b[r].0 == *code) {
            (true, false) => candidate_only += 1,
            (false, true) => reference_only += 1,
            _ => {}
        }
    }
    if rows == 0 {
        return Err(Error::data("there is no row that both predict"));
    }
    let (few, differing) = (candidate_only.min(reference_only), candidate_only + reference_only);
    Ok(McNemar {
        candidate_only,
        reference_only,
        difference: (candidate_only as f64 - reference_only as f64) / rows as f64,
        p_value: two_sided(few, differing),
        mid_p_value: mid_p(few, differing),
        rows,
    })
}

/// Twice the chance of at most `few` heads in `n` throws of a fair coin, at most 1.
pub(super) fn two_sided(few: usize, n: usize) -> f64 {
    if 2 * few >= n {
        return 1.0;
    }
    // The term of `few` heads directly, the smaller ones by their ratio to it.
    let (mut ratio, mut sum) = (1.0, 1.0);
    for k in (1..=few).rev() {
        ratio *= k as f64 / (n - k + 1) as f64;
        sum += ratio;
        if ratio < 1e-18 {
            break;
        }
    }
    (2.0 * exactly(few, n) * sum).min(1.0)
}

/// [`two_sided`] less one half of the chance of exactly `few` heads or exactly `few` tails; 1 if nothing was thrown.
pub(super) fn mid_p(few: usize, n: usize) -> f64 {
    match 2 * few {
        _ if n == 0 => 1.0,
        twice if twice == n => 1.0 - 0.5 * exactly(few, n),
        _ => (two_sided(few, n) - exactly(few, n)).max(0.0),
    }
}

/// The chance of exactly `few` heads in `n` throws of a fair coin.
fn exactly(few: usize, n: usize) -> f64 {
    let ways: f64 = (1..=few).map(|i| ((n - few + i) as f64 / i as f64).ln()).sum();
    (ways - n as f64 * 2f64.ln()).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_chances() {
        assert_eq!(two_sided(0, 0), 1.0);
        assert_eq!(two_sided(3, 6), 1.0);
        assert!((two_sided(0, 5) - 0.0625).abs() < 1e-15);
        // Halves: 1 / 32, and 20 / 64 of 3 heads in 6.
        assert!((mid_p(0, 5) - 0.03125).abs() < 1e-15);
        assert!((mid_p(3, 6) - (1.0 - 10.0 / 64.0)).abs() < 1e-14);
        assert_eq!(mid_p(0, 0), 1.0);
        // An odd number split as evenly as can be.
        assert!((two_sided(2, 5) - 1.0).abs() < 1e-15 && (mid_p(2, 5) - 0.6875).abs() < 1e-14);
        // 2 * (1 + 10 + 45) / 1024
        assert!((two_sided(2, 10) - 0.109_375).abs() < 1e-14);
        // scipy.stats.binomtest(4800, 10000).pvalue
        assert!(
            (two_sided(4800, 10_000) - 6.593_515_598_672_343e-5).abs() < 1e-15,
            "{}",
            two_sided(4800, 10_000)
        );
    }
}
