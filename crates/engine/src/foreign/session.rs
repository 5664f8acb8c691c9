//! An ONNX model ready to compute. Rows go through it in blocks of a size that follows from their width; each block is
//! computed by one thread, so that the same bytes come out however many threads share the blocks.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use consilience_core::{Error, Result};
use ort::logging::LogLevel;
use ort::session::SessionInputValue;
use ort::session::builder::GraphOptimizationLevel;
use ort::value::{Tensor as OrtTensor, TensorRef};
use rten::{ModelOptions, NodeId, RunOptions, ThreadPool, Value, ValueOrView};
use rten_tensor::prelude::*;

use super::classical::Classical;
use super::package::Package;
use super::prune::prune;
use super::runtime::{VARIABLE, runtime};

/// About as many numbers of input make a block.
const BLOCK: usize = 1 << 16;
/// No block has more rows.
const MOST_ROWS: usize = 512;

/// Rows for one input of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Rows {
    /// The input's name.
    pub name: String,
    /// The shape of a row.
    pub shape: Vec<usize>,
    /// All rows, one after the other.
    pub data: Data,
}

/// Numbers or texts.
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    /// 32-bit floats.
    F32(Vec<f32>),
    /// 64-bit floats.
    F64(Vec<f64>),
    /// 32-bit integers.
    I32(Vec<i32>),
    /// 64-bit integers.
    I64(Vec<i64>),
    /// Texts.
    Text(Vec<String>),
}

/// What a model gives for rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Given {
    /// The shape of a row.
    pub shape: Vec<usize>,
    /// All rows, one after the other.
    pub data: Vec<f32>,
}

/// A model with one output of it, ready to compute.
pub struct Session {
    engine: Engine,
    output: String,
    /// Whether the model takes one row at a time.
    single: bool,
}

enum Engine {
    /// ONNX Runtime: a session a thread, made when needed, since one must not be run by two.
    Library { pruned: Vec<u8>, package: Package, free: Mutex<Vec<ort::session::Session>> },
    /// The runtime that is built in: one model, and a pool of one thread for each that runs it.
    BuiltIn {
        model: Box<rten::Model>,
        inputs: Vec<(String, NodeId)>,
        output: NodeId,
        free: Mutex<Vec<Arc<ThreadPool>>>,
    },
    /// Models of tables, by our own operators.
    Classical(Classical),
}

/// What one thread computes with.
enum Lane {
    Library(Box<ort::session::Session>),
    BuiltIn(Arc<ThreadPool>),
    Classical,
}

impl Session {
    /// Makes a model ready to compute one of its outputs.
    ///
    /// # Errors
    /// [`Error::Model`] naming an operator that the runtime does not know, or what else it says.
    pub fn open(package: &Package, output: &str) -> Result<Self> {
        let pruned = prune(&package.file, output)?;
        let first =
            package.signature.inputs.iter().filter_map(|p| p.shape.as_ref()?.first().copied()?).next();
        if let Some(rows) = first.filter(|r| *r > 1) {
            return Err(Error::model(format!("the ONNX model takes exactly {rows} rows at a time"))
                .expected("any number of rows, or one")
                .remedy("export it again with a first dimension that may vary"));
        }
        let engine = match &runtime().library {
            Some(_) => {
                let session = library(&pruned, package)?;
                Engine::Library { pruned, package: package.clone(), free: Mutex::new(vec![session]) }
            }
            None => match Classical::read(&pruned, output)? {
                Some(classical) => Engine::Classical(classical),
                None => built_in(pruned, package, output)?,
            },
        };
        Ok(Self { engine, output: output.to_owned(), single: first == Some(1) })
    }

