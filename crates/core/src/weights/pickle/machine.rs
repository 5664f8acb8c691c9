//! A machine for pickles of tensors. Its values are places and numbers; it knows no classes and calls nothing.

use super::super::dtype::Dtype;
use super::super::layout::View;
use super::globals::{Global, allowed};
use super::opcodes::{Op, Ops, Text, malformed};
use crate::error::{Error, Result};

/// The longest key of a storage: a number, or an address in memory.
const LONGEST_KEY: usize = 64;

/// As many dimensions PyTorch knows.
const MOST_SIZES: u32 = 64;

/// A value; lists are dictionaries whose keys are never looked at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value {
    /// Something whose value is never needed.
    Plain,
    Int(i64),
    Text(Text),
    /// A piece of [`Unpickled::items`].
    Tuple {
        start: u32,
        len: u32,
    },
    /// A dictionary or list, by number.
    Held(u32),
    Storage(u32),
    Tensor(u32),
    Global(Global),
}

/// What a dictionary or list holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Item {
    of: u32,
    nth: u32,
    /// The key; a list has none.
    pub(super) key: Option<Value>,
    pub(super) value: Value,
}

/// Numbers in a file of their own, or in a piece of the file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Storage {
    /// `None` for bytes.
    dtype: Option<Dtype>,
    pub(super) key: Text,
    /// Its size as claimed, in numbers, or in bytes without a type.
    pub(super) numbers: u64,
}

impl Storage {
    /// The bytes that it claims to have.
    pub(super) fn bytes(&self) -> Option<u64> {
        self.numbers.checked_mul(self.dtype.map_or(1, Dtype::bytes) as u64)
    }
}

/// A tensor as the pickle describes it. Shape and strides are pieces of [`Unpickled::items`], none of them negative.
#[derive(Debug, Clone, Copy)]
pub(super) struct Described {
    pub(super) storage: u32,
    /// `None` if it is none that we know.
    pub(super) dtype: Option<Dtype>,
    /// Whether its numbers are to be negated or conjugated.
    pub(super) altered: bool,
    offset: u64,
    shape: (u32, u32),
    strides: (u32, u32),
}

/// What a pickle holds.
#[derive(Debug)]
pub(super) struct Unpickled {
    pub(super) top: Value,
    items: Vec<Value>,
    held: Vec<Item>,
    pub(super) storages: Vec<Storage>,
    tensors: Vec<Described>,
}

impl Described {
    pub(super) fn rank(&self) -> usize {
        self.shape.1 as usize
    }
}

impl Unpickled {
    /// The bytes that it takes.
    pub(super) fn used(&self) -> usize {
        size_of_val(self.items.as_slice())
            + size_of_val(self.held.as_slice())
            + size_of_val(self.storages.as_slice())
            + size_of_val(self.tensors.as_slice())
    }

    /// What a dictionary or list holds, in its order.
    pub(super) fn held(&self, of: u32) -> &[Item] {
        let start = self.held.partition_point(|h| h.of < of);
        let rest = self.held.get(start..).unwrap_or_default();
        rest.get(..rest.partition_point(|h| h.of == of)).unwrap_or_default()
    }

    /// The values of a tuple.
    pub(super) fn tuple(&self, start: u32, len: u32) -> &[Value] {
        self.items.get(start as usize..start as usize + len as usize).unwrap_or_default()
    }

    /// A tensor, by number.
    pub(super) fn tensor(&self, number: u32) -> Option<&Described> {
        self.tensors.get(number as usize)
    }

    /// Where a tensor's numbers lie in its storage.
    pub(super) fn view(&self, tensor: &Described) -> View {
        let sizes = |(start, len)| {
            self.tuple(start, len).iter().map(|v| if let Value::Int(n) = v { n.unsigned_abs() } else { 0 })
        };
        let shape = sizes(tensor.shape).map(|n| n as usize).collect();
        View { offset: tensor.offset, shape, strides: sizes(tensor.strides).collect() }
    }
}

/// Runs a pickle that was scanned before. It may take `room` bytes for its values.
///
/// # Errors
/// [`Error::Model`] if the pickle is malformed, or asks for more room.
pub(super) fn run(bytes: &[u8], room: usize) -> Result<Unpickled> {
    let mut machine = Machine::new(bytes);
    let mut ops = Ops::new(bytes);
    loop {
        let at = ops.at();
        let op = ops.next()?;
        if op == Op::Stop {
            return machine.done().ok_or_else(|| malformed(at));
        }
        machine.step(op).ok_or_else(|| malformed(at))?;
        if machine.used() > room {
            return Err(too_much());
        }
    }
}

