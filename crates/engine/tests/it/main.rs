//! Tests of the engine from outside.

mod init;
mod methods;
mod place;
mod recipe;
mod run_domains;
mod run_files;
mod run_given;
mod run_modes;
mod run_verdicts;
mod schema;
