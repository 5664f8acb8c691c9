//! A graph as an ONNX file.

use std::collections::BTreeMap;

use super::wire::Message;
use super::{Attribute, Constant, Element, Graph, Node, Port, Side};
use crate::error::{Error, Result};

/// The version of the file format, and those of the two sets of operators that go with it (ONNX 1.12).
const IR_VERSION: i64 = 8;
const OPERATORS: i64 = 17;
const LEARNERS: i64 = 3;
/// The set of operators for classical learners.
const ML: &str = "ai.onnx.ml";
/// No message of Protocol Buffers is larger.
const LARGEST: u64 = i32::MAX as u64;

/// What a file says beside the graph.
#[derive(Debug, Clone, Default)]
pub struct About {
    /// What the graph is called.
    pub name: String,
    /// The version of the program that writes it.
    pub version: String,
    /// More, by name: what a reader finds in `metadata_props`.
    pub more: BTreeMap<String, String>,
}

impl Graph {
    /// The bytes of an ONNX file: the same for the same graph.
    ///
    /// # Errors
    /// [`Error::Model`] if it would be larger than 2 GB, which ONNX does not allow in one file.
    pub fn to_onnx(&self, about: &About) -> Result<Vec<u8>> {
        let constants: u64 = self.constants.iter().map(|c| c.numbers.size()).sum();
        if constants > LARGEST {
            return Err(too_large(constants));
        }
        let mut graph = Message::default();
        self.nodes.iter().for_each(|n| graph.message(1, &n.message()));
        graph.text(2, if about.name.is_empty() { "model" } else { &about.name });
        self.constants.iter().for_each(|c| graph.message(5, &tensor(c)));
        self.inputs.iter().for_each(|p| graph.message(11, &port(p)));
        self.outputs.iter().for_each(|p| graph.message(12, &port(p)));
        let mut model = Message::default();
        model.int(1, IR_VERSION);
        model.text(2, "consilience");
        model.text(3, &about.version);
        model.message(7, &graph);
        model.message(8, &operators("", OPERATORS));
        if self.nodes.iter().any(|n| n.domain() == ML) {
            model.message(8, &operators(ML, LEARNERS));
        }
        for (key, value) in &about.more {
            let mut entry = Message::default();
            entry.text(1, key);
            entry.text(2, value);
            model.message(14, &entry);
        }
        let bytes = model.into_bytes();
        if bytes.len() as u64 > LARGEST { Err(too_large(bytes.len() as u64)) } else { Ok(bytes) }
    }
}

fn too_large(bytes: u64) -> Error {
    Error::model("the model is too large for an ONNX file")
        .expected(format!("at most {LARGEST} bytes"))
        .got(format!("{bytes} bytes"))
        .remedy("export its members one by one")
}

fn operators(domain: &str, version: i64) -> Message {
    let mut set = Message::default();
    set.text(1, domain);
    set.int(2, version);
    set
}

impl Node {
    /// The set that the operator belongs to; empty for the usual one.
    fn domain(&self) -> &'static str {
        match self.operator {
            "TreeEnsembleRegressor" | "LabelEncoder" => ML,
            _ => "",
        }
    }

    /// What it computes, as bytes; where its outputs go is left out.
    pub(super) fn contents(&self) -> Vec<u8> {
        let mut node = Message::default();
        self.inputs.iter().for_each(|i| node.text(1, i));
        self.rest(&mut node);
        node.into_bytes()
    }

    fn message(&self) -> Message {
        let mut node = Message::default();
        self.inputs.iter().for_each(|i| node.text(1, i));
        self.outputs.iter().for_each(|o| node.text(2, o));
        if let Some(name) = self.outputs.last() {
            node.text(3, name);
        }
        self.rest(&mut node);
        node
    }

    fn rest(&self, node: &mut Message) {
        node.text(4, self.operator);
        self.attributes.iter().for_each(|(name, value)| node.message(5, &attribute(name, value)));
        if !self.domain().is_empty() {
            node.text(7, self.domain());
        }
    }
}

