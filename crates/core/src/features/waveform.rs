//! A sound becomes its samples, as many for each.

use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::reading::{accept, audios, damaged, one_rate, other_rate};
use crate::error::{Error, Result};
use crate::model::{Column, Context, Feature, Field, FittedFeature, Kind, Loaders, Parts, Vectors};
use crate::registry::Method;

/// The most samples of a row: three minutes at 48 kHz.
const LONGEST: usize = 1 << 23;

/// The first samples of a sound; shorter sounds are followed by silence.
///
/// # Shapes
/// A sound gives `[1, 1, samples]`, values from -1 to 1.
///
/// # Errors
/// All sounds must have one rate; nothing is resampled.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Waveform {
    /// Samples a sound gives: longer sounds are cut, shorter ones followed by silence.
    #[schemars(range(min = 1, max = 8388608))]
    pub samples: usize,
    /// The rate that sounds must have, in Hz. Default: the one of the training rows.
    pub rate: Option<u32>,
}

impl Default for Waveform {
    fn default() -> Self {
        Self { samples: 8192, rate: None }
    }
}

impl Method for Waveform {
    const NAME: &'static str = "waveform";
    const ABOUT: &'static str = "sounds as a fixed number of samples";

    fn validate(&self) -> Result<()> {
        if !(1..=LONGEST).contains(&self.samples) {
            let error = Error::argument("the number is out of range").at("samples");
            return Err(error.expected(format!("1 to {LONGEST}")).got(self.samples));
        }
        if self.rate == Some(0) {
            return Err(Error::argument("a rate is positive").at("rate").got(0));
        }
        Ok(())
    }
}

impl Feature for Waveform {
    fn output(&self, input: &Field) -> Result<Field> {
        accept(Self::NAME, input, &[Kind::Audio])?;
        Ok(Field::vector(&input.name, vec![1, 1, self.samples]))
    }

    fn fit(&self, input: &Field, column: &Column, _: &Context<'_>) -> Result<Box<dyn FittedFeature>> {
        let output = self.output(input)?;
        let sounds = audios(Self::NAME, &input.name, column)?;
        let rate = one_rate(Self::NAME, &input.name, sounds, self.rate)?;
        Ok(Box::new(Samples { output, rate }))
    }
}

/// Fitted [`Waveform`].
struct Samples {
    /// `[1, 1, samples]`.
    output: Field,
    rate: u32,
}

impl FittedFeature for Samples {
    fn kind(&self) -> &'static str {
        Waveform::NAME
    }

    fn output(&self) -> &Field {
        &self.output
    }

    fn apply(&self, column: &Column) -> Result<Column> {
        let name = &self.output.name;
        let sounds = audios(Waveform::NAME, name, column)?;
        let width: usize = self.output.shape.iter().product();
        let mut data = vec![0.0; sounds.len() * width];
        data.par_chunks_mut(width).enumerate().try_for_each(|(row, out)| match sounds.get(row) {
            Some((rate, samples)) if rate == self.rate => {
                out.iter_mut().zip(samples).for_each(|(o, s)| *o = *s);
                Ok(())
            }
            Some((rate, _)) => Err(other_rate(name, self.rate, rate)),
            None => Ok(()),
        })?;
        let absent = sounds.absent().clone();
        Ok(Column::Vector(Vectors { shape: self.output.shape.clone(), data, absent }))
    }

    fn save(&self) -> Result<Parts> {
        Ok(Parts::new(self.kind(), json!({"output": self.output, "rate": self.rate})))
    }
}

/// Loads a fitted [`Waveform`].
pub(super) fn load(parts: &Parts, _: &Loaders) -> Result<Box<dyn FittedFeature>> {
    let (output, rate): (Field, u32) = (parts.field("output")?, parts.field("rate")?);
    match output.shape.as_slice() {
        [1, 1, samples] if (1..=LONGEST).contains(samples) && rate > 0 => {
            Ok(Box::new(Samples { output, rate }))
        }
        _ => Err(damaged(parts)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::conformance::fit;
    use crate::model::Audios;

    #[test]
    fn long_sounds_are_cut_and_short_ones_end_in_silence() {
        let mut sounds = Audios::default();
        sounds.push(8000, &[0.5, -0.5]);
        sounds.push(8000, &[0.1, 0.2, 0.3, 0.4]);
        let (field, column) = (Field::new("a", Kind::Audio), Column::Audio(sounds.clone()));
        let step = fit("waveform", json!({"samples": 3}), &field, &column).unwrap();
        let Column::Vector(out) = step.apply(&column).unwrap() else { panic!() };
        assert_eq!((out.shape, out.data), (vec![1, 1, 3], vec![0.5, -0.5, 0.0, 0.1, 0.2, 0.3]));
        sounds.push(16000, &[0.1]);
        let error = step.apply(&Column::Audio(sounds.clone())).unwrap_err().to_string();
        assert!(error.contains("16000 Hz"), "{error}");
        assert!(fit("waveform", json!({}), &field, &Column::Audio(sounds)).is_err());
        assert!(fit("waveform", json!({"rate": 4000}), &field, &column).is_err());
    }
}
