//! Checkpoints in weight space, for the program: see the crate `consilience-merge`.

pub use consilience_merge::analyze::{Analysis, Pull, analyze};
pub use consilience_merge::model::Places;
pub use consilience_merge::plan::{Act, Job, OnMismatch, Options};
pub use consilience_merge::run::{Digests, Merged, OnNonfinite, Running, Verdict, verify};
pub use consilience_merge::{Limits, MergeFile, Ready, Refused};
