//! Merges against those of others: tensor by tensor, and files as users run them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod copies;
mod durability;
mod exactness;
mod faults;
mod files;
mod goldens;
mod grammar;
mod layers;
mod lenient;
mod memory;
mod models;
mod tiny;
mod tokenizers;
mod verified;
