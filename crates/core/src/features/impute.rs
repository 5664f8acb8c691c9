//! Missing numbers are filled.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::reading::{accept, damaged, learned, nothing, numbers, single};
use crate::error::{Error, Result};
use crate::model::graph::{Graph, Value};
use crate::model::{Column, Context, Feature, Field, FittedFeature, Kind, Loaders, Mask, Parts, Vectors};
use crate::registry::Method;

/// What missing numbers are replaced with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// The median of the training rows; of an even number of rows the mean of the two in the middle.
    Median,
    /// The mean of the training rows.
    Mean,
    /// A number that is given.
    Constant,
}

/// Replaces missing numbers with a number learned from the training rows that have one.
///
/// # Shapes
/// A number gives `[1]`, or `[2]` if a column that says which were missing goes with it.
///
/// # Errors
/// A column without any value in training has neither median nor mean.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Impute {
    /// `median`, `mean` or `constant`.
    pub strategy: Strategy,
    /// The number for `constant`, in the column's unit. Only with `constant`, and required there.
    pub value: Option<f64>,
    /// Adds a second number, 1 where the value was missing and 0 elsewhere, if any training row was missing one.
    pub indicator: bool,
}

impl Default for Impute {
    fn default() -> Self {
        Self { strategy: Strategy::Median, value: None, indicator: true }
    }
}

impl Method for Impute {
    const NAME: &'static str = "impute";
    const ABOUT: &'static str = "fills missing numbers and says where it did";

    fn validate(&self) -> Result<()> {
        match (self.strategy, self.value) {
            (Strategy::Constant, None) => Err(Error::argument("\"constant\" needs a number")
                .at("value")
                .remedy("add value: 0, or take the strategy median")),
            (Strategy::Constant, Some(v)) if !v.is_finite() => {
                Err(Error::argument("the constant is not finite").at("value").got(v))
            }
            (Strategy::Constant, Some(_)) | (_, None) => Ok(()),
            (_, Some(_)) => Err(Error::argument("only the strategy \"constant\" takes a value").at("value")),
        }
    }
}

impl Feature for Impute {
    fn output(&self, input: &Field) -> Result<Field> {
        accept(Self::NAME, input, &[Kind::Number])?;
        // With the indicator the width depends on the training rows.
        Ok(Field::vector(&input.name, if self.indicator { Vec::new() } else { vec![1] }))
    }

    fn fit(&self, input: &Field, column: &Column, _: &Context<'_>) -> Result<Box<dyn FittedFeature>> {
        let mut output = self.output(input)?;
        let (values, missing) = numbers(Self::NAME, &input.name, column)?;
        let mut present: Vec<f64> =
            values.iter().enumerate().filter(|(r, _)| !missing.is_set(*r)).map(|(_, v)| *v).collect();
        let fill = match (self.strategy, self.value) {
            (Strategy::Constant, Some(value)) => value,
            _ if present.is_empty() => {
                return Err(nothing(Self::NAME, &input.name)
                    .remedy("leave the column out, or take the strategy constant with a value"));
            }
            (Strategy::Mean, _) => present.iter().sum::<f64>() / present.len() as f64,
            _ => {
                present.sort_by(f64::total_cmp);
                let half = present.len() / 2;
                if present.len() % 2 == 1 {
                    present[half]
                } else {
                    present[half - 1] / 2.0 + present[half] / 2.0
                }
            }
        };
        learned(Self::NAME, &input.name, &[fill])?;
        output.shape = vec![if self.indicator && missing.any() { 2 } else { 1 }];
        Ok(Box::new(Imputed { output, fill }))
    }
}

/// Fitted [`Impute`].
struct Imputed {
    output: Field,
    fill: f64,
}

