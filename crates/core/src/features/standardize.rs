//! Zero mean and unit deviation.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::reading::{
    accept, complete_numbers, damaged, learned, nothing, sequences, shaped, single, vectors, wide,
};
use crate::error::Result;
use crate::model::graph::{Graph, Value};
use crate::model::{
    Column, Context, Feature, Field, FittedFeature, Kind, Loaders, Mask, Parts, Sequences, Vectors,
};
use crate::registry::Method;

/// What a mean and a deviation are taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Per {
    /// A mean and a deviation for each position of a row; of sequences for each channel, over all steps of all rows.
    Value,
    /// One mean and one deviation over every value of every row, as is usual for pixels.
    All,
}

/// `(x - mean) / deviation`, with the mean and the population deviation of the training rows, summed in 64 bits. A
/// position that is constant in training has deviation 1, so that it becomes zero.
///
/// # Shapes
/// A number gives `[1]`, a vector keeps its shape, a sequence stays a sequence of the same steps.
///
/// # Errors
/// Missing numbers are refused (put `impute` before); absent vectors and sequences stay absent.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Standardize {
    /// What a mean and a deviation are taken over: `value` (each position; of sequences each channel) or `all`
    /// (everything). Default: `value` for numbers, sequences and rows of one dimension, `all` for rows of two dimensions
    /// or more (images, spectrograms).
    pub per: Option<Per>,
}

impl Method for Standardize {
    const NAME: &'static str = "standardize";
    const ABOUT: &'static str = "zero mean and unit deviation, by position or over everything";
}

impl Feature for Standardize {
    fn output(&self, input: &Field) -> Result<Field> {
        accept(Self::NAME, input, &[Kind::Number, Kind::Vector, Kind::Sequence])?;
        Ok(match input.kind {
            Kind::Number => Field::vector(&input.name, vec![1]),
            Kind::Sequence => input.clone(),
            _ => Field::vector(&input.name, input.shape.clone()),
        })
    }

    fn fit(&self, input: &Field, column: &Column, _: &Context<'_>) -> Result<Box<dyn FittedFeature>> {
        let mut output = self.output(input)?;
        let name = &input.name;
        let rows: Vec<Vec<f64>> = match input.kind {
            Kind::Number => complete_numbers(Self::NAME, name, column)?.iter().map(|v| vec![*v]).collect(),
            Kind::Sequence => {
                // Every step of every row is what a row is of vectors.
                let s = sequences(Self::NAME, name, column)?;
                output.shape = vec![s.width()];
                let rows = (0..s.len()).filter_map(|r| s.get(r));
                return self.fit_rows(input, output, rows.flat_map(|r| r.chunks_exact(s.width().max(1))));
            }
            _ => {
                let v = vectors(Self::NAME, name, column)?;
                output.shape.clone_from(&v.shape);
                return self.fit_rows(input, output, (0..v.len()).filter_map(|r| v.get(r)));
            }
        };
        self.fit_rows(input, output, rows.iter().map(Vec::as_slice))
    }
}

impl Standardize {
    fn fit_rows<'a, T>(
        &self,
        input: &Field,
        output: Field,
        rows: impl Iterator<Item = &'a [T]> + Clone,
    ) -> Result<Box<dyn FittedFeature>>
    where
        T: Copy + Into<f64> + 'a,
    {
        let all = match self.per {
            Some(per) => per == Per::All,
            None => output.shape.len() > 1,
        };
        let slots = if all { 1 } else { output.shape.iter().product() };
        let slot = |i: usize| if all { 0 } else { i };
        let mut count = 0usize;
        let mut sums = vec![0.0f64; slots];
        let mut ends = vec![(f64::INFINITY, f64::NEG_INFINITY); slots];
        for row in rows.clone() {
            count += 1;
            for (i, x) in row.iter().enumerate() {
                let x: f64 = (*x).into();
                let (sum, end) = (&mut sums[slot(i)], &mut ends[slot(i)]);
                *sum += x;
                *end = (end.0.min(x), end.1.max(x));
            }
        }
        if count == 0 {
            return Err(nothing(Self::NAME, &input.name));
        }
        let each = if all { count * output.shape.iter().product::<usize>() } else { count } as f64;
        let mean: Vec<f64> = sums.iter().map(|s| s / each).collect();
        let mut squares = vec![0.0f64; slots];
        for row in rows {
            for (i, x) in row.iter().enumerate() {
                let x: f64 = (*x).into();
                squares[slot(i)] += (x - mean[slot(i)]).powi(2);
            }
        }
        let deviation: Vec<f64> = squares
            .iter()
            .zip(&ends)
            .map(|(s, (low, high))| if low == high { 1.0 } else { (s / each).sqrt() })
            // Values that differ by less than a square can hold.
            .map(|d| if d == 0.0 { 1.0 } else { d })
            .collect();
        learned(Self::NAME, &input.name, &mean)?;
        learned(Self::NAME, &input.name, &deviation)?;
        Ok(Box::new(Standardized { input: input.kind, output, mean, deviation }))
    }
}