fn attribute(name: &str, value: &Attribute) -> Message {
    let mut out = Message::default();
    out.text(1, name);
    let kind = match value {
        Attribute::Float(v) => {
            out.float(2, *v);
            1
        }
        Attribute::Int(v) => {
            out.int(3, *v);
            2
        }
        Attribute::Text(v) => {
            out.text(4, v);
            3
        }
        Attribute::Floats(v) => {
            out.floats(7, v);
            6
        }
        Attribute::Ints(v) => {
            out.ints(8, v.iter().copied());
            7
        }
        Attribute::Texts(v) => {
            v.iter().for_each(|v| out.text(9, v));
            8
        }
    };
    out.int(20, kind);
    out
}

/// The number of an element type.
pub(super) fn code(element: Element) -> i64 {
    match element {
        Element::F32 => 1,
        Element::U8 => 2,
        Element::I64 => 7,
        Element::Text => 8,
        Element::Bool => 9,
        Element::F64 => 11,
    }
}

fn tensor(constant: &Constant) -> Message {
    let mut out = Message::default();
    if !constant.shape.is_empty() {
        out.ints(1, constant.shape.iter().map(|s| *s as i64));
    }
    out.int(2, code(constant.numbers.element()));
    out.text(8, &constant.name);
    out.bytes(9, &constant.numbers.bytes());
    out
}

