//! Convolution in two dimensions: any stride, padding, dilation and number of groups, with bias and rectifier.

pub(super) mod backward;
pub(super) mod forward;
mod pooled;
mod sizes;
mod tiles;
mod transforms;
mod turns;
pub(super) mod winograd;

use std::sync::Arc;

use super::activation::open;
use super::built_in;
use crate::backend::{self, Host, Operator, Saved, Tensor};
use forward::Finish;
pub(super) use pooled::pooled;
pub use sizes::Moves;
pub(super) use sizes::Sizes;

/// `y[s, o, p, q] = b[o] + sum_{c, i, j} w[o, c, i, j] x[s, c, p t + i d - z, q t + j d - z] [+ residual]` with stride `t`,
/// dilation `d` and `z` zeros around (a cross-correlation), and with `rectify` the larger of that and zero.
///
/// # Shapes
/// `x [n, c, h, w]`, `weight [o, c / groups, kh, kw]`, `bias [o]`, to `[n, o, (h + 2 z - d (kh - 1) - 1) / t + 1, ..]`, the
/// shape of `residual`.
pub fn conv2d(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    residual: Option<Tensor<4>>,
    moves: Moves,
    rectify: bool,
) -> Tensor<4> {
    if backend::elsewhere() {
        return built_in::conv2d(x, weight, bias, residual, moves, rectify);
    }
    let operator = Arc::new(Conv2d { moves, rectify, biased: bias.is_some() });
    match (bias, residual) {
        (Some(b), Some(r)) => backend::operate(operator, [x.into(), weight.into(), b.into(), r.into()]),
        (Some(b), None) => backend::operate(operator, [x.into(), weight.into(), b.into()]),
        (None, Some(r)) => backend::operate(operator, [x.into(), weight.into(), r.into()]),
        (None, None) => backend::operate(operator, [x.into(), weight.into()]),
    }
}

/// Inputs: x, weight, then bias where it is `biased`, then a residual where there is one more.
#[derive(Debug)]
struct Conv2d {
    moves: Moves,
    rectify: bool,
    biased: bool,
}

impl Operator for Conv2d {
    fn forward(&self, inputs: &[Host], save: bool) -> (Host, Saved) {
        let [x, weight, rest @ ..] = inputs else { return Default::default() };
        let sizes = Sizes::new(&x.shape(), &weight.shape(), self.moves);
        let (bias, residual) = rest.split_at(usize::from(self.biased).min(rest.len()));
        let finish = Finish {
            bias: bias.first().map(Host::numbers),
            residual: residual.first().map(Host::numbers),
            rectify: self.rectify,
        };
        let out = forward::forward(sizes, x.numbers(), weight.numbers(), finish);
        let out = Host::new(out, [sizes.n, sizes.o, sizes.oh, sizes.ow]);
        let hosts = if save && self.rectify { vec![out.clone()] } else { Vec::new() };
        (out, Saved { hosts, marks: Vec::new() })
    }

