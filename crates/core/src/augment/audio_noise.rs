//! Noise on a sound.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::transform::{Draw, Sample, Transform, uniform, within};
use crate::error::{Error, Result};
use crate::model::Kind;
use crate::registry::Method;
use crate::seed::Rng;

/// Adds white normal noise at a ratio of powers between `min` and `max`, all decibels equally likely:
/// `deviation^2 = mean(x^2) / 10^(ratio / 10)`. Samples are clipped to -1..1; silence stays silent.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AudioNoise {
    /// The smallest ratio of the sound's power to the noise's, in decibels: the most noise.
    #[schemars(range(min = -60, max = 120))]
    pub min: f64,
    /// The largest ratio, in decibels: the least noise.
    #[schemars(range(min = -60, max = 120))]
    pub max: f64,
}

impl Default for AudioNoise {
    fn default() -> Self {
        Self { min: 5.0, max: 30.0 }
    }
}

impl Method for AudioNoise {
    const NAME: &'static str = "audio_noise";
    const ABOUT: &'static str = "sounds with white noise at a ratio of powers";

    fn validate(&self) -> Result<()> {
        within("min", self.min, -60.0, 120.0)?;
        within("max", self.max, -60.0, 120.0)?;
        if self.min > self.max {
            return Err(
                Error::argument("min is above max").got(format!("min {}, max {}", self.min, self.max))
            );
        }
        Ok(())
    }
}

impl Transform for AudioNoise {
    fn accepts(&self, kind: Kind) -> bool {
        kind == Kind::Audio
    }

    /// The ratio in decibels.
    fn draw(&self, _: &Sample<'_>, rng: &mut Rng) -> Draw {
        let ratio = uniform(rng, self.min, self.max);
        Draw::noisy([ratio], rng)
    }

    fn apply(&self, draw: &Draw, sample: &mut Sample<'_>) -> Result<()> {
        let Sample::Audio { samples, .. } = sample else {
            return Err(sample.refused(Self::NAME));
        };
        let energy: f64 = samples.iter().map(|s| f64::from(*s).powi(2)).sum();
        let power = energy / samples.len().max(1) as f64;
        let deviation = (power / 10f64.powf(draw.value(0) / 10.0)).sqrt();
        for (s, n) in samples.iter_mut().zip(draw.normals()) {
            *s = (f64::from(*s) + deviation * n).clamp(-1.0, 1.0) as f32;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::conformance::rngs;

    #[test]
    fn the_ratio_is_as_drawn() {
        let old: Vec<f32> = (0..40_000).map(|i| (i as f32 * 0.05).sin() * 0.1).collect();
        let noise = AudioNoise { min: 3.0, max: 9.0 };
        for mut rng in rngs(3) {
            let mut new = old.clone();
            let mut sample = Sample::Audio { rate: 8000, samples: &mut new };
            let draw = noise.draw(&sample, &mut rng);
            noise.apply(&draw, &mut sample).unwrap();
            let power = |x: &mut dyn Iterator<Item = f64>| x.map(|v| v * v).sum::<f64>();
            let signal = power(&mut old.iter().map(|v| f64::from(*v)));
            let added = power(&mut old.iter().zip(&new).map(|(a, b)| f64::from(b - a)));
            let ratio = 10.0 * (signal / added).log10();
            assert!((3.0..=9.0).contains(&draw.value(0)));
            // The noise's power has a relative deviation of sqrt(2 / n) = .7 %: four of them are .12 dB.
            assert!((ratio - draw.value(0)).abs() < 0.12, "{ratio} {}", draw.value(0));
        }
    }
}
