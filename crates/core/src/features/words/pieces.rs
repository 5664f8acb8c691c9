//! Word pieces: the longest token that fits, from the left on.

use super::table::Table;

/// Tokens, of which those with a prefix stand inside a piece.
///
/// # Reference
/// Schuster and Nakajima (2012), "Japanese and Korean voice search".
pub(super) struct Pieces {
    prefix: String,
    longest: usize,
    unknown: u32,
}

impl Pieces {
    /// Nothing, if the unknown token is not there.
    pub fn new(table: &Table, prefix: &str, longest: usize, unknown: u32) -> Option<Self> {
        table.token(unknown)?;
        Some(Self { prefix: prefix.to_owned(), longest, unknown })
    }

    /// Appends the tokens of a piece, or the unknown one if it cannot be written in tokens to its end.
    pub fn write(&self, table: &Table, piece: &str, out: &mut Vec<u32>) {
        match self.tokens(table, piece) {
            Some(tokens) => out.extend(tokens),
            None => out.push(self.unknown),
        }
    }

    fn tokens(&self, table: &Table, piece: &str) -> Option<Vec<u32>> {
        if piece.chars().nth(self.longest).is_some() {
            return None;
        }
        let mut tokens = Vec::new();
        let mut rest = piece;
        while !rest.is_empty() {
            let prefix = if tokens.is_empty() { "" } else { self.prefix.as_str() };
            let mut key = [prefix, rest].concat().into_bytes();
            let (length, token) = rest.char_indices().rev().find_map(|(start, c)| {
                let end = start + c.len_utf8();
                key.truncate(prefix.len() + end);
                Some((end, table.number(&key)?))
            })?;
            tokens.push(token);
            rest = rest.get(length..)?;
        }
        Some(tokens)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_piece_is_taken_and_what_is_left_makes_it_unknown() {
        let tokens = ["?", "un", "unaf", "##aff", "##able", "##f", "é", "##é"].map(|t| t.as_bytes().to_vec());
        let table = Table::in_order(tokens.to_vec());
        let pieces = Pieces::new(&table, "##", 12, 0).unwrap();
        let write = |piece: &str| {
            let mut out = Vec::new();
            pieces.write(&table, piece, &mut out);
            out
        };
        assert_eq!(write("unaffable"), [2, 5, 4]);
        assert_eq!(write("éé"), [6, 7]);
        assert_eq!(write("unaffably"), [0]);
        assert_eq!(write("un".repeat(7).as_str()), [0]);
        assert!(write("").is_empty());
    }
}
