//! Tests of the networks through their public interface.

mod data;
mod golden;
mod learning;
mod members;
mod refusals;
mod threads;
