//! Numbers of other types as 32-bit floats and back. Rounding is to the nearest, ties to even.

use std::cmp::Ordering;

use consilience_core::weights::Dtype;

use crate::kernels::wide;

/// Whether [`decode`] reads numbers of this type.
pub fn decodes(dtype: Dtype) -> bool {
    matches!(dtype, Dtype::F64 | Dtype::F32 | Dtype::F16 | Dtype::Bf16)
}

/// Little-endian floats as 32-bit floats; others are left as they are, see [`decodes`].
pub fn decode(dtype: Dtype, bytes: &[u8], out: &mut [f32]) {
    match dtype {
        Dtype::F64 => each(
            bytes,
            out,
            #[inline(always)]
            |b| f64::from_le_bytes(b) as f32,
        ),
        Dtype::F32 => each(bytes, out, f32::from_le_bytes),
        Dtype::F16 => each(
            bytes,
            out,
            #[inline(always)]
            |b| of_half(u16::from_le_bytes(b)),
        ),
        Dtype::Bf16 => each(
            bytes,
            out,
            #[inline(always)]
            |b| f32::from_bits(u32::from(u16::from_le_bytes(b)) << 16),
        ),
        _ => {}
    }
}

fn each<const N: usize>(bytes: &[u8], out: &mut [f32], number: impl Fn([u8; N]) -> f32) {
    wide(
        #[inline(always)]
        || {
            for (out, word) in out.iter_mut().zip(bytes.as_chunks().0) {
                *out = number(*word);
            }
        },
    );
}

/// Whether [`encode`] writes numbers of this type.
pub fn encodes(dtype: Dtype) -> bool {
    decodes(dtype) || dtype == Dtype::I64
}

/// 32-bit floats as little-endian numbers of a type, see [`encodes`]. `out` has room for exactly as many.
pub fn encode(dtype: Dtype, values: &[f32], out: &mut [u8]) {
    match dtype {
        Dtype::F64 => back(
            values,
            out,
            #[inline(always)]
            |v| f64::from(v).to_le_bytes(),
        ),
        Dtype::F32 => back(
            values,
            out,
            #[inline(always)]
            |v| v.to_le_bytes(),
        ),
        Dtype::F16 => back(
            values,
            out,
            #[inline(always)]
            |v| to_half(v).to_le_bytes(),
        ),
        Dtype::Bf16 => back(
            values,
            out,
            #[inline(always)]
            |v| to_bf16(v).to_le_bytes(),
        ),
        Dtype::I64 => back(
            values,
            out,
            #[inline(always)]
            |v| (v.round_ties_even() as i64).to_le_bytes(),
        ),
        _ => {}
    }
}

fn back<const N: usize>(values: &[f32], out: &mut [u8], number: impl Fn(f32) -> [u8; N]) {
    wide(
        #[inline(always)]
        || {
            for (word, v) in out.as_chunks_mut().0.iter_mut().zip(values) {
                *word = number(*v);
            }
        },
    );
}

/// Rounds to what a type can hold, in place.
pub fn round(dtype: Dtype, values: &mut [f32]) {
    match dtype {
        Dtype::F16 => wide(
            #[inline(always)]
            || values.iter_mut().for_each(|v| *v = of_half(to_half(*v))),
        ),
        Dtype::Bf16 => wide(
            #[inline(always)]
            || values.iter_mut().for_each(|v| *v = f32::from_bits(u32::from(to_bf16(*v)) << 16)),
        ),
        Dtype::I64 => values.iter_mut().for_each(|v| *v = v.round_ties_even()),
        _ => {}
    }
}

/// The position of the first number that is not finite once it has been rounded to a type.
pub fn not_finite(dtype: Dtype, values: &[f32]) -> Option<usize> {
    // Beyond these a number rounds to infinity.
    let bound = match dtype {
        Dtype::F16 => 65520.0,
        Dtype::Bf16 => f32::from_bits(0x7f7f_8000),
        Dtype::I64 => 9.223_372e18,
        _ => f32::INFINITY,
    };
    let bad = wide(
        #[inline(always)]
        || values.iter().fold(false, |bad, v| bad | (v.abs() < bound).eq(&false)),
    );
    if bad { values.iter().position(|v| v.is_nan() || v.abs() >= bound) } else { None }
}

