//! Group normalization: the channels of a group of a sample by their own mean and variance.

use std::sync::Arc;

use consilience_core::{Error, Result};
use rayon::prelude::*;

use super::built_in;
use super::simd::wide;
use super::standard::{Standard, total};
use crate::backend::{self, Host, Operator, Saved, Tensor};
use crate::memory::fresh;

/// `y = gamma (x - mean) / sqrt(variance + epsilon) + beta`; mean and variance, which divides by the count, are those of a
/// sample's group of channels, gamma and beta those of a channel. One group for each channel is instance normalization.
///
/// # Shapes
/// `x [n, channels, h, w]`, `gamma` and `beta [channels]`, to the shape of `x`.
///
/// # Errors
/// [`Error::Argument`] if the groups do not divide the channels, or gamma or beta have another number of them.
///
/// # Reference
/// Wu and He (2018), "Group normalization".
pub fn group_norm(
    x: Tensor<4>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    groups: usize,
    epsilon: f32,
) -> Result<Tensor<4>> {
    let [_, channels, ..] = x.dims();
    if groups == 0 || !channels.is_multiple_of(groups) {
        let wrong = Error::argument("the groups of a group normalization do not divide its channels");
        return Err(wrong.expected(format!("a divisor of {channels}")).got(groups));
    }
    for [length] in [gamma.dims(), beta.dims()] {
        if length != channels {
            let wrong = Error::argument("a group normalization has a gamma and a beta for each channel");
            return Err(wrong.expected(channels).got(length));
        }
    }
    if backend::elsewhere() {
        return Ok(built_in::group_norm(x, gamma, beta, groups, epsilon));
    }
    Ok(backend::operate(Arc::new(GroupNorm { groups, epsilon }), [x.into(), gamma.into(), beta.into()]))
}

#[derive(Debug)]
struct GroupNorm {
    groups: usize,
    epsilon: f32,
}

impl GroupNorm {
    /// Channels of a group, and numbers of a channel of a sample; one where there is none.
    fn sizes(&self, x: &Host) -> (usize, usize) {
        let shape = x.shape();
        let channels = shape.get(1).copied().unwrap_or(0) / self.groups.max(1);
        (channels.max(1), shape.iter().skip(2).product::<usize>().max(1))
    }
}

impl Operator for GroupNorm {
    fn forward(&self, inputs: &[Host], save: bool) -> (Host, Saved) {
        let [x, gamma, beta] = inputs else { return Default::default() };
        let (channels, plane) = self.sizes(x);
        let mut out = fresh(x.numbers().len());
        let kept: Vec<[f32; 3]> = out
            .par_chunks_mut(channels * plane)
            .zip(x.numbers().par_chunks(channels * plane))
            .enumerate()
            .map(|(row, (out, x))| {
                let first = row % self.groups * channels;
                wide(
                    #[inline(always)]
                    || {
                        let standard = Standard::of(x, self.epsilon);
                        let planes = out.chunks_exact_mut(plane).zip(x.chunks_exact(plane));
                        for (c, (out, x)) in planes.enumerate() {
                            let (gamma, beta) = (gamma.numbers()[first + c], beta.numbers()[first + c]);
                            for (y, x) in out.iter_mut().zip(x) {
                                *y = standard.z(*x) * gamma + beta;
                            }
                        }
                        standard.numbers()
                    },
                )
            })
            .collect();
        let mut saved = Saved::default();
        if save {
            let rows = kept.len();
            saved.hosts = vec![Host::new(kept.into_iter().flatten().collect(), [rows, 3])];
        }
        (Host::new(out, x.shape()), saved)
    }

    fn backward(
        &self,
        inputs: &[Host],
        saved: &Saved,
        gradient: &Host,
        wanted: &[bool],
    ) -> Vec<Option<Host>> {
        let ([x, gamma, beta], [kept]) = (inputs, saved.hosts.as_slice()) else { return Vec::new() };
        let (channels, plane) = self.sizes(x);
        let row = channels * plane;
        let (kept, _) = kept.numbers().as_chunks::<3>();
        let want = |i: usize| wanted.get(i).copied().unwrap_or(false);
        let dx = want(0).then(|| {
            let mut dx = fresh(x.numbers().len());
            dx.par_chunks_mut(row)
                .zip(x.numbers().par_chunks(row).zip(gradient.numbers().par_chunks(row)))
                .zip(kept)
                .enumerate()
                .for_each(|(i, ((dx, (x, g)), kept))| {
                    let first = i % self.groups * channels;
                    wide(
                        #[inline(always)]
                        || {
                            let planes = dx.chunks_exact_mut(plane).zip(g.chunks_exact(plane));
                            for ((dx, g), gamma) in planes.zip(&gamma.numbers()[first..]) {
                                dx.iter_mut().zip(g).for_each(|(d, g)| *d = g * gamma);
                            }
                            Standard::from(*kept).back(dx, x);
                        },
                    );
                });
            Host::new(dx, x.shape())
        });
        let sums = if want(1) || want(2) { self.sums(x, gradient, kept) } else { Vec::new() };
        vec![
            dx,
            want(1).then(|| Host::new(sums.iter().map(|s| s[0]).collect(), gamma.shape())),
            want(2).then(|| Host::new(sums.iter().map(|s| s[1]).collect(), beta.shape())),
        ]
    }
}

