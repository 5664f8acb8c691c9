//! From recipe to plan to run: the store, the judge, the report.

pub mod outcome;
pub mod recipe;
pub mod report;
