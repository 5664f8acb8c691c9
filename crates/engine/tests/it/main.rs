//! Tests of the engine from outside.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod init;
mod methods;
mod recipe;
mod schema;
