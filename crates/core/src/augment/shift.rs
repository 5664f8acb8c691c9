//! A sound moved in time.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::transform::{Draw, Sample, Transform, uniform, within};
use crate::error::Result;
use crate::model::Kind;
use crate::registry::Method;
use crate::seed::Rng;

/// Moves the sound later or earlier by up to `max_seconds`, all times equally likely, to the nearest sample. It keeps its
/// length: what leaves is lost, silence enters.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Shift {
    /// The largest shift either way, in seconds.
    #[schemars(range(min = 0, max = 3600))]
    pub max_seconds: f64,
}

impl Default for Shift {
    fn default() -> Self {
        Self { max_seconds: 0.1 }
    }
}

impl Method for Shift {
    const NAME: &'static str = "shift";
    const ABOUT: &'static str = "sounds moved in time";

    fn validate(&self) -> Result<()> {
        within("max_seconds", self.max_seconds, 0.0, 3600.0)
    }
}

impl Transform for Shift {
    fn accepts(&self, kind: Kind) -> bool {
        kind == Kind::Audio
    }

    /// The shift in seconds, positive for later.
    fn draw(&self, _: &Sample<'_>, rng: &mut Rng) -> Draw {
        Draw::of([uniform(rng, -self.max_seconds, self.max_seconds)])
    }

    fn apply(&self, draw: &Draw, sample: &mut Sample<'_>) -> Result<()> {
        let Sample::Audio { rate, samples } = sample else {
            return Err(sample.refused(Self::NAME));
        };
        let by = (draw.value(0) * f64::from(*rate)).round();
        let length = samples.len();
        let far = (by.abs() as usize).min(length);
        if by >= 0.0 {
            samples.copy_within(..length - far, far);
            samples.iter_mut().take(far).for_each(|s| *s = 0.0);
        } else {
            samples.copy_within(far.., 0);
            samples.iter_mut().skip(length - far).for_each(|s| *s = 0.0);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sounds_move_both_ways_and_out() {
        let moved = |seconds: f64| {
            let mut samples = [1.0, 2.0, 3.0, 4.0];
            let mut sample = Sample::Audio { rate: 10, samples: &mut samples };
            Shift::default().apply(&Draw::of([seconds]), &mut sample).unwrap();
            samples
        };
        assert_eq!(moved(0.1), [0.0, 1.0, 2.0, 3.0]);
        assert_eq!(moved(-0.26), [4.0, 0.0, 0.0, 0.0]);
        assert_eq!(moved(9.0), [0.0; 4]);
        assert_eq!(moved(-9.0), [0.0; 4]);
        assert_eq!(moved(0.0), [1.0, 2.0, 3.0, 4.0]);
    }
}
