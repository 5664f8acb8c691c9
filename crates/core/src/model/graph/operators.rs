//! Operators by name. Where two values meet, they have one type, and shapes are stretched as numpy does.

use super::onnx::code;
use super::{Attribute, Element, Graph, Numbers, Value};

impl Graph {
    /// One number of a type.
    pub fn scalar(&mut self, element: Element, value: f64) -> Value {
        let numbers = match element {
            Element::F32 => Numbers::F32(vec![value as f32]),
            Element::F64 => Numbers::F64(vec![value]),
            _ => Numbers::I64(vec![value as i64]),
        };
        self.constant("number", &[], numbers)
    }

    /// 64-bit numbers of a shape.
    pub fn doubles(&mut self, name: &str, shape: &[usize], values: impl IntoIterator<Item = f64>) -> Value {
        self.constant(name, shape, Numbers::F64(values.into_iter().collect()))
    }

    /// 32-bit numbers of a shape.
    pub fn singles(&mut self, name: &str, shape: &[usize], values: impl IntoIterator<Item = f32>) -> Value {
        self.constant(name, shape, Numbers::F32(values.into_iter().collect()))
    }

    /// Whole numbers in a row.
    pub fn ints(&mut self, values: impl IntoIterator<Item = i64>) -> Value {
        let values: Vec<i64> = values.into_iter().collect();
        self.constant("ints", &[values.len()], Numbers::I64(values))
    }

    /// Another type of entries.
    pub fn cast(&mut self, x: &Value, to: Element) -> Value {
        if x.element() == to {
            return x.clone();
        }
        self.node("Cast", &[x], vec![("to", Attribute::Int(code(to)))], to)
    }

    /// As 64-bit floats.
    pub fn double(&mut self, x: &Value) -> Value {
        self.cast(x, Element::F64)
    }

    /// As 32-bit floats.
    pub fn single(&mut self, x: &Value) -> Value {
        self.cast(x, Element::F32)
    }

    /// An operator on one value that keeps its type: "Relu", "Exp", "Neg".
    pub fn one(&mut self, operator: &'static str, x: &Value) -> Value {
        self.node(operator, &[x], vec![], x.element())
    }

    /// `a + b`.
    pub fn add(&mut self, a: &Value, b: &Value) -> Value {
        self.node("Add", &[a, b], vec![], a.element())
    }

    /// The sum of values; zero if there are none.
    pub fn sum(&mut self, values: &[Value]) -> Value {
        match values.split_first() {
            Some((first, rest)) => rest.iter().fold(first.clone(), |a, b| self.add(&a, b)),
            None => self.scalar(Element::F32, 0.0),
        }
    }

    /// `a - b`.
    pub fn sub(&mut self, a: &Value, b: &Value) -> Value {
        self.node("Sub", &[a, b], vec![], a.element())
    }

    /// `a b`, entry by entry.
    pub fn mul(&mut self, a: &Value, b: &Value) -> Value {
        self.node("Mul", &[a, b], vec![], a.element())
    }

    /// `a / b`.
    pub fn div(&mut self, a: &Value, b: &Value) -> Value {
        self.node("Div", &[a, b], vec![], a.element())
    }

    /// The product of matrices.
    pub fn product(&mut self, a: &Value, b: &Value) -> Value {
        self.node("MatMul", &[a, b], vec![], a.element())
    }

    /// Values between two bounds.
    pub fn clip(&mut self, x: &Value, low: f64, high: f64) -> Value {
        let (low, high) = (self.scalar(x.element(), low), self.scalar(x.element(), high));
        self.node("Clip", &[x, &low, &high], vec![], x.element())
    }

    /// Where numbers are NaN.
    pub fn is_nan(&mut self, x: &Value) -> Value {
        self.node("IsNaN", &[x], vec![], Element::Bool)
    }

    /// The opposite.
    pub fn not(&mut self, x: &Value) -> Value {
        self.node("Not", &[x], vec![], Element::Bool)
    }

    /// Whether any holds; `None` if there are none.
    pub fn any(&mut self, all: &[Value]) -> Option<Value> {
        let (first, rest) = all.split_first()?;
        Some(rest.iter().fold(first.clone(), |a, b| self.either("Or", &a, b)))
    }

    /// Whether all hold; `None` if there are none.
    pub fn all(&mut self, all: &[Value]) -> Option<Value> {
        let (first, rest) = all.split_first()?;
        Some(rest.iter().fold(first.clone(), |a, b| self.either("And", &a, b)))
    }

    fn either(&mut self, operator: &'static str, a: &Value, b: &Value) -> Value {
        if a == b { a.clone() } else { self.node(operator, &[a, b], vec![], Element::Bool) }
    }

