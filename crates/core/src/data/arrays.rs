//! Columns whose rows stand in arrays: images of bytes, vectors, sequences, sounds.

use sha2::{Digest, Sha256};

use super::gather::Stack;
use super::read::{NdArray, Numbers};
use super::spec::ColumnSpec;
use super::table::Places;
use crate::error::{Error, Result};
use crate::model::{Audios, Column, Field, Images, Kind, Sequences, Vectors};

/// A column over arrays in memory. Bytes stay bytes until they are read.
#[derive(Debug, Clone)]
pub(crate) struct ArrayColumn {
    stack: Stack,
    kind: Kind,
    /// Image: height, width, channels, by part. Vector: the shape. Sequence: the width. Audio: nothing.
    shapes: Vec<Vec<usize>>,
    /// Sequence: the values in each row that are steps; what follows them is padding.
    lengths: Vec<usize>,
    scale: f64,
    rate: u32,
}

impl ArrayColumn {
    /// Checks the arrays against what the column is to hold, and every number of the rows in use.
    ///
    /// A row of floats that are all NaN is absent; in a sequence, steps at the end that are all NaN are padding.
    ///
    /// # Errors
    /// [`Error::Data`] for another shape, another type, or a number that is not finite, with its place.
    pub(crate) fn new(
        name: &str,
        kind: Kind,
        spec: &ColumnSpec,
        stack: Stack,
        places: &Places,
    ) -> Result<(Self, Field)> {
        let mut shapes = Vec::with_capacity(stack.parts.len());
        for (array, file) in stack.parts.iter().zip(&stack.names) {
            shapes
                .push(row_shape(kind, spec, array).map_err(|e| e.at(format!("{file}: column \"{name}\"")))?);
        }
        let first = shapes.first().cloned().unwrap_or_default();
        let uniform = shapes.iter().all(|s| *s == first);
        if !uniform && matches!(kind, Kind::Vector | Kind::Sequence) {
            return Err(Error::data(format!("the rows of the column \"{name}\" have different shapes"))
                .at(stack.names.join(", "))
                .expected(format!("{first:?}"))
                .got(format!("{shapes:?}")));
        }
        let rate = match (kind, spec.rate) {
            (Kind::Audio, None) => {
                return Err(Error::argument(format!("the sounds of the column \"{name}\" need a rate"))
                    .expected("rate: Hz")
                    .remedy("bare samples do not say it"));
            }
            (Kind::Audio, Some(0)) => return Err(Error::argument("rate must be above 0").at(name)),
            (_, rate) => rate.unwrap_or(0),
        };
        let scale = spec.scale.unwrap_or(1.0);
        if !scale.is_finite() || scale == 0.0 {
            return Err(Error::argument("scale must be a finite number other than 0").at(name).got(scale));
        }
        if kind == Kind::Image && spec.scale.is_some() {
            return Err(Error::argument("images are bytes and take no scale")
                .at(name)
                .remedy("use type: vector, or the feature that normalizes images"));
        }
        let mut field = Field::new(name, kind);
        if uniform && kind != Kind::Audio {
            field.shape = first;
        }
        let mut column = Self { stack, kind, shapes, lengths: Vec::new(), scale, rate };
        column.check(name, places)?;
        if kind == Kind::Sequence {
            field.longest = column.longest();
        }
        Ok((column, field))
    }

