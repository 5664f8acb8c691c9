//! Spherical interpolation between two models, or between what they added to a base.

use std::sync::atomic::{AtomicBool, Ordering};

use consilience_core::Result;
use consilience_core::registry::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kernels::{Gram, NEAR, arc, combine, gram, opposite, wide};
use crate::method::{BaseNeed, MergeMethod, Needs, PerMember, sum_of};
use crate::work::{Block, Cut, Work};

/// Spherical interpolation between two members at `t = w_2 / (w_1 + w_2)`: of their weights, or with a base of what they added to it.
///
/// A tensor is one vector; with `nuslerp_flatten: false` each of its rows is one (the numbers of the last dimension), or with
/// `nuslerp_row_wise: true` each of its columns (the numbers along the first dimension). The parameters are mergekit's, and so is the
/// meaning of `nuslerp_row_wise`, which is the other way round than its name. Tensors of one dimension are one vector.
///
/// Vectors of the same or the opposite direction, and those that are all zero, are interpolated along the straight line. Opposite ones, between
/// which no way is the shortest, are noted.
///
/// # Reference
/// Shoemake, "Animating rotation with quaternion curves", SIGGRAPH 1985.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NuSlerp {
    /// A number for each of the two members. A member of weight zero is left out.
    pub weight: PerMember,
    /// Whether a tensor is one vector.
    pub nuslerp_flatten: bool,
    /// Without `nuslerp_flatten`: whether columns are the vectors, else rows are.
    pub nuslerp_row_wise: bool,
}

impl Default for NuSlerp {
    fn default() -> Self {
        Self { weight: PerMember::All(1.0), nuslerp_flatten: true, nuslerp_row_wise: false }
    }
}

impl Method for NuSlerp {
    const NAME: &'static str = "nuslerp";
    const ABOUT: &'static str = "Spherical interpolation between two networks or their task vectors";

    fn validate(&self) -> Result<()> {
        self.weight.each("weight", "a number", |_| true)
    }
}

/// The inner products of two vectors with themselves and each other.
type Products = (f64, f64, f64);

/// The products of two members.
fn products(gram: &Gram) -> Products {
    (gram.dot(0, 0), gram.dot(0, 1), gram.dot(1, 1))
}

impl NuSlerp {
    /// Where between the two.
    fn place(&self, compat: bool) -> Result<f64> {
        match sum_of(&self.weight.list(2), "") {
            Err(_) if compat => Ok(0.5),
            total => Ok(self.weight.of(1) / total?),
        }
    }

    /// Each row by itself, in one pass.
    fn rows(work: &Work<'_>, cut: Cut, t: f64, opposed: &AtomicBool) -> Result<()> {
        let row = work.row().max(1);
        work.write(cut, |block, out| {
            for (i, out) in out.chunks_mut(row).enumerate() {
                let part = |all: &[f32]| i * row..(i * row + row).min(all.len());
                let members: Vec<&[f32]> =
                    block.members.iter().map(|m| m.get(part(m)).unwrap_or_default()).collect();
                let row = Block {
                    start: block.start,
                    base: block.base.and_then(|b| b.get(part(b))),
                    members: &members,
                };
                let gram = Gram::of(&row);
                gram.finite(work, |_| true)?;
                let (a, b) = shares(products(&gram), t, work.compat, opposed);
                combine(&row, base_share(cut), &[a as f32, b as f32], out);
            }
            Ok(())
        })
    }

    /// Each column by itself: its products in one pass, the result in another.
    fn columns(work: &Work<'_>, cut: Cut, columns: usize, t: f64, opposed: &AtomicBool) -> Result<()> {
        let all: Vec<Products> = work.sum(
            cut,
            || vec![(0.0, 0.0, 0.0); columns],
            |sums, block| {
                let [a, b] = block.members else { return };
                each_run(block.start, columns, block.len(), |column, from, len| {
                    let sums = sums.get_mut(column..column + len).unwrap_or_default();
                    let a = a.get(from..from + len).unwrap_or_default();
                    let b = b.get(from..from + len).unwrap_or_default();
                    wide(
                        #[inline(always)]
                        || {
                            for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
                                let (a, b) = (f64::from(*a), f64::from(*b));
                                sum.0 += a * a;
                                sum.1 += a * b;
                                sum.2 += b * b;
                            }
                        },
                    );
                });
            },
            |mut all, more| {
                for (sum, more) in all.iter_mut().zip(&more) {
                    *sum = (sum.0 + more.0, sum.1 + more.1, sum.2 + more.2);
                }
                all
            },
        )?;
        let shares: Vec<(f32, f32)> = all
            .iter()
            .map(|products| {
                let (a, b) = shares(*products, t, work.compat, opposed);
                (a as f32, b as f32)
            })
            .collect();
        work.write(cut, |block, out| {
            let [a, b] = block.members else { return Ok(()) };
            each_run(block.start, columns, block.len(), |column, from, len| {
                let shares = shares.get(column..column + len).unwrap_or_default();
                let a = a.get(from..from + len).unwrap_or_default();
                let b = b.get(from..from + len).unwrap_or_default();
                let out = out.get_mut(from..from + len).unwrap_or_default();
                wide(
                    #[inline(always)]
                    || {
                        for (((out, a), b), (s, u)) in out.iter_mut().zip(a).zip(b).zip(shares) {
                            *out = s * a + u * b;
                        }
                    },
                );
            });
            if let Some(base) = block.base.filter(|_| cut.deltas) {
                for (out, b) in out.iter_mut().zip(base) {
                    *out += b;
                }
            }
            Ok(())
        })
    }
}