    /// Computes the output for rows; each input holds as many.
    ///
    /// # Errors
    /// [`Error::Model`] for what the runtime says.
    pub fn run(&self, rows: usize, inputs: &[Rows]) -> Result<Given> {
        let width = inputs.iter().map(|i| i.shape.iter().product::<usize>()).max().unwrap_or(1).max(1);
        let size = if self.single { 1 } else { (BLOCK / width).clamp(1, MOST_ROWS) };
        let blocks: Vec<Range<usize>> = (0..rows).step_by(size).map(|s| s..(s + size).min(rows)).collect();
        let given = self.shared_out(&blocks, |lane, block| {
            let given = self.block(lane, block.clone(), inputs)?;
            let (first, shape) = given.shape.split_first().unwrap_or((&0, &[]));
            // One row may come without a dimension of rows.
            let fits = *first == block.len() || (block.len() == 1 && given.shape.is_empty());
            if !fits || shape.iter().product::<usize>() * block.len() != given.data.len() {
                return Err(Error::model("the ONNX model gives another number of rows than it was given")
                    .at(&self.output)
                    .expected(format!("{} rows", block.len()))
                    .got(format!("the shape {:?}", given.shape)));
            }
            Ok(Given { shape: shape.to_vec(), data: given.data })
        })?;
        let mut all: Option<Given> = None;
        for part in given {
            match &mut all {
                None => all = Some(part),
                Some(all) if all.shape == part.shape => all.data.extend(part.data),
                Some(_) => {
                    return Err(
                        Error::model("the rows that the ONNX model gives differ in shape").at(&self.output)
                    );
                }
            }
        }
        Ok(all.unwrap_or(Given { shape: Vec::new(), data: Vec::new() }))
    }

    /// Does the blocks on as many threads as there are; the results are in the order of the blocks.
    fn shared_out(
        &self,
        blocks: &[Range<usize>],
        work: impl Fn(&mut Lane, &Range<usize>) -> Result<Given> + Sync,
    ) -> Result<Vec<Given>> {
        let threads = rayon::current_num_threads().min(blocks.len());
        let next = AtomicUsize::new(0);
        let done: Mutex<Vec<(usize, Result<Given>)>> = Mutex::new(Vec::with_capacity(blocks.len()));
        let turns = || {
            let mut lane = match self.take() {
                Ok(lane) => lane,
                Err(error) => return lock(&done).push((usize::MAX, Err(error))),
            };
            while let Some((i, block)) =
                Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|i| Some((i, blocks.get(i)?)))
            {
                let given = work(&mut lane, block);
                lock(&done).push((i, given));
            }
            self.give(lane);
        };
        if threads < 2 {
            turns();
        } else {
            std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(turns))));
        }
        let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        done.sort_by_key(|(i, _)| *i);
        done.into_iter().map(|(_, given)| given).collect()
    }

    fn take(&self) -> Result<Lane> {
        Ok(match &self.engine {
            Engine::Library { pruned, package, free } => {
                let free = lock(free).pop();
                Lane::Library(Box::new(free.map_or_else(|| library(pruned, package), Ok)?))
            }
            Engine::BuiltIn { free, .. } => {
                let free = lock(free).pop();
                Lane::BuiltIn(free.unwrap_or_else(|| Arc::new(ThreadPool::with_num_threads(1))))
            }
            Engine::Classical(_) => Lane::Classical,
        })
    }

    fn give(&self, lane: Lane) {
        match (lane, &self.engine) {
            (Lane::Library(session), Engine::Library { free, .. }) => lock(free).push(*session),
            (Lane::BuiltIn(pool), Engine::BuiltIn { free, .. }) => lock(free).push(pool),
            _ => {}
        }
    }

    fn block(&self, lane: &mut Lane, rows: Range<usize>, inputs: &[Rows]) -> Result<Given> {
        match (lane, &self.engine) {
            (Lane::Library(session), _) => run_library(session, rows, inputs),
            (Lane::BuiltIn(pool), Engine::BuiltIn { model, inputs: ids, output, .. }) => {
                run_built_in(model, ids, *output, pool, rows, inputs)
            }
            (_, Engine::Classical(classical)) => classical.run(rows, inputs),
            _ => Err(Error::internal("a lane of another engine")),
        }
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("output", &self.output).finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The part of a slice that holds some rows, and its whole shape.
fn cut<'a, T>(all: &'a [T], rows: &Range<usize>, input: &Rows) -> Result<(Vec<usize>, &'a [T])> {
    let width: usize = input.shape.iter().product();
    let slice = all.get(rows.start * width..rows.end * width);
    let slice = slice.ok_or_else(|| Error::internal(format!("the input \"{}\" lacks rows", input.name)))?;
    Ok((std::iter::once(rows.len()).chain(input.shape.iter().copied()).collect(), slice))
}

