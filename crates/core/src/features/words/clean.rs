//! What is done to a whole text before it is split.

use std::borrow::Cow;

use regex::Regex;
use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

use super::pattern;
use crate::error::Result;

/// A change of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Clean {
    /// Unicode's form C: characters composed.
    Nfc,
    /// Form D: characters taken apart.
    Nfd,
    /// Form KC: composed, variants unified.
    Nfkc,
    /// Form KD: taken apart, variants unified.
    Nfkd,
    /// Lower case.
    Lowercase,
    /// Marks that combine with a character are left out.
    Marks,
    /// Of these only those that take no room.
    Accents,
    /// Control characters are left out, but for tabs and ends of lines.
    Control,
    /// Every white space is a space.
    Spaces,
    /// Spaces around every Chinese character.
    Chinese,
}

impl Clean {
    /// What is replaced, and by what.
    fn replaced(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Nfc | Self::Nfd | Self::Nfkc | Self::Nfkd | Self::Lowercase => None,
            Self::Marks => Some((r"\p{M}", "")),
            Self::Accents => Some((r"\p{Mn}", "")),
            Self::Control => Some((r"[\p{Cc}\p{Cf}\p{Co}\x{fffd}--[\t\n\r]]", "")),
            Self::Spaces => Some((r"\s", " ")),
            Self::Chinese => Some((
                concat!(
                    r"[\x{4e00}-\x{9fff}\x{3400}-\x{4dbf}\x{20000}-\x{2a6df}\x{2a700}-\x{2b73f}",
                    r"\x{2b740}-\x{2b81f}\x{2b920}-\x{2ceaf}\x{f900}-\x{faff}\x{2f800}-\x{2fa1f}]"
                ),
                " $0 ",
            )),
        }
    }
}

/// A change, ready to use.
pub(super) struct Cleaner {
    clean: Clean,
    replaced: Option<(Regex, &'static str)>,
}

impl Cleaner {
    pub fn new(clean: &Clean) -> Result<Self> {
        let replaced = clean.replaced().map(|(replaced, by)| Ok((pattern(replaced)?, by))).transpose();
        Ok(Self { clean: *clean, replaced: replaced? })
    }

    fn of<'a>(&self, text: Cow<'a, str>) -> Cow<'a, str> {
        match (self.clean, &self.replaced) {
            (_, Some((pattern, by))) => Cow::Owned(pattern.replace_all(&text, *by).into_owned()),
            (Clean::Nfc, _) => Cow::Owned(text.nfc().collect()),
            (Clean::Nfd, _) => Cow::Owned(text.nfd().collect()),
            (Clean::Nfkc, _) => Cow::Owned(text.nfkc().collect()),
            (Clean::Nfkd, _) => Cow::Owned(text.nfkd().collect()),
            (_, None) => Cow::Owned(text.chars().flat_map(char::to_lowercase).collect()),
        }
    }
}

/// A text after all changes, one after the other.
pub(super) fn cleaned<'a>(all: &[Cleaner], text: &'a str) -> Cow<'a, str> {
    all.iter().fold(Cow::Borrowed(text), |text, cleaner| cleaner.of(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_change_does_what_it_says() {
        let of = |clean: &[Clean], text: &str| {
            let all: Vec<Cleaner> = clean.iter().map(|c| Cleaner::new(c).unwrap()).collect();
            cleaned(&all, text).into_owned()
        };
        assert_eq!(of(&[], "É"), "É");
        assert_eq!(of(&[Clean::Nfd, Clean::Accents, Clean::Lowercase], "ÉÀ नि"), "ea नि");
        assert_eq!(of(&[Clean::Marks], "e\u{301} नि"), "e न");
        assert_eq!(of(&[Clean::Nfc], "e\u{301}"), "é");
        assert_eq!(of(&[Clean::Nfkc], "ﬁ①"), "fi1");
        assert_eq!(of(&[Clean::Nfkd], "ﬁé"), "fie\u{301}");
        assert_eq!(of(&[Clean::Control, Clean::Spaces], "a\0\u{200b}b\tc\u{a0}\u{fffd}d\u{b}"), "ab c d");
        assert_eq!(of(&[Clean::Chinese], "a漢字"), "a 漢  字 ");
    }
}
