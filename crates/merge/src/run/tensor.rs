//! One tensor of the result: its streams opened, its method run, its numbers rounded and put where they belong.

use std::cell::RefCell;
use std::sync::{Arc, Mutex};

use consilience_core::model::Stop;
use consilience_core::seed::Seed;
use consilience_core::weights::Dtype;
use consilience_core::{Error, Result};

use super::OnNonfinite;
use super::output::Output;
use crate::kernels::{encode, not_finite, not_finite_bytes};
use crate::model::{Mapped, Model, Stream};
use crate::plan::{Act, Input, Job};
use crate::tokenizer::Row;
use crate::work::{Numbers, Sink, Work};

/// Bytes of tensors that are copied are read in pieces of so many.
const PIECE: usize = 1 << 20;

thread_local! {
    static BYTES: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// What does not change from tensor to tensor.
pub struct Workbench<'a> {
    /// The models of the plan.
    pub models: &'a [Model],
    /// What members are rounded to when they are read.
    pub cast: Option<Dtype>,
    /// What random methods draw from.
    pub seed: Seed,
    /// Do as mergekit does where it differs on purpose.
    pub compat: bool,
    /// What to do about numbers that are not finite.
    pub on_nonfinite: OnNonfinite,
    /// Asks to stop.
    pub stop: &'a Stop,
    /// What the user should know.
    pub notes: &'a Mutex<Vec<String>>,
}

/// Where a tensor goes in a file.
struct Place<'a> {
    output: &'a Output,
    /// The tensor's first byte.
    start: u64,
    dtype: Dtype,
    on_nonfinite: OnNonfinite,
    /// Whether something was not finite.
    seen: std::sync::atomic::AtomicBool,
}

fn not_a_number(what: &str) -> Error {
    Error::model(format!("the merged tensor {what}"))
        .remedy("a member holds such numbers, or its weights are wrong; --on-nonfinite keep writes them")
}

impl Sink for Place<'_> {
    fn write(&self, from: usize, values: &[f32]) -> Result<()> {
        if let Some(i) = not_finite(self.dtype, values) {
            let found = values.get(i).copied().unwrap_or(f32::NAN);
            if self.on_nonfinite == OnNonfinite::Stop {
                let what = if found.is_finite() { "is too large for its type" } else { "is not finite" };
                return Err(not_a_number(what)
                    .expected(format!("a number of type {}", self.dtype))
                    .got(format!("{found:?} at position {}", from + i)));
            }
            self.seen.store(true, std::sync::atomic::Ordering::Relaxed);
        }
        let width = self.dtype.bytes();
        BYTES.with_borrow_mut(|bytes| {
            bytes.resize(values.len() * width, 0);
            encode(self.dtype, values, bytes);
            self.output.put(self.start + (from * width) as u64, bytes)
        })
    }
}

