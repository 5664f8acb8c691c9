//! One tensor at work: its numbers in every member, block by block, in as many passes as a method wants, and the result.

use std::cell::RefCell;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use consilience_core::model::Stop;
use consilience_core::seed::Seed;
use consilience_core::{Error, Result};
use rayon::prelude::*;

use crate::kernels::wide;

/// So many numbers are looked at together. It follows from the tensor alone, so that threads change no byte.
pub const BLOCK: usize = 1 << 15;

/// Sums of floats that are too large to keep one for each block are gathered in so many parts.
const PARTS: usize = 32;

/// The numbers of one tensor, wherever they lie.
pub trait Numbers: Sync {
    /// Fills `out` with the numbers from `from` on, row by row.
    ///
    /// # Errors
    /// [`Error::Read`](consilience_core::Error::Read) naming the file.
    fn read(&self, from: usize, out: &mut [f32]) -> Result<()>;
}

impl Numbers for &[f32] {
    fn read(&self, from: usize, out: &mut [f32]) -> Result<()> {
        match self.get(from..from + out.len()) {
            Some(values) => out.copy_from_slice(values),
            None => return Err(Error::internal("a tensor has fewer numbers than its shape")),
        }
        Ok(())
    }
}

/// Where the result goes. Blocks come in any order, from any thread, each number once.
pub trait Sink: Sync {
    /// Takes the numbers from `from` on.
    ///
    /// # Errors
    /// [`Error::Write`](consilience_core::Error::Write); [`Error::Model`](consilience_core::Error::Model) for what cannot be kept.
    fn write(&self, from: usize, values: &[f32]) -> Result<()>;
}

/// What of a tensor goes into one block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// The members hold what they added to the base, `x_i - b`, instead of their numbers.
    pub deltas: bool,
    /// Blocks are whole rows (a tensor of one dimension is one row), else of [`BLOCK`] numbers.
    pub rows: bool,
}

impl Cut {
    /// The numbers as they are.
    pub const NUMBERS: Self = Self { deltas: false, rows: false };
    /// What members added to the base.
    pub const DELTAS: Self = Self { deltas: true, rows: false };
    /// The numbers, in whole rows.
    pub const ROWS: Self = Self { deltas: false, rows: true };
    /// What members added to the base, in whole rows.
    pub const DELTA_ROWS: Self = Self { deltas: true, rows: true };
}

/// Some numbers that follow each other, in every member.
pub struct Block<'a> {
    /// The place of the first in the tensor.
    pub start: usize,
    /// The base's numbers, where there is a base.
    pub base: Option<&'a [f32]>,
    /// The members' numbers or deltas, each as long as the block.
    pub members: &'a [&'a [f32]],
}

impl Block<'_> {
    /// How many numbers.
    pub fn len(&self) -> usize {
        self.members.first().copied().or(self.base).map_or(0, <[f32]>::len)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// One tensor to merge.
pub struct Work<'a> {
    /// Its name in the result.
    pub name: &'a str,
    /// Its shape.
    pub shape: &'a [usize],
    /// Its numbers in each member.
    pub members: Vec<&'a dyn Numbers>,
    /// Its numbers in the base.
    pub base: Option<&'a dyn Numbers>,
    /// For methods that draw: differs by tensor. Member `i` draws from `seed.child(...)` of its own, see [`Work::seed_of`].
    pub seed: Seed,
    /// The names of the members, by which they draw: the order of members changes no draw.
    pub labels: Vec<&'a str>,
    /// Do as mergekit does where it differs on purpose.
    pub compat: bool,
    /// Asks to stop.
    pub stop: &'a Stop,
    /// Where the result goes.
    pub out: &'a dyn Sink,
    /// What the user should know about this tensor.
    pub notes: &'a Mutex<Vec<String>>,
}

/// Buffers of one thread, which are used again from tensor to tensor.
#[derive(Default)]
struct Buffers {
    base: Vec<f32>,
    members: Vec<Vec<f32>>,
    out: Vec<f32>,
}

