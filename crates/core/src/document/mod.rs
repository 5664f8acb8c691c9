//! Texts that people write, recipes and merge files: YAML as a tree that knows where everything stands, and findings about it.

mod finding;
mod render;
mod scalar;
mod tree;
mod writer;

pub use finding::{Finding, Findings, List, MAX_KEPT, Severity, quote, suggest};
pub use scalar::{write_key, write_text};
pub use tree::{Content, Entry, Grammar, MAX_BYTES, MAX_DEPTH, MAX_NODES, Node, Span, parse, parse_all};
pub use writer::{flow, write};
