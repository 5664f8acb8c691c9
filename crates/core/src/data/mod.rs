//! Readers, splits and checks: from files to rows.

mod arrays;
mod check;
mod dataset;
mod digest;
mod filter;
mod gather;
mod inputs;
mod names;
mod notes;
mod open;
mod paths;
mod pieces;
mod read;
mod roles;
mod spec;
mod split;
mod stacks;
mod stored;
mod table;
mod typing;
mod write;

pub use dataset::{Dataset, Roles};
pub use filter::RowFilter;
pub use open::{open, open_for, table_columns};
pub use pieces::{Piece, Pieces};
pub use read::{NdArray, Numbers, npy_shape, read_idx, read_npy, read_npy_entry, read_npz};
pub use spec::{
    BesideSpec, ColumnSpec, Corrupt, DataSpec, Header, HonestSpec, PerValue, Role, SourceSpec, SplitSpec,
    TaskKind, Validation,
};
pub use split::{Nested, Part, Split, nested, split};

#[cfg(test)]
mod golden_tests;
#[cfg(test)]
mod open_tests;
#[cfg(test)]
mod shared_tests;
pub use write::{TableWriter, Written, write_table};
