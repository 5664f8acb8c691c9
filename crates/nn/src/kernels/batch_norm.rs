//! Batch normalization with a residual and a rectifier in the same pass, for training; for predicting it is folded into
//! a scale and a shift of each channel.
//!
//! Sums are made channel by channel in a fixed order, then numbers sample by sample: no bit depends on the threads.

use std::sync::{Arc, OnceLock};

use rayon::prelude::*;

use super::activation::open;
use super::built_in;
use super::simd::{sum, sum_pairs, wide};
use crate::backend::{self, Host, Operator, Saved, Tensor};
use crate::memory::fresh;

/// The mean and the variance of each channel over a batch; the variance divides by the count.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Moments {
    /// `[channels]`.
    pub mean: Vec<f32>,
    /// `[channels]`.
    pub variance: Vec<f32>,
}

/// `y = gamma (x - mean) / sqrt(variance + epsilon) + beta [+ residual]`, with `rectify` the larger of that and zero; mean
/// and variance are those of the batch, channel by channel, and are given too.
///
/// # Shapes
/// `x` and `residual [n, channels, h, w]`, `gamma` and `beta [channels]`.
///
/// # Reference
/// Ioffe and Szegedy (2015), "Batch normalization".
pub fn batch_norm(
    x: Tensor<4>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    residual: Option<Tensor<4>>,
    epsilon: f32,
    rectify: bool,
) -> (Tensor<4>, Moments) {
    if backend::elsewhere() {
        return built_in::batch_norm(x, gamma, beta, residual, epsilon, rectify);
    }
    let told = Arc::new(OnceLock::new());
    let operator = Arc::new(BatchNorm { epsilon, rectify, told: Arc::clone(&told) });
    let y = match residual {
        Some(r) => backend::operate(operator, [x.into(), gamma.into(), beta.into(), r.into()]),
        None => backend::operate(operator, [x.into(), gamma.into(), beta.into()]),
    };
    (y, told.get().cloned().unwrap_or_default())
}

#[derive(Debug)]
struct BatchNorm {
    epsilon: f32,
    rectify: bool,
    told: Arc<OnceLock<Moments>>,
}

/// Samples, channels, numbers of a channel of a sample.
fn sizes(x: &Host) -> (usize, usize, usize) {
    let shape = x.shape();
    let at = |i: usize| shape.get(i).copied().unwrap_or(1);
    (at(0), at(1), shape.iter().skip(2).product())
}

/// The numbers of a channel, run by run.
fn runs(x: &[f32], channels: usize, plane: usize, channel: usize) -> impl Iterator<Item = &[f32]> {
    x.chunks_exact((channels * plane).max(1))
        .map(move |sample| &sample[channel * plane..(channel + 1) * plane])
}

fn moments(x: &[f32], channels: usize, plane: usize) -> Moments {
    let both: Vec<(f32, f32)> = (0..channels)
        .into_par_iter()
        .map(|c| {
            wide(
                #[inline(always)]
                || {
                    let of = || runs(x, channels, plane, c);
                    let count = of().map(<[f32]>::len).sum::<usize>().max(1) as f64;
                    let mean = of().map(|run| f64::from(sum(run, |v| v))).sum::<f64>() / count;
                    // About the mean, so that a large mean does not hide a small variance; what the mean was rounded by
                    // is taken off again.
                    let (about, mut first, mut second) = (mean as f32, 0.0f64, 0.0f64);
                    for run in of() {
                        first += f64::from(sum(run, |v| v - about));
                        second += f64::from(sum(run, |v| (v - about) * (v - about)));
                    }
                    let off = first / count;
                    ((f64::from(about) + off) as f32, (second / count - off * off).max(0.0) as f32)
                },
            )
        })
        .collect();
    let (mean, variance) = both.into_iter().unzip();
    Moments { mean, variance }
}

