//! Numbers as a reader wants them: four significant digits, decimals of an interval from its width, units that fit.

use crate::outcome::Interval;

/// What stands for a number that is not there.
pub(super) const NONE: &str = "–";

/// Whether a number can be drawn: finite, and far from where differences overflow.
pub(super) fn drawable(v: f64) -> bool {
    v.is_finite() && v.abs() < 1e150
}

/// The power of ten of the first digit; 0 for zero.
fn order(v: f64) -> i32 {
    if v == 0.0 || !v.is_finite() { 0 } else { v.abs().log10().floor() as i32 }
}

/// With a true minus sign.
fn minus(text: &str) -> String {
    text.replace('-', "\u{2212}")
}

/// With exactly so many decimals; the sign of a rounded zero is dropped.
pub(super) fn fixed(v: f64, decimals: usize) -> String {
    if v.is_nan() {
        return NONE.to_owned();
    }
    if v.is_infinite() {
        return if v > 0.0 { "∞".to_owned() } else { "\u{2212}∞".to_owned() };
    }
    if v.abs() >= 1e7 {
        return minus(&format!("{v:.3e}"));
    }
    let text = format!("{v:.decimals$}");
    match text.strip_prefix('-') {
        Some(rest) if rest.chars().all(|c| c == '0' || c == '.') => rest.to_owned(),
        _ => minus(&grouped(&text)),
    }
}

/// With commas between thousands from ten thousand on.
fn grouped(text: &str) -> String {
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let digits = whole.trim_start_matches('-');
    if digits.len() < 5 {
        return text.to_owned();
    }
    format!("{}{}{rest}", if whole.starts_with('-') { "-" } else { "" }, thousands(digits))
}

