//! The same computations from the backend's own operators: for devices where our kernels cannot run.

use super::conv2d::Moves;
use super::embedding_bag::{Bags, Together};
use super::pool::Windows;
use super::{Activation, Moments, Steps};
use crate::backend::activation::{self, gelu, relu, sigmoid, tanh};
use crate::backend::{self, Tensor, module, ops};

pub fn activate<const D: usize>(activation: Activation, x: Tensor<D>) -> Tensor<D> {
    match activation {
        Activation::Relu => relu(x),
        Activation::Gelu => gelu(x),
        Activation::Tanh => tanh(x),
        Activation::Sigmoid => sigmoid(x),
    }
}

pub fn softmax(x: Tensor<2>) -> Tensor<2> {
    activation::softmax(x, 1)
}

pub fn log_softmax(x: Tensor<2>) -> Tensor<2> {
    activation::log_softmax(x, 1)
}

pub fn cross_entropy(x: Tensor<2>, truth: Tensor<2>, share: Tensor<1>) -> Tensor<1> {
    let [rows, _] = x.dims();
    (log_softmax(x) * truth * share.reshape([rows, 1])).sum().neg()
}

pub fn dense(x: Tensor<2>, weight: Tensor<2>, bias: Tensor<1>, rectify: bool) -> Tensor<2> {
    rectified(x.matmul(weight.transpose()) + bias.unsqueeze(), rectify)
}

fn rectified<const D: usize>(x: Tensor<D>, rectify: bool) -> Tensor<D> {
    if rectify { relu(x) } else { x }
}

pub fn conv2d(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    residual: Option<Tensor<4>>,
    moves: Moves,
    rectify: bool,
) -> Tensor<4> {
    let Moves { stride, padding, dilation, groups } = moves;
    let options = ops::ConvOptions::new([stride; 2], padding, [dilation; 2], groups);
    let y = module::conv2d(x, weight, bias, options);
    rectified(residual.into_iter().fold(y, |y, r| y + r), rectify)
}

pub fn convolution_block(x: Tensor<4>, weight: Tensor<4>, bias: Tensor<1>) -> Tensor<4> {
    let [_, _, h, w] = weight.dims();
    let tall = if x.dims()[2] == 1 { 1 } else { 2 };
    let moves = Moves { padding: [h / 2, w / 2], ..Moves::default() };
    let y = conv2d(x, weight, Some(bias), None, moves, true);
    module::max_pool2d(y, ops::MaxPoolOptions::new([tall, 2]))
}

pub fn conv_transpose2d(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    moves: Moves,
    more: [usize; 2],
    rectify: bool,
) -> Tensor<4> {
    let Moves { stride, padding, dilation, groups } = moves;
    let options = ops::ConvTransposeOptions::new([stride; 2], padding, more, [dilation; 2], groups);
    rectified(module::conv_transpose2d(x, weight, bias, options), rectify)
}

/// The mean and the variance of each row of `[rows, numbers]`, both `[rows, 1]`.
fn moments(x: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
    let mean = x.clone().mean_dim(1);
    let apart = x - mean.clone();
    (mean, (apart.clone() * apart).mean_dim(1))
}

pub fn batch_norm(
    x: Tensor<4>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    residual: Option<Tensor<4>>,
    epsilon: f32,
    rectify: bool,
) -> (Tensor<4>, Moments) {
    let [n, c, h, w] = x.dims();
    let (mean, variance) = moments(x.clone().swap_dims(0, 1).reshape([c, n * h * w]));
    let told = |t: &Tensor<2>| backend::read(t.clone()).unwrap_or_default();
    let told = Moments { mean: told(&mean), variance: told(&variance) };
    let by_channel = |t: Tensor<2>| t.reshape([1, c, 1, 1]);
    let y = (x - by_channel(mean)) / (by_channel(variance) + epsilon).sqrt();
    let y = y * gamma.reshape([1, c, 1, 1]) + beta.reshape([1, c, 1, 1]);
    (rectified(residual.into_iter().fold(y, |y, r| y + r), rectify), told)
}

