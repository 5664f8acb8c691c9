//! Layers on a graph compute what the layers here do: run in rten.

use consilience_core::model::graph::{About, Graph, Value as Traced};
use consilience_core::model::{Array, Field, Parts};
use consilience_nn::backend::{self, Tensor};
use consilience_nn::graph::{self, Sketch};
use consilience_nn::kernels::{
    self, Activation, Direction, Moves, Steps, Windows, activate, bidirectional_gru, bidirectional_lstm,
};
use consilience_nn::layers::recurrence::Cell;
use consilience_nn::layers::{Pass, norm};
use consilience_nn::params::{Bound, Declared, Params};
use rten_tensor::prelude::*;
use rten_tensor::{NdTensor, Tensor as Run};

const ROWS: usize = 3;

/// Numbers from -1 to 1 that a word decides.
fn numbers(word: &str, count: usize) -> Vec<f32> {
    let start = word.bytes().fold(7u32, |h, b| h.wrapping_mul(31).wrapping_add(u32::from(b)));
    let one =
        |i: u32| (start.wrapping_add(i).wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 23) as f32 - 1.0;
    (0u32..).take(count).map(one).collect()
}

/// Parameters of these shapes; variances are above zero.
fn params(shapes: &[(&str, &[usize])]) -> Params {
    let mut parts = Parts::default();
    let mut declared = Vec::new();
    for (name, shape) in shapes {
        let mut values = numbers(name, shape.iter().product());
        if name.ends_with("var") {
            values.iter_mut().for_each(|v| *v = 0.2 + v.abs());
        }
        parts = parts.with(name, Array::F32(shape.to_vec(), values));
        declared.push(Declared::new(*name, shape.to_vec(), 1));
    }
    Params::from_parts(&declared, &parts).unwrap()
}

