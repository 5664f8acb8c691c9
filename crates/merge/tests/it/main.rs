//! Merges against those of others: tensor by tensor, and files as users run them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod durability;
mod exactness;
mod files;
mod goldens;
mod grammar;
mod memory;
mod models;
mod tiny;
mod tokenizers;
mod verified;
