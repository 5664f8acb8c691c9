//! Building a graph: inputs of raw columns, constants, operators, outputs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Attribute, Constant, Element, Graph, Node, Numbers, Port, Side, Value};
use crate::error::{Error, Result};
use crate::files::Hasher;
use crate::model::predictor::Model;
use crate::model::schema::{Field, Kind};

/// What a graph remembers while it is built.
#[derive(Debug, Clone, Default)]
pub(super) struct Built {
    names: BTreeSet<Arc<str>>,
    /// Operators and constants by their contents: what stands twice is written once.
    known: BTreeMap<String, Value>,
}

impl Graph {
    /// The graph of a model, from its raw columns to its predictions.
    ///
    /// # Errors
    /// [`Error::Model`] naming the member and the step that no graph can say.
    pub fn of(model: &dyn Model) -> Result<Self> {
        let fields = &model.schema().fields;
        let payloads = fields.iter().filter(|f| !f.kind.is_tabular()).count();
        let table = usize::from(payloads < fields.len());
        let mut graph = Self { several: payloads + table > 1, ..Self::default() };
        for field in fields {
            graph.column(field)?;
            graph.present(field)?;
        }
        let answer = model.graph(&mut graph)?;
        let value = match &answer.present {
            Some(present) => {
                let nothing = graph.scalar(Element::F32, f64::NAN);
                graph.choose(present, &answer.value, &nothing)
            }
            None => answer.value,
        };
        let name = if model.task().classes().is_some() { "probabilities" } else { "value" };
        graph.output(name, &value, model.task().width());
        graph.prune();
        Ok(graph)
    }

    /// The input of a raw column; asked for again, it is the same.
    ///
    /// # Errors
    /// [`Error::Model`] if two inputs would have one name.
    pub fn column(&mut self, field: &Field) -> Result<Value> {
        let name = &field.name;
        let fixed = |n: &usize| Side::Fixed(*n);
        let (element, shape) = match field.kind {
            Kind::Number => (Element::F64, vec![Side::Fixed(1)]),
            Kind::Category | Kind::Text => (Element::Text, vec![Side::Fixed(1)]),
            Kind::Image if field.shape.is_empty() => {
                (Element::U8, ["height", "width", "channels"].map(|s| side(name, s)).to_vec())
            }
            Kind::Image => (Element::U8, field.shape.iter().map(fixed).collect()),
            Kind::Audio => (Element::F32, vec![side(name, "samples")]),
            Kind::Vector => (Element::F32, field.shape.iter().map(fixed).collect()),
            Kind::Sequence => {
                let width = field.shape.first().map_or_else(|| side(name, "width"), fixed);
                (Element::F32, vec![side(name, "longest"), width])
            }
        };
        self.input(name, element, shape)
    }

    /// The input of a raw column, if anything has asked for it.
    pub fn given(&self, column: &str) -> Option<Value> {
        let port = self.inputs.iter().find(|i| *i.name == *column)?;
        Some(Value { name: Arc::clone(&port.name), element: port.element })
    }

    /// How many steps each row of a sequence column has: an input `<column>_steps`, `int64 [rows, 1]`.
    ///
    /// # Errors
    /// As [`Graph::column`].
    pub fn steps(&mut self, column: &str) -> Result<Value> {
        self.input(&format!("{column}_steps"), Element::I64, vec![Side::Fixed(1)])
    }

    /// Whether rows have a value in a raw column, `bool [rows, 1]`; `None` where every row must have one.
    ///
    /// # Errors
    /// As [`Graph::column`].
    pub fn present(&mut self, field: &Field) -> Result<Option<Value>> {
        Ok(match field.kind {
            Kind::Number => {
                let x = self.column(field)?;
                let missing = self.is_nan(&x);
                Some(self.not(&missing))
            }
            Kind::Category | Kind::Text => {
                let x = self.column(field)?;
                let code = self.codes(&x, [(String::new(), 0)], 1);
                Some(self.cast(&code, Element::Bool))
            }
            Kind::Sequence => {
                let steps = self.steps(&field.name)?;
                let none = self.scalar(Element::I64, 0.0);
                Some(self.node("Greater", &[&steps, &none], vec![], Element::Bool))
            }
            Kind::Image | Kind::Audio | Kind::Vector if self.several => {
                let name = format!("{}_present", field.name);
                Some(self.input(&name, Element::Bool, vec![Side::Fixed(1)])?)
            }
            _ => None,
        })
    }

