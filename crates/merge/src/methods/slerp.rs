//! Spherical interpolation between a base and one other model.

use consilience_core::Result;
use consilience_core::registry::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kernels::{arc, combine, gram_with_base};
use crate::method::{BaseNeed, MergeMethod, Needs, PerMember};
use crate::work::{Cut, Work};

/// Tensors whose cosine is beyond this are interpolated along the straight line.
const STRAIGHT: f64 = 0.9995;

/// Spherical interpolation from the base `b` to the member `x`, each tensor one vector:
/// `sin((1 - t) a) / sin(a) b + sin(t a) / sin(a) x`, with the angle `a` between them.
///
/// Where the size of the cosine is above 0.9995, opposite directions included, it is `(1 - t) b + t x`; and so it is where one of them is
/// all zero, which has no angle. (mergekit takes a right angle there, which shrinks the other.) At `t` 0 the base is copied, at 1 the member.
///
/// # Reference
/// Shoemake, "Animating rotation with quaternion curves", SIGGRAPH 1985.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Slerp {
    /// How far to go from the base, at 0, to the member, at 1. It may lie beyond both.
    pub t: f64,
}

impl Method for Slerp {
    const NAME: &'static str = "slerp";
    const ABOUT: &'static str = "Spherical interpolation between a base and one other network";

    fn validate(&self) -> Result<()> {
        PerMember::All(self.t).each("t", "a number", |_| true)
    }
}

impl MergeMethod for Slerp {
    fn needs(&self) -> Needs {
        Needs { base: BaseNeed::Needed, least: 1, most: Some(1) }
    }

    fn merge(&self, work: &Work<'_>) -> Result<()> {
        let (base, member) = if self.t == 0.0 || self.t == 1.0 {
            (1.0 - self.t, self.t)
        } else {
            let gram = gram_with_base(work)?;
            let products = (gram.dot(0, 0), gram.dot(0, 1), gram.dot(1, 1));
            arc(products, self.t, STRAIGHT, work.compat)
        };
        work.write(Cut::NUMBERS, |block, out| {
            combine(block, base as f32, &[member as f32], out);
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::merged;

    #[test]
    fn it_goes_along_the_circle() {
        let half = |b: [f32; 2], x: [f32; 2], t| merged(&Slerp { t }, &[2], &[&x], Some(&b)).unwrap();
        let near = |a: Vec<f32>, b: [f32; 2]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-6);
        assert!(near(half([1.0, 0.0], [0.0, 1.0], 0.5), [0.5f32.sqrt(), 0.5f32.sqrt()]));
        assert!(near(half([1.0, 0.0], [0.0, 1.0], 1.0 / 3.0), [0.75f32.sqrt(), 0.5]));
        assert_eq!(half([1.0, 0.0], [f32::NAN, 1.0], 0.0), [1.0, 0.0]);
        assert_eq!(half([f32::NAN, 0.0], [2.0, 1.0], 1.0), [2.0, 1.0]);
        // Opposite directions, and none.
        assert_eq!(half([1.0, 2.0], [-1.0, -2.0], 0.25), [0.5, 1.0]);
        assert_eq!(half([0.0, 0.0], [4.0, -2.0], 0.25), [1.0, -0.5]);
        assert_eq!(half([0.0, 0.0], [0.0, 0.0], 0.25), [0.0, 0.0]);
    }

    #[test]
    fn what_is_not_finite_is_named() {
        let one =
            |b: &[f32], x: &[f32]| merged(&Slerp { t: 0.5 }, &[1], &[x], Some(b)).unwrap_err().to_string();
        assert!(one(&[1.0], &[f32::INFINITY]).contains("member \"m0\""));
        assert!(one(&[f32::NAN], &[1.0]).contains("the base"));
    }
}
