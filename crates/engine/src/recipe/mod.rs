//! Recipes: from YAML text to a checked [`Recipe`], with every finding at once.

mod types;

pub use types::{Call, Judge, Member, Recipe, Seen, Synthesis};
