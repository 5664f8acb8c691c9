//! Sums of logarithms of sums, for several members in one pass and with hardly a logarithm.

use std::array;
use std::f64::consts::LN_2;
use std::ops::Range;

use super::evidence::{Columns, Evidence, of_two};

/// Members in one pass: memory answers several streams at once faster than one after the other, and the running sums
/// are read once for all.
const TOGETHER: usize = 4;
/// Lanes of a product.
const LANES: usize = 4;
/// Factors of a lane before its exponent is taken out: each within [1e-7, 1001], so that with a mantissa below 2 the
/// product stays within the range of 64-bit floats (at most 39 would).
const FACTORS: usize = 32;

/// `sum_r ln(sum_r + a_r)` of each member, where `a` is what it gave to the true class.
pub(super) fn sums_of_logs(
    sum: &[f64],
    evidence: &Evidence<'_>,
    members: &[usize],
    rows: Range<usize>,
) -> Vec<f64> {
    match &evidence.columns {
        Columns::Flat(columns) => {
            let columns: Vec<&[f32]> = members.iter().map(|m| &columns[*m][rows.clone()]).collect();
            several(sum, &vec![(); rows.len()], &columns, |a, ()| *a)
        }
        Columns::Pairs(pairs, codes) => {
            let pairs: Vec<&[[f32; 2]]> = members.iter().map(|m| &pairs[*m][rows.clone()]).collect();
            several(sum, &codes[rows], &pairs, |pair, code| of_two(*pair, *code))
        }
    }
}

fn several<T, M>(
    sum: &[f64],
    marks: &[M],
    columns: &[&[T]],
    read: impl Fn(&T, &M) -> f32 + Copy,
) -> Vec<f64> {
    let (fours, rest) = columns.as_chunks::<TOGETHER>();
    let mut out: Vec<f64> = fours.iter().flat_map(|four| logs(sum, marks, *four, read)).collect();
    out.extend(rest.iter().flat_map(|one| logs(sum, marks, [*one], read)));
    out
}

/// The logarithm of a product is the sum of its exponents, as integers, and the logarithm of what is left. The result
/// for a column does not depend on those beside it.
fn logs<T, M, const K: usize>(
    sum: &[f64],
    marks: &[M],
    columns: [&[T]; K],
    read: impl Fn(&T, &M) -> f32,
) -> [f64; K] {
    let mut products = [[1.0f64; LANES]; K];
    let mut exponents = [0i64; K];
    let whole = sum.len() / LANES;
    let sums = &sum.as_chunks::<LANES>().0[..whole];
    let marked = &marks.as_chunks::<LANES>().0[..whole];
    let chunks = columns.map(|c| &c.as_chunks::<LANES>().0[..whole]);
    for start in (0..whole).step_by(FACTORS) {
        for at in start..(start + FACTORS).min(whole) {
            let (sums, marked) = (&sums[at], &marked[at]);
            for (product, chunk) in products.iter_mut().zip(&chunks) {
                let chunk = &chunk[at];
                for lane in 0..LANES {
                    product[lane] *= sums[lane] + f64::from(read(&chunk[lane], &marked[lane]));
                }
            }
        }
        for (product, exponent) in products.iter_mut().zip(&mut exponents) {
            product.iter_mut().for_each(|p| *exponent += take_exponent(p));
        }
    }
    array::from_fn(|k| {
        let rest =
            (whole * LANES..sum.len()).map(|r| (sum[r] + f64::from(read(&columns[k][r], &marks[r]))).ln());
        let left: f64 = products[k].iter().map(|p| p.ln()).sum();
        exponents[k] as f64 * LN_2 + left + rest.sum::<f64>()
    })
}

/// Leaves the mantissa, from 1 to 2, of a positive normal number and gives its exponent.
#[inline(always)]
fn take_exponent(number: &mut f64) -> i64 {
    const MANTISSA: u64 = (1 << 52) - 1;
    let bits = number.to_bits();
    *number = f64::from_bits(bits & MANTISSA | 1.0f64.to_bits());
    (bits >> 52) as i64 - 1023
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::array::MIN_PROBABILITY;

    fn one(sum: &[f64], a: &[f32]) -> f64 {
        several(sum, &vec![(); a.len()], &[a], |a, ()| *a)[0]
    }

    #[test]
    fn logs_of_products_are_sums_of_logs_even_at_the_edges() {
        for n in [0usize, 1, 3, 4, 127, 128, 131, 1000] {
            let sum: Vec<f64> = (0..n).map(|i| if i % 3 == 0 { 0.0 } else { 1000.0 }).collect();
            let a: Vec<f32> = (0..n).map(|i| if i % 2 == 0 { MIN_PROBABILITY } else { 1.0 }).collect();
            let plain: f64 = sum.iter().zip(&a).map(|(s, a)| (s + f64::from(*a)).ln()).sum();
            assert!((one(&sum, &a) - plain).abs() <= 1e-12 * plain.abs().max(1.0), "{n}");
        }
        let least = vec![MIN_PROBABILITY; 1003];
        assert!((one(&[0.0; 1003], &least) - 1003.0 * f64::from(MIN_PROBABILITY).ln()).abs() < 1e-9);
        assert!((one(&[1000.0; 1003], &[1.0; 1003]) - 1003.0 * 1001f64.ln()).abs() < 1e-9);
    }

    #[test]
    fn members_beside_it_do_not_change_a_sum() {
        let columns: Vec<Vec<f32>> =
            (0..7).map(|m| (0..1001).map(|r| ((r * 7 + m * 13) % 97 + 1) as f32 / 98.0).collect()).collect();
        let sum: Vec<f64> = (0..1001).map(|r| f64::from(r % 5)).collect();
        let views: Vec<&[f32]> = columns.iter().map(Vec::as_slice).collect();
        let all = several(&sum, &[(); 1001], &views, |a, ()| *a);
        for (m, column) in columns.iter().enumerate() {
            assert_eq!(all[m].to_bits(), one(&sum, column).to_bits());
        }
    }
}