impl Workbench<'_> {
    /// Merges one tensor into a file, from byte `start` on.
    ///
    /// # Errors
    /// What reading, merging and writing give, with the tensor's name.
    pub(super) fn merge(&self, job: &Job, output: &Output, start: u64) -> Result<()> {
        self.act(job, output, start).map_err(|e| e.at(format!("tensor \"{}\"", job.name)))
    }

    fn act(&self, job: &Job, output: &Output, start: u64) -> Result<()> {
        if job.is_empty() {
            return Ok(());
        }
        let (method, members, base) = match &job.act {
            Act::Same(inputs) => return self.same(job, inputs, output, start),
            Act::Merge { method, members, base, .. } => (method, members, base),
        };
        let opened: Vec<Box<dyn Numbers + '_>> =
            members.iter().map(|i| self.open(i)).collect::<Result<_>>()?;
        let opened_base = base.as_ref().map(|b| self.open(b)).transpose()?;
        let labels: Vec<String> = members.iter().map(|i| self.label(i)).collect();
        let place =
            Place { output, start, dtype: job.dtype, on_nonfinite: self.on_nonfinite, seen: false.into() };
        let notes = Mutex::new(Vec::new());
        method.merge(&Work {
            name: &job.name,
            shape: &job.shape,
            members: opened.iter().map(AsRef::as_ref).collect(),
            base: opened_base.as_deref(),
            seed: self.seed.child(&job.name),
            labels: labels.iter().map(String::as_str).collect(),
            compat: self.compat,
            stop: self.stop,
            out: &place,
            notes: &notes,
        })?;
        let told = notes.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        self.notes.lock().unwrap_or_else(std::sync::PoisonError::into_inner).extend(told);
        if place.seen.into_inner() {
            self.told(job);
        }
        Ok(())
    }

    /// What a member draws by: its place among the models tells two of one name apart.
    fn label(&self, input: &Input) -> String {
        let name = self.models.get(input.model).map_or_else(String::new, |m| m.name.to_string());
        format!("{name}/{}", input.tensor)
    }

    /// The numbers of an input.
    ///
    /// # Errors
    /// [`Error::Model`] if it cannot be read.
    pub fn open(&self, input: &Input) -> Result<Box<dyn Numbers + '_>> {
        let model = |i: usize| {
            self.models.get(i).ok_or_else(|| Error::internal("a plan names a model that is not there"))
        };
        let Some(rows) = &input.rows else {
            return Ok(Box::new(Stream::open(model(input.model)?, &input.tensor, self.cast)?));
        };
        // Other models call their embedding by names of their own.
        let own = model(input.model)?;
        let is_head = own.head() == Some(input.tensor.as_str());
        let kinds = rows.of.get(input.model).map(Vec::as_slice).unwrap_or_default();
        let mut needed = vec![false; self.models.len()];
        let mut need = |m: usize| needed.get_mut(m).into_iter().for_each(|n| *n = true);
        for kind in kinds {
            match kind {
                Row::Own(_) => need(input.model),
                Row::Other { member, .. } => need(*member as usize),
                Row::Mean { .. } => rows.mean(*kind).iter().for_each(|(m, _)| need(*m as usize)),
                Row::Zero | Row::Padding => {}
            }
        }
        let open = |(i, needed): (usize, bool)| -> Result<Option<Stream<'_>>> {
            let other = model(i)?;
            let name = match (is_head, other.head()) {
                (true, Some(head)) if !other.is_tied() => Some(head),
                _ => other.embedding().or(other.head()),
            };
            let name = if i == input.model { Some(input.tensor.as_str()) } else { name };
            match name.filter(|_| needed) {
                Some(name) => Ok(Some(Stream::open(other, name, self.cast)?)),
                None => Ok(None),
            }
        };
        let streams = needed.into_iter().enumerate().map(open).collect::<Result<Vec<_>>>()?;
        Ok(Box::new(Mapped::open(streams, Arc::clone(rows), input.model)?))
    }

    /// Copies bytes, which must be the same in all inputs.
    fn same(&self, job: &Job, inputs: &[Input], output: &Output, start: u64) -> Result<()> {
        let opened: Vec<_> = inputs
            .iter()
            .filter_map(|i| {
                let model = self.models.get(i.model)?;
                let (checkpoint, tensor) = model.stored(&i.tensor)?;
                Some((model, checkpoint, tensor))
            })
            .collect();
        let (width, mut seen) = (job.dtype.bytes(), false);
        let total = job.len() * width;
        let (mut first, mut other) = (vec![0; PIECE.min(total)], vec![0; PIECE.min(total)]);
        for from in (0..total).step_by(PIECE) {
            self.stop.check()?;
            let len = PIECE.min(total - from);
            for (i, (model, checkpoint, tensor)) in opened.iter().enumerate() {
                let into = if i == 0 { &mut first } else { &mut other };
                let piece = into.get_mut(..len).unwrap_or_default();
                checkpoint.read_bytes(tensor, from, piece)?;
                if i > 0 && first.get(..len) != other.get(..len) {
                    return Err(Error::model(
                        "members differ in numbers that are no floats, which cannot be merged",
                    )
                    .expected(format!(
                        "the same {} as in {}",
                        job.dtype,
                        opened.first().map_or_else(String::new, |(m, ..)| m.name.to_string())
                    ))
                    .got(format!("others in {}", model.name)));
                }
            }
            let piece = first.get(..len).unwrap_or_default();
            if let Some(i) = not_finite_bytes(job.dtype, piece) {
                if self.on_nonfinite == OnNonfinite::Stop {
                    return Err(not_a_number("is not finite")
                        .expected(format!("a number of type {}", job.dtype))
                        .got(format!("another one at position {}", from / width + i)));
                }
                seen = true;
            }
            output.put(start + from as u64, piece)?;
        }
        if seen {
            self.told(job);
        }
        Ok(())
    }

    fn told(&self, job: &Job) {
        let note = format!("{}: holds numbers that are not finite", job.name);
        self.notes.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(note);
    }
}
