//! The types of stored numbers, and how each becomes a 32-bit float.

use std::fmt;

/// The type of the numbers of a tensor in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dtype {
    /// 64-bit floats.
    F64,
    /// 32-bit floats.
    F32,
    /// 16-bit floats of IEEE 754.
    F16,
    /// The upper half of 32-bit floats.
    Bf16,
    /// 64-bit signed integers.
    I64,
    /// 32-bit signed integers.
    I32,
    /// 16-bit signed integers.
    I16,
    /// 8-bit signed integers.
    I8,
    /// 64-bit unsigned integers.
    U64,
    /// 32-bit unsigned integers.
    U32,
    /// 16-bit unsigned integers.
    U16,
    /// 8-bit unsigned integers.
    U8,
    /// Truth values, a byte each.
    Bool,
    /// 8-bit floats with 4 bits of exponent; listed, but not read.
    F8E4M3,
    /// 8-bit floats with 5 bits of exponent; listed, but not read.
    F8E5M2,
    /// Pairs of 32-bit floats; listed, but not read.
    C64,
    /// Pairs of 64-bit floats; listed, but not read.
    C128,
}

/// Each type with its bytes and its names: in safetensors, of torch's storage, of torch's dtype.
const TABLE: [(Dtype, u8, &str, &str, &str); 17] = [
    (Dtype::F64, 8, "F64", "DoubleStorage", "float64"),
    (Dtype::F32, 4, "F32", "FloatStorage", "float32"),
    (Dtype::F16, 2, "F16", "HalfStorage", "float16"),
    (Dtype::Bf16, 2, "BF16", "BFloat16Storage", "bfloat16"),
    (Dtype::I64, 8, "I64", "LongStorage", "int64"),
    (Dtype::I32, 4, "I32", "IntStorage", "int32"),
    (Dtype::I16, 2, "I16", "ShortStorage", "int16"),
    (Dtype::I8, 1, "I8", "CharStorage", "int8"),
    (Dtype::U64, 8, "U64", "", "uint64"),
    (Dtype::U32, 4, "U32", "", "uint32"),
    (Dtype::U16, 2, "U16", "", "uint16"),
    (Dtype::U8, 1, "U8", "ByteStorage", "uint8"),
    (Dtype::Bool, 1, "BOOL", "BoolStorage", "bool"),
    (Dtype::F8E4M3, 1, "F8_E4M3", "", "float8_e4m3fn"),
    (Dtype::F8E5M2, 1, "F8_E5M2", "", "float8_e5m2"),
    (Dtype::C64, 8, "C64", "ComplexFloatStorage", "complex64"),
    (Dtype::C128, 16, "C128", "ComplexDoubleStorage", "complex128"),
];

impl Dtype {
    /// The bytes of one number.
    pub fn bytes(self) -> usize {
        TABLE.iter().find(|row| row.0 == self).map_or(1, |row| usize::from(row.1))
    }