impl Operator for BatchNorm {
    fn forward(&self, inputs: &[Host], save: bool) -> (Host, Saved) {
        let [x, gamma, beta, residual @ ..] = inputs else { return Default::default() };
        let (_, channels, plane) = sizes(x);
        let told = moments(x.numbers(), channels, plane);
        let inverse: Vec<f32> = told.variance.iter().map(|v| 1.0 / (v + self.epsilon).sqrt()).collect();
        let sample = (channels * plane).max(1);
        let mut out = fresh(x.numbers().len());
        let residual = residual.first().map(Host::numbers);
        out.par_chunks_mut(sample).zip(x.numbers().par_chunks(sample)).enumerate().for_each(
            |(s, (out, x))| {
                for (c, (inverse, mean)) in inverse.iter().zip(&told.mean).enumerate() {
                    let scale = gamma.numbers()[c] * inverse;
                    let shift = beta.numbers()[c];
                    let span = c * plane..(c + 1) * plane;
                    let (out, x) = (&mut out[span.clone()], &x[span.clone()]);
                    let residual = residual.map(|r| &r[s * sample..][span]);
                    wide(
                        #[inline(always)]
                        || normalize(out, x, residual, [*mean, scale, shift], self.rectify),
                    );
                }
            },
        );
        let out = Host::new(out, x.shape());
        let mut saved = Saved::default();
        if save {
            saved.hosts = vec![Host::new(told.mean.clone(), [channels]), Host::new(inverse, [channels])];
            saved.hosts.extend(self.rectify.then(|| out.clone()));
        }
        // The first pass counts; it is the only one of its operator.
        let _ = self.told.set(told);
        (out, saved)
    }

    fn backward(
        &self,
        inputs: &[Host],
        saved: &Saved,
        gradient: &Host,
        wanted: &[bool],
    ) -> Vec<Option<Host>> {
        let ([x, gamma, _, residual @ ..], [mean, inverse, out @ ..]) = (inputs, saved.hosts.as_slice())
        else {
            return Vec::new();
        };
        let (_, channels, plane) = sizes(x);
        let sample = (channels * plane).max(1);
        let masked = out.first().map(|y| open(y, gradient));
        let through = masked.as_ref().unwrap_or(gradient);
        let gradient = through.numbers();
        let sums: Vec<(f32, f32)> = (0..channels)
            .into_par_iter()
            .map(|c| {
                wide(
                    #[inline(always)]
                    || {
                        let (mean, mut d, mut dx) = (mean.numbers()[c], 0.0f64, 0.0f64);
                        let pairs =
                            runs(gradient, channels, plane, c).zip(runs(x.numbers(), channels, plane, c));
                        for (g, x) in pairs {
                            d += f64::from(sum(g, |v| v));
                            dx += f64::from(sum_pairs(g, x, |g, x| g * (x - mean)));
                        }
                        (d as f32, dx as f32 * inverse.numbers()[c])
                    },
                )
            })
            .collect();
        let count = (x.numbers().len() / channels.max(1)).max(1) as f32;
        let want = |i: usize| wanted.get(i).copied().unwrap_or(false);
        let dx = want(0).then(|| {
            let mut dx = fresh(x.numbers().len());
            dx.par_chunks_mut(sample)
                .zip(x.numbers().par_chunks(sample).zip(gradient.par_chunks(sample)))
                .for_each(|(dx, (x, g))| {
                    for (c, (first, second)) in sums.iter().enumerate() {
                        let span = c * plane..(c + 1) * plane;
                        let (dx, x, g) = (&mut dx[span.clone()], &x[span.clone()], &g[span]);
                        let (mean, inverse) = (mean.numbers()[c], inverse.numbers()[c]);
                        let scale = gamma.numbers()[c] * inverse;
                        let (all, slope) = (first / count, second / count * inverse);
                        wide(
                            #[inline(always)]
                            || {
                                for ((dx, x), g) in dx.iter_mut().zip(x).zip(g) {
                                    *dx = scale * (g - all - (x - mean) * slope);
                                }
                            },
                        );
                    }
                });
            Host::new(dx, x.shape())
        });
        let host = |v: Vec<f32>| Host::new(v, [channels]);
        let mut all = vec![
            dx,
            want(1).then(|| host(sums.iter().map(|s| s.1).collect())),
            want(2).then(|| host(sums.iter().map(|s| s.0).collect())),
        ];
        all.extend(residual.first().map(|_| want(3).then(|| through.clone())));
        all
    }
}

