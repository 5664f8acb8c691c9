//! Tests of the engine from outside.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod composing;
mod evaluate;
mod exported;
mod init;
mod merges;
mod methods;
mod onnx;
mod onnx_golden;
mod onnx_hostile;
mod place;
mod recipe;
mod run_domains;
mod run_files;
mod run_given;
mod run_modes;
mod run_nested;
mod run_verdicts;
mod schema;
mod tables;