    /// What torch calls it.
    pub fn torch_name(self) -> &'static str {
        TABLE.iter().find(|row| row.0 == self).map_or("", |row| row.4)
    }

    /// The type that safetensors calls by this name.
    pub(super) fn in_safetensors(name: &str) -> Option<Self> {
        TABLE.iter().find(|row| row.2 == name).map(|row| row.0)
    }

    /// The type that a storage class of torch holds.
    pub(super) fn in_storage(class: &str) -> Option<Self> {
        TABLE.iter().find(|row| !class.is_empty() && row.3 == class).map(|row| row.0)
    }

    /// The type that torch calls by this name.
    pub(super) fn in_torch(name: &str) -> Option<Self> {
        TABLE.iter().find(|row| row.4 == name).map(|row| row.0)
    }

    /// Whether numbers of this type can be read as 32-bit floats.
    pub fn is_real(self) -> bool {
        !matches!(self, Self::F8E4M3 | Self::F8E5M2 | Self::C64 | Self::C128)
    }

    /// Little-endian numbers as 32-bit floats: exactly where they fit, else rounded to the nearest. Those that are not
    /// real numbers, or that this cannot read, become NaN.
    pub(super) fn decode(self, bytes: &[u8], out: &mut [f32]) {
        match self {
            Self::F64 => each(bytes, out, |b| f64::from_le_bytes(b) as f32),
            Self::F32 => each(bytes, out, f32::from_le_bytes),
            Self::F16 => each(bytes, out, |b| half(u16::from_le_bytes(b))),
            Self::Bf16 => each(bytes, out, |b| f32::from_bits(u32::from(u16::from_le_bytes(b)) << 16)),
            Self::I64 => each(bytes, out, |b| i64::from_le_bytes(b) as f32),
            Self::I32 => each(bytes, out, |b| i32::from_le_bytes(b) as f32),
            Self::I16 => each(bytes, out, |b| f32::from(i16::from_le_bytes(b))),
            Self::I8 => each(bytes, out, |b| f32::from(i8::from_le_bytes(b))),
            Self::U64 => each(bytes, out, |b| u64::from_le_bytes(b) as f32),
            Self::U32 => each(bytes, out, |b| u32::from_le_bytes(b) as f32),
            Self::U16 => each(bytes, out, |b| f32::from(u16::from_le_bytes(b))),
            Self::U8 => each(bytes, out, |[b]| f32::from(b)),
            Self::Bool => each(bytes, out, |[b]| f32::from(u8::from(b != 0))),
            Self::F8E4M3 | Self::F8E5M2 | Self::C64 | Self::C128 => out.fill(f32::NAN),
        }
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(TABLE.iter().find(|row| row.0 == *self).map_or("", |row| row.2))
    }
}

fn each<const N: usize>(bytes: &[u8], out: &mut [f32], number: impl Fn([u8; N]) -> f32) {
    for (out, word) in out.iter_mut().zip(words(bytes)) {
        *out = number(word);
    }
}

/// The words of `N` bytes.
pub(super) fn words<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = [u8; N]> + '_ {
    bytes.as_chunks().0.iter().copied()
}

/// A 16-bit float: a sign, 5 bits of exponent (bias 15), 10 of mantissa. Every one fits into 32 bits.
fn half(bits: u16) -> f32 {
    let sign = u32::from(bits >> 15) << 31;
    let exponent = u32::from(bits >> 10 & 31);
    let mantissa = u32::from(bits & 1023);
    let size = match exponent {
        0 => (mantissa as f32 * 2f32.powi(-24)).to_bits(),
        31 => 0x7f80_0000 | mantissa << 13,
        _ => (exponent + 127 - 15) << 23 | mantissa << 13,
    };
    f32::from_bits(sign | size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_precision_is_exact() {
        for (bits, value) in [
            (0x0000, 0.0),
            (0x8000, -0.0),
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x7bff, 65504.0),
            (0x0001, 2f32.powi(-24)),
            (0x03ff, 1023.0 * 2f32.powi(-24)),
            (0x0400, 2f32.powi(-14)),
            (0x3555, 0.333_251_95),
            (0x7c00, f32::INFINITY),
            (0xfc00, f32::NEG_INFINITY),
        ] {
            assert_eq!(half(bits).to_bits(), f32::to_bits(value), "{bits:#x}");
        }
        assert!(half(0x7e00).is_nan());
    }

    #[test]
    fn numbers_that_do_not_fit_are_rounded() {
        let mut out = [0.0; 2];
        let bytes: Vec<u8> = [16_777_217i64, -3].iter().flat_map(|v| v.to_le_bytes()).collect();
        Dtype::I64.decode(&bytes, &mut out);
        assert_eq!(out, [16_777_216.0, -3.0]);
        let bytes: Vec<u8> = [0.1f64, 1e300].iter().flat_map(|v| v.to_le_bytes()).collect();
        Dtype::F64.decode(&bytes, &mut out);
        assert_eq!(out, [0.1, f32::INFINITY]);
    }

    #[test]
    fn the_table_names_every_type_once() {
        for (dtype, bytes, name, ..) in TABLE {
            assert_eq!(Dtype::in_safetensors(name), Some(dtype));
            assert_eq!(dtype.bytes(), usize::from(bytes));
            assert_eq!(dtype.to_string(), name);
        }
        assert_eq!(Dtype::in_storage(""), None);
    }
}
