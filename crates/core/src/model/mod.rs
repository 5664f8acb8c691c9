//! The contracts: what data look like in memory, what fits, what predicts, what composes, what is saved.
//!
//! **Everything that predicts is a member; every way of composing members gives a model, and a model is again a
//! member.** The traits here are object safe and `Send + Sync`; nothing is ever downcast.

mod adapter;
mod batch;
mod crossfit;
mod dir;
mod estimator;
mod feature;
mod fuser;
pub mod graph;
mod learner;
mod mask;
mod parts;
mod predictions;
mod predictor;
mod ragged;
mod schema;
mod source;
mod target;
mod teacher;

pub use adapter::{Adapted, Adapter};
pub use batch::{Batch, Column};
pub(crate) use crossfit::strata;
pub use crossfit::{PARTS, cross_fitted, parts};
pub use dir::{FORMAT, ModelDir, Record, load_parts, save_parts};
pub use estimator::{
    Context, Estimator, Fitted, Keep, Labelled, LogRow, Outline, Progress, Quiet, Stop, Unlabelled,
};
pub use feature::{Feature, FittedFeature};
pub use fuser::{Fused, Fuser, Honest, Inputs, Origin, Staged, Voices};
pub use graph::Graph;
pub use learner::{ByShares, FittedLearner, Learner, Shares};
pub use mask::Mask;
pub use parts::{Array, Load, Loaders, Parts};
pub use predictions::{Output, Predictions};
pub use predictor::{Embed, Model};
pub use ragged::{Audios, Images, Sequences, Vectors};
pub use schema::{Field, Kind, Schema};
pub use source::{Memory, Source};
pub use target::{Classes, Target, Task};
pub use teacher::{Distill, Heard, Lesson, Teacher};
