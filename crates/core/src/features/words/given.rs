//! A vocabulary from a file `tokenizer.json`, as Hugging Face's library writes it.
//!
//! Read are byte pairs and word pieces with the usual ways to clean and split; everything else is refused by name. What a file
//! says of special tokens around a text, of padding and cutting does not matter here: a network that learns from the start needs
//! none of it. Special tokens are not looked for in texts.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::clean::Clean;
use super::pairs::Unknown;
use super::split::Split;
use super::table::Table;
use super::{Kind, MOST, Vocabulary, bytes};
use crate::error::{Error, Result};

/// A larger file is refused.
const LARGEST: u64 = 32 << 20;

/// The most characters of a piece that word pieces write.
const LONGEST: usize = 1000;

#[derive(Deserialize)]
struct Names {
    model: Name,
}

#[derive(Deserialize)]
struct Name {
    #[serde(rename = "type")]
    kind: Option<String>,
    merges: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Whole {
    normalizer: Option<Stage>,
    pre_tokenizer: Option<Stage>,
    #[serde(default)]
    added_tokens: Vec<Added>,
    model: Words,
}

/// A normalizer or a pre-tokenizer, with the settings of those that can be read.
#[derive(Deserialize)]
struct Stage {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    normalizers: Vec<Stage>,
    #[serde(default)]
    pretokenizers: Vec<Stage>,
    clean_text: Option<bool>,
    handle_chinese_chars: Option<bool>,
    strip_accents: Option<bool>,
    lowercase: Option<bool>,
    add_prefix_space: Option<bool>,
    use_regex: Option<bool>,
}

#[derive(Deserialize)]
struct Added {
    content: String,
    #[serde(default)]
    special: bool,
}

#[derive(Deserialize)]
struct Words {
    vocab: HashMap<String, u32>,
    #[serde(default)]
    merges: Vec<Merge>,
    unk_token: Option<String>,
    continuing_subword_prefix: Option<String>,
    end_of_word_suffix: Option<String>,
    max_input_chars_per_word: Option<usize>,
    dropout: Option<f64>,
    #[serde(default)]
    fuse_unk: bool,
    #[serde(default)]
    byte_fallback: bool,
    #[serde(default)]
    ignore_merges: bool,
}

/// Two tokens, beside each other with a space between, or apart.
#[derive(Deserialize)]
#[serde(untagged)]
enum Merge {
    Text(String),
    Apart(String, String),
}

/// Reads a file.
///
/// # Errors
/// [`Error::Data`] naming what cannot be read, or contradicts itself; [`Error::Read`] if there is no such file.
pub(in crate::features) fn read(path: &Path) -> Result<Vocabulary> {
    let mut text = Vec::new();
    let file = File::open(path).map_err(|e| Error::read(path, e))?;
    file.take(LARGEST + 1).read_to_end(&mut text).map_err(|e| Error::read(path, e))?;
    if text.len() as u64 > LARGEST {
        let error = Error::data("the file of a vocabulary is too large").expected("at most 32 MiB");
        return Err(error.at(path.display()));
    }
    understood(&text).map_err(|e| e.at(path.display()))
}

fn understood(text: &[u8]) -> Result<Vocabulary> {
    // Which model it is, before what only some of them have.
    let Names { model } = parsed(text)?;
    let kind = match model {
        Name { kind: Some(kind), .. } => kind,
        // Older files of byte pairs do not say what they are.
        Name { merges: Some(_), .. } => "BPE".to_owned(),
        Name { .. } => return Err(refused("model without a type, which", "BPE or WordPiece")),
    };
    if kind != "BPE" && kind != "WordPiece" {
        return Err(refused(&format!("model \"{kind}\""), "BPE or WordPiece"));
    }
    let Whole { normalizer, pre_tokenizer, added_tokens, model } = parsed(text)?;
    if let Some(word) = added_tokens.iter().find(|t| !t.special && !model.vocab.contains_key(&t.content)) {
        return Err(refused(
            &format!("word \"{}\" that was added by hand", word.content),
            "special tokens only",
        ));
    }
    let (mut clean, mut split) = (Vec::new(), Vec::new());
    normalizer.iter().try_for_each(|s| s.cleans(&mut clean))?;
    pre_tokenizer.iter().try_for_each(|s| s.splits(&mut split))?;
    // What comes after bytes would have to split what they are written as.
    if split.iter().rev().skip(1).any(Split::is_bytes) {
        return Err(refused("pre-tokenizer behind \"ByteLevel\"", "\"ByteLevel\" as the last one"));
    }
    let bytes = split.iter().any(Split::is_bytes);
    model.vocabulary(kind == "BPE", bytes, clean, split)
}

fn parsed<T: DeserializeOwned>(text: &[u8]) -> Result<T> {
    serde_json::from_slice(text).map_err(|e| {
        Error::data("the file is no vocabulary that can be read")
            .expected("a tokenizer.json as Hugging Face's library tokenizers writes it")
            .got(e)
    })
}

fn refused(what: &str, expected: &str) -> Error {
    Error::data(format!("the vocabulary has a {what} cannot be read"))
        .expected(expected)
        .remedy("leave file out: a vocabulary is then learned from the training texts")
}

impl Stage {
    fn cleans(&self, out: &mut Vec<Clean>) -> Result<()> {
        match self.kind.as_str() {
            "Sequence" => return self.normalizers.iter().try_for_each(|s| s.cleans(out)),
            "NFC" => out.push(Clean::Nfc),
            "NFD" => out.push(Clean::Nfd),
            "NFKC" => out.push(Clean::Nfkc),
            "NFKD" => out.push(Clean::Nfkd),
            "Lowercase" => out.push(Clean::Lowercase),
            "StripAccents" => out.push(Clean::Marks),
            "BertNormalizer" => {
                let lowercase = self.lowercase.unwrap_or(true);
                let wanted = [
                    (self.clean_text.unwrap_or(true), &[Clean::Control, Clean::Spaces][..]),
                    (self.handle_chinese_chars.unwrap_or(true), &[Clean::Chinese]),
                    (self.strip_accents.unwrap_or(lowercase), &[Clean::Nfd, Clean::Accents]),
                    (lowercase, &[Clean::Lowercase]),
                ];
                wanted.into_iter().filter(|(wanted, _)| *wanted).for_each(|(_, all)| out.extend(all));
            }
            other => {
                let known =
                    "NFC, NFD, NFKC, NFKD, Lowercase, StripAccents, BertNormalizer or a Sequence of them";
                return Err(refused(&format!("normalizer \"{other}\" that"), known));
            }
        }
        Ok(())
    }

