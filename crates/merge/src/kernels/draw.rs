//! Random numbers by place: the number at a place of a tensor depends on the key and the place alone.

use consilience_core::seed::Seed;

use crate::kernels::wide;

/// Counters that are worked on together.
const LANES: usize = 16;
/// Each counter gives four numbers.
const GROUP: usize = 4 * LANES;
/// With seven rounds the generator passes all known tests.
const ROUNDS: usize = 7;

/// A source of 32 random bits for each place of a tensor.
///
/// # Reference
/// Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011: Philox4x32-7.
#[derive(Debug, Clone, Copy)]
pub struct Draw {
    key: [u32; 2],
}

impl Draw {
    /// The source of a seed.
    pub fn new(seed: Seed) -> Self {
        let number = seed.number();
        Self { key: [number as u32, (number >> 32) as u32] }
    }

    /// The bits of the places from `from` on.
    pub fn fill(&self, from: usize, out: &mut [u32]) {
        let mut place = from;
        let mut out = out;
        while !out.is_empty() {
            let skip = place % GROUP;
            let len = (GROUP - skip).min(out.len());
            let whole = if skip == 0 { out.len() - out.len() % GROUP } else { 0 };
            let (now, later) = out.split_at_mut(len.max(whole));
            if whole > 0 {
                self.groups(place / GROUP, now);
            } else {
                let mut group = [0; GROUP];
                self.groups(place / GROUP, &mut group);
                now.copy_from_slice(group.get(skip..skip + len).unwrap_or_default());
            }
            place += now.len();
            out = later;
        }
    }

    /// Whole groups from group `first` on.
    fn groups(&self, first: usize, out: &mut [u32]) {
        wide(
            #[inline(always)]
            || {
                for (group, out) in out.as_chunks_mut::<GROUP>().0.iter_mut().enumerate() {
                    let counter = ((first + group) * LANES) as u64;
                    let mut words = [[0u32; LANES]; 4];
                    let [low, high, ..] = &mut words;
                    for lane in 0..LANES {
                        let counter = counter + lane as u64;
                        low[lane] = counter as u32;
                        high[lane] = (counter >> 32) as u32;
                    }
                    rounds::<ROUNDS, LANES>(&mut words, self.key);
                    for (out, word) in out.as_chunks_mut::<LANES>().0.iter_mut().zip(&words) {
                        *out = *word;
                    }
                }
            },
        );
    }
}

#[inline(always)]
fn rounds<const ROUNDS: usize, const LANES: usize>(words: &mut [[u32; LANES]; 4], key: [u32; 2]) {
    let [mut k0, mut k1] = key;
    let [a, b, c, d] = words;
    for _ in 0..ROUNDS {
        for (((a, b), c), d) in a.iter_mut().zip(b.iter_mut()).zip(c.iter_mut()).zip(d.iter_mut()) {
            let p = u64::from(*a) * 0xD251_1F53;
            let q = u64::from(*c) * 0xCD9E_8D57;
            (*a, *b) = ((q >> 32) as u32 ^ *b ^ k0, q as u32);
            (*c, *d) = ((p >> 32) as u32 ^ *d ^ k1, p as u32);
        }
        k0 = k0.wrapping_add(0x9E37_79B9);
        k1 = k1.wrapping_add(0xBB67_AE85);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_philox() {
        let of = |counter: [u32; 4], key| {
            let mut seven = counter.map(|c| [c]);
            rounds::<7, 1>(&mut seven, key);
            let mut ten = counter.map(|c| [c]);
            rounds::<10, 1>(&mut ten, key);
            (seven.map(|[w]| w), ten.map(|[w]| w))
        };
        // The known answers that are published with the reference.
        let (seven, ten) = of([0; 4], [0; 2]);
        assert_eq!(ten, [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(seven, [0x5f6f_b709, 0x0d89_3f64, 0x4f12_1f81, 0x4f73_0a48]);
        let (_, ten) = of([u32::MAX; 4], [u32::MAX; 2]);
        assert_eq!(ten, [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
    }

    #[test]
    fn a_place_has_its_number_wherever_one_begins() {
        let draw = Draw::new(Seed::new(3));
        let mut all = vec![0; 1000];
        draw.fill(0, &mut all);
        for from in [0, 1, 63, 64, 65, 500, 999] {
            for len in [0, 1, 2, 63, 64, 65, 300] {
                let len = len.min(1000 - from);
                let mut part = vec![0; len];
                draw.fill(from, &mut part);
                assert_eq!(part, all[from..from + len], "{from} {len}");
            }
        }
    }

    #[test]
    fn numbers_are_uniform_and_neighbours_sources_and_seeds_do_not_know_each_other() {
        const N: usize = 1 << 20;
        let of = |label: &str| {
            let mut all = vec![0; N];
            Draw::new(Seed::new(0).child(label)).fill(0, &mut all);
            all
        };
        let (a, b) = (of("a"), of("b"));
        let mut bins = [0f64; 256];
        a.iter().for_each(|v| bins[(v >> 24) as usize] += 1.0);
        let expected = N as f64 / 256.0;
        let chi: f64 = bins.iter().map(|c| (c - expected).powi(2) / expected).sum();
        // 255 degrees of freedom: five standard deviations.
        assert!((chi - 255.0).abs() < 5.0 * (2.0 * 255.0f64).sqrt(), "{chi}");
        let unit = |v: u32| f64::from(v) / 2f64.powi(32) - 0.5;
        let correlation = |x: &[u32], y: &[u32]| {
            x.iter().zip(y).map(|(x, y)| unit(*x) * unit(*y)).sum::<f64>() / x.len() as f64 * 12.0
        };
        for lag in [1, 2, 16, 32, 48, 64, 1024] {
            let r = correlation(&a[lag..], &a[..N - lag]);
            assert!(r.abs() < 5.0 / (N as f64).sqrt(), "{lag}: {r}");
        }
        let r = correlation(&a, &b);
        assert!(r.abs() < 5.0 / (N as f64).sqrt(), "{r}");
        for bit in 0..32 {
            let ones = a.iter().filter(|v| *v >> bit & 1 == 1).count() as f64;
            assert!((ones - N as f64 / 2.0).abs() < 5.0 * (N as f64 / 4.0).sqrt(), "bit {bit}: {ones}");
        }
    }
}
