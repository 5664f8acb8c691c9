//! Rows of a table, drawn together bag by bag.
//!
//! The gradient of a row of the table is made by one thread, from its uses in their order.

use std::ops::Range;
use std::sync::Arc;

use consilience_core::{Error, Result};
use rayon::prelude::*;

use super::built_in;
use super::simd::wide;
use crate::backend::{self, Host, Operator, Saved, Tensor};

/// Rows in a piece of parallel work hold about this many numbers.
const PIECE: usize = 1 << 14;

/// Which rows of a table are drawn together.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Bags {
    /// The rows of the table, bag after bag; one may come up several times.
    pub indices: Vec<usize>,
    /// Where in `indices` each bag begins, the first at zero; the last bag goes to the end. A bag may be empty.
    pub offsets: Vec<usize>,
    /// A factor for each index, for [`Together::Sum`] alone.
    pub weights: Option<Vec<f32>>,
}

/// How the rows of a bag become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Together {
    /// Their sum, with the weights as factors.
    Sum,
    /// Their mean.
    Mean,
    /// The largest of each column; the first of several takes the gradient. What is not a number is the largest.
    Largest,
}

/// `y_b = sum_{i in bag b} w_i table[indices_i]`, or the mean or the largest of these rows; an empty bag gives zeros. Only the
/// table takes a gradient, a dense one.
///
/// # Shapes
/// `table [words, width]` to `[bags, width]`.
///
/// # Errors
/// [`Error::Argument`] if an index is not a row of the table, the offsets do not begin at zero, fall or go beyond the indices,
/// or there are weights and they are not one an index or the rows are not summed.
///
/// # Reference
/// Joulin et al. (2017), "Bag of tricks for efficient text classification".
pub fn embedding_bag(table: Tensor<2>, bags: Bags, together: Together) -> Result<Tensor<2>> {
    let [words, _] = table.dims();
    check(&bags, words, together)?;
    if backend::elsewhere() {
        return Ok(built_in::embedding_bag(table, &bags, together));
    }
    Ok(backend::operate(Arc::new(EmbeddingBag { bags, together }), [table.into()]))
}

fn check(bags: &Bags, words: usize, together: Together) -> Result<()> {
    let Bags { indices, offsets, weights } = bags;
    if let Some((at, bad)) = indices.iter().enumerate().find(|(_, i)| **i >= words) {
        let wrong = Error::argument("an index is not a row of the table").at(format!("index number {at}"));
        return Err(wrong.expected(format!("less than {words}")).got(bad));
    }
    // Marks of the largest hold 32 bits.
    if u32::try_from(indices.len()).is_err() {
        return Err(Error::argument("bags hold too many indices").expected("below 2^32").got(indices.len()));
    }
    let first = offsets.first().copied().unwrap_or(indices.len());
    if first != 0 {
        let wrong = Error::argument("indices lie in no bag: the first bag begins at the first of them");
        return Err(wrong.expected("an offset of 0").got(first));
    }
    let ends = offsets.iter().copied().skip(1).chain([indices.len()]);
    if let Some((start, end)) = offsets.iter().zip(ends).find(|(start, end)| *start > end) {
        let wrong = Error::argument("an offset lies beyond the next one, or beyond the indices");
        return Err(wrong.expected(format!("{end} at most")).got(start));
    }
    let Some(weights) = weights else { return Ok(()) };
    if together != Together::Sum {
        return Err(Error::argument("only sums of rows take weights").got(format!("{together:?}")));
    }
    if weights.len() != indices.len() {
        let wrong = Error::argument("bags have a weight for each index");
        return Err(wrong.expected(indices.len()).got(weights.len()));
    }
    Ok(())
}

#[derive(Debug)]
struct EmbeddingBag {
    bags: Bags,
    together: Together,
}

impl EmbeddingBag {
    /// Where the indices of a bag lie.
    fn bag(&self, bag: usize) -> Range<usize> {
        let Bags { indices, offsets, .. } = &self.bags;
        offsets[bag]..offsets.get(bag + 1).copied().unwrap_or(indices.len())
    }

    /// The factor of an index in its bag.
    fn factor(&self, index: usize, bag: &Range<usize>) -> f32 {
        match (self.together, &self.bags.weights) {
            (Together::Mean, _) => 1.0 / bag.len() as f32,
            (_, Some(weights)) => weights[index],
            (_, None) => 1.0,
        }
    }

    /// Each row of the table's uses, as numbers of indices: those of row `w` are `uses[starts[w]..starts[w + 1]]`, in order.
    fn uses(&self, words: usize) -> (Vec<usize>, Vec<usize>) {
        let mut starts = vec![0; words + 1];
        self.bags.indices.iter().for_each(|w| starts[w + 1] += 1);
        for w in 0..words {
            starts[w + 1] += starts[w];
        }
        let (mut next, mut uses) = (starts.clone(), vec![0; self.bags.indices.len()]);
        for (index, w) in self.bags.indices.iter().enumerate() {
            uses[next[*w]] = index;
            next[*w] += 1;
        }
        (starts, uses)
    }
}

