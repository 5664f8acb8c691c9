//! An image moved by a few pixels.

use rand::RngExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::transform::{Draw, Sample, Transform, within};
use crate::error::Result;
use crate::model::Kind;
use crate::registry::Method;
use crate::seed::Rng;

/// Surrounds the image with `padding` pixels on each side and cuts a piece of the old size out of it, every place
/// equally likely: a shift by up to `padding` pixels each way.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RandomCrop {
    /// Pixels added on each side.
    #[schemars(range(min = 0, max = 4096))]
    pub padding: u32,
    /// The byte that is added.
    pub fill: u8,
}

impl Default for RandomCrop {
    fn default() -> Self {
        Self { padding: 4, fill: 0 }
    }
}

impl Method for RandomCrop {
    const NAME: &'static str = "random_crop";
    const ABOUT: &'static str = "images padded and cut back to their size at a random place";

    fn validate(&self) -> Result<()> {
        within("padding", f64::from(self.padding), 0.0, 4096.0)
    }
}

impl Transform for RandomCrop {
    fn accepts(&self, kind: Kind) -> bool {
        kind == Kind::Image
    }

    /// Rows and columns by which the new image starts after the old one.
    fn draw(&self, _: &Sample<'_>, rng: &mut Rng) -> Draw {
        let mut shift = || f64::from(rng.random_range(0..=2 * self.padding)) - f64::from(self.padding);
        Draw::of([shift(), shift()])
    }

    fn apply(&self, draw: &Draw, sample: &mut Sample<'_>) -> Result<()> {
        let Sample::Image { shape: [height, width, channels], pixels } = sample else {
            return Err(sample.refused(Self::NAME));
        };
        let (down, right) = (draw.value(0) as i64, draw.value(1) as i64);
        let old = pixels.to_vec();
        let line = *width * *channels;
        let source = |i: usize, by: i64, size: usize| {
            let at = (i as i64).checked_add(by)?;
            usize::try_from(at).ok().filter(|s| *s < size)
        };
        for (y, out) in pixels.chunks_mut(line.max(1)).enumerate() {
            let from = source(y, down, *height).and_then(|y| old.get(y * line..(y + 1) * line));
            for (x, out) in out.chunks_mut((*channels).max(1)).enumerate() {
                let from = from.zip(source(x, right, *width));
                match from.and_then(|(row, x)| row.get(x * *channels..(x + 1) * *channels)) {
                    Some(pixel) => out.copy_from_slice(pixel),
                    None => out.fill(self.fill),
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
    fn pixels_move_and_the_border_is_filled() {
        let mut pixels = [1, 2, 3, 4, 5, 6];
        let crop = RandomCrop { padding: 1, fill: 9 };
        let mut sample = Sample::Image { shape: [3, 2, 1], pixels: &mut pixels };
        crop.apply(&Draw::of([1.0, -1.0]), &mut sample).unwrap();
        assert_eq!(pixels, [9, 3, 9, 5, 9, 9]);
        let mut pixels = [1, 2, 3, 4];
        let mut sample = Sample::Image { shape: [1, 2, 2], pixels: &mut pixels };
        crop.apply(&Draw::of([0.0, 1.0]), &mut sample).unwrap();
        assert_eq!(pixels, [3, 4, 9, 9]);
    }

    #[test]
    fn every_shift_is_equally_likely() {
        let crop = RandomCrop { padding: 2, fill: 0 };
        let mut counts = [0u32; 25];
        for mut rng in rngs(10_000) {
            let draw = crop.draw(&Sample::Vector { shape: &[], values: &mut [] }, &mut rng);
            counts[((draw.value(0) + 2.0) * 5.0 + draw.value(1) + 2.0) as usize] += 1;
        }
        // 24 degrees of freedom: 51.2 is the .999 quantile.
        let chi2: f64 = counts.iter().map(|c| (f64::from(*c) - 400.0).powi(2) / 400.0).sum();
        assert!(chi2 < 51.2, "{chi2}");
    }
}
