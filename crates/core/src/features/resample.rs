//! Resizing with antialiasing: each new pixel is a mean of the old ones under it, weighted by a triangle.

/// The old positions and weights of each new position: a triangle whose half width is the larger of 1 and the ratio.
fn weights(old: usize, new: usize) -> Vec<(usize, Vec<f32>)> {
    let ratio = old as f64 / new as f64;
    let stretch = ratio.max(1.0);
    (0..new)
        .map(|i| {
            let center = (i as f64 + 0.5) * ratio;
            let first = (center - stretch).floor().max(0.0) as usize;
            let end = ((center + stretch).ceil() as usize).clamp(first + 1, old.max(first + 1));
            let raw: Vec<f64> =
                (first..end).map(|j| (1.0 - ((j as f64 + 0.5 - center) / stretch).abs()).max(0.0)).collect();
            let sum: f64 = raw.iter().sum();
            (first, raw.iter().map(|w| (w / sum) as f32).collect())
        })
        .collect()
}

/// Both axes' weights from one size to another; made once for many images.
pub(super) struct Resample {
    old: [usize; 2],
    down: Vec<(usize, Vec<f32>)>,
    across: Vec<(usize, Vec<f32>)>,
}

impl Resample {
    /// From `[height, width]` to `[height, width]`, all at least 1.
    pub(super) fn new(old: [usize; 2], new: [usize; 2]) -> Self {
        Self { old, down: weights(old[0], new[0]), across: weights(old[1], new[1]) }
    }

    /// Resizes one channel of an image whose channels are innermost into a plane; levels stay levels, unrounded.
    pub(super) fn plane(&self, pixels: &[u8], channels: usize, channel: usize, out: &mut [f32]) {
        let [height, width] = self.old;
        let mut narrow = vec![0.0f32; height * self.across.len()];
        for (row, to) in pixels.chunks(width * channels).zip(narrow.chunks_mut(self.across.len())) {
            for (t, (first, weights)) in to.iter_mut().zip(&self.across) {
                let from = row.iter().skip(channel).step_by(channels).skip(*first);
                *t = from.zip(weights).map(|(p, w)| f32::from(*p) * w).sum();
            }
        }
        for (to, (first, weights)) in out.chunks_mut(self.across.len()).zip(&self.down) {
            to.fill(0.0);
            for (row, w) in narrow.chunks(self.across.len()).skip(*first).zip(weights) {
                for (t, x) in to.iter_mut().zip(row) {
                    *t += x * w;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::conformance::golden;

    #[test]
    fn it_agrees_with_pillow_within_one_level() {
        for case in golden("resize").as_array().unwrap() {
            let pixels: Vec<u8> = serde_json::from_value(case["pixels"].clone()).unwrap();
            let expected: Vec<u8> = serde_json::from_value(case["resized"].clone()).unwrap();
            let old: [usize; 2] = serde_json::from_value(case["old"].clone()).unwrap();
            let new: [usize; 2] = serde_json::from_value(case["new"].clone()).unwrap();
            let mut out = vec![0.0; new[0] * new[1]];
            Resample::new(old, new).plane(&pixels, 1, 0, &mut out);
            let worst = out.iter().zip(&expected).map(|(a, b)| (a - f32::from(*b)).abs()).fold(0.0, f32::max);
            // Pillow rounds to bytes after each axis: two halves of a level at most.
            assert!(worst <= 1.01, "{old:?} to {new:?}: {worst}");
        }
    }

    #[test]
    fn channels_stay_apart_and_the_same_size_is_the_same_image() {
        let pixels = [1, 101, 2, 102, 3, 103, 4, 104];
        let mut out = [0.0; 4];
        Resample::new([2, 2], [2, 2]).plane(&pixels, 2, 1, &mut out);
        assert_eq!(out, [101., 102., 103., 104.]);
        Resample::new([2, 2], [1, 1]).plane(&pixels, 2, 0, &mut out[..1]);
        assert_eq!(out[0], 2.5);
    }
}