/// Digits with commas between thousands.
fn thousands(digits: &str) -> String {
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// With a sign, plus included, and so many decimals.
pub(super) fn signed(v: f64, decimals: usize) -> String {
    let text = fixed(v, decimals);
    if v > 0.0 && text.chars().any(|c| ('1'..='9').contains(&c) || c == '∞') {
        format!("+{text}")
    } else {
        text
    }
}

/// Four significant digits, trailing zeros dropped.
pub(super) fn number(v: f64) -> String {
    significant(v, 4)
}

/// So many significant digits, trailing zeros dropped.
pub(super) fn significant(v: f64, digits: i32) -> String {
    if !v.is_finite() || v == 0.0 {
        return fixed(v, 0);
    }
    let order = order(v);
    if !(-5..7).contains(&order) {
        let precision = usize::try_from(digits - 1).unwrap_or(0);
        return minus(&format!("{v:.precision$e}"));
    }
    let decimals = usize::try_from((digits - 1 - order).max(0)).unwrap_or(0);
    let text = fixed(v, decimals);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// The decimals that give the largest of these values four significant digits.
pub(super) fn decimals(values: impl Iterator<Item = f64>) -> usize {
    let largest = values.filter(|v| drawable(*v)).fold(0.0_f64, |a, v| a.max(v.abs()));
    if largest == 0.0 { 3 } else { usize::try_from((3 - order(largest)).clamp(0, 8)).unwrap_or(0) }
}

/// The decimals that give the middle one of these intervals two significant digits of width.
pub(super) fn decimals_of<'a>(intervals: impl Iterator<Item = &'a Interval>) -> Option<usize> {
    let mut widths: Vec<f64> =
        intervals.map(|i| i.high - i.low).filter(|w| drawable(*w) && *w > 0.0).collect();
    widths.sort_by(f64::total_cmp);
    let middle = widths.get(widths.len() / 2)?;
    usize::try_from((1 - order(*middle)).clamp(0, 8)).ok()
}

/// The ends of an interval: "[0.915, 0.931]".
pub(super) fn ends(i: &Interval, decimals: usize) -> String {
    format!("[{}, {}]", fixed(i.low, decimals), fixed(i.high, decimals))
}

/// The ends of an interval of differences: "[+0.004, +0.021]".
pub(super) fn signed_ends(i: &Interval, decimals: usize) -> String {
    format!("[{}, {}]", signed(i.low, decimals), signed(i.high, decimals))
}

/// A count with commas between thousands.
pub(super) fn count(n: u64) -> String {
    thousands(&n.to_string())
}

/// "1 row", "2 rows".
pub(super) fn counted(n: usize, one: &str, many: &str) -> String {
    format!("{} {}", count(n as u64), if n == 1 { one } else { many })
}

/// With the largest of these units of which it has at least one: 12.3 M.
fn scaled(v: f64, units: &[&str]) -> String {
    let mut value = v;
    let mut unit = units.first().copied().unwrap_or("");
    for next in units.iter().skip(1) {
        if value < 999.5 {
            break;
        }
        value /= 1000.0;
        unit = next;
    }
    let text = significant(value, 3);
    if unit.is_empty() { text } else { format!("{text}\u{a0}{unit}") }
}

/// A large count: "61.7 k", "1.2 M".
pub(super) fn large(n: u64) -> String {
    scaled(n as f64, &["", "k", "M", "G", "T"])
}

/// Bytes in powers of a thousand.
pub(super) fn bytes(n: u64) -> String {
    scaled(n as f64, &["B", "kB", "MB", "GB", "TB"])
}

/// Microseconds in the unit that fits.
pub(super) fn micros(v: f64) -> String {
    if !v.is_finite() || v < 0.0 {
        return NONE.to_owned();
    }
    if v > 0.0 && v < 1.0 { scaled(v * 1000.0, &["ns", "µs"]) } else { scaled(v, &["µs", "ms", "s"]) }
}

/// Seconds as people say them.
pub(super) fn seconds(v: f64) -> String {
    if !v.is_finite() || v < 0.0 {
        return NONE.to_owned();
    }
    if v < 1.0 {
        return micros(v * 1e6);
    }
    if v < 60.0 {
        return format!("{}\u{a0}s", significant(v, 3));
    }
    if v >= 1e9 {
        return format!("{}\u{a0}s", significant(v, 3));
    }
    let whole = v.round() as u64;
    let (hours, minutes, rest) = (whole / 3600, whole / 60 % 60, whole % 60);
    if hours > 0 {
        format!("{}\u{a0}h {minutes:02}\u{a0}min", count(hours))
    } else {
        format!("{minutes}\u{a0}min {rest:02}\u{a0}s")
    }
}

/// A share of one as a percentage.
pub(super) fn percent(share: f64) -> String {
    if !share.is_finite() {
        return NONE.to_owned();
    }
    let p = share * 100.0;
    if p > 0.0 && p < 0.1 {
        "<0.1%".to_owned()
    } else if p > 99.9 && p < 100.0 {
        ">99.9%".to_owned()
    } else {
        format!("{}%", significant(p, 3))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_digits() {
        for (v, text) in [
            (0.0, "0"),
            (0.923_456, "0.9235"),
            (0.5, "0.5"),
            (123.456, "123.5"),
            (9.99996, "10"),
            (1234.0, "1234"),
            (123_456.0, "123,456"),
            (-12_345.6, "\u{2212}12,346"),
            (-0.012_34, "\u{2212}0.01234"),
            (1.5e-9, "1.500e\u{2212}9"),
            (f64::NAN, "–"),
            (f64::NEG_INFINITY, "\u{2212}∞"),
        ] {
            assert_eq!(number(v), text);
        }
    }

    #[test]
    fn decimals_come_from_the_width() {
        let i = Interval { value: 0.923, low: 0.915, high: 0.931 };
        let d = decimals_of([i].iter()).unwrap();
        assert_eq!(format!("{} {}", fixed(i.value, d), ends(&i, d)), "0.923 [0.915, 0.931]");
        let i = Interval { value: 0.01, low: -0.0004, high: 0.021 };
        assert_eq!(signed_ends(&i, 3), "[0.000, +0.021]");
        assert_eq!(signed(-0.2, 1), "\u{2212}0.2");
        assert_eq!(decimals([0.2, 0.9].into_iter()), 4);
        assert_eq!(decimals([1e12].into_iter()), 0);
        assert_eq!(decimals(std::iter::empty()), 3);
    }

    #[test]
    fn units_fit() {
        assert_eq!(large(999), "999");
        assert_eq!(large(61_706), "61.7\u{a0}k");
        assert_eq!(bytes(1_234_567), "1.23\u{a0}MB");
        assert_eq!(micros(0.25), "250\u{a0}ns");
        assert_eq!(micros(1234.0), "1.23\u{a0}ms");
        assert_eq!(seconds(0.5), "500\u{a0}ms");
        assert_eq!(seconds(200.0), "3\u{a0}min 20\u{a0}s");
        assert_eq!(seconds(3900.0), "1\u{a0}h 05\u{a0}min");
        assert_eq!(seconds(f64::MAX), "1.80e308\u{a0}s");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(percent(0.000_01), "<0.1%");
        assert_eq!(percent(0.999_9), ">99.9%");
        assert_eq!(percent(0.125), "12.5%");
    }
}
