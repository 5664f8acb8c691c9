//! What this crate merges against what others merge.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod goldens;
