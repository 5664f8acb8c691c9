//! A model in the runtime that is built in.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use consilience_core::Result;
use rten::{ModelOptions, NodeId, RunOptions, ThreadPool, Value, ValueOrView};
use rten_tensor::prelude::*;

use super::package::Package;
use super::runtime::VARIABLE;
use super::session::{Data, Given, Rows, cut, said};

/// See the module.
pub(super) struct BuiltIn {
    model: rten::Model,
    inputs: Vec<(String, NodeId)>,
    output: NodeId,
}

/// One thread to run models on.
pub(super) struct Pool(Arc<ThreadPool>);

impl Pool {
    pub fn new() -> Self {
        Self(Arc::new(ThreadPool::with_num_threads(1)))
    }
}

/// The runtime that is built in promises safety, but not that it never panics on a hostile file: what it does stays
/// behind this border.
fn guarded<T, E: std::fmt::Display>(work: impl FnOnce() -> std::result::Result<T, E>) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(said(error)),
        Err(_) => Err(said("it broke off within an operator")),
    }
}

impl BuiltIn {
    /// Loads a model with one output.
    pub fn open(pruned: Vec<u8>, package: &Package, output: &str) -> Result<Self> {
        let mut options = ModelOptions::with_all_ops();
        for (name, bytes) in &package.external {
            options.external_data(name, bytes.to_vec());
        }
        let more = format!(
            "set {VARIABLE} to a library of ONNX Runtime, which knows more operators, or export the model with others"
        );
        let model = guarded(|| options.load(pruned)).map_err(|e| e.remedy(more))?;
        let mut inputs = Vec::new();
        for port in &package.signature.inputs {
            if let Some(id) = model.find_node(&port.name) {
                inputs.push((port.name.clone(), id));
            }
        }
        let output = model.find_node(output).ok_or_else(|| said("its output is gone"))?;
        Ok(Self { model, inputs, output })
    }

    /// What its output is for some rows, on a pool.
    pub fn run(&self, pool: &Pool, rows: Range<usize>, inputs: &[Rows]) -> Result<Given> {
        let mut values: Vec<(NodeId, ValueOrView<'_>)> = Vec::new();
        for input in inputs {
            let Some((_, id)) = self.inputs.iter().find(|(name, _)| *name == input.name) else { continue };
            let value = match &input.data {
                Data::F32(all) => {
                    let (shape, data) = cut(all, &rows, input)?;
                    rten::ValueView::from_shape(shape.as_slice(), data)
                        .map(ValueOrView::View)
                        .map_err(said)?
                }
                Data::F64(all) => owned(cut(all, &rows, input)?, |v| Ok(*v as f32))?,
                Data::I32(all) => owned(cut(all, &rows, input)?, |v| Ok(*v))?,
                Data::I64(all) => owned(cut(all, &rows, input)?, |v| i32::try_from(*v).map_err(said))?,
                Data::Text(_) => {
                    return Err(said("it knows no texts")
                        .remedy(format!("set {VARIABLE} to a library of ONNX Runtime")));
                }
            };
            values.push((*id, value));
        }
        let mut options = RunOptions::default();
        options.thread_pool = Some(Arc::clone(&pool.0));
        let given = guarded(|| self.model.run(values, &[self.output], Some(options)))?;
        match given.into_iter().next() {
            Some(Value::FloatTensor(t)) => Ok(Given { shape: t.shape().to_vec(), data: t.to_vec() }),
            Some(Value::Int32Tensor(t)) => {
                Ok(Given { shape: t.shape().to_vec(), data: t.iter().map(|v| *v as f32).collect() })
            }
            _ => Err(said("its output is no tensor of numbers")),
        }
    }
}

fn owned<T, U>(
    (shape, data): (Vec<usize>, &[T]),
    change: impl Fn(&T) -> Result<U>,
) -> Result<ValueOrView<'static>>
where
    Value: From<rten_tensor::Tensor<U>>,
{
    let data = data.iter().map(change).collect::<Result<Vec<U>>>()?;
    Ok(ValueOrView::Value(Value::from_shape(shape, data).map_err(said)?))
}
