//! Inner products of the members of a tensor with each other: all that methods on spheres need to know.

use consilience_core::{Error, Result};

use crate::kernels::wide;
use crate::work::{Block, Cut, Work};

/// Sums run in so many lanes, which are added in order: the same for every instruction set.
const LANES: usize = 16;

/// Inner products of all members, or of all deltas, in 64 bits.
#[derive(Debug, Clone, PartialEq)]
pub struct Gram {
    count: usize,
    /// Row by row, the lower triangle.
    products: Vec<f64>,
}

impl Gram {
    /// The products of the members of one block.
    pub fn of(block: &Block<'_>) -> Self {
        Self::of_all(block.members)
    }

    /// The products of some lists of numbers.
    pub fn of_all(all: &[&[f32]]) -> Self {
        let count = all.len();
        let products = match all {
            [a, b] => together::<2, 3>([a, b]).to_vec(),
            [a, b, c] => together::<3, 6>([a, b, c]).to_vec(),
            [a, b, c, d] => together::<4, 10>([a, b, c, d]).to_vec(),
            _ => {
                all.iter().enumerate().flat_map(|(i, a)| all.iter().take(i + 1).map(|b| dot(a, b))).collect()
            }
        };
        Self { count, products }
    }

    /// How many members.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The inner product of members `i` and `j`.
    pub fn dot(&self, i: usize, j: usize) -> f64 {
        let (a, b) = (i.max(j), i.min(j));
        self.products.get(a * (a + 1) / 2 + b).copied().unwrap_or(f64::NAN)
    }

    /// The length of member `i`.
    pub fn norm(&self, i: usize) -> f64 {
        self.dot(i, i).max(0.0).sqrt()
    }

    /// The cosine between members `i` and `j`; `None` where one of them is zero.
    pub fn cosine(&self, i: usize, j: usize) -> Option<f64> {
        let product = self.norm(i) * self.norm(j);
        (product > 0.0).then(|| (self.dot(i, j) / product).clamp(-1.0, 1.0))
    }

    /// The inner product of `sum_i a_i x_i` with `sum_j b_j x_j`. Of members of weight zero nothing is known.
    pub fn between(&self, a: &[f64], b: &[f64]) -> f64 {
        let mut sum = 0.0;
        for (i, a) in a.iter().enumerate().filter(|(_, a)| **a != 0.0) {
            for (j, b) in b.iter().enumerate().filter(|(_, b)| **b != 0.0) {
                sum += a * b * self.dot(i, j);
            }
        }
        sum
    }

    /// The length of `sum_i weights_i x_i`.
    pub fn length(&self, weights: &[f64]) -> f64 {
        self.between(weights, weights).max(0.0).sqrt()
    }

    /// Checks that members, or what they added to the base, hold finite numbers: those that `used` names.
    ///
    /// # Errors
    /// [`Error::Model`] naming the member.
    pub fn finite(&self, work: &Work<'_>, used: impl Fn(usize) -> bool) -> Result<()> {
        match (0..self.count).find(|i| used(*i) && !self.dot(*i, *i).is_finite()) {
            None => Ok(()),
            Some(i) => {
                let base = if work.base.is_some() { ", or the base" } else { "" };
                Err(not_finite(format!("member \"{}\"{base}", work.labels.get(i).unwrap_or(&""))))
            }
        }
    }

    /// Adds the products of further numbers.
    fn add(mut self, other: &Self) -> Self {
        for (sum, v) in self.products.iter_mut().zip(&other.products) {
            *sum += v;
        }
        self
    }
}

/// The inner products of all members of a tensor (deltas: of what they added to the base), in one pass.
///
/// # Errors
/// What reading gives.
pub fn gram(work: &Work<'_>, cut: Cut) -> Result<Gram> {
    Ok(sum(work.members.len(), &work.look(cut, Gram::of)?))
}

/// The inner products of the base, which is the first then, and of the members.
///
/// # Errors
/// What reading gives; [`Error::Model`] naming the model whose numbers are not finite.
pub fn gram_with_base(work: &Work<'_>) -> Result<Gram> {
    let blocks = work.look(Cut::NUMBERS, |block| {
        let all: Vec<&[f32]> = block.base.iter().chain(block.members).copied().collect();
        Gram::of_all(&all)
    })?;
    let gram = sum(work.members.len() + 1, &blocks);
    match (0..gram.count).find(|i| !gram.dot(*i, *i).is_finite()) {
        None => Ok(gram),
        Some(0) => Err(not_finite("the base".to_owned())),
        Some(i) => Err(not_finite(format!("member \"{}\"", work.labels.get(i - 1).unwrap_or(&"")))),
    }
}

