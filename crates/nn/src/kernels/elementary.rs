//! Elementary functions that become vector code: each a polynomial or a ratio of two, without a branch.
//!
//! Products and sums are fused, which every processor of the last decade does in one instruction; where it does not, the
//! same bits are computed slowly.

/// `e^x`, within two units in the last place; zero below -87.3, infinite above 88.7.
///
/// `x = n ln 2 + r` with `|r| <= ln 2 / 2`, then a polynomial in `r`.
///
/// # Reference
/// S. L. Moshier, Cephes mathematical library, expf.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    let inside = x.clamp(-87.3, 88.7);
    let (y, shifted) = reduced(inside);
    // 2^n in two factors, since n may be 128.
    let whole = shifted.to_bits().wrapping_sub(ROUND.to_bits()) as i32;
    let half = whole >> 1;
    let power = |n: i32| f32::from_bits((n.wrapping_add(127) as u32) << 23);
    let y = y * power(half) * power(whole.wrapping_sub(half));
    let y = if x < -87.3 { 0.0 } else { y };
    if x > 88.7 { f32::INFINITY } else { y }
}

/// `e^x` of numbers that are not above zero, as [`exp`] with less to do.
#[inline(always)]
pub fn exp_down(x: f32) -> f32 {
    let inside = if x < -87.3 { -87.3 } else { x };
    let (y, shifted) = reduced(inside);
    // The exponent lies in the low bits of what was rounded by adding.
    let power = f32::from_bits(shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127) << 23);
    if x < -87.3 { 0.0 } else { y * power }
}

/// Adding it rounds to whole numbers: 1.5 * 2^23.
const ROUND: f32 = 12_582_912.0;

/// `e^r` of what is left after whole powers of two, and how many these are, plus [`ROUND`].
#[inline(always)]
fn reduced(x: f32) -> (f32, f32) {
    let shifted = x.mul_add(std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = n.mul_add(2.121_944_4e-4, n.mul_add(-0.693_359_4, x));
    let p = 1.987_569_1e-4f32.mul_add(r, 1.398_199_9e-3).mul_add(r, 8.333_452e-3);
    let p = p.mul_add(r, 4.166_579_6e-2).mul_add(r, 0.166_666_65).mul_add(r, 0.5);
    ((p * r).mul_add(r, r) + 1.0, shifted)
}

/// `tanh x`, within a few units in the last place.
///
/// # Reference
/// The ratio of polynomials of Eigen's `generic_fast_tanh_float`.
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    let x = x.clamp(-7.905_311, 7.905_311);
    let q = x * x;
    let p = (-2.760_768_5e-16f32).mul_add(q, 2.000_188e-13).mul_add(q, -8.604_672e-11);
    let p = p.mul_add(q, 5.122_297e-8).mul_add(q, 1.485_722_3e-5).mul_add(q, 6.372_619e-4);
    let p = p.mul_add(q, 4.893_524_6e-3) * x;
    let d = 1.198_258_4e-6f32.mul_add(q, 1.185_347_1e-4).mul_add(q, 2.268_434_6e-3);
    p / d.mul_add(q, 4.893_525e-3)
}

/// `1 / (1 + e^-x)`.
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    0.5 * tanh(0.5 * x) + 0.5
}

/// The error function, within `3e-7`; one itself from four on.
///
/// # Reference
/// The ratio of polynomials of Eigen's `erf`.
#[inline(always)]
pub fn erf(x: f32) -> f32 {
    let x = x.clamp(-4.0, 4.0);
    let q = x * x;
    let p = (-2.726_142e-10f32).mul_add(q, 2.770_681_5e-8).mul_add(q, -2.101_024e-6);
    let p = p.mul_add(q, -5.692_506_5e-5).mul_add(q, -7.349_906_3e-4).mul_add(q, -2.954_6e-3);
    let p = p.mul_add(q, -1.609_603_3e-2) * x;
    let d = (-1.456_607_2e-5f32).mul_add(q, -2.133_740_5e-4).mul_add(q, -1.682_827e-3);
    let y = p / d.mul_add(q, -7.373_329e-3).mul_add(q, -1.426_473_9e-2);
    // What is short of one there would come out large beside a large factor, as in gelu.
    let y = if x >= 4.0 { 1.0 } else { y };
    if x <= -4.0 { -1.0 } else { y }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apart(approximate: fn(f32) -> f32, exact: impl Fn(f64) -> f64, relative: f64) {
        for i in -40_000..=40_000 {
            let x = i as f32 * 0.002_5;
            let (got, expected) = (f64::from(approximate(x)), exact(f64::from(x)));
            assert!((got - expected).abs() <= relative * expected.abs().max(1e-30), "{x}: {got} {expected}");
        }
    }

    #[test]
    fn exponentials_are_exact_to_the_last_places() {
        for i in -34_800..=35_400 {
            let x = i as f32 * 0.002_5;
            let (got, expected) = (f64::from(exp(x)), f64::from(x).exp());
            assert!((got / expected - 1.0).abs() < 3e-7, "{x}: {got} {expected}");
        }
        for i in 0..=36_000 {
            let x = i as f32 * -0.002_5;
            // On the way down both are the same, to the last bits.
            assert!((exp_down(x) - exp(x)).abs() <= 3e-7 * exp(x), "{x}");
        }
        assert!(exp_down(f32::NAN).is_nan() && exp_down(f32::NEG_INFINITY) == 0.0);
        assert_eq!((exp(0.0), exp(-100.0), exp(f32::NEG_INFINITY)), (1.0, 0.0, 0.0));
        assert_eq!((exp(100.0), exp(f32::INFINITY)), (f32::INFINITY, f32::INFINITY));
        assert!(exp(f32::NAN).is_nan());
    }

    #[test]
    fn sigmoids_are_exact_to_the_last_places() {
        apart(tanh, f64::tanh, 5e-7);
        for i in -8_000..=8_000 {
            let x = i as f32 * 0.002_5;
            let (got, expected) = (f64::from(sigmoid(x)), 1.0 / (1.0 + (-f64::from(x)).exp()));
            assert!((got - expected).abs() < 2e-7, "{x}: {got} {expected}");
        }
        assert!(tanh(f32::NAN).is_nan() && sigmoid(f32::NAN).is_nan());
    }

    /// `2 / sqrt(pi)` times the integral of `e^(-t^2)`, by its series.
    fn series(x: f64) -> f64 {
        let (mut term, mut sum) = (x, x);
        for n in 1..200 {
            term *= -x * x / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        sum * std::f64::consts::FRAC_2_SQRT_PI
    }

    #[test]
    fn the_error_function_is_exact_to_the_seventh_place() {
        for i in -1_200..=1_200 {
            let x = i as f32 * 0.002_5;
            assert!(
                (f64::from(erf(x)) - series(f64::from(x))).abs() < 3e-7,
                "{x}: {} {}",
                erf(x),
                series(f64::from(x))
            );
        }
        assert!(erf(f32::NAN).is_nan());
        for far in [4.0, 9.0, 1e30, f32::INFINITY] {
            assert_eq!((erf(far), erf(-far)), (1.0, -1.0));
        }
    }
}
