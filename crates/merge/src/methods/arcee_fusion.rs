//! Taking what matters most of one other model.

use consilience_core::registry::Method;
use consilience_core::{Error, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kernels::{exp, smallest, wide};
use crate::method::{BaseNeed, MergeMethod, Needs};
use crate::work::{Block, Cut, Work};

/// Takes a member's numbers where they matter most, and the base's elsewhere. What a number matters is `|x - b| D`, where
/// `D = sum_k p_k ln(p_k / q_k)` is the divergence of its row's softmax in the base, `q`, from that in the member, `p`. Taken are the numbers
/// at or above `median + 1.5 (upper quartile - lower quartile)` of this over the tensor.
///
/// A row is the last dimension; a tensor of one dimension is one row. Quartiles are the numbers at `floor(q (n - 1))` of `n` sorted ones:
/// exact and by counting, also where mergekit takes a sample (above a million numbers). It holds one number for each row. Where all
/// matter the same, as in rows of one number, all are taken.
///
/// # Reference
/// The method of this name in Goddard and others, "Arcee's MergeKit: a toolkit for merging large language models", EMNLP 2024; there is no
/// paper about it.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ArceeFusion {}

impl Method for ArceeFusion {
    const NAME: &'static str = "arcee_fusion";
    const ABOUT: &'static str = "A base with the numbers of another network that matter most";
}

/// Sums run in so many lanes, which are added in order.
const LANES: usize = 16;

/// The divergence of the softmax of `b` from that of `x`, in 64 bits.
fn divergence(x: &[f32], b: &[f32]) -> f64 {
    let most = |all: &[f32]| {
        wide(
            #[inline(always)]
            || f64::from(all.iter().copied().fold(f32::NEG_INFINITY, f32::max)),
        )
    };
    let (x_most, b_most) = (most(x), most(b));
    let [x_sum, b_sum, moved] = wide(
        #[inline(always)]
        || {
            let mut sums = [[0.0f64; LANES]; 3];
            let (x_lanes, x_rest) = x.as_chunks::<LANES>();
            let (b_lanes, b_rest) = b.as_chunks::<LANES>();
            for (x, b) in x_lanes.iter().zip(b_lanes) {
                add(&mut sums, x, b, x_most, b_most);
            }
            let mut all = [0.0; 3];
            for (all, lanes) in all.iter_mut().zip(&sums) {
                *all = lanes.iter().sum();
            }
            for (x, b) in x_rest.iter().zip(b_rest) {
                let mut one = [[0.0f64; 1]; 3];
                add(&mut one, &[*x], &[*b], x_most, b_most);
                for (all, [one]) in all.iter_mut().zip(&one) {
                    *all += one;
                }
            }
            all
        },
    );
    let divergence = moved / x_sum - (x_sum.ln() + x_most) + (b_sum.ln() + b_most);
    // It is no less than zero; what is no number stays none.
    if divergence < 0.0 { 0.0 } else { divergence }
}

/// Adds some numbers to the sums of `e^x`, `e^b` and `e^x (x - b)`, each with its largest exponent taken out.
#[inline(always)]
fn add<const N: usize>(sums: &mut [[f64; N]; 3], x: &[f32; N], b: &[f32; N], x_most: f64, b_most: f64) {
    let [x_sum, b_sum, moved] = sums;
    for i in 0..N {
        let (x, b) = (f64::from(x[i]), f64::from(b[i]));
        let p = exp(x - x_most);
        x_sum[i] += p;
        b_sum[i] += exp(b - b_most);
        moved[i] += p * (x - b);
    }
}

/// What each number of a block matters, by the divergences of all rows.
fn matters(block: &Block<'_>, row: usize, divergences: &[f32], out: &mut [f32]) {
    let (Some(base), [member]) = (block.base, block.members) else { return };
    let rows = out.chunks_mut(row).zip(base.chunks(row)).zip(member.chunks(row));
    let of = divergences.get(block.start / row..).unwrap_or_default();
    for (((out, base), member), divergence) in rows.zip(of) {
        wide(
            #[inline(always)]
            || {
                for ((out, b), x) in out.iter_mut().zip(base).zip(member) {
                    *out = (x - b).abs() * divergence;
                }
            },
        );
    }
}

impl MergeMethod for ArceeFusion {
    fn needs(&self) -> Needs {
        Needs { base: BaseNeed::Needed, least: 1, most: Some(1) }
    }

    fn whole_rows(&self) -> bool {
        true
    }

    fn merge(&self, work: &Work<'_>) -> Result<()> {
        if work.is_empty() {
            return Ok(());
        }
        let row = work.row().max(1);
        let divergences: Vec<f32> = work
            .look(Cut::ROWS, |block| {
                let (Some(base), [member]) = (block.base, block.members) else { return Vec::new() };
                base.chunks(row)
                    .zip(member.chunks(row))
                    .map(|(b, x)| divergence(x, b) as f32)
                    .collect::<Vec<f32>>()
            })?
            .concat();
        if divergences.iter().any(|d| !d.is_finite()) {
            return Err(Error::model("a tensor to merge is not finite"));
        }
        let last = work.len() - 1;
        let found = smallest(
            work,
            Cut::ROWS,
            &[last / 4, last / 2, last / 4 * 3 + last % 4 * 3 / 4],
            |block, keys| {
                matters(block, row, &divergences, keys);
            },
        )?;
        let [lower, median, upper] = found[..] else { return Err(Error::internal("quartiles are missing")) };
        let least = median + 1.5 * (upper - lower);
        work.write(Cut::ROWS, |block, out| {
            let (Some(base), [member]) = (block.base, block.members) else { return Ok(()) };
            matters(block, row, &divergences, out);
            for ((out, b), x) in out.iter_mut().zip(base).zip(*member) {
                *out = if *out >= least { *x } else { *b };
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::merged;

    #[test]
    fn the_divergence_is_that_of_the_definition() {
        let (x, b) = ([0.1f32, -0.7, 2.0, 0.4], [0.3f32, -0.5, 1.0, 0.4]);
        let soft = |v: [f32; 4]| {
            let e = v.map(|v| f64::from(v).exp());
            e.map(|v| v / e.iter().sum::<f64>())
        };
        let plain: f64 = soft(x).iter().zip(soft(b)).map(|(p, q)| p * (p / q).ln()).sum();
        assert!((divergence(&x, &b) - plain).abs() < 1e-14);
        assert!(divergence(&x, &x).abs() < 1e-15);
        assert!(divergence(&[f32::NAN, 1.0], &[1.0, 1.0]).is_nan());
    }

    #[test]
    fn what_matters_most_is_taken() {
        let base = vec![0.0; 40];
        let member: Vec<f32> = (0..40).map(|i| if i == 13 { 3.0 } else { 0.01 * (i % 5) as f32 }).collect();
        let out = merged(&ArceeFusion {}, &[40], &[&member], Some(&base)).unwrap();
        let taken: Vec<usize> = (0..40).filter(|i| out[*i] != 0.0).collect();
        assert_eq!((taken, out[13]), (vec![13], 3.0));
        // Rows of one number do not diverge: all of them are taken.
        assert_eq!(merged(&ArceeFusion {}, &[2, 1], &[&[1.0, 2.0]], Some(&[0.0; 2])).unwrap(), [1.0, 2.0]);
    }
}