/// Rows of `[rows, numbers]` with mean zero and variance one.
fn standard(x: Tensor<2>, epsilon: f32) -> Tensor<2> {
    let (mean, variance) = moments(x.clone());
    (x - mean) / (variance + epsilon).sqrt()
}

pub fn layer_norm<const D: usize, const K: usize>(
    x: Tensor<D>,
    gamma: Tensor<K>,
    beta: Tensor<K>,
    epsilon: f32,
) -> Tensor<D> {
    let (shape, width) = (x.dims(), gamma.dims().iter().product::<usize>());
    let rows = shape.iter().product::<usize>() / width.max(1);
    let y = standard(x.reshape([rows, width]), epsilon);
    (y * gamma.reshape([1, width]) + beta.reshape([1, width])).reshape(shape)
}

pub fn group_norm(x: Tensor<4>, gamma: Tensor<1>, beta: Tensor<1>, groups: usize, epsilon: f32) -> Tensor<4> {
    let [n, c, h, w] = x.dims();
    let y = standard(x.reshape([n * groups, c / groups * h * w]), epsilon).reshape([n, c, h, w]);
    y * gamma.reshape([1, c, 1, 1]) + beta.reshape([1, c, 1, 1])
}

pub fn max_pool(x: Tensor<4>, windows: Windows) -> Tensor<4> {
    let (sides, strides, borders) = sides(&x, windows);
    module::max_pool2d(x, ops::MaxPoolOptions::new(sides).with_stride(strides).with_padding(borders))
}

pub fn mean_pool(x: Tensor<4>, windows: Windows) -> Tensor<4> {
    let (sides, strides, borders) = sides(&x, windows);
    let options = ops::AvgPoolOptions::new(sides).with_stride(strides).with_padding(borders);
    module::avg_pool2d(x, options.with_count_include_pad(false))
}

/// Sizes, strides and padding of windows, down and across.
fn sides(x: &Tensor<4>, Windows { size, stride, padding }: Windows) -> ([usize; 2], [usize; 2], [usize; 2]) {
    match x.dims() {
        [_, _, 1, _] => ([1, size], [1, stride], [0, padding]),
        _ => ([size; 2], [stride; 2], [padding; 2]),
    }
}

/// Sums and means as a product with a matrix of factors; the largest bag by bag.
pub fn embedding_bag(table: Tensor<2>, bags: &Bags, together: Together) -> Tensor<2> {
    let ([words, width], count) = (table.dims(), bags.offsets.len());
    let ends = bags.offsets.iter().copied().skip(1).chain([bags.indices.len()]);
    let spans = bags.offsets.iter().copied().zip(ends);
    if together == Together::Largest {
        let one = |(start, end): (usize, usize)| {
            if start == end {
                return backend::zeros([1, width]);
            }
            backend::rows(table.clone(), &bags.indices[start..end]).max_dim(0)
        };
        return Tensor::cat(spans.map(one).collect(), 0);
    }
    let mut factors = vec![0.0f32; count * words];
    for ((start, end), row) in spans.zip(factors.chunks_exact_mut(words.max(1))) {
        for i in start..end {
            let own = bags.weights.as_ref().map_or(1.0, |w| w[i]);
            row[bags.indices[i]] += if together == Together::Mean { own / (end - start) as f32 } else { own };
        }
    }
    backend::constant(factors, [count, words]).matmul(table)
}

