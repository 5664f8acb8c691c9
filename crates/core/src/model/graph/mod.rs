//! What a model computes, as a graph of operators: the form in which other programs can run it.
//!
//! The operators are those of ONNX, and [`Graph::to_onnx`] writes a graph as an ONNX file. Every fitted part writes its
//! own operators onto the graph, from the value that it is given to the value that it gives; nothing knows the others.
//!
//! # Inputs
//! One a raw column, in the order of the schema; the first side of every shape is the number of rows.
//!
//! | column | type and shape | a row without it |
//! |---|---|---|
//! | number | `float64 [rows, 1]` | NaN |
//! | category, text | `string [rows, 1]` | an empty text |
//! | image | `uint8 [rows, height, width, channels]` | `<column>_present` |
//! | vector | `float32 [rows, shape..]` | `<column>_present` |
//! | sequence | `float32 [rows, steps, width]`, padded at the end to the longest, and `<column>_steps`, `int64 [rows, 1]` | 0 steps |
//! | audio | `float32 [rows, samples]` | `<column>_present` |
//!
//! `<column>_present`, `bool [rows, 1]`, is asked for where the model reads several modalities; what the column itself
//! holds on a row that is not present does not matter. A model of one modality that is no table needs it on every row.
//!
//! # Output
//! `probabilities`, `float32 [rows, classes]`, or `value`, `float32 [rows, 1]`; NaN on rows about which the model can say
//! nothing.
//!
//! # Precision
//! What is computed in 64 bits when predicting is so in the graph: preprocessing, linear learners, compositions. Raw
//! numbers are 64-bit inputs for that reason, so that a tree's row never goes another way for a rounding. Networks and
//! sums over trees are 32-bit.

mod build;
mod onnx;
mod operators;
mod wire;

use std::sync::Arc;

pub use onnx::About;

use crate::error::Error;

/// The type of the entries of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Element {
    /// 32-bit floats.
    F32,
    /// 64-bit floats.
    F64,
    /// 64-bit whole numbers.
    I64,
    /// Bytes.
    U8,
    /// True or false.
    Bool,
    /// Texts.
    Text,
}

impl Element {
    /// The name of the type, as numpy has it; "string" for texts.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "float32",
            Self::F64 => "float64",
            Self::I64 => "int64",
            Self::U8 => "uint8",
            Self::Bool => "bool",
            Self::Text => "string",
        }
    }
}

/// What an input, a constant or an operator gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    name: Arc<str>,
    element: Element,
}

impl Value {
    /// An optional input of an operator that is not given.
    pub fn omitted() -> Self {
        Self { name: Arc::from(""), element: Element::F32 }
    }

    /// The name; no two values of a graph share one.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The type of the entries.
    pub fn element(&self) -> Element {
        self.element
    }
}

/// What a model says on a graph.
#[derive(Debug, Clone)]
pub struct Answer {
    /// `float32 [rows, classes]` or `[rows, 1]`; not defined where it is not present.
    pub value: Value,
    /// `bool [rows, 1]`: whether the model says something about a row. `None` if it always does.
    pub present: Option<Value>,
}

/// A setting of an operator.
#[derive(Debug, Clone, PartialEq)]
pub enum Attribute {
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f32),
    /// A text.
    Text(String),
    /// Whole numbers.
    Ints(Vec<i64>),
    /// Numbers.
    Floats(Vec<f32>),
    /// Texts.
    Texts(Vec<String>),
}

/// An operator with what it reads and gives.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The operator's name.
    pub operator: &'static str,
    /// The names of the values that it reads; empty where an optional one is not given.
    pub inputs: Vec<Arc<str>>,
    /// The names of the values that it gives; empty where nobody asks for one.
    pub outputs: Vec<Arc<str>>,
    /// Its settings.
    pub attributes: Vec<(&'static str, Attribute)>,
}

/// The numbers of a constant.
#[derive(Debug, Clone, PartialEq)]
pub enum Numbers {
    /// 32-bit floats.
    F32(Vec<f32>),
    /// 64-bit floats.
    F64(Vec<f64>),
    /// 64-bit whole numbers.
    I64(Vec<i64>),
}

impl Numbers {
    fn element(&self) -> Element {
        match self {
            Self::F32(_) => Element::F32,
            Self::F64(_) => Element::F64,
            Self::I64(_) => Element::I64,
        }
    }

    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::F32(v) => v.iter().flat_map(|v| v.to_le_bytes()).collect(),
            Self::F64(v) => v.iter().flat_map(|v| v.to_le_bytes()).collect(),
            Self::I64(v) => v.iter().flat_map(|v| v.to_le_bytes()).collect(),
        }
    }

    fn size(&self) -> u64 {
        match self {
            Self::F32(v) => 4 * v.len() as u64,
            Self::F64(v) => 8 * v.len() as u64,
            Self::I64(v) => 8 * v.len() as u64,
        }
    }
}

/// A constant: a fitted array.
#[derive(Debug, Clone, PartialEq)]
pub struct Constant {
    /// Its name.
    pub name: Arc<str>,
    /// Its shape; empty for a single number.
    pub shape: Vec<usize>,
    /// Its numbers, row-major.
    pub numbers: Numbers,
}

/// One side of the shape of an input or output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Side {
    /// A length that is known.
    Fixed(usize),
    /// A length that rows, or a call, decide.
    Named(String),
}

impl std::fmt::Display for Side {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Fixed(n) => write!(f, "{n}"),
            Self::Named(name) => write!(f, "{name}"),
        }
    }
}

/// An input or output of a graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Its name.
    pub name: Arc<str>,
    /// The type of its entries.
    pub element: Element,
    /// Its shape.
    pub shape: Vec<Side>,
}

/// A graph of operators. See the module.
#[derive(Debug, Clone, Default)]
pub struct Graph {
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    constants: Vec<Constant>,
    nodes: Vec<Node>,
    several: bool,
    scope: String,
    built: build::Built,
}

impl Graph {
    /// The inputs, in order.
    pub fn inputs(&self) -> &[Port] {
        &self.inputs
    }

    /// The outputs, in order.
    pub fn outputs(&self) -> &[Port] {
        &self.outputs
    }

    /// The constants, in the order in which they were added.
    pub fn constants(&self) -> &[Constant] {
        &self.constants
    }

    /// The operators, each after those that it reads from.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }
}

/// The error of a part that no graph can say.
pub fn refused(what: &str, why: &str) -> Error {
    let error = Error::model(format!("{what} cannot be written as ONNX"));
    let error = if why.is_empty() { error } else { error.got(why) };
    error
        .remedy("predict with csl, or export a model without it: a member, or one of other columns and steps")
}
