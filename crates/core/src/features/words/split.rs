//! How a text is split into pieces, in which tokens do not reach over.

use std::borrow::Cow;
use std::ops::ControlFlow;

use regex::Regex;
use serde::{Deserialize, Serialize};

use super::pattern;
use crate::error::Result;

/// A way to split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Split {
    /// At white space, which is left out.
    Spaces,
    /// Runs of letters, digits and underscores, and runs of anything else but white space.
    Words,
    /// At white space, which is left out, and around every punctuation mark.
    Punctuation,
    /// As bytes. With `space` a text begins with one; with `parts` runs of letters, of digits and of anything else are
    /// pieces, each with the space before it.
    Bytes {
        /// See there.
        space: bool,
        /// See there.
        parts: bool,
    },
}

impl Split {
    pub fn is_bytes(&self) -> bool {
        matches!(self, Self::Bytes { .. })
    }

    fn pattern(&self) -> &'static str {
        match self {
            Self::Spaces => r"\S+",
            Self::Words => r"\w+|[^\w\s]+",
            Self::Punctuation => r"[\p{P}$+<=>^`|~]|[^\s\p{P}$+<=>^`|~]+",
            Self::Bytes { parts: true, .. } => {
                r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+"
            }
            Self::Bytes { parts: false, .. } => r"(?s).+",
        }
    }
}

/// A split, ready to use.
pub(super) struct Splitter {
    split: Split,
    pattern: Regex,
}

impl Splitter {
    pub fn new(split: &Split) -> Result<Self> {
        Ok(Self { split: *split, pattern: pattern(split.pattern())? })
    }

    /// The pieces of a text in order, until `take` says that it is enough.
    fn each(&self, text: &str, mut take: impl FnMut(&str) -> ControlFlow<()>) -> ControlFlow<()> {
        let text = match self.split {
            Split::Bytes { space: true, .. } if !text.is_empty() && !text.starts_with(' ') => {
                Cow::Owned(format!(" {text}"))
            }
            _ => Cow::Borrowed(text),
        };
        let mut at = 0;
        while let Some(found) = self.pattern.find_at(&text, at) {
            let mut piece = found.as_str();
            // Of a run of white space before something else the last one belongs to that.
            if self.split.is_bytes()
                && found.end() < text.len()
                && piece.chars().all(char::is_whitespace)
                && let Some((last, _)) = piece.char_indices().next_back().filter(|(last, _)| *last > 0)
            {
                piece = piece.get(..last).unwrap_or_default();
            }
            at = found.start() + piece.len();
            take(piece)?;
        }
        ControlFlow::Continue(())
    }
}

/// Splits a text one way after the other, and hands on the pieces in order, until `take` says that it is enough.
pub(super) fn walk(
    ways: &[Splitter],
    text: &str,
    take: &mut dyn FnMut(&str) -> ControlFlow<()>,
) -> ControlFlow<()> {
    match ways {
        [] if text.is_empty() => ControlFlow::Continue(()),
        [] => take(text),
        [first, rest @ ..] => first.each(text, |piece| walk(rest, piece, take)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(split: Split, text: &str) -> Vec<String> {
        let mut all = Vec::new();
        let _ = walk(&[Splitter::new(&split).unwrap()], text, &mut |p| {
            all.push(p.to_owned());
            ControlFlow::Continue(())
        });
        all
    }

    #[test]
    fn every_way_splits_where_it_says() {
        let bytes = Split::Bytes { space: true, parts: true };
        assert_eq!(
            pieces(bytes, "I've 2  cats!\n\n so"),
            [" I", "'ve", " 2", " ", " cats", "!", "\n\n", " so"]
        );
        assert_eq!(pieces(bytes, "a\n\nb "), [" a", "\n", "\n", "b", " "]);
        let whole = Split::Bytes { space: false, parts: false };
        assert_eq!(pieces(whole, "a b\nc"), ["a b\nc"]);
        assert!(pieces(whole, "").is_empty());
        assert_eq!(pieces(Split::Spaces, " a,b  c\u{a0}"), ["a,b", "c"]);
        assert_eq!(pieces(Split::Words, "a_1,.b"), ["a_1", ",.", "b"]);
        assert_eq!(pieces(Split::Punctuation, "don't… $5"), ["don", "'", "t", "…", "$", "5"]);
    }
}
