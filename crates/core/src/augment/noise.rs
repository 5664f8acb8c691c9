//! Noise on an image.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::transform::{Draw, Sample, Transform, within};
use crate::error::Result;
use crate::model::Kind;
use crate::registry::Method;
use crate::seed::Rng;

/// Adds independent normal noise to every byte, rounds, and clips to 0..255.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Noise {
    /// The standard deviation of the noise, in levels of 0..255.
    #[schemars(range(min = 0, max = 255))]
    pub deviation: f64,
}

impl Default for Noise {
    fn default() -> Self {
        Self { deviation: 8.0 }
    }
}

impl Method for Noise {
    const NAME: &'static str = "noise";
    const ABOUT: &'static str = "images with normal noise on every pixel";

    fn validate(&self) -> Result<()> {
        within("deviation", self.deviation, 0.0, 255.0)
    }
}

impl Transform for Noise {
    fn accepts(&self, kind: Kind) -> bool {
        kind == Kind::Image
    }

    fn draw(&self, _: &Sample<'_>, rng: &mut Rng) -> Draw {
        Draw::noisy([], rng)
    }

    fn apply(&self, draw: &Draw, sample: &mut Sample<'_>) -> Result<()> {
        let Sample::Image { pixels, .. } = sample else {
            return Err(sample.refused(Self::NAME));
        };
        for (p, n) in pixels.iter_mut().zip(draw.normals()) {
            // The cast cuts off below 0 and above 255.
            *p = (f64::from(*p) + self.deviation * n + 0.5) as u8;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::conformance::rngs;

    #[test]
    fn mean_and_deviation_are_as_asked() {
        let mut pixels = vec![128u8; 40_000];
        let mut sample = Sample::Image { shape: [200, 200, 1], pixels: &mut pixels };
        let noise = Noise { deviation: 8.0 };
        let draw = noise.draw(&sample, &mut rngs(1).next().unwrap());
        noise.apply(&draw, &mut sample).unwrap();
        let n = pixels.len() as f64;
        let mean = pixels.iter().map(|p| f64::from(*p)).sum::<f64>() / n;
        let variance = pixels.iter().map(|p| (f64::from(*p) - mean).powi(2)).sum::<f64>() / n;
        // Four standard errors; rounding adds a twelfth to the variance.
        assert!((mean - 128.0).abs() < 4.0 * 8.0 / n.sqrt(), "{mean}");
        assert!((variance - 64.0 - 1.0 / 12.0).abs() < 4.0 * 64.0 * (2.0 / n).sqrt(), "{variance}");
    }
}
