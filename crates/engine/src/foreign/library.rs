//! A model in ONNX Runtime: a session of one thread.

use std::ops::Range;
use std::sync::Arc;

use consilience_core::{Error, Result};
use ort::logging::LogLevel;
use ort::session::SessionInputValue;
use ort::session::builder::GraphOptimizationLevel;
use ort::value::{Tensor as OrtTensor, TensorRef};

use super::package::Package;
use super::runtime::runtime;
use super::session::{Data, Given, Rows, cut, said};

/// See the module.
pub(super) struct Library(ort::session::Session);

impl Library {
    /// A session of its own.
    pub fn open(pruned: &[u8], package: &Package) -> Result<Self> {
        let environment =
            runtime().library.as_ref().ok_or_else(|| Error::internal("no library was found"))?;
        let session = || -> ort::Result<ort::session::Session> {
            let mut builder = ort::session::Session::builder(environment)?
                .with_intra_threads(1)?
                .with_inter_threads(1)?
                .with_deterministic_compute(true)?
                .with_optimization_level(GraphOptimizationLevel::All)?
                // What it has to say comes back as an error; nothing here writes to the terminal.
                .with_log_level(LogLevel::Fatal)?;
            for (name, bytes) in &package.external {
                builder = builder.with_external_initializer_file_in_memory(name, Arc::clone(bytes))?;
            }
            builder.commit_from_memory(pruned)
        };
        session().map(Self).map_err(said)
    }

    /// What its output is for some rows.
    pub fn run(&mut self, rows: Range<usize>, inputs: &[Rows]) -> Result<Given> {
        let mut values: Vec<(&str, SessionInputValue<'_>)> = Vec::new();
        for input in inputs {
            let value: SessionInputValue<'_> = match &input.data {
                Data::F32(all) => TensorRef::from_array_view(cut(all, &rows, input)?).map_err(said)?.into(),
                Data::F64(all) => TensorRef::from_array_view(cut(all, &rows, input)?).map_err(said)?.into(),
                Data::I32(all) => TensorRef::from_array_view(cut(all, &rows, input)?).map_err(said)?.into(),
                Data::I64(all) => TensorRef::from_array_view(cut(all, &rows, input)?).map_err(said)?.into(),
                Data::Text(all) => {
                    OrtTensor::from_string_array(cut(all, &rows, input)?).map_err(said)?.into()
                }
            };
            values.push((&input.name, value));
        }
        let outputs = self.0.run(values).map_err(said)?;
        let Some((_, output)) = outputs.iter().next() else { return Err(said("it gives nothing")) };
        if let Ok((shape, data)) = output.try_extract_tensor::<f32>() {
            return Ok(Given { shape: sizes(shape), data: data.to_vec() });
        }
        if let Ok((shape, data)) = output.try_extract_tensor::<f64>() {
            return Ok(Given { shape: sizes(shape), data: data.iter().map(|v| *v as f32).collect() });
        }
        let (shape, data) = output.try_extract_tensor::<i64>().map_err(said)?;
        Ok(Given { shape: sizes(shape), data: data.iter().map(|v| *v as f32).collect() })
    }
}

fn sizes(shape: &[i64]) -> Vec<usize> {
    shape.iter().map(|d| usize::try_from(*d).unwrap_or(0)).collect()
}
