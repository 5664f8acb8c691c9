//! A sequence becomes a few numbers about each channel.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::reading::{accept, damaged, nothing, sequences, single, wide};
use crate::error::Result;
use crate::model::graph::{Element, Graph, Value};
use crate::model::{Column, Context, Feature, Field, FittedFeature, Kind, Loaders, Parts, Vectors};
use crate::registry::Method;

/// What is said of a channel, in this order.
const SAID: [&str; 6] = ["mean", "deviation", "min", "max", "first", "last"];

/// Six numbers a channel, and the number of steps. For the values `x_1 .. x_n` of a channel over the `n` steps of a row:
///
/// - mean `m = (x_1 + .. + x_n) / n`
/// - deviation `sqrt(((x_1 - m)^2 + .. + (x_n - m)^2) / n)`
/// - the smallest and the largest of them
/// - the first, `x_1`, and the last, `x_n`
///
/// and at the end of the row `n`, once. Sums are taken in 64 bits, in the order of the steps.
///
/// # Shapes
/// Sequences whose steps have `width` values give `[6 width + 1]`, channel by channel.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Summary {}

impl Method for Summary {
    const NAME: &'static str = "summary";
    const ABOUT: &'static str =
        "mean, deviation, smallest, largest, first and last of each channel, and the number of steps";
}

impl Feature for Summary {
    fn output(&self, input: &Field) -> Result<Field> {
        accept(Self::NAME, input, &[Kind::Sequence])?;
        let shape = match input.shape.as_slice() {
            [width] => vec![SAID.len() * width + 1],
            _ => Vec::new(),
        };
        Ok(Field::vector(&input.name, shape))
    }

    fn learns(&self) -> bool {
        false
    }

    fn fit(&self, input: &Field, column: &Column, _: &Context<'_>) -> Result<Box<dyn FittedFeature>> {
        let mut output = self.output(input)?;
        let rows = sequences(Self::NAME, &input.name, column)?;
        let width = rows.width();
        if width == 0 || (0..rows.len()).all(|r| rows.get(r).is_none()) {
            return Err(nothing(Self::NAME, &input.name));
        }
        output.shape = vec![SAID.len() * width + 1];
        let channels = if input.channels.len() == width { input.channels.clone() } else { Vec::new() };
        Ok(Box::new(Summarized { output, width, channels }))
    }
}

/// Fitted [`Summary`].
struct Summarized {
    output: Field,
    width: usize,
    channels: Vec<String>,
}

impl FittedFeature for Summarized {
    fn kind(&self) -> &'static str {
        Summary::NAME
    }

    fn output(&self) -> &Field {
        &self.output
    }

    fn apply(&self, column: &Column) -> Result<Column> {
        let name = &self.output.name;
        let rows = wide(Summary::NAME, name, self.width, column)?;
        let size = SAID.len() * self.width + 1;
        let mut data = vec![0.0; rows.len() * size];
        for (row, out) in data.chunks_mut(size).enumerate() {
            let Some(steps) = rows.get(row) else { continue };
            let count = steps.len() / self.width;
            for (c, said) in out.chunks_exact_mut(SAID.len()).enumerate() {
                let channel = steps.iter().skip(c).step_by(self.width).map(|v| f64::from(*v));
                for (to, number) in said.iter_mut().zip(about(channel)) {
                    *to = single(name, row, number)?;
                }
            }
            if let Some(last) = out.last_mut() {
                *last = count as f32;
            }
        }
        Ok(Column::Vector(Vectors { shape: self.output.shape.clone(), data, absent: rows.absent().clone() }))
    }

    fn graph(&self, graph: &mut Graph, x: &Value) -> Result<Value> {
        let width = self.width as i64;
        let counts = graph.steps(&self.output.name)?;
        let longest = graph.length(x, 1);
        let longest = graph.reshape(&longest, &[]);
        let (zero, one) = (graph.scalar(Element::I64, 0.0), graph.scalar(Element::I64, 1.0));
        let places = graph.node("Range", &[&zero, &longest, &one], vec![], Element::I64);
        let real = graph.node("Less", &[&places, &counts], vec![], Element::Bool);
        let real = graph.reshape(&real, &[0, -1, 1]);
        let x = graph.double(x);
        let count = graph.double(&counts);
        let per = graph.reshape(&count, &[0, 1, 1]);
        let ends = [f64::INFINITY, f64::NEG_INFINITY].map(|e| graph.scalar(Element::F64, e));
        let [low, high] = [("ReduceMin", &ends[0]), ("ReduceMax", &ends[1])].map(|(operator, end)| {
            let there = graph.choose(&real, &x, end);
            graph.reduce(operator, &there, &[1])
        });
        let there = graph.or_zero(Some(&real), &x);
        let sum = graph.reduce("ReduceSum", &there, &[1]);
        let mean = graph.div(&sum, &per);
        let gap = graph.sub(&x, &mean);
        let square = graph.mul(&gap, &gap);
        let square = graph.or_zero(Some(&real), &square);
        let squares = graph.reduce("ReduceSum", &square, &[1]);
        let variance = graph.div(&squares, &per);
        let deviation = graph.one("Sqrt", &variance);
        let equal = graph.node("Equal", &[&low, &high], vec![], Element::Bool);
        let differ = graph.not(&equal);
        let deviation = graph.or_zero(Some(&differ), &deviation);
        let [first, last] = [graph.mul(&counts, &zero), graph.sub(&counts, &one)].map(|place| {
            let here = graph.node("Equal", &[&places, &place], vec![], Element::Bool);
            let here = graph.reshape(&here, &[0, -1, 1]);
            let there = graph.or_zero(Some(&here), &x);
            graph.reduce("ReduceSum", &there, &[1])
        });
        let said = [mean, deviation, low, high, first, last].map(|v| graph.reshape(&v, &[0, width, 1]));
        let said = graph.beside(&said, 2);
        let said = graph.reshape(&said, &[0, width * SAID.len() as i64]);
        let all = graph.beside(&[said, count], 1);
        Ok(graph.single(&all))
    }

    fn save(&self) -> Result<Parts> {
        let config = json!({"output": self.output, "width": self.width, "channels": self.channels});
        Ok(Parts::new(self.kind(), config))
    }

    fn names(&self) -> Vec<String> {
        let name = &self.output.name;
        let channel = |c: usize| match self.channels.get(c) {
            Some(channel) => format!("{name}[{channel}]"),
            None if self.width == 1 => name.clone(),
            None => format!("{name}[{c}]"),
        };
        let mut names: Vec<String> =
            (0..self.width).flat_map(|c| SAID.map(|said| format!("{} {said}", channel(c)))).collect();
        names.push(format!("{name} steps"));
        names
    }
}

