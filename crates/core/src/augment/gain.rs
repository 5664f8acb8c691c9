//! A sound made louder or softer.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::transform::{Draw, Sample, Transform, uniform, within};
use crate::error::Result;
use crate::model::Kind;
use crate::registry::Method;
use crate::seed::Rng;

/// Multiplies the samples by `10^(g / 20)`, with `g` between `-db` and `db`, all decibels equally likely. Samples are
/// clipped to -1..1.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Gain {
    /// The largest change either way, in decibels.
    #[schemars(range(min = 0, max = 60))]
    pub db: f64,
}

impl Default for Gain {
    fn default() -> Self {
        Self { db: 6.0 }
    }
}

impl Method for Gain {
    const NAME: &'static str = "gain";
    const ABOUT: &'static str = "sounds made louder or softer";

    fn validate(&self) -> Result<()> {
        within("db", self.db, 0.0, 60.0)
    }
}

impl Transform for Gain {
    fn accepts(&self, kind: Kind) -> bool {
        kind == Kind::Audio
    }

    /// The change in decibels.
    fn draw(&self, _: &Sample<'_>, rng: &mut Rng) -> Draw {
        Draw::of([uniform(rng, -self.db, self.db)])
    }

    fn apply(&self, draw: &Draw, sample: &mut Sample<'_>) -> Result<()> {
        let Sample::Audio { samples, .. } = sample else {
            return Err(sample.refused(Self::NAME));
        };
        let factor = 10f64.powf(draw.value(0) / 20.0);
        for s in samples.iter_mut() {
            *s = (f64::from(*s) * factor).clamp(-1.0, 1.0) as f32;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twenty_decibels_are_a_factor_of_ten() {
        let mut samples = [0.01, -0.02, 0.5];
        let mut sample = Sample::Audio { rate: 8000, samples: &mut samples };
        Gain::default().apply(&Draw::of([20.0]), &mut sample).unwrap();
        for (s, expected) in samples.iter().zip([0.1f32, -0.2, 1.0]) {
            assert!((s - expected).abs() < 1e-7, "{s} {expected}");
        }
    }
}