/// Buffers that go back to their thread when they are dropped.
struct Scratch(Buffers);

thread_local! {
    static FREE: RefCell<Vec<Buffers>> = const { RefCell::new(Vec::new()) };
}

impl Scratch {
    /// Buffers of `len` numbers for so many members. What they hold is not cleared.
    fn take(len: usize, members: usize, base: bool) -> Self {
        let mut scratch = FREE.with_borrow_mut(Vec::pop).unwrap_or_default();
        let fit = |buffer: &mut Vec<f32>, len: usize| {
            if buffer.len() < len {
                buffer.resize(len, 0.0);
            }
        };
        fit(&mut scratch.base, if base { len } else { 0 });
        fit(&mut scratch.out, len);
        scratch.members.resize_with(members.max(scratch.members.len()), Vec::new);
        scratch.members.iter_mut().take(members).for_each(|m| fit(m, len));
        Self(scratch)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let used = std::mem::take(&mut self.0);
        // A thread that ends may have no place for them any more.
        let _ = FREE.try_with(|free| free.borrow_mut().push(used));
    }
}

impl Work<'_> {
    /// How many numbers the tensor has.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The numbers of a row: of the last dimension; all numbers where there is one dimension, one where there is none.
    pub fn row(&self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }

    /// The seed from which member `i` draws for this tensor.
    pub fn seed_of(&self, i: usize) -> Seed {
        self.seed.child(self.labels.get(i).copied().unwrap_or_default())
    }

    /// Keeps what the user should know of this tensor, once.
    pub fn note(&self, text: impl std::fmt::Display) {
        let text = format!("{}: {text}", self.name);
        let mut notes = self.notes.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if !notes.contains(&text) {
            notes.push(text);
        }
    }

    fn block_len(&self, cut: Cut) -> usize {
        match cut.rows {
            true => self.row().max(1) * (BLOCK / self.row().max(1)).max(1),
            false => BLOCK,
        }
    }

    fn scratch(&self, len: usize) -> Scratch {
        Scratch::take(len.min(self.len()), self.members.len(), self.base.is_some())
    }

    /// Reads block `i` and hands it on, with room for as many numbers of a result.
    fn with_block<R>(
        &self,
        scratch: &mut Scratch,
        cut: Cut,
        i: usize,
        work: impl FnOnce(&Block<'_>, &mut [f32]) -> R,
    ) -> Result<R> {
        self.stop.check()?;
        let size = self.block_len(cut);
        let start = i * size;
        let len = size.min(self.len().saturating_sub(start));
        let Scratch(Buffers { base, members, out }) = scratch;
        let base = match self.base {
            Some(numbers) => {
                let base = base.get_mut(..len).unwrap_or_default();
                numbers.read(start, base)?;
                Some(&*base)
            }
            None => None,
        };
        for (numbers, member) in self.members.iter().zip(members.iter_mut()) {
            let member = member.get_mut(..len).unwrap_or_default();
            numbers.read(start, member)?;
            match base {
                Some(base) if cut.deltas => wide(
                    #[inline(always)]
                    || {
                        for (x, b) in member.iter_mut().zip(base) {
                            *x -= b;
                        }
                    },
                ),
                None if cut.deltas => {
                    return Err(Error::internal("a delta was asked for where there is no base"));
                }
                _ => {}
            }
        }
        let members: Vec<&[f32]> =
            members.iter().take(self.members.len()).map(|m| m.get(..len).unwrap_or_default()).collect();
        Ok(work(&Block { start, base, members: &members }, out.get_mut(..len).unwrap_or_default()))
    }

    fn blocks(&self, cut: Cut) -> usize {
        self.len().div_ceil(self.block_len(cut))
    }

    /// Looks at every block once and gives what was seen, in the order of the blocks.
    ///
    /// # Errors
    /// What reading gives.
    pub fn look<A: Send>(&self, cut: Cut, look: impl Fn(&Block<'_>) -> A + Sync) -> Result<Vec<A>> {
        let scratch = || self.scratch(self.block_len(cut));
        (0..self.blocks(cut))
            .into_par_iter()
            .map_init(scratch, |scratch, i| self.with_block(scratch, cut, i, |block, _| look(block)))
            .collect()
    }

    /// Looks at every block once and gathers what was seen. `look` and `join` must not depend on the order of the blocks: counts do not,
    /// sums of floats do (see [`Work::look`]).
    ///
    /// # Errors
    /// What reading gives.
    pub fn count<A: Send>(
        &self,
        cut: Cut,
        new: impl Fn() -> A + Sync,
        look: impl Fn(&mut A, &Block<'_>) + Sync,
        join: impl Fn(A, A) -> A + Sync,
    ) -> Result<A> {
        // A part for each thread: what is gathered may be large.
        self.gather(rayon::current_num_threads(), cut, new, look, join)
    }

    /// As [`Work::count`], for sums of floats: each of `PARTS` parts is gathered block after block, and the parts in their order,
    /// whatever the number of threads.
    ///
    /// # Errors
    /// What reading gives.
    pub fn sum<A: Send>(
        &self,
        cut: Cut,
        new: impl Fn() -> A + Sync,
        look: impl Fn(&mut A, &Block<'_>) + Sync,
        join: impl Fn(A, A) -> A + Sync,
    ) -> Result<A> {
        self.gather(PARTS, cut, new, look, join)
    }

    fn gather<A: Send>(
        &self,
        parts: usize,
        cut: Cut,
        new: impl Fn() -> A + Sync,
        look: impl Fn(&mut A, &Block<'_>) + Sync,
        join: impl Fn(A, A) -> A + Sync,
    ) -> Result<A> {
        let blocks = self.blocks(cut);
        let parts = parts.clamp(1, blocks.max(1));
        let gathered: Result<Vec<A>> = (0..parts)
            .into_par_iter()
            .map(|part| {
                let mut all = new();
                let mut scratch = self.scratch(self.block_len(cut));
                for i in (part * blocks / parts)..((part + 1) * blocks / parts) {
                    self.with_block(&mut scratch, cut, i, |block, _| look(&mut all, block))?;
                }
                Ok(all)
            })
            .collect();
        Ok(gathered?.into_iter().reduce(join).unwrap_or_else(new))
    }

    /// Writes the result, block by block: `make` fills the second argument.
    ///
    /// # Errors
    /// What reading, writing and `make` give.
    pub fn write(&self, cut: Cut, make: impl Fn(&Block<'_>, &mut [f32]) -> Result<()> + Sync) -> Result<()> {
        // Threads take the next block each, so that blocks are read and written nearly in their order. Each ends the block that it has:
        // every block before one that failed has been taken, so that the first failure of all is the one that is told.
        let (blocks, next, failed) = (self.blocks(cut), AtomicUsize::new(0), AtomicBool::new(false));
        let threads = rayon::current_num_threads().clamp(1, blocks.max(1));
        let failures: Vec<(usize, Error)> = (0..threads)
            .into_par_iter()
            .with_max_len(1)
            .filter_map(|_| {
                let mut scratch = self.scratch(self.block_len(cut));
                while !failed.load(Ordering::Relaxed) {
                    let i = next.fetch_add(1, Ordering::Relaxed);
                    if i >= blocks {
                        break;
                    }
                    let done = self.with_block(&mut scratch, cut, i, |block, out| {
                        make(block, out)?;
                        self.out.write(block.start, out)
                    });
                    if let Err(e) = done.and_then(|inner| inner) {
                        failed.store(true, Ordering::Relaxed);
                        return Some((i, e));
                    }
                }
                None
            })
            .collect();
        failures.into_iter().min_by_key(|(i, _)| *i).map_or(Ok(()), |(_, e)| Err(e))
    }
}
