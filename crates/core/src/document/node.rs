//! Nodes of a text that know where they stand.

use serde::Serialize;
use serde_json::Value;

/// Where something stands in the text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Span {
    /// The first byte.
    pub start: usize,
    /// The byte after the last one.
    pub end: usize,
    /// The line of the first byte, from 1.
    pub line: usize,
    /// The column of the first byte in characters, from 1.
    pub column: usize,
}

/// What a node holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// Nothing.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number from -2^63 to 2^64 - 1.
    Int(i128),
    /// A finite number.
    Float(f64),
    /// Text; a quoted scalar is always text.
    String(String),
    /// A list.
    Seq(Vec<Node>),
    /// A map, in the order of the text, each key once.
    Map(Vec<Entry>),
    /// Something that was refused: a finding says so, and nothing more is said about it.
    Refused,
}

/// A value with its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// What it holds.
    pub content: Content,
    /// Where it stands.
    pub span: Span,
}

/// A key with its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key's text.
    pub key: String,
    /// Where the key stands.
    pub key_span: Span,
    /// The value.
    pub value: Node,
}

impl Node {
    /// The entries, if it is a map; none otherwise.
    pub fn entries(&self) -> &[Entry] {
        match &self.content {
            Content::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The items, if it is a list; none otherwise.
    pub fn items(&self) -> &[Node] {
        match &self.content {
            Content::Seq(items) => items,
            _ => &[],
        }
    }

    /// The entry of a key, if it is a map that has it.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|e| e.key == key)
    }

    /// The value of a key, if it is a map that has it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|e| &e.value)
    }

    /// The text, if it is text.
    pub fn text(&self) -> Option<&str> {
        match &self.content {
            Content::String(s) => Some(s),
            _ => None,
        }
    }

    /// The span of the deepest existing part of a path of keys: a scalar's own, else that of the key it stands under.
    pub fn locate(&self, path: &[&str]) -> Span {
        let (mut node, mut span) = (self, self.span);
        for key in path {
            let Some(entry) = node.entry(key) else { break };
            node = &entry.value;
            let collection = matches!(node.content, Content::Map(_) | Content::Seq(_) | Content::Null);
            span = if collection { entry.key_span } else { node.span };
        }
        span
    }

    /// How many nodes it has, and how deep lists and maps are nested in it.
    pub(super) fn extent(&self) -> (usize, usize) {
        let inner = match &self.content {
            Content::Seq(items) => items.iter().map(Self::extent).collect::<Vec<_>>(),
            Content::Map(entries) => {
                entries.iter().map(|e| e.value.extent()).map(|(n, d)| (n + 1, d)).collect()
            }
            _ => return (1, 0),
        };
        inner.into_iter().fold((1, 1), |(n, d), (m, e)| (n + m, d.max(e + 1)))
    }

    /// The same as JSON. What was refused is null.
    pub fn to_json(&self) -> Value {
        match &self.content {
            Content::Null | Content::Refused => Value::Null,
            Content::Bool(b) => Value::Bool(*b),
            Content::Int(v) => match (u64::try_from(*v), i64::try_from(*v)) {
                (Ok(v), _) => Value::from(v),
                (_, Ok(v)) => Value::from(v),
                _ => Value::Null,
            },
            Content::Float(v) => Value::from(*v),
            Content::String(s) => Value::from(s.as_str()),
            Content::Seq(items) => items.iter().map(Self::to_json).collect(),
            Content::Map(entries) => {
                Value::Object(entries.iter().map(|e| (e.key.clone(), e.value.to_json())).collect())
            }
        }
    }

    /// A node without a place from JSON; maps in the order of their keys.
    pub fn from_json(value: &Value) -> Self {
        let content = match value {
            Value::Null => Content::Null,
            Value::Bool(b) => Content::Bool(*b),
            Value::Number(n) => match (n.as_u64(), n.as_i64(), n.as_f64()) {
                (Some(v), _, _) => Content::Int(i128::from(v)),
                (_, Some(v), _) => Content::Int(i128::from(v)),
                (_, _, Some(v)) => Content::Float(v),
                _ => Content::Null,
            },
            Value::String(s) => Content::String(s.clone()),
            Value::Array(items) => Content::Seq(items.iter().map(Self::from_json).collect()),
            Value::Object(map) => {
                Content::Map(map.iter().map(|(k, v)| Entry::new(k, Self::from_json(v))).collect())
            }
        };
        Self { content, span: Span::default() }
    }
}

impl Entry {
    /// An entry without a place.
    pub fn new(key: impl Into<String>, value: Node) -> Self {
        Self { key: key.into(), key_span: Span::default(), value }
    }
}
