//! Agreement of the kernels with PyTorch: outputs, and gradients of all inputs.

use consilience_nn::backend::{self, Host, Tensor};
use consilience_nn::kernels::{
    Activation, Bags, Direction, Moves, Together, Windows, activate, attention, batch_norm,
    bidirectional_gru, bidirectional_lstm, conv_transpose2d, conv2d, cross_entropy, dense, embedding_bag,
    group_norm, largest_window, layer_norm, log_softmax, max_pool, mean_pool, softmax,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::golden::{Flat, near};

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    kernel: String,
    settings: Value,
    inputs: Vec<Flat>,
    output: Flat,
    pull: Flat,
    gradients: Vec<Flat>,
}

impl Case {
    fn setting<T: DeserializeOwned>(&self, name: &str) -> T {
        serde_json::from_value(self.settings[name].clone()).unwrap()
    }

    fn moves(&self) -> Moves {
        Moves {
            stride: self.setting("stride"),
            padding: self.setting("padding"),
            dilation: self.setting("dilation"),
            groups: self.setting("groups"),
        }
    }

    fn windows(&self) -> Windows {
        Windows {
            size: self.setting("size"),
            stride: self.setting("stride"),
            padding: self.setting("padding"),
        }
    }
}

/// The inputs as tensors of one case.
struct Leaves<'a> {
    case: &'a Case,
    flat: Vec<Tensor<1>>,
}

impl Leaves<'_> {
    fn get<const D: usize>(&self, which: usize) -> Tensor<D> {
        let shape: [usize; D] = self.case.inputs[which].shape.clone().try_into().unwrap();
        self.flat[which].clone().reshape(shape)
    }

    /// The first three inputs.
    fn three<const A: usize, const B: usize, const C: usize>(&self) -> (Tensor<A>, Tensor<B>, Tensor<C>) {
        (self.get(0), self.get(1), self.get(2))
    }

    /// The directions of a bidirectional reading, whose parameters follow the first input.
    fn directions(&self) -> [Direction; 2] {
        [1, 5].map(|at| Direction {
            weights: [self.get(at), self.get(at + 1)],
            biases: [self.get(at + 2), self.get(at + 3)],
        })
    }

    /// The kernel's output, flat.
    fn output(&self) -> Tensor<1> {
        let case = self.case;
        match case.kernel.as_str() {
            "conv2d" => {
                let (x, weight, bias) = self.three();
                flat(conv2d(x, weight, Some(bias), None, case.moves(), case.setting("rectify")))
            }
            "conv_transpose2d" => {
                let (more, rectify) = (case.setting("more"), case.setting("rectify"));
                let (x, weight, bias) = self.three();
                flat(conv_transpose2d(x, weight, Some(bias), case.moves(), more, rectify).unwrap())
            }
            "batch_norm" => {
                let residual = (case.inputs.len() == 4).then(|| self.get(3));
                let (x, gamma, beta) = self.three();
                flat(batch_norm(x, gamma, beta, residual, 1e-5, case.setting("rectify")).0)
            }
            "max_pool" => flat(max_pool(self.get(0), case.windows())),
            "mean_pool" => flat(mean_pool(self.get(0), case.windows())),
            "lstm" => flat(bidirectional_lstm(self.get(0), self.directions(), case.setting("lengths"))),
            "gru" => flat(bidirectional_gru(self.get(0), self.directions(), case.setting("lengths"))),
            "layer_norm" => {
                let (x, gamma, beta) = self.three::<3, 2, 2>();
                flat(layer_norm(x, gamma, beta, 1e-5))
            }
            "group_norm" => {
                let (x, gamma, beta) = self.three();
                flat(group_norm(x, gamma, beta, case.setting("groups"), 1e-5).unwrap())
            }
            "embedding_bag" => {
                let together = match case.setting::<String>("mode").as_str() {
                    "sum" => Together::Sum,
                    "mean" => Together::Mean,
                    _ => Together::Largest,
                };
                let bags = Bags {
                    indices: case.setting("indices"),
                    offsets: case.setting("offsets"),
                    weights: case.setting("weights"),
                };
                flat(embedding_bag(self.get(0), bags, together).unwrap())
            }
            "softmax" => flat(softmax(self.get(0))),
            "log_softmax" => flat(log_softmax(self.get(0))),
            "cross_entropy" => {
                let truth: Vec<f32> = case.setting::<Vec<Vec<f32>>>("truth").concat();
                let share: Vec<f32> = case.setting("share");
                let (x, rows) = (self.get::<2>(0), share.len());
                let truth = backend::constant(truth, x.dims());
                cross_entropy(x, truth, backend::constant(share, [rows]))
            }
            "attention" => {
                let lengths: Vec<usize> = case.setting("lengths");
                flat(attention(self.get(0), &lengths, case.setting("heads")))
            }
            "largest_window" => {
                let lengths: Vec<usize> = case.setting("lengths");
                let (x, weight, bias) = self.three();
                flat(largest_window(x, &lengths, weight, bias))
            }
            "gelu" => flat(activate(Activation::Gelu, self.get::<2>(0))),
            "tanh" => flat(activate(Activation::Tanh, self.get::<2>(0))),
            "sigmoid" => flat(activate(Activation::Sigmoid, self.get::<2>(0))),
            other => panic!("no kernel {other}"),
        }
    }
}

fn flat<const D: usize>(y: Tensor<D>) -> Tensor<1> {
    let count: usize = y.dims().iter().product();
    y.reshape([count])
}

fn leaf(numbers: &[f32]) -> Tensor<1> {
    backend::leaf(&Host::new(numbers.to_vec(), [numbers.len()]))
}

