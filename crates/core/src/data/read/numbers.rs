//! Arrays as they stand in files: a shape and numbers of one type.

use std::ops::Range;

/// Numbers of one type, in the type of the file.
#[derive(Debug, Clone, PartialEq)]
pub enum Numbers {
    /// Bytes; booleans are read as 0 and 1.
    U8(Vec<u8>),
    /// 16-bit unsigned integers.
    U16(Vec<u16>),
    /// 16-bit integers.
    I16(Vec<i16>),
    /// 32-bit integers.
    I32(Vec<i32>),
    /// 64-bit integers.
    I64(Vec<i64>),
    /// 32-bit floats.
    F32(Vec<f32>),
    /// 64-bit floats.
    F64(Vec<f64>),
}

impl Numbers {
    /// How many.
    pub fn len(&self) -> usize {
        match self {
            Self::U8(v) => v.len(),
            Self::U16(v) => v.len(),
            Self::I16(v) => v.len(),
            Self::I32(v) => v.len(),
            Self::I64(v) => v.len(),
            Self::F32(v) => v.len(),
            Self::F64(v) => v.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The name of the type, as numpy has it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::U8(_) => "uint8",
            Self::U16(_) => "uint16",
            Self::I16(_) => "int16",
            Self::I32(_) => "int32",
            Self::I64(_) => "int64",
            Self::F32(_) => "float32",
            Self::F64(_) => "float64",
        }
    }

    /// Whether the type holds fractions.
    pub fn is_float(&self) -> bool {
        matches!(self, Self::F32(_) | Self::F64(_))
    }

    /// Calls `f` with each number of a range that lies inside, in order.
    pub fn each(&self, range: Range<usize>, mut f: impl FnMut(f64)) {
        match self {
            Self::U8(v) => v.get(range).unwrap_or_default().iter().for_each(|x| f(f64::from(*x))),
            Self::U16(v) => v.get(range).unwrap_or_default().iter().for_each(|x| f(f64::from(*x))),
            Self::I16(v) => v.get(range).unwrap_or_default().iter().for_each(|x| f(f64::from(*x))),
            Self::I32(v) => v.get(range).unwrap_or_default().iter().for_each(|x| f(f64::from(*x))),
            Self::I64(v) => v.get(range).unwrap_or_default().iter().for_each(|x| f(*x as f64)),
            Self::F32(v) => v.get(range).unwrap_or_default().iter().for_each(|x| f(f64::from(*x))),
            Self::F64(v) => v.get(range).unwrap_or_default().iter().for_each(|x| f(*x)),
        }
    }

    /// The number at `i` as text, whole numbers without a point; empty out of range or for NaN.
    pub fn text(&self, i: usize) -> String {
        let text = match self {
            Self::U8(v) => v.get(i).map(ToString::to_string),
            Self::U16(v) => v.get(i).map(ToString::to_string),
            Self::I16(v) => v.get(i).map(ToString::to_string),
            Self::I32(v) => v.get(i).map(ToString::to_string),
            Self::I64(v) => v.get(i).map(ToString::to_string),
            Self::F32(v) => v.get(i).filter(|x| !x.is_nan()).map(ToString::to_string),
            Self::F64(v) => v.get(i).filter(|x| !x.is_nan()).map(ToString::to_string),
        };
        text.unwrap_or_default()
    }

    /// Adds the little-endian bytes of a range to `out`.
    pub fn bytes(&self, range: Range<usize>, out: &mut Vec<u8>) {
        match self {
            Self::U8(v) => out.extend_from_slice(v.get(range).unwrap_or_default()),
            Self::U16(v) => v.get(range).unwrap_or_default().iter().for_each(|x| out.extend(x.to_le_bytes())),
            Self::I16(v) => v.get(range).unwrap_or_default().iter().for_each(|x| out.extend(x.to_le_bytes())),
            Self::I32(v) => v.get(range).unwrap_or_default().iter().for_each(|x| out.extend(x.to_le_bytes())),
            Self::I64(v) => v.get(range).unwrap_or_default().iter().for_each(|x| out.extend(x.to_le_bytes())),
            Self::F32(v) => v.get(range).unwrap_or_default().iter().for_each(|x| out.extend(x.to_le_bytes())),
            Self::F64(v) => v.get(range).unwrap_or_default().iter().for_each(|x| out.extend(x.to_le_bytes())),
        }
    }
}

/// An array in row-major order; the shape's product is the number of values, and no axis is empty.
#[derive(Debug, Clone, PartialEq)]
pub struct NdArray {
    /// The lengths of the axes; none for a single number.
    pub shape: Vec<usize>,
    /// The values.
    pub data: Numbers,
}

impl NdArray {
    /// How many rows: the length of the first axis, one for a single number.
    pub fn rows(&self) -> usize {
        self.shape.first().copied().unwrap_or(1)
    }

    /// The shape of a row: the axes but the first.
    pub fn row_shape(&self) -> &[usize] {
        self.shape.get(1..).unwrap_or_default()
    }

    /// How many values a row has.
    pub fn row_len(&self) -> usize {
        self.row_shape().iter().product()
    }

    /// Where row `i` lies in the values.
    pub fn row_range(&self, i: usize) -> Range<usize> {
        let w = self.row_len();
        i * w..(i + 1) * w
    }

    /// All values as 64-bit floats, row-major.
    pub fn to_f64(&self) -> Vec<f64> {
        let mut out = Vec::with_capacity(self.data.len());
        self.data.each(0..self.data.len(), |x| out.push(x));
        out
    }
}
