//! Networks: encoders for modalities, fusion of their features, training.
//!
//! The floors, from the ground up; imports go down only:
//!
//! 1. [`backend`] (the only file that names the tensor backend), [`params`] (named arrays), [`inputs`]
//! 2. [`kernels`] (operators of our own), [`layers`]: dense, convolution, recurrence, dropout
//!    and [`graph`], the same layers in the operators of ONNX
//! 3. [`encode`] (one modality to features), [`fusion`] (features to outputs)
//! 4. [`architecture`] (encoders and a fusion put together), [`network`] (the fitted model)
//! 5. [`train`]: optimizers, schedules, early stopping, the loop
//! 6. [`estimators`]: the methods of recipes, with their registries
//!
//! A network's parameters are named arrays (`encoders.image.conv1.weight`, `head.bias`), the same names for the same
//! architecture, so that networks can be merged, compared and started from each other by name.

pub mod architecture;
pub mod backend;
pub mod encode;
pub mod estimators;
pub mod fusion;
pub mod graph;
pub mod inputs;
pub mod kernels;
pub mod layers;
pub mod memory;
pub mod network;
pub mod params;
mod pool;
pub mod train;

pub use estimators::{FUSIONS, NETWORKS, NetworkMethod};
pub use inputs::{AsIs, Prepare};
pub use network::Network;
pub use train::{AugmentHook, Augmentation, MOMENT_ROWS, MOMENTS_VERSION, refresh_moments};
