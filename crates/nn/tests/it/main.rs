//! Tests of the networks through their public interface.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod architectures;
mod checkpoint;
mod data;
mod distilled;
mod golden;
mod graph;
mod kernels;
mod learning;
mod members;
mod mixup;
mod moments;
mod refusals;
mod text;
mod threads;
mod training;
