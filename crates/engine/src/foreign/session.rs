//! An ONNX model ready to compute. Rows go through it in blocks of a size that follows from their width; each block is
//! computed by one thread, so that the same bytes come out however many threads share the blocks.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use consilience_core::{Error, Result};

use super::built_in::{BuiltIn, Pool};
use super::classical::Classical;
use super::library::Library;
use super::package::Package;
use super::prune::prune;
use super::runtime::runtime;

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
    Library { pruned: Vec<u8>, package: Package, free: Mutex<Vec<Library>> },
    /// The runtime that is built in: one model, and a pool of one thread for each thread that runs it.
    BuiltIn { model: Box<BuiltIn>, free: Mutex<Vec<Pool>> },
    /// Models of tables, by our own operators.
    Classical(Classical),
}

/// What one thread computes with.
enum Lane {
    Library(Box<Library>),
    BuiltIn(Pool),
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
                let session = Library::open(&pruned, package)?;
                Engine::Library { pruned, package: package.clone(), free: Mutex::new(vec![session]) }
            }
            None => match Classical::read(&pruned, output)? {
                Some(classical) => Engine::Classical(classical),
                None => {
                    let model = Box::new(BuiltIn::open(pruned, package, output)?);
                    Engine::BuiltIn { model, free: Mutex::new(Vec::new()) }
                }
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
                Lane::Library(Box::new(free.map_or_else(|| Library::open(pruned, package), Ok)?))
            }
            Engine::BuiltIn { free, .. } => {
                let free = lock(free).pop();
                Lane::BuiltIn(free.unwrap_or_else(Pool::new))
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
            (Lane::Library(session), _) => session.run(rows, inputs),
            (Lane::BuiltIn(pool), Engine::BuiltIn { model, .. }) => model.run(pool, rows, inputs),
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
pub(super) fn cut<'a, T>(all: &'a [T], rows: &Range<usize>, input: &Rows) -> Result<(Vec<usize>, &'a [T])> {
    let width: usize = input.shape.iter().product();
    let slice = all.get(rows.start * width..rows.end * width);
    let slice = slice.ok_or_else(|| Error::internal(format!("the input \"{}\" lacks rows", input.name)))?;
    Ok((std::iter::once(rows.len()).chain(input.shape.iter().copied()).collect(), slice))
}

/// What a runtime says against a model.
pub(super) fn said(error: impl std::fmt::Display) -> Error {
    Error::model(format!("{} cannot compute the ONNX model: {error}", runtime().name))
}