/// The six numbers of a channel, which has one step at least.
fn about(values: impl Iterator<Item = f64> + Clone) -> [f64; 6] {
    let (mut count, mut sum) = (0.0, 0.0);
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    let (mut first, mut last) = (None, 0.0);
    for v in values.clone() {
        (count, sum) = (count + 1.0, sum + v);
        (low, high) = (low.min(v), high.max(v));
        (first, last) = (first.or(Some(v)), v);
    }
    let mean = sum / count;
    let squares: f64 = values.map(|v| (v - mean).powi(2)).sum();
    // Equal values have no deviation, whatever their mean was rounded to.
    let deviation = if low == high { 0.0 } else { (squares / count).sqrt() };
    [mean, deviation, low, high, first.unwrap_or(last), last]
}

/// Loads a fitted [`Summary`].
pub(super) fn load(parts: &Parts, _: &Loaders) -> Result<Box<dyn FittedFeature>> {
    let loaded = Summarized {
        output: parts.field("output")?,
        width: parts.field("width")?,
        channels: parts.field("channels")?,
    };
    let size = loaded.width.checked_mul(SAID.len()).filter(|s| *s > 0).and_then(|s| s.checked_add(1));
    let named = loaded.channels.is_empty() || loaded.channels.len() == loaded.width;
    if size.is_none_or(|s| loaded.output.shape != [s]) || !named {
        return Err(damaged(parts));
    }
    Ok(Box::new(loaded))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::conformance::{fit, golden, steps_of};

    fn apply(step: &dyn FittedFeature, column: &Column) -> Vectors {
        let Column::Vector(out) = step.apply(column).unwrap() else { panic!() };
        out
    }

    #[test]
    fn numbers_match_numpy() {
        let golden = golden("summary");
        let sequences: Vec<Vec<Vec<f32>>> = serde_json::from_value(golden["sequences"].clone()).unwrap();
        let expected: Vec<Vec<f64>> = serde_json::from_value(golden["summary"].clone()).unwrap();
        let flat: Vec<Vec<f32>> = sequences.iter().map(|s| s.concat()).collect();
        let rows: Vec<Option<&[f32]>> = flat.iter().map(|r| Some(r.as_slice())).collect();
        let column = steps_of(3, &rows);
        let field = Field { shape: vec![3], ..Field::new("s", Kind::Sequence) };
        let out = apply(fit("summary", json!({}), &field, &column).unwrap().as_ref(), &column);
        for (r, row) in expected.iter().enumerate() {
            assert_eq!(row.len(), 19);
            for (a, b) in out.get(r).unwrap().iter().zip(row) {
                // Both sum in 64 bits; ours is then rounded to 32.
                assert!((f64::from(*a) - b).abs() <= 1e-7 * b.abs().max(1.0), "row {r}: {a} {b}");
            }
        }
    }

    #[test]
    fn names_tell_channel_and_number() {
        let column = steps_of(1, &[Some(&[2., 4.]), None, Some(&[0.1; 7])]);
        let field = Field { shape: vec![1], ..Field::new("s", Kind::Sequence) };
        let step = fit("summary", json!({}), &field, &column).unwrap();
        let out = apply(step.as_ref(), &column);
        assert_eq!(out.get(0), Some(&[3., 1., 2., 4., 2., 4., 2.][..]));
        assert_eq!((out.get(1), out.get(2).unwrap()[1]), (None, 0.0));
        assert_eq!(step.names(), ["s mean", "s deviation", "s min", "s max", "s first", "s last", "s steps"]);
        let column = steps_of(2, &[Some(&[2., 4.])]);
        let field = Field { shape: vec![2], channels: vec!["u".into(), "v".into()], ..field };
        let step = fit("summary", json!({}), &field, &column).unwrap();
        assert_eq!((step.names()[6].as_str(), step.names().len()), ("s[v] mean", 13));
        let bare = Field { channels: Vec::new(), ..field };
        assert_eq!(fit("summary", json!({}), &bare, &column).unwrap().names()[6], "s[1] mean");
    }

    #[test]
    fn a_row_without_steps_is_an_error() {
        let field = Field { shape: vec![1], ..Field::new("s", Kind::Sequence) };
        let step = fit("summary", json!({}), &field, &steps_of(1, &[Some(&[1.])])).unwrap();
        let error = step.apply(&steps_of(1, &[Some(&[1.]), Some(&[])])).unwrap_err();
        assert!(error.to_string().contains("s: row 1 of the batch"), "{error}");
    }
}