/// Runs of numbers in columns that follow each other: the first column, the place in the block, the length.
fn each_run(start: usize, columns: usize, len: usize, mut run: impl FnMut(usize, usize, usize)) {
    let mut from = 0;
    while from < len {
        let column = (start + from) % columns;
        let length = (columns - column).min(len - from);
        run(column, from, length);
        from += length;
    }
}

fn base_share(cut: Cut) -> f32 {
    if cut.deltas { 1.0 } else { 0.0 }
}

fn shares(products: Products, t: f64, compat: bool, opposed: &AtomicBool) -> (f64, f64) {
    if opposite(products) {
        opposed.store(true, Ordering::Relaxed);
    }
    arc(products, t, NEAR, compat)
}

impl MergeMethod for NuSlerp {
    fn needs(&self) -> Needs {
        Needs { base: BaseNeed::Optional, least: 2, most: Some(2) }
    }

    fn per_member(&self) -> Vec<(&'static str, &PerMember)> {
        vec![("weight", &self.weight)]
    }

    fn whole_rows(&self) -> bool {
        !self.nuslerp_flatten
    }

    fn check_weights(&self, _: usize, compat: bool) -> Result<()> {
        self.place(compat).map(drop)
    }

    fn merge(&self, work: &Work<'_>) -> Result<()> {
        let t = self.place(work.compat)?;
        let deltas = work.base.is_some();
        let flat = Cut { deltas, rows: false };
        let opposed = AtomicBool::new(false);
        if t == 0.0 || t == 1.0 {
            // One of them as it is; the other is not looked at.
            return work.write(Cut::NUMBERS, |block, out| {
                combine(block, 0.0, &[(1.0 - t) as f32, t as f32], out);
                Ok(())
            });
        }
        let columns = work.shape.iter().skip(1).product::<usize>();
        if self.nuslerp_flatten || work.shape.len() < 2 || (self.nuslerp_row_wise && columns < 2) {
            let gram = gram(work, flat)?;
            gram.finite(work, |_| true)?;
            let (a, b) = shares(products(&gram), t, work.compat, &opposed);
            work.write(flat, |block, out| {
                combine(block, base_share(flat), &[a as f32, b as f32], out);
                Ok(())
            })?;
        } else if self.nuslerp_row_wise {
            Self::columns(work, flat, columns, t, &opposed)?;
        } else {
            Self::rows(work, Cut { deltas, rows: true }, t, &opposed)?;
        }
        if opposed.into_inner() {
            work.note("vectors of opposite directions were interpolated along the straight line");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::merged;

    fn by(flatten: bool, row_wise: bool) -> NuSlerp {
        NuSlerp { weight: PerMember::All(2.0), nuslerp_flatten: flatten, nuslerp_row_wise: row_wise }
    }

    fn near(a: &[f32], b: &[f32]) -> bool {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-6)
    }

    #[test]
    fn vectors_are_tensors_rows_or_columns() {
        let h = 0.5f32.sqrt();
        let (a, b) = ([1.0, 0.0, 2.0, 0.0], [0.0, 1.0, 2.0, 0.0]);
        let one = |method| merged(&method, &[2, 2], &[&a, &b], None).unwrap();
        // Rows: a right angle; the same.
        assert!(near(&one(by(false, false)), &[h, h, 2.0, 0.0]));
        // Columns: (1, 2) and (0, 2); (0, 0) and (1, 0).
        let angle = (2.0 / 5f32.sqrt()).acos();
        let s = (angle / 2.0).sin() / angle.sin();
        assert!(near(&one(by(false, true)), &[s, 0.5, 4.0 * s, 0.0]));
        let angle = 0.8f32.acos();
        let s = (angle / 2.0).sin() / angle.sin();
        assert!(near(&one(by(true, false)), &[s, s, 4.0 * s, 0.0]));
        // With a base, of what they added.
        let base = [1.0, 1.0, 1.0, 1.0];
        let (x, y) = ([2.0, 1.0, 3.0, 1.0], [1.0, 2.0, 3.0, 1.0]);
        let moved = |method| merged(&method, &[2, 2], &[&x, &y], Some(&base)).unwrap();
        assert!(near(&moved(by(false, false)), &[1.0 + h, 1.0 + h, 3.0, 1.0]));
        assert!(near(&moved(by(true, false)), &[1.0 + s, 1.0 + s, 1.0 + 4.0 * s, 1.0]));
    }

    #[test]
    fn opposite_vectors_are_noted_and_a_sum_of_zero_is_refused() {
        let out = merged(&by(true, false), &[2], &[&[1.0, 2.0], &[-2.0, -4.0]], None).unwrap();
        assert_eq!(out, [-0.5, -1.0]);
        let weight = PerMember::Each(vec![1.0, -1.0]);
        let error =
            merged(&NuSlerp { weight, ..by(true, false) }, &[1], &[&[1.0], &[2.0]], None).unwrap_err();
        assert!(error.to_string().contains("sum to zero"), "{error}");
    }
}
