//! Metrics that are a mean over rows: a resample is one product of two vectors.

use super::metric::{Draw, Prepared, Sample};

/// `finish(sum_r c_r w_r loss_r / sum_r c_r w_r) + shift`.
pub(super) struct RowMeans {
    loss: Vec<f64>,
    weight: Option<Vec<f64>>,
    finish: fn(f64) -> f64,
    shift: f64,
}

impl RowMeans {
    /// The mean of the losses of the sample's rows.
    pub(super) fn new(sample: &Sample<'_>, mut loss: Vec<f64>) -> Self {
        let weight = sample.weights();
        if let Some(w) = &weight {
            loss.iter_mut().zip(w).for_each(|(l, w)| *l *= w);
        }
        Self { loss, weight, finish: |mean| mean, shift: 0.0 }
    }

    /// Puts a function around the mean.
    pub(super) fn finish(mut self, finish: fn(f64) -> f64) -> Self {
        self.finish = finish;
        self
    }

    /// Adds a constant.
    pub(super) fn shift(mut self, shift: f64) -> Self {
        self.shift = shift;
        self
    }
}

impl Prepared for RowMeans {
    fn value(&self, draw: &Draw) -> Option<f64> {
        let total = self.weight.as_ref().map_or(draw.total, |w| dot(w, &draw.counts));
        (total > 0.0).then(|| (self.finish)(dot(&self.loss, &draw.counts) / total) + self.shift)
    }
}

/// The product of two vectors of one length, summed in eight lanes in a fixed order.
pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    debug_assert_eq!(a.len(), b.len());
    let mut lanes = [0.0f64; 8];
    let (a8, b8) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f64 = a8.remainder().iter().zip(b8.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in a8.zip(b8) {
        for ((lane, x), y) in lanes.iter_mut().zip(x).zip(y) {
            *lane += x * y;
        }
    }
    lanes.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_is_summed_whole() {
        for n in 0..40usize {
            let a: Vec<f64> = (0..n).map(|i| i as f64).collect();
            let want: f64 = a.iter().map(|x| x * 2.0).sum();
            assert_eq!(dot(&a, &vec![2.0; n]), want, "{n}");
        }
    }
}
