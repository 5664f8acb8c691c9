//! What an ONNX file says of itself, read before any runtime sees it: inputs, outputs, operators, data in other files.
//!
//! Memory is bounded by the sizes below, not by what the file claims. What cannot be (numbers that are not there, shapes
//! and paddings that no model has, graphs within graphs without end) is refused here.

use std::collections::{BTreeMap, BTreeSet};

use consilience_core::{Error, Result};

use super::tensors::{MOST, Tensor, element_name};
use super::wire::{Field, damaged, fields};

/// The most nodes, ports and arrays that a file may have.
const MOST_ITEMS: usize = 1 << 18;
/// How deep graphs lie within graphs, and types within types.
const DEEPEST: usize = 8;
/// The most turns that a loop says it takes.
const TURNS: u64 = 1 << 20;
/// Operators that draw numbers: what they give is another thing each time.
const RANDOM: [&str; 6] =
    ["Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"];
/// The largest kernel, stride or padding.
const WIDEST: i64 = 1 << 16;

/// What goes into a model, or comes out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Its name.
    pub name: String,
    /// The type of its elements as a number of ONNX, if it is a tensor; else what it is.
    pub element: std::result::Result<i64, &'static str>,
    /// Its sizes, `None` where any fits; nothing is known of it where this is `None` itself.
    pub shape: Option<Vec<Option<u64>>>,
}

impl Port {
    /// For people: `X: float [?, 4]`.
    pub fn describe(&self) -> String {
        let shape = match &self.shape {
            None => String::new(),
            Some(dims) => {
                let dims: Vec<String> =
                    dims.iter().map(|d| d.map_or_else(|| "?".to_owned(), |d| d.to_string())).collect();
                format!(" [{}]", dims.join(", "))
            }
        };
        format!("{}: {}{shape}", self.name, self.element.map_or_else(|other| other, element_name))
    }
}

/// What a file says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Signature {
    /// What a caller gives.
    pub inputs: Vec<Port>,
    /// What it returns.
    pub outputs: Vec<Port>,
    /// The operators that it uses, as `domain/name`, without the domain where it is the usual one.
    pub operators: BTreeSet<String>,
    /// The files beside it that hold numbers of it, with the bytes that must be there.
    pub external: BTreeMap<String, u64>,
    /// How many numbers its arrays hold.
    pub parameters: u64,
    /// The classes that its classifier names, in the order of its outputs; empty where it names none.
    pub classes: Vec<String>,
}