/// Steps of a recurrent layer: `cell` gives states `[rows, hidden]` after a step from what comes from the input
/// `[rows, gates * hidden]` and the states before; the first state is the output.
fn recurrent<const N: usize>(
    x: Tensor<3>,
    [w, u]: [Tensor<2>; 2],
    [b, c]: [Tensor<1>; 2],
    reading: &Steps,
    cell: impl Fn(Tensor<2>, Tensor<2>, [Tensor<2>; N]) -> [Tensor<2>; N],
) -> Tensor<3> {
    let ([rows, steps, inputs], [width, hidden]) = (x.dims(), u.dims());
    let from_input = (x.reshape([rows * steps, inputs]).matmul(w.transpose()) + b.unsqueeze())
        .reshape([rows, steps, width]);
    let mut states: [Tensor<2>; N] = std::array::from_fn(|_| backend::zeros([rows, hidden]));
    let mut out = vec![None; steps];
    for at in 0..steps {
        let step = if reading.backwards { steps - 1 - at } else { at };
        let from_state = states[0].clone().matmul(u.clone().transpose()) + c.clone().unsqueeze();
        let input = from_input.clone().narrow(1, step, 1).reshape([rows, width]);
        let new = cell(input, from_state, states.clone());
        states = if reading.lengths.is_empty() {
            new
        } else {
            // A row without this step keeps what it has.
            let has =
                (0..rows).map(|r| f32::from(u8::from(reading.lengths.get(r).is_none_or(|l| step < *l))));
            let has = backend::constant(has.collect(), [rows, 1]);
            let mut kept = states.into_iter();
            new.map(|new| match kept.next() {
                Some(old) => old.clone() + (new - old) * has.clone(),
                None => new,
            })
        };
        out[step] = Some(states[0].clone().reshape([rows, 1, hidden]));
    }
    Tensor::cat(out.into_iter().flatten().collect(), 1)
}

pub fn lstm(x: Tensor<3>, weights: [Tensor<2>; 2], biases: [Tensor<1>; 2], reading: &Steps) -> Tensor<3> {
    recurrent(x, weights, biases, reading, |input, state, [_, memory]| {
        let [i, f, g, o] = gates(input + state);
        let memory = sigmoid(f) * memory + sigmoid(i) * tanh(g);
        [sigmoid(o) * tanh(memory.clone()), memory]
    })
}

pub fn gru(x: Tensor<3>, weights: [Tensor<2>; 2], biases: [Tensor<1>; 2], reading: &Steps) -> Tensor<3> {
    recurrent(x, weights, biases, reading, |input, state, [old]| {
        let ([r, z, n], [sr, sz, sn]) = (gates(input), gates(state));
        let (r, z) = (sigmoid(r + sr), sigmoid(z + sz));
        let n = tanh(n + r * sn);
        [n.clone() + z * (old - n)]
    })
}

/// Row by row, head by head.
pub fn attention(x: Tensor<2>, lengths: &[usize], heads: usize) -> Tensor<2> {
    let width = x.dims()[1] / 3;
    let size = width / heads;
    let row = |x: Tensor<2>| {
        let one = |h: usize| {
            let [q, k, v] = [0, 1, 2].map(|i| x.clone().narrow(1, i * width + h * size, size));
            softmax(q.matmul(k.transpose()) / (size as f32).sqrt()).matmul(v)
        };
        Tensor::cat((0..heads).map(one).collect(), 1)
    };
    by_row(x, lengths, row).map_or_else(|| backend::zeros([0, width]), |rows| Tensor::cat(rows, 0))
}

/// What a function gives of the steps of each row that has some; nothing if none has.
fn by_row(x: Tensor<2>, lengths: &[usize], each: impl Fn(Tensor<2>) -> Tensor<2>) -> Option<Vec<Tensor<2>>> {
    let mut start = 0;
    let one = |length: &usize| {
        let from = start;
        start += length;
        (*length > 0).then(|| each(x.clone().narrow(0, from, *length)))
    };
    let rows: Vec<Tensor<2>> = lengths.iter().filter_map(one).collect();
    (!rows.is_empty()).then_some(rows)
}

