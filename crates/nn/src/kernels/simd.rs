//! The widest vector instructions of the processor at hand, chosen at run time: AVX-512, AVX2, or what every processor has.

/// Runs `work` compiled for the widest vector instructions. Mark it `#[inline(always)]`: loops in it, and in what is
/// inlined into it, become vector code. Numbers do not change by it, since nothing is reordered or fused that the source
/// does not say.
#[inline(always)]
pub fn wide<R>(work: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(work)
}

/// Numbers in a piece of parallel work on each number alone.
pub const PIECE: usize = 1 << 15;

/// Sums are made in this many lanes, which are then added in order: the same for every instruction set.
pub const LANES: usize = 16;

/// The sum of `each` of all numbers, in lanes.
#[inline(always)]
pub fn sum(numbers: &[f32], each: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let (whole, rest) = numbers.as_chunks::<LANES>();
    for chunk in whole {
        for (lane, v) in lanes.iter_mut().zip(chunk) {
            *lane += each(*v);
        }
    }
    lanes.iter().sum::<f32>() + rest.iter().map(|v| each(*v)).sum::<f32>()
}

/// The sum of `each` of all pairs of numbers, in lanes.
#[inline(always)]
pub fn sum_pairs(a: &[f32], b: &[f32], each: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in a.iter().zip(b) {
        for ((lane, v), w) in lanes.iter_mut().zip(a).zip(b) {
            *lane += each(*v, *w);
        }
    }
    lanes.iter().sum::<f32>() + a_rest.iter().zip(b_rest).map(|(v, w)| each(*v, *w)).sum::<f32>()
}

/// The sum of each of `width` columns.
pub fn columns(numbers: &[f32], width: usize) -> Vec<f32> {
    let mut out = vec![0.0f32; width];
    wide(
        #[inline(always)]
        || {
            for row in numbers.chunks_exact(width.max(1)) {
                out.iter_mut().zip(row).for_each(|(a, b)| *a += b);
            }
        },
    );
    out
}

/// The sum of squares, in lanes of f64.
#[inline(always)]
pub fn squares(numbers: &[f32]) -> f64 {
    let mut lanes = [0.0f64; LANES];
    let (whole, rest) = numbers.as_chunks::<LANES>();
    for chunk in whole {
        for (lane, v) in lanes.iter_mut().zip(chunk) {
            *lane += f64::from(*v) * f64::from(*v);
        }
    }
    lanes.iter().sum::<f64>() + rest.iter().map(|v| f64::from(*v) * f64::from(*v)).sum::<f64>()
}

/// The largest number; `-inf` of none, NaN only by chance.
#[inline(always)]
pub fn largest(numbers: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (whole, rest) = numbers.as_chunks::<LANES>();
    let more = |a: f32, b: f32| if b > a { b } else { a };
    for chunk in whole {
        for (lane, v) in lanes.iter_mut().zip(chunk) {
            *lane = more(*lane, *v);
        }
    }
    lanes.iter().chain(rest).copied().fold(f32::NEG_INFINITY, more)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::reference::numbers;

    #[test]
    fn sums_and_largest_are_those_of_plain_loops() {
        for n in [0, 1, 15, 16, 17, 1000] {
            let (a, b) = (numbers(n, 1), numbers(n, 2));
            let plain: f64 = a.iter().map(|v| f64::from(*v).powi(2)).sum();
            assert!(
                (f64::from(wide(
                    #[inline(always)]
                    || sum(&a, |v| v * v)
                )) - plain)
                    .abs()
                    < 1e-4
            );
            assert!(
                (wide(
                    #[inline(always)]
                    || squares(&a)
                ) - plain)
                    .abs()
                    < 1e-9
            );
            let plain: f64 = a.iter().zip(&b).map(|(v, w)| f64::from(v * w)).sum();
            assert!(
                (f64::from(wide(
                    #[inline(always)]
                    || sum_pairs(&a, &b, |v, w| v * w)
                )) - plain)
                    .abs()
                    < 1e-4
            );
            let plain = a.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            assert_eq!(
                wide(
                    #[inline(always)]
                    || largest(&a)
                ),
                plain
            );
            // The widest instructions give the same bits as none.
            assert_eq!(
                wide(
                    #[inline(always)]
                    || sum(&a, |v| v * v)
                )
                .to_bits(),
                sum(&a, |v| v * v).to_bits()
            );
        }
    }
}
