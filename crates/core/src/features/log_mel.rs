//! A sound becomes a logarithmic mel spectrogram.

use std::f64::consts::PI;
use std::sync::Arc;

use rayon::prelude::*;
use realfft::{RealFftPlanner, RealToComplex};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::reading::{accept, audios, damaged, one_rate, other_rate};
use crate::error::{Error, Result};
use crate::model::{Column, Context, Feature, Field, FittedFeature, Kind, Loaders, Parts, Vectors};
use crate::registry::Method;

/// `ln(sum_f F[m, f] |X[t, f]|^2 + 1e-6)`: the power spectrum of each frame, summed under triangles that are equally
/// wide on the mel scale.
///
/// Frame `t` starts at sample `t * hop`, holds `n_fft` samples and is weighted by a periodic Hann window. Only the first
/// `frames * hop` samples of a sound are read; shorter sounds are followed by silence. The triangles run from `low` to
/// `high` with corners equally spaced in mel, `mel(f) = 2595 log10(1 + f / 700)`, straight in hertz, with height 1.
///
/// # Shapes
/// A sound gives `[1, mels, frames]`.
///
/// # Errors
/// All sounds must have one rate; nothing is resampled.
///
/// # Reference
/// Stevens, Volkmann, Newman 1937 (mel); Young et al., The HTK Book (formula and triangles).
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LogMel {
    /// Samples in a frame.
    #[schemars(range(min = 2, max = 65536))]
    pub n_fft: usize,
    /// Samples from one frame to the next.
    #[schemars(range(min = 1, max = 65536))]
    pub hop: usize,
    /// Frames a sound gives: longer sounds are cut, shorter ones followed by silence.
    #[schemars(range(min = 1, max = 65536))]
    pub frames: usize,
    /// Triangles.
    #[schemars(range(min = 1, max = 1024))]
    pub mels: usize,
    /// Where the lowest triangle begins, in Hz.
    #[schemars(range(min = 0))]
    pub low: f64,
    /// Where the highest triangle ends, in Hz. Default: half the rate.
    pub high: Option<f64>,
    /// The rate that sounds must have, in Hz. Default: the one of the training rows.
    pub rate: Option<u32>,
}

impl Default for LogMel {
    fn default() -> Self {
        Self { n_fft: 256, hop: 128, frames: 64, mels: 32, low: 0.0, high: None, rate: None }
    }
}

impl Method for LogMel {
    const NAME: &'static str = "log_mel";
    const ABOUT: &'static str = "sounds as logarithmic mel spectrograms of a fixed number of frames";

    fn validate(&self) -> Result<()> {
        for (key, value, low, high) in [
            ("n_fft", self.n_fft, 2, 65_536),
            ("hop", self.hop, 1, 65_536),
            ("frames", self.frames, 1, 65_536),
            ("mels", self.mels, 1, 1_024),
        ] {
            if !(low..=high).contains(&value) {
                let error = Error::argument("the number is out of range").at(key);
                return Err(error.expected(format!("{low} to {high}")).got(value));
            }
        }
        let high = self.high.unwrap_or(f64::MAX);
        if !(self.low >= 0.0 && high > self.low && high.is_finite()) {
            return Err(Error::argument("the triangles have no room")
                .expected("0 <= low < high")
                .got(format!("low {} and high {high}", self.low)));
        }
        if self.rate == Some(0) {
            return Err(Error::argument("a rate is positive").at("rate").got(0));
        }
        Ok(())
    }
}

impl Feature for LogMel {
    fn output(&self, input: &Field) -> Result<Field> {
        accept(Self::NAME, input, &[Kind::Audio])?;
        Ok(Field::vector(&input.name, vec![1, self.mels, self.frames]))
    }

    fn learns(&self) -> bool {
        false
    }

    fn fit(&self, input: &Field, column: &Column, _: &Context<'_>) -> Result<Box<dyn FittedFeature>> {
        let output = self.output(input)?;
        let sounds = audios(Self::NAME, &input.name, column)?;
        let rate = one_rate(Self::NAME, &input.name, sounds, self.rate)?;
        let settings =
            Self { rate: Some(rate), high: Some(self.high.unwrap_or(f64::from(rate) / 2.0)), ..self.clone() };
        Ok(Box::new(LogMels::new(settings, output, rate)?))
    }
}

/// Fitted [`LogMel`].
struct LogMels {
    /// With rate and high written out.
    settings: LogMel,
    output: Field,
    rate: u32,
    window: Vec<f64>,
    /// For each triangle the first bin and its weights from there.
    triangles: Vec<(usize, Vec<f64>)>,
    transform: Arc<dyn RealToComplex<f64>>,
}

