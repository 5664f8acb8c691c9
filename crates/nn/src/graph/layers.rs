//! Layers without a memory.

use consilience_core::Result;
use consilience_core::model::graph::{Attribute, Element, Value};

use super::Sketch;
use crate::kernels::{Moves, Windows};

fn pair(n: usize) -> Attribute {
    Attribute::Ints(vec![n as i64; 2])
}

/// Padding at the start and the end of both sides.
fn around([h, w]: [usize; 2]) -> Attribute {
    Attribute::Ints([h, w, h, w].map(|n| n as i64).to_vec())
}

/// `x W^T + b`, `x [rows, inputs]`, as [`crate::layers::dense::forward`].
///
/// # Errors
/// As [`Sketch::param`].
pub fn dense(sketch: &mut Sketch<'_>, layer: &str, x: &Value) -> Result<Value> {
    let (weight, bias) = (sketch.param(layer, "weight")?, sketch.param(layer, "bias")?);
    let turned = vec![("transB", Attribute::Int(1))];
    Ok(sketch.graph.node("Gemm", &[x, &weight, &bias], turned, Element::F32))
}

/// [`dense`] with a rectifier.
///
/// # Errors
/// As [`Sketch::param`].
pub fn rectified(sketch: &mut Sketch<'_>, layer: &str, x: &Value) -> Result<Value> {
    let y = dense(sketch, layer, x)?;
    Ok(sketch.graph.one("Relu", &y))
}

/// The cross-correlation of `x [rows, inputs, h, w]`, with a bias where the layer has one, as
/// [`crate::kernels::conv2d`].
///
/// # Errors
/// As [`Sketch::param`].
pub fn conv2d(sketch: &mut Sketch<'_>, layer: &str, x: &Value, moves: Moves) -> Result<Value> {
    let weight = sketch.param(layer, "weight")?;
    let bias = if sketch.has(layer, "bias") { Some(sketch.param(layer, "bias")?) } else { None };
    let attributes = vec![
        ("strides", pair(moves.stride)),
        ("pads", around(moves.padding)),
        ("dilations", pair(moves.dilation)),
        ("group", Attribute::Int(moves.groups as i64)),
    ];
    let inputs: Vec<&Value> = [x, &weight].into_iter().chain(&bias).collect();
    Ok(sketch.graph.node("Conv", &inputs, attributes, Element::F32))
}

/// A convolution that keeps the size, with bias and rectifier, as [`crate::layers::convolution::rectified`].
///
/// # Errors
/// As [`Sketch::param`].
pub fn rectified_conv2d(sketch: &mut Sketch<'_>, layer: &str, x: &Value) -> Result<Value> {
    let padding = match sketch.host(&format!("{layer}.weight"))?.shape().as_slice() {
        [.., height, width] => [height / 2, width / 2],
        _ => [0, 0],
    };
    let y = conv2d(sketch, layer, x, Moves { padding, ..Moves::default() })?;
    Ok(sketch.graph.one("Relu", &y))
}

/// The largest of each window of `[rows, channels, h, w]`, as [`crate::kernels::max_pool`]; `flat` says that the height is
/// 1, which stays so.
pub fn max_pool(sketch: &mut Sketch<'_>, x: &Value, windows: Windows, flat: bool) -> Value {
    sketch.graph.node("MaxPool", &[x], pooled(windows, flat), Element::F32)
}

/// The mean of each window over the pixels inside, as [`crate::kernels::mean_pool`]; `flat` as for [`max_pool`].
pub fn mean_pool(sketch: &mut Sketch<'_>, x: &Value, windows: Windows, flat: bool) -> Value {
    let mut attributes = pooled(windows, flat);
    attributes.push(("count_include_pad", Attribute::Int(0)));
    sketch.graph.node("AveragePool", &[x], attributes, Element::F32)
}

fn pooled(windows: Windows, flat: bool) -> Vec<(&'static str, Attribute)> {
    let Windows { size, stride, padding } = windows;
    let sides = |n: usize| Attribute::Ints([if flat { 1 } else { n }, n].map(|n| n as i64).to_vec());
    let padding = around([if flat { 0 } else { padding }, padding]);
    vec![("kernel_shape", sides(size)), ("strides", sides(stride)), ("pads", padding)]
}

