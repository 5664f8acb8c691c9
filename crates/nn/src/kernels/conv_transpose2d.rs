//! Transposed convolution in two dimensions, with bias and rectifier. It is a convolution run backward: its forward pass is
//! the gradient of the convolution's input, its own gradients are the convolution and the gradient of its weight.

use std::sync::Arc;

use consilience_core::{Error, Result};
use rayon::prelude::*;

use super::activation::open;
use super::built_in;
use super::conv2d::forward::{self, Finish};
use super::conv2d::{Moves, Sizes, backward};
use super::simd::wide;
use crate::backend::{self, Host, Operator, Saved, Tensor};

/// `y[s, o, p t + i d - z, q t + j d - z] += w[c, o, i, j] x[s, c, p, q]` over all `c, i, j, p, q`, from `b[o]`, with stride
/// `t`, dilation `d` and `z` numbers cut off around, and with `rectify` the larger of that and zero. `more` rows and
/// columns are kept at the bottom and on the right, since a stride leaves it open where the output ends.
///
/// # Shapes
/// `x [n, c, h, w]`, `weight [c, o / groups, kh, kw]`, `bias [o]`, to
/// `[n, o, (h - 1) t - 2 z + d (kh - 1) + more + 1, ..]`.
///
/// # Errors
/// [`Error::Argument`] if the shapes do not fit each other, the groups do not divide the channels, nothing would be left, or
/// `more` is not less than the stride.
///
/// # Reference
/// Dumoulin and Visin (2016), "A guide to convolution arithmetic for deep learning"; layout of PyTorch.
pub fn conv_transpose2d(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    moves: Moves,
    more: [usize; 2],
    rectify: bool,
) -> Result<Tensor<4>> {
    let sizes = check(x.dims(), weight.dims(), moves, more)?;
    if let Some([outputs]) = bias.as_ref().map(Tensor::dims)
        && outputs != sizes.c
    {
        let wrong =
            Error::argument("a transposed convolution has a number in its bias for each output channel");
        return Err(wrong.expected(sizes.c).got(outputs));
    }
    if backend::elsewhere() {
        return Ok(built_in::conv_transpose2d(x, weight, bias, moves, more, rectify));
    }
    let operator = Arc::new(ConvTranspose2d { moves, more, rectify });
    Ok(match bias {
        Some(bias) => backend::operate(operator, [x.into(), weight.into(), bias.into()]),
        None => backend::operate(operator, [x.into(), weight.into()]),
    })
}

/// The sizes of the convolution of which this is the transpose: its input is our output.
fn check(x: [usize; 4], weight: [usize; 4], moves: Moves, more: [usize; 2]) -> Result<Sizes> {
    if weight[0] != x[1] {
        let wrong =
            Error::argument("a transposed convolution has another number of input channels than its weight");
        return Err(wrong.expected(weight[0]).got(x[1]));
    }
    if moves.groups == 0 || !x[1].is_multiple_of(moves.groups) {
        let wrong = Error::argument("the groups of a transposed convolution do not divide its channels");
        return Err(wrong.expected(format!("a divisor of {}", x[1])).got(moves.groups));
    }
    if more.iter().any(|m| *m >= moves.stride) {
        let wrong =
            Error::argument("a transposed convolution adds rows or columns up to its stride and no more");
        return Err(wrong.expected(format!("less than {}", moves.stride)).got(format!("{more:?}")));
    }
    sizes(&x, &weight, moves, more).ok_or_else(|| {
        Error::argument("nothing is left of a transposed convolution")
            .got(format!("input {x:?}, weight {weight:?}, {moves:?}"))
            .remedy("less padding")
    })
}

fn sizes(x: &[usize], weight: &[usize], moves: Moves, more: [usize; 2]) -> Option<Sizes> {
    let ([n, _, h, w], [_, outputs, kh, kw]) = (x, weight) else { return None };
    let length = |places: usize, kernel: usize, which: usize| {
        let reach = moves.dilation * kernel.checked_sub(1)? + 1;
        let all = places.checked_sub(1)? * moves.stride + reach + more[which];
        all.checked_sub(2 * moves.padding[which]).filter(|left| *left > 0)
    };
    let out = [*n, outputs * moves.groups, length(*h, *kh, 0)?, length(*w, *kw, 1)?];
    Some(Sizes::new(&out, weight, moves))
}

#[derive(Debug)]
struct ConvTranspose2d {
    moves: Moves,
    more: [usize; 2],
    rectify: bool,
}

impl ConvTranspose2d {
    fn sizes(&self, x: &Host, weight: &Host) -> Option<Sizes> {
        sizes(&x.shape(), &weight.shape(), self.moves, self.more)
    }
}