#[inline(always)]
fn normalize(
    out: &mut [f32],
    x: &[f32],
    residual: Option<&[f32]>,
    [mean, scale, shift]: [f32; 3],
    rectify: bool,
) {
    // What is not a number stays so: `max` would take the zero.
    let finish = |y: f32| if rectify && y < 0.0 { 0.0 } else { y };
    match residual {
        Some(r) => {
            for ((y, x), r) in out.iter_mut().zip(x).zip(r) {
                *y = finish((x - mean) * scale + shift + r);
            }
        }
        None => {
            for (y, x) in out.iter_mut().zip(x) {
                *y = finish((x - mean) * scale + shift);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::reference::{differences, numbers, wide as f64s};

    fn plain(all: &[Vec<f64>], [n, c, plane]: [usize; 3], epsilon: f64, rectify: bool) -> Vec<f64> {
        let mut out = vec![0.0; n * c * plane];
        for channel in 0..c {
            let places: Vec<usize> =
                (0..n).flat_map(|s| (0..plane).map(move |p| (s * c + channel) * plane + p)).collect();
            let count = places.len() as f64;
            let mean = places.iter().map(|i| all[0][*i]).sum::<f64>() / count;
            let variance = places.iter().map(|i| (all[0][*i] - mean).powi(2)).sum::<f64>() / count;
            for i in places {
                let y = all[1][channel] * (all[0][i] - mean) / (variance + epsilon).sqrt() + all[2][channel];
                let y = y + all.get(3).map_or(0.0, |r| r[i]);
                out[i] = if rectify { y.max(0.0) } else { y };
            }
        }
        out
    }

    #[test]
    fn values_moments_and_gradients_are_the_plain_ones() {
        let (n, c, h, w) = (3, 4, 5, 2);
        for rectify in [false, true] {
            for residual in [false, true] {
                let mut inputs = vec![
                    Host::new(numbers(n * c * h * w, 1), [n, c, h, w]),
                    Host::new(numbers(c, 2), [c]),
                    Host::new(numbers(c, 3), [c]),
                ];
                inputs.extend(residual.then(|| Host::new(numbers(n * c * h * w, 4), [n, c, h, w])));
                let told = Arc::new(OnceLock::new());
                let operator = BatchNorm { epsilon: 1e-3, rectify, told: Arc::clone(&told) };
                let all: Vec<Vec<f64>> = inputs.iter().map(|i| f64s(i.numbers())).collect();
                let (out, _) = operator.forward(&inputs, false);
                let epsilon = f64::from(1e-3f32);
                for (a, e) in out.numbers().iter().zip(plain(&all, [n, c, h * w], epsilon, rectify)) {
                    assert!((f64::from(*a) - e).abs() < 1e-5, "{a} {e}");
                }
                let mean: f64 = (0..n).map(|s| all[0][s * c * h * w..][..h * w].iter().sum::<f64>()).sum();
                let told = told.get().unwrap();
                assert!((f64::from(told.mean[0]) - mean / (n * h * w) as f64).abs() < 1e-6);
                let apart = differences(&operator, &inputs, |x| plain(x, [n, c, h * w], epsilon, rectify));
                assert!(apart <= usize::from(rectify), "{apart}");
            }
        }
    }

    #[test]
    fn a_large_mean_does_not_hide_a_small_variance() {
        let x: Vec<f32> = numbers(4096, 1).into_iter().map(|v| 1000.0 + 0.1 * v).collect();
        let told = moments(&x, 1, 4096);
        let mean = f64s(&x).iter().sum::<f64>() / 4096.0;
        let variance = f64s(&x).iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 4096.0;
        assert!(
            (f64::from(told.variance[0]) / variance - 1.0).abs() < 1e-3,
            "{} {variance}",
            told.variance[0]
        );
    }
}
