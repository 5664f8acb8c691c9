//! Rows brought to mean zero and variance one: what layer and group normalization share.

use super::simd::{sum, sum_pairs};

/// Sums are made in f32 over runs of this many numbers, and in f64 over the runs.
const RUN: usize = 1 << 12;

/// How the numbers of a row are brought to mean zero and variance one: `z = ((x - about) - mean) / sqrt(variance + epsilon)`.
/// The mean is one about the first number and the variance one about the mean, so that a large mean does not hide a small
/// variance.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standard {
    about: f32,
    mean: f32,
    inverse: f32,
}

impl Standard {
    /// That of a row; the variance divides by the count.
    #[inline(always)]
    pub fn of(row: &[f32], epsilon: f32) -> Self {
        let about = row.first().copied().unwrap_or(0.0);
        let count = row.len().max(1) as f64;
        let mean = (total(row, |v| v - about) / count) as f32;
        let square = |v: f32| {
            let apart = (v - about) - mean;
            apart * apart
        };
        let variance = total(row, square) / count;
        Self { about, mean, inverse: (1.0 / (variance + f64::from(epsilon)).sqrt()) as f32 }
    }

    /// From what [`Standard::numbers`] gave.
    pub fn from([about, mean, inverse]: [f32; 3]) -> Self {
        Self { about, mean, inverse }
    }

    /// What a backward pass needs.
    pub fn numbers(self) -> [f32; 3] {
        [self.about, self.mean, self.inverse]
    }

    /// A number of the row, standardized.
    #[inline(always)]
    pub fn z(&self, x: f32) -> f32 {
        ((x - self.about) - self.mean) * self.inverse
    }

    /// The sum of `g z` over a row.
    #[inline(always)]
    pub fn along(&self, g: &[f32], x: &[f32]) -> f64 {
        let mut all = 0.0f64;
        for (g, x) in g.chunks(RUN).zip(x.chunks(RUN)) {
            all += f64::from(sum_pairs(g, x, |g, x| g * self.z(x)));
        }
        all
    }

    /// From the gradient of all `z` of a row that of all `x`, in its place: `d <- (d - mean d - z mean d z) inverse`.
    #[inline(always)]
    pub fn back(&self, d: &mut [f32], x: &[f32]) {
        let count = d.len().max(1) as f64;
        let all = (total(d, |v| v) / count) as f32;
        let slope = (self.along(d, x) / count) as f32;
        for (d, x) in d.iter_mut().zip(x) {
            *d = (*d - all - self.z(*x) * slope) * self.inverse;
        }
    }
}

/// The sum of `each` of all numbers.
#[inline(always)]
pub(super) fn total(numbers: &[f32], each: impl Fn(f32) -> f32 + Copy) -> f64 {
    let mut all = 0.0f64;
    for run in numbers.chunks(RUN) {
        all += f64::from(sum(run, each));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::reference::{numbers, wide};

    /// The largest difference to the same in f64.
    fn off(x: &[f32]) -> f64 {
        let (all, count) = (wide(x), x.len() as f64);
        let mean = all.iter().sum::<f64>() / count;
        let variance = all.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / count;
        let standard = Standard::of(x, 1e-5);
        let expected = |v: f64| (v - mean) / (variance + f64::from(1e-5f32)).sqrt();
        x.iter().zip(&all).map(|(x, v)| (f64::from(standard.z(*x)) - expected(*v)).abs()).fold(0.0, f64::max)
    }

    #[test]
    fn neither_a_large_mean_nor_a_strange_first_number_hides_the_variance() {
        for length in [1, 2, 100, 5000, 100_000] {
            let x = numbers(length, 1);
            assert!(off(&x) < 1e-5, "{length}: {}", off(&x));
            let far: Vec<f32> = x.iter().map(|v| 1000.0 + 0.1 * v).collect();
            assert!(off(&far) < 1e-4, "{length}: {}", off(&far));
            let mut strange = x.clone();
            strange[0] = 1000.0;
            assert!(off(&strange) < 1e-3, "{length}: {}", off(&strange));
        }
    }
}