    fn splits(&self, out: &mut Vec<Split>) -> Result<()> {
        match self.kind.as_str() {
            "Sequence" => return self.pretokenizers.iter().try_for_each(|s| s.splits(out)),
            "ByteLevel" => out.push(Split::Bytes {
                space: self.add_prefix_space.unwrap_or(true),
                parts: self.use_regex.unwrap_or(true),
            }),
            "BertPreTokenizer" => out.push(Split::Punctuation),
            "Whitespace" => out.push(Split::Words),
            "WhitespaceSplit" => out.push(Split::Spaces),
            other => {
                let known = "ByteLevel, BertPreTokenizer, Whitespace, WhitespaceSplit or a Sequence of them";
                return Err(refused(&format!("pre-tokenizer \"{other}\" that"), known));
            }
        }
        Ok(())
    }
}

impl Words {
    fn vocabulary(
        self,
        pairs: bool,
        bytes: bool,
        clean: Vec<Clean>,
        split: Vec<Split>,
    ) -> Result<Vocabulary> {
        let some = |text: &Option<String>| text.as_ref().is_some_and(|t| !t.is_empty());
        let odd = [
            (pairs && some(&self.continuing_subword_prefix), "continuing_subword_prefix"),
            (some(&self.end_of_word_suffix), "end_of_word_suffix"),
            (self.byte_fallback, "byte_fallback"),
            (self.dropout.is_some_and(|d| d != 0.0), "dropout"),
            (!pairs && bytes, "pre-tokenizer \"ByteLevel\" for word pieces"),
        ];
        if let Some((_, what)) = odd.iter().find(|(is, _)| *is) {
            return Err(refused(&format!("{what} that"), "a model without it"));
        }
        let written = |token: &str| if bytes { bytes::of(token) } else { Some(token.as_bytes().to_vec()) };
        // A token with a character that stands for no byte comes up in no text; merges cannot name it.
        let tokens = self.vocab.iter().filter_map(|(token, number)| Some((written(token)?, *number)));
        let table = Table::new(tokens).ok_or_else(|| {
            Error::data("the tokens of the vocabulary cannot be numbered")
                .expected(format!("at least one token, each with a number of its own below {MOST}"))
        })?;
        let number = |token: &str| {
            let missing =
                || Error::data("the vocabulary lacks a token that it names").got(format!("{token:?}"));
            written(token).and_then(|t| table.number(&t)).ok_or_else(missing)
        };
        let merge = |merge: &Merge| match merge {
            Merge::Text(text) => match text.split_once(' ') {
                Some((a, b)) => Ok([number(a)?, number(b)?]),
                None => Err(Error::data("a merge of the vocabulary is no pair").got(format!("{text:?}"))),
            },
            Merge::Apart(a, b) => Ok([number(a)?, number(b)?]),
        };
        let (kind, merges) = if pairs {
            let token = self.unk_token.as_deref().map(number).transpose()?;
            let unknown = Unknown { token, fuse: self.fuse_unk, whole: self.ignore_merges };
            (Kind::Pairs(unknown), self.merges.iter().map(merge).collect::<Result<Vec<_>>>()?)
        } else {
            let kind = Kind::Pieces {
                prefix: self.continuing_subword_prefix.clone().unwrap_or_else(|| "##".to_owned()),
                longest: self.max_input_chars_per_word.unwrap_or(100).min(LONGEST),
                unknown: number(self.unk_token.as_deref().unwrap_or("[UNK]"))?,
            };
            (kind, Vec::new())
        };
        Vocabulary::new(clean, split, kind, table, merges)?.ok_or_else(|| {
            Error::data("a merge gives no token of the vocabulary").expected("every merge to give one")
        })
    }
}
