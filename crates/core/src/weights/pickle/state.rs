//! Which tensors of a pickle are the model's, and what they are called.

use super::super::dtype::Dtype;
use super::super::layout::{MAX_RANK, View};
use super::machine::{Item, Unpickled, Value, run, too_much};
use super::opcodes::malformed;
use crate::error::{Error, Result, shown};

/// The entries of a training checkpoint that hold a model.
const ENTRIES: [&str; 6] = ["state_dict", "model_state_dict", "model", "module", "weights", "params"];

/// As deep dictionaries may lie in each other.
const MAX_DEPTH: usize = 16;

/// As many entries an error tells.
const TOLD: usize = 8;

/// A named tensor.
#[derive(Debug, PartialEq)]
pub(in crate::weights) struct Described {
    pub(in crate::weights) name: String,
    /// Which of [`State::storages`] holds its numbers.
    pub(in crate::weights) storage: usize,
    pub(in crate::weights) dtype: Dtype,
    pub(in crate::weights) view: View,
}

/// Numbers that tensors view.
#[derive(Debug, PartialEq)]
pub(in crate::weights) struct Storage<'a> {
    pub(in crate::weights) key: &'a str,
    /// Its size as claimed: in numbers of its type, and in bytes.
    pub(in crate::weights) numbers: u64,
    pub(in crate::weights) bytes: u64,
}

/// The tensors of a model.
#[derive(Debug)]
pub(in crate::weights) struct State<'a> {
    pub(in crate::weights) tensors: Vec<Described>,
    pub(in crate::weights) storages: Vec<Storage<'a>>,
    /// The entry of a training checkpoint that they come from.
    pub(in crate::weights) entry: Option<String>,
}

/// Reads a scanned pickle within `room` bytes. With an entry, only what lies in it.
///
/// # Errors
/// [`Error::Model`] if the pickle is malformed, takes more room, or does not hold named tensors that can be read; or if several
/// entries could be meant.
pub(in crate::weights) fn read<'a>(bytes: &'a [u8], room: usize, entry: Option<&str>) -> Result<State<'a>> {
    let unpickled = run(bytes, room)?;
    let found = Found { bytes, unpickled: &unpickled };
    let (of, entry) = found.choose(entry)?;
    let mut walk = Walk { found, room: room.saturating_sub(unpickled.used()), tensors: Vec::new() };
    walk.go(Value::Held(of), &mut String::new(), 0)?;
    let tensors = walk.tensors;
    let mut storages = Vec::with_capacity(unpickled.storages.len());
    for storage in &unpickled.storages {
        let size = storage.bytes().ok_or_else(|| malformed(bytes.len()))?;
        let key = storage.key.of(bytes);
        storages.push(Storage { key, numbers: storage.numbers, bytes: size });
    }
    Ok(State { tensors, storages, entry })
}

/// The texts of a scanned pickle of a list, within `room` bytes.
///
/// # Errors
/// [`Error::Model`] if it is malformed, or no list of texts.
pub(in crate::weights) fn texts(bytes: &[u8], room: usize) -> Result<Vec<&str>> {
    let unpickled = run(bytes, room)?;
    let wrong = || malformed(bytes.len());
    let Value::Held(of) = unpickled.top else { return Err(wrong()) };
    let text = |item: &Item| match item.value {
        Value::Text(text) => Ok(text.of(bytes)),
        _ => Err(wrong()),
    };
    unpickled.held(of).iter().map(text).collect()
}

#[derive(Clone, Copy)]
struct Found<'a> {
    bytes: &'a [u8],
    unpickled: &'a Unpickled,
}

