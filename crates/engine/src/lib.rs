//! From recipe to plan to run: the store, the judge, the report.

pub mod catalog;
pub mod codec;
pub mod device;
pub mod evaluate;
pub mod foreign;
pub mod guess;
mod ids;
pub mod merging;
pub mod outcome;
pub mod plan;
pub mod portable;
pub mod predict;
pub mod recipe;
mod refusals;
mod regioned;
pub mod report;
pub mod run;
mod soup;
pub mod store;
pub mod tables;
