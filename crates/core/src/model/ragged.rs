//! Columns whose rows are arrays. Ragged ones keep all rows in one buffer with offsets; an absent row has no payload.

use super::mask::Mask;
use crate::error::{Error, Result};

/// Where each row lies in a shared buffer: `offsets[r]..offsets[r + 1]`.
fn push_offset(offsets: &mut Vec<usize>, len: usize) {
    let last = offsets.last().copied().unwrap_or(0);
    offsets.push(last + len);
}

/// Images of bytes, rows top to bottom, pixels left to right, channels innermost.
#[derive(Debug, Clone, PartialEq)]
pub struct Images {
    shapes: Vec<[usize; 3]>,
    offsets: Vec<usize>,
    data: Vec<u8>,
    absent: Mask,
}

impl Default for Images {
    fn default() -> Self {
        Self { shapes: Vec::new(), offsets: vec![0], data: Vec::new(), absent: Mask::default() }
    }
}

impl Images {
    /// Adds an image of `[height, width, channels]`.
    ///
    /// # Errors
    /// [`Error::Data`] if the buffer does not fit the shape.
    pub fn push(&mut self, shape: [usize; 3], pixels: &[u8]) -> Result<()> {
        let size = shape.iter().try_fold(1usize, |a, b| a.checked_mul(*b));
        if size != Some(pixels.len()) {
            return Err(Error::data("an image has the wrong number of bytes")
                .expected(format!("{shape:?}"))
                .got(format!("{} bytes", pixels.len())));
        }
        self.shapes.push(shape);
        self.data.extend_from_slice(pixels);
        push_offset(&mut self.offsets, pixels.len());
        self.absent.push(false);
        Ok(())
    }

    /// Adds a row without an image.
    pub fn push_absent(&mut self) {
        self.shapes.push([0; 3]);
        push_offset(&mut self.offsets, 0);
        self.absent.push(true);
    }

    /// How many rows.
    pub fn len(&self) -> usize {
        self.shapes.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.shapes.is_empty()
    }

    /// The shape and bytes of a row; `None` if absent or out of range.
    pub fn get(&self, row: usize) -> Option<([usize; 3], &[u8])> {
        if row >= self.len() || self.absent.is_set(row) {
            return None;
        }
        Some((self.shapes[row], &self.data[self.offsets[row]..self.offsets[row + 1]]))
    }

    /// The bytes of a row, to change in place.
    pub fn get_mut(&mut self, row: usize) -> Option<([usize; 3], &mut [u8])> {
        if row >= self.len() || self.absent.is_set(row) {
            return None;
        }
        Some((self.shapes[row], &mut self.data[self.offsets[row]..self.offsets[row + 1]]))
    }

    /// The rows without an image.
    pub fn absent(&self) -> &Mask {
        &self.absent
    }

    /// The shape that all images share, if they do.
    pub fn uniform_shape(&self) -> Option<[usize; 3]> {
        let mut shapes = (0..self.len()).filter_map(|r| self.get(r)).map(|(s, _)| s);
        let first = shapes.next()?;
        shapes.all(|s| s == first).then_some(first)
    }
}

/// Sounds: one channel, samples in [-1, 1], each row with its rate in Hz.
#[derive(Debug, Clone, PartialEq)]
pub struct Audios {
    rates: Vec<u32>,
    offsets: Vec<usize>,
    samples: Vec<f32>,
    absent: Mask,
}

impl Default for Audios {
    fn default() -> Self {
        Self { rates: Vec::new(), offsets: vec![0], samples: Vec::new(), absent: Mask::default() }
    }
}

impl Audios {
    /// Adds a sound.
    pub fn push(&mut self, rate: u32, samples: &[f32]) {
        self.rates.push(rate);
        self.samples.extend_from_slice(samples);
        push_offset(&mut self.offsets, samples.len());
        self.absent.push(false);
    }

    /// Adds a row without a sound.
    pub fn push_absent(&mut self) {
        self.rates.push(0);
        push_offset(&mut self.offsets, 0);
        self.absent.push(true);
    }

    /// How many rows.
    pub fn len(&self) -> usize {
        self.rates.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rates.is_empty()
    }

    /// The rate and samples of a row; `None` if absent or out of range.
    pub fn get(&self, row: usize) -> Option<(u32, &[f32])> {
        if row >= self.len() || self.absent.is_set(row) {
            return None;
        }
        Some((self.rates[row], &self.samples[self.offsets[row]..self.offsets[row + 1]]))
    }

    /// The samples of a row, to change in place.
    pub fn get_mut(&mut self, row: usize) -> Option<(u32, &mut [f32])> {
        if row >= self.len() || self.absent.is_set(row) {
            return None;
        }
        Some((self.rates[row], &mut self.samples[self.offsets[row]..self.offsets[row + 1]]))
    }