    fn check(&mut self, name: &str, places: &Places) -> Result<()> {
        let mut row_values: Vec<f64> = Vec::new();
        let (mut lengths, mut absent) = (Vec::new(), Vec::new());
        for (row, at) in self.stack.at.iter().enumerate() {
            let mut length = 0;
            if let Some((part, index)) = *at {
                let Some(array) = self.stack.parts.get(part as usize) else {
                    return Err(Error::internal("a row points at no array"));
                };
                length = array.row_len();
                if array.data.is_float() {
                    row_values.clear();
                    array.data.each(array.row_range(index as usize), |x| row_values.push(x));
                    if self.kind == Kind::Sequence {
                        let width = self.width(part).max(1);
                        while length >= width
                            && row_values
                                .get(length - width..length)
                                .is_some_and(|s| s.iter().all(|x| x.is_nan()))
                        {
                            length -= width;
                        }
                    }
                    let all_nan = row_values.iter().all(|x| x.is_nan());
                    let bad =
                        row_values.iter().take(length).position(|x| !((x * self.scale) as f32).is_finite());
                    if all_nan {
                        absent.push(row);
                    } else if let Some(i) = bad {
                        return Err(Error::data(format!("a number of the column \"{name}\" is not finite"))
                            .at(format!(
                                "{} (row {index}, value {i})",
                                places_and_file(places, row, &self.stack, part)
                            ))
                            .expected(
                                "a finite number within the range of 32-bit floats, or a row of NaN alone",
                            )
                            .got(row_values.get(i).copied().unwrap_or(f64::NAN))
                            .remedy("fill it in beforehand; a row that is all NaN counts as absent"));
                    }
                }
            }
            if self.kind == Kind::Sequence {
                lengths.push(length);
            }
        }
        for row in absent {
            if let Some(at) = self.stack.at.get_mut(row) {
                *at = None;
            }
        }
        self.lengths = lengths;
        Ok(())
    }

    /// The most steps of a sequence that is there.
    fn longest(&self) -> usize {
        let rows = self.lengths.iter().zip(&self.stack.at).filter(|(_, at)| at.is_some());
        rows.map(|(length, _)| *length).max().unwrap_or(0) / self.width(0).max(1)
    }

    fn width(&self, part: u32) -> usize {
        self.shapes.get(part as usize).and_then(|s| s.last()).copied().unwrap_or(0)
    }

    fn row(&self, row: usize) -> Option<(u32, &NdArray, usize)> {
        let (part, index) = self.stack.at.get(row).copied().flatten()?;
        self.stack.parts.get(part as usize).map(|a| (part, a.as_ref(), index as usize))
    }

    /// How many rows are absent.
    pub(crate) fn absent(&self) -> usize {
        self.stack.at.iter().filter(|a| a.is_none()).count()
    }

    /// Adds what a row holds to its digest.
    pub(crate) fn digest(&self, row: usize, hash: &mut Sha256) {
        let Some((_, array, index)) = self.row(row) else {
            hash.update([0u8]);
            return;
        };
        let mut bytes = Vec::new();
        array.data.bytes(array.row_range(index), &mut bytes);
        hash.update([1u8]);
        hash.update(array.data.type_name().as_bytes());
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(&bytes);
    }

    fn values(&self, array: &NdArray, index: usize, out: &mut Vec<f32>) {
        // Sounds of whole numbers become [-1, 1], as those of WAV files do.
        let (zero, unit) = match (&array.data, self.kind) {
            (Numbers::U8(_), Kind::Audio) => (128.0, 128.0),
            (Numbers::I16(_), Kind::Audio) => (0.0, 32768.0),
            (Numbers::I32(_), Kind::Audio) => (0.0, 2_147_483_648.0),
            _ => (0.0, 1.0),
        };
        array.data.each(array.row_range(index), |x| out.push(((x - zero) / unit * self.scale) as f32));
    }

    /// Reads rows.
    pub(crate) fn read(&self, rows: &[usize]) -> Result<Column> {
        let mut values: Vec<f32> = Vec::new();
        Ok(match self.kind {
            Kind::Image => {
                let mut out = Images::default();
                for row in rows {
                    let Some((part, array, index)) = self.row(*row) else {
                        out.push_absent();
                        continue;
                    };
                    match (self.shapes.get(part as usize).map(Vec::as_slice), &array.data) {
                        (Some(&[h, w, c]), Numbers::U8(bytes)) => {
                            out.push([h, w, c], bytes.get(array.row_range(index)).unwrap_or_default())?;
                        }
                        _ => return Err(Error::internal("an image that is no bytes")),
                    }
                }
                Column::Image(out)
            }
            Kind::Audio => {
                let mut out = Audios::default();
                for row in rows {
                    match self.row(*row) {
                        Some((_, array, index)) => {
                            values.clear();
                            self.values(array, index, &mut values);
                            out.push(self.rate, &values);
                        }
                        None => out.push_absent(),
                    }
                }
                Column::Audio(out)
            }
            Kind::Sequence => {
                let mut out = Sequences::new(self.width(0));
                for row in rows {
                    match self.row(*row) {
                        Some((_, array, index)) => {
                            values.clear();
                            self.values(array, index, &mut values);
                            values.truncate(self.lengths.get(*row).copied().unwrap_or(0));
                            out.push(&values)?;
                        }
                        None => out.push_absent(),
                    }
                }
                Column::Sequence(out)
            }
            _ => {
                let shape = self.shapes.first().cloned().unwrap_or_default();
                let width: usize = shape.iter().product();
                values.reserve(rows.len() * width);
                for row in rows {
                    match self.row(*row) {
                        Some((_, array, index)) => self.values(array, index, &mut values),
                        None => values.resize(values.len() + width, 0.0),
                    }
                }
                let absent = rows.iter().map(|r| self.row(*r).is_none()).collect();
                Column::Vector(Vectors { shape, data: values, absent })
            }
        })
    }
}

