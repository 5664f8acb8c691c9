//! Rows of any shape become rows of one dimension.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::reading::{accept, nothing, other_shape, sequences, shaped, vectors};
use crate::error::{Error, Result};
use crate::model::graph::{Graph, Value};
use crate::model::{Column, Context, Feature, Field, FittedFeature, Kind, Loaders, Parts, Vectors};
use crate::registry::Method;

/// Reads the values of a row in their order as a vector of one dimension.
///
/// # Shapes
/// A vector of any shape gives `[product of the shape]`; sequences of `steps` steps of `width` give `[steps * width]`.
///
/// # Errors
/// Sequences must all have the number of steps that the training rows have.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Flatten {}

impl Method for Flatten {
    const NAME: &'static str = "flatten";
    const ABOUT: &'static str =
        "turns rows of any shape, or sequences of one length, into rows of one dimension";
}

impl Feature for Flatten {
    fn output(&self, input: &Field) -> Result<Field> {
        accept(Self::NAME, input, &[Kind::Vector, Kind::Sequence])?;
        let known = input.kind == Kind::Vector && !input.shape.is_empty();
        let shape = if known { vec![input.shape.iter().product()] } else { Vec::new() };
        Ok(Field::vector(&input.name, shape))
    }

    fn learns(&self) -> bool {
        false
    }

    fn fit(&self, input: &Field, column: &Column, _: &Context<'_>) -> Result<Box<dyn FittedFeature>> {
        self.output(input)?;
        let name = &input.name;
        let shape = match input.kind {
            Kind::Vector => {
                let v = vectors(Self::NAME, name, column)?;
                if v.absent.count() == v.len() {
                    return Err(nothing(Self::NAME, name));
                }
                v.shape.clone()
            }
            _ => {
                let s = sequences(Self::NAME, name, column)?;
                let mut lengths = (0..s.len()).filter_map(|r| s.get(r)).map(<[f32]>::len);
                let first = lengths.next().ok_or_else(|| nothing(Self::NAME, name))?;
                if first == 0 || s.width() == 0 {
                    return Err(Error::data("a sequence holds no steps").at(name));
                }
                if let Some(other) = lengths.find(|l| *l != first) {
                    return Err(Error::data("the sequences have different lengths")
                        .at(name)
                        .expected(format!("{} steps as in the first row", first / s.width()))
                        .got(format!("{} steps", other / s.width()))
                        .remedy("give the column to a member that reads sequences"));
                }
                vec![first / s.width(), s.width()]
            }
        };
        let output = Field::vector(name, vec![shape.iter().product()]);
        Ok(Box::new(Flattened { input: input.kind, shape, output }))
    }
}

/// Fitted [`Flatten`].
struct Flattened {
    input: Kind,
    shape: Vec<usize>,
    output: Field,
}

impl FittedFeature for Flattened {
    fn kind(&self) -> &'static str {
        Flatten::NAME
    }

    fn output(&self) -> &Field {
        &self.output
    }

    fn apply(&self, column: &Column) -> Result<Column> {
        let name = &self.output.name;
        let shape = self.output.shape.clone();
        if self.input == Kind::Vector {
            let v = shaped(Flatten::NAME, name, &self.shape, column)?;
            return Ok(Column::Vector(Vectors { shape, data: v.data.clone(), absent: v.absent.clone() }));
        }
        let s = sequences(Flatten::NAME, name, column)?;
        let width: usize = shape.iter().product();
        let mut data = vec![0.0; s.len() * width];
        for (row, out) in data.chunks_mut(width).enumerate() {
            let Some(steps) = s.get(row) else { continue };
            let got = [steps.len() / s.width().max(1), s.width()];
            if self.shape != got {
                return Err(other_shape(Flatten::NAME, name, &self.shape, &got));
            }
            out.copy_from_slice(steps);
        }
        Ok(Column::Vector(Vectors { shape, data, absent: s.absent().clone() }))
    }

    fn graph(&self, graph: &mut Graph, x: &Value) -> Result<Value> {
        Ok(graph.reshape(x, &[0, self.output.shape.iter().product::<usize>() as i64]))
    }

    fn save(&self) -> Result<Parts> {
        Ok(Parts::new(self.kind(), json!({"input": self.input, "shape": self.shape, "output": self.output})))
    }
}

/// Loads a fitted [`Flatten`].
pub(super) fn load(parts: &Parts, _: &Loaders) -> Result<Box<dyn FittedFeature>> {
    let loaded = Flattened {
        input: parts.field("input")?,
        shape: parts.field("shape")?,
        output: parts.field("output")?,
    };
    let width = loaded.shape.iter().try_fold(1usize, |a, b| a.checked_mul(*b)).filter(|w| *w > 0);
    if width.is_none_or(|w| loaded.output.shape != [w]) {
        return Err(super::reading::damaged(parts));
    }
    Ok(Box::new(loaded))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::conformance::fit;
    use crate::model::Sequences;

    #[test]
    fn sequences_of_one_length_are_laid_out_and_others_refused() {
        let mut sequences = Sequences::new(2);
        sequences.push(&[1., 2., 3., 4.]).unwrap();
        sequences.push_absent();
        let field = Field { shape: vec![2], ..Field::new("s", Kind::Sequence) };
        let step = fit("flatten", json!({}), &field, &Column::Sequence(sequences.clone())).unwrap();
        let Column::Vector(out) = step.apply(&Column::Sequence(sequences.clone())).unwrap() else { panic!() };
        assert_eq!((out.get(0), out.get(1)), (Some(&[1f32, 2., 3., 4.][..]), None));
        sequences.push(&[1., 2.]).unwrap();
        assert!(step.apply(&Column::Sequence(sequences.clone())).is_err());
        let Err(error) = fit("flatten", json!({}), &field, &Column::Sequence(sequences)) else { panic!() };
        assert!(error.to_string().contains("different lengths"), "{error}");
    }
}
