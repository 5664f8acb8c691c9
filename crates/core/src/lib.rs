//! Contracts and methods of Consilience that need no tensor backend, no command line and no network.
//!
//! The floors, from the ground up; imports go down only:
//!
//! 1. [`error`], [`seed`], [`mod@array`], [`registry`], [`files`], [`document`]
//! 2. [`model`] (the contracts), [`weights`], [`solve`]
//! 3. [`data`] (readers, splits, checks)
//! 4. [`metrics`]
//! 5. [`features`], [`learners`], [`augment`]
//! 6. [`members`], [`calibrate`]
//! 7. [`fuse`], [`adapt`]
//! 8. [`explain`] (privacy, later)

pub mod array;
pub mod document;
pub mod error;
pub mod files;
pub mod registry;
pub mod seed;

pub mod model;
pub mod solve;
pub mod weights;

pub mod data;

pub mod metrics;

pub mod augment;
pub mod features;
pub mod learners;

pub mod calibrate;
pub mod members;

pub mod adapt;
pub mod fuse;

pub mod explain;

pub use error::{Error, Result};