/// The error about a pickle that takes more memory than there is room for.
pub(super) fn too_much() -> Error {
    Error::model("the pickle holds more values than its tensors need")
        .remedy("it may be made to exhaust memory; where you trust it, save the state dictionary alone")
}

struct Machine<'a> {
    bytes: &'a [u8],
    stack: Vec<Value>,
    marks: Vec<u32>,
    memo: Vec<Value>,
    /// How many each dictionary or list holds.
    counts: Vec<u32>,
    out: Unpickled,
}

impl<'a> Machine<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        let out = Unpickled {
            top: Value::Plain,
            items: Vec::new(),
            held: Vec::new(),
            storages: Vec::new(),
            tensors: Vec::new(),
        };
        Self { bytes, stack: Vec::new(), marks: Vec::new(), memo: Vec::new(), counts: Vec::new(), out }
    }

    /// The bytes that all values take.
    fn used(&self) -> usize {
        self.out.used()
            + size_of_val(self.stack.as_slice())
            + size_of_val(self.marks.as_slice())
            + size_of_val(self.memo.as_slice())
            + size_of_val(self.counts.as_slice())
    }

    fn done(mut self) -> Option<Unpickled> {
        self.out.top = self.stack.pop()?;
        self.out.held.sort_unstable_by_key(|h| (h.of, h.nth));
        Some(self.out)
    }

    /// Does one instruction; `None` if the pickle cannot be right.
    fn step(&mut self, op: Op) -> Option<()> {
        match op {
            Op::Protocol(_) => {}
            Op::Mark => self.marks.push(u32::try_from(self.stack.len()).ok()?),
            Op::Plain => self.stack.push(Value::Plain),
            Op::Int(n) => self.stack.push(Value::Int(n)),
            Op::Text(text) => self.stack.push(Value::Text(text)),
            Op::EmptyDict | Op::EmptyList => self.hold()?,
            Op::Tuple => {
                let from = self.marks.pop()? as usize;
                self.tuple(from)?;
            }
            Op::TupleOf(n) => self.tuple(self.stack.len().checked_sub(n)?)?,
            Op::Append => {
                let value = self.stack.pop()?;
                self.give(*self.stack.last()?, None, value)?;
            }
            Op::Appends => {
                let from = self.marks.pop()? as usize;
                let to = *self.stack.get(from.checked_sub(1)?)?;
                for i in from..self.stack.len() {
                    self.give(to, None, *self.stack.get(i)?)?;
                }
                self.stack.truncate(from);
            }
            Op::SetItem => {
                let value = self.stack.pop()?;
                let key = self.stack.pop()?;
                self.give(*self.stack.last()?, Some(key), value)?;
            }
            Op::SetItems => {
                let from = self.marks.pop()? as usize;
                let to = *self.stack.get(from.checked_sub(1)?)?;
                for i in (from..self.stack.len()).step_by(2) {
                    self.give(to, Some(*self.stack.get(i)?), *self.stack.get(i + 1)?)?;
                }
                self.stack.truncate(from);
            }
            Op::Put(n) => {
                // A pickle numbers what it remembers from 0 or 1 on.
                let (n, value) = (n as usize, *self.stack.last()?);
                let known = self.memo.len();
                match self.memo.get_mut(n) {
                    Some(old) => *old = value,
                    None if n <= known + 1 => self.memo.resize(n + 1, value),
                    None => return None,
                }
            }
            Op::Get(n) => self.stack.push(*self.memo.get(n as usize)?),
            Op::Global(module, name) => {
                self.stack.push(Value::Global(allowed(module.of(self.bytes), name.of(self.bytes))?));
            }
            Op::PersistentId => {
                let id = self.stack.pop()?;
                let storage = self.storage(id)?;
                self.stack.push(storage);
            }
            Op::Reduce => {
                let (args, rule) = (self.stack.pop()?, self.stack.pop()?);
                let Value::Global(rule) = rule else { return None };
                self.make(rule, args, true)?;
            }
            // Attributes of a dictionary or a tensor, such as the versions of modules.
            Op::Build => {
                self.stack.pop()?;
                self.stack.last()?;
            }
            Op::Stop | Op::Foreign(..) | Op::Other(_) => return None,
        }
        // No instruction reaches below the last mark.
        self.marks.last().is_none_or(|&m| m as usize <= self.stack.len()).then_some(())
    }

    /// Starts a dictionary or list.
    fn hold(&mut self) -> Option<()> {
        self.stack.push(Value::Held(u32::try_from(self.counts.len()).ok()?));
        self.counts.push(0);
        Some(())
    }

    fn give(&mut self, to: Value, key: Option<Value>, value: Value) -> Option<()> {
        let Value::Held(of) = to else { return None };
        let count = self.counts.get_mut(of as usize)?;
        self.out.held.push(Item { of, nth: *count, key, value });
        *count = count.checked_add(1)?;
        Some(())
    }

    fn tuple(&mut self, from: usize) -> Option<()> {
        let start = u32::try_from(self.out.items.len()).ok()?;
        self.out.items.extend(self.stack.get(from..)?);
        let len = u32::try_from(self.out.items.len()).ok()? - start;
        self.stack.truncate(from);
        self.stack.push(Value::Tuple { start, len });
        Some(())
    }

    fn values(&self, tuple: Value) -> Option<&[Value]> {
        let Value::Tuple { start, len } = tuple else { return None };
        Some(self.out.tuple(start, len))
    }

    /// `("storage", class, key, device, size)`, in old files with nothing behind it.
    fn storage(&mut self, id: Value) -> Option<Value> {
        let ([kind, class, key, _, size] | [kind, class, key, _, size, Value::Plain]) = self.values(id)?
        else {
            return None;
        };
        let (Value::Text(kind), Value::Global(Global::Storage(dtype)), Value::Text(key), Value::Int(size)) =
            (kind, class, key, size)
        else {
            return None;
        };
        if key.len() > LONGEST_KEY || kind.of(self.bytes) != "storage" {
            return None;
        }
        let (dtype, key, numbers) = (*dtype, *key, u64::try_from(*size).ok()?);
        self.out.storages.push(Storage { dtype, key, numbers });
        Some(Value::Storage(u32::try_from(self.out.storages.len() - 1).ok()?))
    }

    /// Follows the rule of a name; `whole` unless the rule is followed within another.
    fn make(&mut self, rule: Global, args: Value, whole: bool) -> Option<()> {
        match (rule, self.values(args)?) {
            (Global::Dict, []) => self.hold(),
            (Global::Tensor, &[storage, offset, shape, strides, _, _, ref more @ ..]) => {
                let dtype = self.held_by(storage)?;
                self.tensor(storage, dtype, offset, shape, strides, !more.is_empty())
            }
            (
                Global::TypedTensor,
                &[storage, offset, shape, strides, _, _, Value::Global(Global::Dtype(dtype)), ref more @ ..],
            ) => self.tensor(storage, dtype, offset, shape, strides, !more.is_empty()),
            (Global::Parameter, &[value @ Value::Tensor(_), ..]) => {
                self.stack.push(value);
                Some(())
            }
            (Global::Attributed, &[Value::Global(rule), _, args, ..]) if whole => {
                self.make(rule, args, false)
            }
            (Global::Plain, _) => {
                self.stack.push(Value::Plain);
                Some(())
            }
            _ => None,
        }
    }

    /// The type of what a storage holds.
    fn held_by(&self, storage: Value) -> Option<Option<Dtype>> {
        let Value::Storage(number) = storage else { return None };
        self.out.storages.get(number as usize).map(|s| s.dtype)
    }

    fn tensor(
        &mut self,
        storage: Value,
        dtype: Option<Dtype>,
        offset: Value,
        shape: Value,
        strides: Value,
        altered: bool,
    ) -> Option<()> {
        let (Value::Storage(storage), Value::Int(offset)) = (storage, offset) else { return None };
        let (shape, strides) = (self.sizes(shape)?, self.sizes(strides)?);
        if shape.1 != strides.1 {
            return None;
        }
        let number = u32::try_from(self.out.tensors.len()).ok()?;
        let offset = u64::try_from(offset).ok()?;
        self.out.tensors.push(Described { storage, dtype, altered, offset, shape, strides });
        self.stack.push(Value::Tensor(number));
        Some(())
    }

    /// A tuple of sizes, none negative.
    fn sizes(&self, tuple: Value) -> Option<(u32, u32)> {
        let Value::Tuple { start, len } = tuple else { return None };
        if len > MOST_SIZES {
            return None;
        }
        self.values(tuple)?.iter().all(|v| matches!(v, Value::Int(n) if *n >= 0)).then_some((start, len))
    }
}
