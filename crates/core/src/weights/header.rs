//! The header of a `.safetensors` file: names, types, shapes and places.
//!
//! A length in 8 bytes, a JSON object, then the numbers of all tensors without gaps. Metadata are passed over.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::dtype::Dtype;
use super::layout::{MAX_RANK, Tensor, count};
use super::opened::Opened;
use crate::error::{Error, Result};

/// As many tensors a checkpoint may have. The largest that are published have half of it.
pub(super) const MAX_TENSORS: usize = 200_000;

/// The longest header that the format allows.
const MAX_HEADER: u64 = 100_000_000;

/// Whether a file that starts so and has `size` bytes is meant as safetensors, even if it is damaged.
pub(super) fn is_meant(start: &[u8], size: u64) -> bool {
    let length = start.first_chunk().map_or(0, |b| u64::from_le_bytes(*b));
    start.get(8) == Some(&b'{') && (length <= size || length <= MAX_HEADER)
}

/// The tensors of a file, in the order of its header.
///
/// # Errors
/// [`Error::Model`] for a header that is malformed, or whose tensors do not fill the file exactly.
pub(super) fn tensors(opened: &Opened, file: usize) -> Result<Vec<Tensor>> {
    let length = opened.bytes(0, 8)?.first_chunk().map_or(0, |b| u64::from_le_bytes(*b));
    if length > MAX_HEADER {
        return Err(invalid("its header is too long").expected(format!("at most {MAX_HEADER} bytes")));
    }
    let json = opened.bytes(8, length)?;
    let Entries(entries) = serde_json::from_slice(&json).map_err(|e| invalid(&e.to_string()))?;
    drop(json);
    tiled(&entries, opened, 8 + length)?;
    Ok(entries
        .into_iter()
        .map(|e| Tensor::dense(e.name, e.dtype, &e.shape, file, 8 + length + e.begin))
        .collect())
}

fn invalid(why: &str) -> Error {
    Error::model(format!("the file is no valid safetensors file: {why}"))
        .remedy("it is damaged or was cut short; get it again")
}

/// Every tensor has the bytes that its shape needs, and they follow each other to the end of the file.
fn tiled(entries: &[Entry], opened: &Opened, start: u64) -> Result<()> {
    let mut order: Vec<&Entry> = entries.iter().collect();
    order.sort_by_key(|e| (e.begin, e.end));
    let mut reached = 0;
    for entry in order {
        let bytes = count(&entry.shape).and_then(|n| n.checked_mul(entry.dtype.bytes()));
        if bytes.is_none_or(|b| Some(b as u64) != entry.end.checked_sub(entry.begin)) {
            return Err(invalid("a tensor's bytes do not fit its shape")
                .at(format!("the tensor \"{}\"", entry.name))
                .expected(format!("{:?} of {}", entry.shape, entry.dtype))
                .got(format!("bytes {} to {}", entry.begin, entry.end)));
        }
        if entry.begin != reached {
            return Err(invalid("tensors overlap or leave a gap")
                .at(format!("the tensor \"{}\"", entry.name))
                .expected(format!("its bytes from {reached} on"))
                .got(format!("from {}", entry.begin)));
        }
        reached = entry.end;
    }
    match start.checked_add(reached) {
        Some(end) if end == opened.size() => Ok(()),
        Some(end) if end < opened.size() => Err(invalid("bytes follow the last tensor")
            .expected(format!("{end} bytes"))
            .got(format!("{} bytes", opened.size()))),
        end => Err(opened.cut_short(end.unwrap_or(u64::MAX))),
    }
}

struct Entry {
    name: String,
    dtype: Dtype,
    shape: Box<[usize]>,
    begin: u64,
    end: u64,
}

/// The header's object, in its order.
struct Entries(Vec<Entry>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Info<'a> {
    #[serde(borrow)]
    dtype: Cow<'a, str>,
    shape: Shape,
    data_offsets: (u64, u64),
}

struct Shape(Vec<usize>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Entries;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Entries, A::Error> {
                let mut entries = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    if name == "__metadata__" {
                        map.next_value::<IgnoredAny>()?;
                        continue;
                    }
                    if entries.len() == MAX_TENSORS {
                        return Err(A::Error::custom(format!("it has more than {MAX_TENSORS} tensors")));
                    }
                    let info: Info<'de> = map.next_value()?;
                    let dtype = Dtype::in_safetensors(&info.dtype).ok_or_else(|| {
                        A::Error::custom(format!("the tensor \"{name}\" has the unknown type {}", info.dtype))
                    })?;
                    let (begin, end) = info.data_offsets;
                    entries.push(Entry { name, dtype, shape: info.shape.0.into(), begin, end });
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Sizes;
        impl<'de> Visitor<'de> for Sizes {
            type Value = Shape;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "at most {MAX_RANK} sizes")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> std::result::Result<Shape, A::Error> {
                let mut shape = Vec::new();
                while let Some(size) = seq.next_element()? {
                    if shape.len() == MAX_RANK {
                        return Err(A::Error::invalid_length(shape.len() + 1, &self));
                    }
                    shape.push(size);
                }
                Ok(Shape(shape))
            }
        }
        deserializer.deserialize_seq(Sizes)
    }
}