/// Words and width of a table.
fn sizes(table: &Host) -> (usize, usize) {
    let shape = table.shape();
    (shape.first().copied().unwrap_or(0), shape.get(1).copied().unwrap_or(0))
}

impl Operator for EmbeddingBag {
    fn forward(&self, inputs: &[Host], save: bool) -> (Host, Saved) {
        let [table] = inputs else { return Default::default() };
        let (_, width) = sizes(table);
        let bags = self.bags.offsets.len();
        let lot = (PIECE / width.max(1)).max(1);
        let mut out = vec![0.0f32; bags * width];
        // For each largest number the index that it is from.
        let mut from = vec![0u32; if save && self.together == Together::Largest { out.len() } else { 0 }];
        let places: Vec<&mut [u32]> = match from.is_empty() {
            false => from.chunks_mut(lot * width).collect(),
            true => (0..bags.div_ceil(lot)).map(|_| &mut [][..]).collect(),
        };
        out.par_chunks_mut((lot * width).max(1)).zip(places).enumerate().for_each(
            |(piece, (out, places))| {
                let mut places = places.chunks_exact_mut(width.max(1));
                for (b, out) in out.chunks_exact_mut(width.max(1)).enumerate() {
                    let bag = self.bag(piece * lot + b);
                    let places = places.next().unwrap_or(&mut []);
                    for index in bag.clone() {
                        let row = &table.numbers()[self.bags.indices[index] * width..][..width];
                        wide(
                            #[inline(always)]
                            || match self.together {
                                Together::Largest => {
                                    take_largest(out, row, places, index, index == bag.start)
                                }
                                _ => add(out, row, self.factor(index, &bag)),
                            },
                        );
                    }
                }
            },
        );
        let marks = from.iter().flat_map(|p| p.to_le_bytes()).collect();
        (Host::new(out, [bags, width]), Saved { hosts: Vec::new(), marks })
    }

    fn backward(&self, inputs: &[Host], saved: &Saved, gradient: &Host, _: &[bool]) -> Vec<Option<Host>> {
        let [table] = inputs else { return Vec::new() };
        let (words, width) = sizes(table);
        let (starts, uses) = self.uses(words);
        let mut bag_of = vec![0; self.bags.indices.len()];
        for bag in 0..self.bags.offsets.len() {
            bag_of[self.bag(bag)].fill(bag);
        }
        let (places, _) = saved.marks.as_chunks::<4>();
        let lot = (PIECE / width.max(1)).max(1);
        let mut out = vec![0.0f32; table.numbers().len()];
        out.par_chunks_mut((lot * width).max(1)).enumerate().for_each(|(piece, out)| {
            for (w, out) in out.chunks_exact_mut(width.max(1)).enumerate() {
                let word = piece * lot + w;
                for index in &uses[starts[word]..starts[word + 1]] {
                    let bag = bag_of[*index];
                    let g = &gradient.numbers()[bag * width..][..width];
                    wide(
                        #[inline(always)]
                        || match self.together {
                            Together::Largest => {
                                add_where(out, g, &places[bag * width..][..width], *index);
                            }
                            _ => add(out, g, self.factor(*index, &self.bag(bag))),
                        },
                    );
                }
            }
        });
        vec![Some(Host::new(out, table.shape()))]
    }
}

#[inline(always)]
fn add(out: &mut [f32], row: &[f32], factor: f32) {
    for (y, v) in out.iter_mut().zip(row) {
        *y += factor * v;
    }
}

/// Keeps the larger of each column, and where somebody asks for it the index that it is from.
#[inline(always)]
fn take_largest(out: &mut [f32], row: &[f32], places: &mut [u32], index: usize, first: bool) {
    for (k, (y, v)) in out.iter_mut().zip(row).enumerate() {
        if first || *v > *y || (v.is_nan() && !y.is_nan()) {
            *y = *v;
            if let Some(place) = places.get_mut(k) {
                *place = index as u32;
            }
        }
    }
}