/// The first of little-endian floats of a type that is infinite or no number.
pub fn not_finite_bytes(dtype: Dtype, bytes: &[u8]) -> Option<usize> {
    match dtype {
        Dtype::F64 => first(bytes, |b| u64::from_le_bytes(b) & 0x7ff0 << 48 == 0x7ff0 << 48),
        Dtype::F32 => first(bytes, |b| u32::from_le_bytes(b) & 0x7f80_0000 == 0x7f80_0000),
        Dtype::F16 => first(bytes, |b| u16::from_le_bytes(b) & 0x7c00 == 0x7c00),
        Dtype::Bf16 => first(bytes, |b| u16::from_le_bytes(b) & 0x7f80 == 0x7f80),
        _ => None,
    }
}

fn first<const N: usize>(bytes: &[u8], is: impl Fn([u8; N]) -> bool) -> Option<usize> {
    let all = bytes.as_chunks().0;
    let any = wide(
        #[inline(always)]
        || all.iter().fold(false, |any, word| any | is(*word)),
    );
    if any { all.iter().position(|word| is(*word)) } else { None }
}

/// What the sum of numbers of two types has, where types are mixed: the larger of them, and of two unlike ones of 16 bits 32 bits.
pub fn promoted(a: Dtype, b: Dtype) -> Dtype {
    match (a.bytes().cmp(&b.bytes()), a == b) {
        (_, true) | (Ordering::Greater, _) => a,
        (Ordering::Less, _) => b,
        (Ordering::Equal, false) => Dtype::F32,
    }
}

/// A 16-bit float: a sign, 5 bits of exponent (bias 15), 10 of mantissa. Every one fits into 32 bits.
#[inline(always)]
fn of_half(bits: u16) -> f32 {
    let bits = u32::from(bits);
    let sign = (bits & 0x8000) << 16;
    let size = bits & 0x7fff;
    // Exponent and mantissa where 32 bits have them; the product moves the bias and makes small numbers normal.
    let value = f32::from_bits(size << 13) * f32::from_bits((254 - 15) << 23);
    let special = if size >= 0x7c00 { 0x7f80_0000 } else { 0 };
    f32::from_bits(sign | special | value.to_bits())
}

/// The nearest 16-bit float.
#[inline(always)]
fn to_half(value: f32) -> u16 {
    let bits = value.to_bits();
    let sign = (bits >> 16) & 0x8000;
    let size = bits & 0x7fff_ffff;
    // Below the smallest normal number: adding a number of the right size rounds to its last place.
    let small = (f32::from_bits(size) + 0.5).to_bits().wrapping_sub(0x3f00_0000);
    // The others: the bias moved, and rounded by adding just under half, or half where the last bit is odd.
    let odd = (size >> 13) & 1;
    let normal = size.wrapping_sub((127 - 15) << 23).wrapping_add(0xfff + odd) >> 13;
    let finite = if size < 113 << 23 { small } else { normal };
    let rounded = if size >= 0x477f_f000 { 0x7c00 } else { finite };
    let whole = if size > 0x7f80_0000 { 0x7e00 } else { rounded };
    (sign | whole) as u16
}