/// The mean over all places: `[rows, channels, h, w]` to `[rows, channels]`.
pub fn mean_of_places(sketch: &mut Sketch<'_>, x: &Value) -> Value {
    let mean = sketch.graph.node("GlobalAveragePool", &[x], vec![], Element::F32);
    sketch.graph.flat(&mean)
}

/// Batch norm by the running moments `running_mean` and `running_var` of the layer, with its `weight` and `bias`.
///
/// # Errors
/// As [`Sketch::param`].
pub fn batch_norm(sketch: &mut Sketch<'_>, layer: &str, x: &Value, epsilon: f32) -> Result<Value> {
    let [weight, bias, mean, variance] =
        ["weight", "bias", "running_mean", "running_var"].map(|name| sketch.param(layer, name));
    let inputs = [x, &weight?, &bias?, &mean?, &variance?];
    let attributes = vec![("epsilon", Attribute::Float(epsilon))];
    Ok(sketch.graph.node("BatchNormalization", &inputs, attributes, Element::F32))
}

/// Each row over its last side, as [`crate::layers::norm::by_row`].
///
/// # Errors
/// As [`Sketch::param`].
pub fn by_row(sketch: &mut Sketch<'_>, layer: &str, x: &Value, epsilon: f32) -> Result<Value> {
    let (weight, bias) = (sketch.param(layer, "weight")?, sketch.param(layer, "bias")?);
    let attributes = vec![("axis", Attribute::Int(-1)), ("epsilon", Attribute::Float(epsilon))];
    Ok(sketch.graph.node("LayerNormalization", &[x, &weight, &bias], attributes, Element::F32))
}

/// Groups of channels of `[rows, channels, h, w]`, as [`crate::layers::norm::by_group`].
///
/// # Errors
/// As [`Sketch::param`].
pub fn by_group(
    sketch: &mut Sketch<'_>,
    layer: &str,
    x: &Value,
    groups: usize,
    epsilon: f32,
) -> Result<Value> {
    let (weight, bias) = (sketch.param(layer, "weight")?, sketch.param(layer, "bias")?);
    let graph = &mut *sketch.graph;
    let shape = graph.node("Shape", &[x], vec![], Element::I64);
    let joined = graph.reshape(x, &[0, groups as i64, -1]);
    let one = graph.singles("one", &[groups], vec![1.0; groups]);
    let zero = graph.singles("zero", &[groups], vec![0.0; groups]);
    let attributes = vec![("epsilon", Attribute::Float(epsilon))];
    let normal = graph.node("InstanceNormalization", &[&joined, &one, &zero], attributes, Element::F32);
    let normal = graph.node("Reshape", &[&normal, &shape], vec![], Element::F32);
    let (weight, bias) = (graph.reshape(&weight, &[-1, 1, 1]), graph.reshape(&bias, &[-1, 1, 1]));
    let scaled = graph.mul(&normal, &weight);
    Ok(graph.add(&scaled, &bias))
}

/// `x Phi(x)` by the error function, as [`crate::kernels::Activation::Gelu`].
pub fn gelu(sketch: &mut Sketch<'_>, x: &Value) -> Value {
    let graph = &mut *sketch.graph;
    let root = graph.scalar(Element::F32, std::f64::consts::SQRT_2);
    let (one, half) = (graph.scalar(Element::F32, 1.0), graph.scalar(Element::F32, 0.5));
    let inner = graph.div(x, &root);
    let error = graph.one("Erf", &inner);
    let share = graph.add(&error, &one);
    let twice = graph.mul(x, &share);
    graph.mul(&twice, &half)
}

/// The rows of a table of vectors `weight [words, width]` that ids `int64 [rows, words of a row]` name:
/// `[rows, words of a row, width]`.
///
/// # Errors
/// As [`Sketch::param`].
pub fn looked_up(sketch: &mut Sketch<'_>, layer: &str, ids: &Value) -> Result<Value> {
    let table = sketch.param(layer, "weight")?;
    Ok(sketch.graph.gather(&table, ids, 0))
}
