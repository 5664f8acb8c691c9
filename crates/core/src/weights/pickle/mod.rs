//! Pickles of tensors: scanned for what they ask for, then read by a machine that knows tensors and nothing else.

mod globals;
mod machine;
mod opcodes;
mod state;

pub(super) use opcodes::scan;
pub(super) use state::{State, Storage, read, texts};