impl GroupNorm {
    /// The gradients of gamma and beta, channel by channel: sums over samples in their order.
    fn sums(&self, x: &Host, gradient: &Host, kept: &[[f32; 3]]) -> Vec<[f32; 2]> {
        let (channels, plane) = self.sizes(x);
        let all = channels * self.groups;
        let of = |numbers: &[f32], place: usize| place * plane..((place + 1) * plane).min(numbers.len());
        let channel = |c: usize| {
            wide(
                #[inline(always)]
                || {
                    let (mut for_gamma, mut for_beta) = (0.0f64, 0.0f64);
                    for (s, kept) in kept.iter().skip(c / channels).step_by(self.groups).enumerate() {
                        let span = of(x.numbers(), s * all + c);
                        let (x, g) = (&x.numbers()[span.clone()], &gradient.numbers()[span]);
                        for_gamma += Standard::from(*kept).along(g, x);
                        for_beta += total(g, |v| v);
                    }
                    [for_gamma as f32, for_beta as f32]
                },
            )
        };
        (0..all).into_par_iter().map(channel).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::reference::{differences, numbers, wide as f64s};

    fn plain(all: &[Vec<f64>], [channels, plane, groups]: [usize; 3]) -> Vec<f64> {
        let row = channels / groups * plane;
        let group = |(i, x): (usize, &[f64])| {
            let mean = x.iter().sum::<f64>() / row as f64;
            let variance = x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / row as f64;
            let inverse = 1.0 / (variance + f64::from(1e-3f32)).sqrt();
            let y = |(k, v): (usize, &f64)| {
                let c = (i * row + k) / plane % channels;
                all[1][c] * (v - mean) * inverse + all[2][c]
            };
            x.iter().enumerate().map(y).collect::<Vec<_>>()
        };
        all[0].chunks(row).enumerate().flat_map(group).collect()
    }

    #[test]
    fn values_and_gradients_are_the_plain_ones() {
        for (shape @ [n, c, h, w], groups) in
            [([3, 4, 3, 2], 1), ([2, 6, 5, 3], 3), ([2, 3, 2, 7], 3), ([1, 2, 1, 2], 1), ([4, 6, 1, 1], 2)]
        {
            let inputs = [
                Host::new(numbers(n * c * h * w, 1), shape),
                Host::new(numbers(c, 2), [c]),
                Host::new(numbers(c, 3), [c]),
            ];
            let operator = GroupNorm { groups, epsilon: 1e-3 };
            let all: Vec<Vec<f64>> = inputs.iter().map(|i| f64s(i.numbers())).collect();
            let (out, _) = operator.forward(&inputs, false);
            assert_eq!(out.shape(), shape);
            for (a, e) in out.numbers().iter().zip(plain(&all, [c, h * w, groups])) {
                assert!((f64::from(*a) - e).abs() < 1e-5, "{shape:?}: {a} {e}");
            }
            let apart = differences(&operator, &inputs, |x| plain(x, [c, h * w, groups]));
            assert_eq!(apart, 0, "{shape:?}");
        }
    }

    #[test]
    fn what_is_not_a_number_stays_in_its_group_and_only_wanted_gradients_are_made() {
        let mut x = numbers(2 * 4 * 2, 1);
        x[13] = f32::NAN;
        let inputs =
            [Host::new(x, [2, 4, 1, 2]), Host::new(numbers(4, 2), [4]), Host::new(numbers(4, 3), [4])];
        let operator = GroupNorm { groups: 2, epsilon: 1e-5 };
        let (out, saved) = operator.forward(&inputs, true);
        let bad: Vec<usize> = (0..16).filter(|i| out.numbers()[*i].is_nan()).collect();
        assert_eq!(bad, [12, 13, 14, 15]);
        let got = operator.backward(&inputs, &saved, &out, &[false, true, false]);
        assert!(matches!(got.as_slice(), [None, Some(_), None]));
    }

    #[test]
    fn no_samples_give_no_numbers_and_what_does_not_fit_is_an_error() {
        let line = |n: usize| backend::zeros([n]);
        let empty = group_norm(backend::zeros([0, 4, 2, 2]), line(4), line(4), 2, 1e-5).unwrap();
        assert_eq!(empty.dims(), [0, 4, 2, 2]);
        for (gamma, beta, groups) in [(4, 4, 3), (4, 4, 0), (3, 4, 2), (4, 5, 2)] {
            let got = group_norm(backend::zeros([2, 4, 2, 2]), line(gamma), line(beta), groups, 1e-5);
            assert!(matches!(got, Err(Error::Argument(_))));
        }
    }
}
