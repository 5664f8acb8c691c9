//! Tests of the engine from outside.

mod init;
mod methods;
mod recipe;
mod schema;
