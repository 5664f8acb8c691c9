//! WAV sounds: 8, 16, 24 and 32 bits, whole numbers or floats, one channel or several.

use crate::error::{Error, Result};

/// A sound of one channel.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sound {
    /// Samples in a second.
    pub(crate) rate: u32,
    /// The samples, in [-1, 1]; floats are as the file has them.
    pub(crate) samples: Vec<f32>,
}

/// Decodes the bytes of a WAV file. Whole numbers of `b` bits are divided by `2^(b-1)`; channels are averaged.
///
/// # Errors
/// [`Error::Data`] naming the file if it is no WAV file, was cut short (the length in its header is compared with the
/// file's before any sample is decoded), holds no samples, another encoding, or a number that is not finite.
#[cfg(feature = "audio")]
pub(crate) fn decode_wav(bytes: &[u8], name: &str) -> Result<Sound> {
    let channels = check_chunks(bytes, name)?;
    let broken = |e: hound::Error| {
        Error::data(format!("the sound cannot be decoded: {e}"))
            .at(name)
            .expected("WAV of 8, 16, 24 or 32 bits")
            .remedy("it is damaged or of another kind: get it again, or convert it to 16 bits")
    };
    let mut reader = hound::WavReader::new(bytes).map_err(broken)?;
    let spec = reader.spec();
    let all: Vec<f32> = match spec.sample_format {
        hound::SampleFormat::Float => {
            reader.samples::<f32>().collect::<std::result::Result<_, _>>().map_err(broken)?
        }
        hound::SampleFormat::Int => {
            let scale = 1.0 / 2f64.powi(i32::from(spec.bits_per_sample) - 1);
            reader
                .samples::<i32>()
                .map(|s| s.map(|s| (f64::from(s) * scale) as f32))
                .collect::<std::result::Result<_, _>>()
                .map_err(broken)?
        }
    };
    if let Some(at) = all.iter().position(|s| !s.is_finite()) {
        return Err(Error::data(format!("sample {at} of the sound is not finite")).at(name));
    }
    let samples = if channels == 1 {
        all
    } else {
        let mean =
            |frame: &[f32]| (frame.iter().map(|s| f64::from(*s)).sum::<f64>() / f64::from(channels)) as f32;
        all.chunks_exact(usize::from(channels)).map(mean).collect()
    };
    Ok(Sound { rate: spec.sample_rate, samples })
}

/// Decodes the bytes of a WAV file: not in this build.
///
/// # Errors
/// [`Error::Data`] always.
#[cfg(not(feature = "audio"))]
pub(crate) fn decode_wav(_bytes: &[u8], name: &str) -> Result<Sound> {
    Err(Error::data("this build cannot read sounds").at(name).remedy("build it with the feature audio"))
}

/// Walks the chunks and checks every claimed length against what is there; gives the number of channels.
#[cfg(feature = "audio")]
fn check_chunks(bytes: &[u8], name: &str) -> Result<u16> {
    let malformed = |what: &str| {
        Error::data(format!("the file is no valid WAV sound: {what}"))
            .at(name)
            .remedy("it is damaged or of another format; save it as WAV (PCM)")
    };
    let word = |at: usize| -> Option<u32> {
        bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map(u32::from_le_bytes)
    };
    let half = |at: usize| -> Option<u16> {
        bytes.get(at..at + 2).and_then(|b| b.try_into().ok()).map(u16::from_le_bytes)
    };
    if bytes.get(..4) != Some(b"RIFF") || bytes.get(8..12) != Some(b"WAVE") {
        return Err(malformed("it does not begin with RIFF and WAVE"));
    }
    let mut format: Option<(u16, u16)> = None;
    let mut at = 12usize;
    loop {
        let (Some(id), Some(size)) = (bytes.get(at..at + 4), word(at + 4)) else {
            return Err(malformed(if format.is_some() { "it has no samples" } else { "it has no format" }));
        };
        let there = bytes.len() - (at + 8);
        if u64::from(size) > there as u64 {
            return Err(Error::data("the sound was cut short")
                .at(name)
                .expected(format!("{size} bytes of \"{}\"", id.escape_ascii()))
                .got(format!("{there} bytes"))
                .remedy("get the file again"));
        }
        let body = at + 8;
        if id == b"fmt " {
            let (Some(channels), Some(rate), Some(block), Some(bits)) =
                (half(body + 2), word(body + 4), half(body + 12), half(body + 14))
            else {
                return Err(malformed("its format is too short"));
            };
            if size < 16 || channels == 0 || rate == 0 {
                return Err(malformed("its format has no channels or no rate"));
            }
            if !matches!(bits, 8 | 16 | 24 | 32)
                || u32::from(block) != u32::from(channels) * u32::from(bits / 8)
            {
                return Err(malformed(&format!("{bits} bits in blocks of {block} bytes are not supported")));
            }
            format = Some((channels, block));
        }
        if id == b"data" {
            let Some((channels, block)) = format else { return Err(malformed("it has no format")) };
            if size == 0 {
                return Err(malformed("it has no samples"));
            }
            if size % u32::from(block) != 0 {
                return Err(malformed("its samples do not fill whole frames"));
            }
            return Ok(channels);
        }
        // Chunks are padded to even lengths.
        at = body + size as usize + (size % 2) as usize;
    }
}

