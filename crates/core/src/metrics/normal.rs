//! The normal distribution, to double precision.

use std::f64::consts::{PI, SQRT_2};

/// The density of the standard normal distribution.
pub(super) fn pdf(x: f64) -> f64 {
    (-x * x / 2.0).exp() / (2.0 * PI).sqrt()
}

/// The chance that a standard normal number is at most `x`.
pub(super) fn cdf(x: f64) -> f64 {
    let z = x / SQRT_2;
    if z.abs() < 2.0 {
        0.5 + erf_series(z) / 2.0
    } else if z > 0.0 {
        1.0 - erfc_tail(z) / 2.0
    } else {
        erfc_tail(-z) / 2.0
    }
}

/// The number below which a standard normal number falls with chance `p`, for `p` in (0, 1).
pub(super) fn quantile(p: f64) -> f64 {
    let (mut low, mut high) = (-40.0f64, 40.0f64);
    for _ in 0..80 {
        let middle = (low + high) / 2.0;
        if cdf(middle) < p { low = middle } else { high = middle }
    }
    (low + high) / 2.0
}

/// `2 / sqrt(pi) e^(-x^2) sum_n 2^n x^(2n+1) / (2n+1)!!`; every term has the sign of `x`.
fn erf_series(x: f64) -> f64 {
    let (mut term, mut sum, mut n) = (x, x, 1.0);
    while term.abs() > 1e-17 * sum.abs() && n < 200.0 {
        term *= 2.0 * x * x / (2.0 * n + 1.0);
        sum += term;
        n += 1.0;
    }
    2.0 / PI.sqrt() * (-x * x).exp() * sum
}

/// The complement for `x >= 2`, by the continued fraction of Laplace.
fn erfc_tail(x: f64) -> f64 {
    let mut fraction = x;
    for k in (1..=100).rev() {
        fraction = x + f64::from(k) / 2.0 / fraction;
    }
    (-x * x).exp() / PI.sqrt() / fraction
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        for (x, want) in [
            (0.0, 0.5),
            (1.0, 0.841_344_746_068_542_9),
            (-1.959_963_984_540_054, 0.025),
            (3.0, 0.998_650_101_968_369_9),
            (-5.0, 2.866_515_718_791_939e-7),
            (-10.0, 7.619_853_024_160_527e-24),
        ] {
            assert!((cdf(x) - want).abs() <= 1e-13 * want, "{x}: {} {want}", cdf(x));
        }
        assert!((quantile(0.975) - 1.959_963_984_540_054).abs() < 1e-12);
        assert!((pdf(1.0) - 0.241_970_724_519_143_37).abs() < 1e-15);
    }
}
