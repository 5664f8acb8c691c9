//! Merging checkpoints in weight space: one model out of several of the same shape, at the cost of one.
//!
//! A new method is a file with its parameters, formula, source and tests in `methods/`, and a line in [`METHODS`].

mod kernels;
mod memory;
mod method;
mod methods;
mod parts;
pub mod tokenizer;
mod work;

pub use method::{Base, MergeMethod, Needs, PerMember};
pub use methods::{Linear, METHODS};
pub use parts::{PREPARATION, Recipe, merge_parts};
pub use work::{BLOCK, Block, Cut, Numbers, Sink, Work};
