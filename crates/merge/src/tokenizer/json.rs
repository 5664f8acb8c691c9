//! JSON that keeps its keys in the order of the file.

use std::collections::HashSet;
use std::fmt;
use std::io::BufReader;
use std::path::Path;

use consilience_core::{Error, Result};
use serde::de::{DeserializeOwned, Error as _, MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::model::open_file;

/// A JSON value. The keys of a map stand in the order of the file, each once.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Json {
    /// Neither a list nor a map.
    Scalar(Value),
    /// A list.
    List(Vec<Json>),
    /// A map.
    Map(Vec<(String, Json)>),
}

impl Json {
    /// Null.
    pub(super) const NULL: Self = Self::Scalar(Value::Null);

    /// A text.
    pub(super) fn string(text: &str) -> Self {
        Self::Scalar(Value::from(text))
    }

    /// The text, if it is text.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Scalar(value) => value.as_str(),
            _ => None,
        }
    }

    /// The items of a list; none otherwise.
    pub(super) fn items(&self) -> &[Self] {
        match self {
            Self::List(items) => items,
            _ => &[],
        }
    }

    /// The entries of a map; none otherwise.
    pub(super) fn entries(&self) -> &[(String, Self)] {
        match self {
            Self::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The value of a key, if this is a map that has it and it is not null.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        self.entries().iter().find(|(k, _)| k == key).map(|(_, v)| v).filter(|v| **v != Self::NULL)
    }

    /// Sets the value of a key where it stands, or as the last one.
    pub(super) fn set(&mut self, key: &str, value: Self) {
        if let Self::Map(entries) = self {
            match entries.iter_mut().find(|(k, _)| k == key) {
                Some((_, old)) => *old = value,
                None => entries.push((key.to_owned(), value)),
            }
        }
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match self {
            // A whole number beyond 64 bits, such as the usual length "without limit", is read as a float.
            Self::Scalar(Value::Number(number)) if number.is_f64() => match number.as_f64() {
                Some(value) if value.fract() == 0.0 && (1e19..1e38).contains(&value) => {
                    serializer.serialize_u128(value as u128)
                }
                _ => number.serialize(serializer),
            },
            Self::Scalar(value) => value.serialize(serializer),
            Self::List(items) => {
                let mut list = serializer.serialize_seq(Some(items.len()))?;
                items.iter().try_for_each(|item| list.serialize_element(item))?;
                list.end()
            }
            Self::Map(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                entries.iter().try_for_each(|(key, value)| map.serialize_entry(key, value))?;
                map.end()
            }
        }
    }
}

struct Anything;

impl<'de> Visitor<'de> for Anything {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> std::result::Result<Json, E> {
        Ok(Json::NULL)
    }

    fn visit_bool<E>(self, value: bool) -> std::result::Result<Json, E> {
        Ok(Json::Scalar(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> std::result::Result<Json, E> {
        Ok(Json::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> std::result::Result<Json, E> {
        Ok(Json::Scalar(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> std::result::Result<Json, E> {
        Ok(Json::Scalar(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> std::result::Result<Json, E> {
        Ok(Json::string(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> std::result::Result<Json, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Json::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Json, A::Error> {
        let mut entries = Vec::new();
        let mut seen = HashSet::new();
        while let Some((key, value)) = map.next_entry::<String, Json>()? {
            if !seen.insert(key.clone()) {
                return Err(A::Error::custom(format!("the key {key:?} is given twice")));
            }
            entries.push((key, value));
        }
        Ok(Json::Map(entries))
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_any(Anything)
    }
}

/// The contents of a JSON file that is not larger than `most`.
///
/// # Errors
/// As [`open_file`]; [`Error::Model`] for a file that is not what was expected, with its line.
pub(super) fn read<T: DeserializeOwned>(path: &Path, most: u64, expected: &str) -> Result<T> {
    // Not the whole text at once: it may be as large as what it says.
    serde_json::from_reader(BufReader::new(open_file(path, most)?)).map_err(|e| {
        Error::model("the file cannot be understood").at(path.display()).expected(expected).got(e)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_large_numbers_are_kept() {
        let text = r#"{"z":1,"a":[null,true,-2,0.5,"x"],"m":{"b":{},"a":1000000000000000019884624838656}}"#;
        let json: Json = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&json).unwrap(), text);
        assert_eq!(json.get("a").unwrap().items().len(), 5);
        assert!(serde_json::from_str::<Json>(r#"{"a":1,"a":2}"#).is_err());
        assert!(serde_json::from_str::<Json>(&"[".repeat(100_000)).is_err());
    }
}
