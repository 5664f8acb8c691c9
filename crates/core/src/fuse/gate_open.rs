//! How far a gate opens for each member.

/// `softmax(W f + b)` over the members present, or over the `top` of them with the largest `W f + b` (of equal ones the
/// first); zeros for the others.
pub(super) fn open(
    weights: &[f64],
    features: &[f64],
    top: usize,
    present: impl Fn(usize) -> bool,
    out: &mut [f64],
) {
    for (row, o) in weights.chunks(features.len() + 1).zip(out.iter_mut()) {
        let intercept = row.last().copied().unwrap_or(0.0);
        *o = intercept + row.iter().zip(features).map(|(w, f)| w * f).sum::<f64>();
    }
    let last = last(out, top, &present);
    let mut max = f64::NEG_INFINITY;
    for (m, o) in out.iter().enumerate() {
        if present(m) {
            max = max.max(*o);
        }
    }
    let mut sum = 0.0;
    for (m, o) in out.iter_mut().enumerate() {
        let kept = present(m) && last.is_none_or(|last| !before(last, (*o, m)));
        *o = if kept { (*o - max).exp() } else { 0.0 };
        sum += *o;
    }
    if sum > 0.0 {
        out.iter_mut().for_each(|o| *o /= sum);
    }
}

/// Keeps the `top` largest of what a gate opened, which then sum to one.
pub(super) fn keep(gates: &mut [f64], top: usize) {
    let Some(last) = last(gates, top, &|_| true) else { return };
    let mut sum = 0.0;
    for (m, g) in gates.iter_mut().enumerate() {
        if before(last, (*g, m)) {
            *g = 0.0;
        }
        sum += *g;
    }
    if sum > 0.0 {
        gates.iter_mut().for_each(|g| *g /= sum);
    }
}

/// Whether one comes before another: the larger, of equal ones the first.
fn before(one: (f64, usize), other: (f64, usize)) -> bool {
    one.0 > other.0 || (one.0 == other.0 && one.1 < other.1)
}

/// The last one that is kept; `None` if all are.
fn last(values: &[f64], top: usize, present: &impl Fn(usize) -> bool) -> Option<(f64, usize)> {
    if top >= values.len() {
        return None;
    }
    let mut last: Option<(f64, usize)> = None;
    for _ in 0..top {
        let rest = values.iter().copied().enumerate().map(|(m, v)| (v, m));
        let rest = rest.filter(|(v, m)| present(*m) && last.is_none_or(|l| before(l, (*v, *m))));
        last = Some(rest.reduce(|a, b| if before(b, a) { b } else { a })?);
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Intercepts alone: `W` has no features.
    fn opened(logits: &[f64], top: usize, absent: &[usize]) -> Vec<f64> {
        let mut out = vec![0.0; logits.len()];
        open(logits, &[], top, |m| !absent.contains(&m), &mut out);
        out
    }

    #[test]
    fn the_largest_are_kept_and_of_equal_ones_the_first() {
        let (one, two) = (1f64.exp(), 2f64.exp());
        let logits = [1.0, 0.0, 2.0, 1.0];
        assert_eq!(opened(&logits, 1, &[]), [0.0, 0.0, 1.0, 0.0]);
        let near = |got: Vec<f64>, want: [f64; 4]| {
            let sum: f64 = want.iter().sum();
            assert!(got.iter().zip(want).all(|(g, w)| (g - w / sum).abs() < 1e-15), "{got:?} {want:?}");
        };
        near(opened(&logits, 2, &[]), [one, 0.0, two, 0.0]);
        near(opened(&logits, 3, &[]), [one, 0.0, two, one]);
        near(opened(&logits, 4, &[]), [one, 1.0, two, one]);
        near(opened(&logits, 9, &[]), [one, 1.0, two, one]);
        // Who is absent takes no place.
        near(opened(&logits, 2, &[0, 2]), [0.0, 1.0, 0.0, one]);
        near(opened(&logits, 3, &[1, 2, 3]), [1.0, 0.0, 0.0, 0.0]);
        assert_eq!(opened(&logits, 2, &[0, 1, 2, 3]), [0.0; 4]);
        assert_eq!(opened(&[0.0; 4], 1, &[]), [1.0, 0.0, 0.0, 0.0]);
        // Kept afterwards, it is the same.
        for top in 1..=4 {
            let mut gates = opened(&logits, 4, &[1]);
            keep(&mut gates, top);
            let at_once = opened(&logits, top, &[1]);
            assert!(gates.iter().zip(at_once).all(|(a, b)| (a - b).abs() < 1e-15), "{top}: {gates:?}");
        }
    }
}