/// Fitted [`Standardize`].
struct Standardized {
    input: Kind,
    output: Field,
    /// One, or one a position.
    mean: Vec<f64>,
    deviation: Vec<f64>,
}

impl FittedFeature for Standardized {
    fn kind(&self) -> &'static str {
        Standardize::NAME
    }

    fn output(&self) -> &Field {
        &self.output
    }

    fn apply(&self, column: &Column) -> Result<Column> {
        let name = &self.output.name;
        let slots = self.mean.len();
        let change = |row: usize, i: usize, x: f64| {
            let i = i % slots;
            single(name, row, (x - self.mean[i]) / self.deviation[i])
        };
        if self.input == Kind::Number {
            let values = complete_numbers(Standardize::NAME, name, column)?;
            let data: Result<Vec<f32>> = values.iter().enumerate().map(|(r, x)| change(r, 0, *x)).collect();
            let absent = Mask::none(values.len());
            return Ok(Column::Vector(Vectors { shape: vec![1], data: data?, absent }));
        }
        if self.input == Kind::Sequence {
            let width = self.output.shape.iter().product();
            let rows = wide(Standardize::NAME, name, width, column)?;
            let mut out = Sequences::new(width);
            for row in 0..rows.len() {
                let Some(steps) = rows.get(row) else {
                    out.push_absent();
                    continue;
                };
                let changed = steps.iter().enumerate().map(|(i, x)| change(row, i, f64::from(*x)));
                out.push(&changed.collect::<Result<Vec<f32>>>()?)?;
            }
            return Ok(Column::Sequence(out));
        }
        let vectors = shaped(Standardize::NAME, name, &self.output.shape, column)?;
        let width = vectors.width();
        let mut data = vec![0.0; vectors.data.len()];
        for (row, out) in data.chunks_mut(width).enumerate() {
            let Some(values) = vectors.get(row) else { continue };
            for (i, (o, x)) in out.iter_mut().zip(values).enumerate() {
                *o = change(row, i, f64::from(*x))?;
            }
        }
        Ok(Column::Vector(Vectors { shape: vectors.shape.clone(), data, absent: vectors.absent.clone() }))
    }

    fn graph(&self, graph: &mut Graph, x: &Value) -> Result<Value> {
        let shape = if self.mean.len() == 1 { &[1][..] } else { &self.output.shape };
        let mean = graph.doubles("mean", shape, self.mean.iter().copied());
        let deviation = graph.doubles("deviation", shape, self.deviation.iter().copied());
        let x = graph.double(x);
        let centered = graph.sub(&x, &mean);
        let scaled = graph.div(&centered, &deviation);
        Ok(graph.single(&scaled))
    }

    fn save(&self) -> Result<Parts> {
        Ok(Parts::new(self.kind(), json!({"input": self.input, "output": self.output}))
            .with_f64("mean", &self.mean)
            .with_f64("deviation", &self.deviation))
    }

    fn names(&self) -> Vec<String> {
        if self.input == Kind::Number { vec![self.output.name.clone()] } else { Vec::new() }
    }
}

