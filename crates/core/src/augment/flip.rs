//! An image mirrored.

use rand::RngExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::transform::{Draw, Sample, Transform, within};
use crate::error::Result;
use crate::model::Kind;
use crate::registry::Method;
use crate::seed::Rng;

/// Which way an image is mirrored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Axis {
    /// Left becomes right.
    Horizontal,
    /// Top becomes bottom.
    Vertical,
}

/// Mirrors the image, with probability `p`. Wrong for digits, letters and anything else that has a side.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Flip {
    /// `horizontal` (left becomes right) or `vertical` (top becomes bottom).
    pub axis: Axis,
    /// How often it is done.
    #[schemars(range(min = 0, max = 1))]
    pub p: f64,
}

impl Default for Flip {
    fn default() -> Self {
        Self { axis: Axis::Horizontal, p: 0.5 }
    }
}

impl Method for Flip {
    const NAME: &'static str = "flip";
    const ABOUT: &'static str = "images mirrored every other time";

    fn validate(&self) -> Result<()> {
        within("p", self.p, 0.0, 1.0)
    }
}

impl Transform for Flip {
    fn accepts(&self, kind: Kind) -> bool {
        kind == Kind::Image
    }

    /// 1 to mirror, 0 not to.
    fn draw(&self, _: &Sample<'_>, rng: &mut Rng) -> Draw {
        Draw::of([f64::from(u8::from(rng.random::<f64>() < self.p))])
    }

    fn apply(&self, draw: &Draw, sample: &mut Sample<'_>) -> Result<()> {
        let Sample::Image { shape: [height, width, channels], pixels } = sample else {
            return Err(sample.refused(Self::NAME));
        };
        if draw.value(0) == 0.0 {
            return Ok(());
        }
        let (line, channels) = ((*width * *channels).max(1), (*channels).max(1));
        match self.axis {
            Axis::Horizontal => {
                for row in pixels.chunks_mut(line) {
                    let (left, right) = row.split_at_mut(*width / 2 * channels);
                    for (a, b) in left.chunks_mut(channels).zip(right.rchunks_mut(channels)) {
                        a.swap_with_slice(b);
                    }
                }
            }
            Axis::Vertical => {
                let (top, bottom) = pixels.split_at_mut(*height / 2 * line);
                for (a, b) in top.chunks_mut(line).zip(bottom.rchunks_mut(line)) {
                    a.swap_with_slice(b);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::conformance::rngs;

    #[test]
    fn sides_are_swapped_and_twice_is_the_identity() {
        for (axis, expected) in [
            (Axis::Horizontal, [5, 6, 3, 4, 1, 2, 11, 12, 9, 10, 7, 8]),
            (Axis::Vertical, [7, 8, 9, 10, 11, 12, 1, 2, 3, 4, 5, 6]),
        ] {
            let mut pixels = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
            let old = pixels;
            let flip = Flip { axis, p: 1.0 };
            let mut sample = Sample::Image { shape: [2, 3, 2], pixels: &mut pixels };
            flip.apply(&Draw::of([1.0]), &mut sample).unwrap();
            assert_eq!(pixels, expected);
            let mut sample = Sample::Image { shape: [2, 3, 2], pixels: &mut pixels };
            flip.apply(&Draw::of([1.0]), &mut sample).unwrap();
            assert_eq!(pixels, old);
        }
    }

    #[test]
    fn p_is_how_often() {
        let sample = Sample::Vector { shape: &[], values: &mut [] };
        let flip = Flip { p: 0.3, ..Flip::default() };
        let flips: f64 = rngs(10_000).map(|mut r| flip.draw(&sample, &mut r).value(0)).sum();
        // Four deviations of a binomial.
        assert!((flips - 3000.0).abs() < 4.0 * (10_000.0f64 * 0.21).sqrt(), "{flips}");
    }
}