    fn backward(
        &self,
        inputs: &[Host],
        saved: &Saved,
        gradient: &Host,
        wanted: &[bool],
    ) -> Vec<Option<Host>> {
        let [x, weight, ..] = inputs else { return Vec::new() };
        let sizes = Sizes::new(&x.shape(), &weight.shape(), self.moves);
        let masked = saved.hosts.first().map(|out| open(out, gradient));
        let gradient = masked.as_ref().unwrap_or(gradient);
        let want = |i: usize| wanted.get(i).copied().unwrap_or(false);
        let dy = gradient.numbers();
        let mut all = vec![
            want(0).then(|| Host::new(backward::input(sizes, weight.numbers(), dy), x.shape())),
            want(1).then(|| Host::new(backward::weight(sizes, x.numbers(), dy), weight.shape())),
        ];
        if self.biased {
            all.push(want(2).then(|| Host::new(backward::bias(sizes, dy), [sizes.o])));
        }
        if all.len() < inputs.len() {
            all.push(want(all.len()).then(|| gradient.clone()));
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::reference::{differences, numbers, wide};

    /// The plain sums in f64.
    fn plain(s: &Sizes, x: &[f64], weight: &[f64], bias: &[f64], rectify: bool) -> Vec<f64> {
        let Moves { stride, padding: [above, left], dilation, .. } = s.moves;
        let mut out = Vec::new();
        for n in 0..s.n {
            for o in 0..s.o {
                for p in 0..s.oh {
                    for q in 0..s.ow {
                        let mut sum = bias.get(o).copied().unwrap_or(0.0);
                        for c in 0..s.inputs() {
                            for i in 0..s.kh {
                                for j in 0..s.kw {
                                    let y = (p * stride + i * dilation).wrapping_sub(above);
                                    let z = (q * stride + j * dilation).wrapping_sub(left);
                                    if y < s.h && z < s.w {
                                        let channel = (o / s.outputs()) * s.inputs() + c;
                                        sum += weight[((o * s.inputs() + c) * s.kh + i) * s.kw + j]
                                            * x[((n * s.c + channel) * s.h + y) * s.w + z];
                                    }
                                }
                            }
                        }
                        out.push(if rectify { sum.max(0.0) } else { sum });
                    }
                }
            }
        }
        out
    }

    /// Samples, inputs, height, width, outputs, kernel, moves: every branch of the kernels.
    fn cases() -> Vec<([usize; 7], Moves)> {
        let moves = Moves::default();
        let same = Moves { padding: [1, 1], ..moves };
        vec![
            ([3, 2, 5, 7, 4, 3, 3], same),
            ([1, 1, 2, 2, 1, 1, 1], moves),
            ([2, 3, 40, 30, 5, 3, 3], same),
            ([9, 4, 4, 4, 6, 1, 1], moves),
            ([1, 4, 30, 30, 6, 1, 1], moves),
            ([2, 3, 11, 9, 4, 7, 5], Moves { stride: 2, padding: [3, 1], ..moves }),
            ([5, 4, 6, 6, 8, 1, 1], Moves { stride: 2, ..moves }),
            ([3, 4, 9, 8, 6, 3, 3], Moves { padding: [2, 2], dilation: 2, groups: 2, ..moves }),
            ([4, 6, 5, 5, 6, 3, 3], Moves { groups: 6, ..same }),
            ([2, 1, 3, 3, 2, 3, 3], moves),
            ([14, 16, 5, 3, 17, 3, 3], same),
            ([6, 18, 7, 8, 16, 3, 3], Moves { padding: [0, 2], ..moves }),
            ([1, 16, 29, 26, 16, 3, 3], Moves { padding: [2, 1], ..moves }),
            // Taps that never meet the plane.
            ([2, 1, 2, 2, 2, 7, 7], Moves { padding: [3, 3], ..moves }),
            ([1, 2, 3, 2, 1, 3, 3], Moves { padding: [3, 4], dilation: 4, ..moves }),
        ]
    }

    fn case([n, c, h, w, o, kh, kw]: [usize; 7], moves: Moves) -> (Sizes, Vec<Host>) {
        let x = Host::new(numbers(n * c * h * w, 1), [n, c, h, w]);
        let inputs = c / moves.groups;
        let weight = Host::new(numbers(o * inputs * kh * kw, 2), [o, inputs, kh, kw]);
        let sizes = Sizes::new(&x.shape(), &weight.shape(), moves);
        (sizes, vec![x, weight, Host::new(numbers(o, 3), [o])])
    }

    #[test]
    fn the_forward_pass_is_the_plain_sum() {
        for (shape, moves) in cases() {
            for rectify in [false, true] {
                let (sizes, inputs) = case(shape, moves);
                let all: Vec<Vec<f64>> = inputs.iter().map(|i| wide(i.numbers())).collect();
                let operator = Conv2d { moves, rectify, biased: true };
                let (out, _) = operator.forward(&inputs, false);
                assert_eq!(out.shape(), [sizes.n, sizes.o, sizes.oh, sizes.ow]);
                let expected = plain(&sizes, &all[0], &all[1], &all[2], rectify);
                for (a, e) in out.numbers().iter().zip(&expected) {
                    // Sums of a few dozen products, in f32.
                    assert!(
                        (f64::from(*a) - e).abs() < 1e-5 * (1.0 + e.abs()),
                        "{shape:?} {moves:?}: {a} {e}"
                    );
                }
                let (bare, _) = operator.forward(&inputs[..2], false);
                let expected = plain(&sizes, &all[0], &all[1], &[], rectify);
                let close = |(a, e): (&f32, &f64)| (f64::from(*a) - e).abs() < 1e-5 * (1.0 + e.abs());
                assert!(bare.numbers().iter().zip(&expected).all(close), "{shape:?}");
            }
        }
    }

    #[test]
    fn the_backward_pass_is_the_finite_difference() {
        for (shape, moves) in cases() {
            for rectify in [false, true] {
                let (sizes, inputs) = case(shape, moves);
                let operator = Conv2d { moves, rectify, biased: true };
                let apart = differences(&operator, &inputs, |x| plain(&sizes, &x[0], &x[1], &x[2], rectify));
                // A step over the kink of the rectifier gives another slope there.
                assert!(apart <= usize::from(rectify), "{shape:?} {moves:?}: {apart} gradients differ");
            }
        }
    }

    #[test]
    fn large_weights_share_their_patches_and_small_ones_are_summed_to_the_same() {
        // The second by Winograd's way, with more transformed numbers than are kept at a time.
        for shape in [[12, 8, 6, 6, 130, 3, 3], [5, 64, 64, 64, 64, 3, 3]] {
            let (sizes, inputs) = case(shape, Moves { padding: [1, 1], ..Moves::default() });
            let gradient = numbers(sizes.n * sizes.given(), 5);
            let one = backward::weight(sizes, inputs[0].numbers(), &gradient);
            let two = backward::summed(sizes, inputs[0].numbers(), &gradient);
            let near = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-4 * (1.0 + a.abs());
            assert!(one.iter().zip(&two).all(near), "{shape:?}");
        }
    }

    #[test]
    fn what_is_not_a_number_stays_and_only_wanted_gradients_are_made() {
        let (_, mut inputs) = case([2, 1, 4, 4, 2, 3, 3], Moves { padding: [1, 1], ..Moves::default() });
        let operator =
            Conv2d { moves: Moves { padding: [1, 1], ..Moves::default() }, rectify: true, biased: true };
        let (out, saved) = operator.forward(&inputs, true);
        let got = operator.backward(&inputs, &saved, &out, &[false, true, false]);
        assert!(matches!(got.as_slice(), [None, Some(_), None]));
        let mut bad = inputs[0].numbers().to_vec();
        bad[0] = f32::NAN;
        inputs[0] = Host::new(bad, inputs[0].shape());
        let (out, _) = operator.forward(&inputs, false);
        assert!(out.numbers()[0].is_nan() && out.numbers()[15].is_finite());
    }
}
