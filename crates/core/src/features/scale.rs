//! Multiply and add.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::reading::{accept, complete_numbers, nothing, shaped, single, vectors};
use crate::error::{Error, Result};
use crate::model::graph::{Graph, Value};
use crate::model::{Column, Context, Feature, Field, FittedFeature, Kind, Loaders, Mask, Parts, Vectors};
use crate::registry::Method;

/// `x * multiply + add` with given constants, to undo a coding (bytes that stand for decibels) or to change a unit.
///
/// # Shapes
/// A number gives `[1]`, a vector keeps its shape. An image goes through `tensor` first.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Scale {
    /// The factor; not 0.
    pub multiply: f64,
    /// What is added after multiplying.
    pub add: f64,
}

impl Default for Scale {
    fn default() -> Self {
        Self { multiply: 1.0, add: 0.0 }
    }
}

impl Method for Scale {
    const NAME: &'static str = "scale";
    const ABOUT: &'static str = "multiplies by a constant and adds one";

    fn validate(&self) -> Result<()> {
        if !self.multiply.is_finite() || self.multiply == 0.0 {
            return Err(Error::argument("the factor cannot be used")
                .at("multiply")
                .expected("not 0")
                .got(self.multiply));
        }
        if !self.add.is_finite() {
            return Err(Error::argument("the constant is not finite").at("add").got(self.add));
        }
        Ok(())
    }
}

impl Feature for Scale {
    fn output(&self, input: &Field) -> Result<Field> {
        accept(Self::NAME, input, &[Kind::Number, Kind::Vector])?;
        let shape = if input.kind == Kind::Number { vec![1] } else { input.shape.clone() };
        Ok(Field::vector(&input.name, shape))
    }

    fn learns(&self) -> bool {
        false
    }

    fn fit(&self, input: &Field, column: &Column, _: &Context<'_>) -> Result<Box<dyn FittedFeature>> {
        let mut output = self.output(input)?;
        let available = match input.kind {
            Kind::Number => complete_numbers(Self::NAME, &input.name, column)?.len(),
            _ => {
                let v = vectors(Self::NAME, &input.name, column)?;
                output.shape.clone_from(&v.shape);
                v.len() - v.absent.count()
            }
        };
        if available == 0 {
            return Err(nothing(Self::NAME, &input.name));
        }
        Ok(Box::new(Scaled { input: input.kind, output, multiply: self.multiply, add: self.add }))
    }
}

/// Fitted [`Scale`].
struct Scaled {
    input: Kind,
    output: Field,
    multiply: f64,
    add: f64,
}

impl FittedFeature for Scaled {
    fn kind(&self) -> &'static str {
        Scale::NAME
    }

    fn output(&self) -> &Field {
        &self.output
    }

    fn apply(&self, column: &Column) -> Result<Column> {
        let name = &self.output.name;
        let change = |row, x: f64| single(name, row, x * self.multiply + self.add);
        if self.input == Kind::Number {
            let values = complete_numbers(Scale::NAME, name, column)?;
            let data: Result<Vec<f32>> = values.iter().enumerate().map(|(r, x)| change(r, *x)).collect();
            let absent = Mask::none(values.len());
            return Ok(Column::Vector(Vectors { shape: vec![1], data: data?, absent }));
        }
        let vectors = shaped(Scale::NAME, name, &self.output.shape, column)?;
        let mut data = vec![0.0; vectors.data.len()];
        for (row, out) in data.chunks_mut(vectors.width()).enumerate() {
            let Some(values) = vectors.get(row) else { continue };
            for (o, x) in out.iter_mut().zip(values) {
                *o = change(row, f64::from(*x))?;
            }
        }
        Ok(Column::Vector(Vectors { shape: vectors.shape.clone(), data, absent: vectors.absent.clone() }))
    }

    fn graph(&self, graph: &mut Graph, x: &Value) -> Result<Value> {
        let x = graph.double(x);
        let (factor, constant) =
            (graph.scalar(x.element(), self.multiply), graph.scalar(x.element(), self.add));
        let scaled = graph.mul(&x, &factor);
        let moved = graph.add(&scaled, &constant);
        Ok(graph.single(&moved))
    }

    fn save(&self) -> Result<Parts> {
        Ok(Parts::new(self.kind(), json!({"input": self.input, "output": self.output}))
            .with_f64("constants", &[self.multiply, self.add]))
    }

    fn names(&self) -> Vec<String> {
        if self.input == Kind::Number { vec![self.output.name.clone()] } else { Vec::new() }
    }
}

/// Loads a fitted [`Scale`].
pub(super) fn load(parts: &Parts, _: &Loaders) -> Result<Box<dyn FittedFeature>> {
    match parts.f64("constants")? {
        [multiply, add] => Ok(Box::new(Scaled {
            input: parts.field("input")?,
            output: parts.field("output")?,
            multiply: *multiply,
            add: *add,
        })),
        _ => Err(super::reading::damaged(parts)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::conformance::fit;

    #[test]
    fn a_coding_is_undone() {
        let column = Column::Vector(Vectors::new(vec![2], vec![0.0, 1.0]).unwrap());
        let parameters = json!({"multiply": 22, "add": -14});
        let step = fit("scale", parameters, &Field::vector("v", vec![2]), &column).unwrap();
        let Column::Vector(out) = step.apply(&column).unwrap() else { panic!() };
        assert_eq!(out.data, [-14.0, 8.0]);
        assert!(crate::features::REGISTRY.build("scale", &json!({"multiply": 0})).is_err());
    }
}
