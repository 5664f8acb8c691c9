//! The dense layer as one operator: product, bias and rectifier forward; mask, products and sum backward.

use std::sync::Arc;

use rayon::prelude::*;

use super::activation::open;
use super::built_in;
use super::product::{View, product_together};
use super::simd::{PIECE, columns, wide};
use super::transpose::transpose;
use crate::backend::{self, Host, Operator, Saved, Tensor};
use crate::memory::{fresh, give_back};

/// `y = x W^T + b`, with `rectify` the larger of that and zero.
///
/// # Shapes
/// `x [rows, inputs]`, `weight [outputs, inputs]`, `bias [outputs]`, to `[rows, outputs]`.
pub fn dense(x: Tensor<2>, weight: Tensor<2>, bias: Tensor<1>, rectify: bool) -> Tensor<2> {
    if backend::elsewhere() {
        return built_in::dense(x, weight, bias, rectify);
    }
    backend::operate(Arc::new(Dense { rectify }), [x.into(), weight.into(), bias.into()])
}

#[derive(Debug)]
struct Dense {
    rectify: bool,
}

/// Rows, inputs, outputs.
fn sizes(x: &Host, weight: &Host) -> [usize; 3] {
    let at = |shape: Vec<usize>, i: usize| shape.get(i).copied().unwrap_or(0);
    [at(x.shape(), 0), at(x.shape(), 1), at(weight.shape(), 0)]
}

impl Operator for Dense {
    fn forward(&self, inputs: &[Host], save: bool) -> (Host, Saved) {
        let [x, weight, bias] = inputs else { return Default::default() };
        let [rows, k, o] = sizes(x, weight);
        let mut out = fresh(rows * o);
        let weight = View::new(weight.numbers(), o, k);
        // One of the two has to lie the other way for the product: where the rows are fewer than the outputs, these and
        // the result are turned on all threads, which costs less than to turn the weight on one.
        if rows < o {
            let (mut turned, mut made) = (fresh(k * rows), fresh(o * rows));
            transpose(x.numbers(), rows, k, &mut turned);
            product_together(weight, View::new(&turned, k, rows), &mut made, rows, false);
            transpose(&made, o, rows, &mut out);
            give_back(turned);
            give_back(made);
        } else {
            product_together(View::new(x.numbers(), rows, k), weight.transposed(), &mut out, o, false);
        }
        let low = if self.rectify { 0.0 } else { f32::NEG_INFINITY };
        out.par_chunks_mut((PIECE / o.max(1)).max(1) * o.max(1)).for_each(|out| {
            wide(
                #[inline(always)]
                || {
                    for row in out.chunks_exact_mut(o.max(1)) {
                        for (v, b) in row.iter_mut().zip(bias.numbers()) {
                            // What is not a number stays so: `max` would take the zero.
                            *v = if *v + b < low { low } else { *v + b };
                        }
                    }
                },
            );
        });
        let out = Host::new(out, [rows, o]);
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
        let ([x, weight, _], [dx, dw, db]) = (inputs, wanted) else { return Vec::new() };
        let [rows, k, o] = sizes(x, weight);
        let masked = saved.hosts.first().map(|out| open(out, gradient));
        let gradient = masked.as_ref().unwrap_or(gradient).numbers();
        let dy = View::new(gradient, rows, o);
        let made = |a: View<'_>, b: View<'_>, [m, n]: [usize; 2]| {
            let mut out = fresh(m * n);
            product_together(a, b, &mut out, n, false);
            Host::new(out, [m, n])
        };
        vec![
            dx.then(|| made(dy, View::new(weight.numbers(), o, k), [rows, k])),
            dw.then(|| made(dy.transposed(), View::new(x.numbers(), rows, k), [o, k])),
            db.then(|| Host::new(columns(gradient, o), [o])),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::reference::{differences, numbers, wide as f64s};

    fn plain(all: &[Vec<f64>], [rows, k, o]: [usize; 3], rectify: bool) -> Vec<f64> {
        let one = |r: usize, j: usize| {
            let sum: f64 = (0..k).map(|i| all[0][r * k + i] * all[1][j * k + i]).sum::<f64>() + all[2][j];
            if rectify { sum.max(0.0) } else { sum }
        };
        (0..rows * o).map(|i| one(i / o, i % o)).collect()
    }

    #[test]
    fn values_and_gradients_are_the_plain_ones() {
        for shape in [[1, 1, 1], [5, 7, 3], [33, 20, 17], [2, 300, 1], [130, 3, 70]] {
            for rectify in [false, true] {
                let [rows, k, o] = shape;
                let inputs = [
                    Host::new(numbers(rows * k, 1), [rows, k]),
                    Host::new(numbers(o * k, 2), [o, k]),
                    Host::new(numbers(o, 3), [o]),
                ];
                let all: Vec<Vec<f64>> = inputs.iter().map(|i| f64s(i.numbers())).collect();
                let operator = Dense { rectify };
                let (out, _) = operator.forward(&inputs, false);
                for (a, e) in out.numbers().iter().zip(plain(&all, shape, rectify)) {
                    // Sums of up to 300 products below one, in f32.
                    assert!((f64::from(*a) - e).abs() < 1e-5 * (1.0 + e.abs()), "{shape:?}: {a} {e}");
                }
                let apart = differences(&operator, &inputs, |x| plain(x, shape, rectify));
                assert!(apart <= usize::from(rectify), "{shape:?}: {apart}");
            }
        }
    }

    #[test]
    fn what_is_not_a_number_stays_and_no_rows_are_no_rows() {
        let weight = Host::new(vec![1.0, 2.0], [1, 2]);
        let bias = Host::new(vec![0.5], [1]);
        let x = Host::new(vec![f32::NAN, 1.0, 1.0, 1.0], [2, 2]);
        let (out, _) = Dense { rectify: true }.forward(&[x, weight.clone(), bias.clone()], false);
        assert!(out.numbers()[0].is_nan() && out.numbers()[1] == 3.5);
        let (out, _) = Dense { rectify: true }.forward(&[Host::new(vec![], [0, 2]), weight, bias], false);
        assert_eq!(out.shape(), [0, 1]);
    }
}
