//! The program and the house, tested from outside.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod house;
mod program;