fn places_and_file(places: &Places, row: usize, stack: &Stack, part: u32) -> String {
    let file = stack.names.get(part as usize).map_or("", String::as_str);
    let place = places.of(row);
    if place.starts_with(file) || file.is_empty() { place } else { format!("{place}: {file}") }
}

/// What a row of the array is for a column of the kind.
fn row_shape(kind: Kind, spec: &ColumnSpec, array: &NdArray) -> Result<Vec<usize>> {
    let there = array.row_shape();
    let misfit = |expected: &str| {
        Err(Error::data(format!("the array does not hold one {} a row", kind.name()))
            .expected(expected)
            .got(format!("{:?} of {}", array.shape, array.data.type_name())))
    };
    if array.shape.is_empty() {
        return misfit("an array whose first axis is the row");
    }
    let declared: &[usize] = &spec.shape;
    if !declared.is_empty()
        && declared.iter().try_fold(1usize, |a, b| a.checked_mul(*b)) != Some(array.row_len())
    {
        return Err(Error::data("shape does not fit the array")
            .expected(format!("{} values a row", array.row_len()))
            .got(format!("{declared:?}")));
    }
    let shape = if declared.is_empty() { there } else { declared };
    match kind {
        Kind::Image if !matches!(array.data, Numbers::U8(_)) => {
            misfit("bytes (uint8); read other numbers as type: vector")
        }
        Kind::Image => match *shape {
            [h, w] => Ok(vec![h, w, 1]),
            [h, w, c] => Ok(vec![h, w, c]),
            _ => misfit(
                "[rows, height, width] or [rows, height, width, channels]; or give shape: [height, width]",
            ),
        },
        Kind::Vector => Ok(if shape.is_empty() { vec![1] } else { shape.to_vec() }),
        Kind::Sequence => match *shape {
            [_] => Ok(vec![1]),
            [_, width] => Ok(vec![width]),
            _ => misfit("[rows, steps] or [rows, steps, width]"),
        },
        Kind::Audio => match (there.len(), &array.data) {
            (1, Numbers::U8(_) | Numbers::I16(_) | Numbers::I32(_) | Numbers::F32(_) | Numbers::F64(_)) => {
                Ok(Vec::new())
            }
            _ => misfit("[rows, samples] of floats in [-1, 1], uint8, int16 or int32"),
        },
        Kind::Number | Kind::Category | Kind::Text => misfit("one entry a row"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn stack(shape: &[usize], data: Numbers, at: Vec<Option<(u32, u32)>>) -> Stack {
        let array = NdArray { shape: shape.to_vec(), data };
        Stack { parts: vec![Arc::new(array)], names: vec!["a.npy".to_owned()], at }
    }

    fn made(kind: Kind, spec: &ColumnSpec, s: Stack) -> Result<(ArrayColumn, Field)> {
        let places = Places::rows("t.csv", s.at.len());
        ArrayColumn::new("x", kind, spec, s, &places)
    }

    #[test]
    fn bytes_are_scaled_when_read() {
        let spec = ColumnSpec { scale: Some(0.5), shape: vec![1, 2], ..ColumnSpec::default() };
        let s = stack(&[2, 2], Numbers::U8(vec![2, 4, 6, 8]), vec![Some((0, 1)), None]);
        let (column, field) = made(Kind::Vector, &spec, s).unwrap();
        assert_eq!(field.shape, [1, 2]);
        let Column::Vector(v) = column.read(&[1, 0]).unwrap() else { panic!() };
        assert_eq!((v.data, v.absent.marks()), (vec![0.0, 0.0, 3.0, 4.0], &[true, false][..]));
    }

    #[test]
    fn images_are_bytes_of_a_height_and_width() {
        let spec = ColumnSpec::default();
        let at = vec![Some((0, 0))];
        let (column, field) =
            made(Kind::Image, &spec, stack(&[1, 2, 1], Numbers::U8(vec![2, 4]), at.clone())).unwrap();
        assert_eq!(field.shape, [2, 1, 1]);
        let Column::Image(i) = column.read(&[0]).unwrap() else { panic!() };
        assert_eq!(i.get(0), Some(([2, 1, 1], &[2u8, 4][..])));
        let flat = stack(&[1, 4], Numbers::U8(vec![0; 4]), at.clone());
        assert!(made(Kind::Image, &spec, flat.clone()).is_err());
        let square = ColumnSpec { shape: vec![2, 2], ..ColumnSpec::default() };
        assert_eq!(made(Kind::Image, &square, flat.clone()).unwrap().1.shape, [2, 2, 1]);
        let wrong = ColumnSpec { shape: vec![3, 2], ..ColumnSpec::default() };
        assert!(made(Kind::Image, &wrong, flat).unwrap_err().to_string().contains("4 values a row"));
        let floats = stack(&[1, 2, 2], Numbers::F32(vec![0.0; 4]), at);
        assert!(made(Kind::Image, &spec, floats).unwrap_err().to_string().contains("uint8"));
    }

    #[test]
    fn rows_of_nan_are_absent_and_single_nans_are_errors() {
        let spec = ColumnSpec::default();
        let (nan, inf) = (f32::NAN, f32::INFINITY);
        let both = vec![Some((0, 0)), Some((0, 1))];
        let s = stack(&[2, 2], Numbers::F32(vec![nan, nan, 1.0, 2.0]), both.clone());
        assert_eq!(made(Kind::Vector, &spec, s).unwrap().0.absent(), 1);
        for bad in [nan, inf] {
            let s = stack(&[2, 2], Numbers::F32(vec![1.0, 1.0, 1.0, bad]), both.clone());
            let error = made(Kind::Vector, &spec, s).unwrap_err().to_string();
            assert!(error.contains("row 1") && error.contains("a.npy (row 1, value 1)"), "{error}");
        }
        let s = stack(&[1, 1], Numbers::F64(vec![1e300]), vec![Some((0, 0))]);
        assert!(made(Kind::Vector, &spec, s).is_err());
    }

    #[test]
    fn sequences_lose_their_padding_and_sounds_need_a_rate() {
        let nan = f64::NAN;
        let s = stack(&[2, 2, 1], Numbers::F64(vec![1.0, nan, 2.0, 3.0]), vec![Some((0, 0)), Some((0, 1))]);
        let (column, field) = made(Kind::Sequence, &ColumnSpec::default(), s).unwrap();
        assert_eq!((field.shape.as_slice(), field.longest), (&[1][..], 2));
        let Column::Sequence(seq) = column.read(&[0, 1]).unwrap() else { panic!() };
        assert_eq!((seq.get(0), seq.get(1)), (Some(&[1.0f32][..]), Some(&[2.0f32, 3.0][..])));
        let sound = stack(&[1, 2], Numbers::I16(vec![16384, -32768]), vec![Some((0, 0))]);
        assert_eq!(made(Kind::Audio, &ColumnSpec::default(), sound.clone()).unwrap_err().exit_code(), 2);
        let spec = ColumnSpec { rate: Some(8000), ..ColumnSpec::default() };
        let Column::Audio(a) = made(Kind::Audio, &spec, sound).unwrap().0.read(&[0]).unwrap() else {
            panic!()
        };
        assert_eq!(a.get(0), Some((8000, &[0.5f32, -1.0][..])));
    }
}
