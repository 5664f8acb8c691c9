//! Coefficients of the way along a great circle.

/// Beyond this cosine angles are too small, or too near to half a turn, to be divided by their sine.
pub const NEAR: f64 = 1.0 - 1e-12;

/// The shares `(s, u)` with which `s a + u b` lies at `t` on the way from `a` to `b`:
/// `sin((1 - t) angle) / sin(angle)` and `sin(t angle) / sin(angle)`, by the inner products `aa`, `ab` and `bb`.
///
/// Where the size of the cosine is beyond `limit` it is the straight way, `1 - t` and `t`; and so it is where one of them is zero and has no
/// direction. With `compat` zero stands at a right angle to everything.
pub fn arc((aa, ab, bb): (f64, f64, f64), t: f64, limit: f64, compat: bool) -> (f64, f64) {
    let lengths = aa.max(0.0).sqrt() * bb.max(0.0).sqrt();
    let cosine = match lengths > 0.0 {
        true => (ab / lengths).clamp(-1.0, 1.0),
        false if compat => 0.0,
        false => return (1.0 - t, t),
    };
    if cosine.abs() > limit {
        return (1.0 - t, t);
    }
    let angle = cosine.acos();
    let sine = angle.sin();
    (((1.0 - t) * angle).sin() / sine, (t * angle).sin() / sine)
}

/// Whether two tensors point in opposite directions, so that no way from one to the other is the shortest.
pub fn opposite((aa, ab, bb): (f64, f64, f64)) -> bool {
    let lengths = aa.max(0.0).sqrt() * bb.max(0.0).sqrt();
    lengths > 0.0 && ab / lengths < -NEAR
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_keeps_the_length_and_is_straight_where_there_is_no_circle() {
        let (s, u) = arc((1.0, 0.0, 1.0), 1.0 / 3.0, NEAR, false);
        assert!((s - 0.75f64.sqrt()).abs() < 1e-15 && (u - 0.5).abs() < 1e-15);
        for products in [(4.0, 4.0, 4.0), (1.0, -1.0, 1.0), (0.0, 0.0, 1.0), (1.0, 0.0, 0.0), (0.0, 0.0, 0.0)]
        {
            assert_eq!(arc(products, 0.25, NEAR, false), (0.75, 0.25), "{products:?}");
        }
        let (s, u) = arc((0.0, 0.0, 1.0), 0.5, NEAR, true);
        assert!((s - 0.5f64.sqrt()).abs() < 1e-15 && (u - s).abs() < 1e-15);
        assert!(opposite((1.0, -2.0, 4.0)) && !opposite((1.0, 0.0, 0.0)) && !opposite((1.0, 1.0, 1.0)));
    }
}
