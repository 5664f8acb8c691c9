//! The program and the house, tested from outside.

mod house;
mod program;