    /// `a` where the condition holds, `b` elsewhere.
    pub fn choose(&mut self, condition: &Value, a: &Value, b: &Value) -> Value {
        self.node("Where", &[condition, a, b], vec![], a.element())
    }

    /// `x` where the condition holds, zero elsewhere; `x` without a condition.
    pub fn or_zero(&mut self, condition: Option<&Value>, x: &Value) -> Value {
        let Some(condition) = condition else { return x.clone() };
        let zero = self.scalar(x.element(), 0.0);
        self.choose(condition, x, &zero)
    }

    /// Another shape: 0 keeps a side, -1 is what is left.
    pub fn reshape(&mut self, x: &Value, shape: &[i64]) -> Value {
        let shape = self.ints(shape.iter().copied());
        self.node("Reshape", &[x, &shape], vec![], x.element())
    }

    /// Rows of one dimension.
    pub fn flat(&mut self, x: &Value) -> Value {
        self.reshape(x, &[0, -1])
    }

    /// Sides in another order.
    pub fn transpose(&mut self, x: &Value, order: &[i64]) -> Value {
        self.node("Transpose", &[x], vec![("perm", Attribute::Ints(order.to_vec()))], x.element())
    }

    /// Values side by side along an axis; one alone stays as it is.
    pub fn beside(&mut self, values: &[Value], axis: i64) -> Value {
        if let [one] = values {
            return one.clone();
        }
        let element = values.first().map_or(Element::F32, Value::element);
        self.node("Concat", &values.iter().collect::<Vec<_>>(), vec![("axis", Attribute::Int(axis))], element)
    }

    /// The columns of `[rows, columns]` at some positions, in their order.
    pub fn columns(&mut self, x: &Value, positions: impl IntoIterator<Item = i64>) -> Value {
        let positions = self.ints(positions);
        self.gather(x, &positions, 1)
    }

    /// Entries along an axis by their position.
    pub fn gather(&mut self, x: &Value, positions: &Value, axis: i64) -> Value {
        self.node("Gather", &[x, positions], vec![("axis", Attribute::Int(axis))], x.element())
    }

    /// "ReduceSum", "ReduceMean", "ReduceMax" or "ReduceMin" over some axes, which stay as sides of one.
    pub fn reduce(&mut self, operator: &'static str, x: &Value, axes: &[i64]) -> Value {
        if operator == "ReduceSum" {
            let axes = self.ints(axes.iter().copied());
            return self.node(operator, &[x, &axes], vec![], x.element());
        }
        self.node(operator, &[x], vec![("axes", Attribute::Ints(axes.to_vec()))], x.element())
    }

    /// Probabilities from logits, over the last axis.
    pub fn softmax(&mut self, x: &Value) -> Value {
        self.node("Softmax", &[x], vec![("axis", Attribute::Int(-1))], x.element())
    }

    /// The two probabilities from the logit `[rows, 1]` of the second of two classes.
    pub fn two(&mut self, logit: &Value) -> Value {
        let opposite = self.one("Neg", logit);
        let (first, second) = (self.one("Sigmoid", &opposite), self.one("Sigmoid", logit));
        self.beside(&[first, second], 1)
    }

    /// The length of an axis, `int64 [1]`.
    pub fn length(&mut self, x: &Value, axis: i64) -> Value {
        let ends = vec![("start", Attribute::Int(axis)), ("end", Attribute::Int(axis + 1))];
        self.node("Shape", &[x], ends, Element::I64)
    }

    /// `row [1, width]` on as many rows as `x` has.
    pub fn repeated(&mut self, row: &Value, width: usize, x: &Value) -> Value {
        let (rows, width) = (self.length(x, 0), self.ints([width as i64]));
        let shape = self.beside(&[rows, width], 0);
        self.node("Expand", &[row, &shape], vec![], row.element())
    }

    /// The code of each text, `int64`; `other` for texts that have none. No text may be named twice.
    pub fn codes(&mut self, x: &Value, codes: impl IntoIterator<Item = (String, i64)>, other: i64) -> Value {
        let (texts, codes) = codes.into_iter().unzip();
        let attributes = vec![
            ("keys_strings", Attribute::Texts(texts)),
            ("values_int64s", Attribute::Ints(codes)),
            ("default_int64", Attribute::Int(other)),
        ];
        self.node("LabelEncoder", &[x], attributes, Element::I64)
    }

    /// A one at the position that a code `[rows, 1]` names, zeros elsewhere: `float32 [rows, width]`.
    pub fn hot(&mut self, codes: &Value, width: usize) -> Value {
        let positions = self.ints((0i64..).take(width));
        let hit = self.node("Equal", &[codes, &positions], vec![], Element::Bool);
        self.single(&hit)
    }
}
