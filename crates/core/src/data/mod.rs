//! Readers, splits and checks: from files to rows.

mod dataset;
mod spec;

pub use dataset::{Dataset, Roles};
pub use spec::{
    ColumnSpec, Corrupt, DataSpec, HonestSpec, PerValue, Role, SourceSpec, SplitSpec, TaskKind, Validation,
};