#[cfg(all(test, feature = "audio"))]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
pub(crate) mod tests {
    use std::io::Cursor;

    use hound::{SampleFormat, WavSpec, WavWriter};
    use proptest::prelude::*;

    use super::*;

    /// A WAV file of whole numbers.
    pub(crate) fn wav(channels: u16, bits: u16, samples: &[i32]) -> Vec<u8> {
        let spec =
            WavSpec { channels, sample_rate: 8000, bits_per_sample: bits, sample_format: SampleFormat::Int };
        let mut out = Cursor::new(Vec::new());
        let mut w = WavWriter::new(&mut out, spec).unwrap();
        samples.iter().for_each(|s| w.write_sample(*s).unwrap());
        w.finalize().unwrap();
        out.into_inner()
    }

    #[test]
    fn all_depths_and_channels_are_read() {
        for (bits, sample) in [(8u16, 64), (16, 1 << 14), (24, 1 << 22), (32, 1 << 30)] {
            let sound = decode_wav(&wav(1, bits, &[sample, -sample, 0]), "a.wav").unwrap();
            assert_eq!(sound, Sound { rate: 8000, samples: vec![0.5, -0.5, 0.0] }, "{bits} bits");
        }
        let stereo = decode_wav(&wav(2, 16, &[1 << 14, 0, -(1 << 14), 1 << 14]), "a.wav").unwrap();
        assert_eq!(stereo.samples, [0.25, 0.0]);
        let spec = WavSpec {
            channels: 1,
            sample_rate: 44100,
            bits_per_sample: 32,
            sample_format: SampleFormat::Float,
        };
        for (value, fine) in [(0.75f32, true), (f32::NAN, false)] {
            let mut out = Cursor::new(Vec::new());
            let mut w = WavWriter::new(&mut out, spec).unwrap();
            w.write_sample(value).unwrap();
            w.finalize().unwrap();
            let sound = decode_wav(out.get_ref(), "a.wav");
            assert_eq!(sound.is_ok(), fine);
            if fine {
                assert_eq!(sound.unwrap().samples, [0.75]);
            }
        }
    }

    #[test]
    fn cut_and_foreign_files_are_refused_by_name() {
        let good = wav(1, 16, &[1, 2, 3, 4]);
        let mut endless = good.clone();
        let at = endless.windows(4).position(|w| w == b"data").unwrap() + 4;
        endless[at..at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
        for (bytes, says) in [
            (good[..good.len() - 3].to_vec(), "cut short"),
            (endless, "cut short"),
            (good[..20].to_vec(), "cut short"),
            (good[..12].to_vec(), "no format"),
            (b"\x89PNG\r\n".to_vec(), "RIFF"),
            (Vec::new(), "RIFF"),
            (wav(1, 16, &[]), "no samples"),
        ] {
            let error = decode_wav(&bytes, "a.wav").unwrap_err().to_string();
            assert!(error.starts_with("a.wav: ") && error.contains(says), "{error} lacks {says}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

        /// No change of a valid file can panic, nor give more samples than there were bytes.
        #[test]
        fn mutations_never_panic_nor_grow(
            changes in prop::collection::vec((0usize..60, any::<u8>()), 1..5), cut in 1usize..80,
        ) {
            let mut bytes = wav(2, 16, &[1, -2, 3, 4, 5, 6]);
            for (at, value) in changes {
                let n = bytes.len();
                bytes[at % n] = value;
            }
            bytes.truncate(cut);
            if let Ok(sound) = decode_wav(&bytes, "a.wav") {
                prop_assert!(sound.samples.len() <= bytes.len());
            }
        }
    }
}
