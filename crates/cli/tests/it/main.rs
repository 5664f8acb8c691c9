//! The program and the house, tested from outside.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bad_input;
mod bad_members;
mod device;
mod evaluate;
mod export;
mod first_recipes;
mod house;
mod images;
mod kill;
mod program;
mod sandbox;
mod sequences;
mod soup;
mod text;
mod whole_way;