#[inline(always)]
fn add_where(out: &mut [f32], gradient: &[f32], places: &[[u8; 4]], index: usize) {
    for ((y, g), place) in out.iter_mut().zip(gradient).zip(places) {
        if u32::from_le_bytes(*place) as usize == index {
            *y += g;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::reference::{differences, numbers, wide as f64s};

    fn plain(operator: &EmbeddingBag, table: &[f64], width: usize) -> Vec<f64> {
        let Bags { indices, offsets, weights } = &operator.bags;
        let mut out = Vec::new();
        for (b, start) in offsets.iter().enumerate() {
            let end = offsets.get(b + 1).copied().unwrap_or(indices.len());
            for k in 0..width {
                let drawn: Vec<f64> = (*start..end)
                    .map(|i| {
                        weights.as_ref().map_or(1.0, |w| f64::from(w[i])) * table[indices[i] * width + k]
                    })
                    .collect();
                out.push(match operator.together {
                    _ if drawn.is_empty() => 0.0,
                    Together::Sum => drawn.iter().sum(),
                    Together::Mean => drawn.iter().sum::<f64>() / drawn.len() as f64,
                    Together::Largest => drawn.iter().copied().fold(f64::NEG_INFINITY, f64::max),
                });
            }
        }
        out
    }

    fn bags(weights: bool) -> Bags {
        // The first and the last bag are empty, the third holds a word twice.
        let indices = vec![3, 0, 6, 2, 2, 5, 6];
        let weights = weights.then(|| numbers(indices.len(), 7));
        Bags { indices, offsets: vec![0, 0, 3, 6, 7], weights }
    }

    #[test]
    fn values_and_gradients_are_the_plain_ones() {
        let (words, together) = (7, [Together::Sum, Together::Mean, Together::Largest]);
        for width in [1, 5, 40] {
            let all = together.map(|t| (bags(false), t)).into_iter().chain([(bags(true), Together::Sum)]);
            for (bags, together) in all {
                check(&bags, words, together).unwrap();
                let operator = EmbeddingBag { bags, together };
                let table = [Host::new(numbers(words * width, 1), [words, width])];
                let (out, _) = operator.forward(&table, false);
                assert_eq!(out.shape(), [5, width]);
                for (a, e) in out.numbers().iter().zip(plain(&operator, &f64s(table[0].numbers()), width)) {
                    assert!((f64::from(*a) - e).abs() < 1e-6, "{together:?}: {a} {e}");
                }
                let apart = differences(&operator, &table, |x| plain(&operator, &x[0], width));
                assert_eq!(apart, 0, "{together:?}");
            }
        }
    }

    #[test]
    fn many_bags_and_words_in_several_pieces_are_the_plain_ones() {
        let (words, width, count) = (3000, 9, 4000);
        let indices = (0..2 * count).map(|i| i * 7919 % words).collect();
        let bags = Bags { indices, offsets: (0..count).map(|b| 2 * b).collect(), weights: None };
        for together in [Together::Mean, Together::Largest] {
            let operator = EmbeddingBag { bags: bags.clone(), together };
            let table = [Host::new(numbers(words * width, 1), [words, width])];
            let (out, _) = operator.forward(&table, false);
            for (a, e) in out.numbers().iter().zip(plain(&operator, &f64s(table[0].numbers()), width)) {
                assert!((f64::from(*a) - e).abs() < 1e-6, "{together:?}: {a} {e}");
            }
            assert_eq!(differences(&operator, &table, |x| plain(&operator, &x[0], width)), 0);
        }
    }

    #[test]
    fn what_is_not_a_number_stays_and_takes_the_gradient() {
        let bags = Bags { indices: vec![1, 0, 1, 1], offsets: vec![0, 3], weights: None };
        let operator = EmbeddingBag { bags, together: Together::Largest };
        let table = [Host::new(vec![f32::NAN, 1.0, 5.0, f32::NEG_INFINITY], [2, 2])];
        let (out, saved) = operator.forward(&table, true);
        assert!(out.numbers()[0].is_nan());
        assert_eq!(out.numbers()[1..], [1.0, 5.0, f32::NEG_INFINITY]);
        let got = operator.backward(&table, &saved, &Host::new(vec![1.0, 2.0, 3.0, 4.0], [2, 2]), &[true]);
        assert_eq!(got[0].as_ref().unwrap().numbers(), [1.0, 2.0, 3.0, 4.0]);
    }

    #[test]
    fn what_does_not_fit_is_an_error_and_nothing_at_all_is_fine() {
        let table = || backend::zeros([4, 2]);
        let bag = |indices: &[usize], offsets: &[usize], weights: Option<Vec<f32>>| Bags {
            indices: indices.to_vec(),
            offsets: offsets.to_vec(),
            weights,
        };
        let wrong = [
            (bag(&[0, 4], &[0], None), Together::Sum),
            (bag(&[0, 1], &[], None), Together::Sum),
            (bag(&[0, 1], &[1], None), Together::Sum),
            (bag(&[0, 1], &[0, 2, 1], None), Together::Sum),
            (bag(&[0, 1], &[0, 3], None), Together::Sum),
            (bag(&[0, 1], &[0], Some(vec![1.0])), Together::Sum),
            (bag(&[0, 1], &[0], Some(vec![1.0; 2])), Together::Mean),
        ];
        for (bags, together) in wrong {
            let result = embedding_bag(table(), bags.clone(), together);
            assert!(matches!(result, Err(Error::Argument(_))), "{bags:?}");
        }
        assert_eq!(embedding_bag(table(), bag(&[], &[], None), Together::Mean).unwrap().dims(), [0, 2]);
        let none = embedding_bag(table(), bag(&[], &[0, 0], None), Together::Largest).unwrap();
        assert_eq!(backend::read(none).unwrap(), [0.0; 4]);
    }
}