/// Loads a fitted [`Standardize`].
pub(super) fn load(parts: &Parts, _: &Loaders) -> Result<Box<dyn FittedFeature>> {
    let loaded = Standardized {
        input: parts.field("input")?,
        output: parts.field("output")?,
        mean: parts.f64("mean")?.to_vec(),
        deviation: parts.f64("deviation")?.to_vec(),
    };
    let width = loaded.output.shape.iter().product::<usize>();
    let slots = loaded.mean.len();
    if slots == 0 || slots != loaded.deviation.len() || (slots != 1 && slots != width) {
        return Err(damaged(parts));
    }
    Ok(Box::new(loaded))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::conformance::{fit, golden, number, steps_of};

    #[test]
    fn numbers_match_scikit_learn() {
        let golden = golden("standardize");
        let values: Vec<f64> = serde_json::from_value(golden["x"].clone()).unwrap();
        let expected: Vec<f64> = serde_json::from_value(golden["z"].clone()).unwrap();
        let column = number(&values);
        let step = fit("standardize", json!({}), &Field::new("x", Kind::Number), &column).unwrap();
        let Column::Vector(out) = step.apply(&column).unwrap() else { panic!() };
        for (a, b) in out.data.iter().zip(&expected) {
            assert!((f64::from(*a) - b).abs() < 1e-6, "{a} {b}");
        }
        assert_eq!(step.names(), ["x"]);
    }

    #[test]
    fn shapes_of_two_dimensions_share_one_mean_and_constants_become_zero() {
        let field = Field::vector("v", vec![2, 2]);
        let column = Column::Vector(Vectors::new(vec![2, 2], vec![0., 1., 2., 3., 4., 5., 6., 7.]).unwrap());
        let apply = |parameters| {
            let step = fit("standardize", parameters, &field, &column).unwrap();
            let Column::Vector(out) = step.apply(&column).unwrap() else { panic!() };
            out.data
        };
        let all = apply(json!({}));
        let deviation = 5.25f32.sqrt();
        assert!((all[0] + 3.5 / deviation).abs() < 1e-6 && (all[7] - 3.5 / deviation).abs() < 1e-6);
        assert_eq!(apply(json!({"per": "value"})), [-1., -1., -1., -1., 1., 1., 1., 1.]);
        let column = number(&[0.1; 7]);
        let step = fit("standardize", json!({}), &Field::new("x", Kind::Number), &column).unwrap();
        let Column::Vector(out) = step.apply(&number(&[0.1, 2.1])).unwrap() else { panic!() };
        assert!(out.data[0].abs() < 1e-7 && (out.data[1] - 2.0).abs() < 1e-6, "{:?}", out.data);
    }

    #[test]
    fn sequences_are_standardized_by_channel_over_all_steps() {
        let column = steps_of(2, &[Some(&[1., 10., 3., 10.]), None, Some(&[5., 10.])]);
        let field = Field {
            shape: vec![2],
            longest: 2,
            channels: vec!["u".into(), "v".into()],
            ..Field::new("s", Kind::Sequence)
        };
        let step = fit("standardize", json!({}), &field, &column).unwrap();
        assert_eq!(*step.output(), field);
        let Column::Sequence(out) = step.apply(&column).unwrap() else { panic!() };
        // The first channel is 1, 3, 5 over all steps, the second is constant.
        let far = (8f32 / 3.0).sqrt().recip() * 2.0;
        let near = |got: &[f32], expected: &[f32]| {
            assert!(
                got.len() == expected.len() && got.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6)
            );
        };
        near(out.get(0).unwrap(), &[-far, 0., 0., 0.]);
        near(out.get(2).unwrap(), &[far, 0.]);
        assert_eq!(out.get(1), None);
        let step = fit("standardize", json!({"per": "all"}), &field, &column).unwrap();
        let Column::Sequence(out) = step.apply(&column).unwrap() else { panic!() };
        let mean: f32 = [0, 2].into_iter().flat_map(|r| out.get(r).unwrap()).sum();
        assert!(mean.abs() < 1e-5 && out.get(0).unwrap()[1] > 0.0);
    }

    #[test]
    fn missing_numbers_are_refused_with_the_remedy() {
        let mut column = number(&[1.0, 2.0]);
        if let Column::Number { missing, .. } = &mut column {
            missing.set(1, true);
        }
        let Err(error) = fit("standardize", json!({}), &Field::new("x", Kind::Number), &column) else {
            panic!()
        };
        assert!(error.to_string().contains("impute"), "{error}");
    }
}