    fn input(&mut self, name: &str, element: Element, rest: Vec<Side>) -> Result<Value> {
        let mut shape = vec![Side::Named("rows".to_owned())];
        shape.extend(rest);
        let wanted = Port { name: Arc::from(name), element, shape };
        let value = Value { name: Arc::clone(&wanted.name), element };
        match self.inputs.iter().find(|i| *i.name == *name) {
            // Members may know more or less of a column's shape.
            Some(known) if known.element == element && known.shape.len() == wanted.shape.len() => Ok(value),
            None if self.built.names.insert(Arc::clone(&wanted.name)) => {
                self.inputs.push(wanted);
                Ok(value)
            }
            _ => Err(Error::model(format!("two inputs of the graph would be called \"{name}\""))
                .remedy("give the column another name and fit again")),
        }
    }

    /// Marks a value `[rows, width]` as an output.
    pub fn output(&mut self, name: &str, value: &Value, width: usize) {
        let name = self.fresh(name);
        self.nodes.push(Node {
            operator: "Identity",
            inputs: vec![Arc::clone(&value.name)],
            outputs: vec![Arc::clone(&name)],
            attributes: vec![],
        });
        let shape = vec![Side::Named("rows".to_owned()), Side::Fixed(width)];
        self.outputs.push(Port { name, element: value.element, shape });
    }

