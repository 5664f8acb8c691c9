//! The tensor backend: burn's flex backend on the CPU. No other file names a device, a backend or a dispatch type.

use burn::tensor::ops::{ConvOptions, MaxPoolOptions};
use burn::tensor::{Device, TensorData, activation, module};
use consilience_core::{Error, Result};

/// A tensor of 32-bit floats with `D` dimensions.
pub type Tensor<const D: usize> = burn::tensor::Tensor<D>;

/// What a backward pass gives: the gradients of the leaves that it reached.
pub struct Gradients(burn::tensor::Gradients);

/// The name of the device that computes, for provenance.
pub const DEVICE: &str = "cpu";

fn device() -> Device {
    Device::flex()
}

/// A tensor that takes no gradient. `data` must fill `shape`.
pub fn constant<const D: usize>(data: Vec<f32>, shape: [usize; D]) -> Tensor<D> {
    Tensor::from_data(TensorData::new(data, shape), &device())
}

/// Zeros that take no gradient.
pub fn zeros<const D: usize>(shape: [usize; D]) -> Tensor<D> {
    Tensor::zeros(shape, &device())
}

/// A flat tensor whose gradient is kept.
pub fn leaf(data: Vec<f32>) -> Tensor<1> {
    let shape = [data.len()];
    Tensor::from_data(TensorData::new(data, shape), &device().autodiff()).require_grad()
}

/// The numbers of a tensor, row-major.
///
/// # Errors
/// [`Error::Internal`] if the backend cannot give them.
pub fn read<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>> {
    tensor.try_into_vec_as::<f32>().map_err(|e| Error::internal(format!("a tensor cannot be read: {e:?}")))
}

/// The gradients of a scalar; `None` if it depends on no leaf.
pub fn backward(loss: &Tensor<1>) -> Option<Gradients> {
    loss.is_tracked().then(|| Gradients(loss.backward()))
}

/// Takes the gradient of a leaf out; `None` if the scalar did not depend on it.
///
/// # Errors
/// As [`read`].
pub fn take_gradient(leaf: &Tensor<1>, gradients: &mut Gradients) -> Result<Option<Vec<f32>>> {
    leaf.grad_remove(&mut gradients.0).map(read).transpose()
}

/// `max(x, 0)`.
pub fn relu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    activation::relu(x)
}

/// `1 / (1 + exp(-x))`.
pub fn sigmoid<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    activation::sigmoid(x)
}

/// The logarithm of the softmax over each row.
pub fn log_softmax(x: Tensor<2>) -> Tensor<2> {
    activation::log_softmax(x, 1)
}

/// Cross-correlation with stride one and `padding` zeros on every side:
/// `x [n, c, h, w]`, `weight [o, c, k, k]`, `bias [o]`.
pub fn conv2d(x: Tensor<4>, weight: Tensor<4>, bias: Tensor<1>, padding: usize) -> Tensor<4> {
    module::conv2d(x, weight, Some(bias), ConvOptions::new([1, 1], [padding, padding], [1, 1], 1))
}

/// The largest of each 2 x 2 block; an odd last row or column is left out: `[n, c, h, w]` to `[n, c, h / 2, w / 2]`.
pub fn max_pool2(x: Tensor<4>) -> Tensor<4> {
    module::max_pool2d(x, MaxPoolOptions::new([2, 2]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gradients_reach_leaves_and_only_them() {
        let (a, b) = (leaf(vec![1.0, 2.0]), leaf(vec![5.0]));
        let loss = (a.clone() * constant(vec![3.0, 4.0], [2])).sum();
        let mut gradients = backward(&loss).unwrap();
        assert_eq!(take_gradient(&a, &mut gradients).unwrap().unwrap(), [3.0, 4.0]);
        assert!(take_gradient(&b, &mut gradients).unwrap().is_none());
        assert!(backward(&constant(vec![1.0], [1])).is_none());
    }
}
