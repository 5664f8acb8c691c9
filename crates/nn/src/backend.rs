//! The tensor backend: burn's flex backend on the CPU with our own kernels, or one of its GPU backends where this program
//! was built for them. No other file names a device, a backend or a dispatch type.

use std::fmt;
use std::sync::{Arc, OnceLock};

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients as Graph;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, DispatchTensor, Flex, backend_extension};
use burn::tensor::{Device, Int, TensorData};
// What our kernels are made of where they cannot run themselves.
pub(crate) use burn::tensor::{activation, module, ops};
use consilience_core::{Error, Result};

use crate::memory;

/// A tensor of 32-bit floats with `D` dimensions.
pub type Tensor<const D: usize> = burn::tensor::Tensor<D>;

/// What a backward pass gives: the gradients of the leaves that it reached.
pub struct Gradients(burn::tensor::Gradients);

/// Which device to compute on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Choice {
    /// A CUDA device where this program was built for one and the machine has one, else the processor.
    #[default]
    Auto,
    /// The processor, by our own kernels.
    Cpu,
    /// The first CUDA device, by the backend's operators; with the feature `cuda`.
    Cuda,
    /// What wgpu finds (Vulkan, Metal, DirectX), by the backend's operators; with the feature `wgpu`.
    Wgpu,
}

/// The device of this process, and its name.
static CHOSEN: OnceLock<(Device, &'static str)> = OnceLock::new();

/// Chooses the device of this process, before the first tensor is made; gives its name.
///
/// # Errors
/// [`Error::Argument`] if this program was not built for such a device, the machine has none, or another was chosen.
pub fn choose(choice: Choice) -> Result<&'static str> {
    let (device, name) = match choice {
        Choice::Cpu => (Device::flex(), CPU),
        Choice::Auto => cuda().map_or((Device::flex(), CPU), |d| (d, "cuda")),
        Choice::Cuda => {
            let missing = || none("CUDA", "cuda", cfg!(feature = "cuda"));
            (cuda().ok_or_else(missing)?, "cuda")
        }
        Choice::Wgpu => {
            let missing = || none("wgpu", "wgpu", cfg!(feature = "wgpu"));
            (wgpu().ok_or_else(missing)?, "wgpu")
        }
    };
    let (_, chosen) = CHOSEN.get_or_init(|| (device, name));
    if *chosen == name {
        return Ok(name);
    }
    Err(Error::argument("the device cannot be changed any more").expected(*chosen).got(name))
}

fn none(what: &str, feature: &str, built: bool) -> Error {
    let error = Error::argument(format!("there is no {what} device")).expected("a device that is there");
    if built {
        return error.got("none found on this machine").remedy("take --device cpu");
    }
    error
        .got(format!("a program that was built without the feature {feature}"))
        .remedy(format!("build it with --features {feature}, or take --device cpu"))
}

#[cfg(feature = "cuda")]
fn cuda() -> Option<Device> {
    Device::enumerate(burn::tensor::DeviceType::Cuda).into_iter().next()
}

#[cfg(not(feature = "cuda"))]
fn cuda() -> Option<Device> {
    None
}

#[cfg(feature = "wgpu")]
fn wgpu() -> Option<Device> {
    Device::enumerate(burn::tensor::DeviceType::Wgpu).into_iter().next()
}

#[cfg(not(feature = "wgpu"))]
fn wgpu() -> Option<Device> {
    None
}

const CPU: &str = "cpu";

fn chosen() -> &'static (Device, &'static str) {
    CHOSEN.get_or_init(|| (Device::flex(), CPU))
}

/// The name of the device that computes, for hashes and provenance: what it gives differs from another's in the last bits.
pub fn device_name() -> &'static str {
    chosen().1
}

/// Whether tensors lie where our own kernels cannot read them.
pub fn elsewhere() -> bool {
    chosen().1 != CPU
}

fn device() -> Device {
    chosen().0.clone()
}

/// A tensor that takes no gradient. `data` must fill `shape`.
pub fn constant<const D: usize>(data: Vec<f32>, shape: [usize; D]) -> Tensor<D> {
    Tensor::from_data(TensorData::new(data, shape), &device())
}

/// Zeros that take no gradient.
pub fn zeros<const D: usize>(shape: [usize; D]) -> Tensor<D> {
    Tensor::zeros(shape, &device())
}