impl Operator for ConvTranspose2d {
    fn forward(&self, inputs: &[Host], save: bool) -> (Host, Saved) {
        let [x, weight, bias @ ..] = inputs else { return Default::default() };
        let Some(sizes) = self.sizes(x, weight) else { return Default::default() };
        let mut out = backward::input(sizes, weight.numbers(), x.numbers());
        let bias = bias.first().map(Host::numbers);
        if bias.is_some() || self.rectify {
            out.par_chunks_mut(sizes.h * sizes.w).enumerate().for_each(|(plane, out)| {
                let b = bias.map_or(0.0, |b| b[plane % sizes.c]);
                wide(
                    #[inline(always)]
                    || finish(out, b, self.rectify),
                );
            });
        }
        let out = Host::new(out, [sizes.n, sizes.c, sizes.h, sizes.w]);
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
        let Some(sizes) = self.sizes(x, weight) else { return Vec::new() };
        let masked = saved.hosts.first().map(|out| open(out, gradient));
        let gradient = masked.as_ref().unwrap_or(gradient).numbers();
        let want = |i: usize| wanted.get(i).copied().unwrap_or(false);
        let dx = || forward::forward(sizes, gradient, weight.numbers(), Finish::default());
        // Our output as if a convolution had given it.
        let given = Sizes { o: sizes.c, oh: sizes.h, ow: sizes.w, ..sizes };
        vec![
            want(0).then(|| Host::new(dx(), x.shape())),
            want(1).then(|| Host::new(backward::weight(sizes, gradient, x.numbers()), weight.shape())),
            want(2).then(|| Host::new(backward::bias(given, gradient), [sizes.c])),
        ]
    }
}