impl Found<'_> {
    /// The dictionary whose tensors are meant, and the entry that it is.
    fn choose(&self, entry: Option<&str>) -> Result<(u32, Option<String>)> {
        let top = match self.unpickled.top {
            Value::Held(top) => top,
            Value::Tensor(_) => {
                return Err(Error::model("the file holds a tensor without a name")
                    .expected("a dictionary of tensors")
                    .remedy("save it under a name: torch.save({\"weight\": tensor}, path)"));
            }
            _ => return Err(Error::model("the file holds no tensors").expected("a dictionary of tensors")),
        };
        let inner = || {
            self.unpickled.held(top).iter().filter_map(|item| match (item.key, item.value) {
                (Some(Value::Text(key)), Value::Held(of)) => Some((key.of(self.bytes), of)),
                _ => None,
            })
        };
        let find = |entry: &str| inner().find(|(key, _)| *key == entry).map(|(_, of)| of);
        if let Some(entry) = entry {
            return match find(entry) {
                Some(of) => Ok((of, Some(entry.to_owned()))),
                None => Err(Error::model(format!("the checkpoint has no entry \"{entry}\" with tensors"))
                    .expected(format!("one of {}", list(inner().map(|(key, _)| key))))),
            };
        }
        let models: Vec<(&str, u32)> = ENTRIES
            .into_iter()
            .filter_map(|entry| find(entry).map(|of| (entry, of)))
            .filter(|(_, of)| self.has_tensors(*of))
            .collect();
        match models.as_slice() {
            [] => Ok((top, None)),
            [(key, of)] => Ok((*of, Some((*key).to_owned()))),
            several => Err(Error::model("several entries of the checkpoint hold tensors")
                .expected("one of them to be named")
                .got(list(several.iter().map(|(key, _)| *key)))),
        }
    }

    /// Whether tensors lie in a dictionary itself.
    fn has_tensors(&self, of: u32) -> bool {
        self.unpickled.held(of).iter().any(|item| matches!(item.value, Value::Tensor(_)))
    }
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut told: Vec<String> = names.take(TOLD + 1).map(|name| shown(name, 60)).collect();
    if told.len() > TOLD {
        told.truncate(TOLD);
        told.push("…".to_owned());
    }
    told.join(", ")
}

struct Walk<'a> {
    found: Found<'a>,
    room: usize,
    tensors: Vec<Described>,
}

impl Walk<'_> {
    /// Names the tensors in a value: by the keys and numbers on the way to them, with dots between.
    fn go(&mut self, value: Value, name: &mut String, depth: usize) -> Result<()> {
        let Found { bytes, unpickled } = self.found;
        if depth > MAX_DEPTH {
            return Err(Error::model("dictionaries lie too deep in each other")
                .at(shown(name, 100))
                .expected(format!("at most {MAX_DEPTH} levels"))
                .remedy("save the state dictionary alone"));
        }
        match value {
            Value::Tensor(number) => self.take(number, name)?,
            Value::Held(of) => {
                for (n, item) in unpickled.held(of).iter().enumerate() {
                    match item.key {
                        Some(Value::Text(key)) => self.under(key.of(bytes), item.value, name, depth)?,
                        Some(Value::Int(key)) => self.under(&key.to_string(), item.value, name, depth)?,
                        Some(_) => self.under("?", item.value, name, depth)?,
                        None => self.under(&n.to_string(), item.value, name, depth)?,
                    }
                }
            }
            Value::Tuple { start, len } => {
                for (n, &value) in unpickled.tuple(start, len).iter().enumerate() {
                    self.under(&n.to_string(), value, name, depth)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn under(&mut self, key: &str, value: Value, name: &mut String, depth: usize) -> Result<()> {
        self.spend(size_of::<Item>() + key.len())?;
        let outer = name.len();
        if depth > 0 {
            name.push('.');
        }
        name.push_str(key);
        self.go(value, name, depth + 1)?;
        name.truncate(outer);
        Ok(())
    }

    fn take(&mut self, number: u32, name: &str) -> Result<()> {
        let Found { bytes, unpickled } = self.found;
        self.spend(size_of::<Described>() + name.len() + 2 * MAX_RANK * size_of::<u64>())?;
        let wrong = |what: &str| Error::model(what).at(format!("the tensor \"{}\"", shown(name, 100)));
        let tensor = unpickled.tensor(number).ok_or_else(|| malformed(bytes.len()))?;
        if tensor.altered {
            return Err(wrong("it is a negated or conjugated view")
                .remedy("save tensor.resolve_conj().resolve_neg() instead"));
        }
        let Some(dtype) = tensor.dtype else {
            return Err(wrong("its type is not one that can be read").remedy("save it as float32"));
        };
        if tensor.rank() > MAX_RANK {
            return Err(wrong("it has too many dimensions")
                .expected(format!("at most {MAX_RANK}"))
                .got(tensor.rank()));
        }
        let view = unpickled.view(tensor);
        self.tensors.push(Described { name: name.to_owned(), storage: tensor.storage as usize, dtype, view });
        Ok(())
    }

    fn spend(&mut self, bytes: usize) -> Result<()> {
        self.room = self.room.checked_sub(bytes).ok_or_else(too_much)?;
        Ok(())
    }
}
