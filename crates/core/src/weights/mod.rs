//! Checkpoints as files of named arrays. Only safetensors is written; nothing is ever executed.

mod archive;
mod checkpoint;
mod dtype;
mod header;
mod layout;
mod matching;
mod opened;
mod pickle;
mod pth;
mod shards;
mod tensors;

pub use checkpoint::Checkpoint;
pub use dtype::Dtype;
pub use layout::Tensor;
pub use matching::{check_finite, matching};
pub use tensors::{read_arrays, write_arrays};
