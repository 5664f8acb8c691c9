//! Merging checkpoints in weight space: one model out of several of the same shape, at the cost of one.
//!
//! A new method is a file with its parameters, formula, source and tests, and a line in [`METHODS`].

mod dirs;
mod linear;
mod method;
mod parts;

pub use dirs::merge_dirs;
pub use linear::Linear;
pub use method::{METHODS, MergeMethod};
pub use parts::{PREPARATION, merge_parts};
