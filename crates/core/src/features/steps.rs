//! A sequence becomes rows of one length, padded at the start, with a channel that says which steps are real.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::reading::{accept, damaged, nothing, sequences, wide};
use crate::error::{Error, Result};
use crate::model::graph::{Attribute, Element, Graph, Value};
use crate::model::{Column, Context, Feature, Field, FittedFeature, Kind, Loaders, Parts, Vectors};
use crate::registry::Method;

/// The most steps of a row.
const LONGEST: usize = 1 << 20;

/// What becomes of rows with more steps than `length`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Longer {
    /// An error that names the row.
    #[default]
    Error,
    /// The first steps are kept.
    First,
    /// The last steps are kept.
    Last,
}

/// The steps of a row at the end of `length` steps, each with one more value that is 1; the steps before them are
/// padding, zeros throughout. Nothing that stands in for a step can be taken for one.
///
/// The padding comes first, so that a recurrent network ends on the last real step.
///
/// # Shapes
/// Sequences whose steps have `width` values give `[length, width + 1]`.
///
/// # Errors
/// Rows with more steps than `length` are refused unless `longer` says which of them are kept.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Steps {
    /// How many steps every row gets. Default: as many as the longest row of the data of the run has, or, where that is
    /// not known, of the training rows.
    #[schemars(range(min = 1, max = 1048576))]
    pub length: Option<usize>,
    /// What becomes of rows with more steps: an `error`, or only the `first` or `last` of their steps are kept.
    pub longer: Longer,
}

impl Method for Steps {
    const NAME: &'static str = "steps";
    const ABOUT: &'static str =
        "sequences of one length, padded at the start, with a channel that marks real steps";

    fn validate(&self) -> Result<()> {
        match self.length {
            Some(n) if !(1..=LONGEST).contains(&n) => {
                let error = Error::argument("sequences cannot have this length").at("length");
                Err(error.expected(format!("1 to {LONGEST} steps")).got(n))
            }
            _ => Ok(()),
        }
    }
}

impl Feature for Steps {
    fn output(&self, input: &Field) -> Result<Field> {
        accept(Self::NAME, input, &[Kind::Sequence])?;
        let shape = match input.shape.as_slice() {
            // A length of 0 is one that only fitting tells.
            [width] => vec![self.length.unwrap_or(input.longest), width + 1],
            _ => Vec::new(),
        };
        Ok(Field::vector(&input.name, shape))
    }

    fn fit(&self, input: &Field, column: &Column, _: &Context<'_>) -> Result<Box<dyn FittedFeature>> {
        let mut output = self.output(input)?;
        let name = &input.name;
        let rows = sequences(Self::NAME, name, column)?;
        let width = rows.width();
        let longest = (0..rows.len()).filter_map(|r| rows.get(r)).map(|s| s.len() / width.max(1)).max();
        let seen = longest.ok_or_else(|| nothing(Self::NAME, name))?;
        let declared = self.length.or(Some(input.longest).filter(|n| *n > 0));
        let length = declared.unwrap_or(seen);
        if length == 0 || length > LONGEST {
            return Err(Error::data("the sequences cannot be brought to one length")
                .at(name)
                .expected(format!("1 to {LONGEST} steps"))
                .got(length)
                .remedy("give steps a length, and longer: first or last"));
        }
        output.shape = vec![length, width + 1];
        let fitted = Padded { output, longer: self.longer };
        // Rows that are too long are refused before anything is fitted to the others.
        (0..rows.len())
            .filter_map(|r| rows.get(r).map(|s| (r, s)))
            .try_for_each(|(row, steps)| fitted.kept(row, steps).map(|_| ()))?;
        Ok(Box::new(fitted))
    }
}

/// Fitted [`Steps`].
struct Padded {
    /// `[length, width + 1]`.
    output: Field,
    longer: Longer,
}

