//! Moving a base toward another model where they are near.

use consilience_core::Result;
use consilience_core::registry::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kernels::wide;
use crate::method::{BaseNeed, MergeMethod, Needs, PerMember};
use crate::work::{Cut, Work};

/// Takes the member's numbers where they are within `t` of the base's, and goes by `t` toward them elsewhere:
/// `b + w (x - b)` with `w = min(1, t / |x - b|)`, which is `b` moved by `x - b` held within `-t` and `t`.
///
/// # Reference
/// The formula of the method of this name in mergekit 0.1.4; there is no paper.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NearSwap {
    /// No number moves by more, in the unit of the weights.
    #[schemars(range(min = 0.0))]
    pub t: f64,
}

impl Method for NearSwap {
    const NAME: &'static str = "nearswap";
    const ABOUT: &'static str = "A base moved toward another network, no number by more than a limit";

    fn validate(&self) -> Result<()> {
        PerMember::All(self.t).each("t", "a number of at least 0", |t| t >= 0.0)
    }
}

impl MergeMethod for NearSwap {
    fn needs(&self) -> Needs {
        Needs { base: BaseNeed::Needed, least: 1, most: Some(1) }
    }

    fn merge(&self, work: &Work<'_>) -> Result<()> {
        let t = self.t as f32;
        work.write(Cut::NUMBERS, |block, out| {
            let (Some(base), [member]) = (block.base, block.members) else { return Ok(()) };
            wide(
                #[inline(always)]
                || {
                    for ((out, b), x) in out.iter_mut().zip(base).zip(*member) {
                        let delta = x - b;
                        // What is no number stays none.
                        let moved = b + delta.clamp(-t, t) + delta * 0.0;
                        *out = if delta.abs() <= t { *x } else { moved };
                    }
                },
            );
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::merged;

    #[test]
    fn no_number_moves_by_more_than_the_limit() {
        let base = [1.0, 1.0, 1.0, 1.0];
        let run = |t| merged(&NearSwap { t }, &[4], &[&[1.0, 1.25, 3.0, -3.0]], Some(&base)).unwrap();
        assert_eq!(run(0.5), [1.0, 1.25, 1.5, 0.5]);
        assert_eq!(run(0.0), base);
        for bad in [f32::NAN, f32::INFINITY] {
            assert!(merged(&NearSwap { t: 0.5 }, &[1], &[&[bad]], Some(&[1.0])).is_err());
        }
    }
}
