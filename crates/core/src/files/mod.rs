//! Files: atomic writes, hashes, and paths that stay inside their folder.

mod atomic;
mod confine;
mod hash;

pub use atomic::{AtomicDir, STRAY_PREFIX, sweep_strays, write_atomic};
pub use confine::confine;
pub use hash::{Hasher, sha256_bytes, sha256_file};
