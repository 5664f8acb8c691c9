//! Checkpoints as files of named arrays. Only safetensors is written; nothing is ever executed.

mod tensors;

pub use tensors::{read_arrays, write_arrays};
