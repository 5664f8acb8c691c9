//! An image made larger or smaller about its center.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::transform::{Draw, Sample, Transform, uniform, within};
use super::warp::warp;
use crate::error::{Error, Result};
use crate::model::Kind;
use crate::registry::Method;
use crate::seed::Rng;

/// Magnifies the content about the center by a factor from `min` to `max`, all equally likely, sampled bilinearly. The
/// image keeps its size: what grows out of it is lost, what it shrinks away from is filled.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Scale {
    /// The smallest factor.
    #[schemars(range(min = 0.1, max = 10))]
    pub min: f64,
    /// The largest factor.
    #[schemars(range(min = 0.1, max = 10))]
    pub max: f64,
    /// The byte where the old image does not reach.
    pub fill: u8,
}

impl Default for Scale {
    fn default() -> Self {
        Self { min: 0.9, max: 1.1, fill: 0 }
    }
}

impl Method for Scale {
    const NAME: &'static str = "scale";
    const ABOUT: &'static str = "images magnified about their center";

    fn validate(&self) -> Result<()> {
        within("min", self.min, 0.1, 10.0)?;
        within("max", self.max, 0.1, 10.0)?;
        if self.min > self.max {
            return Err(
                Error::argument("min is above max").got(format!("min {}, max {}", self.min, self.max))
            );
        }
        Ok(())
    }
}

impl Transform for Scale {
    fn accepts(&self, kind: Kind) -> bool {
        kind == Kind::Image
    }

    /// The factor.
    fn draw(&self, _: &Sample<'_>, rng: &mut Rng) -> Draw {
        Draw::of([uniform(rng, self.min, self.max)])
    }

    fn apply(&self, draw: &Draw, sample: &mut Sample<'_>) -> Result<()> {
        let Sample::Image { shape, pixels } = sample else {
            return Err(sample.refused(Self::NAME));
        };
        let back = 1.0 / draw.value(0).max(1e-6);
        warp(*shape, pixels, [back, 0.0, 0.0, back], self.fill);
        Ok(())
    }
}
