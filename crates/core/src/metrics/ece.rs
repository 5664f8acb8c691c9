//! Expected calibration error.

use super::metric::{Metric, Prepared, Sample};
use super::reliability::Binned;
use super::row_means::RowMeans;
use crate::error::Result;
use crate::model::Task;

/// Expected calibration error, debiased: `sum_b share_b |accuracy_b - confidence_b|` over 15 bins of equal width of the
/// top probability, without the bias of its absolute values.
///
/// **Debiasing.** In a bin, `g = confidence - accuracy` has noise of deviation `s = sqrt(sum w^2 p (1 - p)) / sum w` when
/// the probabilities are true, so that `|g|` is too high on average: by 0.8 s for a calibrated model, by less as the gap
/// leaves the noise. Every bin counts `|g| - 2 s phi(g / s)` instead, phi the normal density. That is midway between two
/// corrections: subtracting the expected bias at the gap seen, `2 |g| - E|N(g, s^2)|`, which leaves 0.47 s on a
/// calibrated model, and halving the rows (the sign of the gap from one half, its size from the other, in the mean over
/// all halvings), which leaves nothing there but understates gaps of the size of the noise by one half. Midway leaves
/// 0.23 s and understates by 0.28 s at most. The sum is not let below zero. [`Metric::plain`] gives the uncorrected
/// error.
///
/// **Intervals.** The percentile bootstrap of the plain error adds the bias a second time. Here the signs of the bins
/// are held as they are in the sample, so that a resample is a mean over rows, and the whole is centered on the
/// debiased score. Rows are taken as independent in the debiasing, also where there are groups.
///
/// # Reference
/// A. Kumar, P. Liang, T. Ma, Verified uncertainty calibration, NeurIPS 2019 (the bias, and a correction of it);
/// C. Guo et al., On calibration of modern neural networks, ICML 2017 (15 bins).
#[derive(Debug, Clone, Copy)]
pub struct Ece;

impl Metric for Ece {
    fn name(&self) -> &'static str {
        "ece"
    }

    fn about(&self) -> &'static str {
        "expected calibration error of the top class, 15 bins, debiased"
    }

    fn greater_is_better(&self) -> bool {
        false
    }

    fn suits(&self, task: &Task) -> bool {
        matches!(task, Task::Classify(_))
    }

    fn bounds(&self) -> (f64, f64) {
        (0.0, 1.0)
    }

    fn start(&self, sample: &Sample<'_>) -> Result<Box<dyn Prepared>> {
        let binned = Binned::new(sample)?;
        let shift = binned.debiased() - binned.plain();
        Ok(Box::new(RowMeans::new(sample, binned.signed()).shift(shift)))
    }

    fn plain(&self, sample: &Sample<'_>) -> Result<Option<f64>> {
        sample.check()?;
        Ok(Some(Binned::new(sample)?.plain()))
    }
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;
    use crate::array::Matrix;
    use crate::model::{Classes, Target};
    use crate::seed::Seed;

    /// The means of the plain and the debiased error over samples where the true chance is `p + tilt (1 - p)`.
    fn means(rows: usize, tilt: f64, samples: u64) -> (f64, f64) {
        let classes = Classes::new(vec!["a".into(), "b".into()]).unwrap();
        let (mut plain, mut debiased) = (0.0, 0.0);
        for s in 0..samples {
            let mut rng = Seed::new(3).item(s).rng();
            let top: Vec<f64> = (0..rows).map(|_| 0.5 + 0.5 * rng.random::<f64>()).collect();
            let codes = top.iter().map(|p| u32::from(rng.random::<f64>() > p + tilt * (1.0 - p))).collect();
            let p =
                Matrix::from_shape_fn((rows, 2), |(r, k)| if k == 0 { top[r] } else { 1.0 - top[r] } as f32);
            let target = Target::Classes { classes: classes.clone(), codes };
            let sample = Sample::new(&target, p.view(), None);
            plain += Ece.plain(&sample).unwrap().unwrap() / samples as f64;
            debiased += Ece.score(&sample).unwrap() / samples as f64;
        }
        (plain, debiased)
    }

    #[test]
    fn most_of_the_bias_is_gone_on_a_calibrated_model() {
        let (plain, debiased) = means(500, 0.0, 200);
        assert!(plain > 0.035, "{plain}");
        assert!(debiased < 0.45 * plain, "{debiased} {plain}");
    }

    #[test]
    fn gaps_within_and_beyond_the_noise_are_kept() {
        // The true error is the mean of tilt (1 - p) = 0.25 tilt.
        let (plain, debiased) = means(500, 0.05, 200);
        assert!((debiased - 0.0125).abs() < 0.35 * (plain - 0.0125), "{debiased} {plain}");
        let (plain, debiased) = means(2000, 0.4, 100);
        assert!((debiased - 0.1).abs() < 0.003 && (plain - 0.1).abs() < 0.003, "{debiased} {plain}");
    }
}
