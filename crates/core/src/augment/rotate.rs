//! An image turned about its center.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::transform::{Draw, Sample, Transform, uniform, within};
use super::warp::warp;
use crate::error::Result;
use crate::model::Kind;
use crate::registry::Method;
use crate::seed::Rng;

/// Turns the image about its center by an angle between `-degrees` and `degrees`, all equally likely, sampled
/// bilinearly. The image keeps its size; corners turned out of it are lost.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Rotate {
    /// The largest angle either way, in degrees.
    #[schemars(range(min = 0, max = 180))]
    pub degrees: f64,
    /// The byte where the old image does not reach.
    pub fill: u8,
}

impl Default for Rotate {
    fn default() -> Self {
        Self { degrees: 10.0, fill: 0 }
    }
}

impl Method for Rotate {
    const NAME: &'static str = "rotate";
    const ABOUT: &'static str = "images turned about their center";

    fn validate(&self) -> Result<()> {
        within("degrees", self.degrees, 0.0, 180.0)
    }
}

impl Transform for Rotate {
    fn accepts(&self, kind: Kind) -> bool {
        kind == Kind::Image
    }

    /// The angle in degrees, positive against the clock.
    fn draw(&self, _: &Sample<'_>, rng: &mut Rng) -> Draw {
        Draw::of([uniform(rng, -self.degrees, self.degrees)])
    }

    fn apply(&self, draw: &Draw, sample: &mut Sample<'_>) -> Result<()> {
        let Sample::Image { shape, pixels } = sample else {
            return Err(sample.refused(Self::NAME));
        };
        let (sin, cos) = draw.value(0).to_radians().sin_cos();
        // Where each new pixel comes from: y points down, so the map back turns with the clock on paper.
        warp(*shape, pixels, [cos, -sin, sin, cos], self.fill);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_turn_goes_against_the_clock() {
        let mut pixels = [1, 2, 3, 4];
        let mut sample = Sample::Image { shape: [2, 2, 1], pixels: &mut pixels };
        Rotate::default().apply(&Draw::of([90.0]), &mut sample).unwrap();
        assert_eq!(pixels, [2, 4, 1, 3]);
    }
}
