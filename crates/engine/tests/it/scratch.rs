//! Scratch.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, dead_code)]
mod onnx;
mod onnx_golden;
mod onnx_hostile;
mod place;
