//! Arrays inside an ONNX file: whether their numbers are all there, and where those are that lie in other files.

use consilience_core::{Error, Result};

use super::wire::{Value, damaged, fields, numbers};

/// No array or row may hold more numbers than this (1 GiB of 32-bit floats).
pub(super) const MOST: u64 = 1 << 28;

/// Element types by their number in ONNX.
pub(super) const FLOAT: i64 = 1;
pub(super) const INT32: i64 = 6;
pub(super) const INT64: i64 = 7;
pub(super) const STRING: i64 = 8;
pub(super) const DOUBLE: i64 = 11;

/// The name of an element type.
pub(super) fn element_name(element: i64) -> &'static str {
    const NAMES: [&str; 17] = [
        "undefined",
        "float",
        "uint8",
        "int8",
        "uint16",
        "int16",
        "int32",
        "int64",
        "string",
        "bool",
        "float16",
        "double",
        "uint32",
        "uint64",
        "complex64",
        "complex128",
        "bfloat16",
    ];
    usize::try_from(element).ok().and_then(|e| NAMES.get(e)).copied().unwrap_or("of a newer type")
}

/// An array as it stands in the file.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tensor<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its element type.
    pub element: i64,
    /// How many numbers its shape asks for.
    pub count: u64,
    /// Its numbers where they are one after the other.
    raw: &'a [u8],
    /// Its numbers in fields of their own: all bytes of them.
    typed: u64,
    /// The message itself.
    message: &'a [u8],
    /// Where its numbers lie, if not here.
    pub external: Option<External<'a>>,
}

/// Numbers in another file.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct External<'a> {
    /// The file, relative to the model's folder.
    pub location: &'a str,
    offset: u64,
    length: Option<u64>,
}

impl External<'_> {
    /// Up to which byte the file is read.
    pub fn end(&self, least: u64) -> u64 {
        self.offset.saturating_add(self.length.unwrap_or(0).max(least))
    }
}

impl<'a> Tensor<'a> {
    /// Reads the message and checks that every number of it is there.
    pub fn read(message: &'a [u8]) -> Result<Self> {
        let mut tensor = Self { message, count: 1, ..Self::default() };
        let mut elsewhere = false;
        for field in fields(message) {
            let field = field?;
            match field.number {
                1 => {
                    if field.raw.len() > 256 {
                        return Err(damaged("an array in the ONNX file has too many dimensions"));
                    }
                    for dim in field.ints()? {
                        let dim = u64::try_from(dim)
                            .map_err(|_| damaged("an array in the ONNX file has a negative size"))?;
                        tensor.count = tensor.count.saturating_mul(dim);
                    }
                }
                2 => tensor.element = field.int()?,
                4..=7 | 10 | 11 => tensor.typed += field.raw.len() as u64,
                8 => tensor.name = field.text()?,
                9 => tensor.raw = field.bytes()?,
                13 => {
                    elsewhere = true;
                    entry(field.bytes()?, tensor.external.get_or_insert_default())?;
                }
                14 => elsewhere |= field.int()? == 1,
                _ => {}
            }
        }
        if elsewhere && tensor.external.is_none_or(|e| e.location.is_empty()) {
            return Err(
                damaged("an array in the ONNX file lies in another file that is not named").at(tensor.name)
            );
        }
        tensor.check()
    }

    fn check(self) -> Result<Self> {
        let there = match self.external {
            Some(_) => u64::MAX,
            None if !self.raw.is_empty() => self.raw.len() as u64 / self.size(),
            None => self.typed,
        };
        if self.count > MOST * 16 {
            return Err(Error::model("an array in the ONNX file has an absurd size")
                .at(self.name)
                .expected(format!("at most {} numbers", MOST * 16))
                .got(self.count));
        }
        if self.count > there {
            return Err(damaged("an array in the ONNX file lacks numbers")
                .at(self.name)
                .expected(self.count)
                .got(format!("at most {there}")));
        }
        Ok(self)
    }

    /// Bytes of one element; types of half a byte count as none smaller.
    fn size(&self) -> u64 {
        match self.element {
            1 | 6 | 12 => 4,
            4 | 5 | 10 | 16 => 2,
            7 | 11 | 13 | 14 => 8,
            15 => 16,
            _ => 1,
        }
    }

    /// How many bytes its numbers take in another file.
    pub fn least_bytes(&self) -> u64 {
        // The types of half a byte and less.
        if self.element > 20 { self.count / 8 } else { self.count.saturating_mul(self.size()) }
    }

    /// Its numbers as 64-bit integers, where it holds integers of 64 bits, few enough to be a shape.
    pub fn shape(&self) -> Result<Option<Vec<i64>>> {
        if self.element != INT64 || self.count > 16 || self.external.is_some() {
            return Ok(None);
        }
        if !self.raw.is_empty() {
            return numbers(self.raw, i64::from_le_bytes).map(Some);
        }
        let mut out = Vec::new();
        for field in fields(self.message) {
            let field = field?;
            if field.number == 7 {
                out.extend(field.ints()?);
            }
        }
        Ok(Some(out))
    }

    /// Its numbers as 64-bit floats, where it holds floats of 32 or 64 bits or integers of 64.
    pub fn floats(&self) -> Result<Option<Vec<f64>>> {
        if self.external.is_some() {
            return Ok(None);
        }
        let mut out: Vec<f64> = match (self.element, self.raw.is_empty()) {
            (FLOAT, false) => numbers(self.raw, f32::from_le_bytes)?.into_iter().map(f64::from).collect(),
            (DOUBLE, false) => numbers(self.raw, f64::from_le_bytes)?,
            (INT64, false) => numbers(self.raw, i64::from_le_bytes)?.into_iter().map(|v| v as f64).collect(),
            (FLOAT | DOUBLE | INT64, true) => Vec::new(),
            _ => return Ok(None),
        };
        for field in fields(self.message) {
            let field = field?;
            match (field.number, self.element) {
                (4, FLOAT) => out.extend(field.floats()?.into_iter().map(f64::from)),
                (7, INT64) => out.extend(field.ints()?.into_iter().map(|v| v as f64)),
                (10, DOUBLE) => match field.value {
                    Value::Fixed64(bits) => out.push(f64::from_bits(bits)),
                    _ => out.extend(numbers(field.bytes()?, f64::from_le_bytes)?),
                },
                _ => {}
            }
        }
        if out.len() as u64 != self.count {
            return Err(damaged("an array in the ONNX file lacks numbers").at(self.name));
        }
        Ok(Some(out))
    }
}

/// One entry of what is said of numbers in another file.
fn entry<'a>(message: &'a [u8], external: &mut External<'a>) -> Result<()> {
    let (mut key, mut value) = ("", "");
    for field in fields(message) {
        let field = field?;
        match field.number {
            1 => key = field.text()?,
            2 => value = field.text()?,
            _ => {}
        }
    }
    let number = || {
        value.parse::<u64>().map_err(|_| damaged(format!("the {key} of data in another file is no number")))
    };
    match key {
        "location" => external.location = value,
        "offset" => external.offset = number()?,
        "length" => external.length = Some(number()?),
        _ => {}
    }
    Ok(())
}