fn sum(count: usize, blocks: &[Gram]) -> Gram {
    let none = Gram { count, products: vec![0.0; count * (count + 1) / 2] };
    blocks.iter().fold(none, Gram::add)
}

fn not_finite(place: String) -> Error {
    Error::model("a tensor to merge is not finite").at(place)
}

/// All products of few lists, the lower triangle row by row: each number is read and widened once. The sums are those of [`dot`].
fn together<const N: usize, const PAIRS: usize>(all: [&[f32]; N]) -> [f64; PAIRS] {
    let len = all.iter().map(|a| a.len()).min().unwrap_or(0);
    wide(
        #[inline(always)]
        || {
            let mut sums = [[0.0f64; LANES]; PAIRS];
            let lists = all.map(|a| a.get(..len).unwrap_or_default().as_chunks::<LANES>());
            for chunk in 0..len / LANES {
                add_products(
                    &mut sums,
                    &lists.map(|(lanes, _)| lanes.get(chunk).copied().unwrap_or([0.0; LANES])),
                );
            }
            let mut last = [[0.0f32; LANES]; N];
            for (last, (_, rest)) in last.iter_mut().zip(&lists) {
                last.iter_mut().zip(*rest).for_each(|(last, v)| *last = *v);
            }
            add_products(&mut sums, &last);
            sums.map(|lanes| lanes.iter().sum())
        },
    )
}

/// Adds the products of one number of each lane.
#[inline(always)]
fn add_products<const N: usize, const PAIRS: usize>(
    sums: &mut [[f64; LANES]; PAIRS],
    all: &[[f32; LANES]; N],
) {
    let all = all.map(|a| a.map(f64::from));
    let mut pair = 0;
    for i in 0..N {
        for j in 0..=i {
            for lane in 0..LANES {
                sums[pair][lane] += all[i][lane] * all[j][lane];
            }
            pair += 1;
        }
    }
}

/// `sum_k a_k b_k` in 64 bits.
pub fn dot(a: &[f32], b: &[f32]) -> f64 {
    wide(
        #[inline(always)]
        || {
            let mut sums = [0.0f64; LANES];
            let (a_lanes, a_rest) = a.as_chunks::<LANES>();
            let (b_lanes, b_rest) = b.as_chunks::<LANES>();
            for (a, b) in a_lanes.iter().zip(b_lanes) {
                for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
                    *sum += f64::from(*a) * f64::from(*b);
                }
            }
            for ((sum, a), b) in sums.iter_mut().zip(a_rest).zip(b_rest) {
                *sum += f64::from(*a) * f64::from(*b);
            }
            sums.iter().sum()
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_of_blocks_are_those_of_plain_sums() {
        let of = |s: f32| (0..1000).map(|k| (k as f32 * s).sin()).collect::<Vec<f32>>();
        let all = [of(0.3), of(0.7), of(1.9)];
        let members: Vec<&[f32]> = all.iter().map(Vec::as_slice).collect();
        let gram = Gram::of(&Block { start: 0, base: None, members: &members });
        for i in 0..3 {
            for j in 0..3 {
                let plain: f64 = all[i].iter().zip(&all[j]).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
                assert!((gram.dot(i, j) - plain).abs() < 1e-9, "{i} {j}");
            }
        }
        let mean: f64 = (0..1000).map(|k| (f64::from(all[0][k]) - 2.0 * f64::from(all[2][k])).powi(2)).sum();
        assert!((gram.length(&[1.0, 0.0, -2.0]) - mean.sqrt()).abs() < 1e-9);
        assert_eq!(gram.cosine(1, 1), Some(1.0));
        // Two, three, four and more lists, of ends that fill no lane.
        let more = [of(0.1), of(0.2), of(0.3), of(0.4), of(0.5)];
        for (count, len) in [(1, 1000), (2, 999), (3, 17), (4, 1000), (5, 40), (2, 0)] {
            let some: Vec<&[f32]> = more.iter().take(count).map(|m| &m[..len]).collect();
            let gram = Gram::of_all(&some);
            for i in 0..count {
                for j in 0..count {
                    assert_eq!(
                        gram.dot(i, j).to_bits(),
                        dot(some[i], some[j]).to_bits(),
                        "{count} {len} {i} {j}"
                    );
                }
            }
        }
    }
}