impl Padded {
    fn sizes(&self) -> (usize, usize) {
        match self.output.shape.as_slice() {
            [length, channels] => (*length, channels.saturating_sub(1)),
            _ => (0, 0),
        }
    }

    /// The steps of a row that are kept.
    fn kept<'a>(&self, row: usize, steps: &'a [f32]) -> Result<&'a [f32]> {
        let (length, width) = self.sizes();
        let most = length * width;
        if steps.len() <= most {
            return Ok(steps);
        }
        match self.longer {
            Longer::First => Ok(steps.get(..most).unwrap_or(steps)),
            Longer::Last => Ok(steps.get(steps.len() - most..).unwrap_or(steps)),
            Longer::Error => {
                let got = steps.len() / width.max(1);
                Err(Error::data("a sequence has more steps than the column was brought to")
                    .at(format!("{}: row {row} of the batch", self.output.name))
                    .expected(format!("at most {length} steps"))
                    .got(format!("{got} steps"))
                    .remedy(format!(
                        "give the step \"steps\" a length of {got} or more, or longer: last (or first) to keep part of \
                         long rows, and fit again"
                    )))
            }
        }
    }
}

impl FittedFeature for Padded {
    fn kind(&self) -> &'static str {
        Steps::NAME
    }

    fn output(&self) -> &Field {
        &self.output
    }

    fn apply(&self, column: &Column) -> Result<Column> {
        let name = &self.output.name;
        let (length, width) = self.sizes();
        let rows = wide(Steps::NAME, name, width, column)?;
        let size = length * (width + 1);
        let mut data = vec![0.0; rows.len() * size];
        for (row, out) in data.chunks_mut(size).enumerate() {
            let Some(steps) = rows.get(row) else { continue };
            let kept = self.kept(row, steps)?;
            let padding = length - kept.len() / width;
            let places = out.chunks_mut(width + 1).skip(padding);
            for (place, step) in places.zip(kept.chunks(width)) {
                place.iter_mut().zip(step).for_each(|(p, s)| *p = *s);
                if let Some(real) = place.last_mut() {
                    *real = 1.0;
                }
            }
        }
        Ok(Column::Vector(Vectors { shape: self.output.shape.clone(), data, absent: rows.absent().clone() }))
    }

    fn graph(&self, graph: &mut Graph, x: &Value) -> Result<Value> {
        let (length, width) = self.sizes();
        let counts = graph.steps(&self.output.name)?;
        let (zero, one) = (graph.scalar(Element::I64, 0.0), graph.scalar(Element::I64, 1.0));
        let most = graph.scalar(Element::I64, length as f64);
        // The position in a row of what stands at each place; padding is before the first.
        let places = graph.ints((0i64..).take(length));
        let kept = graph.node("Min", &[&counts, &most], vec![], Element::I64);
        let end = if self.longer == Longer::Last { counts.clone() } else { kept.clone() };
        let padding = graph.sub(&most, &kept);
        let shift = graph.sub(&end, &most);
        let from = graph.add(&places, &shift);
        let real = graph.node("GreaterOrEqual", &[&places, &padding], vec![], Element::Bool);
        let real = graph.reshape(&real, &[0, length as i64, 1]);
        let longest = graph.length(x, 1);
        let last = graph.sub(&longest, &one);
        let from = graph.node("Min", &[&from, &last], vec![], Element::I64);
        let from = graph.node("Max", &[&from, &zero], vec![], Element::I64);
        let from = graph.reshape(&from, &[0, length as i64, 1]);
        let shape = graph.ints([1, 1, width as i64]);
        let from = graph.node("Expand", &[&from, &shape], vec![], Element::I64);
        let axis = vec![("axis", Attribute::Int(1))];
        let steps = graph.node("GatherElements", &[x, &from], axis, x.element());
        let steps = graph.or_zero(Some(&real), &steps);
        let real = graph.single(&real);
        Ok(graph.beside(&[steps, real], 2))
    }

    fn save(&self) -> Result<Parts> {
        Ok(Parts::new(self.kind(), json!({"output": self.output, "longer": self.longer})))
    }
}