/// What a runtime says against a model.
fn said(error: impl std::fmt::Display) -> Error {
    Error::model(format!("{} cannot compute the ONNX model: {error}", runtime().name))
}

fn library(pruned: &[u8], package: &Package) -> Result<ort::session::Session> {
    let environment = runtime().library.as_ref().ok_or_else(|| Error::internal("no library was found"))?;
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
    session().map_err(said)
}

fn run_library(session: &mut ort::session::Session, rows: Range<usize>, inputs: &[Rows]) -> Result<Given> {
    let mut values: Vec<(&str, SessionInputValue<'_>)> = Vec::new();
    for input in inputs {
        let value: SessionInputValue<'_> = match &input.data {
            Data::F32(all) => TensorRef::from_array_view(cut(all, &rows, input)?).map_err(said)?.into(),
            Data::F64(all) => TensorRef::from_array_view(cut(all, &rows, input)?).map_err(said)?.into(),
            Data::I32(all) => TensorRef::from_array_view(cut(all, &rows, input)?).map_err(said)?.into(),
            Data::I64(all) => TensorRef::from_array_view(cut(all, &rows, input)?).map_err(said)?.into(),
            Data::Text(all) => OrtTensor::from_string_array(cut(all, &rows, input)?).map_err(said)?.into(),
        };
        values.push((&input.name, value));
    }
    let outputs = session.run(values).map_err(said)?;
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

fn sizes(shape: &[i64]) -> Vec<usize> {
    shape.iter().map(|d| usize::try_from(*d).unwrap_or(0)).collect()
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

fn built_in(pruned: Vec<u8>, package: &Package, output: &str) -> Result<Engine> {
    let mut options = ModelOptions::with_all_ops();
    for (name, bytes) in &package.external {
        options.external_data(name, bytes.to_vec());
    }
    let model = guarded(|| options.load(pruned)).map_err(|e| {
        e.remedy(format!("set {VARIABLE} to a library of ONNX Runtime, which knows more operators, or export the model with others"))
    })?;
    let mut inputs = Vec::new();
    for port in &package.signature.inputs {
        if let Some(id) = model.find_node(&port.name) {
            inputs.push((port.name.clone(), id));
        }
    }
    let output = model.find_node(output).ok_or_else(|| said("its output is gone"))?;
    Ok(Engine::BuiltIn { model: Box::new(model), inputs, output, free: Mutex::new(Vec::new()) })
}

fn run_built_in(
    model: &rten::Model,
    ids: &[(String, NodeId)],
    output: NodeId,
    pool: &Arc<ThreadPool>,
    rows: Range<usize>,
    inputs: &[Rows],
) -> Result<Given> {
    let mut values: Vec<(NodeId, ValueOrView<'_>)> = Vec::new();
    for input in inputs {
        let Some((_, id)) = ids.iter().find(|(name, _)| *name == input.name) else { continue };
        let value = match &input.data {
            Data::F32(all) => {
                let (shape, data) = cut(all, &rows, input)?;
                rten::ValueView::from_shape(shape.as_slice(), data).map(ValueOrView::View).map_err(said)?
            }
            Data::F64(all) => owned(cut(all, &rows, input)?, |v| Ok(*v as f32))?,
            Data::I32(all) => owned(cut(all, &rows, input)?, |v| Ok(*v))?,
            Data::I64(all) => owned(cut(all, &rows, input)?, |v| i32::try_from(*v).map_err(said))?,
            Data::Text(_) => {
                return Err(
                    said("it knows no texts").remedy(format!("set {VARIABLE} to a library of ONNX Runtime"))
                );
            }
        };
        values.push((*id, value));
    }
    let mut options = RunOptions::default();
    options.thread_pool = Some(Arc::clone(pool));
    let given = guarded(|| model.run(values, &[output], Some(options)))?;
    match given.into_iter().next() {
        Some(Value::FloatTensor(t)) => Ok(Given { shape: t.shape().to_vec(), data: t.to_vec() }),
        Some(Value::Int32Tensor(t)) => {
            Ok(Given { shape: t.shape().to_vec(), data: t.iter().map(|v| *v as f32).collect() })
        }
        _ => Err(said("its output is no tensor of numbers")),
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