#[test]
fn outputs_and_gradients_of_kernels_agree() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/golden/kernels.json");
    let golden: Golden = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(golden.cases.len(), 23);
    for (number, case) in golden.cases.iter().enumerate() {
        let what = format!("{} (case {number})", case.kernel);
        let leaves = Leaves { case, flat: case.inputs.iter().map(|i| leaf(&i.values)).collect() };
        let y = leaves.output();
        let mut got = backend::read(y.clone()).unwrap();
        if ["lstm", "gru"].contains(&case.kernel.as_str()) {
            // Where a row has no step PyTorch's padding is zero, and ours in the forward half its last state.
            let [_, steps, width] = case.output.shape[..] else { panic!("three dimensions") };
            let lengths: Vec<usize> = case.setting("lengths");
            for (row, length) in got.chunks_mut(steps * width).zip(lengths) {
                row[length * width..].fill(0.0);
            }
        }
        near(&got, &case.output.values, &what);
        let pull = backend::constant(case.pull.values.clone(), [case.pull.values.len()]);
        let mut gradients = backend::backward(&(y * pull).sum()).unwrap();
        for (which, (leaf, expected)) in leaves.flat.iter().zip(&case.gradients).enumerate() {
            let got = backend::take_gradient(leaf, &mut gradients).unwrap().unwrap();
            near(got.numbers(), &expected.values, &format!("{what}, gradient {which}"));
        }
    }
}

/// Numbers in `[-1, 1)` that look like chance.
fn numbers(count: usize, salt: u32) -> Vec<f32> {
    let mut state = salt;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// A kernel's output and the gradients of its inputs, on so many threads.
fn on_threads<const N: usize, const D: usize>(
    threads: usize,
    sizes: [usize; N],
    kernel: &(impl Fn([Tensor<1>; N]) -> Tensor<D> + Sync),
) -> Vec<Vec<f32>> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| {
        let leaves = sizes.map(|n| leaf(&numbers(n, n as u32)));
        let y = flat(kernel(leaves.clone()));
        let [count] = y.dims();
        let pull = backend::constant(numbers(count, 7), [count]);
        let mut gradients = backend::backward(&(y.clone() * pull).sum()).unwrap();
        let each = leaves
            .iter()
            .map(|l| backend::take_gradient(l, &mut gradients).unwrap().unwrap().numbers().to_vec());
        std::iter::once(backend::read(y).unwrap()).chain(each).collect()
    })
}

#[test]
fn no_bit_of_a_kernel_depends_on_the_threads() {
    fn same<const N: usize, const D: usize>(
        what: &str,
        sizes: [usize; N],
        kernel: impl Fn([Tensor<1>; N]) -> Tensor<D> + Sync,
    ) {
        let one = on_threads(1, sizes, &kernel);
        assert!(one == on_threads(3, sizes, &kernel), "{what}");
    }
    let moves = Moves { stride: 2, padding: [1, 1], ..Moves::default() };
    same("conv_transpose2d", [9 * 8 * 144, 8 * 6 * 16, 6], |[x, w, b]| {
        let (x, w) = (x.reshape([9, 8, 12, 12]), w.reshape([8, 6, 4, 4]));
        conv_transpose2d(x, w, Some(b), moves, [0, 0], true).unwrap()
    });
    let same_size = Moves { padding: [1, 1], ..Moves::default() };
    let conv = |shape: [usize; 4], outputs: usize, moves: Moves| {
        let kernel = outputs * shape[1] * 9;
        same("conv2d", [shape.iter().product(), kernel, outputs], move |[x, w, b]| {
            conv2d(x.reshape(shape), w.reshape([outputs, shape[1], 3, 3]), Some(b), None, moves, true)
        });
    };
    // By Winograd's way, of one sample too, and by patches.
    conv([9, 20, 12, 11], 18, same_size);
    conv([1, 16, 40, 30], 32, same_size);
    conv([9, 8, 12, 12], 6, moves);
    same("dense", [130 * 300, 200 * 300, 200], |[x, w, b]| {
        dense(x.reshape([130, 300]), w.reshape([200, 300]), b, true)
    });
    same("batch_norm", [7 * 9 * 100, 9, 9], |[x, gamma, beta]| {
        batch_norm(x.reshape([7, 9, 10, 10]), gamma, beta, None, 1e-5, true).0
    });
    same("layer_norm", [301 * 130, 130, 130], |[x, gamma, beta]| {
        layer_norm(x.reshape([301, 130]), gamma, beta, 1e-5)
    });
    same("group_norm", [7 * 12 * 99, 12, 12], |[x, gamma, beta]| {
        group_norm(x.reshape([7, 12, 9, 11]), gamma, beta, 3, 1e-5).unwrap()
    });
    let bags = Bags {
        indices: (0..5000).map(|i| i * 7919 % 700).collect(),
        offsets: (0..1000).map(|b| 5 * b).collect(),
        weights: None,
    };
    same("embedding_bag", [700 * 40], |[table]| {
        embedding_bag(table.reshape([700, 40]), bags.clone(), Together::Mean).unwrap()
    });
    same("bidirectional_lstm", [150 * 6 * 5, 2 * 32 * 5, 2 * 32 * 8, 4 * 32], |[x, w, u, b]| {
        let direction = |d: usize| Direction {
            weights: [
                w.clone().narrow(0, d * 160, 160).reshape([32, 5]),
                u.clone().narrow(0, d * 256, 256).reshape([32, 8]),
            ],
            biases: [2 * d, 2 * d + 1].map(|i| b.clone().narrow(0, i * 32, 32)),
        };
        let lengths = (0..150).map(|r| r % 6 + 1).collect();
        bidirectional_lstm(x.reshape([150, 6, 5]), [direction(0), direction(1)], lengths)
    });
}