/// Loads a fitted [`Steps`].
pub(super) fn load(parts: &Parts, _: &Loaders) -> Result<Box<dyn FittedFeature>> {
    let loaded = Padded { output: parts.field("output")?, longer: parts.field("longer")? };
    match loaded.sizes() {
        (1..=LONGEST, 1..) => Ok(Box::new(loaded)),
        _ => Err(damaged(parts)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::conformance::{fit, steps_of};

    fn field() -> Field {
        Field { shape: vec![1], ..Field::new("s", Kind::Sequence) }
    }

    fn rows(step: &dyn FittedFeature, column: &Column) -> Vec<Option<Vec<f32>>> {
        let Column::Vector(out) = step.apply(column).unwrap() else { panic!() };
        (0..out.len()).map(|r| out.get(r).map(<[f32]>::to_vec)).collect()
    }

    #[test]
    fn padding_stands_before_the_steps_and_is_marked() {
        let column = steps_of(1, &[Some(&[7.]), None, Some(&[0., 8., 9.])]);
        let step = fit("steps", json!({}), &field(), &column).unwrap();
        assert_eq!(step.output().shape, [3, 2]);
        let expected = [Some(vec![0., 0., 0., 0., 7., 1.]), None, Some(vec![0., 1., 8., 1., 9., 1.])];
        assert_eq!(rows(step.as_ref(), &column), expected);
        let column = steps_of(2, &[Some(&[1., 2., 3., 4.])]);
        let wide = Field { shape: vec![2], ..field() };
        let step = fit("steps", json!({"length": 3}), &wide, &column).unwrap();
        assert_eq!(rows(step.as_ref(), &column), [Some(vec![0., 0., 0., 1., 2., 1., 3., 4., 1.])]);
    }

    #[test]
    fn the_length_is_the_one_given_else_of_the_data_else_of_the_training_rows() {
        let column = steps_of(1, &[Some(&[1., 2.])]);
        let length = |parameters, longest| {
            let field = Field { longest, ..field() };
            let unfitted = crate::features::REGISTRY.build("steps", &parameters).unwrap();
            let known = unfitted.output(&field).unwrap().shape[0];
            (known, fit("steps", parameters, &field, &column).unwrap().output().shape[0])
        };
        assert_eq!(length(json!({"length": 9}), 5), (9, 9));
        assert_eq!(length(json!({}), 5), (5, 5));
        assert_eq!(length(json!({}), 0), (0, 2));
        assert!(crate::features::REGISTRY.build("steps", &json!({"length": 0})).is_err());
    }

    #[test]
    fn longer_rows_are_refused_with_their_place_unless_asked_to_be_cut() {
        let (short, long) =
            (steps_of(1, &[Some(&[1., 2.])]), steps_of(1, &[Some(&[5.]), Some(&[1., 2., 3.])]));
        let step = fit("steps", json!({}), &field(), &short).unwrap();
        let error = step.apply(&long).unwrap_err();
        assert_eq!(error.exit_code(), 3);
        let error = error.to_string();
        for part in
            ["s: row 1 of the batch", "at most 2 steps", "got 3 steps", "a length of 3", "longer: last"]
        {
            assert!(error.contains(part), "\"{part}\" is not in: {error}");
        }
        let Err(error) = fit("steps", json!({"length": 2}), &field(), &long) else { panic!() };
        assert!(error.to_string().contains("row 1 of the batch"), "{error}");
        for (longer, expected) in [("first", vec![1., 1., 2., 1.]), ("last", vec![2., 1., 3., 1.])] {
            let step = fit("steps", json!({"longer": longer}), &field(), &short).unwrap();
            assert_eq!(rows(step.as_ref(), &long)[1], Some(expected));
        }
        let other = steps_of(2, &[Some(&[1., 2.])]);
        assert!(step.apply(&other).unwrap_err().to_string().contains("another width"));
    }
}
