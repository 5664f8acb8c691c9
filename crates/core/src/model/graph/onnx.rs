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
