//! Files: atomic writes, hashes, and paths that stay inside their folder.

mod atomic;
mod confine;
mod hash;

pub use atomic::{AtomicDir, AtomicFile, STRAY_PREFIX, put_in_place, sweep_strays, sync_tree, write_atomic};
pub use confine::confine;
pub use hash::{Hasher, Sha256, sha256_bytes, sha256_file};
