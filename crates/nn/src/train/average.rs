//! A moving average of the parameters.

use rayon::prelude::*;

use crate::kernels::{PIECE, wide};
use crate::params::Params;

/// Moves an average towards the parameters after step `t`, from 1: `a <- d_t a + (1 - d_t) w` with
/// `d_t = min(d, (1 + t) / (10 + t))`, so that the first steps, far from where training ends, are soon forgotten. What does
/// not move keeps its bytes.
///
/// # Reference
/// Polyak and Juditsky (1992), "Acceleration of stochastic approximation by averaging"; the exponential form with this
/// start is that of TensorFlow's `ExponentialMovingAverage`.
pub fn follow(average: &mut Params, params: &Params, decay: f64, step: u64) {
    let t = step as f64;
    let toward = (1.0 - decay.min((1.0 + t) / (10.0 + t))) as f32;
    for ((_, a), (_, w)) in average.iter_mut().zip(params.iter()) {
        let pieces = a.numbers_mut().par_chunks_mut(PIECE).zip(w.numbers().par_chunks(PIECE));
        pieces.for_each(|(a, w)| {
            wide(
                #[inline(always)]
                || a.iter_mut().zip(w).for_each(|(a, w)| *a += toward * (w - *a)),
            );
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::Declared;
    use consilience_core::seed::Seed;

    #[test]
    fn the_average_is_the_plain_one_and_what_stays_keeps_its_bytes() {
        let declared = [Declared::new("still", vec![40_000], 3), Declared::new("w", vec![2], 1)];
        let start = Params::init(&declared, Seed::new(1));
        let (mut params, mut average) = (start.clone(), start.clone());
        let mut plain: Vec<f64> =
            start.iter().last().unwrap().1.numbers().iter().map(|v| f64::from(*v)).collect();
        for step in 1..=40u64 {
            let moved: Vec<f32> = params
                .iter_mut()
                .filter(|(n, _)| *n == "w")
                .flat_map(|(_, w)| {
                    w.numbers_mut().iter_mut().for_each(|w| *w += 0.25 * step as f32);
                    w.numbers().to_vec()
                })
                .collect();
            follow(&mut average, &params, 0.8, step);
            // (1 + t) / (10 + t) reaches .8 at the thirty-fifth step.
            let d = 0.8f64.min((1.0 + step as f64) / (10.0 + step as f64));
            plain.iter_mut().zip(moved).for_each(|(a, w)| *a = d * *a + (1.0 - d) * f64::from(w));
        }
        let got: Vec<(&str, &[f32])> = average.iter().map(|(n, a)| (n, a.numbers())).collect();
        assert_eq!(got[0].1, start.iter().next().unwrap().1.numbers());
        for (a, expected) in got[1].1.iter().zip(plain) {
            assert!((f64::from(*a) - expected).abs() < 1e-4 * expected.abs(), "{a} instead of {expected}");
        }
    }
}