/// Row by row, a window at a time.
pub fn largest_window(x: Tensor<2>, lengths: &[usize], weight: Tensor<3>, bias: Tensor<1>) -> Tensor<2> {
    let [filters, reach, width] = weight.dims();
    let weight = weight.reshape([filters, reach * width]).transpose();
    let edge = || backend::zeros([reach - 1, width]);
    let row = |x: Tensor<2>| {
        let count = x.dims()[0] + reach - 1;
        let padded = if reach > 1 { Tensor::cat(vec![edge(), x, edge()], 0) } else { x };
        let windows = (0..reach).map(|j| padded.clone().narrow(0, j, count)).collect();
        let y: Tensor<2> = Tensor::cat(windows, 1).matmul(weight.clone());
        relu(y.max_dim(0) + bias.clone().unsqueeze())
    };
    let mut made = by_row(x, lengths, row).unwrap_or_default().into_iter();
    let each = lengths.iter().map(|length| {
        let there = if *length > 0 { made.next() } else { None };
        there.unwrap_or_else(|| backend::zeros([1, filters]))
    });
    match each.collect::<Vec<_>>() {
        none if none.is_empty() => backend::zeros([0, filters]),
        rows => Tensor::cat(rows, 0),
    }
}

/// Gates beside each other, apart.
fn gates<const N: usize>(x: Tensor<2>) -> [Tensor<2>; N] {
    let hidden = x.dims()[1] / N;
    std::array::from_fn(|i| x.clone().narrow(1, i * hidden, hidden))
}

#[cfg(test)]
mod tests {
    use super::super as own;
    use super::*;
    use crate::backend::Host;
    use crate::kernels::reference::numbers;

    /// Values and gradients of both ways agree.
    fn same<const N: usize, const D: usize>(
        what: &str,
        shapes: [&[usize]; N],
        ours: impl Fn([Tensor<1>; N]) -> Tensor<D>,
        theirs: impl Fn([Tensor<1>; N]) -> Tensor<D>,
    ) {
        let run = |f: &dyn Fn([Tensor<1>; N]) -> Tensor<D>| -> Vec<Vec<f32>> {
            let mut salt = 0;
            let leaves = shapes.map(|shape| {
                salt += 1;
                let count = shape.iter().product();
                backend::leaf(&Host::new(numbers(count, salt), [count]))
            });
            let y = f(leaves.clone());
            let count = y.dims().iter().product::<usize>();
            let y: Tensor<1> = y.reshape([count]);
            let pull = backend::constant(numbers(count, 99), [count]);
            let mut gradients = backend::backward(&(y.clone() * pull).sum()).unwrap();
            let each = leaves
                .iter()
                .map(|l| backend::take_gradient(l, &mut gradients).unwrap().unwrap().numbers().to_vec());
            std::iter::once(backend::read(y).unwrap()).chain(each).collect()
        };
        for (i, (a, b)) in run(&ours).into_iter().zip(run(&theirs)).enumerate() {
            assert_eq!(a.len(), b.len(), "{what} {i}");
            for (a, b) in a.iter().zip(&b) {
                // Sums of some hundred products near one in another order, in f32.
                assert!((a - b).abs() < 2e-5 * (1.0 + b.abs()), "{what} {i}: {a} {b}");
            }
        }
    }

    #[test]
    fn what_follows_from_the_backend_is_what_our_kernels_give() {
        use Activation::{Gelu, Relu, Sigmoid, Tanh};
        for kind in [Relu, Gelu, Tanh, Sigmoid] {
            same("activation", [&[50]], |[x]| own::activate(kind, x), |[x]| activate(kind, x));
        }
        let rows = |x: Tensor<1>| x.reshape([5, 7]);
        same("softmax", [&[5, 7]], |[x]| own::softmax(rows(x)), |[x]| softmax(rows(x)));
        same("log softmax", [&[5, 7]], |[x]| own::log_softmax(rows(x)), |[x]| log_softmax(rows(x)));
        let (truth, share) =
            (|| backend::constant(numbers(35, 8), [5, 7]), || backend::constant(vec![0.2; 5], [5]));
        same(
            "cross entropy",
            [&[5, 7]],
            |[x]| own::cross_entropy(rows(x), truth(), share()),
            |[x]| cross_entropy(rows(x), truth(), share()),
        );
        for rectify in [false, true] {
            let args = |[x, w, b]: [Tensor<1>; 3]| (x.reshape([5, 7]), w.reshape([3, 7]), b);
            same(
                "dense",
                [&[5, 7], &[3, 7], &[3]],
                |all| own::dense(args(all.clone()).0, args(all.clone()).1, args(all).2, rectify),
                |all| dense(args(all.clone()).0, args(all.clone()).1, args(all).2, rectify),
            );
        }
    }

