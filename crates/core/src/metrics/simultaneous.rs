//! Intervals that hold for all models of a leaderboard at once.

use super::interval::{Interval, mean_and_deviation, quantile};

/// Intervals `value_m -+ c sd_m` that cover all models together with chance `level` (bootstrap max-t): `sd_m` is the
/// bootstrap standard deviation of model `m`, and `c` the `level` quantile over the resamples of
/// `max_m |value*_m - value_m| / sd_m`.
///
/// `draws[m]` holds the bootstrap values of model `m`, from the same resamples in the same order for all. A model
/// without any spread gets an interval of no width. `None` if there are fewer than two models or resamples.
///
/// # Reference
/// J. P. Romano, M. Wolf, Exact and approximate stepdown methods for multiple hypothesis testing, JASA 100 (2005).
pub fn max_t_intervals(values: &[f64], draws: &[Vec<f64>], level: f64) -> Option<Vec<Interval>> {
    let resamples = draws.first()?.len();
    if values.len() < 2 || draws.len() != values.len() || draws.iter().any(|d| d.len() != resamples) {
        return None;
    }
    let deviations: Option<Vec<f64>> = draws.iter().map(|d| mean_and_deviation(d).map(|m| m.1)).collect();
    let deviations = deviations?;
    let mut greatest = vec![0.0f64; resamples];
    for ((value, draw), deviation) in values.iter().zip(draws).zip(&deviations) {
        if *deviation > 0.0 {
            for (most, v) in greatest.iter_mut().zip(draw) {
                *most = most.max((v - value).abs() / deviation);
            }
        }
    }
    greatest.sort_by(f64::total_cmp);
    let c = quantile(&greatest, level)?;
    Some(values.iter().zip(&deviations).map(|(v, d)| Interval { low: v - c * d, high: v + c * d }).collect())
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;
    use crate::metrics::normal::quantile as normal;
    use crate::seed::Seed;

    #[test]
    fn independent_models_need_the_sidak_width_and_equal_ones_the_single_width() {
        let mut rng = Seed::new(1).rng();
        let mut column =
            || -> Vec<f64> { (0..20_000).map(|_| normal(rng.random_range(1e-9..1.0))).collect() };
        let draws: Vec<Vec<f64>> = (0..4).map(|_| column()).collect();
        let wide = max_t_intervals(&[0.0; 4], &draws, 0.95).unwrap();
        let sidak = normal((1.0 + 0.95f64.powf(0.25)) / 2.0);
        assert!((wide[0].high - sidak).abs() < 0.06, "{} {sidak}", wide[0].high);
        let same = vec![draws[0].clone(); 4];
        let single = max_t_intervals(&[0.0; 4], &same, 0.95).unwrap();
        assert!((single[0].high - 1.96).abs() < 0.06, "{}", single[0].high);
        assert!(max_t_intervals(&[0.0], &draws[..1], 0.95).is_none());
    }
}
