//! Student's t distribution, by the incomplete beta function.

use std::f64::consts::PI;

/// The chance that a t distributed number is at most `t`.
#[cfg(test)]
pub(super) fn cdf(t: f64, degrees: f64) -> f64 {
    let tail = 0.5 * two_sided(t, degrees);
    if t > 0.0 { 1.0 - tail } else { tail }
}

/// The chance that a t distributed number is at least as far from zero as `t`:
/// `I_x(degrees / 2, 1 / 2)` with `x = degrees / (degrees + t^2)`.
pub(super) fn two_sided(t: f64, degrees: f64) -> f64 {
    let sum = degrees + t * t;
    incomplete_beta(degrees / 2.0, 0.5, degrees / sum, t * t / sum)
}

/// The `t` beyond which, on both sides together, a number lies with chance `p` in (0, 1).
pub(super) fn two_sided_quantile(p: f64, degrees: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    while two_sided(high, degrees) > p && high < 1e150 {
        low = high;
        high *= 2.0;
    }
    for _ in 0..100 {
        let middle = 0.5 * (low + high);
        if two_sided(middle, degrees) > p { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

/// The regularized incomplete beta function `I_x(a, b)`, with `y = 1 - x` given apart so that neither loses digits.
///
/// # Reference
/// NIST Digital Library of Mathematical Functions, 8.17.22 (the continued fraction).
fn incomplete_beta(a: f64, b: f64, x: f64, y: f64) -> f64 {
    if x <= 0.0 || y <= 0.0 {
        return if x <= 0.0 { 0.0 } else { 1.0 };
    }
    let front = (a * x.ln() + b * y.ln() + ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b)).exp();
    // The fraction converges fast on this side of the mean only.
    if x < (a + 1.0) / (a + b + 2.0) {
        front * fraction(a, b, x) / a
    } else {
        1.0 - front * fraction(b, a, y) / b
    }
}

/// The continued fraction of the incomplete beta function, by Lentz's method.
fn fraction(a: f64, b: f64, x: f64) -> f64 {
    let away = |v: f64| if v.abs() < 1e-300 { 1e-300 } else { v };
    let mut d = 1.0 / away(1.0 - (a + b) * x / (a + 1.0));
    let (mut c, mut value) = (1.0, d);
    for m in 1..10_000 {
        let m = f64::from(m);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let mut step = 1.0;
        for term in [even, odd] {
            d = 1.0 / away(1.0 + term * d);
            c = away(1.0 + term / c);
            step = c * d;
            value *= step;
        }
        if (step - 1.0).abs() < 1e-16 {
            break;
        }
    }
    value
}

/// `ln Gamma(x)` for `x > 0`: Stirling's series, after moving up to 15 where it is exact to double precision.
fn ln_gamma(x: f64) -> f64 {
    let (mut x, mut product) = (x, 1.0);
    while x < 15.0 {
        product *= x;
        x += 1.0;
    }
    let r = 1.0 / (x * x);
    let series = (1.0 / 12.0 - r * (1.0 / 360.0 - r * (1.0 / 1260.0 - r * (1.0 / 1680.0 - r / 1188.0)))) / x;
    (x - 0.5) * x.ln() - x + 0.5 * (2.0 * PI).ln() + series - product.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        // One degree: 1/2 + atan(t) / pi. Two: 1/2 + t / (2 sqrt(2 + t^2)).
        for t in [-30.0f64, -1.0, -0.01, 0.0, 0.3, 2.0, 12.7] {
            assert!((cdf(t, 1.0) - (0.5 + t.atan() / PI)).abs() < 1e-14, "{t}");
            assert!((cdf(t, 2.0) - (0.5 + t / (2.0 * (2.0 + t * t).sqrt()))).abs() < 1e-14, "{t}");
        }
        assert!((ln_gamma(0.5) - 0.5 * PI.ln()).abs() < 1e-14);
        assert!((ln_gamma(10.0) - 362_880f64.ln()).abs() < 1e-13);
        for (p, degrees) in [(0.05, 1.0), (0.05, 4.0), (0.01, 9.0), (0.5, 30.0)] {
            assert!((two_sided(two_sided_quantile(p, degrees), degrees) - p).abs() < 1e-13);
        }
    }
}
