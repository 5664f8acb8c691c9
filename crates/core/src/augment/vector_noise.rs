//! Noise on a vector.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::transform::{Draw, Sample, Transform, within};
use crate::error::Result;
use crate::model::Kind;
use crate::registry::Method;
use crate::seed::Rng;

/// Adds independent normal noise to every number of a vector.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct VectorNoise {
    /// The standard deviation of the noise, in the unit of the column as it stands in the data.
    #[schemars(range(min = 0, max = 1e9))]
    pub deviation: f64,
}

impl Default for VectorNoise {
    fn default() -> Self {
        Self { deviation: 0.1 }
    }
}

impl Method for VectorNoise {
    const NAME: &'static str = "vector_noise";
    const ABOUT: &'static str = "vectors with normal noise on every number";

    fn validate(&self) -> Result<()> {
        within("deviation", self.deviation, 0.0, 1e9)
    }
}

impl Transform for VectorNoise {
    fn accepts(&self, kind: Kind) -> bool {
        kind == Kind::Vector
    }

    fn draw(&self, _: &Sample<'_>, rng: &mut Rng) -> Draw {
        Draw::noisy([], rng)
    }

    fn apply(&self, draw: &Draw, sample: &mut Sample<'_>) -> Result<()> {
        let Sample::Vector { values, .. } = sample else {
            return Err(sample.refused(Self::NAME));
        };
        for (v, n) in values.iter_mut().zip(draw.normals()) {
            *v = (f64::from(*v) + self.deviation * n) as f32;
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
        let mut values = vec![3.0f32; 40_000];
        let mut sample = Sample::Vector { shape: &[40_000], values: &mut values };
        let noise = VectorNoise { deviation: 0.5 };
        let draw = noise.draw(&sample, &mut rngs(1).next().unwrap());
        noise.apply(&draw, &mut sample).unwrap();
        let n = values.len() as f64;
        let mean = values.iter().map(|v| f64::from(*v)).sum::<f64>() / n;
        let variance = values.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / n;
        assert!((mean - 3.0).abs() < 4.0 * 0.5 / n.sqrt(), "{mean}");
        assert!((variance - 0.25).abs() < 4.0 * 0.25 * (2.0 / n).sqrt(), "{variance}");
    }
}