impl LogMels {
    fn new(settings: LogMel, output: Field, rate: u32) -> Result<Self> {
        let n = settings.n_fft;
        let half = f64::from(rate) / 2.0;
        let high = settings.high.unwrap_or(half);
        if high > half || high <= settings.low {
            return Err(Error::argument("the triangles do not fit below half the rate")
                .at(format!("{}: log_mel", output.name))
                .expected(format!("low < high <= {half} Hz"))
                .got(format!("low {} and high {high}", settings.low)));
        }
        let triangles = triangles(settings.mels, n, f64::from(rate), settings.low, high);
        if let Some(m) = triangles.iter().position(|(_, w)| w.is_empty()) {
            return Err(Error::argument(
                "a triangle lies between two frequencies of the spectrum and would be empty",
            )
            .at(format!("{}: log_mel", output.name))
            .got(format!("triangle {m} of {}, {n} samples in a frame", settings.mels))
            .remedy("take fewer mels or a larger n_fft"));
        }
        Ok(Self {
            window: (0..n).map(|i| 0.5 - 0.5 * (2.0 * PI * i as f64 / n as f64).cos()).collect(),
            triangles,
            transform: RealFftPlanner::new().plan_fft_forward(n),
            settings,
            output,
            rate,
        })
    }

    /// The spectrogram of one sound into `[mels, frames]`.
    fn sound(&self, samples: &[f32], out: &mut [f32]) -> Result<()> {
        let LogMel { hop, frames, .. } = self.settings;
        let samples = samples.get(..frames.saturating_mul(hop)).unwrap_or(samples);
        let mut frame = self.transform.make_input_vec();
        let mut spectrum = self.transform.make_output_vec();
        let mut scratch = self.transform.make_scratch_vec();
        let mut power = vec![0.0; spectrum.len()];
        for t in 0..frames {
            let from = samples.get(t * hop..).unwrap_or(&[]).iter().map(|s| f64::from(*s));
            let padded = from.chain(std::iter::repeat(0.0));
            for ((f, w), s) in frame.iter_mut().zip(&self.window).zip(padded) {
                *f = s * w;
            }
            self.transform
                .process_with_scratch(&mut frame, &mut spectrum, &mut scratch)
                .map_err(|e| Error::internal(e.to_string()))?;
            for (p, x) in power.iter_mut().zip(&spectrum) {
                *p = x.norm_sqr();
            }
            for (m, (first, weights)) in self.triangles.iter().enumerate() {
                let energy: f64 = power.iter().skip(*first).zip(weights).map(|(p, w)| p * w).sum();
                if let Some(o) = out.get_mut(m * frames + t) {
                    *o = (energy + 1e-6).ln() as f32;
                }
            }
        }
        Ok(())
    }
}

/// The triangles over the bins of a spectrum of `n` samples, without the zeros at both ends.
fn triangles(mels: usize, n: usize, rate: f64, low: f64, high: f64) -> Vec<(usize, Vec<f64>)> {
    let mel = |f: f64| 2595.0 * (1.0 + f / 700.0).log10();
    let hertz = |m: f64| 700.0 * (10f64.powf(m / 2595.0) - 1.0);
    let step = (mel(high) - mel(low)) / (mels + 1) as f64;
    let corner = |i: usize| hertz(mel(low) + step * i as f64);
    (0..mels)
        .map(|m| {
            let (left, center, right) = (corner(m), corner(m + 1), corner(m + 2));
            let height = |bin: usize| {
                let f = bin as f64 * rate / n as f64;
                ((f - left) / (center - left)).min((right - f) / (right - center)).max(0.0)
            };
            let first = (0..=n / 2).find(|b| height(*b) > 0.0).unwrap_or(0);
            (first, (first..=n / 2).map(height).take_while(|h| *h > 0.0).collect())
        })
        .collect()
}

impl FittedFeature for LogMels {
    fn kind(&self) -> &'static str {
        LogMel::NAME
    }

    fn output(&self) -> &Field {
        &self.output
    }

    fn apply(&self, column: &Column) -> Result<Column> {
        let name = &self.output.name;
        let sounds = audios(LogMel::NAME, name, column)?;
        let width: usize = self.output.shape.iter().product();
        let mut data = vec![0.0; sounds.len() * width];
        data.par_chunks_mut(width).enumerate().try_for_each(|(row, out)| match sounds.get(row) {
            Some((rate, samples)) if rate == self.rate => self.sound(samples, out),
            Some((rate, _)) => Err(other_rate(name, self.rate, rate)),
            None => Ok(()),
        })?;
        Ok(Column::Vector(Vectors {
            shape: self.output.shape.clone(),
            data,
            absent: sounds.absent().clone(),
        }))
    }

    fn save(&self) -> Result<Parts> {
        Ok(Parts::new(self.kind(), json!({"output": self.output, "settings": self.settings})))
    }
}

