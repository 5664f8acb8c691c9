//! Checkpoints from outside: what PyTorch wrote, what somebody made to do harm, and twenty thousand accidents.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod allocations;
mod checkpoints;
mod hostile;
mod matched;
mod mutations;
