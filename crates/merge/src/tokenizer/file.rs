//! The file `tokenizer.json`, with the lists that may be long apart from the rest.

use std::fmt;

use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::json::Json;

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
    Numbered(Vec<(String, u32)>),
    /// With their scores, numbered from 0.
    Scored(Vec<(String, f64)>),
}

/// Two tokens that are joined.
pub(super) enum Merge {
    /// In one text, a space between.
    Joined(String),
    /// Apart.
    Apart(String, String),
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
    pub merges: Option<Vec<Merge>>,
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
                let mut all = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    bounded(all.len(), MOST, "tokens")?;
                    all.push(entry);
                }
                Ok(Tokens::Numbered(all))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Tokens, A::Error> {
                let mut all = Vec::new();
                while let Some(entry) = list.next_element()? {
                    bounded(all.len(), MOST, "tokens")?;
                    all.push(entry);
                }
                Ok(Tokens::Scored(all))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl<'de> Deserialize<'de> for Merge {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Merge;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("two tokens, in a list or with a space between")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Merge, E> {
                Ok(Merge::Joined(text.to_owned()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Merge, A::Error> {
                match (list.next_element()?, list.next_element()?, list.next_element::<String>()?) {
                    (Some(left), Some(right), None) => Ok(Merge::Apart(left, right)),
                    _ => Err(A::Error::custom("a merge is of two tokens")),
                }
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// `added_tokens` or `merges`.
struct Long<T>(Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Long<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Items<T>(Vec<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Items<T> {
            type Value = Long<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }
            fn visit_unit<E>(self) -> Result<Long<T>, E> {
                Ok(Long(Vec::new()))
            }
            fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<Long<T>, A::Error> {
                while let Some(item) = list.next_element()? {
                    bounded(self.0.len(), MOST_MERGES, "entries")?;
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
    merges: Option<Vec<Merge>>,
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
                    self.taken.added = map.next_value::<Long<Added>>()?.0;
                    Json::NULL
                }
                (true, "vocab") => {
                    self.taken.tokens = Some(map.next_value()?);
                    Json::NULL
                }
                (true, "merges") => {
                    self.taken.merges = Some(map.next_value::<Long<Merge>>()?.0);
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