/// Loads a fitted [`LogMel`].
pub(super) fn load(parts: &Parts, _: &Loaders) -> Result<Box<dyn FittedFeature>> {
    let (output, settings): (Field, LogMel) = (parts.field("output")?, parts.field("settings")?);
    settings.validate().map_err(|_| damaged(parts))?;
    let fits = output.shape == [1, settings.mels, settings.frames];
    let rate = settings.rate.filter(|_| fits).ok_or_else(|| damaged(parts))?;
    Ok(Box::new(LogMels::new(settings, output, rate).map_err(|_| damaged(parts))?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::conformance::{fit, golden, shared};
    use crate::model::Audios;

    fn spectrograms(parameters: serde_json::Value, sounds: Audios) -> Vectors {
        let column = Column::Audio(sounds);
        let step = fit("log_mel", parameters, &Field::new("a", Kind::Audio), &column).unwrap();
        let Column::Vector(out) = step.apply(&column).unwrap() else { panic!() };
        out
    }

    #[test]
    fn a_made_sound_matches_numpy() {
        let golden = golden("log_mel");
        let length = golden["samples"].as_u64().unwrap();
        // The same integers as in the script that made the expected values.
        let samples: Vec<f32> =
            (0..length).map(|i| ((i * i * 7 + i * 13) % 2001) as f32 / 1024.0 - 1000.0 / 1024.0).collect();
        let mut sounds = Audios::default();
        sounds.push(8000, &samples);
        let out = spectrograms(json!({"frames": 6, "mels": 16, "low": 100, "high": 3500}), sounds);
        let expected: Vec<f64> = serde_json::from_value(golden["values"].clone()).unwrap();
        assert_eq!(out.shape, [1, 16, 6]);
        for (a, b) in out.data.iter().zip(&expected) {
            assert!((f64::from(*a) - b).abs() < 1e-5, "{a} {b}");
        }
    }

    #[test]
    fn every_shipped_cell_comes_back() {
        let Some(shared) = shared() else { return };
        let root = shared.join("multimodal/av-mnist");
        let cells = std::fs::read(root.join("audio_logmel_u8.npy")).unwrap();
        let cells = &cells[cells.len() - 3000 * 32 * 64..];
        let mut sounds = Audios::default();
        for record in csv::Reader::from_path(root.join("audio_index.csv")).unwrap().records() {
            let file = root.join("recordings").join(&record.unwrap()[0]);
            let mut wav = hound::WavReader::open(file).unwrap();
            let samples: Vec<f32> = wav.samples::<i16>().map(|s| f32::from(s.unwrap()) / 32768.0).collect();
            sounds.push(wav.spec().sample_rate, &samples);
        }
        assert_eq!(sounds.len(), 3000);
        let out = spectrograms(json!({}), sounds);
        let byte =
            |v: &f32| ((f64::from(*v) + 14.0) / 22.0 * 255.0).round_ties_even().clamp(0.0, 255.0) as u8;
        let wrong: Vec<u8> =
            out.data.iter().zip(cells).map(|(v, c)| byte(v).abs_diff(*c)).filter(|d| *d > 0).collect();
        println!("{} of {} cells differ", wrong.len(), cells.len());
        // A value that lies on the edge between two bytes may fall to either side: a handful, by one level.
        assert!(
            wrong.len() <= 5 && wrong.iter().all(|d| *d == 1),
            "{} cells, {:?}",
            wrong.len(),
            wrong.iter().max()
        );
    }

    #[test]
    fn rates_and_ranges_that_cannot_be_are_named() {
        let field = Field::new("a", Kind::Audio);
        let mut sounds = Audios::default();
        sounds.push(8000, &[0.1; 300]);
        let one = Column::Audio(sounds.clone());
        sounds.push(16000, &[0.1; 300]);
        let two = Column::Audio(sounds);
        let message = |parameters, column: &Column| match fit("log_mel", parameters, &field, column) {
            Ok(_) => String::new(),
            Err(e) => e.to_string(),
        };
        assert!(message(json!({}), &two).contains("16000 Hz"));
        assert!(message(json!({"rate": 16000}), &one).contains("8000 Hz"));
        assert!(message(json!({"high": 5000}), &one).contains("half the rate"));
        assert!(message(json!({"mels": 200}), &one).contains("fewer mels"));
        assert!(crate::features::REGISTRY.build("log_mel", &json!({"low": 10, "high": 5})).is_err());
        let step = fit("log_mel", json!({}), &field, &one).unwrap();
        assert!(step.apply(&two).unwrap_err().to_string().contains("rates"));
    }
}
