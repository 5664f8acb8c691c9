//! Merging checkpoints in weight space: one model out of several of the same shape, at the cost of one.
//!
//! A new method is a file with its parameters, formula, source and tests in `methods/`, and a line in [`METHODS`].

pub mod analyze;
pub mod config;
mod file;
mod kernels;
mod memory;
mod method;
mod methods;
pub mod model;
mod parts;
pub mod plan;
pub mod run;
pub mod tokenizer;
mod tokens;
mod work;

pub use file::{Limits, MergeFile, Ready, Refused};
pub use memory::{Held, merge_held};
pub use method::{BaseNeed, MergeMethod, Needs, PerMember};
pub use methods::{
    ArceeFusion, Breadcrumbs, BreadcrumbsTies, DareLinear, DareTies, Della, DellaLinear, Karcher, Linear,
    METHODS, ModelStock, MultiSlerp, NearSwap, NuSlerp, Passthrough, Ram, RamPlus, Sce, Slerp,
    TaskArithmetic, Ties,
};
pub use parts::{PREPARATION, PartsMerge, merge_parts};
pub use work::{BLOCK, Block, Cut, Numbers, Sink, Work};