fn port(port: &Port) -> Message {
    let mut shape = Message::default();
    for side in &port.shape {
        let mut dimension = Message::default();
        match side {
            Side::Fixed(n) => dimension.int(1, *n as i64),
            Side::Named(name) => dimension.text(2, name),
        }
        shape.message(1, &dimension);
    }
    let mut tensor = Message::default();
    tensor.int(1, code(port.element));
    tensor.message(2, &shape);
    let mut kind = Message::default();
    kind.message(1, &tensor);
    let mut out = Message::default();
    out.text(1, &port.name);
    out.message(2, &kind);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::graph::Numbers;
    use crate::model::{Field, Kind};

    /// A field of a message: its number, and what is in it.
    type Read<'a> = (u64, Content<'a>);

    #[derive(Debug, PartialEq)]
    enum Content<'a> {
        Int(u64),
        Float(f32),
        Bytes(&'a [u8]),
    }

    fn varint(bytes: &[u8], at: &mut usize) -> u64 {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = bytes[*at];
            *at += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        value
    }

    fn fields(bytes: &[u8]) -> Vec<Read<'_>> {
        let (mut at, mut out) = (0, Vec::new());
        while at < bytes.len() {
            let tag = varint(bytes, &mut at);
            let content = match tag & 7 {
                0 => Content::Int(varint(bytes, &mut at)),
                5 => {
                    at += 4;
                    Content::Float(f32::from_le_bytes(bytes[at - 4..at].try_into().unwrap()))
                }
                _ => {
                    let length = varint(bytes, &mut at) as usize;
                    at += length;
                    Content::Bytes(&bytes[at - length..at])
                }
            };
            out.push((tag >> 3, content));
        }
        out
    }

    /// The contents of the fields of a number.
    fn all(bytes: &[u8], number: u64) -> Vec<&[u8]> {
        let of = |(n, c)| match c {
            Content::Bytes(b) if n == number => Some(b),
            _ => None,
        };
        fields(bytes).into_iter().filter_map(of).collect()
    }

    fn small() -> Graph {
        let mut graph = Graph::default();
        let x = graph.column(&Field::new("x", Kind::Number)).unwrap();
        let by = graph.doubles("factor", &[1, 2], [2.0, -1.0]);
        let y = graph.product(&x, &by);
        let y = graph.single(&y);
        let y = graph.softmax(&y);
        graph.output("probabilities", &y, 2);
        graph
    }

    #[test]
    fn a_file_holds_what_the_graph_holds() {
        let more = BTreeMap::from([("classes".to_owned(), "[\"a\",\"b\"]".to_owned())]);
        let about = About { name: "small".to_owned(), version: "1.2.3".to_owned(), more };
        let bytes = small().to_onnx(&about).unwrap();
        assert_eq!(bytes, small().to_onnx(&about).unwrap());
        let model = fields(&bytes);
        assert_eq!(model[0], (1, Content::Int(8)));
        assert_eq!(all(&bytes, 3), [b"1.2.3"]);
        // One set of operators: nothing here is for classical learners.
        assert_eq!(all(&bytes, 8).len(), 1);
        assert_eq!(fields(all(&bytes, 8)[0]), [(1, Content::Bytes(b"")), (2, Content::Int(17))]);
        let entry = fields(all(&bytes, 14)[0]);
        assert_eq!(entry, [(1, Content::Bytes(b"classes")), (2, Content::Bytes(b"[\"a\",\"b\"]"))]);
        let graph = all(&bytes, 7)[0];
        let operators: Vec<&[u8]> = all(graph, 1).into_iter().map(|n| all(n, 4)[0]).collect();
        assert_eq!(operators, [&b"MatMul"[..], b"Cast", b"Softmax", b"Identity"]);
        let cast = all(all(graph, 1)[1], 5)[0];
        assert_eq!(fields(cast), [(1, Content::Bytes(b"to")), (3, Content::Int(1)), (20, Content::Int(2))]);
        let constant = fields(all(graph, 5)[0]);
        let raw: Vec<u8> = [2.0f64, -1.0].into_iter().flat_map(f64::to_le_bytes).collect();
        let expected = [
            (1, Content::Int(1)),
            (1, Content::Int(2)),
            (2, Content::Int(11)),
            (8, Content::Bytes(b"factor")),
            (9, Content::Bytes(&raw)),
        ];
        assert_eq!(constant, expected);
        let output = all(graph, 12)[0];
        assert_eq!(all(output, 1), [b"probabilities"]);
        let tensor = all(all(output, 2)[0], 1)[0];
        assert_eq!(fields(tensor)[0], (1, Content::Int(1)));
        let sides: Vec<Vec<Read<'_>>> = all(all(tensor, 2)[0], 1).into_iter().map(fields).collect();
        assert_eq!(sides, [vec![(2, Content::Bytes(b"rows"))], vec![(1, Content::Int(2))]]);
    }

    #[test]
    fn operators_for_learners_are_named_with_their_set() {
        let mut graph = Graph::default();
        let x = graph.column(&Field::new("x", Kind::Category)).unwrap();
        let codes = graph.codes(&x, [("a".to_owned(), 0), ("b".to_owned(), 3)], -1);
        graph.output("value", &codes, 1);
        let bytes = graph.to_onnx(&About::default()).unwrap();
        let sets: Vec<&[u8]> = all(&bytes, 8).into_iter().map(|s| all(s, 1)[0]).collect();
        assert_eq!(sets, [&b""[..], b"ai.onnx.ml"]);
        let node = all(all(&bytes, 7)[0], 1)[0];
        assert_eq!(all(node, 7), [b"ai.onnx.ml"]);
        let attributes: Vec<Vec<Read<'_>>> = all(node, 5).into_iter().map(fields).collect();
        assert_eq!(attributes[1][1..3], [(8, Content::Int(0)), (8, Content::Int(3))]);
        assert_eq!(attributes[2][1], (3, Content::Int(u64::MAX)));
    }

    #[test]
    fn more_than_two_gigabytes_are_refused() {
        // Memory that nobody touches is not taken.
        let numbers = Numbers::F32(vec![0.0; 1 << 29]);
        let constant = Constant { name: std::sync::Arc::from("weight"), shape: vec![1 << 29], numbers };
        let graph = Graph { constants: vec![constant], ..Graph::default() };
        let error = graph.to_onnx(&About::default()).unwrap_err();
        assert!(matches!(error, Error::Model(_)), "{error}");
        let text = error.to_string();
        assert!(
            text.contains("at most 2147483647 bytes, got 2147483648 bytes") && text.contains("members"),
            "{text}"
        );
    }
}