/// Reads what a file says of itself.
///
/// # Errors
/// [`Error::Model`] for a file that is cut off, damaged, or asks for what no model needs.
pub fn inspect(file: &[u8]) -> Result<Signature> {
    let mut reading = Reading::default();
    let mut graphs = Vec::new();
    let mut imported = BTreeSet::new();
    for field in fields(file) {
        let field = field?;
        match field.number {
            7 => graphs.push(field.bytes()?),
            8 => {
                let domain = fields(field.bytes()?).find_map(|f| f.ok().filter(|f| f.number == 1));
                imported.insert(usual(domain.map(|f| f.text()).transpose()?.unwrap_or_default()).to_owned());
            }
            20 => {
                for inner in fields(field.bytes()?) {
                    let inner = inner?;
                    if inner.number <= 2 {
                        reading.graph(inner.bytes()?, 1)?;
                    }
                }
            }
            25 => {
                for inner in fields(field.bytes()?) {
                    let inner = inner?;
                    match inner.number {
                        7 => reading.node(inner.bytes()?, 1)?,
                        11 => reading.attribute(inner.bytes()?, 1)?,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    let [graph] = graphs.as_slice() else {
        return Err(damaged("this is no ONNX model: it has no graph, or several")
            .expected("a file that a framework exported as ONNX"));
    };
    reading.graph(graph, 0)?;
    reading.absurd()?;
    let Reading { mut signature, arrays, domains, .. } = reading;
    if let Some(domain) = domains.iter().find(|d| !imported.contains(**d)) {
        return Err(damaged(format!(
            "the ONNX file does not say which version of the operators of \"{domain}\" it uses"
        )));
    }
    // Files of old versions list their arrays among the inputs.
    signature.inputs.retain(|p| !arrays.contains(p.name.as_str()));
    Ok(signature)
}

/// The usual domain has two names.
pub(super) fn usual(domain: &str) -> &str {
    if domain == "ai.onnx" { "" } else { domain }
}

/// A node of a graph, borrowed from the file.
#[derive(Debug, Clone, Default)]
pub(super) struct Node<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its operator.
    pub operator: &'a str,
    /// The domain of its operator.
    pub domain: &'a str,
    /// What it reads.
    pub inputs: Vec<&'a str>,
    /// What it gives.
    pub outputs: Vec<&'a str>,
    /// Its attributes, as messages.
    pub attributes: Vec<&'a [u8]>,
}

impl<'a> Node<'a> {
    pub fn read(message: &'a [u8]) -> Result<Self> {
        let mut node = Self::default();
        for field in fields(message) {
            let field = field?;
            match field.number {
                1 | 2 | 5 if node.parts() > MOST_ITEMS => {
                    return Err(Error::model("a node of the ONNX file has too many parts").at(node.name));
                }
                1 => node.inputs.push(field.text()?),
                2 => node.outputs.push(field.text()?),
                3 => node.name = field.text()?,
                4 => node.operator = field.text()?,
                5 => node.attributes.push(field.bytes()?),
                7 => node.domain = usual(field.text()?),
                _ => {}
            }
        }
        if node.operator.is_empty() {
            return Err(damaged("a node of the ONNX file has no operator").at(node.name));
        }
        Ok(node)
    }

    fn parts(&self) -> usize {
        self.inputs.len() + self.outputs.len() + self.attributes.len()
    }

    /// `domain/name`, without the domain where it is the usual one.
    pub fn full_name(&self) -> String {
        match self.domain {
            "" => self.operator.to_owned(),
            domain => format!("{domain}/{}", self.operator),
        }
    }
}

/// A file while it is read.
#[derive(Default)]
struct Reading<'a> {
    signature: Signature,
    items: usize,
    /// The names of the main graph's arrays.
    arrays: BTreeSet<&'a str>,
    domains: BTreeSet<&'a str>,
    /// Small arrays of integers by name, as the product of what they hold.
    sizes: BTreeMap<&'a str, u64>,
    /// What nodes whose output is as large as an input says read, with their operator.
    sized: Vec<(&'a str, &'a str)>,
    /// What loops read as the number of their turns.
    turns: Vec<&'a str>,
}

impl<'a> Reading<'a> {
    fn count(&mut self) -> Result<()> {
        self.items += 1;
        if self.items > MOST_ITEMS {
            return Err(Error::model("the ONNX file has too many parts")
                .expected(format!("at most {MOST_ITEMS} nodes and arrays")));
        }
        Ok(())
    }

    fn graph(&mut self, message: &'a [u8], depth: usize) -> Result<()> {
        deep(depth)?;
        for field in fields(message) {
            let field = field?;
            self.count()?;
            match field.number {
                1 => self.node(field.bytes()?, depth)?,
                5 => {
                    let tensor = self.tensor(field.bytes()?)?;
                    self.signature.parameters += tensor.count;
                    if depth == 0 {
                        self.arrays.insert(tensor.name);
                    }
                    self.remember(tensor.name, &tensor)?;
                }
                11 | 12 if depth == 0 => {
                    let port = port(field.bytes()?)?;
                    if field.number == 11 {
                        self.signature.inputs.push(port)
                    } else {
                        self.signature.outputs.push(port)
                    }
                }
                15 => self.sparse(&field)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn node(&mut self, message: &'a [u8], depth: usize) -> Result<()> {
        self.count()?;
        let node = Node::read(message)?;
        self.domains.insert(node.domain);
        self.signature.operators.insert(node.full_name());
        // A third input of Dropout says that it trains; those that only predict need none.
        let drops = node.operator == "Dropout" && node.inputs.get(2).is_some_and(|input| !input.is_empty());
        if drops || (node.domain.is_empty() && RANDOM.contains(&node.operator)) {
            return Err(trains(format!("\"{}\" in the ONNX file draws at random", node.operator)));
        }
        if let ("Loop", Some(turns)) = (node.operator, node.inputs.first()) {
            self.count()?;
            self.turns.push(turns);
        }
        const SIZED: [&str; 10] = [
            "ConstantOfShape",
            "Expand",
            "Tile",
            "Range",
            "Pad",
            "Resize",
            "Upsample",
            "OneHot",
            "EyeLike",
            "Reshape",
        ];
        if let Some(operator) = SIZED.into_iter().find(|s| *s == node.operator) {
            for input in &node.inputs {
                self.count()?;
                self.sized.push((input, operator));
            }
        }
        for message in &node.attributes {
            self.attribute(message, depth)?;
            if let ("Constant", Some(output)) = (node.operator, node.outputs.first()) {
                for field in fields(message) {
                    let field = field?;
                    if field.number == 5 {
                        let tensor = Tensor::read(field.bytes()?)?;
                        self.remember(output, &tensor)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn attribute(&mut self, message: &'a [u8], depth: usize) -> Result<()> {
        let mut name = "";
        let mut widest = 0;
        for field in fields(message) {
            let field = field?;
            match field.number {
                1 => name = field.text()?,
                3 if name == "training_mode" && field.int()? != 0 => {
                    return Err(trains("a batch norm in the ONNX file normalizes by the batch".to_owned()));
                }
                8 if name.starts_with("classlabels_int") => {
                    self.classes(field.ints()?.into_iter().map(|label| label.to_string()))?;
                }
                9 if name.starts_with("classlabels_string") => {
                    self.classes(std::iter::once(field.text()?.to_owned()))?;
                }
                5 | 10 => drop(self.tensor(field.bytes()?)?),
                6 | 11 => self.graph(field.bytes()?, depth + 1)?,
                8 if field.raw.len() < 256 => {
                    widest = field.ints()?.iter().fold(widest, |w, v| w.max(v.saturating_abs()))
                }
                22 | 23 => self.sparse(&field)?,
                _ => {}
            }
        }
        if ["pads", "kernel_shape", "strides", "dilations", "output_padding", "output_shape"].contains(&name)
            && widest > WIDEST
        {
            return Err(Error::model(format!("{name} of a node in the ONNX file is absurd"))
                .expected(format!("at most {WIDEST}"))
                .got(widest));
        }
        Ok(())
    }

    fn classes(&mut self, labels: impl Iterator<Item = String>) -> Result<()> {
        for label in labels {
            self.count()?;
            self.signature.classes.push(label);
        }
        Ok(())
    }

    fn sparse(&mut self, field: &Field<'a>) -> Result<()> {
        for inner in fields(field.bytes()?) {
            let inner = inner?;
            if inner.number <= 2 {
                self.tensor(inner.bytes()?)?;
            }
        }
        Ok(())
    }

    fn tensor(&mut self, message: &'a [u8]) -> Result<Tensor<'a>> {
        self.count()?;
        let tensor = Tensor::read(message)?;
        if let Some(external) = tensor.external {
            let end = external.end(tensor.least_bytes());
            let known = self.signature.external.entry(external.location.to_owned()).or_default();
            *known = end.max(*known);
        }
        Ok(tensor)
    }

    fn remember(&mut self, name: &'a str, tensor: &Tensor<'a>) -> Result<()> {
        if let Some(shape) = tensor.shape()? {
            let product = shape.iter().fold(1u64, |p, v| p.saturating_mul(v.unsigned_abs().max(1)));
            self.sizes.insert(name, product);
        }
        Ok(())
    }

    /// Refuses nodes whose output would be larger, and loops that would be longer, than any model needs.
    fn absurd(&self) -> Result<()> {
        let turns = self.turns.iter().filter_map(|input| self.sizes.get(input).copied());
        // The largest number there is says that a condition ends the loop.
        if let Some(endless) = turns.into_iter().find(|turns| (TURNS + 1..i64::MAX as u64).contains(turns)) {
            return Err(Error::model("a loop in the ONNX file takes an absurd number of turns")
                .expected(format!("at most {TURNS}"))
                .got(endless));
        }
        let large = |input: &str| self.sizes.get(input).copied().filter(|s| *s > MOST);
        match self.sized.iter().find_map(|(input, operator)| Some((operator, large(input)?))) {
            Some((operator, size)) => {
                Err(Error::model(format!("{operator} in the ONNX file asks for an absurd size"))
                    .expected(format!("at most {MOST} numbers"))
                    .got(size))
            }
            None => Ok(()),
        }
    }
}

fn trains(what: String) -> Error {
    Error::model(what)
        .expected("a model that predicts, the same for a row each time")
        .remedy("export it in evaluation mode (model.eval() in PyTorch)")
}

fn deep(depth: usize) -> Result<()> {
    if depth > DEEPEST {
        return Err(
            Error::model("the ONNX file is nested too deeply").expected(format!("at most {DEEPEST} levels"))
        );
    }
    Ok(())
}

fn port(message: &[u8]) -> Result<Port> {
    let mut port = Port { name: String::new(), element: Err("of no type"), shape: None };
    for field in fields(message) {
        let field = field?;
        match field.number {
            1 => field.text()?.clone_into(&mut port.name),
            2 => holds(field.bytes()?, &mut port)?,
            _ => {}
        }
    }
    let row = port.shape.iter().flatten().skip(1).fold(1u64, |p, d| p.saturating_mul(d.unwrap_or(1)));
    if row > MOST {
        return Err(Error::model("an input or output of the ONNX file has an absurd shape")
            .at(&port.name)
            .expected(format!("at most {MOST} numbers a row"))
            .got(port.describe()));
    }
    Ok(port)
}

fn holds(message: &[u8], port: &mut Port) -> Result<()> {
    for field in fields(message) {
        let field = field?;
        match field.number {
            1 => {
                port.element = Ok(0);
                for inner in fields(field.bytes()?) {
                    let inner = inner?;
                    match inner.number {
                        1 => port.element = Ok(inner.int()?),
                        2 => port.shape = Some(shape(inner.bytes()?)?),
                        _ => {}
                    }
                }
            }
            4 => port.element = Err("a sequence"),
            5 => port.element = Err("a map"),
            8 => port.element = Err("a sparse tensor"),
            9 => port.element = Err("an optional value"),
            _ => {}
        }
    }
    Ok(())
}

fn shape(message: &[u8]) -> Result<Vec<Option<u64>>> {
    let mut dims = Vec::new();
    for field in fields(message) {
        let mut dim = None;
        for inner in fields(field?.bytes()?) {
            let inner = inner?;
            if inner.number == 1 {
                dim = u64::try_from(inner.int()?).ok().filter(|d| *d > 0);
            }
        }
        dims.push(dim);
        if dims.len() > 16 {
            return Err(Error::model("an input or output of the ONNX file has more than 16 dimensions"));
        }
    }
    Ok(dims)
}