/// The nearest number of the upper 16 bits of a 32-bit float.
#[inline(always)]
fn to_bf16(value: f32) -> u16 {
    let bits = value.to_bits();
    let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16;
    let whole = if bits & 0x7fff_ffff > 0x7f80_0000 { (bits >> 16) | 0x40 } else { rounded };
    whole as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every 16-bit float, plainly.
    fn plain_half(bits: u16) -> f32 {
        let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
        let (exponent, mantissa) = (i32::from(bits >> 10 & 31), f32::from(bits & 1023));
        match exponent {
            0 => sign * mantissa * 2f32.powi(-24),
            31 if mantissa == 0.0 => sign * f32::INFINITY,
            31 => f32::NAN,
            _ => sign * (1.0 + mantissa / 1024.0) * 2f32.powi(exponent - 15),
        }
    }

    #[test]
    fn every_half_is_read_and_written_back() {
        for bits in 0..=u16::MAX {
            let (value, plain) = (of_half(bits), plain_half(bits));
            if plain.is_nan() {
                assert!(value.is_nan() && of_half(to_half(value)).is_nan(), "{bits:#x}");
            } else {
                assert_eq!(value.to_bits(), plain.to_bits(), "{bits:#x}");
                assert_eq!(to_half(value), bits, "{bits:#x}");
            }
        }
    }

    /// The nearest of the numbers of a type between which a value lies, the even one of two.
    fn nearest(value: f32, of: impl Fn(u16) -> f32) -> u16 {
        let sign = if value.is_sign_negative() { 0x8000 } else { 0 };
        let (mut low, mut high) = (0u16, 0x7fff);
        while of(high).is_nan() {
            high -= 1;
        }
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if f64::from(of(middle)) <= f64::from(value.abs()) { low = middle } else { high = middle }
        }
        let gap = |bits: u16| {
            let v = of(bits);
            // The number after the largest stands for infinity.
            let v = if v.is_infinite() {
                2.0 * f64::from(of(bits - 1)) - f64::from(of(bits - 2))
            } else {
                f64::from(v)
            };
            (v - f64::from(value.abs())).abs()
        };
        let best = match gap(low).total_cmp(&gap(high)) {
            std::cmp::Ordering::Less => low,
            std::cmp::Ordering::Greater => high,
            std::cmp::Ordering::Equal => {
                if low & 1 == 0 {
                    low
                } else {
                    high
                }
            }
        };
        sign | best
    }

    #[test]
    fn numbers_are_rounded_to_the_nearest() {
        let bf16 = |bits: u16| f32::from_bits(u32::from(bits) << 16);
        let mut state = 1u32;
        for _ in 0..200_000 {
            state = state.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
            let mixed = (state >> ((state >> 28) + 4)) ^ state;
            let value = f32::from_bits(mixed.wrapping_mul(277_803_737));
            if value.is_nan() {
                continue;
            }
            assert_eq!(to_bf16(value), nearest(value, bf16), "{value:e}");
            let near = f32::from_bits((value.to_bits() & 0x8fff_ffff) | 0x3000_0000);
            assert_eq!(to_half(near), nearest(near, plain_half), "{near:e}");
        }
        for value in [
            65519.99,
            65520.0,
            1e30,
            2f32.powi(-25),
            2f32.powi(-25) * 1.0001,
            2f32.powi(-24) * 1.5,
            0.0,
            -0.0,
        ] {
            assert_eq!(to_half(value), nearest(value, plain_half), "{value:e}");
        }
        assert!(bf16(to_bf16(f32::NAN)).is_nan() && bf16(to_bf16(f32::from_bits(0x7f80_0001))).is_nan());
    }

    #[test]
    fn what_overflows_is_found() {
        assert_eq!(not_finite(Dtype::F32, &[1.0, f32::NAN]), Some(1));
        assert_eq!(not_finite(Dtype::F32, &[1.0, f32::INFINITY]), Some(1));
        assert_eq!(not_finite(Dtype::F32, &[f32::MAX]), None);
        assert_eq!(not_finite(Dtype::F16, &[65519.0]), None);
        for (dtype, fine, bad) in [
            (Dtype::F64, 1e300f64.to_le_bytes().to_vec(), f64::NAN.to_le_bytes().to_vec()),
            (Dtype::F32, f32::MAX.to_le_bytes().to_vec(), f32::NEG_INFINITY.to_le_bytes().to_vec()),
            (Dtype::F16, vec![0xff, 0x7b], vec![0x00, 0xfc]),
            (Dtype::Bf16, vec![0x7f, 0x7f], vec![0xc0, 0x7f]),
        ] {
            assert_eq!(not_finite_bytes(dtype, &[fine.clone(), fine.clone()].concat()), None, "{dtype}");
            assert_eq!(not_finite_bytes(dtype, &[fine, bad].concat()), Some(1), "{dtype}");
        }
        assert_eq!(promoted(Dtype::Bf16, Dtype::F16), Dtype::F32);
        assert_eq!(promoted(Dtype::Bf16, Dtype::F32), Dtype::F32);
        assert_eq!(promoted(Dtype::F64, Dtype::F32), Dtype::F64);
        assert_eq!(promoted(Dtype::F16, Dtype::F16), Dtype::F16);
        assert_eq!(not_finite(Dtype::F16, &[-65520.0]), Some(0));
        assert_eq!(not_finite(Dtype::Bf16, &[f32::from_bits(0x7f7f_7fff)]), None);
        assert_eq!(not_finite(Dtype::Bf16, &[f32::MAX]), Some(0));
        let mut bytes = [0u8; 8];
        encode(Dtype::I64, &[-2.5], &mut bytes);
        assert_eq!(i64::from_le_bytes(bytes), -2);
        encode(Dtype::Bf16, &[1.0, f32::from_bits(0x3f80_8000)], &mut bytes[..4]);
        let mut back = [0.0; 2];
        decode(Dtype::Bf16, &bytes[..4], &mut back);
        assert_eq!(back, [1.0, 1.0]);
    }
}