    /// The rows without a sound.
    pub fn absent(&self) -> &Mask {
        &self.absent
    }
}

/// Rows of one fixed shape. The buffer is dense, zero where a row is absent; readers must ask the mask.
#[derive(Debug, Clone, PartialEq)]
pub struct Vectors {
    /// The shape of a row, e.g. `[features]` or `[channels, height, width]`.
    pub shape: Vec<usize>,
    /// All rows, row-major: `rows * shape.product()` values.
    pub data: Vec<f32>,
    /// The rows without a vector.
    pub absent: Mask,
}

impl Vectors {
    /// Rows of `shape`, all present.
    ///
    /// # Errors
    /// [`Error::Data`] if the buffer is not a whole number of rows.
    pub fn new(shape: Vec<usize>, data: Vec<f32>) -> Result<Self> {
        let width: usize = shape.iter().product();
        if width == 0 || !data.len().is_multiple_of(width) {
            return Err(Error::data("the numbers do not fill whole rows")
                .expected(format!("a multiple of {width} for rows of shape {shape:?}"))
                .got(data.len()));
        }
        let rows = data.len() / width;
        Ok(Self { shape, data, absent: Mask::none(rows) })
    }

    /// Values in a row.
    pub fn width(&self) -> usize {
        self.shape.iter().product()
    }

    /// How many rows.
    pub fn len(&self) -> usize {
        self.absent.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.absent.is_empty()
    }

    /// A row; `None` if absent or out of range.
    pub fn get(&self, row: usize) -> Option<&[f32]> {
        if row >= self.len() || self.absent.is_set(row) {
            return None;
        }
        let w = self.width();
        self.data.get(row * w..(row + 1) * w)
    }
}

/// Rows of any number of steps, each step of one width.
#[derive(Debug, Clone, PartialEq)]
pub struct Sequences {
    width: usize,
    offsets: Vec<usize>,
    data: Vec<f32>,
    absent: Mask,
}

impl Sequences {
    /// No rows yet; steps of `width` values.
    pub fn new(width: usize) -> Self {
        Self { width, offsets: vec![0], data: Vec::new(), absent: Mask::default() }
    }

    /// Adds a row of steps.
    ///
    /// # Errors
    /// [`Error::Data`] if the values are not a whole number of steps.
    pub fn push(&mut self, steps: &[f32]) -> Result<()> {
        if self.width == 0 || !steps.len().is_multiple_of(self.width) {
            return Err(Error::data("a sequence does not hold whole steps")
                .expected(format!("a multiple of {}", self.width))
                .got(steps.len()));
        }
        self.data.extend_from_slice(steps);
        push_offset(&mut self.offsets, steps.len());
        self.absent.push(false);
        Ok(())
    }

    /// Adds a row without a sequence.
    pub fn push_absent(&mut self) {
        push_offset(&mut self.offsets, 0);
        self.absent.push(true);
    }

    /// Values in a step.
    pub fn width(&self) -> usize {
        self.width
    }

    /// How many rows.
    pub fn len(&self) -> usize {
        self.absent.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.absent.is_empty()
    }

    /// The steps of a row, `[steps, width]` row-major; `None` if absent or out of range.
    pub fn get(&self, row: usize) -> Option<&[f32]> {
        if row >= self.len() || self.absent.is_set(row) {
            return None;
        }
        Some(&self.data[self.offsets[row]..self.offsets[row + 1]])
    }

    /// The rows without a sequence.
    pub fn absent(&self) -> &Mask {
        &self.absent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_rows_have_no_payload() {
        let mut images = Images::default();
        images.push([1, 2, 1], &[3, 4]).unwrap();
        images.push_absent();
        images.push([1, 1, 1], &[9]).unwrap();
        assert_eq!(images.get(0), Some(([1, 2, 1], &[3u8, 4][..])));
        assert_eq!(images.get(1), None);
        assert_eq!(images.get(2), Some(([1, 1, 1], &[9u8][..])));
        assert_eq!(images.uniform_shape(), None);
        assert!(images.push([2, 2, 1], &[1]).is_err());
        let mut audio = Audios::default();
        audio.push_absent();
        audio.push(8000, &[0.5]);
        assert_eq!(audio.get(1), Some((8000, &[0.5f32][..])));
        let mut steps = Sequences::new(2);
        steps.push(&[1.0, 2.0, 3.0, 4.0]).unwrap();
        steps.push_absent();
        assert_eq!(steps.get(0).map(<[f32]>::len), Some(4));
        assert!(steps.push(&[1.0]).is_err());
    }
}