    /// Adds an operator whose first output is wanted.
    pub fn node(
        &mut self,
        operator: &'static str,
        inputs: &[&Value],
        attributes: Vec<(&'static str, Attribute)>,
        element: Element,
    ) -> Value {
        self.node_at(operator, inputs, attributes, 0, element)
    }

    /// Adds an operator of whose outputs the one at a position is wanted.
    pub fn node_at(
        &mut self,
        operator: &'static str,
        inputs: &[&Value],
        attributes: Vec<(&'static str, Attribute)>,
        position: usize,
        element: Element,
    ) -> Value {
        let inputs = inputs.iter().map(|v| Arc::clone(&v.name)).collect();
        let mut node = Node { operator, inputs, outputs: vec![Arc::from(""); position], attributes };
        let key = Hasher::new().part(position.to_le_bytes()).part(node.contents()).finish();
        if let Some(known) = self.built.known.get(&key) {
            return known.clone();
        }
        let name = self.fresh(&operator.to_lowercase());
        node.outputs.push(Arc::clone(&name));
        self.nodes.push(node);
        let value = Value { name, element };
        self.built.known.insert(key, value.clone());
        value
    }

    /// Adds a constant; `name` is what it is called if no other is.
    ///
    /// Numbers that do not fill the shape are an error of the caller, which whoever reads the file will find.
    pub fn constant(&mut self, name: &str, shape: &[usize], numbers: Numbers) -> Value {
        let element = numbers.element();
        let sides: Vec<u8> = shape.iter().flat_map(|s| (*s as u64).to_le_bytes()).collect();
        let key = Hasher::new().part(element.name()).part(sides).part(numbers.bytes()).finish();
        if let Some(known) = self.built.known.get(&key) {
            return known.clone();
        }
        let name = self.fresh(name);
        self.constants.push(Constant { name: Arc::clone(&name), shape: shape.to_vec(), numbers });
        let value = Value { name, element };
        self.built.known.insert(key, value.clone());
        value
    }

    /// Builds a part whose values are called after it.
    ///
    /// # Errors
    /// Those of the part.
    pub fn within<T>(&mut self, part: &str, build: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let before = self.scope.len();
        self.scope.push_str(part);
        self.scope.push('/');
        let built = build(self);
        self.scope.truncate(before);
        built
    }

    fn fresh(&mut self, name: &str) -> Arc<str> {
        let full = format!("{}{name}", self.scope);
        let mut candidate: Arc<str> = Arc::from(full.as_str());
        let mut count = 1;
        while !self.built.names.insert(Arc::clone(&candidate)) {
            count += 1;
            candidate = Arc::from(format!("{full}_{count}"));
        }
        candidate
    }

    /// Removes the operators and constants on which no output depends. Inputs stay: they are what a model is given.
    fn prune(&mut self) {
        let mut needed: BTreeSet<Arc<str>> = self.outputs.iter().map(|o| Arc::clone(&o.name)).collect();
        let mut kept: Vec<Node> = Vec::with_capacity(self.nodes.len());
        for node in std::mem::take(&mut self.nodes).into_iter().rev() {
            if node.outputs.iter().any(|o| needed.contains(o)) {
                needed.extend(node.inputs.iter().filter(|i| !i.is_empty()).cloned());
                kept.push(node);
            }
        }
        kept.reverse();
        self.nodes = kept;
        self.constants.retain(|c| needed.contains(&c.name));
    }
}

fn side(column: &str, what: &str) -> Side {
    Side::Named(format!("{column}_{what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(name: &str) -> Field {
        Field::new(name, Kind::Number)
    }

    #[test]
    fn what_stands_twice_is_written_once_and_what_nobody_reads_not_at_all() {
        let mut graph = Graph::default();
        let x = graph.column(&number("x")).unwrap();
        assert_eq!(graph.column(&number("x")).unwrap(), x);
        let twice = |graph: &mut Graph, part: &str, by: f64| {
            graph
                .within(part, |graph| {
                    let two = graph.scalar(Element::F64, by);
                    Ok(graph.mul(&x, &two))
                })
                .unwrap()
        };
        let (a, b, c) =
            (twice(&mut graph, "a", 2.0), twice(&mut graph, "b", 2.0), twice(&mut graph, "c", 3.0));
        assert_eq!(a, b);
        assert_ne!(a, c);
        assert_eq!((a.name(), c.name()), ("a/mul", "c/mul"));
        graph.output("value", &a, 1);
        assert_eq!((graph.nodes().len(), graph.constants().len()), (3, 2));
        graph.prune();
        let names: Vec<&str> = graph.nodes().iter().map(|n| n.operator).collect();
        assert_eq!(names, ["Mul", "Identity"]);
        assert_eq!(graph.constants().len(), 1);
        assert_eq!(graph.inputs().len(), 1);
    }

    #[test]
    fn names_are_never_shared() {
        let mut graph = Graph { several: true, ..Graph::default() };
        let v = Field::vector("v", vec![2]);
        graph.column(&number("v_present")).unwrap();
        graph.column(&v).unwrap();
        let error = graph.present(&v).unwrap_err();
        assert!(matches!(error, Error::Model(_)) && error.to_string().contains("\"v_present\""), "{error}");
        // A column that is called as the output is.
        let x = graph.column(&number("value")).unwrap();
        graph.output("value", &x, 1);
        assert_eq!(&*graph.outputs()[0].name, "value_2");
        // The same column as another kind.
        assert!(graph.column(&Field::new("v", Kind::Category)).is_err());
    }

    #[test]
    fn presence_is_asked_for_only_where_there_are_several_modalities() {
        let image = Field::new("image", Kind::Image);
        for several in [false, true] {
            let mut graph = Graph { several, ..Graph::default() };
            let present = graph.present(&image).unwrap();
            assert_eq!(present.map(|p| p.name().to_owned()), several.then(|| "image_present".to_owned()));
            assert_eq!(graph.present(&number("x")).unwrap().unwrap().element(), Element::Bool);
        }
    }
}
