//! Augmentation: one transform a file, keyed by seed, epoch, row and position.
//!
//! A transform draws first and acts then. What it drew is small and can be recorded, replayed, or applied to a second
//! thing that must follow the first (an image's mask).

mod audio_noise;
mod flip;
mod gain;
mod mixup;
mod noise;
mod pipeline;
mod random_crop;
mod rotate;
mod scale;
mod shift;
mod transform;
mod vector_noise;
mod warp;

#[cfg(test)]
mod conformance;

pub use audio_noise::AudioNoise;
pub use flip::{Axis, Flip};
pub use gain::Gain;
pub use mixup::Mixup;
pub use noise::Noise;
pub use pipeline::{Augmenter, Step};
pub use random_crop::RandomCrop;
pub use rotate::Rotate;
pub use scale::Scale;
pub use shift::Shift;
pub use transform::{Draw, Sample, Transform};
pub use vector_noise::VectorNoise;

use crate::entry;
use crate::registry::Registry;

/// Every transform, in the order in which it is shown. (`mixup` acts on pairs of rows: see [`Mixup`].)
pub static REGISTRY: Registry<dyn Transform> = Registry {
    what: "transform",
    entries: &[
        entry!(dyn Transform, RandomCrop),
        entry!(dyn Transform, Rotate),
        entry!(dyn Transform, Scale),
        entry!(dyn Transform, Flip),
        entry!(dyn Transform, Noise),
        entry!(dyn Transform, AudioNoise),
        entry!(dyn Transform, Shift),
        entry!(dyn Transform, Gain),
        entry!(dyn Transform, VectorNoise),
    ],
};