/// What a layer's graph gives for [`ROWS`] rows of a shape, flat.
fn ran(params: &Params, shape: &[usize], draw: impl FnOnce(&mut Sketch<'_>, &Traced) -> Traced) -> Vec<f32> {
    let mut graph = Graph::default();
    let x = graph.column(&Field::vector("x", shape.to_vec())).unwrap();
    let y = draw(&mut Sketch::new(&mut graph, params), &x);
    let y = graph.flat(&y);
    graph.output("y", &y, 0);
    let model = rten::Model::load(graph.to_onnx(&About::default()).unwrap()).unwrap();
    let full: Vec<usize> = std::iter::once(ROWS).chain(shape.iter().copied()).collect();
    let x = Run::from_data(full.as_slice(), numbers("x", full.iter().product()));
    let [input, output] = ["x", "y"].map(|n| model.node_id(n).unwrap());
    let said = model.run(vec![(input, x.into())], &[output], None).unwrap().remove(0);
    let said: NdTensor<f32, 2> = said.try_into().unwrap();
    said.to_vec()
}

fn x<const D: usize>(shape: [usize; D]) -> Tensor<D> {
    backend::constant(numbers("x", shape.iter().product()), shape)
}

fn close<const D: usize>(what: &str, said: &[f32], expected: Tensor<D>) {
    let expected = backend::read(expected).unwrap();
    assert_eq!(said.len(), expected.len(), "{what}");
    // Sums of some dozens of products of numbers of about one, in another order.
    let gap = said.iter().zip(&expected).map(|(s, e)| (s - e).abs()).fold(0.0, f32::max);
    assert!(gap < 5e-6, "{what}: {gap:e}");
    assert!(expected.iter().any(|e| e.abs() > 0.01), "{what}: nothing");
}

fn get<const D: usize>(bound: &Bound, name: &str) -> Tensor<D> {
    bound.get(name).unwrap()
}

#[test]
fn convolutions_of_any_stride_padding_dilation_and_groups() {
    for (moves, biased) in [
        (Moves::default(), true),
        (Moves { stride: 2, padding: [1, 1], ..Moves::default() }, false),
        (Moves { padding: [0, 2], dilation: 2, ..Moves::default() }, true),
        (Moves { stride: 2, padding: [1, 0], groups: 2, ..Moves::default() }, false),
    ] {
        let mut shapes: Vec<(&str, &[usize])> =
            vec![("c.weight", if moves.groups == 2 { &[6, 2, 3, 3] } else { &[6, 4, 3, 3] })];
        if biased {
            shapes.push(("c.bias", &[6]));
        }
        let params = params(&shapes);
        let said = ran(&params, &[4, 7, 9], |s, x| graph::conv2d(s, "c", x, moves).unwrap());
        let bound = params.bind(false);
        let bias = biased.then(|| get::<1>(&bound, "c.bias"));
        let expected = kernels::conv2d(x([ROWS, 4, 7, 9]), get(&bound, "c.weight"), bias, None, moves, false);
        close(&format!("{moves:?}"), &said, expected);
    }
}

#[test]
fn convolution_blocks_over_pixels_and_over_steps() {
    for (shape, kernel) in [([2, 6, 5], [3, 3]), ([2, 1, 9], [1, 5])] {
        let params = params(&[("c.weight", &[3, 2, kernel[0], kernel[1]]), ("c.bias", &[3])]);
        let halves = Windows { size: 2, stride: 2, padding: 0 };
        let said = ran(&params, &shape, |s, x| {
            let y = graph::rectified_conv2d(s, "c", x).unwrap();
            graph::max_pool(s, &y, halves, shape[1] == 1)
        });
        let bound = params.bind(false);
        let [c, h, w] = shape;
        let expected =
            kernels::convolution_block(x([ROWS, c, h, w]), get(&bound, "c.weight"), get(&bound, "c.bias"));
        close(&format!("{shape:?}"), &said, expected);
    }
}

#[test]
fn pools_count_only_what_is_inside() {
    let none = Params::default();
    for windows in [Windows { size: 2, stride: 2, padding: 0 }, Windows { size: 3, stride: 2, padding: 1 }] {
        let said = ran(&none, &[2, 7, 9], |s, x| graph::max_pool(s, x, windows, false));
        close("max", &said, kernels::max_pool(x([ROWS, 2, 7, 9]), windows));
        let said = ran(&none, &[2, 7, 9], |s, x| graph::mean_pool(s, x, windows, false));
        close("mean", &said, kernels::mean_pool(x([ROWS, 2, 7, 9]), windows));
    }
    let said = ran(&none, &[2, 7, 9], graph::mean_of_places);
    close("places", &said, x([ROWS * 2, 63]).mean_dim(1));
}

#[test]
fn normalizations() {
    let params =
        params(&[("n.weight", &[4]), ("n.bias", &[4]), ("n.running_mean", &[4]), ("n.running_var", &[4])]);
    let bound = params.bind(false);
    let pass = Pass::predicting(&bound);
    let epsilon = 1e-5;
    let said = ran(&params, &[4, 3, 2], |s, x| graph::batch_norm(s, "n", x, epsilon).unwrap());
    let of = |name: &str| get::<1>(&bound, &format!("n.{name}")).reshape([1, 4, 1, 1]);
    let scale = of("weight") / (of("running_var") + epsilon).sqrt();
    close("batch", &said, (x([ROWS, 4, 3, 2]) - of("running_mean")) * scale + of("bias"));
    let said = ran(&params, &[3, 4], |s, x| graph::by_row(s, "n", x, epsilon).unwrap());
    close("row", &said, norm::by_row(&pass, "n", x([ROWS, 3, 4])).unwrap());
    let said = ran(&params, &[4, 3, 2], |s, x| graph::by_group(s, "n", x, 2, epsilon).unwrap());
    close("group", &said, norm::by_group(&pass, "n", x([ROWS, 4, 3, 2]), 2).unwrap());
}

#[test]
fn dense_layers_activations_and_tables_of_vectors() {
    let params = params(&[("d.weight", &[5, 4]), ("d.bias", &[5]), ("t.weight", &[6, 2])]);
    let bound = params.bind(false);
    for rectify in [false, true] {
        let said = ran(&params, &[4], |s, x| {
            if rectify { graph::rectified(s, "d", x).unwrap() } else { graph::dense(s, "d", x).unwrap() }
        });
        let expected = kernels::dense(x([ROWS, 4]), get(&bound, "d.weight"), get(&bound, "d.bias"), rectify);
        close("dense", &said, expected);
    }
    let said = ran(&params, &[4], graph::gelu);
    close("gelu", &said, activate(Activation::Gelu, x([ROWS, 4])));
    let said = ran(&params, &[4], |s, _| {
        let ids = s.graph.ints([5, 0, 5]);
        let ids = s.graph.reshape(&ids, &[3, 1]);
        graph::looked_up(s, "t", &ids).unwrap()
    });
    let table = backend::read(get::<2>(&bound, "t.weight")).unwrap();
    assert_eq!(said, [&table[10..], &table[..2], &table[10..]].concat());
}

#[test]
fn recurrent_layers_in_one_and_in_both_directions_one_above_the_other() {
    let (steps, inputs, hidden) = (5, 3, 4);
    for (cell, gates) in [(Cell::Gru, 3), (Cell::Lstm, 4)] {
        for both in [false, true] {
            for levels in [1, 2] {
                let width = if both { 2 * hidden } else { hidden };
                let ends: &[&str] = if both { &["", "_reverse"] } else { &[""] };
                let mut shapes = Vec::new();
                for level in 0..levels {
                    for end in ends {
                        let own = if level == 0 { inputs } else { width };
                        for (name, shape) in [
                            ("weight_ih", vec![gates * hidden, own]),
                            ("weight_hh", vec![gates * hidden, hidden]),
                            ("bias_ih", vec![gates * hidden]),
                            ("bias_hh", vec![gates * hidden]),
                        ] {
                            shapes.push((format!("r.{name}_l{level}{end}"), shape));
                        }
                    }
                }
                let shapes: Vec<(&str, &[usize])> =
                    shapes.iter().map(|(n, s)| (n.as_str(), s.as_slice())).collect();
                let params = params(&shapes);
                let said = ran(&params, &[steps, inputs], |s, x| {
                    graph::recurrent(s, cell, "r", levels, both, x).unwrap()
                });
                let bound = params.bind(false);
                let direction = |level: usize, end: &str| Direction {
                    weights: ["weight_ih", "weight_hh"].map(|n| get(&bound, &format!("r.{n}_l{level}{end}"))),
                    biases: ["bias_ih", "bias_hh"].map(|n| get(&bound, &format!("r.{n}_l{level}{end}"))),
                };
                let mut states = x([ROWS, steps, inputs]);
                for level in 0..levels {
                    let there = direction(level, "");
                    let all = Steps::default();
                    states = match (cell, both) {
                        (Cell::Gru, false) => kernels::gru(states, there.weights, there.biases, all),
                        (Cell::Lstm, false) => kernels::lstm(states, there.weights, there.biases, all),
                        (Cell::Gru, true) => {
                            bidirectional_gru(states, [there, direction(level, "_reverse")], vec![])
                        }
                        (Cell::Lstm, true) => {
                            bidirectional_lstm(states, [there, direction(level, "_reverse")], vec![])
                        }
                    };
                }
                let at = |step, from| {
                    states.clone().narrow(1, step, 1).narrow(2, from, hidden).reshape([ROWS, hidden])
                };
                let expected = match both {
                    true => Tensor::cat(vec![at(steps - 1, 0), at(0, hidden)], 1),
                    false => at(steps - 1, 0),
                };
                close(&format!("{cell:?} {both} {levels}"), &said, expected);
            }
        }
    }
}
