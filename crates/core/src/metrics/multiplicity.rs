//! p values where several models are compared with one reference: the more comparisons, the likelier a lucky one.

use serde::{Deserialize, Serialize};

use super::interval::mean_and_deviation;

/// What the resamples say about one of several differences from a reference: two-sided chances of a difference at least as
/// great, measured in its bootstrap deviation, if there were none. None is below `1 / (resamples + 1)`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PValues {
    /// Of this comparison alone.
    pub alone: f64,
    /// Times the number of comparisons ([`bonferroni`]).
    pub bonferroni: f64,
    /// Stepping down ([`holm`]).
    pub holm: f64,
    /// Stepping down by the resampled maximum ([`max_t_p_values`]), which knows how the comparisons depend on each other:
    /// the one to look at.
    pub max_t: f64,
    /// How many models were compared with the reference.
    pub comparisons: usize,
}

/// p values times their number, at most 1: the chance of any false finding stays below the level.
pub fn bonferroni(p: &[f64]) -> Vec<f64> {
    p.iter().map(|v| (v * p.len() as f64).min(1.0)).collect()
}

/// Holm's adjusted p values: in rising order, `max_{j <= i} (m - j + 1) p_j`, at most 1. Never above [`bonferroni`]'s.
///
/// # Reference
/// S. Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 6 (1979).
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|a, b| p[*a].total_cmp(&p[*b]));
    let mut adjusted = vec![0.0; p.len()];
    let mut most = 0.0f64;
    for (place, i) in order.into_iter().enumerate() {
        most = most.max((p.len() - place) as f64 * p[i]).min(1.0);
        adjusted[i] = most;
    }
    adjusted
}

/// Adjusted p values by stepping down the resampled maximum of studentized differences: with `t_m = |d_m| / sd_m`, in
/// falling order, `p_(j) = (1 + #{b: max_{l >= j} |d*_bl - d_l| / sd_l >= t_(j)}) / (B + 1)`, made rising.
///
/// `draws[m]` holds the bootstrap values of difference `m`, from the same resamples in the same order for all. A difference
/// without spread has 1 if it is zero, and otherwise the least possible. `None` for fewer than two resamples.
///
/// # Reference
/// J. P. Romano, M. Wolf, Exact and approximate stepdown methods for multiple hypothesis testing, JASA 100 (2005).
pub fn max_t_p_values(differences: &[f64], draws: &[Vec<f64>]) -> Option<Vec<f64>> {
    let studentized = studentized(differences, draws)?;
    let resamples = draws.first()?.len();
    let mut order: Vec<usize> = (0..differences.len()).collect();
    order.sort_by(|a, b| studentized[*a].0.total_cmp(&studentized[*b].0));
    // From the least difference up, the maximum over those not greater grows.
    let mut greatest = vec![0.0f64; resamples];
    let mut adjusted = vec![0.0; differences.len()];
    for i in &order {
        let (t, resampled) = &studentized[*i];
        greatest.iter_mut().zip(resampled).for_each(|(most, v)| *most = most.max(*v));
        adjusted[*i] = chance(*t, &greatest);
    }
    let mut most = 0.0f64;
    for i in order.into_iter().rev() {
        most = most.max(adjusted[i]);
        adjusted[i] = most;
    }
    Some(adjusted)
}

/// All of them, from the differences and their resamples.
pub(super) fn p_values(differences: &[f64], draws: &[Vec<f64>]) -> Option<Vec<PValues>> {
    let max_t = max_t_p_values(differences, draws)?;
    let alone: Vec<f64> =
        studentized(differences, draws)?.iter().map(|(t, resampled)| chance(*t, resampled)).collect();
    let all = bonferroni(&alone).into_iter().zip(holm(&alone)).zip(max_t).zip(&alone);
    let comparisons = differences.len();
    let made = all.map(|(((bonferroni, holm), max_t), alone)| PValues {
        alone: *alone,
        bonferroni,
        holm,
        max_t,
        comparisons,
    });
    Some(made.collect())
}

/// For each difference its distance from zero, and that of its resamples from itself, in bootstrap deviations.
fn studentized(differences: &[f64], draws: &[Vec<f64>]) -> Option<Vec<(f64, Vec<f64>)>> {
    let resamples = draws.first()?.len();
    if draws.len() != differences.len() || draws.iter().any(|d| d.len() != resamples) {
        return None;
    }
    let one = |(d, draw): (&f64, &Vec<f64>)| {
        let (_, deviation) = mean_and_deviation(draw)?;
        if deviation > 0.0 {
            return Some((d.abs() / deviation, draw.iter().map(|v| (v - d).abs() / deviation).collect()));
        }
        Some((if *d == 0.0 { 0.0 } else { f64::INFINITY }, vec![0.0; resamples]))
    };
    differences.iter().zip(draws).map(one).collect()
}

/// The share of resamples that are at least as great, with the sample itself counted as one of them.
fn chance(t: f64, resampled: &[f64]) -> f64 {
    let beyond = resampled.iter().filter(|v| **v >= t).count();
    (1 + beyond) as f64 / (1 + resampled.len()) as f64
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;
    use crate::metrics::normal::quantile;
    use crate::seed::Seed;

    #[test]
    fn adjusted_by_hand() {
        let p = [0.01, 0.04, 0.03, 0.5];
        assert_eq!(bonferroni(&p), [0.04, 0.16, 0.12, 1.0]);
        assert_eq!(holm(&p), [0.04, 0.09, 0.09, 0.5]);
        assert!(holm(&[]).is_empty());
    }

    #[test]
    fn equal_comparisons_cost_nothing_and_independent_ones_what_holm_says() {
        let mut rng = Seed::new(4).rng();
        let mut column = |mean: f64| -> Vec<f64> {
            (0..20_000).map(|_| mean + quantile(rng.random_range(1e-9..1.0))).collect()
        };
        let first = column(2.5);
        let same = p_values(&[2.5; 3], &[first.clone(), first.clone(), first.clone()]).unwrap();
        assert!(same.iter().all(|p| p.max_t == p.alone && p.comparisons == 3));
        assert!((same[0].alone - 0.0124).abs() < 0.002, "{}", same[0].alone);
        let draws = [first, column(1.0), column(0.0)];
        let apart = p_values(&[2.5, 1.0, 0.0], &draws).unwrap();
        for p in &apart {
            assert!(p.alone <= p.max_t && p.max_t <= p.holm + 0.01 && p.holm <= p.bonferroni, "{p:?}");
        }
        // 1 - (1 - p)^3 for the greatest of three independent ones.
        let sidak = 1.0 - (1.0 - apart[0].alone).powi(3);
        assert!((apart[0].max_t - sidak).abs() < 0.003, "{} {sidak}", apart[0].max_t);
        assert_eq!(p_values(&[0.0], &[vec![0.0; 9]]).unwrap()[0].max_t, 1.0);
        assert_eq!(p_values(&[0.5], &[vec![0.5; 9]]).unwrap()[0].max_t, 0.1);
        assert!(max_t_p_values(&[0.0], &[vec![0.0]]).is_none());
    }
}