#[inline(always)]
fn finish(run: &mut [f32], bias: f32, rectify: bool) {
    for v in run {
        let y = *v + bias;
        // What is not a number stays so: `max` would take the zero.
        *v = if rectify && y < 0.0 { 0.0 } else { y };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::reference::{differences, numbers, wide as f64s};

    /// The plain sums in f64, scattered.
    fn plain(s: &Sizes, x: &[f64], weight: &[f64], bias: &[f64], rectify: bool) -> Vec<f64> {
        let Moves { stride, padding: [above, left], dilation, groups } = s.moves;
        let (inputs, outputs) = (s.o / groups, s.c / groups);
        let mut out = vec![0.0; s.n * s.c * s.h * s.w];
        for (at, v) in out.iter_mut().enumerate() {
            *v = bias.get(at / (s.h * s.w) % s.c).copied().unwrap_or(0.0);
        }
        for n in 0..s.n {
            for c in 0..s.o {
                for o in 0..outputs {
                    let channel = c / inputs * outputs + o;
                    for place in 0..s.oh * s.ow {
                        for tap in 0..s.kh * s.kw {
                            let y = (place / s.ow * stride + tap / s.kw * dilation).wrapping_sub(above);
                            let z = (place % s.ow * stride + tap % s.kw * dilation).wrapping_sub(left);
                            if y < s.h && z < s.w {
                                out[((n * s.c + channel) * s.h + y) * s.w + z] += weight
                                    [(c * outputs + o) * s.kh * s.kw + tap]
                                    * x[(n * s.o + c) * s.oh * s.ow + place];
                            }
                        }
                    }
                }
            }
        }
        out.iter().map(|v| if rectify { v.max(0.0) } else { *v }).collect()
    }

    /// Samples, inputs, height, width, outputs, kernel; moves; what is added.
    fn cases() -> Vec<([usize; 7], Moves, [usize; 2])> {
        let moves = Moves::default();
        let halved = Moves { stride: 2, padding: [1, 1], ..moves };
        vec![
            ([3, 2, 5, 7, 4, 3, 3], moves, [0, 0]),
            ([1, 1, 1, 1, 1, 1, 1], moves, [0, 0]),
            ([2, 3, 5, 4, 2, 3, 3], halved, [1, 0]),
            ([5, 2, 4, 4, 3, 4, 4], halved, [0, 0]),
            ([1, 4, 20, 30, 6, 1, 1], moves, [0, 0]),
            ([2, 3, 6, 5, 4, 5, 2], Moves { stride: 3, padding: [2, 0], ..moves }, [2, 1]),
            ([3, 4, 5, 6, 6, 3, 3], Moves { padding: [2, 1], dilation: 2, groups: 2, ..moves }, [0, 0]),
            ([2, 6, 3, 3, 6, 3, 2], Moves { groups: 6, ..halved }, [1, 1]),
            ([2, 2, 25, 25, 3, 2, 2], Moves { stride: 2, ..moves }, [0, 1]),
        ]
    }

    fn case([n, c, h, w, o, kh, kw]: [usize; 7], moves: Moves, more: [usize; 2]) -> (Sizes, Vec<Host>) {
        let x = Host::new(numbers(n * c * h * w, 1), [n, c, h, w]);
        let outputs = o / moves.groups;
        let weight = Host::new(numbers(c * outputs * kh * kw, 2), [c, outputs, kh, kw]);
        let sizes = check([n, c, h, w], [c, outputs, kh, kw], moves, more).unwrap();
        assert_eq!([sizes.oh, sizes.ow], [h, w]);
        (sizes, vec![x, weight, Host::new(numbers(o, 3), [o])])
    }

    #[test]
    fn the_forward_pass_is_the_plain_sum() {
        for (shape, moves, more) in cases() {
            for rectify in [false, true] {
                let (sizes, inputs) = case(shape, moves, more);
                let all: Vec<Vec<f64>> = inputs.iter().map(|i| f64s(i.numbers())).collect();
                let operator = ConvTranspose2d { moves, more, rectify };
                for with in [2, 3] {
                    let (out, _) = operator.forward(&inputs[..with], false);
                    assert_eq!(out.shape(), [sizes.n, sizes.c, sizes.h, sizes.w]);
                    let bias = if with == 3 { &all[2][..] } else { &[] };
                    let expected = plain(&sizes, &all[0], &all[1], bias, rectify);
                    assert_eq!(out.numbers().len(), expected.len());
                    for (a, e) in out.numbers().iter().zip(&expected) {
                        // Sums of a few dozen products, in f32.
                        let near = (f64::from(*a) - e).abs() < 1e-5 * (1.0 + e.abs());
                        assert!(near, "{shape:?} {moves:?}: {a} {e}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_backward_pass_is_the_finite_difference() {
        for (shape, moves, more) in cases() {
            for rectify in [false, true] {
                let (sizes, inputs) = case(shape, moves, more);
                let operator = ConvTranspose2d { moves, more, rectify };
                let apart = differences(&operator, &inputs, |x| plain(&sizes, &x[0], &x[1], &x[2], rectify));
                // A step over the kink of the rectifier gives another slope there.
                assert!(apart <= usize::from(rectify), "{shape:?} {moves:?}: {apart} gradients differ");
            }
        }
    }

    #[test]
    fn what_is_not_a_number_stays_and_only_wanted_gradients_are_made() {
        let (moves, more) = (Moves { stride: 2, ..Moves::default() }, [0, 0]);
        let (sizes, mut inputs) = case([2, 1, 3, 3, 2, 2, 2], moves, more);
        let operator = ConvTranspose2d { moves, more, rectify: true };
        let (out, saved) = operator.forward(&inputs, true);
        let got = operator.backward(&inputs, &saved, &out, &[false, true, false]);
        assert!(matches!(got.as_slice(), [None, Some(_), None]));
        let mut bad = inputs[0].numbers().to_vec();
        bad[0] = f32::NAN;
        inputs[0] = Host::new(bad, inputs[0].shape());
        let (out, _) = operator.forward(&inputs, false);
        let marked = out.numbers().iter().filter(|v| v.is_nan()).count();
        assert_eq!(marked, sizes.c * 4, "a window of the first sample in each channel");
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        let weight = || backend::zeros([4, 3, 3, 3]);
        let x = || backend::zeros([2, 4, 5, 5]);
        let moves = Moves { stride: 2, padding: [1, 1], ..Moves::default() };
        let fine = conv_transpose2d(x(), weight(), Some(backend::zeros([3])), moves, [1, 1], false).unwrap();
        assert_eq!(fine.dims(), [2, 3, 10, 10]);
        let wrong = [
            conv_transpose2d(backend::zeros([2, 3, 5, 5]), weight(), None, moves, [0, 0], false),
            conv_transpose2d(x(), weight(), Some(backend::zeros([4])), moves, [0, 0], false),
            conv_transpose2d(x(), weight(), None, Moves { groups: 3, ..moves }, [0, 0], false),
            conv_transpose2d(x(), weight(), None, moves, [0, 2], false),
            conv_transpose2d(x(), weight(), None, Moves { padding: [6, 0], ..moves }, [0, 0], false),
            conv_transpose2d(backend::zeros([2, 4, 0, 5]), weight(), None, moves, [0, 0], false),
        ];
        for result in wrong {
            assert!(matches!(result, Err(Error::Argument(_))));
        }
    }
}