impl FittedFeature for Imputed {
    fn kind(&self) -> &'static str {
        Impute::NAME
    }

    fn output(&self) -> &Field {
        &self.output
    }

    fn apply(&self, column: &Column) -> Result<Column> {
        let name = &self.output.name;
        let (values, missing) = numbers(Impute::NAME, name, column)?;
        let indicator = self.output.shape == [2];
        let mut data = Vec::with_capacity(values.len() * self.output.shape.iter().product::<usize>());
        for (row, value) in values.iter().enumerate() {
            let gone = missing.is_set(row);
            data.push(single(name, row, if gone { self.fill } else { *value })?);
            if indicator {
                data.push(f32::from(u8::from(gone)));
            }
        }
        let absent = Mask::none(values.len());
        Ok(Column::Vector(Vectors { shape: self.output.shape.clone(), data, absent }))
    }

    fn graph(&self, graph: &mut Graph, x: &Value) -> Result<Value> {
        let missing = graph.is_nan(x);
        let fill = graph.scalar(x.element(), self.fill);
        let filled = graph.choose(&missing, &fill, x);
        let filled = graph.single(&filled);
        if self.output.shape != [2] {
            return Ok(filled);
        }
        let missing = graph.single(&missing);
        Ok(graph.beside(&[filled, missing], 1))
    }

    fn save(&self) -> Result<Parts> {
        Ok(Parts::new(self.kind(), json!({"output": self.output})).with_f64("fill", &[self.fill]))
    }

    fn names(&self) -> Vec<String> {
        let name = &self.output.name;
        if self.output.shape == [2] {
            vec![name.clone(), format!("{name} missing")]
        } else {
            vec![name.clone()]
        }
    }
}

/// Loads a fitted [`Impute`].
pub(super) fn load(parts: &Parts, _: &Loaders) -> Result<Box<dyn FittedFeature>> {
    let output: Field = parts.field("output")?;
    match (parts.f64("fill")?, output.shape.as_slice()) {
        ([fill], [1 | 2]) => Ok(Box::new(Imputed { fill: *fill, output })),
        _ => Err(damaged(parts)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::conformance::fit;

    fn column(values: &[Option<f64>]) -> Column {
        Column::Number {
            values: values.iter().map(|v| v.unwrap_or(f64::NAN)).collect(),
            missing: values.iter().map(Option::is_none).collect(),
        }
    }

    fn data(column: Column) -> Vec<f32> {
        let Column::Vector(v) = column else { panic!() };
        assert!(!v.absent.any());
        v.data
    }

    #[test]
    fn each_strategy_fills_with_its_number() {
        let field = Field::new("age", Kind::Number);
        let train = column(&[Some(1.0), None, Some(2.0), Some(10.0), Some(3.0)]);
        for (parameters, fill) in [
            (json!({"indicator": false}), 2.5),
            (json!({"indicator": false, "strategy": "mean"}), 4.0),
            (json!({"indicator": false, "strategy": "constant", "value": -1}), -1.0),
        ] {
            let step = fit("impute", parameters, &field, &train).unwrap();
            assert_eq!(data(step.apply(&column(&[None, Some(7.0)])).unwrap()), [fill, 7.0]);
            assert_eq!(step.names(), ["age"]);
        }
        let step = fit("impute", json!({}), &field, &train).unwrap();
        assert_eq!(data(step.apply(&column(&[None, Some(7.0)])).unwrap()), [2.5, 1.0, 7.0, 0.0]);
        assert_eq!(step.names(), ["age", "age missing"]);
        let whole = fit("impute", json!({}), &field, &column(&[Some(4.0)])).unwrap();
        assert_eq!(whole.output().shape, [1]);
        assert_eq!(data(whole.apply(&column(&[None])).unwrap()), [4.0]);
    }

    #[test]
    fn nothing_to_learn_from_and_contradictions_are_errors() {
        let field = Field::new("age", Kind::Number);
        let Err(error) = fit("impute", json!({}), &field, &column(&[None])) else { panic!() };
        assert!(error.to_string().contains("constant"), "{error}");
        assert!(crate::features::REGISTRY.build("impute", &json!({"strategy": "constant"})).is_err());
        assert!(crate::features::REGISTRY.build("impute", &json!({"value": 1})).is_err());
    }
}
