//! The file `tokenizer.json`, with the lists that may be long apart from the rest.

use std::fmt;

use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::json::Json;
use super::names::Texts;

/// The most tokens, and what every number of a token lies below.
pub(super) const MOST: usize = 1 << 22;

/// The most merges.
const MOST_MERGES: usize = 1 << 23;

/// A token beside those that a tokenizer's model knows: it is looked for in the text first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Added {
    #[serde(default)]
    pub id: u32,
    pub content: String,
    #[serde(default)]
    pub single_word: bool,
    #[serde(default)]
    pub lstrip: bool,
    #[serde(default)]
    pub rstrip: bool,
    #[serde(default)]
    pub normalized: bool,
    #[serde(default)]
    pub special: bool,
}

impl Added {
    /// A token that is no special one.
    pub(super) fn plain(id: u32, content: &str) -> Self {
        let [single_word, lstrip, rstrip, special] = [false; 4];
        Self { id, content: content.to_owned(), single_word, lstrip, rstrip, normalized: true, special }
    }

    /// What it says of its token.
    pub(super) fn flags(&self) -> [bool; 5] {
        [self.single_word, self.lstrip, self.rstrip, self.normalized, self.special]
    }
}

/// The tokens of a model.
pub(super) enum Tokens {
    /// With their numbers.
    Numbered(Texts, Vec<u32>),
    /// With their scores, numbered from 0.
    Scored(Texts, Vec<f64>),
}

/// Pairs of tokens that are joined, one after the other.
#[derive(Default)]
pub(super) struct Merges {
    pub texts: Texts,
    /// Whether a pair is one text, with a space between.
    pub joined: bool,
}

/// What stands in a file.
pub(super) struct Parsed {
    /// Everything, with null where `added_tokens`, `model.vocab` and `model.merges` stand.
    pub frame: Json,
    /// `added_tokens`.
    pub added: Vec<Added>,
    /// `model.vocab`.
    pub tokens: Tokens,
    /// `model.merges`, where there are any.
    pub merges: Option<Merges>,
}

/// Keeps a text.
fn add<E: Error>(texts: &mut Texts, text: &str) -> Result<(), E> {
    if texts.push(text) { Ok(()) } else { Err(E::custom("the tokens are too long")) }
}

/// A list or map of at most so many.
fn bounded<E: Error>(count: usize, most: usize, what: &str) -> Result<(), E> {
    if count < most { Ok(()) } else { Err(E::custom(format!("more than {most} {what}"))) }
}

impl<'de> Deserialize<'de> for Tokens {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Tokens;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map from tokens to their numbers, or a list of tokens with their scores")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tokens, A::Error> {
                let (mut texts, mut numbers) = (Texts::default(), Vec::new());
                while let Some((token, number)) = map.next_entry::<String, u32>()? {
                    bounded(numbers.len(), MOST, "tokens")?;
                    add(&mut texts, &token)?;
                    numbers.push(number);
                }
                Ok(Tokens::Numbered(texts, numbers))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Tokens, A::Error> {
                let (mut texts, mut scores) = (Texts::default(), Vec::new());
                while let Some((token, score)) = list.next_element::<(String, f64)>()? {
                    bounded(scores.len(), MOST, "tokens")?;
                    add(&mut texts, &token)?;
                    scores.push(score);
                }
                Ok(Tokens::Scored(texts, scores))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// One pair.
struct Pair<'a>(&'a mut Merges);

impl<'de> DeserializeSeed<'de> for Pair<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Pair<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("two tokens, in a list or with a space between")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        let parts = text.split_once(' ').filter(|(_, right)| !right.contains(' '));
        let (left, right) =
            parts.ok_or_else(|| E::custom(format!("a merge is not of two tokens: {text:?}")))?;
        self.0.joined = true;
        add(&mut self.0.texts, left)?;
        add(&mut self.0.texts, right)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        match (list.next_element::<String>()?, list.next_element::<String>()?, list.next_element::<String>()?)
        {
            (Some(left), Some(right), None) => {
                add(&mut self.0.texts, &left)?;
                add(&mut self.0.texts, &right)
            }
            _ => Err(A::Error::custom("a merge is not of two tokens")),
        }
    }
}

impl<'de> Deserialize<'de> for Merges {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs(Merges);
        impl<'de> Visitor<'de> for Pairs {
            type Value = Merges;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of pairs of tokens")
            }
            fn visit_unit<E>(self) -> Result<Merges, E> {
                Ok(self.0)
            }
            fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<Merges, A::Error> {
                while list.next_element_seed(Pair(&mut self.0))?.is_some() {
                    bounded(self.0.texts.len() / 2, MOST_MERGES, "merges")?;
                }
                Ok(self.0)
            }
        }
        deserializer.deserialize_any(Pairs(Merges::default()))
    }
}

/// `added_tokens`.
struct Long(Vec<Added>);

impl<'de> Deserialize<'de> for Long {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Items(Vec<Added>);
        impl<'de> Visitor<'de> for Items {
            type Value = Long;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }
            fn visit_unit<E>(self) -> Result<Long, E> {
                Ok(Long(Vec::new()))
            }
            fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<Long, A::Error> {
                while let Some(item) = list.next_element()? {
                    bounded(self.0.len(), MOST, "added tokens")?;
                    self.0.push(item);
                }
                Ok(Long(self.0))
            }
        }
        deserializer.deserialize_any(Items(Vec::new()))
    }
}

/// What is taken out of the frame on the way.
#[derive(Default)]
struct Taken {
    added: Vec<Added>,
    tokens: Option<Tokens>,
    merges: Option<Merges>,
}

/// The file's map, or that of its model.
struct Frame<'a> {
    taken: &'a mut Taken,
    inner: bool,
}

impl<'de> DeserializeSeed<'de> for Frame<'_> {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Frame<'_> {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.inner { "the map of a model" } else { "the map of a tokenizer" })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let mut entries: Vec<(String, Json)> = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            bounded(entries.len(), 1000, "keys")?;
            if entries.iter().any(|(k, _)| *k == key) {
                return Err(A::Error::custom(format!("the key {key:?} is given twice")));
            }
            let value = match (self.inner, key.as_str()) {
                (false, "model") => map.next_value_seed(Frame { taken: &mut *self.taken, inner: true })?,
                (false, "added_tokens") => {
                    self.taken.added = map.next_value::<Long>()?.0;
                    Json::NULL
                }
                (true, "vocab") => {
                    self.taken.tokens = Some(map.next_value()?);
                    Json::NULL
                }
                (true, "merges") => {
                    self.taken.merges = Some(map.next_value()?);
                    Json::NULL
                }
                _ => map.next_value()?,
            };
            entries.push((key, value));
        }
        Ok(Json::Map(entries))
    }
}

impl<'de> Deserialize<'de> for Parsed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut taken = Taken::default();
        let frame = Frame { taken: &mut taken, inner: false }.deserialize(deserializer)?;
        let Taken { added, tokens, merges } = taken;
        let tokens = tokens.ok_or_else(|| D::Error::custom("there is no model with a vocab"))?;
        Ok(Self { frame, added, tokens, merges })
    }
}
