//! A tensor in a file: its name, type and shape, and where its numbers lie.

use super::dtype::Dtype;
use crate::error::{Error, Result};

/// As many dimensions a tensor may have.
pub(super) const MAX_RANK: usize = 8;

/// A tensor of a checkpoint, not read yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    name: String,
    dtype: Dtype,
    shape: Box<[usize]>,
    pub(super) place: Place,
}

/// Where the numbers of a tensor lie.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Place {
    /// Which of the checkpoint's files.
    pub(super) file: usize,
    /// The first byte of the first number.
    pub(super) start: u64,
    /// Numbers from one index to the next along each dimension; `None` where they follow each other row by row.
    pub(super) strides: Option<Box<[u64]>>,
}

impl Tensor {
    /// A tensor whose numbers follow each other.
    pub(super) fn dense(name: String, dtype: Dtype, shape: &[usize], file: usize, start: u64) -> Self {
        Self { name, dtype, shape: shape.into(), place: Place { file, start, strides: None } }
    }

    /// A view of `dtype` numbers into a storage, which lies at `start` and has `bytes`.
    ///
    /// # Errors
    /// [`Error::Model`] if the view leaves its storage, or has more numbers than it.
    pub(super) fn view(
        name: String,
        dtype: Dtype,
        view: &View,
        file: usize,
        (start, bytes): (u64, u64),
    ) -> Result<Self> {
        let held = bytes / dtype.bytes() as u64;
        let wrong = |what: &str| {
            Err(Error::model(what)
                .at(format!("the tensor \"{name}\""))
                .expected(format!("at most {held} numbers of type {dtype}"))
                .got(format!("the shape {:?}, strides {:?} from {}", view.shape, view.strides, view.offset)))
        };
        let Some((count, last)) = view.extent() else {
            return wrong("the tensor is larger than any memory");
        };
        if count > 0 && last >= held {
            return wrong("the tensor reaches beyond its storage");
        }
        if count > held {
            return wrong("the tensor repeats its storage")
                .map_err(|e| e.remedy("it is an expanded view: save tensor.contiguous() instead"));
        }
        // The last number lies in the storage, and so does the first; with no numbers the place means nothing.
        let start = if count == 0 { start } else { start + view.offset * dtype.bytes() as u64 };
        let strides = (count > 0 && !view.is_dense()).then(|| view.strides.as_slice().into());
        Ok(Self { name, dtype, shape: view.shape.as_slice().into(), place: Place { file, start, strides } })
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The type of its numbers in the file.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// The shape; empty for a single number.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// How many numbers it has.
    pub fn len(&self) -> usize {
        // Checked when it was made.
        self.shape.iter().product()
    }

    /// Which of the checkpoint's files it lies in.
    pub fn file(&self) -> usize {
        self.place.file
    }

    /// Whether its numbers follow each other in the file.
    pub fn is_dense(&self) -> bool {
        self.place.strides.is_none()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// How many numbers a shape has, if that can be counted.
pub(super) fn count(shape: &[usize]) -> Option<usize> {
    if shape.contains(&0) {
        return Some(0);
    }
    shape.iter().try_fold(1usize, |all, &n| all.checked_mul(n))
}

/// The shape of a tensor over a storage, in numbers and not bytes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct View {
    pub(super) offset: u64,
    pub(super) shape: Vec<usize>,
    pub(super) strides: Vec<u64>,
}

impl View {
    /// How many numbers there are, and the place of the last one in the storage.
    fn extent(&self) -> Option<(u64, u64)> {
        let count = count(&self.shape)?;
        let mut last = self.offset;
        for (&n, &stride) in self.shape.iter().zip(&self.strides) {
            last = last.checked_add((n as u64).saturating_sub(1).checked_mul(stride)?)?;
        }
        Some((count as u64, last))
    }

    fn is_dense(&self) -> bool {
        let mut step = 1;
        self.shape.iter().zip(&self.strides).rev().all(|(&n, &stride)| {
            let fits = n == 1 || stride == step;
            step *= n as u64;
            fits
        })
    }
}

/// The places of a tensor's numbers, row by row from number `from` on, counted in numbers from its first.
pub(super) fn places<'a>(
    shape: &'a [usize],
    strides: &'a [u64],
    from: usize,
) -> impl Iterator<Item = u64> + 'a {
    let mut index = vec![0usize; shape.len()];
    let mut rest = from;
    for (index, &n) in index.iter_mut().zip(shape).rev() {
        *index = rest % n.max(1);
        rest /= n.max(1);
    }
    let mut place: u64 = index.iter().zip(strides).map(|(&i, &stride)| i as u64 * stride).sum();
    std::iter::from_fn(move || {
        let now = place;
        for ((index, &n), &stride) in index.iter_mut().zip(shape).zip(strides).rev() {
            // A step beyond the end, which is taken back, may be larger than any place.
            *index += 1;
            place = place.wrapping_add(stride);
            if *index < n {
                break;
            }
            place = place.wrapping_sub((*index as u64).wrapping_mul(stride));
            *index = 0;
        }
        Some(now)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(offset: u64, shape: &[usize], strides: &[u64]) -> Result<Tensor> {
        let view = View { offset, shape: shape.to_vec(), strides: strides.to_vec() };
        Tensor::view("t".to_owned(), Dtype::F32, &view, 0, (100, 48))
    }

    #[test]
    fn views_stay_in_their_storage() {
        assert_eq!(view(0, &[3, 4], &[4, 1]).unwrap().place.strides, None);
        assert_eq!(view(0, &[3, 1, 4], &[4, 99, 1]).unwrap().place.strides, None);
        assert_eq!(view(4, &[2, 4], &[4, 1]).unwrap().place.start, 116);
        assert!(view(0, &[4, 3], &[1, 4]).unwrap().place.strides.is_some());
        assert!(view(99, &[0, 3], &[1, 4]).unwrap().is_empty());
        for (offset, shape, strides) in [
            (1, &[3, 4][..], &[4, 1][..]),
            (0, &[13], &[1]),
            (12, &[], &[]),
            (0, &[2], &[u64::MAX]),
            (u64::MAX, &[2], &[1]),
        ] {
            let error = view(offset, shape, strides).unwrap_err().to_string();
            assert!(error.contains("\"t\"") && error.contains("the tensor "), "{error}");
        }
        assert!(view(0, &[1 << 40], &[0]).unwrap_err().to_string().contains("expanded"));
        assert!(view(0, &[usize::MAX, 2], &[0, 0]).unwrap_err().to_string().contains("larger"));
    }

    #[test]
    fn places_go_row_by_row() {
        let all: Vec<u64> = places(&[2, 3], &[1, 2], 0).take(6).collect();
        assert_eq!(all, [0, 2, 4, 1, 3, 5]);
        let some: Vec<u64> = places(&[2, 3], &[1, 2], 4).take(2).collect();
        assert_eq!(some, [3, 5]);
        let far: Vec<u64> = places(&[1, 2], &[u64::MAX, 2], 0).take(3).collect();
        assert_eq!(far, [0, 2, 0]);
    }
}