/// A flat tensor over numbers of any shape, whose gradient is kept. The numbers are shared, not copied.
pub fn leaf(numbers: &Host) -> Tensor<1> {
    numbers.flat().autodiff().require_grad()
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
/// [`Error::Internal`] if the backend cannot give it.
pub fn take_gradient(leaf: &Tensor<1>, gradients: &mut Gradients) -> Result<Option<Host>> {
    leaf.grad_remove(&mut gradients.0).map(Host::of).transpose()
}

/// Some rows of a table, in the order given; they must exist.
pub(crate) fn rows(table: Tensor<2>, rows: &[usize]) -> Tensor<2> {
    let rows: Vec<i64> = rows.iter().map(|i| *i as i64).collect();
    let rows = burn::tensor::Tensor::<1, Int>::from_data(rows.as_slice(), &table.device());
    table.select(0, rows)
}

/// Numbers on the host with a shape, row-major: parameters, gradients, and what own kernels read and give. Clones share
/// their buffer until one of them is changed.
///
/// The last clone gives the memory back to be used again.
#[derive(Clone)]
pub struct Host(Option<FloatTensor<Flex>>);

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
        Self(Some(FloatTensor::<Flex>::from_data(TensorData::new(data, shape.into()))))
    }

    /// The numbers of a tensor, which takes no part in a gradient; shared where they lie on the host in order.
    ///
    /// # Errors
    /// [`Error::Internal`] if the backend cannot give them.
    pub fn of<const D: usize>(tensor: Tensor<D>) -> Result<Self> {
        if elsewhere() {
            let shape = tensor.dims();
            return Ok(Self::new(read(tensor)?, shape));
        }
        match tensor.try_into_primitive::<Flex>() {
            Ok(numbers) => Ok(Self::wrap(numbers)),
            Err(e) => Err(Error::internal(format!("a tensor cannot be read: {e:?}"))),
        }
    }

    fn wrap(tensor: FloatTensor<Flex>) -> Self {
        Self(Some(tensor.to_contiguous()))
    }

    /// The tensor itself.
    fn unwrap(mut self) -> FloatTensor<Flex> {
        self.0
            .take()
            .unwrap_or_else(|| FloatTensor::<Flex>::from_data(TensorData::new(Vec::<f32>::new(), [0])))
    }

    /// A flat tensor over the same numbers, which takes no gradient.
    pub fn flat(&self) -> Tensor<1> {
        let count = self.numbers().len();
        if elsewhere() {
            return constant(self.numbers().to_vec(), [count]);
        }
        Tensor::from_primitive::<Flex>(Flex::float_reshape(self.clone().unwrap(), [count].into()))
    }

    /// The shape.
    pub fn shape(&self) -> Vec<usize> {
        self.0.as_ref().map(|t| t.layout().shape().to_vec()).unwrap_or_default()
    }

    /// The numbers, row-major.
    pub fn numbers(&self) -> &[f32] {
        self.0.as_ref().and_then(|t| t.as_slice()).unwrap_or(&[])
    }

    /// The numbers, row-major, to change: copied first where another clone holds them.
    pub fn numbers_mut(&mut self) -> &mut [f32] {
        self.0.as_mut().map(|t| t.storage_mut()).unwrap_or_default()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let Some(tensor) = self.0.take() else { return };
        if tensor.is_unique()
            && memory::worth(tensor.layout().num_elements())
            && let Ok(numbers) = tensor.into_data().try_into_vec::<f32>()
        {
            memory::give_back(numbers);
        }
    }
}

impl PartialEq for Host {
    fn eq(&self, other: &Self) -> bool {
        self.shape() == other.shape() && self.numbers() == other.numbers()
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
        operator.forward(inputs.get(..count).unwrap_or(&inputs), false).0.unwrap()
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
                graph.register::<Flex>(parent.id, gradient.unwrap());
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
                prepared.finish(State { operator, inputs, saved: Arc::new(saved) }, output.unwrap())
            }
            OpsKind::UnTracked(prepared) => prepared.finish(operator.forward(&inputs, false).0.unwrap()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gradients_reach_leaves_and_only_them() {
        let leaf = |v: &[f32]| super::leaf(&Host::new(v.to_vec(), [v.len()]));
        let (a, b) = (leaf(&[1.0, 2.0]), leaf(&[5.0]));
        let loss = (a.clone() * constant(vec![3.0, 4.0], [2])).sum();
        let mut gradients = backward(&loss).unwrap();
        assert_eq!(take_gradient(&a, &mut gradients).unwrap().unwrap().numbers(), [3.0, 4.0]);
        assert!(take_gradient(&b, &mut gradients).unwrap().is_none());
        assert!(backward(&constant(vec![1.0], [1])).is_none());
    }

    #[test]
    fn clones_share_until_one_is_changed_and_leaves_let_go() {
        let mut a = Host::new(vec![1.0, 2.0], [1, 2]);
        let place = a.numbers().as_ptr();
        let loss = (leaf(&a) * constant(vec![3.0, 4.0], [2])).sum();
        let b = a.clone();
        a.numbers_mut()[0] = 7.0;
        assert_eq!((a.numbers(), b.numbers()), (&[7.0f32, 2.0][..], &[1.0f32, 2.0][..]));
        assert_eq!(b.numbers().as_ptr(), place);
        assert_eq!(read(loss).unwrap(), [11.0]);
        // Once nobody else holds them, numbers are changed where they lie.
        let mut b = b;
        b.numbers_mut()[0] = 9.0;
        assert_eq!(b.numbers().as_ptr(), place);
    }
}
