//! Bilinear sampling of an image under an affine map about its center.

/// Replaces each pixel by what lies at `center + matrix (position - center)` of the old image, with
/// `center = ((width - 1) / 2, (height - 1) / 2)`, positions `(x, y)` with y downwards, and `matrix` row-major.
///
/// The four neighbors are mixed by their nearness, in steps of 1/2048 pixel; those outside the image count as `fill`.
/// Halves are rounded up.
pub(super) fn warp(shape: [usize; 3], pixels: &mut [u8], matrix: [f64; 4], fill: u8) {
    let [height, width, channels] = shape;
    if pixels.is_empty() {
        return;
    }
    let size = [height, width];
    match channels {
        1 => whole::<1>(size, pixels, matrix, fill),
        3 => whole::<3>(size, pixels, matrix, fill),
        4 => whole::<4>(size, pixels, matrix, fill),
        _ => {
            for channel in 0..channels {
                let mut plane: Vec<u8> = pixels.iter().skip(channel).step_by(channels).copied().collect();
                whole::<1>(size, &mut plane, matrix, fill);
                pixels.iter_mut().skip(channel).step_by(channels).zip(plane).for_each(|(p, v)| *p = v);
            }
        }
    }
}

/// Positions are whole numbers of 2^-32 pixels, so that stepping along a row is an addition.
const BITS: u32 = 32;

fn whole<const C: usize>([height, width]: [usize; 2], pixels: &mut [u8], matrix: [f64; 4], fill: u8) {
    let copy = pixels.to_vec();
    let old = copy.as_chunks::<C>().0;
    let [a, b, c, d] = matrix;
    let (cx, cy) = ((width as f64 - 1.0) / 2.0, (height as f64 - 1.0) / 2.0);
    let fixed = |v: f64| (v * (1u64 << BITS) as f64).round() as i64;
    // Half of the step in which nearness is counted.
    let half = 1i64 << (BITS - 12);
    for (i, row) in pixels.as_chunks_mut::<C>().0.chunks_mut(width).enumerate() {
        let dy = i as f64 - cy;
        let start = |v: f64| fixed(v).saturating_add(half);
        let (mut x, mut y) = (start(cx - a * cx + b * dy), start(cy - c * cx + d * dy));
        let (step_x, step_y) = (fixed(a), fixed(c));
        for out in row {
            let (left, top) = (x >> BITS, y >> BITS);
            let nearness = |v: i64| (v >> (BITS - 11)) as u32 & 2047;
            let (fx, fy) = (nearness(x), nearness(y));
            // A negative number is a huge one without its sign.
            let inside = (left as u64) < width as u64 - 1 && (top as u64) < height as u64 - 1;
            let at = if inside { top as usize * width + left as usize } else { old.len() };
            let pair = |at: usize| old.get(at..at + 2);
            let corners = match (pair(at), pair(at + width)) {
                (Some([p, q]), Some([r, s])) => [*p, *q, *r, *s],
                _ => [(0, 0), (1, 0), (0, 1), (1, 1)].map(|(right, down)| {
                    let (x, y) = (left + right, top + down);
                    let there = (x as u64) < width as u64 && (y as u64) < height as u64;
                    let at = if there { y as usize * width + x as usize } else { old.len() };
                    old.get(at).copied().unwrap_or([fill; C])
                }),
            };
            let [p, q, r, s] = corners;
            *out = std::array::from_fn(|k| {
                let upper = u32::from(p[k]) * (2048 - fx) + u32::from(q[k]) * fx;
                let lower = u32::from(r[k]) * (2048 - fx) + u32::from(s[k]) * fx;
                ((upper * (2048 - fy) + lower * fy + (1 << 21)) >> 22) as u8
            });
            (x, y) = (x.wrapping_add(step_x), y.wrapping_add(step_y));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::augment::conformance::golden;
    use crate::augment::{Draw, Rotate, Sample, Scale, Transform};

    #[test]
    fn rotation_and_scale_agree_with_opencv() {
        for case in golden("warp").as_array().unwrap() {
            let shape: [usize; 3] = serde_json::from_value(case["shape"].clone()).unwrap();
            let mut pixels: Vec<u8> = serde_json::from_value(case["pixels"].clone()).unwrap();
            let expected: Vec<u8> = serde_json::from_value(case["turned"].clone()).unwrap();
            let (angle, factor) = (case["angle"].as_f64().unwrap(), case["factor"].as_f64().unwrap());
            let mut sample = Sample::Image { shape, pixels: &mut pixels };
            if factor == 1.0 {
                Rotate::default().apply(&Draw::of([angle]), &mut sample).unwrap();
            } else {
                Scale::default().apply(&Draw::of([factor]), &mut sample).unwrap();
            }
            let differences: Vec<f64> =
                pixels.iter().zip(&expected).map(|(a, b)| f64::from(a.abs_diff(*b))).collect();
            let worst = differences.iter().copied().fold(0.0, f64::max);
            let mean = differences.iter().sum::<f64>() / differences.len() as f64;
            // OpenCV samples in 32-bit floats.
            assert!(worst <= 1.0 && mean <= 0.025, "{angle} {factor}: worst {worst}, mean {mean}");
        }
    }
}