    #[test]
    fn images_from_the_backend_are_what_our_kernels_give() {
        let moves = Moves { stride: 2, padding: [1, 2], dilation: 1, groups: 2 };
        let x = |x: Tensor<1>| x.reshape([3, 4, 6, 6]);
        let out = [3, 6, 3, 4];
        same(
            "conv2d",
            [&[3, 4, 6, 6], &[6, 2, 3, 3], &[6], &out],
            |[a, w, b, r]| {
                let r = Some(r.reshape(out));
                own::conv2d(x(a), w.reshape([6, 2, 3, 3]), Some(b), r, moves, true)
            },
            |[a, w, b, r]| {
                let r = Some(r.reshape(out));
                conv2d(x(a), w.reshape([6, 2, 3, 3]), Some(b), r, moves, true)
            },
        );
        same(
            "convolution block",
            [&[3, 4, 6, 6], &[5, 4, 3, 3], &[5]],
            |[a, w, b]| own::convolution_block(x(a), w.reshape([5, 4, 3, 3]), b),
            |[a, w, b]| convolution_block(x(a), w.reshape([5, 4, 3, 3]), b),
        );
        // Planes of several blocks of tiles by Winograd's way, of odd sizes too.
        for [h, w] in [[24, 30], [25, 31], [41, 2]] {
            let shape = [2, 40, h, w];
            let same_size = Moves { padding: [1, 1], ..Moves::default() };
            let kernel = |w: Tensor<1>| w.reshape([50, 40, 3, 3]);
            same(
                "conv2d of large planes",
                [&shape, &[50, 40, 3, 3], &[50]],
                |[a, w, b]| own::conv2d(a.reshape(shape), kernel(w), Some(b), None, same_size, true),
                |[a, w, b]| conv2d(a.reshape(shape), kernel(w), Some(b), None, same_size, true),
            );
            same(
                "convolution block of large planes",
                [&shape, &[50, 40, 3, 3], &[50]],
                |[a, w, b]| own::convolution_block(a.reshape(shape), kernel(w), b),
                |[a, w, b]| convolution_block(a.reshape(shape), kernel(w), b),
            );
        }
        let moves = Moves { stride: 2, padding: [1, 1], ..Moves::default() };
        same(
            "conv transpose",
            [&[3, 4, 6, 6], &[4, 5, 3, 3], &[5]],
            |[a, w, b]| {
                own::conv_transpose2d(x(a), w.reshape([4, 5, 3, 3]), Some(b), moves, [1, 1], true).unwrap()
            },
            |[a, w, b]| conv_transpose2d(x(a), w.reshape([4, 5, 3, 3]), Some(b), moves, [1, 1], true),
        );
        same(
            "batch norm",
            [&[3, 4, 6, 6], &[4], &[4], &[3, 4, 6, 6]],
            |[a, g, b, r]| own::batch_norm(x(a), g, b, Some(x(r)), 1e-3, true).0,
            |[a, g, b, r]| batch_norm(x(a), g, b, Some(x(r)), 1e-3, true).0,
        );
        let told = |f: &dyn Fn(Tensor<4>, Tensor<1>, Tensor<1>) -> Moments| {
            f(x(backend::constant(numbers(432, 1), [432])), backend::zeros([4]), backend::zeros([4]))
        };
        let (a, b) = (
            told(&|x, g, b| own::batch_norm(x, g, b, None, 1e-3, false).1),
            told(&|x, g, b| batch_norm(x, g, b, None, 1e-3, false).1),
        );
        let near = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-6);
        assert!(near(&a.mean, &b.mean) && near(&a.variance, &b.variance) && a.mean.len() == 4);
        same(
            "group norm",
            [&[3, 4, 6, 6], &[4], &[4]],
            |[a, g, b]| own::group_norm(x(a), g, b, 2, 1e-3).unwrap(),
            |[a, g, b]| group_norm(x(a), g, b, 2, 1e-3),
        );
        let windows = Windows { size: 3, stride: 2, padding: 1 };
        same("max", [&[3, 4, 6, 6]], |[a]| own::max_pool(x(a), windows), |[a]| max_pool(x(a), windows));
        same("mean", [&[3, 4, 6, 6]], |[a]| own::mean_pool(x(a), windows), |[a]| mean_pool(x(a), windows));
    }

    #[test]
    fn sequences_and_words_from_the_backend_are_what_our_kernels_give() {
        let row = |x: Tensor<1>| x.reshape([4, 9]);
        same(
            "layer norm",
            [&[4, 9], &[9], &[9]],
            |[x, g, b]| own::layer_norm(row(x), g, b, 1e-3),
            |[x, g, b]| layer_norm(row(x), g, b, 1e-3),
        );
        for backwards in [false, true] {
            for lengths in [vec![], vec![3, 1, 2]] {
                let steps = Steps { lengths, backwards };
                let lay = |[x, w, u, b, c]: [Tensor<1>; 5], gates: usize| {
                    let x: Tensor<3> = x.reshape([3, 3, 2]);
                    (x, [w.reshape([gates * 5, 2]), u.reshape([gates * 5, 5])], [b, c])
                };
                let sizes = |gates: usize| [vec![18], vec![gates * 10], vec![gates * 25], vec![gates * 5]];
                let [x, w, u, b] = &sizes(4);
                same(
                    "lstm",
                    [x, w, u, b, b],
                    |all| {
                        let (x, w, b) = lay(all, 4);
                        own::lstm(x, w, b, steps.clone())
                    },
                    |all| {
                        let (x, w, b) = lay(all, 4);
                        lstm(x, w, b, &steps)
                    },
                );
                let [x, w, u, b] = &sizes(3);
                same(
                    "gru",
                    [x, w, u, b, b],
                    |all| {
                        let (x, w, b) = lay(all, 3);
                        own::gru(x, w, b, steps.clone())
                    },
                    |all| {
                        let (x, w, b) = lay(all, 3);
                        gru(x, w, b, &steps)
                    },
                );
            }
        }
        let lengths = [3, 0, 4];
        let steps = |x: Tensor<1>, width: usize| x.reshape([7, width]);
        same(
            "attention",
            [&[7, 18]],
            |[x]| own::attention(steps(x, 18), &lengths, 2),
            |[x]| attention(steps(x, 18), &lengths, 2),
        );
        for reach in [1, 3] {
            let weight = |w: Tensor<1>| w.reshape([5, reach, 2]);
            same(
                "largest window",
                [&[7, 2], &[5, reach, 2], &[5]],
                |[x, w, b]| own::largest_window(steps(x, 2), &lengths, weight(w), b),
                |[x, w, b]| largest_window(steps(x, 2), &lengths, weight(w), b),
            );
        }
        for together in [Together::Sum, Together::Mean, Together::Largest] {
            let weights = (together == Together::Sum).then(|| vec![0.5, -1.0, 2.0, 1.5]);
            let bags = Bags { indices: vec![2, 0, 2, 4], offsets: vec![0, 2, 2], weights };
            let table = |t: Tensor<1>| t.reshape([6, 3]);
            same(
                "embedding bag",
                [&[6, 3]],
                |[t]| own::embedding_bag(table(t), bags.clone(), together).unwrap(),
                |[t]| embedding_bag(table(t), &bags, together),
            );
        }
    }
}
