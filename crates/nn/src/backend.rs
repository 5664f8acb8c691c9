//! The tensor backend: burn's flex backend on the CPU. No other file names a device, a backend or a dispatch type.

use std::fmt;
use std::sync::Arc;

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients as Graph;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, DispatchTensor, Flex, backend_extension};
use burn::tensor::{Device, TensorData, activation};
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

/// Numbers on the host with a shape: what own kernels read and give. Clones share their buffer.
#[derive(Clone)]
pub struct Host(FloatTensor<Flex>);

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("shape", &self.shape()).finish()
    }
}

impl Default for Host {
    fn default() -> Self {
        Self::new(Vec::new(), [0])
    }
}

impl Host {
    /// Takes numbers in, row-major; they must fill the shape.
    pub fn new(data: Vec<f32>, shape: impl Into<Vec<usize>>) -> Self {
        Self(FloatTensor::<Flex>::from_data(TensorData::new(data, shape.into())))
    }

    fn wrap(tensor: FloatTensor<Flex>) -> Self {
        Self(tensor.to_contiguous())
    }

    /// The shape.
    pub fn shape(&self) -> Vec<usize> {
        self.0.layout().shape().to_vec()
    }

    /// The numbers, row-major.
    pub fn numbers(&self) -> &[f32] {
        self.0.as_slice().unwrap_or(&[])
    }
}

/// What an operator's forward pass keeps for its backward pass, beside the inputs.
#[derive(Debug, Clone, Default)]
pub struct Saved {
    /// Numbers, such as the output or statistics.
    pub hosts: Vec<Host>,
    /// Marks, such as which of several values was the largest.
    pub marks: Vec<u8>,
}

/// An operator with kernels of our own for the forward and the backward pass, from at most [`INPUTS`] inputs to one
/// output.
pub trait Operator: fmt::Debug + Send + Sync {
    /// The output, and with `save` what the backward pass needs beside the inputs.
    fn forward(&self, inputs: &[Host], save: bool) -> (Host, Saved);

    /// The gradients of the inputs from that of the output, one entry an input; only those that are `wanted` are used.
    fn backward(&self, inputs: &[Host], saved: &Saved, gradient: &Host, wanted: &[bool])
    -> Vec<Option<Host>>;
}

/// The most inputs that an [`Operator`] has.
pub const INPUTS: usize = 6;

/// A tensor of any number of dimensions: an input of an [`Operator`].
pub struct Input(DispatchTensor);

impl<const D: usize> From<Tensor<D>> for Input {
    fn from(tensor: Tensor<D>) -> Self {
        Self(tensor.into_dispatch())
    }
}

/// Runs an [`Operator`], recording it where an input takes part in a gradient. At most [`INPUTS`] inputs are given to it.
pub fn operate<const N: usize, const D: usize>(operator: Arc<dyn Operator>, inputs: [Input; N]) -> Tensor<D> {
    const { assert!(N <= INPUTS) };
    let nothing = || zeros([1]).into_dispatch();
    let mut inputs = inputs.into_iter().map(|i| i.0);
    let mut next = || inputs.next().unwrap_or_else(nothing);
    let (a, b, c, d, e, f) = (next(), next(), next(), next(), next(), next());
    Tensor::from_dispatch(<Dispatch as OwnOperators>::operate(a, b, c, d, e, f, operator, N))
}

/// How burn is told about [`Operator`]s.
#[backend_extension(Flex, Autodiff)]
pub trait OwnOperators: Backend {
    /// See [`operate`]; only the first `count` inputs are given to the operator.
    #[allow(clippy::too_many_arguments)]
    fn operate(
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        c: FloatTensor<Self>,
        d: FloatTensor<Self>,
        e: FloatTensor<Self>,
        f: FloatTensor<Self>,
        operator: Arc<dyn Operator>,
        count: usize,
    ) -> FloatTensor<Self>;
}

impl OwnOperators for Flex {
    fn operate(
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        c: FloatTensor<Self>,
        d: FloatTensor<Self>,
        e: FloatTensor<Self>,
        f: FloatTensor<Self>,
        operator: Arc<dyn Operator>,
        count: usize,
    ) -> FloatTensor<Self> {
        let inputs = [a, b, c, d, e, f].map(Host::wrap);
        operator.forward(inputs.get(..count).unwrap_or(&inputs), false).0.0
    }
}

#[derive(Debug)]
struct Recorded;

#[derive(Debug, Clone)]
struct State {
    operator: Arc<dyn Operator>,
    inputs: Vec<Host>,
    saved: Arc<Saved>,
}

impl Backward<Flex, INPUTS> for Recorded {
    type State = State;

    fn backward(self, ops: Ops<State, INPUTS>, graph: &mut Graph, _: &mut Checkpointer) {
        let gradient = Host::wrap(graph.consume::<Flex>(&ops.node));
        let State { operator, inputs, saved } = ops.state;
        let wanted = ops.parents.each_ref().map(Option::is_some);
        let gradients = operator.backward(&inputs, &saved, &gradient, &wanted[..inputs.len()]);
        for (parent, gradient) in ops.parents.into_iter().zip(gradients) {
            if let (Some(parent), Some(gradient)) = (parent, gradient) {
                graph.register::<Flex>(parent.id, gradient.0);
            }
        }
    }
}

impl<S: CheckpointStrategy> OwnOperators for Autodiff<Flex, S> {
    fn operate(
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        c: FloatTensor<Self>,
        d: FloatTensor<Self>,
        e: FloatTensor<Self>,
        f: FloatTensor<Self>,
        operator: Arc<dyn Operator>,
        count: usize,
    ) -> FloatTensor<Self> {
        let all = [a, b, c, d, e, f];
        let inputs: Vec<Host> = all.iter().take(count).map(|t| Host::wrap(t.primitive().clone())).collect();
        let nodes = all.map(|t| t.node());
        match Recorded.prepare::<S>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => {
                let (output, saved) = operator.forward(&inputs, true);
                prepared.finish(State { operator, inputs, saved: Arc::new(saved) }, output.0)
            }
            OpsKind::UnTracked(prepared) => prepared.finish(operator.forward(&inputs, false).0.0),
        }
    }
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
