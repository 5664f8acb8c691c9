//! A bit for each number of a block.

use crate::kernels::wide;

/// Numbers for which one word holds the bits.
pub const WORD: usize = 32;
/// The bits of infinity: magnitudes from here on are not finite.
pub const INFINITE: u32 = 0x7f80_0000;

/// Which numbers of a block are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bits {
    words: Vec<u32>,
}

impl Bits {
    /// The bits of flags, of which all that are not zero are set.
    pub fn of(flags: &[u8]) -> Self {
        let mut words = vec![0; flags.len().div_ceil(WORD)];
        pack(flags, &mut words, |flag| *flag != 0);
        Self { words }
    }

    /// The bits of draws, of which those below a limit are set. `draw` gives the draws from a place on.
    pub fn below(limit: u32, len: usize, draw: impl Fn(usize, &mut [u32])) -> Self {
        const PART: usize = 512;
        let mut words = vec![0; len.div_ceil(WORD)];
        let mut drawn = [0; PART];
        for (i, words) in words.chunks_mut(PART / WORD).enumerate() {
            let drawn = drawn.get_mut(..PART.min(len - i * PART)).unwrap_or_default();
            draw(i * PART, drawn);
            pack(drawn, words, |drawn| *drawn < limit);
        }
        Self { words }
    }

    /// Keeps the numbers whose bit is set, and those that are not finite. The first bit is that of the number at `from`, a multiple of 32.
    pub fn keep(&self, from: usize, values: &[f32], out: &mut [f32]) {
        let words = self.words.get(from / WORD..).unwrap_or_default();
        wide(
            #[inline(always)]
            || {
                let (values, values_rest) = values.as_chunks::<WORD>();
                let (out, out_rest) = out.as_chunks_mut::<WORD>();
                for ((out, values), word) in out.iter_mut().zip(values).zip(words) {
                    for lane in 0..WORD {
                        out[lane] = kept(*word, lane, values[lane]);
                    }
                }
                if let Some(word) = words.get(values.len()) {
                    for (lane, (out, v)) in out_rest.iter_mut().zip(values_rest).enumerate() {
                        *out = kept(*word, lane, *v);
                    }
                }
            },
        );
    }
}

#[inline(always)]
fn kept(word: u32, lane: usize, v: f32) -> f32 {
    let kept = (word >> lane & 1 != 0) | (v.to_bits() & 0x7fff_ffff >= INFINITE);
    if kept { v } else { 0.0 }
}

#[inline(always)]
fn pack<T>(values: &[T], words: &mut [u32], set: impl Fn(&T) -> bool) {
    wide(
        #[inline(always)]
        || {
            let (values, rest) = values.as_chunks::<WORD>();
            let mut words = words.iter_mut();
            for (values, word) in values.iter().zip(&mut words) {
                *word = word_of(values, &set);
            }
            if let Some(word) = words.next() {
                *word = word_of(rest, &set);
            }
        },
    );
}

/// One word with the bits of up to 32 numbers.
#[inline(always)]
pub fn word_of<T>(values: &[T], set: impl Fn(&T) -> bool) -> u32 {
    let mut flags = [0u8; WORD];
    for (flag, v) in flags.iter_mut().zip(values) {
        *flag = u8::from(set(v));
    }
    let mut word = 0;
    for (i, flags) in flags.as_chunks::<8>().0.iter().enumerate() {
        // The product moves the lowest bit of byte i to bit i of the highest byte.
        let bits = u64::from_le_bytes(*flags).wrapping_mul(0x0102_0408_1020_4080) >> 56;
        word |= (bits as u32) << (8 * i);
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_keep_what_flags_say() {
        for len in [0, 1, 31, 32, 33, 1000] {
            let flags: Vec<u8> = (0..len).map(|i| u8::from(i * i % 7 < 3)).collect();
            let values: Vec<f32> = (1..=len).map(|i| i as f32).collect();
            let bits = Bits::of(&flags);
            assert_eq!(
                bits,
                Bits::below(1, len, |from, out| {
                    out.iter_mut().zip(&flags[from..]).for_each(|(out, flag)| *out = u32::from(*flag == 0));
                })
            );
            for from in [0, 32, 64] {
                let from = from.min(len / 32 * 32);
                let mut out = vec![-1.0; len - from];
                bits.keep(from, &values[from..], &mut out);
                for i in from..len {
                    assert_eq!(
                        out[i - from],
                        if flags[i] == 1 { values[i] } else { 0.0 },
                        "{len} {from} {i}"
                    );
                }
            }
        }
        let mut out = [0.0; 2];
        Bits::of(&[0, 0]).keep(0, &[f32::INFINITY, 1.0], &mut out);
        assert_eq!(out, [f32::INFINITY, 0.0]);
    }
}
