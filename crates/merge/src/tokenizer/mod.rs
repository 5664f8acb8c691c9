//! Tokenizers: several vocabularies become one, and every row of the merged embedding gets its origin.
//!
//! [`Vocabulary::read`] reads each member's files, [`TokenizerSettings::decode`] what the merge file says,
//! [`MergedTokenizer::plan`] finds the rows, and [`MergedTokenizer::write`] writes the files.

mod chat;
mod file;
mod json;
mod merged;
mod names;
mod rows;
mod settings;
mod vocabulary;
mod write;

#[cfg(test)]
mod tests;

pub use chat::chat_template;
pub use merged::MergedTokenizer;
pub use rows::{Row, Rows};
pub use settings::{FindMember, Origin, Override, Source, TokenizerSettings};
pub use vocabulary::Vocabulary;
pub use write::{copy_with_template, has_tokenizer, own_template};

/// A model whose tokenizer is merged.
#[derive(Debug, Clone, Copy)]
pub struct Member<'a> {
    /// Its name, for findings.
    pub name: &'a str,
    /// Its tokens.
    pub vocabulary: &'a Vocabulary,
    /// How many rows its embedding has. Tokens with higher numbers have none.
    pub rows: usize,
}

impl Member<'_> {
    /// Its row of a token.
    fn row(&self, token: &str) -> Option<u32> {
        self.vocabulary.number(token).filter(|number| (*number as usize) < self.rows)
    }
}
