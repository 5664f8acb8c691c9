//! The protobuf wire format: the fields of a message, borrowed from the file. Nothing is allocated.

use consilience_core::{Error, Result};

/// One field of a message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field<'a> {
    /// Its number.
    pub number: u32,
    /// What it holds.
    pub value: Value<'a>,
    /// All of its bytes, key included.
    pub raw: &'a [u8],
}

/// What a field holds.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value<'a> {
    /// An integer of any kind, or a truth.
    Varint(u64),
    /// Eight bytes.
    Fixed64(u64),
    /// Four bytes.
    Fixed32(u32),
    /// A message, a text, bytes, or packed numbers.
    Bytes(&'a [u8]),
}

/// What is wrong with a file that is not what it claims to be.
pub(super) fn damaged(what: impl Into<String>) -> Error {
    Error::model(what).remedy("the ONNX file is cut off or damaged; export or copy it again")
}

impl<'a> Field<'a> {
    /// The bytes of a message, text or packed list.
    pub fn bytes(&self) -> Result<&'a [u8]> {
        match self.value {
            Value::Bytes(bytes) => Ok(bytes),
            _ => Err(damaged(format!(
                "field {} of the ONNX file holds a number where text is due",
                self.number
            ))),
        }
    }

    /// A text.
    pub fn text(&self) -> Result<&'a str> {
        std::str::from_utf8(self.bytes()?).map_err(|_| damaged("a name in the ONNX file is not UTF-8"))
    }

    /// An integer.
    pub fn int(&self) -> Result<i64> {
        match self.value {
            Value::Varint(v) => Ok(v.cast_signed()),
            _ => Err(damaged(format!("field {} of the ONNX file holds no integer", self.number))),
        }
    }

    /// A 32-bit float.
    pub fn float(&self) -> Result<f32> {
        match self.value {
            Value::Fixed32(v) => Ok(f32::from_bits(v)),
            _ => Err(damaged(format!("field {} of the ONNX file holds no float", self.number))),
        }
    }

    /// The integers of a list that may be packed.
    pub fn ints(&self) -> Result<Vec<i64>> {
        let mut rest = match self.value {
            Value::Varint(v) => return Ok(vec![v.cast_signed()]),
            Value::Bytes(bytes) => bytes,
            _ => return Err(damaged(format!("field {} of the ONNX file holds no integers", self.number))),
        };
        let mut out = Vec::new();
        while !rest.is_empty() {
            out.push(varint(&mut rest)?.cast_signed());
        }
        Ok(out)
    }

    /// The 32-bit floats of a list that may be packed.
    pub fn floats(&self) -> Result<Vec<f32>> {
        match self.value {
            Value::Fixed32(v) => Ok(vec![f32::from_bits(v)]),
            Value::Bytes(bytes) => numbers(bytes, f32::from_le_bytes),
            _ => Err(damaged(format!("field {} of the ONNX file holds no floats", self.number))),
        }
    }
}

/// Little-endian numbers that fill some bytes.
pub(super) fn numbers<T, const N: usize>(bytes: &[u8], read: fn([u8; N]) -> T) -> Result<Vec<T>> {
    let (numbers, rest) = bytes.as_chunks::<N>();
    if !rest.is_empty() {
        return Err(damaged("an array in the ONNX file ends within a number"));
    }
    Ok(numbers.iter().map(|n| read(*n)).collect())
}

/// The fields of a message, in order.
pub(super) fn fields(message: &[u8]) -> Fields<'_> {
    Fields { rest: message }
}

/// See [`fields`]. Ends after the first error.
#[derive(Debug, Clone)]
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    fn field(&mut self) -> Result<Field<'a>> {
        let start = self.rest;
        let key = varint(&mut self.rest)?;
        let number = u32::try_from(key >> 3).ok().filter(|n| (1..1 << 29).contains(n));
        let number = number.ok_or_else(|| damaged("a field of the ONNX file has no number"))?;
        let value = match key & 7 {
            0 => Value::Varint(varint(&mut self.rest)?),
            1 => Value::Fixed64(u64::from_le_bytes(self.array()?)),
            2 => {
                let length = varint(&mut self.rest)?;
                Value::Bytes(self.take(usize::try_from(length).unwrap_or(usize::MAX))?)
            }
            5 => Value::Fixed32(u32::from_le_bytes(self.array()?)),
            other => {
                return Err(damaged(format!("the ONNX file has a field of the unknown wire type {other}")));
            }
        };
        let used = start.len() - self.rest.len();
        let (raw, _) =
            start.split_at_checked(used).ok_or_else(|| damaged("the ONNX file ends within a field"))?;
        Ok(Field { number, value, raw })
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let (head, tail) =
            self.rest.split_at_checked(length).ok_or_else(|| damaged("the ONNX file ends within a field"))?;
        self.rest = tail;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let bytes = self.take(N)?;
        <[u8; N]>::try_from(bytes).map_err(|_| damaged("the ONNX file ends within a field"))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

fn varint(rest: &mut &[u8]) -> Result<u64> {
    let mut value = 0u64;
    for shift in (0..70).step_by(7) {
        let Some((byte, tail)) = rest.split_first() else {
            return Err(damaged("the ONNX file ends within a number"));
        };
        *rest = tail;
        let bits = u64::from(byte & 0x7f);
        if shift == 63 && bits > 1 {
            break;
        }
        value |= bits << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(damaged("a number in the ONNX file is longer than 64 bits"))
}

/// Writes a field that holds bytes.
pub(super) fn write_bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    write_varint(out, u64::from(number) << 3 | 2);
    write_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn write_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_out_as_they_went_in() {
        let mut message = vec![0x08, 0xac, 0x02, 0x15, 0, 0, 0x80, 0x3f];
        write_bytes(&mut message, 4, &[7; 200]);
        let all: Vec<Field<'_>> = fields(&message).collect::<Result<_>>().unwrap();
        assert_eq!((all[0].number, all[0].int().unwrap()), (1, 300));
        assert_eq!((all[1].number, all[1].float().unwrap()), (2, 1.0));
        assert_eq!((all[2].number, all[2].bytes().unwrap()), (4, &[7u8; 200][..]));
        assert_eq!(all.iter().map(|f| f.raw.len()).sum::<usize>(), message.len());
        assert!(all[0].text().is_err() && all[2].int().is_err());
    }

    #[test]
    fn what_is_cut_off_or_impossible_is_an_error() {
        let bad: [&[u8]; 7] = [
            &[0x08],
            &[0x0a, 5, 1],
            &[0x09, 1, 2],
            &[0x00, 1],
            &[0x0b],
            &[0x0f],
            &[0x08, 255, 255, 255, 255, 255, 255, 255, 255, 255, 2],
        ];
        for bytes in bad {
            assert!(fields(bytes).any(|f| f.is_err()), "{bytes:?}");
        }
        assert_eq!(
            fields(&[0x08, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1])
                .next()
                .unwrap()
                .unwrap()
                .int()
                .unwrap(),
            -1
        );
    }
}
