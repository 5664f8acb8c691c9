//! Texts that people write, recipes and merge files: YAML as a tree that knows where everything stands, and findings about it.

mod finding;
mod node;
mod render;
mod scalar;
mod tree;
mod writer;

pub use finding::{Finding, Findings, List, MAX_KEPT, Severity, quote, suggest};
pub use node::{Content, Entry, Node, Span};
pub use scalar::{write_key, write_text};
pub use tree::{Grammar, MAX_BYTES, MAX_DEPTH, MAX_NODES, parse, parse_all};
pub use writer::{flow, write};
